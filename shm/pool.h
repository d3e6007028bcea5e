// SPDX-License-Identifier: MIT
// pool.h - message blocks: who owns each, how one is found and freed without a locked operation.
//
// A block's `own` word is the truth about its owner:
//
//   FREE                      nobody's; the owner of its zone may take it
//   HELD  uid                 being filled by its sender, or read by its receiver
//   SENT  ring:20 | pos:42    published, or about to be, at that position of that ring
//   PART  serial:30 | head:32 an extent of the message whose head block is `head`
//
// Blocks come in three sizes. 64 (or, of the largest, 8) neighbours make a zone, and the zone's word
// names the one process that may allocate from it, so allocation is a search for FREE in one's own
// zones: one acquire load, one plain store. Anybody may free: a release store of FREE.
//
// What a death leaves behind: blocks HELD by the dead uid, zones owned by it, SENT blocks in these
// zones that were never published, PARTs of such heads. All are found by scanning (reaper.h).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/process.h"
#include "shm/segment.h"

enum shm_own {
	SHM_FREE = 0,
	SHM_PART = 1,
	SHM_SENT = 2,
	SHM_HELD = 3,
};

#define SHM_POS_MASK               0x3ffffffffffull
#define SHM_OWN_STATE(WORD)        ((enum shm_own)((WORD) >> 62))
#define SHM_OWN_HELD(UID)          (3ull << 62 | (UID))
#define SHM_OWN_UID(WORD)          ((WORD) & ~SHM_OWN_HELD(0)) // of HELD
#define SHM_OWN_SENT(RING, POS)    (2ull << 62 | (uint64_t)(RING) << 42 | ((POS)&SHM_POS_MASK))
#define SHM_OWN_RING(WORD)         ((uint32_t)((WORD) >> 42 & 0xfffff))
#define SHM_OWN_POS(WORD)          ((WORD)&SHM_POS_MASK)
#define SHM_OWN_PART(SERIAL, HEAD) (1ull << 62 | (uint64_t)((SERIAL)&0x3fffffff) << 32 | (HEAD))

// Whether what has the own word OWN is HELD by a user of SLOT.
static inline bool shm_own_is_held_by(uint64_t own, uint32_t slot)
{
	return SHM_OWN_STATE(own) == SHM_HELD && SHM_UID_SLOT(SHM_OWN_UID(own)) == slot;
}

// The time of a message that waits for it: what is due earlier is the smaller number. ORDER is its place among those
// of one millisecond.
#define SHM_DUE(MS, ORDER)                                                                         \
	(1ull << 62 | ((uint64_t)(MS)&0x3ffffffffff) << 20 | ((uint64_t)(ORDER)&SHM_DUE_ORDER_MAX))
#define SHM_DUE_ORDER_MAX 0xfffffu
#define SHM_IS_DUE(TIME)  ((uint64_t)(TIME) >> 62 == 1)
#define SHM_DUE_MS(TIME)  ((int64_t)((uint64_t)(TIME) >> 20 & 0x3ffffffffff))
#define SHM_DUE_AHEAD     (1ll << 32) // ms: no time lies further ahead

// A channel, the low bits of its generation, and of a position in it: whose loss it is when the dead held the block,
// and which message is in it still, after it was received and until it is used again (peek.h).
#define SHM_ORIGIN(RING, GENERATION, POS)                                                          \
	((uint64_t)(RING) << 44 | (uint64_t)((GENERATION)&0xfff) << 32 | (uint32_t)(POS))
#define SHM_ORIGIN_RING(ORIGIN) ((uint32_t)((ORIGIN) >> 44))
#define SHM_ORIGIN_NONE         UINT64_MAX

struct shm_block_mem {
	shm_atomic64 own;
	shm_atomic64
	        sent_at; // ms, CLOCK_MONOTONIC, or SHM_DUE(); read by whoever looks for expired messages
	shm_atomic64
	        origin;  // where it was last published, or is about to be; NONE until it is SENT
	uint32_t length; // octets of the whole message, and in how many extents they are, which are
	                 // listed here (SHM_LENGTH); 0: they follow here
	uint32_t serial; // grows with each use as a head, so that an extent knows its use
	char data[];
};

_Static_assert(sizeof(struct shm_block_mem) == 32, "pinned by the layout version");

#define SHM_LENGTH(OCTETS, PARTS) ((uint32_t)(OCTETS) | (uint32_t)(PARTS) << 24)
#define SHM_LENGTH_OCTETS(LENGTH) ((LENGTH)&0xffffff)
#define SHM_LENGTH_PARTS(LENGTH)  ((LENGTH) >> 24)

enum {
	SHM_PARTS_MAX = 17, // extents of one message
	SHM_HANDLE_NONE = 0xffffffff,
	SHM_PREFETCH_LINES = 4, // of a block: as many as most messages have
};

