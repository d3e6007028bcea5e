// SPDX-License-Identifier: MIT
// supervisor.h - when to start a child again that has ended: at once, or later if it keeps dying.
//
// A child that lived for SUPERVISOR_HEALTHY_MS is replaced at once. One that died sooner is replaced
// at once the first time, then after 0.1 s, doubled each time up to 5 s, until one has lived longer.
// Pure policy: the caller says what time it is, so tests need no clock.
#pragma once

#include <stdint.h>

#define SUPERVISOR_HEALTHY_MS 2000
#define SUPERVISOR_FIRST_MS   100
#define SUPERVISOR_LAST_MS    5000

// The history of one place that a child fills. Zeroed is its initial state.
struct supervisor {
	int64_t started; // when the last child was started
	unsigned early;  // how many in a row have died early
};

void supervisor_started(struct supervisor *supervisor, int64_t now);

// To be called when the child has ended. Returns in how many ms it should be started again.
int64_t supervisor_ended(struct supervisor *supervisor, int64_t now);
