// SPDX-License-Identifier: MIT
#include "shm/clock.h"

#include <time.h>

int64_t shm_clock_ahead, shm_clock_still;

int64_t shm_clock_now(void)
{
	struct timespec now;

	if (shm_clock_still)
		return shm_clock_still + shm_clock_ahead;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000 + shm_clock_ahead;
}
