// SPDX-License-Identifier: MIT
// inventory.h - counts everything that a process can hold in a segment, and whose it is.
#pragma once

#include <stdint.h>
#include <stdio.h>

#include "channel/layer.h"
#include "shm/cell.h"

struct inventory {
	uint32_t used[SHM_CLASSES]; // blocks that aren't FREE
	uint32_t channels;          // LIVE ones
	uint32_t inboxes;           // HELD by a living process
	uint32_t endpoints;         // open
	uint32_t groups;            // entries of the table that aren't FREE
	uint32_t cells;             // of groups, that aren't FREE
	uint32_t hazards;           // processes that say they are inside a group
	uint32_t wills;             // that aren't NONE
	uint32_t listeners;         // bits of living processes
	uint32_t processes;         // slots with a uid
	uint32_t zones;             // of blocks and endpoints that are owned by the living
	uint32_t dead;              // words of any kind that name a process which isn't there
};

// Ends the channels that nobody listens to and nothing waits in, as a full table would have it, so that
// what is left over can be compared.
void inventory_end_idle(struct forebay *layer);

// Removes all members of all groups, and has the groups give up their memory and end.
void inventory_end_groups(struct forebay *layer);

void inventory_take(struct forebay *layer, struct inventory *inventory);

// Whether NOW has everything free that BEFORE had, and none of it names the dead. Says in TEXT what it misses.
// Owned zones aren't compared: the living may keep some more, or fewer, than they did.
bool inventory_same(
        const struct inventory *before, const struct inventory *now, char *text, size_t size);
