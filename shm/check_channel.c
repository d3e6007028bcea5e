// SPDX-License-Identifier: MIT
// check_channel.c - channels: their owners, who listens, and the rings.
#include <string.h>

#include "shm/check_region.h"
#include "shm/reaper.h"

#define COPIES 8           // of a ring's slots, until one is like the one before
#define FILLER 0x7fffffffu // a slot's handle that is no block's: receivers step over it

static uint32_t count_channels(struct examination *examination)
{
	return examination->segment->channels;
}

static struct shm_channel_mem *channel_at(const struct examination *examination, uint32_t index)
{
	return &examination->segment->channel[index];
}

// ---------------------------------------------------------------------------------------------
// Owners
// ---------------------------------------------------------------------------------------------

static bool look_at_live(struct examination *examination, uint32_t index, struct suspicion *found)
{
	const struct shm_channel_mem *channel = channel_at(examination, index);
	uint32_t capacity = load_relaxed(&channel->ring.capacity);
	uint64_t maker = load_relaxed(&channel->maker);
	char text[SHM_WHERE_SIZE];
	struct shm_ring ring;

	shm_table_ring(&examination->table, index, &ring);
	describe_channel(examination, index, text, sizeof text);
	if (maker != 0 && holder_of(examination, maker) == HOLDER_GONE)
		return suspect(found, SHM_FINDING_ORPHAN_STREAM, maker, "%s", text);
	return (capacity == 0 || capacity > 1u << ring.order) &&
	       suspect(found, SHM_FINDING_BAD_CAPACITY, capacity, "capacity %u of %s", capacity,
	               text);
}

static bool look_at_channel(
        struct examination *examination, uint32_t index, struct suspicion *found)
{
	uint64_t owner = load_acquire(&channel_at(examination, index)->owner);
	struct shm_check_summary *summary = &examination->check->summary;
	char text[SHM_WHERE_SIZE];

	if (examination->counting) {
		summary->channels++;
		summary->live += owner == SHM_CHANNEL_LIVE;
		summary->being_changed += owner > SHM_CHANNEL_LIVE;
	}
	if (owner == SHM_CHANNEL_FREE)
		return false;
	if (owner == SHM_CHANNEL_LIVE)
		return look_at_live(examination, index, found);
	describe_channel(examination, index, text, sizeof text);
	if (SHM_OWN_STATE(owner) != SHM_HELD)
		return suspect(found, SHM_FINDING_BAD_OWNER, owner, "%s", text);
	return holder_of(examination, SHM_OWN_UID(owner)) == HOLDER_GONE &&
	       suspect(found, SHM_FINDING_ORPHAN_CHANNEL, owner, "%s", text);
}

// In the table, it is some channel's name for its users; else it can only be ended, which takes its inbox
// from a living process if it was one.
static bool mend_owner(struct examination *examination, uint32_t index, uint64_t owner)
{
	struct shm_table *table = examination->check->table;
	struct shm_channel_mem *channel = &table->segment->channel[index];
	uint64_t dropped = 0;
	struct shm_ring ring;
	char name[SHM_NAME_SIZE];

	shm_table_name(table, index, name);
	if (shm_table_find(table, name, &ring) == SHM_OK && ring.id == index)
		return cas_acq_rel(&channel->owner, &owner, SHM_CHANNEL_LIVE);
	if (!is_alone(examination) ||
	        !cas_acquire(&channel->owner, &owner, SHM_OWN_HELD(table->self->uid)))
		return false;
	shm_table_recover(table, index, table->self->slot, &dropped);
	return true;
}

static bool mend_channel(struct examination *examination, const struct suspicion *found)
{
	struct shm_table *table = examination->check->table;
	struct shm_channel_mem *channel = &table->segment->channel[found->index];
	uint64_t dropped = 0;
	uint32_t capacity = (uint32_t)found->word;

	switch (found->kind) {
	case SHM_FINDING_BAD_OWNER:
		return mend_owner(examination, found->index, found->word);
	case SHM_FINDING_BAD_CAPACITY:
		return cas_acq_rel(&channel->ring.capacity, &capacity, 1u << SHM_NARROW_ORDER);
	case SHM_FINDING_ORPHAN_CHANNEL:
		shm_table_recover(
		        table, found->index, SHM_UID_SLOT(SHM_OWN_UID(found->word)), &dropped);
		return load_acquire(&channel->owner) != found->word;
	case SHM_FINDING_ORPHAN_STREAM:
		shm_table_recover(table, found->index, SHM_UID_SLOT(found->word), &dropped);
		return load_acquire(&channel->owner) != SHM_CHANNEL_LIVE ||
		       load_relaxed(&channel->maker) != found->word;
	default:
		return false;
	}
}

const struct region region_channels = {count_channels, look_at_channel, mend_channel};

// ---------------------------------------------------------------------------------------------
// Listeners
// ---------------------------------------------------------------------------------------------

// The first slot that listens and is nobody's.
static bool look_at_listeners(
        struct examination *examination, uint32_t index, struct suspicion *found)
{
	const struct shm_channel_mem *channel = channel_at(examination, index);
	char text[SHM_WHERE_SIZE];

