// SPDX-License-Identifier: MIT
#include "shm/ring.h"

#define SLOT_CYCLE(WORD)         ((uint32_t)((WORD) >> 32))
#define SLOT_HANDLE(WORD)        ((uint32_t)(WORD))
#define SLOT_WORD(CYCLE, HANDLE) ((uint64_t)(CYCLE) << 32 | (HANDLE))

static uint32_t mark_of(const struct shm_ring *ring)
{
	return SHM_MARK | (ring->generation & ~SHM_MARK);
}

static uint32_t cycle_of(const struct shm_ring *ring, uint64_t pos)
{
	return (uint32_t)(pos >> ring->order);
}

// No walk over a sane ring takes longer: two laps, and a jump for each.
static uint32_t walk_limit(const struct shm_ring *ring)
{
	return 4u << ring->order;
}

// From a position whose slot is LAPS cycles ahead, the first one that can still be unclaimed: slots
// are reused only after all that is a lap older was claimed.
static uint64_t skip_laps(const struct shm_ring *ring, uint64_t pos, uint32_t laps)
{
	return pos + ((uint64_t)laps << ring->order) - (1ull << ring->order) + 1;
}

static bool is_current(const struct shm_ring *ring)
{
	// Acquire: pairs with the release in shm_table_end(), and orders this after the slot's load.
	return load_acquire(&ring->mem->generation) == ring->generation;
}

// Whether what SLOT holds at POS waits to be received. Marks and nonsense don't.
static bool is_waiting(
        const struct shm_ring *ring, const struct shm_pool *pool, uint64_t pos, uint64_t word)
{
	struct shm_block_mem *block = shm_pool_block(pool, SLOT_HANDLE(word));

	return block && load_seq_cst(&block->own) == SHM_OWN_SENT(ring->id, pos);
}

// Steps from POS over everything claimed, up to LIMIT or the first position that isn't published.
static uint64_t true_head(
        const struct shm_ring *ring, const struct shm_pool *pool, uint64_t pos, uint64_t limit)
{
	for (uint32_t left = walk_limit(ring); left > 0 && (int64_t)(limit - pos) > 0; left--) {
		uint64_t word = load_acquire(shm_ring_slot(ring, pos));
		int32_t ahead = (int32_t)(SLOT_CYCLE(word) - cycle_of(ring, pos));

		if (ahead < 0)
			break;
		if (ahead > 0) {
			pos = skip_laps(ring, pos, (uint32_t)ahead);
			continue;
		}
		if (is_waiting(ring, pool, pos, word))
			break;
		pos++;
	}
	return pos;
}

// Whether CAPACITY messages wait before position TAIL, asking the shared head hint, and then the
// slots themselves, only if the head known so far says so.
static bool is_full(struct shm_ring *ring, const struct shm_pool *pool, uint64_t tail)
{
	// Signed: others may have published and claimed beyond TAIL since we looked; then our CAS fails.
	if ((int64_t)(tail - ring->head) < (int64_t)ring->capacity)
		return false;
	ring->head = load_acquire(&ring->mem->head);
	if ((int64_t)(tail - ring->head) < (int64_t)ring->capacity)
		return false;
	ring->head = true_head(ring, pool, ring->head, tail);
	return (int64_t)(tail - ring->head) >= (int64_t)ring->capacity;
}

enum shm_result shm_ring_push(
        struct shm_ring *ring, struct shm_pool *pool, uint32_t handle, struct shm_block_mem *block)
{
	uint64_t pos = load_acquire(&ring->mem->tail);
	enum shm_result result = SHM_CORRUPT;

