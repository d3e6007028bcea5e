// SPDX-License-Identifier: MIT
// delay_ring.c - the ring of the channel asgi.delay, in which messages wait until they are due; see delay.c.
//
// A ring holds what lies between its oldest message and its newest, so one that waits for days in front of many that
// wait for seconds would fill it with positions long since claimed. Who finds it full moves the oldest to its end, one
// after another, until there is a gap. A message's order among others is in its time, not in its place.
#include <stdlib.h>

#include "channel/layer.h"
#include "channel/name.h"
#include "channel/spans.h"

#define TRIES 16 // to publish again, because others are faster; more only if somebody scribbles

enum shm_result channel_delay_ring(struct forebay *layer, struct shm_ring *ring)
{
	return shm_table_make_wide(&layer->table, CHANNEL_DELAY_NAME,
	        channel_capacity(layer, CHANNEL_DELAY_NAME), ring);
}

static void find_again(struct forebay *layer, struct shm_ring *ring)
{
	shm_table_unlink(&layer->table, ring);
	(void)channel_delay_ring(layer, ring);
}

// Keeps a message, HELD by us, as there is no memory to put it back: tried again with the next delivery. If we die,
// it is lost, and counted.
static void keep_in_hand(struct forebay *layer, const struct shm_ring *ring, uint32_t handle)
{
	if (layer->hand_count == layer->hand_room) {
		uint32_t room = layer->hand_room ? layer->hand_room * 2 : 16;
		void *grown = realloc(layer->hands, room * sizeof *layer->hands);

		if (!grown) {
			shm_tally_drop(&layer->table, ring, SHM_COUNT_LOST, handle);
			return;
		}
		layer->hands = grown;
		layer->hand_room = room;
	}
	layer->hands[layer->hand_count++] = handle;
}

// Copies a message, HELD by us, into memory of our own zones: who publishes what lies in another's zone, and dies on
// the way, leaves a block that nobody looks for. Returns the copy's handle, or SHM_HANDLE_NONE if the message had to
// be kept or dropped.
static uint32_t copy_held(struct forebay *layer, const struct shm_ring *ring, uint32_t handle)
{
	uint64_t time = load_relaxed(&shm_pool_block(&layer->pool, handle)->sent_at);
	struct shm_buffer from, to;
	uint32_t offset = 0;

	if (!shm_pool_view(&layer->pool, handle, &from)) {
		shm_tally_drop(&layer->table, ring, SHM_COUNT_BAD, handle);
		return SHM_HANDLE_NONE;
	}
	if (!shm_pool_alloc(&layer->pool, from.length, &to)) {
		keep_in_hand(layer, ring, handle);
		return SHM_HANDLE_NONE;
	}
	for (uint32_t i = 0; i < from.count; i++)
		offset =
		        channel_message_append(&to, offset, from.span[i].data, from.span[i].length);
	store_release(&shm_pool_block(&layer->pool, to.handle)->sent_at, time);
	return to.handle;
}

// A message was sent once, so it counts once. But if it was in hand while its channel ended, it is new in the next one.
static void count_moved(struct forebay *layer, const struct shm_ring *ring, uint32_t handle)
{
	uint64_t origin = load_relaxed(&shm_pool_block(&layer->pool, handle)->origin);

	if (SHM_ORIGIN(ring->id, ring->generation, origin) == origin)
		shm_tally_add(&layer->segment.channel[ring->id].tally, ring->generation,
		        SHM_COUNT_MOVED, 1);
}

uint32_t channel_delay_put_back(struct forebay *layer, struct shm_ring *ring, uint32_t held)
{
	uint32_t copy = copy_held(layer, ring, held);
	uint32_t next = SHM_HANDLE_NONE, moved = 0, left = TRIES;

	while (copy != SHM_HANDLE_NONE && left > 0 && moved < 1u << ring->order) {
		struct shm_ring whole = *ring;
		enum shm_result result;

		whole.capacity = 1u << ring->order;
		result = shm_ring_push(
		        &whole, &layer->pool, copy, shm_pool_block(&layer->pool, copy));
		if (result == SHM_OK) {
			// Death before this line: the reaper finds HELD, and counts one as lost that waits in the
			// channel, as if it had been sent twice.
			count_moved(layer, ring, held);
			shm_pool_free(&layer->pool, held);
			moved++;
			held = next;
			copy = held == SHM_HANDLE_NONE ? held : copy_held(layer, ring, held);
			next = SHM_HANDLE_NONE;
			continue;
		}
		left--;
		if (result == SHM_FULL && next == SHM_HANDLE_NONE &&
		        shm_ring_pop(ring, &layer->pool, &next) == SHM_OK)
			left = TRIES;
		else if (result == SHM_CLOSED)
			find_again(layer, ring);
	}
	if (copy != SHM_HANDLE_NONE) {
		shm_pool_free(&layer->pool, copy);
		shm_tally_drop(&layer->table, ring, SHM_COUNT_LOST, held);
	}
	if (next != SHM_HANDLE_NONE)
		shm_tally_drop(&layer->table, ring, SHM_COUNT_LOST, next);
	return moved;
}

// Moves messages from the channel's front to its end until HANDLE finds a gap; at most once each.
static enum shm_result push_packed(
        struct forebay *layer, struct shm_ring *ring, uint32_t handle, struct shm_block_mem *block)
{
	uint64_t head, tail, pending = shm_ring_pending(ring, &layer->pool, &head, &tail);
	enum shm_result result = SHM_FULL;
	uint32_t oldest;

	if (pending >= ring->capacity)
		return SHM_FULL;
	for (uint64_t moved = 0; result == SHM_FULL && moved <= pending;) {
		uint32_t more = 0;

		if (shm_ring_pop(ring, &layer->pool, &oldest) == SHM_OK)
			more = channel_delay_put_back(layer, ring, oldest);
		result = shm_ring_push(ring, &layer->pool, handle, block);
		if (more == 0)
			break;
		moved += more;
	}
	return result;
}

bool channel_delay_is_full(struct forebay *layer, struct shm_ring *ring)
{
	uint64_t head, tail;

	return shm_ring_pending(ring, &layer->pool, &head, &tail) >= ring->capacity;
}

enum shm_result channel_delay_push(
        struct forebay *layer, struct shm_ring *ring, uint32_t handle, struct shm_block_mem *block)
{
	enum shm_result result = shm_ring_push(ring, &layer->pool, handle, block);

	return result == SHM_FULL ? push_packed(layer, ring, handle, block) : result;
}

uint32_t *channel_delay_take_hands(struct forebay *layer, uint32_t *count)
{
	uint32_t *hands = layer->hands;

	*count = layer->hand_count;
	layer->hands = NULL;
	layer->hand_count = layer->hand_room = 0;
	return hands;
}

void channel_delay_fini(struct forebay *layer)
{
	uint32_t count, *hands = channel_delay_take_hands(layer, &count);
	struct shm_ring ring;

	// Those for which there still is no memory are lost with us.
	if (count > 0 && !layer->stale && channel_delay_ring(layer, &ring) == SHM_OK)
		for (uint32_t i = 0; i < count; i++)
			(void)channel_delay_put_back(layer, &ring, hands[i]);
	free(hands);
	free(layer->hands);
}
