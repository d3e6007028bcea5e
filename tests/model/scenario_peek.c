// SPDX-License-Identifier: MIT
// Looking at a message whose memory is received, freed and used again meanwhile.

#include "shm/peek.h"
#include "tests/model/support.h"

// Two words each, so that one can be of another message than the other. Not in cells, which nobody may look at
// while they are written.
static void send_pair(struct model_own *own, uint64_t value)
{
	uint64_t pair[2] = {value, value};
	struct shm_buffer buffer;

	if (!shm_pool_alloc(&own->pool, sizeof pair, &buffer))
		return;
	copy_release(buffer.span[0].data, pair, sizeof pair);
	if (shm_ring_push(&own->ring[0], &own->pool, buffer.handle,
	            shm_pool_block(&own->pool, buffer.handle)) != SHM_OK)
		shm_pool_free(&own->pool, buffer.handle);
}

static void send_pairs(struct model_own *own)
{
	send_pair(own, 1);
	send_pair(own, 2);
}

static void drop_pairs(struct model_own *own)
{
	uint32_t handle;

	for (int i = 0; i < 2; i++)
		if (shm_ring_pop(&own->ring[0], &own->pool, &handle) == SHM_OK)
			shm_pool_free(&own->pool, handle);
}

// At the first position there never was another message than the first.
static void peek_first(struct model_own *own)
{
	uint64_t pair[2] = {0}, pos = 1 << SHM_NARROW_ORDER;
	struct shm_glimpse glimpse;

	if (shm_peek(&own->ring[0], &own->pool, pos, &glimpse) != SHM_SEEN ||
	        glimpse.buffer.length != sizeof pair ||
	        !shm_peek_copy(&own->ring[0], &own->pool, &glimpse, pair))
		return;
	MODEL_ASSERT(pair[0] == 1 && pair[1] == 1);
	own->note[0] = 1;
}

static void audit(struct model_own *auditor)
{
	uint32_t handle;

	while (shm_ring_pop(&auditor->ring[0], &auditor->pool, &handle) == SHM_OK)
		shm_pool_free(&auditor->pool, handle);
	support_audit_all(auditor);
}

MODEL_SCENARIO(peek_replaced) = {
        .name = "peek/replaced",
        .intent = "what is seen at a position is what was sent there, whole, or isn't taken for it",
        .processes = 3,
        .channels = 1,
        .zones = 1,
        .zone = 1,
        .setup = support_open_1,
        .run = {send_pairs, drop_pairs, peek_first},
        .audit = audit,
};
