// SPDX-License-Identifier: MIT
// clock.h - the time that a layer's processes agree on.
#pragma once

#include <stdint.h>

// Milliseconds, CLOCK_MONOTONIC, as coarse as the kernel's tick.
int64_t shm_clock_now(void);

// 0 but in tests of what depends on time: what is added to it, and a time at which it stands still instead.
extern int64_t shm_clock_ahead, shm_clock_still;