	if (load_acquire(&channel->owner) == SHM_CHANNEL_FREE)
		return false;
	for (uint32_t slot = 0; slot < SHM_PROCESSES; slot++) {
		uint64_t bits = load_relaxed(&channel->receivers[slot / 64]);

		if (!(bits >> slot % 64 & 1) || examination->locked[slot] ||
		        load_acquire(&examination->segment->processes[slot].uid) != 0)
			continue;
		describe_channel(examination, index, text, sizeof text);
		found->detail = slot;
		return suspect(
		        found, SHM_FINDING_STALE_LISTENER, slot, "slot %u, at %s", slot, text);
	}
	return false;
}

// Under the slot's lock: a process that takes the slot meanwhile would lose a bit that it has set.
static bool mend_listeners(struct examination *examination, const struct suspicion *found)
{
	struct shm_table *table = examination->check->table;
	struct shm_channel_mem *channel = &table->segment->channel[found->index];
	bool mended = false;

	for (uint32_t slot = 0; slot < SHM_PROCESSES; slot++) {
		uint64_t bit = 1ull << slot % 64;

		if (!(load_relaxed(&channel->receivers[slot / 64]) & bit) ||
		        slot == table->self->slot || !shm_process_lock(table->self, slot))
			continue;
		if (load_acquire(&table->segment->processes[slot].uid) == 0) {
			(void)fetch_and_release(&channel->receivers[slot / 64], ~bit);
			mended = true;
		}
		shm_process_unlock(table->self, slot);
	}
	return mended;
}

const struct region region_listeners = {count_channels, look_at_listeners, mend_listeners};

// ---------------------------------------------------------------------------------------------
// Rings
// ---------------------------------------------------------------------------------------------
//
// In a sound ring the slots are in one lap up to the tail, and from there on in the lap before:
//
//   cycle    8 8 8 8 8 7 7 7          tail = 8 << order | 5
//
// since a position is only published when the one before it is. Hints are read before the slots: what was
// true of a hint when it was read holds for the slots that are read after it. The slots are read twice; if
// nothing changed, all stood as read at one moment in between (a word never comes back), and what is
// wrong then is wrong. A ring that is never still is left alone: it moves, so it can't be stuck.

struct lap {
	uint32_t cycle; // of the newest lap
	uint32_t end;   // slots that are in it
	uint64_t tail;  // as a position
};

static uint32_t cycle_in(uint64_t word)
{
	return (uint32_t)(word >> 32);
}

static uint32_t count_cycle(const uint64_t *slots, uint32_t size, uint32_t cycle)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < size; i++)
		count += cycle_in(slots[i]) == cycle;
	return count;
}

// The cycle that most slots have: two are to be expected, and whatever is scribbled has none of them.
static uint32_t usual_cycle(const uint64_t *slots, uint32_t size)
{
	uint32_t cycle = 0;
	int64_t votes = 0;

	// Neighbouring cycles vote together; one of the two wins.
	for (uint32_t i = 0; i < size; i++) {
		int32_t apart = (int32_t)(cycle_in(slots[i]) - cycle);

		if (votes == 0)
			cycle = cycle_in(slots[i]);
		votes += votes == 0 || (apart >= -1 && apart <= 1) ? 1 : -1;
	}
	if (count_cycle(slots, size, cycle - 1) > count_cycle(slots, size, cycle))
		return cycle - 1;
	return count_cycle(slots, size, cycle + 1) > count_cycle(slots, size, cycle) ? cycle + 1
	                                                                             : cycle;
}

// A hint that can be believed: not before the channel's first position, nor ages after it.
static bool is_plausible(uint64_t hint, uint64_t base, uint32_t order)
{
	return hint >= base && (hint - base) >> order < 1ull << 40;
}

// HINT is the tail's, BASE where the channel began.
static struct lap find_lap(const uint64_t *slots, uint32_t order, uint64_t hint, uint64_t base)
{
	uint32_t size = 1u << order, cycle = usual_cycle(slots, size);
	struct lap lap = {.cycle = cycle, .end = size};

	if (count_cycle(slots, size, cycle + 1) > count_cycle(slots, size, cycle - 1))
		lap.cycle = cycle + 1;
	while (lap.end > 0 && cycle_in(slots[lap.end - 1]) != lap.cycle)
		lap.end--;
	// The slots know 32 bits of the lap's number; the rest is the hint's, or that of the beginning.
	if (!is_plausible(hint, base, order))
		hint = base;
	hint >>= order;
	hint += (uint64_t)(int64_t)(int32_t)(lap.cycle - (uint32_t)hint);
	lap.tail = (hint << order) + lap.end;
	return lap;
}

static uint64_t position_of(const struct lap *lap, uint32_t order, uint32_t slot)
{
	uint64_t first = (lap->tail - lap->end) + slot;

	return slot < lap->end ? first : first - (1ull << order);
}

static bool is_waiting(struct examination *examination, uint32_t index, uint64_t pos, uint64_t word)
{
	const struct shm_block_mem *block = shm_pool_block(&examination->pool, (uint32_t)word);

	return block && load_acquire(&block->own) == SHM_OWN_SENT(index, pos);
}

