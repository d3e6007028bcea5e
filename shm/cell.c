// SPDX-License-Identifier: MIT
#include "shm/cell.h"

// Acquire: pairs with the release that freed it.
static bool take(struct shm_table *table, uint32_t cell)
{
	shm_atomic64 *own = &table->segment->cell_owns[cell];
	uint64_t nobody = SHM_FREE;

	return load_relaxed(own) == SHM_FREE &&
	       cas_acquire(own, &nobody, SHM_OWN_HELD(table->self->uid));
}

static bool find(struct shm_table *table, bool reserved, uint32_t *cell)
{
	uint32_t count = table->segment->geometry.cells - SHM_CELLS_RESERVED;

	for (uint32_t left = count; left > 0; left--) {
		*cell = SHM_CELLS_RESERVED + table->cell_scan;
		table->cell_scan = table->cell_scan + 1 == count ? 0 : table->cell_scan + 1;
		if (take(table, *cell))
			return true;
	}
	for (*cell = 0; reserved && *cell < SHM_CELLS_RESERVED; ++*cell)
		if (take(table, *cell))
			return true;
	return false;
}

bool shm_cell_take(struct shm_table *table, bool reserved, uint32_t *cell)
{
	if (!find(table, reserved, cell))
		return false;
	for (int i = 0; i < SHM_CELL_WORDS; i++)
		store_relaxed(&table->segment->cells[*cell].word[i], 0);
	return true;
}

uint32_t shm_cell_used(const struct shm_segment *segment)
{
	uint32_t used = 0;

	for (uint32_t i = 0; i < segment->geometry.cells; i++)
		used += load_relaxed(&segment->cell_owns[i]) != SHM_FREE;
	return used;
}
