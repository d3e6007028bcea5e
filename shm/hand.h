// SPDX-License-Identifier: MIT
// hand.h - the search for room in the table, full or not, for one kind of entries. It goes round like the hand of
// a clock and looks at a bounded number of channels a call; what it may look at grows with time.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct shm_table;

enum {
	SHM_RECENT = 16,
};

enum shm_kind { SHM_NARROW, SHM_WIDE, SHM_GROUP, SHM_KINDS };

struct shm_hand {
	uint32_t free, idle; // where the searches go on
	uint32_t credit;     // channels that may be looked at
	int64_t filled;      // when that was last added to, ms
	uint32_t recent[SHM_RECENT],
	        recents; // channels made here lately, a ring, and how many in all
};

// Takes an entry of the kind for us: HELD. A free one, or else an idle channel; one made here a moment ago
// is the last choice, since it may be wanted again, but it is found however large the table.
bool shm_hand_take(struct shm_table *table, enum shm_kind kind, uint32_t *index);
