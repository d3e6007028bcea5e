// SPDX-License-Identifier: MIT
// compact.h - what frees the memory of groups: members that are none any more are swept out, groups without
// members ended, trees that have become sparse built anew, and what a dead process held given back.
//
// A change of a tree (see group.h for when it may happen) shares what stays as it is with the old tree:
//
//   old root --> A --> B      B has lost members: new are B', and A' and root', which lead to it.
//            \-> C            C is part of both.
//   root' --> A' --> B'
//         \-> C
//
// While it is built, B', A', root' are HELD by who builds, and so become B, A and the old root, which stay
// linked. One CAS of the group's word makes root' the root. Then what is HELD and can be reached is made USED, what
// can't be is made FREE; just so if the CAS fails, or if the builder dies at any point: its reaper does
// the same, since the dead one's hazard tells in which tree to look. That hazard also keeps others from changing
// that tree until the reaper is through.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shm/group.h"

enum {
	SHM_SWEEPS = 64,        // rounds until every group was swept
	SHM_SWEEP_LEAST = 1024, // cells, or entries without a group, that a round looks at
};

// Sweeps the next groups, at least one, until about CELLS cells have been looked at; ends those without members
// and compacts sparse ones. Part of housekeeping's rounds: all groups must have their turn in less time
// than member.h says. A step is as large as the largest group may be.
void shm_compact_sweep(struct shm_table *table, int64_t now, uint32_t cells);

// The same for all groups, compacting those that could do with a cell less: when cells or entries run out. Returns
// whether it has freed any.
bool shm_compact_all(struct shm_table *table, int64_t now);

// Ends the group if a glance at a few cells shows that it has no members. For who has just removed one.
void shm_compact_if_empty(struct shm_table *table, const struct shm_entry *group, int64_t now);

// Completes or undoes what users of SLOT were doing to the group at INDEX of the table. It goes on if it has
// members, or may have.
void shm_compact_recover(struct shm_table *table, uint32_t index, uint32_t slot);

// Gives back what users of SLOT held: cells; then groups that they were making or changing; then takes away the
// hazard. For the reaper, who holds the slot's lock.
void shm_compact_release(struct shm_table *table, uint32_t slot);
