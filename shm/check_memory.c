// SPDX-License-Identifier: MIT
// check_memory.c - zones, message blocks and endpoints: is everything somebody's?
#include "shm/check_region.h"
#include "shm/endpoint.h"
#include "shm/reaper.h"
#include "shm/will.h"

// ---------------------------------------------------------------------------------------------
// Zones of blocks
// ---------------------------------------------------------------------------------------------

static uint32_t count_zones(struct examination *examination)
{
	return examination->pool.first_zone[SHM_CLASSES];
}

static bool look_at_zone(struct examination *examination, uint32_t zone, struct suspicion *found)
{
	uint64_t owner = load_acquire(&examination->segment->zones[zone]);

	examination->check->summary.zones += examination->counting && owner != 0;
	return owner != 0 && holder_of(examination, owner) == HOLDER_GONE &&
	       suspect(found, SHM_FINDING_ORPHAN_ZONE, owner, "zone %u of blocks", zone);
}

static bool mend_zone(struct examination *examination, const struct suspicion *found)
{
	struct shm_reaped reaped = {0};

	return shm_reaper_release_zone(
	        examination->check->table, found->index, found->word, &reaped);
}

const struct region region_block_zones = {count_zones, look_at_zone, mend_zone};

// ---------------------------------------------------------------------------------------------
// Blocks
// ---------------------------------------------------------------------------------------------

static uint32_t count_blocks(struct examination *examination)
{
	return examination->pool.first[SHM_CLASSES];
}

static void count_block(struct examination *examination, uint32_t handle, uint64_t own)
{
	struct shm_check_summary *summary = &examination->check->summary;
	int class = shm_pool_class_of(&examination->pool, handle);

	if (!examination->counting)
		return;
	summary->blocks[class]++;
	summary->free[class] += own == SHM_FREE;
	summary->sent += SHM_OWN_STATE(own) == SHM_SENT;
	summary->parts += SHM_OWN_STATE(own) == SHM_PART;
}

static bool look_at_held(
        struct examination *examination, uint32_t handle, uint64_t own, struct suspicion *found)
{
	enum holder holder = holder_of(examination, SHM_OWN_UID(own));

	if (examination->counting) {
		examination->check->summary.held += holder == HOLDER_ALIVE;
		examination->check->summary.of_dead += holder == HOLDER_DEAD;
	}
	return holder == HOLDER_GONE &&
	       suspect(found, SHM_FINDING_ORPHAN_BLOCK, own, "block %u", handle);
}

// A block that says it was sent, or is part of a message, and nothing answers to that. Only the owner of
// its zone can be about to complete it.
static bool look_at_loose(
        struct examination *examination, uint32_t handle, uint64_t own, struct suspicion *found)
{
	uint32_t zone = shm_pool_zone_of(&examination->pool, handle);
	uint64_t owner = load_acquire(&examination->segment->zones[zone]);

	if (owner == 0)
		return suspect(found, SHM_FINDING_DANGLING, own, "block %u", handle);
	switch (holder_of(examination, owner)) {
	case HOLDER_ALIVE:
		return suspect(found, SHM_FINDING_UNFINISHED, own,
		        "block %u, of the process in slot %u", handle, SHM_UID_SLOT(owner));
	case HOLDER_DEAD:
		examination->check->summary.of_dead += examination->counting;
		return false;
	default:
		return suspect(found, SHM_FINDING_DANGLING, own, "block %u", handle);
	}
}

static bool look_at_sent(
        struct examination *examination, uint32_t handle, uint64_t own, struct suspicion *found)
{
	uint32_t index = SHM_OWN_RING(own);
	char channel[SHM_NAME_SIZE + 32];
	struct shm_buffer buffer;

	if (index >= examination->segment->channels)
		return suspect(found, SHM_FINDING_GARBAGE_BLOCK, own, "block %u", handle);
	if (!shm_reaper_is_published(&examination->table, own, handle))
		return look_at_loose(examination, handle, own, found);
	describe_channel(examination, index, channel, sizeof channel);
	if (load_acquire(&examination->segment->channel[index].owner) == SHM_CHANNEL_FREE)
		return suspect(found, SHM_FINDING_STRANDED, own, "block %u in %s", handle, channel);
	return !shm_pool_view(&examination->pool, handle, &buffer) &&
	       suspect(found, SHM_FINDING_MALFORMED, own, "block %u in %s", handle, channel);
}

static bool look_at_part(
        struct examination *examination, uint32_t handle, uint64_t own, struct suspicion *found)
{
	if (shm_pool_class_of(&examination->pool, handle) != SHM_CLASSES - 1 ||
	        !shm_pool_block(&examination->pool, (uint32_t)own))
		return suspect(found, SHM_FINDING_GARBAGE_BLOCK, own, "block %u", handle);
	return !shm_reaper_is_listed(&examination->pool, own, handle) &&
	       look_at_loose(examination, handle, own, found);
}

