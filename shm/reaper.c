// SPDX-License-Identifier: MIT
#include "shm/reaper.h"

#include "shm/compact.h"
#include "shm/endpoint.h"
#include "shm/metric.h"
#include "shm/prefix.h"
#include "shm/will.h"

static bool is_users(uint64_t uid, uint32_t slot)
{
	return uid != 0 && SHM_UID_SLOT(uid) == slot;
}

// A SENT block is either published, and its channel's, or was on its way when its sender died.
bool shm_reaper_is_published(struct shm_table *table, uint64_t own, uint32_t handle)
{
	struct shm_ring ring;

	return shm_table_ring(table, SHM_OWN_RING(own), &ring) &&
	       shm_ring_holds(&ring, SHM_OWN_POS(own), handle);
}

// Whether an extent's head block lists it still, in the use that the extent names.
bool shm_reaper_is_listed(const struct shm_pool *pool, uint64_t own, uint32_t handle)
{
	const struct shm_block_mem *head = shm_pool_block(pool, (uint32_t)own);
	uint32_t list[SHM_PARTS_MAX], parts;

	if (!head || load_acquire(&head->own) == SHM_FREE ||
	        own != SHM_OWN_PART(get32(&head->serial), (uint32_t)own))
		return false;
	parts = SHM_LENGTH_PARTS(get32(&head->length));
	if (parts > SHM_PARTS_MAX)
		return false;
	shm_pool_list(head, parts, list);
	for (uint32_t i = 0; i < parts; i++)
		if (list[i] == handle)
			return true;
	return false;
}

// Without an origin before it is HELD: should we die then, it wasn't received from anywhere.
static bool hold_unpublished(struct shm_table *table, struct shm_block_mem *block, uint64_t *own)
{
	store_relaxed(&block->origin, SHM_ORIGIN_NONE);
	return cas_acq_rel(&block->own, own, SHM_OWN_HELD(table->self->uid));
}

// Frees a block in a zone that we have taken over, if nobody alive can know of it.
static void mend_block(struct shm_table *table, uint32_t handle, struct shm_reaped *reaped)
{
	struct shm_block_mem *block = shm_pool_block(table->pool, handle);
	uint64_t own = load_acquire(&block->own);

	// A CAS fails if it was claimed meanwhile, so it had been published after all.
	if (SHM_OWN_STATE(own) == SHM_PART && !shm_reaper_is_listed(table->pool, own, handle))
		(void)cas_acq_rel(&block->own, &own, SHM_FREE);
	if (SHM_OWN_STATE(own) == SHM_SENT && !shm_reaper_is_published(table, own, handle) &&
	        hold_unpublished(table, block, &own)) {
		reaped->messages++;
		shm_process_count(table->self, SHM_COUNT_LOST, 1);
		shm_pool_free(table->pool, handle); // with its extents, whichever zone they are in
	}
}

// Blocks the dead held, anywhere: what it was building, or had received.
static void release_held(struct shm_table *table, uint32_t slot, struct shm_reaped *reaped)
{
	struct shm_pool *pool = table->pool;

	for (uint32_t handle = 0; handle < pool->first[SHM_CLASSES]; handle++) {
		struct shm_block_mem *block = shm_pool_block(pool, handle);
		uint64_t own = load_acquire(&block->own);

		if (shm_own_is_held_by(own, slot) &&
		        cas_acq_rel(&block->own, &own, SHM_OWN_HELD(table->self->uid))) {
			reaped->messages++;
			shm_tally_lost(table, handle);
			shm_process_count(table->self, SHM_COUNT_LOST, 1);
			shm_pool_free(pool, handle);
		}
	}
}

static int class_of_zone(const struct shm_pool *pool, uint32_t zone)
{
	int class = 0;

	while (zone >= pool->first_zone[class + 1])
		class ++;
	return class;
}

// Taken over first, so that nobody allocates from it while its blocks are looked at.
bool shm_reaper_release_zone(
        struct shm_table *table, uint32_t zone, uint64_t owner, struct shm_reaped *reaped)
{
	const struct shm_pool *pool = table->pool;
	shm_atomic64 *word = &table->segment->zones[zone];
	int class = class_of_zone(pool, zone);
	uint32_t per_zone = shm_class_zone(class);
	uint32_t first = pool->first[class] + (zone - pool->first_zone[class]) * per_zone;

	if (!cas_acquire(word, &owner, table->self->uid))
		return false;
	for (uint32_t i = 0; i < per_zone; i++)
		mend_block(table, first + i, reaped);
	store_release(word, 0);
	return true;
}

