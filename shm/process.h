// SPDX-License-Identifier: MIT
// process.h - who is attached: process slots, liveness, counters.
//
// A process is known by its uid, slot:12 | incarnation:50, never used twice. It is alive exactly
// as long as it holds an open-file-description lock on its slot's byte of the segment file: the
// kernel releases that lock however the process ends, and nobody needs a pid or a time-out. Whoever
// gets the lock of a slot whose uid isn't 0 has met a dead process (and now alone may reap it).
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shm/atomic.h"
#include "shm/segment.h"

enum {
	SHM_ROLE_SIZE = 16,
	SHM_COUNTERS = 16,
};

// How a process sleeps; what a waker has to do. The value of shm_process_mem.sleeping.
enum shm_sleep {
	SHM_AWAKE = 0,
	SHM_ASLEEP_FUTEX = 1, // on the word itself
	SHM_ASLEEP_FIFO = 2,  // in an event loop that watches the slot's FIFO
	SHM_ASLEEP_ROOM = 3,  // on the word, for room to send: messages don't wake it, nudges do
};

// What shm_process_mem.nudged says: anything but 0 is a nudge.
enum shm_nudge {
	SHM_NUDGED = 1,
	SHM_NUDGE_HEEDED = 2, // what was asked for was given back; it isn't to sleep all the same
};

// The counters that this layer knows, of those that the layer above defines. It writes GONE, EXPIRED, LOST and
// DISPLACED, of messages that end unread. Each is counted before its memory is free: a death in between leaves it HELD,
// and then it is counted once more, as lost, but never not at all.
enum shm_counter {
	SHM_COUNT_SENT = 0,
	SHM_COUNT_FULL = 2,    // sends refused
	SHM_COUNT_GONE = 3,    // dropped with the channel that its maker ended
	SHM_COUNT_EXPIRED = 4, // unread for too long
	SHM_COUNT_BAD = 6,     // scribbled over
	SHM_COUNT_FLUSHED = 9,
	SHM_COUNT_LOST = 10,      // held by a process that died, or sent to one
	SHM_COUNT_DISPLACED = 12, // dropped to make room for a newer one
	SHM_COUNT_HISTORY = 14,   // has left a history, for whatever reason: no loss
	SHM_COUNT_MOVED = 15,     // took one more position in its channel: only channels count it
};

// The shared image of a slot. Written by the slot's process only, but for `sleeping` and `nudged`.
struct shm_process_mem {
	// Read by every sender after each publish, written only around a sleep.
	_Alignas(
	        SHM_LINE_PAIR) shm_atomic32 sleeping; // enum shm_sleep; a waker exchanges it with 0
	shm_atomic32 nudged; // room has come somewhere: don't sleep; enum shm_nudge

	_Alignas(SHM_LINE_PAIR) shm_atomic64 uid; // 0: nobody
	shm_atomic64 incarnation;                 // of the last uid; only ever grows
	shm_atomic32 pid;                         // for people, never for decisions
	uint32_t spare;
	char role[SHM_ROLE_SIZE];

	// The group that this process is inside, or 0: until it leaves, nobody frees a cell of that group.
	// Written by this process and, when it is dead, by its reaper. See group.h.
	_Alignas(SHM_LINE) shm_atomic64 hazard;
	// The block that this process is about to publish, or published last, and the low half of what its count of sent
	// messages is when it has been: handle:32 | count:32. See shm_process_sends().
	shm_atomic64 sending;

	// Kept over all incarnations, so a sum over the slots is exact whoever dies.
	_Alignas(SHM_LINE_PAIR) shm_atomic64 counters[SHM_COUNTERS];
};

_Static_assert(sizeof(struct shm_process_mem) == 3 * SHM_LINE_PAIR, "pinned by the layout version");

// This process's own attachment.
struct shm_process {
	struct shm_process_mem *mem;
	uint64_t uid;
	uint32_t slot;
	int lock; // open file description that holds the liveness lock; close it in a forked child
};

#define SHM_UID(SLOT, INCARNATION)                                                                 \
	((uint64_t)(SLOT) << 50 | ((uint64_t)(INCARNATION)&0x3ffffffffffff))
#define SHM_UID_SLOT(UID) ((uint32_t)((UID) >> 50))

// Takes a free slot, which may be that of a process that died: then the caller reaps it.
// Returns 0, -EUSERS when all slots are in use by living processes, -ESTALE if the segment has lost its
// name since it was opened (open it again), or a negative errno.
int shm_process_join(struct shm_process *self, struct shm_segment *segment, const char *role);

// For who only looks at the SEGMENT: no slot, no uid, nothing to leave but the descriptor. Returns 0 or a negative errno.
int shm_process_observe(struct shm_process *self, const struct shm_segment *segment);
void shm_process_look_away(struct shm_process *self);

// Gives the slot back; the caller has released everything else (see shm_reaper_release()).
void shm_process_leave(struct shm_process *self);

// Takes the lock of SLOT if nobody alive holds it; shm_process_unlock() gives it back.
bool shm_process_lock(const struct shm_process *self, uint32_t slot);
void shm_process_unlock(const struct shm_process *self, uint32_t slot);

// True if anybody's SEGMENT holds SLOT, also for who isn't attached. One system call.
bool shm_process_is_locked(const struct shm_segment *segment, uint32_t slot);

// Takes the locks of all slots, if nobody alive holds one: a descriptor, to be closed, or -1. Nobody can
// join until then.
int shm_process_lock_all(const struct shm_segment *segment);

// True if a living process holds SLOT. One system call.
bool shm_process_alive(const struct shm_process *self, uint32_t slot);

// Adds to one of this process's counters. Wait-free, no locked operation: it has one writer.
static inline void shm_process_count(struct shm_process *self, unsigned counter, uint64_t number)
{
	shm_atomic64 *word = &self->mem->counters[counter];

	store_relaxed(word, load_relaxed(word) + number);
}

// To publish a block and to count it as sent are two steps, between which this process may die. So it says before
// which block that will be. Its reaper, before it gives back anything else, sees whether the block was published, and
// counts it if it isn't counted yet: see shm_reaper_release(). Between the two calls nothing else is published and counted.
// Wait-free, a store each.
static inline void shm_process_sends(struct shm_process *self, uint32_t handle)
{
	uint64_t sent = load_relaxed(&self->mem->counters[SHM_COUNT_SENT]);

	store_relaxed(&self->mem->sending, (uint64_t)handle << 32 | (uint32_t)(sent + 1));
}

// PUBLISHED: whether it was. If not, the caller still HOLDs the block.
static inline void shm_process_sent(struct shm_process *self, bool published)
{
	if (published)
		shm_process_count(self, SHM_COUNT_SENT, 1);
	else
		store_relaxed(&self->mem->sending,
		        (uint32_t)load_relaxed(&self->mem->counters[SHM_COUNT_SENT]));
}
