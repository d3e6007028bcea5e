// SPDX-License-Identifier: MIT
#include "tests/torture/inventory.h"

#include "shm/compact.h"
#include "shm/metric.h"
#include "shm/prefix.h"
#include "shm/will.h"

// Whether UID is attached now: the kernel's word for it, and the slot's.
static bool is_living(struct forebay *layer, uint64_t uid)
{
	uint32_t slot = SHM_UID_SLOT(uid);

	return slot < SHM_PROCESSES && load_acquire(&layer->segment.processes[slot].uid) == uid &&
	       shm_process_alive(&layer->self, slot);
}

static void count_owner(struct forebay *layer, uint64_t uid, struct inventory *inventory)
{
	if (uid == 0)
		return;
	if (is_living(layer, uid))
		inventory->zones++;
	else
		inventory->dead++;
}

static void count_blocks(struct forebay *layer, struct inventory *inventory)
{
	struct shm_pool *pool = &layer->pool;

	for (int class = 0; class < SHM_CLASSES; class ++)
		inventory->used[class] = shm_pool_used(pool, class);
	for (uint32_t handle = 0; handle < pool->first[SHM_CLASSES]; handle++) {
		uint64_t own = load_acquire(&shm_pool_block(pool, handle)->own);

		if (SHM_OWN_STATE(own) == SHM_HELD && !is_living(layer, SHM_OWN_UID(own)))
			inventory->dead++;
	}
	for (uint32_t zone = 0; zone < pool->first_zone[SHM_CLASSES]; zone++)
		count_owner(layer, load_acquire(&layer->segment.zones[zone]), inventory);
}

static void count_channel(
        struct forebay *layer, struct shm_channel_mem *channel, struct inventory *inventory)
{
	uint64_t owner = load_acquire(&channel->owner), maker = load_acquire(&channel->maker);

	if (owner == SHM_CHANNEL_FREE)
		return;
	if (owner == SHM_CHANNEL_LIVE)
		inventory->channels++;
	else if (is_living(layer, SHM_OWN_UID(owner)))
		inventory->inboxes++;
	else
		inventory->dead++;
	if (owner == SHM_CHANNEL_LIVE && maker != 0 && !is_living(layer, maker))
		inventory->dead++;
}

// A bit of a slot that nobody uses is one that a death has left behind.
static void count_listeners(
        struct forebay *layer, struct shm_channel_mem *channel, struct inventory *inventory)
{
	bool in_use = load_acquire(&channel->owner) != SHM_CHANNEL_FREE;

	for (uint32_t slot = 0; slot < SHM_PROCESSES; slot++) {
		uint64_t uid = load_acquire(&layer->segment.processes[slot].uid);

		if (!(load_seq_cst(&channel->receivers[slot / 64]) >> slot % 64 & 1))
			continue;
		if (uid == 0 || !is_living(layer, uid))
			inventory->dead++;
		else if (in_use)
			inventory->listeners++;
	}
}

static bool is_held_by_dead(struct forebay *layer, uint64_t own)
{
	return SHM_OWN_STATE(own) == SHM_HELD && !is_living(layer, SHM_OWN_UID(own));
}

static void count_groups(struct forebay *layer, struct inventory *inventory)
{
	struct shm_segment *segment = &layer->segment;

	for (uint32_t index = segment->channels; index < segment->entries; index++) {
		uint64_t owner = load_acquire(&segment->channel[index].owner);

		inventory->groups += owner != SHM_CHANNEL_FREE;
		inventory->dead += is_held_by_dead(layer, owner);
	}
	inventory->cells = shm_cell_used(segment);
	for (uint32_t cell = 0; cell < segment->geometry.cells; cell++)
		inventory->dead += is_held_by_dead(layer, load_acquire(&segment->cell_owns[cell]));
	for (uint32_t slot = 0; slot < SHM_PROCESSES; slot++)
		inventory->hazards += load_acquire(&segment->processes[slot].hazard) != 0;
}

