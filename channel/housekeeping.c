// SPDX-License-Identifier: MIT
// housekeeping.c - what is done for the layer as a whole, now and then or when something is full: reaping the dead,
// expiring what nobody reads, delivering what is due. And flushing.
#include <errno.h>

#include "channel/layer.h"
#include "channel/name.h"

#define PERIOD 1000 // ms between two rounds
#define LOOK   50   // ms between two looks whether something is due
// ms until the dead and the expired are looked for again, if there were none, and one more for so many
// channels, each of which takes about 0.3 us to look at.
#define SEARCH_AGAIN  10
#define SEARCH_PER_MS 128

void channel_nudge_slots(struct forebay *layer, uint64_t slots)
{
	for (; slots; slots &= slots - 1)
		for (uint32_t slot = (uint32_t)__builtin_ctzll(slots); slot < SHM_PROCESSES;
		        slot += 64)
			if (slot != layer->self.slot &&
			        load_relaxed(&layer->segment.processes[slot].uid) != 0 &&
			        shm_doorbell_nudge(&layer->bell, slot))
				shm_process_count(&layer->self, FOREBAY_COUNT_WAKEUPS, 1);
}

// What was sent before this has expired.
static int64_t expiry_limit(const struct forebay *layer)
{
	return channel_now() - layer->segment.geometry.expiry;
}

static void tell_reaped(struct forebay *layer, const struct shm_reaped *reaped)
{
	// Streams may have ended, reply channels gone, room come: rare enough to have everybody look.
	if (reaped->processes || reaped->expired)
		channel_nudge_slots(layer, UINT64_MAX);
}

static struct shm_reaped reap(struct forebay *layer)
{
	struct shm_reaped reaped = {0};

	shm_reaper_run(&layer->table, &reaped);
	reaped.expired = shm_reaper_expire(&layer->table, expiry_limit(layer));
	tell_reaped(layer, &reaped);
	return reaped;
}

int forebay_reap(struct forebay *layer)
{
	int cleared;

	if (layer->stale)
		return -ESTALE;
	cleared = (int)reap(layer).processes;
	channel_wills_execute(layer);
	return cleared;
}

int channel_count_refusal(struct forebay *layer, int result)
{
	if (result == FOREBAY_NO_CHANNEL)
		shm_process_count(&layer->self, FOREBAY_COUNT_NO_CHANNEL, 1);
	return result;
}

bool channel_make_room(struct forebay *layer)
{
	int64_t now = channel_now();
	struct shm_reaped reaped;

	if (now < layer->searched + SEARCH_AGAIN + layer->segment.channels / SEARCH_PER_MS)
		return false;
	reaped = reap(layer);
	if (reaped.processes > 0 || reaped.expired > 0)
		return true;
	layer->searched = now;
	return false;
}

bool channel_expire(struct forebay *layer, struct shm_ring *ring)
{
	uint64_t expired = shm_reaper_expire_ring(&layer->table, ring, expiry_limit(layer));

	if (expired > 0)
		channel_room(layer, ring);
	return expired > 0;
}

void channel_housekeep(struct forebay *layer, int64_t now, bool heal)
{
	struct shm_reaped reaped = {0};

	if (now < layer->look)
		return;
	layer->look = now + LOOK;
	(void)channel_deliver(layer, now, false);
	if (now < layer->housekeeping)
		return;
	layer->housekeeping = now + PERIOD;
	shm_pool_trim(&layer->pool);
	if (heal)
		channel_reply_heal(layer);
	// Rounds of one and the same process must not miss every second one by a millisecond.
	if (!shm_reaper_round(&layer->table, now, PERIOD * 7 / 8,
	            now - layer->segment.geometry.expiry, &reaped))
		return;
	tell_reaped(layer, &reaped);
	channel_wills_execute(layer);
	(void)channel_deliver(layer, now, true);
}

int forebay_housekeep(struct forebay *layer)
{
	if (layer->stale)
		return -ESTALE;
	(void)channel_deliver(layer, channel_now(), false);
	channel_housekeep(layer, channel_now(), true);
	return 0;
}

// ---------------------------------------------------------------------------------------------
// Flushing
// ---------------------------------------------------------------------------------------------

static uint64_t flush_ring(struct forebay *layer, struct shm_ring *ring)
{
	// What is sent meanwhile isn't waited for: at most what can be there now.
	uint64_t count = 0, limit = 1ull << ring->order;
	uint32_t handle;

	while (count < limit && shm_ring_pop(ring, &layer->pool, &handle) == SHM_OK) {
		shm_tally_drop(&layer->table, ring, SHM_COUNT_FLUSHED, handle);
		count++;
	}
	if (count)
		channel_room(layer, ring);
	return count;
}

static uint64_t flush_all(struct forebay *layer)
{
	uint64_t count = 0;

	for (uint32_t index = 0; index < layer->segment.channels; index++) {
		struct shm_ring ring;

		if (load_acquire(&layer->segment.channel[index].owner) == SHM_CHANNEL_LIVE &&
		        load_relaxed(&layer->segment.channel[index].lifetime) == 0 &&
		        shm_table_ring(&layer->table, index, &ring))
			count += flush_ring(layer, &ring);
	}
	return count;
}

int forebay_flush(struct forebay *layer, const char *channel, uint64_t *count)
{
	uint64_t id, ignored;
	struct shm_ring ring;

	count = count ? count : &ignored;
	*count = 0;
	if (layer->stale)
		return -ESTALE;
	if (!channel) {
		*count = flush_all(layer);
		return 0;
	}
	switch (channel_name_kind(channel, &id)) {
	case CHANNEL_PLAIN:
	case CHANNEL_STREAM:
	case CHANNEL_DELAY:
		if (shm_table_find(&layer->table, channel, &ring) == SHM_OK)
			*count = flush_ring(layer, &ring);
		return 0;
	default:
		return FOREBAY_BAD_NAME;
	}
}