	for (uint32_t left = walk_limit(ring); left > 0; left--) {
		shm_atomic64 *slot = shm_ring_slot(ring, pos);
		uint64_t word = load_acquire(slot);
		uint32_t cycle = cycle_of(ring, pos);

		if (SLOT_CYCLE(word) == cycle) {
			if (SLOT_HANDLE(word) == mark_of(ring)) {
				result = SHM_CLOSED;
				break;
			}
			pos++;
			continue;
		}
		if (SLOT_CYCLE(word) + 1 != cycle) { // the hint was a lap or more behind
			uint64_t tail = load_acquire(&ring->mem->tail);

			pos = (int64_t)(tail - pos) > 0
			              ? tail
			              : skip_laps(ring, pos, SLOT_CYCLE(word) - cycle);
			continue;
		}
		if (!is_current(ring)) {
			result = SHM_CLOSED;
			break;
		}
		if (is_full(ring, pool, pos)) {
			ring->full_at = pos;
			result = SHM_FULL;
			break;
		}
		// Death after this line, before the next: a SENT block that no slot holds; the reaper of
		// its zone frees it. Release: the message before its publication, for the claimer's acquire.
		store_release(&block->own, SHM_OWN_SENT(ring->id, pos));
		store_relaxed(&block->origin, SHM_ORIGIN(ring->id, ring->generation, pos));
		if (cas_seq_cst(slot, &word, SLOT_WORD(cycle, handle))) {
			store_release(&ring->mem->tail, pos + 1);
			ring->given = pos;
			prefetch_write(shm_ring_slot(ring, pos + 1));
			return SHM_OK;
		}
	}
	// It may say SENT from a CAS that failed; no slot holds it, so nobody else can have touched it. Who is HELD
	// and has an origin has been received.
	store_relaxed(&block->origin, SHM_ORIGIN_NONE);
	store_relaxed(&block->own, SHM_OWN_HELD(pool->uid));
	return result;
}

bool shm_ring_is_full(struct shm_ring *ring, const struct shm_pool *pool)
{
	return is_current(ring) && is_full(ring, pool, load_acquire(&ring->mem->tail));
}

// Which messages a pop is for: those before a position whose time lies outside these bounds.
struct bounds {
	uint64_t before;
	int64_t from, to;
};

// Whether what was SENT in the block at POS, if it still is, is one of these. A position is used once, so a claim
// that succeeds afterwards is of the message whose time was read.
static bool is_wanted(struct shm_block_mem *block, uint64_t pos, const struct bounds *bounds)
{
	int64_t sent_at = (int64_t)load_acquire(&block->sent_at), to = bounds->to;

	if (SHM_IS_DUE(sent_at)) {
		sent_at = SHM_DUE_MS(sent_at);
		to += SHM_DUE_AHEAD;
	}
	return (int64_t)(bounds->before - pos) > 0 && (sent_at < bounds->from || sent_at > to);
}

// A receiver that is behind waits for memory more than for anything else: the next slot, and the block that it names,
// are in the cache of the sender's core, and the claim is a locked operation, which nothing overtakes. So they are
// sent for while the message before them is read. (Whoever has caught up finds no next message, and sends for nothing.)
__attribute__((always_inline)) static inline void fetch_next(
        const struct shm_ring *ring, const struct shm_pool *pool, uint64_t pos)
{
	uint64_t word = load_hint(shm_ring_slot(ring, pos));
	struct shm_block_mem *block = SLOT_CYCLE(word) == cycle_of(ring, pos)
	                                      ? shm_pool_block(pool, SLOT_HANDLE(word))
	                                      : NULL;

	if (!block)
		return;
	prefetch_write(block); // to be claimed, and freed
	for (int line = 1; line < SHM_PREFETCH_LINES; line++)
		__builtin_prefetch((const char *)block + line * SHM_LINE);
	__builtin_prefetch(shm_ring_slot(ring, pos + 1));
}

__attribute__((always_inline)) static inline enum shm_result pop(
        struct shm_ring *ring, struct shm_pool *pool, const struct bounds *bounds, uint32_t *handle)
{
	uint64_t start = load_acquire(&ring->mem->head), pos = start;

