// SPDX-License-Identifier: MIT
#include "shm/will.h"

#include "shm/pool.h"

uint32_t shm_will_adopt(struct shm_segment *segment, uint64_t uid)
{
	for (uint32_t zone = 0; zone < segment->geometry.endpoints / SHM_ENDPOINT_ZONE; zone++) {
		uint64_t nobody = SHM_ORPHANED;

		if (load_relaxed(&segment->endpoint_zones[zone]) == SHM_ORPHANED &&
		        cas_acquire(&segment->endpoint_zones[zone], &nobody, uid))
			return zone;
	}
	return SHM_HANDLE_NONE;
}

void shm_will_release(struct shm_segment *segment, uint32_t zone)
{
	bool any = false;

	for (uint32_t i = 0; i < SHM_ENDPOINT_ZONE; i++)
		any |= shm_will_state(segment, zone * SHM_ENDPOINT_ZONE + i) != SHM_WILL_NONE;
	store_release(&segment->endpoint_zones[zone], any ? SHM_ORPHANED : 0);
}