static void count_wills(struct forebay *layer, struct inventory *inventory)
{
	struct shm_segment *segment = &layer->segment;

	for (uint32_t i = 0; i < segment->geometry.endpoints; i++)
		inventory->wills += shm_will_state(segment, i) != SHM_WILL_NONE;
	for (int i = 0; i < SHM_PREFIXES; i++)
		inventory->dead += is_held_by_dead(layer, load_acquire(&segment->prefixes[i].own));
	for (uint32_t i = 0; i < segment->geometry.metrics; i++)
		inventory->dead +=
		        is_held_by_dead(layer, load_acquire(&segment->metric_cells[i].own));
}

void inventory_take(struct forebay *layer, struct inventory *inventory)
{
	struct shm_segment *segment = &layer->segment;

	*inventory = (struct inventory){0};
	count_blocks(layer, inventory);
	for (uint32_t index = 0; index < segment->channels; index++) {
		count_channel(layer, &segment->channel[index], inventory);
		count_listeners(layer, &segment->channel[index], inventory);
	}
	for (uint32_t i = 0; i < segment->geometry.endpoints; i++)
		inventory->endpoints +=
		        SHM_ENDPOINT_GENERATION(load_acquire(&segment->endpoint[i].state)) & 1;
	for (uint32_t zone = 0; zone < segment->geometry.endpoints / SHM_ENDPOINT_ZONE; zone++)
		count_owner(layer, load_acquire(&segment->endpoint_zones[zone]), inventory);
	count_groups(layer, inventory);
	count_wills(layer, inventory);
	for (uint32_t slot = 0; slot < SHM_PROCESSES; slot++)
		inventory->processes += load_acquire(&segment->processes[slot].uid) != 0;
}

void inventory_end_idle(struct forebay *layer)
{
	for (uint32_t index = 0; index < layer->segment.channels; index++) {
		struct shm_channel_mem *channel = &layer->segment.channel[index];
		struct shm_ring ring;

		if (load_acquire(&channel->owner) == SHM_CHANNEL_LIVE &&
		        load_acquire(&channel->maker) == 0 &&
		        shm_table_ring(&layer->table, index, &ring))
			(void)shm_table_end(&layer->table, &ring, false, NULL);
	}
}

struct discarding {
	struct forebay *layer;
	char group[FOREBAY_NAME_SIZE];
};

static int discard_member(const char *channel, void *context)
{
	const struct discarding *discarding = context;

	(void)forebay_group_discard(discarding->layer, discarding->group, channel);
	return 0;
}

void inventory_end_groups(struct forebay *layer)
{
	for (uint32_t index = layer->segment.channels; index < layer->segment.entries; index++) {
		struct shm_channel_mem *channel = &layer->segment.channel[index];
		struct shm_entry group = {index, load_acquire(&channel->ring.generation)};
		struct discarding discarding = {.layer = layer};

		if (load_acquire(&channel->owner) != SHM_CHANNEL_FREE &&
		        channel_group_name(layer, &group, discarding.group))
			(void)forebay_group_channels(
			        layer, discarding.group, discard_member, &discarding);
	}
	(void)shm_compact_all(&layer->table, channel_now());
}

bool inventory_same(
        const struct inventory *before, const struct inventory *now, char *text, size_t size)
{
	bool same = now->dead == 0 && before->channels == now->channels &&
	            before->inboxes == now->inboxes && before->endpoints == now->endpoints &&
	            before->listeners == now->listeners && before->processes == now->processes &&
	            before->groups == now->groups && before->cells == now->cells &&
	            before->hazards == now->hazards && before->wills == now->wills;

	for (int class = 0; class < SHM_CLASSES; class ++)
		same = same && before->used[class] == now->used[class];
	snprintf(text, size,
	        "blocks %u+%u+%u (were %u+%u+%u), channels %u (%u), inboxes %u (%u), endpoints %u "
	        "(%u), "
	        "listeners %u (%u), processes %u (%u), groups %u (%u), cells %u (%u), "
	        "hazards %u (%u), wills %u (%u), words that name the dead %u",
	        now->used[0], now->used[1], now->used[2], before->used[0], before->used[1],
	        before->used[2], now->channels, before->channels, now->inboxes, before->inboxes,
	        now->endpoints, before->endpoints, now->listeners, before->listeners,
	        now->processes, before->processes, now->groups, before->groups, now->cells,
	        before->cells, now->hazards, before->hazards, now->wills, before->wills, now->dead);
	return same;
}
