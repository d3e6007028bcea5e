// SPDX-License-Identifier: MIT
// cell.h - the memory that groups' members are kept in: cells of 16 words, and who owns each.
//
// A cell's own word, in an array of its own, is the truth about its owner, as a block's is:
//
//   FREE                            nobody's; anybody may take it by CAS
//   HELD  uid                       being filled, or being taken out of its group, by that process
//   USED  entry:21 | generation:32  part of that group's tree
//
// A cell becomes USED *after* it has been linked into its tree, and a cell that is taken out becomes HELD
// *before* it is unlinked. So what a dead process HELD is part of a tree exactly if it can be reached
// from the root, and only from the one group that its hazard word names (see compact.h).
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shm/table.h"

enum {
	SHM_CELL_BITS = 4, // of a key, that a cell tells apart
	SHM_CELL_WORDS = 1 << SHM_CELL_BITS,
	SHM_CELLS_RESERVED =
	        16, // the first ones: for compaction only, which frees more than it takes
};

struct shm_cell_mem {
	_Alignas(SHM_LINE_PAIR) shm_atomic64 word[SHM_CELL_WORDS];
};

_Static_assert(sizeof(struct shm_cell_mem) == 128, "pinned by the layout version");
_Static_assert(SHM_CELLS_MAX <= SHM_ROOT_NONE, "cells are named by 24 bits");

#define SHM_OWN_USED(ENTRY) (2ull << 62 | (uint64_t)(ENTRY)->index << 32 | (ENTRY)->generation)

// Whether there is a cell of that number: what stands in a tree is another process's word.
static inline bool shm_cell_exists(const struct shm_segment *segment, uint32_t cell)
{
	return cell < segment->geometry.cells;
}

// Takes a cell, zeroed: HELD by us. From the reserve only if there is no other, and RESERVED is true.
// False if none is free. Lock-free; looks at each cell once at most.
bool shm_cell_take(struct shm_table *table, bool reserved, uint32_t *cell);

// Cells that aren't FREE. A scan, for statistics and tests.
uint32_t shm_cell_used(const struct shm_segment *segment);
