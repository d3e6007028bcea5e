// SPDX-License-Identifier: MIT
// operations.h - what the victim does while it is killed or stopped. To add an operation, add a row to the table.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/torture/world.h"

// Memory that the victim shares with the tester, besides the segment.
struct victim_report {
	bool refused;  // ptrace isn't allowed
	bool broken;   // it couldn't get ready
	bool untraced; // the marks are to be passed over
	bool done;     // act() has returned
	bool readable; // after it, its descriptor was
	int result;    // of it
	uint32_t slot;
	uint64_t identity;           // of the segment that it made, or found made
	uint32_t sent;               // messages, also tried ones
	uint8_t fate[WORLD_NUMBERS]; // enum world_fate of each
	uint32_t received;
	struct traffic_stamp stamp[WORLD_NUMBERS]; // of what it received
	char name[FOREBAY_NAME_SIZE];              // of a stream or a reply channel that it made
	pid_t child;
};

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
};

extern const struct operation operations[];
extern const uint32_t operation_count;

// Shared with the victim, mapped by the tester before the first fork.
extern struct victim_report *victim_report;

// The life of a victim, in a forked child. Doesn't return.
void victim_run(const struct operation *operation, uint64_t trial);
