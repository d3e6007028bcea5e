// SPDX-License-Identifier: MIT
// drop.c - the resilience mode: a layer that drops a share of its messages on purpose, so that applications can be
// tested for what "at most once" means.
#include "channel/layer.h"
#include "channel/name.h"

void channel_drop_init(struct forebay *layer)
{
	// What makes no sense was scribbled.
	layer->drops = channel_name_drops_error(layer->segment.drops) ? "" : layer->segment.drops;
	if (layer->dice == 0)
		layer->dice = layer->segment.identity ^ layer->self.uid;
}

// splitmix64: a short state, any seed is good.
static uint64_t roll(struct forebay *layer)
{
	uint64_t value = layer->dice += 0x9e3779b97f4a7c15ull;

	value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9ull;
	value = (value ^ value >> 27) * 0x94d049bb133111ebull;
	return value ^ value >> 31;
}

bool channel_drop_rolls(struct forebay *layer, const char *name)
{
	uint32_t parts = channel_name_drop(layer->drops, name);

	if (parts == 0 || (roll(layer) >> 32) * CHANNEL_NAME_WHOLE >> 32 >= parts)
		return false;
	shm_process_count(&layer->self, FOREBAY_COUNT_DROPPED_ON_PURPOSE, 1);
	return true;
}

const char *forebay_layer_drops(const struct forebay *layer)
{
	return layer->drops ? layer->drops : "";
}