// A message's memory as its owner sees it: private copies of checked values.
struct shm_buffer {
	uint32_t handle; // of the head block
	uint32_t length; // octets of the message
	uint32_t count;  // spans
	struct {
		char *data;
		uint32_t length;
	} span[SHM_PARTS_MAX];
};

// A process's private side of the pool: the zones it owns, per class.
struct shm_pool {
	struct shm_segment *segment;
	uint64_t uid;
	uint32_t first[SHM_CLASSES + 1];      // handle of each class's first block; then the end
	uint32_t first_zone[SHM_CLASSES + 1]; // likewise of zones
	struct shm_pool_class {
		uint32_t *zones; // owned zones' numbers
		uint32_t owned, room;
		uint32_t at_zone, at_block; // where the next search begins
		uint32_t scan;              // where the next search for an unowned zone begins
		uint32_t last;              // the zone that was given back last
		bool vain;                  // the last search found nothing ...
		uint32_t looked; // ... in so many blocks; it may have ended before otherwise
		uint32_t skip;   // allocations that don't search here, because of that
		bool claimed;    // a zone, since the last shm_pool_settle()
		bool scarce;     // most zones were somebody's when that was looked at ...
		uint32_t claims; // ... so many zones ago, which we have taken since
	} class[SHM_CLASSES];
	bool claimed; // of any class
};

// Returns 0 or -ENOMEM.
int shm_pool_init(struct shm_pool *pool, struct shm_segment *segment, uint64_t uid);
void shm_pool_fini(struct shm_pool *pool);

// Takes memory for a message of LENGTH octets, HELD by the caller. Returns false if no block is
// free. Lock-free; scans at most the pool once, and after a search in vain, until one succeeds,
// only 16,384 blocks of a size each time, going round: while the memory of a large layer is full,
// the few blocks that come free may be found some calls later. LENGTH is at most SHM_PARTS_MAX
// extents' worth (shm_pool_limit()).
bool shm_pool_alloc(struct shm_pool *pool, uint32_t length, struct shm_buffer *buffer);
uint32_t shm_pool_limit(void);

// Looks at a message that the caller HOLDs, checking every value. Returns false if it's malformed. (Whoever holds
// nothing may look too; what he sees may be replaced under his eyes: see peek.h.)
bool shm_pool_view(const struct shm_pool *pool, uint32_t handle, struct shm_buffer *buffer);

// Reads an extents' list of a head block: at most SHM_PARTS_MAX.
void shm_pool_list(const struct shm_block_mem *head, uint32_t parts, uint32_t list[SHM_PARTS_MAX]);

// Frees a message that the caller HOLDs, extents first. Wait-free, safe on malformed ones.
void shm_pool_free(struct shm_pool *pool, uint32_t handle);

// The block INDEX of CLASS, which is known to exist.
static inline struct shm_block_mem *shm_pool_block_at(
        const struct shm_pool *pool, int class, uint32_t index)
{
	char *base = pool->segment->blocks[class];

	return (struct shm_block_mem *)(base + ((size_t)index << shm_class_order(class)));
}

// The block HANDLE, or NULL if there is no such block. Called for every handle met in a ring.
static inline struct shm_block_mem *shm_pool_block(const struct shm_pool *pool, uint32_t handle)
{
	for (int class = 0; class < SHM_CLASSES; class ++)
		if (handle < pool->first[class + 1])
			return shm_pool_block_at(pool, class, handle - pool->first[class]);
	return NULL;
}

// The class of the block HANDLE; SHM_CLASSES if there is no such block. And its zone, if there is.
int shm_pool_class_of(const struct shm_pool *pool, uint32_t handle);
uint32_t shm_pool_zone_of(const struct shm_pool *pool, uint32_t handle);

// Whether the block HANDLE, once it is free, may serve this process for a message of LENGTH octets: it is large enough
// and in a zone that is ours or nobody's. (A larger message takes a small block for its head, and extents.)
bool shm_pool_is_of_use(const struct shm_pool *pool, uint32_t handle, uint32_t length);

// Gives back zones that this process doesn't need while it sleeps: all but one of each class.
void shm_pool_trim(struct shm_pool *pool);

// After each message: gives back what is more than this process may keep until the next, for as long as that may take.
// While it isn't about to send, it may be stopped, or busy with something else for hours, and all that it owns is nobody
// else's. When all processes do so, more than half of the zones of each size are left for those who send.
void shm_pool_settle_claims(struct shm_pool *pool);
static inline void shm_pool_settle(struct shm_pool *pool)
{
	if (pool->claimed)
		shm_pool_settle_claims(pool);
}

// Whether more than half of the blocks of some class aren't FREE. Looks at a part of the blocks of a large class.
bool shm_pool_is_short(const struct shm_pool *pool);

// Blocks of a class that aren't FREE. A scan, for statistics and tests.
uint32_t shm_pool_used(const struct shm_pool *pool, int class);