// The oldest position at which a message waits, or the tail; and how many.
static uint64_t find_head(struct examination *examination, uint32_t index, uint32_t order,
        const struct lap *lap, uint32_t *waiting)
{
	uint64_t head = lap->tail;

	*waiting = 0;
	for (uint32_t i = 0; i < 1u << order; i++) {
		uint64_t pos = position_of(lap, order, i);

		if (!is_waiting(examination, index, pos, examination->slots[i]))
			continue;
		++*waiting;
		if ((int64_t)(pos - head) < 0)
			head = pos;
	}
	return head;
}

// A hint so far behind that a lap's 32 bits can't tell it from one ahead.
static bool is_lost(uint64_t hint, uint64_t tail, uint32_t order)
{
	return (int64_t)(tail - hint) >> order > INT32_MAX / 2;
}

// Copies the slots as they stood at one moment. False if they don't stand still.
static bool copy_slots(struct examination *examination, const struct shm_ring *ring)
{
	bool still = false;

	for (uint32_t i = 0; i < 1u << ring->order; i++)
		examination->slots[i] = load_acquire(shm_ring_slot(ring, i));
	for (int tries = 0; tries < COPIES && !still; tries++) {
		still = true;
		for (uint32_t i = 0; i < 1u << ring->order; i++) {
			uint64_t word = load_acquire(shm_ring_slot(ring, i));

			still &= word == examination->slots[i];
			examination->slots[i] = word;
		}
	}
	return still;
}

// Whatever is wrong with the ring first: slots, then hints.
static bool look_into_ring(struct examination *examination, const struct shm_ring *ring,
        struct suspicion *found, struct lap *lap, uint64_t *oldest)
{
	uint64_t tail = load_acquire(&ring->mem->tail), head = load_acquire(&ring->mem->head);
	char text[SHM_WHERE_SIZE];
	uint32_t waiting;

	if (!copy_slots(examination, ring))
		return false;
	*lap = find_lap(examination->slots, ring->order, tail,
	        load_relaxed(&channel_at(examination, ring->id)->base));
	*oldest = find_head(examination, ring->id, ring->order, lap, &waiting);
	if (examination->counting)
		examination->check->summary.messages += waiting;
	describe_channel(examination, ring->id, text, sizeof text);
	for (uint32_t i = 0; i < 1u << ring->order; i++) {
		uint32_t cycle = i < lap->end ? lap->cycle : lap->cycle - 1;

		if (cycle_in(examination->slots[i]) == cycle)
			continue;
		found->detail = i;
		return suspect(found, SHM_FINDING_BAD_SLOT, examination->slots[i], "slot %u of %s",
		        i, text);
	}
	if ((int64_t)(tail - lap->tail) > 0 || is_lost(tail, lap->tail, ring->order))
		return suspect(found, SHM_FINDING_TAIL_AHEAD, tail, "%s", text);
	return ((int64_t)(head - *oldest) > 0 || is_lost(head, lap->tail, ring->order)) &&
	       suspect(found, SHM_FINDING_HEAD_AHEAD, head, "%s, with %u messages waiting", text,
	               waiting);
}

static bool look_at_ring(struct examination *examination, uint32_t index, struct suspicion *found)
{
	struct shm_ring ring;
	struct lap lap;
	uint64_t oldest;

	return load_acquire(&channel_at(examination, index)->owner) != SHM_CHANNEL_FREE &&
	       shm_table_ring(&examination->table, index, &ring) &&
	       look_into_ring(examination, &ring, found, &lap, &oldest);
}

// Each by a CAS from the very word that is wrong, so that whoever is in the ring meanwhile loses nothing.
static bool mend_ring_once(struct shm_ring *ring, const struct suspicion *found,
        const struct lap *lap, uint64_t oldest)
{
	uint64_t word = found->word;
	uint32_t cycle = found->detail < lap->end ? lap->cycle : lap->cycle - 1;

	switch (found->kind) {
	case SHM_FINDING_BAD_SLOT:
		return cas_seq_cst(
		        shm_ring_slot(ring, found->detail), &word, (uint64_t)cycle << 32 | FILLER);
	case SHM_FINDING_TAIL_AHEAD:
		return cas_acq_rel(&ring->mem->tail, &word, lap->tail);
	case SHM_FINDING_HEAD_AHEAD:
		return cas_acq_rel(&ring->mem->head, &word, oldest);
	default:
		return false;
	}
}

static bool mend_ring(struct examination *examination, const struct suspicion *found)
{
	struct suspicion now = *found;
	struct shm_ring ring;
	struct lap lap;
	uint64_t oldest;
	bool mended = false;

	shm_table_ring(&examination->table, found->index, &ring);
	// A scribble over several slots is one finding.
	for (uint32_t left = (1u << ring.order) + 1; left > 0; left--) {
		if (!look_into_ring(examination, &ring, &now, &lap, &oldest) ||
		        now.kind != found->kind || !mend_ring_once(&ring, &now, &lap, oldest))
			break;
		mended = true;
	}
	return mended;
}

const struct region region_rings = {count_channels, look_at_ring, mend_ring};
