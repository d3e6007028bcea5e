// SPDX-License-Identifier: MIT
#include "tests/torture/inventory.h"

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

		if (SHM_OWN_STATE(own) == SHM_HELD && !is_living(layer, own & ~SHM_OWN_HELD(0)))
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
	else if (is_living(layer, owner & ~SHM_OWN_HELD(0)))
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

bool inventory_same(
        const struct inventory *before, const struct inventory *now, char *text, size_t size)
{
	bool same = now->dead == 0 && before->channels == now->channels &&
	            before->inboxes == now->inboxes && before->endpoints == now->endpoints &&
	            before->listeners == now->listeners && before->processes == now->processes;

	for (int class = 0; class < SHM_CLASSES; class ++)
		same = same && before->used[class] == now->used[class];
	snprintf(text, size,
	        "blocks %u+%u+%u (were %u+%u+%u), channels %u (%u), inboxes %u (%u), endpoints %u "
	        "(%u), "
	        "listeners %u (%u), processes %u (%u), words that name the dead %u",
	        now->used[0], now->used[1], now->used[2], before->used[0], before->used[1],
	        before->used[2], now->channels, before->channels, now->inboxes, before->inboxes,
	        now->endpoints, before->endpoints, now->listeners, before->listeners,
	        now->processes, before->processes, now->dead);
	return same;
}
