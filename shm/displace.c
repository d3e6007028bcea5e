// SPDX-License-Identifier: MIT
#include "shm/displace.h"

#define ROUNDS 256 // of one send, in each of which another sender took the room

bool shm_displace_before(struct shm_table *table, struct shm_ring *ring, uint64_t before)
{
	uint32_t handle;

	if (shm_ring_pop_before(ring, table->pool, before, &handle) != SHM_OK)
		return false;
	shm_tally_drop(table, ring,
	        load_relaxed(&table->segment->channel[ring->id].lifetime) > 0 ? SHM_COUNT_HISTORY
	                                                                      : SHM_COUNT_DISPLACED,
	        handle);
	return true;
}

enum shm_result shm_displace_push(struct shm_table *table, struct shm_ring *ring,
        enum shm_policy policy, uint32_t handle, struct shm_block_mem *block)
{
	enum shm_result result = SHM_FULL;

	for (int round = 0; round < ROUNDS && result == SHM_FULL; round++) {
		uint64_t before;

		result = shm_ring_push(ring, table->pool, handle, block);
		if (result != SHM_FULL || policy == SHM_REFUSE)
			break;
		before = policy == SHM_KEEP_LATEST ? ring->full_at
		                                   : ring->full_at - ring->capacity + 1;
		// Ends: nothing is published before that position any more.
		while (shm_displace_before(table, ring, before))
			continue;
	}
	return result;
}

bool shm_displace_for_memory(struct shm_table *table, struct shm_ring *ring, uint32_t length)
{
	uint64_t pos;
	uint32_t handle;

	return shm_ring_first(ring, table->pool, &pos, &handle) &&
	       shm_pool_is_of_use(table->pool, handle, length) &&
	       shm_displace_before(table, ring, pos + 1);
}
