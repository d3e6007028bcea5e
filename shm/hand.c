// SPDX-License-Identifier: MIT
#include "shm/hand.h"

#include "shm/clock.h"
#include "shm/table.h"

#define SWEEP_LEAST  2048u // channels that one search for room may look at anyhow
#define SWEEP_PER_MS 128u  // and how many more with each millisecond that has gone by

static void bounds_of(
        const struct shm_table *table, enum shm_kind kind, uint32_t *first, uint32_t *count)
{
	const struct shm_geometry *geometry = &table->segment->geometry;

	switch (kind) {
	case SHM_WIDE:
		*first = 0;
		*count = geometry->wide;
		break;
	case SHM_NARROW:
		*first = geometry->wide;
		*count = geometry->narrow;
		break;
	default:
		*first = table->segment->channels;
		*count = geometry->groups;
	}
}

// How many of COUNT channels the next search may look at.
static uint32_t take_credit(struct shm_hand *hand, uint32_t count)
{
	int64_t now = shm_clock_now(), passed = now - hand->filled;
	uint64_t credit = hand->credit;

	credit += passed > 2 * SHM_CHANNELS_MAX ? 2 * SHM_CHANNELS_MAX
	                                        : (uint64_t)passed * SWEEP_PER_MS;
	hand->filled = now;
	hand->credit = credit > 2ull * count ? 2 * count : (uint32_t)credit;
	return hand->credit < SWEEP_LEAST ? SWEEP_LEAST : hand->credit;
}

static bool take(struct shm_table *table, uint32_t index)
{
	struct shm_channel_mem *channel = &table->segment->channel[index];
	uint64_t nobody = SHM_CHANNEL_FREE;

	return load_relaxed(&channel->owner) == SHM_CHANNEL_FREE &&
	       cas_acquire(&channel->owner, &nobody, SHM_OWN_HELD(table->self->uid));
}

// Takes the channel for us after ending it, if nobody listens to it and nothing waits in it.
static bool take_idle(struct shm_table *table, uint32_t index)
{
	struct shm_channel_mem *channel = &table->segment->channel[index];
	struct shm_ring ring;

	// The generation first: if the channel becomes another's afterwards, ending it fails. A group isn't idle
	// because nobody listens.
	if (!shm_table_ring(table, index, &ring))
		return false;
	if (load_acquire(&channel->owner) != SHM_CHANNEL_LIVE || load_acquire(&channel->maker) != 0)
		return false;
	// Before its owner word is touched, which is another process's cache line.
	if (shm_table_has_receivers(channel) || shm_ring_oldest(&ring, table->pool) >= 0)
		return false;
	return shm_table_end(table, &ring, false, NULL) == SHM_OK && take(table, index);
}

bool shm_hand_take(struct shm_table *table, enum shm_kind kind, uint32_t *index)
{
	struct shm_hand *hand = &table->hand[kind];
	uint32_t first, count, most, looked = 0;
	bool found = false;

	bounds_of(table, kind, &first, &count);
	most = take_credit(hand, count) / (kind == SHM_GROUP ? 1 : 2); // groups are never idle
	most = most < count ? most : count;
	for (uint32_t left = most; !found && left > 0; left--) {
		*index = first + hand->free;
		hand->free = hand->free + 1 == count ? 0 : hand->free + 1;
		found = take(table, *index);
		looked++;
	}
	for (uint32_t left = kind == SHM_GROUP ? 0 : most; !found && left > 0; left--) {
		*index = first + hand->idle;
		hand->idle = hand->idle + 1 == count ? 0 : hand->idle + 1;
		found = take_idle(table, *index);
		looked++;
	}
	for (uint32_t i = 0; !found && i < SHM_RECENT && i < hand->recents; i++) {
		*index = hand->recent[i];
		found = take(table, *index) || take_idle(table, *index);
	}
	hand->credit -= looked < hand->credit ? looked : hand->credit;
	if (found)
		hand->recent[hand->recents++ % SHM_RECENT] = *index;
	return found;
}