	for (uint32_t left = walk_limit(ring); left > 0; left--) {
		// seq_cst: after drowse() has said that we sleep, a message sent before is seen here.
		uint64_t word = load_seq_cst(shm_ring_slot(ring, pos));
		int32_t ahead = (int32_t)(SLOT_CYCLE(word) - cycle_of(ring, pos));
		struct shm_block_mem *block;
		uint64_t expected = SHM_OWN_SENT(ring->id, pos);

		if (!is_current(ring))
			return SHM_CLOSED;
		if (ahead < 0) {
			// Heal a hint that a claimer's death left behind.
			if (pos != start)
				store_release(&ring->mem->head, pos);
			return SHM_EMPTY;
		}
		if (ahead > 0) {
			pos = skip_laps(ring, pos, (uint32_t)ahead);
			continue;
		}
		if (SLOT_HANDLE(word) == mark_of(ring))
			return SHM_CLOSED;
		block = shm_pool_block(pool, SLOT_HANDLE(word));
		if (bounds && block && load_seq_cst(&block->own) == expected &&
		        !is_wanted(block, pos, bounds))
			return SHM_EMPTY;
		// The message as its sender wrote it; and before we look for senders that wait for room.
		// Death after this line: a block HELD by us.
		if (block && cas_seq_cst(&block->own, &expected, SHM_OWN_HELD(pool->uid))) {
			store_release(&ring->mem->head, pos + 1);
			*handle = SLOT_HANDLE(word);
			ring->taken = pos;
			fetch_next(ring, pool, pos + 1);
			return SHM_OK;
		}
		pos++; // claimed by another, an old mark, or nonsense
	}
	return SHM_CORRUPT;
}

enum shm_result shm_ring_pop(struct shm_ring *ring, struct shm_pool *pool, uint32_t *handle)
{
	return pop(ring, pool, NULL, handle);
}

enum shm_result shm_ring_pop_outside(
        struct shm_ring *ring, struct shm_pool *pool, int64_t from, int64_t to, uint32_t *handle)
{
	return pop(ring, pool, &(struct bounds){INT64_MAX, from, to}, handle);
}

enum shm_result shm_ring_pop_before(
        struct shm_ring *ring, struct shm_pool *pool, uint64_t before, uint32_t *handle)
{
	// No time lies between these two.
	return pop(ring, pool, &(struct bounds){before, INT64_MAX, INT64_MIN}, handle);
}

// Continues from *POS, which no waiting message is before.
static bool next_waiting(
        struct shm_ring *ring, struct shm_pool *pool, uint64_t *pos, uint32_t *handle)
{
	uint64_t word;

	*pos = true_head(ring, pool, *pos, *pos + (2ull << ring->order));
	word = load_acquire(shm_ring_slot(ring, *pos));
	*handle = SLOT_HANDLE(word);
	return SLOT_CYCLE(word) == cycle_of(ring, *pos) && shm_pool_block(pool, *handle);
}

bool shm_ring_first(struct shm_ring *ring, struct shm_pool *pool, uint64_t *pos, uint32_t *handle)
{
	*pos = load_acquire(&ring->mem->head);
	return next_waiting(ring, pool, pos, handle);
}

int64_t shm_ring_oldest(struct shm_ring *ring, struct shm_pool *pool)
{
	uint64_t pos = load_acquire(&ring->mem->head);

	// What is claimed while we look is stepped over; who claims so many in that time leaves none.
	for (int tries = 0; tries < 16; tries++) {
		struct shm_block_mem *block;
		uint64_t sent_at;
		uint32_t handle;

		if (!next_waiting(ring, pool, &pos, &handle))
			return -1;
		block = shm_pool_block(pool, handle);
		// If it still is at this position afterwards, the time was that of this message.
		sent_at = load_acquire(&block->sent_at);
		if (load_seq_cst(&block->own) == SHM_OWN_SENT(ring->id, pos))
			return SHM_IS_DUE(sent_at) ? SHM_DUE_MS(sent_at) : (int64_t)sent_at;
	}
	return -1;
}

uint32_t shm_ring_list(struct shm_ring *ring, struct shm_pool *pool, uint64_t until,
        struct shm_waiting *list, uint32_t max, uint64_t *later)
{
	uint64_t start = load_acquire(&ring->mem->head);
	uint64_t pos = true_head(ring, pool, start, start + (2ull << ring->order));
	uint32_t found = 0;

	*later = UINT64_MAX;
	if (pos != start) // what was claimed in the middle is stepped over once, not every time
		store_release(&ring->mem->head, pos);
	for (uint32_t left = walk_limit(ring); left > 0; left--, pos++) {
		uint64_t word = load_acquire(shm_ring_slot(ring, pos)), time;
		int32_t ahead = (int32_t)(SLOT_CYCLE(word) - cycle_of(ring, pos));
		struct shm_block_mem *block = shm_pool_block(pool, SLOT_HANDLE(word));

		if (ahead < 0)
			break;
		if (ahead > 0) {
			pos = skip_laps(ring, pos, (uint32_t)ahead) - 1;
			continue;
		}
		time = block ? load_acquire(&block->sent_at) : 0;
		// If it still is at this position afterwards, the time was that of this message.
		if (!is_waiting(ring, pool, pos, word))
			continue;
		if (time > until) {
			*later = time < *later ? time : *later;
			continue;
		}
		if (found < max)
			list[found] = (struct shm_waiting){time, pos, SLOT_HANDLE(word)};
		found++;
	}
	return found;
}