static void release_zones(struct shm_table *table, uint32_t slot, struct shm_reaped *reaped)
{
	for (uint32_t zone = 0; zone < table->pool->first_zone[SHM_CLASSES]; zone++) {
		uint64_t owner = load_acquire(&table->segment->zones[zone]);

		if (is_users(owner, slot))
			(void)shm_reaper_release_zone(table, zone, owner, reaped);
	}
}

bool shm_reaper_release_endpoint_zone(struct shm_table *table, uint32_t zone, uint64_t owner)
{
	struct shm_segment *segment = table->segment;
	shm_atomic64 *word = &segment->endpoint_zones[zone];

	if (!cas_acquire(word, &owner, table->self->uid))
		return false;
	for (uint32_t i = 0; i < SHM_ENDPOINT_ZONE; i++) {
		uint32_t index = zone * SHM_ENDPOINT_ZONE + i;
		uint64_t state = load_acquire(&segment->endpoint[index].state);

		(void)shm_endpoint_close(segment, index, SHM_ENDPOINT_GENERATION(state));
	}
	shm_will_release(segment, zone);
	return true;
}

// Whether the block HANDLE, which a user of SLOT was about to publish, never was. It was HELD by it, and it did nothing
// else before it died or said that it had been published, so it can't have received or reused it.
static bool is_unpublished(struct shm_table *table, uint32_t handle, uint32_t slot)
{
	struct shm_block_mem *block = shm_pool_block(table->pool, handle);
	uint64_t own = block ? load_acquire(&block->own) : SHM_FREE;

	return shm_own_is_held_by(own, slot) ||
	       (SHM_OWN_STATE(own) == SHM_SENT && !shm_reaper_is_published(table, own, handle));
}

// A CAS fails only if somebody scribbles there: nobody else settles claims of that slot.
bool shm_reaper_settle_will(struct shm_table *table, uint32_t index, uint64_t will)
{
	bool published = !is_unpublished(table, SHM_WILL_HANDLE(will), SHM_WILL_SLOT(will));

	return cas_acq_rel(&table->segment->wills[index], &will, shm_will_settled(will, published));
}

// Settles what users of SLOT had claimed, in whatever zone: one that died as the reaper of another had that
// one's zones.
static void settle_wills(struct shm_table *table, uint32_t slot)
{
	struct shm_segment *segment = table->segment;

	for (uint32_t index = 0; index < segment->geometry.endpoints; index++) {
		uint64_t will = load_acquire(&segment->wills[index]);

		if (shm_will_claimed(will) && SHM_WILL_SLOT(will) == slot)
			(void)shm_reaper_settle_will(table, index, will);
	}
}

static void release_endpoints(struct shm_table *table, uint32_t slot)
{
	struct shm_segment *segment = table->segment;

	settle_wills(table, slot);
	for (uint32_t zone = 0; zone < segment->geometry.endpoints / SHM_ENDPOINT_ZONE; zone++) {
		uint64_t owner = load_acquire(&segment->endpoint_zones[zone]);

		if (is_users(owner, slot))
			(void)shm_reaper_release_endpoint_zone(table, zone, owner);
	}
}

// Counts what a user of SLOT had published and not counted. The outcome is one store, after which nobody asks again: a
// reaper that dies later leaves blocks that tell nothing any more.
static void settle_sending(struct shm_table *table, uint32_t slot)
{
	struct shm_process_mem *process = &table->segment->processes[slot];
	uint64_t sent = load_relaxed(&process->counters[SHM_COUNT_SENT]);
	uint64_t sending = load_relaxed(&process->sending);

	if ((uint32_t)sending != (uint32_t)(sent + 1))
		return;
	if (is_unpublished(table, (uint32_t)(sending >> 32), slot))
		store_relaxed(&process->sending, (uint32_t)sent);
	else
		store_relaxed(&process->counters[SHM_COUNT_SENT], sent + 1);
}

static void release_channels(struct shm_table *table, uint32_t slot, struct shm_reaped *reaped)
{
	for (uint32_t index = 0; index < table->segment->channels; index++) {
		struct shm_channel_mem *channel = &table->segment->channel[index];
		uint64_t bit = 1ull << slot % 64;

		if (load_relaxed(&channel->receivers[slot / 64]) & bit)
			(void)fetch_and_release(&channel->receivers[slot / 64], ~bit);
		shm_table_recover(table, index, slot, &reaped->messages);
	}
}

