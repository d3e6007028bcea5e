// SPDX-License-Identifier: MIT
// ring.h - the lock-free queue of one channel: many producers, many consumers, any of which may die
// or stop at any instruction without holding up the others.
//
// "Truth in one word, everything else a hint." A ring has 2^order slots of one word each,
//
//   slot word    cycle:32 | handle:32      what was published at position pos = cycle << order | slot
//                                          (slots that follow one another lie in different cache lines)
//
// and two hints, head and tail, that are written with plain stores, may be late, even go back, but
// are never ahead of the truth: whoever starts from a late hint steps forward over what it finds.
//
//   publish   own = SENT(ring,pos), then CAS slot {cycle-1,*} -> {cycle,handle}    the only locked op
//   claim     CAS own  SENT(ring,pos) -> HELD(uid)                                 the only locked op
//
// A position whose slot has an older cycle isn't published yet. A position is claimed when its
// block's own word is no longer SENT(ring,pos). Positions start at 2^order (cycle 1) since zeroed
// slots have cycle 0; they are never reset, not even when the ring serves another channel later.
//
// A ring is closed by publishing MARK | generation at its true tail once everything before it is claimed:
// a producer that had loaded that slot fails its CAS, all others meet the mark or the new generation.
// Both check the generation *after* loading a slot, since only then is it known to belong to that slot.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shm/pool.h"

enum shm_result {
	SHM_OK = 0,
	SHM_FULL = 1,
	SHM_EMPTY = 2,
	SHM_CLOSED = 3,  // the ring serves another channel now, or none: look the name up again
	SHM_CORRUPT = 4, // the words make no sense: somebody scribbled over them
	SHM_CLASH = 5,   // of a group: another name has the same key
};

// The hints of a ring, inside its channel's shared image.
struct shm_ring_mem {
	_Alignas(SHM_LINE_PAIR) shm_atomic64 head; // written by consumers
	_Alignas(SHM_LINE_PAIR) shm_atomic64 tail; // written by producers
	// Written when the channel is made or closed, otherwise only read.
	_Alignas(SHM_LINE_PAIR) shm_atomic32 generation;
	shm_atomic32 capacity; // messages, at most 2^order
};

// A private handle to one use (generation) of a ring.
struct shm_ring {
	struct shm_ring_mem *mem;
	shm_atomic64 *slots;
	uint32_t id; // of the channel
	uint32_t generation;
	uint32_t order;
	uint32_t capacity;
	uint64_t
	        head; // the last head this process has seen, to keep producers off the consumers' line
	uint64_t full_at; // where the last push that was refused would have published
	uint64_t taken;   // the position of what this process has claimed last ...
	uint64_t given;   // ... and of what it has published last
};

#define SHM_MARK 0x80000000u // in a slot's handle: closed; the rest is the generation's low 31 bits

#define SHM_RING_LINE_ORDER 3 // log2 of the slots in a cache line

_Static_assert(sizeof(shm_atomic64) << SHM_RING_LINE_ORDER == SHM_LINE, "slots in a cache line");

// The slot of position POS. Neighbouring positions lie in different cache lines: a consumer that has caught up
// reads the next slot over and over, and were that in the line in which a producer publishes, each
// of the two would wait for the other's copy with every message.
static inline shm_atomic64 *shm_ring_slot(const struct shm_ring *ring, uint64_t pos)
{
	uint32_t lines = ring->order < SHM_RING_LINE_ORDER ? 0 : ring->order - SHM_RING_LINE_ORDER;
	uint32_t slot = (uint32_t)pos & ((1u << ring->order) - 1);
	uint32_t line = slot & ((1u << lines) - 1), place = slot >> lines;

	if (lines >= 4)
		line = shm_scatter(line);
	return &ring->slots[line << (ring->order - lines) | place];
}

// Has the slot that the next message probably goes to come to this core. A receiver that spins has it, and it takes as
// long to come as a message to be written: to be called as soon as it is known where the message goes. Only a hint.
static inline void shm_ring_expect(const struct shm_ring *ring)
{
	prefetch_write(shm_ring_slot(ring, load_hint(&ring->mem->tail)));
}