bool shm_ring_claim(struct shm_ring *ring, struct shm_pool *pool, const struct shm_waiting *waiting)
{
	struct shm_block_mem *block = shm_pool_block(pool, waiting->handle);
	uint64_t expected = SHM_OWN_SENT(ring->id, waiting->pos);

	// As in pop(), but the hint stays: what is before it may wait yet.
	return block && cas_seq_cst(&block->own, &expected, SHM_OWN_HELD(pool->uid));
}

uint64_t shm_ring_pending(
        struct shm_ring *ring, struct shm_pool *pool, uint64_t *head, uint64_t *tail)
{
	uint64_t pos = load_acquire(&ring->mem->head), pending = 0;

	*head = pos = true_head(ring, pool, pos, pos + (2ull << ring->order));
	for (uint32_t left = 1u << ring->order; left > 0; left--, pos++) {
		uint64_t word = load_acquire(shm_ring_slot(ring, pos));

		if (SLOT_CYCLE(word) != cycle_of(ring, pos))
			break;
		pending += is_waiting(ring, pool, pos, word);
	}
	*tail = pos;
	return pending;
}

uint64_t shm_ring_tail(const struct shm_ring *ring)
{
	uint64_t pos = load_acquire(&ring->mem->tail);

	for (uint32_t left = walk_limit(ring); left > 0; left--) {
		uint32_t cycle = SLOT_CYCLE(load_acquire(shm_ring_slot(ring, pos)));
		int32_t ahead = (int32_t)(cycle - cycle_of(ring, pos));

		if (ahead < 0)
			break;
		pos = ahead > 0 ? skip_laps(ring, pos, (uint32_t)ahead) : pos + 1;
	}
	return pos;
}

enum shm_result shm_ring_seal(struct shm_ring *ring, struct shm_pool *pool)
{
	uint64_t pos = load_acquire(&ring->mem->head);

	for (uint32_t left = walk_limit(ring); left > 0; left--) {
		shm_atomic64 *slot = shm_ring_slot(ring, pos);
		uint64_t word = load_acquire(slot);
		uint32_t cycle = cycle_of(ring, pos);
		int32_t ahead = (int32_t)(SLOT_CYCLE(word) - cycle);

		if (!is_current(ring))
			return SHM_CLOSED;
		if (ahead > 0) {
			pos = skip_laps(ring, pos, (uint32_t)ahead);
			continue;
		}
		if (ahead == 0) {
			if (SLOT_HANDLE(word) == mark_of(ring))
				return SHM_OK;
			if (is_waiting(ring, pool, pos, word))
				return SHM_FULL;
			pos++;
			continue;
		}
		if (ahead < -1)
			return SHM_CORRUPT;
		if (cas_seq_cst(slot, &word, SLOT_WORD(cycle, mark_of(ring))))
			return SHM_OK;
	}
	return SHM_CORRUPT;
}

int32_t shm_ring_look(const struct shm_ring *ring, uint64_t pos, uint32_t *handle)
{
	uint64_t word = load_acquire(shm_ring_slot(ring, pos));

	*handle = SLOT_HANDLE(word);
	return (int32_t)(SLOT_CYCLE(word) - cycle_of(ring, pos));
}

bool shm_ring_holds(const struct shm_ring *ring, uint64_t pos, uint32_t handle)
{
	// POS is the 42 bits of an own word; the slot's cycle has the same low bits as it had then.
	uint32_t bits = 42 - ring->order;
	uint32_t mask = bits >= 32 ? 0xffffffff : (1u << bits) - 1;
	uint64_t word = load_acquire(shm_ring_slot(ring, pos));

	return SLOT_HANDLE(word) == handle &&
	       (SLOT_CYCLE(word) & mask) == (cycle_of(ring, pos) & mask);
}
