// SPDX-License-Identifier: MIT
// operations.h - what the victim does while it is killed or stopped. To add an operation, add a row to a table.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tests/torture/victim.h"
#include "tests/torture/world.h"

struct operation {
	const char *name;

	// In the tester: before the victim is there; when it is ready; while it is stopped, after the others went
	// on; after it has ended, before the accounts are settled; and after that. Each may be NULL.
	void (*stage)(struct world *world);
	void (*meet)(struct world *world);
	void (*meanwhile)(struct world *world);
	void (*after)(struct world *world);
	void (*clean)(void);
	// Whether a stopped victim that goes on has no reason to sleep. NULL: it never sleeps.
	bool (*is_awake)(struct world *world);

	// In the victim: before the first instruction, with an attachment unless it is `detached`; what is stepped;
	// and what comes after it.
	void (*ready)(void);
	void (*act)(void);
	void (*leave)(void);

	bool detached;
	bool stop_only;  // a death is uninteresting
	uint32_t losses; // messages that may be lost with the victim
	// Unless every instruction is wanted: of so many places that are chosen one is tried. 0: all of them.
	uint32_t one_kill_in, one_stop_in;
};

extern const struct operation operations[];
extern const uint32_t operation_count;

// The same for groups, for wills and, the last ones, for histories of groups.
extern const struct operation group_operations[];
extern const uint32_t group_operation_count;
extern const struct operation will_operations[];
extern const uint32_t will_operation_count;
extern const struct operation history_operations[];
extern const uint32_t history_operation_count;