void shm_reaper_release(struct shm_table *table, uint32_t slot, struct shm_reaped *reaped)
{
	// What was about to be sent, and wills, are judged by blocks that are freed below. With the endpoints senders learn
	// that nobody is there.
	settle_sending(table, slot);
	release_endpoints(table, slot);
	shm_compact_release(table, slot);
	shm_prefix_recover(table->segment, slot);
	shm_metric_recover(table->segment, slot);
	release_channels(table, slot, reaped);
	release_held(table, slot, reaped);
	release_zones(table, slot, reaped);
}

void shm_reaper_run(struct shm_table *table, struct shm_reaped *reaped)
{
	for (uint32_t slot = 0; slot < SHM_PROCESSES; slot++) {
		struct shm_process_mem *process = &table->segment->processes[slot];

		if (load_acquire(&process->uid) == 0 || slot == table->self->slot ||
		        !shm_process_lock(table->self, slot))
			continue;
		// Again under the lock: it may have left, or been reaped, a moment ago.
		if (load_acquire(&process->uid) != 0) {
			shm_reaper_release(table, slot, reaped);
			store_relaxed(&process->sleeping, SHM_AWAKE);
			store_release(&process->uid, 0);
			reaped->processes++;
		}
		shm_process_unlock(table->self, slot);
	}
}

uint64_t shm_reaper_expire_ring(struct shm_table *table, struct shm_ring *ring, int64_t limit)
{
	// LIMIT is an expiry ago, so this is an expiry from now.
	int64_t expiry = table->segment->geometry.expiry, future = limit + 2 * expiry;
	int64_t lifetime = load_relaxed(&table->segment->channel[ring->id].lifetime);
	uint64_t expired = 0;
	uint32_t handle;

	if (lifetime > 0)
		limit += expiry - lifetime;

	// At most a lap: what is sent meanwhile isn't waited for.
	while (expired < 1ull << ring->order &&
	        shm_ring_pop_outside(ring, table->pool, limit, future, &handle) == SHM_OK) {
		expired++;
		shm_tally_drop(
		        table, ring, lifetime > 0 ? SHM_COUNT_HISTORY : SHM_COUNT_EXPIRED, handle);
	}
	return expired;
}

static uint64_t expire_channel(struct shm_table *table, uint32_t index, int64_t limit)
{
	struct shm_ring ring;

	if (load_relaxed(&table->segment->channel[index].owner) == SHM_CHANNEL_FREE ||
	        !shm_table_ring(table, index, &ring))
		return 0;
	return shm_reaper_expire_ring(table, &ring, limit);
}

uint64_t shm_reaper_expire(struct shm_table *table, int64_t limit)
{
	uint64_t expired = 0;

	for (uint32_t index = 0; index < table->segment->channels; index++)
		expired += expire_channel(table, index, limit);
	return expired;
}

// Takes the next part of the channels: what has expired is freed, and how far they have come is marked. The
// cursor is a hint: two who take the same part do no harm.
static uint64_t keep_part(struct shm_table *table, int64_t now, int64_t limit)
{
	shm_atomic32 *cursor = &table->segment->housekeeping->cursor;
	uint32_t channels = table->segment->channels, index = load_relaxed(cursor) % channels;
	uint32_t part = channels / SHM_TURNS + 1;
	uint64_t expired = 0;

	if (part < SHM_ROUND_LEAST)
		part = channels < SHM_ROUND_LEAST ? channels : SHM_ROUND_LEAST;
	store_relaxed(cursor, (index + part) % channels);
	for (uint32_t left = part; left > 0; left--) {
		expired += expire_channel(table, index, limit);
		if (load_relaxed(&table->segment->channel[index].owner) != SHM_CHANNEL_FREE)
			shm_tally_mark(table, index, now);
		index = index + 1 == channels ? 0 : index + 1;
	}
	return expired;
}

bool shm_reaper_round(struct shm_table *table, int64_t now, int64_t period, int64_t limit,
        struct shm_reaped *reaped)
{
	shm_atomic64 *begun = &table->segment->housekeeping->begun;
	uint64_t before = load_relaxed(begun);
	int64_t since = (int64_t)((uint64_t)now - before);

	// A time to come makes no sense, so it isn't waited for.
	if ((since >= 0 && since < period) || !cas_acq_rel(begun, &before, (uint64_t)now))
		return false;
	shm_reaper_run(table, reaped);
	reaped->expired += keep_part(table, now, limit);
	shm_tally_mark_total(table, now);
	shm_compact_sweep(table, now, table->segment->geometry.cells / SHM_SWEEPS);
	return true;
}
