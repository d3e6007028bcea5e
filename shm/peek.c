// SPDX-License-Identifier: MIT
#include "shm/peek.h"

static bool is_there(
        const struct shm_ring *ring, const struct shm_block_mem *block, uint64_t pos, bool *waiting)
{
	// In this order: a message that isn't received yet is also there.
	*waiting = load_acquire(&block->own) == SHM_OWN_SENT(ring->id, pos);
	return load_acquire(&block->origin) == SHM_ORIGIN(ring->id, ring->generation, pos);
}

enum shm_sight shm_peek(const struct shm_ring *ring, const struct shm_pool *pool, uint64_t pos,
        struct shm_glimpse *glimpse)
{
	const struct shm_block_mem *block;
	uint32_t handle;
	int32_t ahead = shm_ring_look(ring, pos, &handle);

	glimpse->pos = pos;
	// After the slot, as everywhere.
	if (load_acquire(&ring->mem->generation) != ring->generation)
		return SHM_ENDED;
	if (ahead != 0)
		return ahead < 0 ? SHM_AHEAD : SHM_PASSED;
	block = shm_pool_block(pool, handle);
	if (!block || !is_there(ring, block, pos, &glimpse->waiting))
		return SHM_PASSED;
	glimpse->sent_at = (int64_t)load_acquire(&block->sent_at);
	return shm_pool_view(pool, handle, &glimpse->buffer) ? SHM_SEEN : SHM_PASSED;
}

static bool is_same(const struct shm_buffer *one, const struct shm_buffer *other)
{
	if (one->length != other->length || one->count != other->count)
		return false;
	for (uint32_t i = 0; i < one->count; i++)
		if (one->span[i].data != other->span[i].data)
			return false;
	return true;
}

bool shm_peek_copy(const struct shm_ring *ring, const struct shm_pool *pool,
        struct shm_glimpse *glimpse, void *memory)
{
	const struct shm_buffer *buffer = &glimpse->buffer;
	const struct shm_block_mem *block = shm_pool_block(pool, buffer->handle);
	struct shm_buffer again;
	char *to = memory;

	for (uint32_t i = 0; i < buffer->count; i++) {
		copy_acquire(to, buffer->span[i].data, buffer->span[i].length);
		to += buffer->span[i].length;
	}
	// The extents' own words first: while the head is the same, they were its extents.
	return shm_pool_view(pool, buffer->handle, &again) && is_same(buffer, &again) &&
	       is_there(ring, block, glimpse->pos, &glimpse->waiting);
}