// Publishes BLOCK, HELD by the caller, under HANDLE. On SHM_OK it is the channel's. Otherwise it is still
// HELD by the caller: SHM_FULL (capacity messages are waiting, as seen from the position ring->full_at),
// SHM_CLOSED, SHM_CORRUPT.
// Lock-free: a failed CAS means another producer succeeded.
enum shm_result shm_ring_push(
        struct shm_ring *ring, struct shm_pool *pool, uint32_t handle, struct shm_block_mem *block);

// Whether a push would find it full now, as far as can be told without a message to publish. Wait-free.
bool shm_ring_is_full(struct shm_ring *ring, const struct shm_pool *pool);

// Claims the oldest message: on SHM_OK its block is HELD by the caller, and ring->taken was its position.
// SHM_EMPTY is found without writing anything. Lock-free.
enum shm_result shm_ring_pop(struct shm_ring *ring, struct shm_pool *pool, uint32_t *handle);

// Claims the oldest message, as shm_ring_pop() does, if it was sent before FROM or after TO (ms), at a time that is no
// time; if it waits for its time, TO is SHM_DUE_AHEAD later. SHM_EMPTY if it wasn't. What is claimed is what was looked
// at, whoever else receives.
enum shm_result shm_ring_pop_outside(
        struct shm_ring *ring, struct shm_pool *pool, int64_t from, int64_t to, uint32_t *handle);

// Claims the oldest message, as shm_ring_pop() does, if its position is before BEFORE. SHM_EMPTY if it isn't.
enum shm_result shm_ring_pop_before(
        struct shm_ring *ring, struct shm_pool *pool, uint64_t before, uint32_t *handle);

// The position and handle of the oldest waiting message. False if none waits. A snapshot.
bool shm_ring_first(struct shm_ring *ring, struct shm_pool *pool, uint64_t *pos, uint32_t *handle);

// A message that waits, as it was found.
struct shm_waiting {
	uint64_t time; // its block's sent_at
	uint64_t pos;
	uint32_t handle;
};

// Lists the waiting messages, wherever they stand, whose time isn't later than UNTIL, in order of their positions: the
// first MAX of them. Returns how many there are. *LATER gets the earliest of the other times, or UINT64_MAX.
uint32_t shm_ring_list(struct shm_ring *ring, struct shm_pool *pool, uint64_t until,
        struct shm_waiting *list, uint32_t max, uint64_t *later);

// Claims one of them. False if another was faster. Wait-free.
bool shm_ring_claim(
        struct shm_ring *ring, struct shm_pool *pool, const struct shm_waiting *waiting);

// When the oldest waiting message was sent (ms), or -1 if none waits. A snapshot.
int64_t shm_ring_oldest(struct shm_ring *ring, struct shm_pool *pool);

// Messages waiting, and all ever published / claimed, as positions. A snapshot, healed by scanning.
uint64_t shm_ring_pending(
        struct shm_ring *ring, struct shm_pool *pool, uint64_t *head, uint64_t *tail);

// The position that the next message gets. A snapshot, healed by scanning.
uint64_t shm_ring_tail(const struct shm_ring *ring);

// Publishes the mark if nothing waits: SHM_OK, also if this generation was marked already; SHM_FULL if
// messages wait. After SHM_OK nothing can be published in this generation any more.
enum shm_result shm_ring_seal(struct shm_ring *ring, struct shm_pool *pool);

// What stands at position POS, for who only looks: the handle, and 0; less than 0 if nothing was published there yet;
// more if later laps have gone over it.
int32_t shm_ring_look(const struct shm_ring *ring, uint64_t pos, uint32_t *handle);

// True if HANDLE stands at position POS: what the reaper asks about a SENT block.
bool shm_ring_holds(const struct shm_ring *ring, uint64_t pos, uint32_t handle);