static bool look_at_block(struct examination *examination, uint32_t handle, struct suspicion *found)
{
	uint64_t own = load_acquire(&shm_pool_block(&examination->pool, handle)->own);

	count_block(examination, handle, own);
	switch (SHM_OWN_STATE(own)) {
	case SHM_HELD:
		return look_at_held(examination, handle, own, found);
	case SHM_SENT:
		return look_at_sent(examination, handle, own, found);
	case SHM_PART:
		return look_at_part(examination, handle, own, found);
	default:
		return own != SHM_FREE &&
		       suspect(found, SHM_FINDING_GARBAGE_BLOCK, own, "block %u", handle);
	}
}

static bool mend_block(struct examination *examination, const struct suspicion *found)
{
	struct shm_table *table = examination->check->table;
	struct shm_block_mem *block = shm_pool_block(table->pool, found->index);
	uint64_t own = found->word;

	switch (found->kind) {
	case SHM_FINDING_GARBAGE_BLOCK:
		if (!is_alone(examination))
			return false;
		break;
	case SHM_FINDING_ORPHAN_BLOCK:
	case SHM_FINDING_DANGLING:
	case SHM_FINDING_STRANDED:
		break;
	default:
		return false;
	}
	if (SHM_OWN_STATE(own) == SHM_PART) // an extent by itself: what it holds is no list
		return cas_acq_rel(&block->own, &own, SHM_FREE);
	if (!cas_acq_rel(&block->own, &own, SHM_OWN_HELD(table->self->uid)))
		return false;
	shm_pool_free(table->pool, found->index);
	return true;
}

const struct region region_blocks = {count_blocks, look_at_block, mend_block};

// ---------------------------------------------------------------------------------------------
// Endpoints
// ---------------------------------------------------------------------------------------------

static uint32_t count_endpoint_zones(struct examination *examination)
{
	return examination->segment->geometry.endpoints / SHM_ENDPOINT_ZONE;
}

static bool look_at_endpoint_zone(
        struct examination *examination, uint32_t zone, struct suspicion *found)
{
	uint64_t owner = load_acquire(&examination->segment->endpoint_zones[zone]);

	// One of wills that wait for room is nobody's, and in order.
	return owner != 0 && owner != SHM_ORPHANED &&
	       holder_of(examination, owner) == HOLDER_GONE &&
	       suspect(found, SHM_FINDING_ORPHAN_ENDPOINTS, owner, "zone %u of endpoints", zone);
}

static bool mend_endpoint_zone(struct examination *examination, const struct suspicion *found)
{
	return shm_reaper_release_endpoint_zone(
	        examination->check->table, found->index, found->word);
}

const struct region region_endpoint_zones = {
        count_endpoint_zones, look_at_endpoint_zone, mend_endpoint_zone};

static uint32_t count_endpoints(struct examination *examination)
{
	return examination->segment->geometry.endpoints;
}

// Whether the endpoint's ring word names the inbox of the process OWNER.
static bool leads_to_inbox(const struct examination *examination, uint64_t ring, uint64_t owner)
{
	const struct shm_channel_mem *channel;

	if ((uint32_t)ring >= examination->segment->channels)
		return false;
	channel = &examination->segment->channel[(uint32_t)ring];
	return load_acquire(&channel->ring.generation) == ring >> 32 &&
	       load_acquire(&channel->owner) == SHM_OWN_HELD(owner);
}

static bool look_at_endpoint(
        struct examination *examination, uint32_t index, struct suspicion *found)
{
	const struct shm_endpoint_mem *endpoint = &examination->segment->endpoint[index];
	uint64_t state = load_acquire(&endpoint->state), ring = load_relaxed(&endpoint->ring);
	uint64_t owner =
	        load_acquire(&examination->segment->endpoint_zones[index / SHM_ENDPOINT_ZONE]);
	uint32_t limit = load_relaxed(&endpoint->limit);

	if (SHM_ENDPOINT_GENERATION(state) % 2 == 0)
		return false;
	examination->check->summary.endpoints += examination->counting;
	if (owner == 0)
		return suspect(found, SHM_FINDING_OPEN_ENDPOINT, state, "endpoint %u", index);
	if (holder_of(examination, owner) != HOLDER_ALIVE)
		return false;
	if (!leads_to_inbox(examination, ring, owner))
		return suspect(found, SHM_FINDING_NO_INBOX, ring,
		        "endpoint %u, of the process in slot %u", index, SHM_UID_SLOT(owner));
	return shm_sequence_diff(limit, (uint32_t)state & SHM_SEQUENCE_MASK) >
	               (1 << SHM_WIDE_ORDER) &&
	       suspect(found, SHM_FINDING_BAD_CREDIT, limit,
	               "endpoint %u, of the process in slot %u", index, SHM_UID_SLOT(owner));
}

static bool mend_endpoint(struct examination *examination, const struct suspicion *found)
{
	struct shm_table *table = examination->check->table;
	uint32_t zone = found->index / SHM_ENDPOINT_ZONE;
	shm_atomic64 *word = &table->segment->endpoint_zones[zone];
	uint64_t nobody = 0;

	// Ours for a moment, so that nobody opens endpoints there meanwhile.
	return found->kind == SHM_FINDING_OPEN_ENDPOINT &&
	       cas_acquire(word, &nobody, table->self->uid) &&
	       shm_reaper_release_endpoint_zone(table, zone, table->self->uid);
}

const struct region region_endpoints = {count_endpoints, look_at_endpoint, mend_endpoint};
