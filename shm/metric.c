// SPDX-License-Identifier: MIT
#include "shm/metric.h"

#include "shm/pool.h"

static void read_text(const shm_atomic64 *words, char *text, size_t size)
{
	for (size_t i = 0; i < size / 8; i++) {
		uint64_t word = load_relaxed(&words[i]);

		memcpy(text + i * 8, &word, 8);
	}
	text[size - 1] = '\0';
}

static void write_text(shm_atomic64 *words, const char *text, size_t size)
{
	for (size_t i = 0; i < size / 8; i++) {
		uint64_t word;

		memcpy(&word, text + i * 8, 8);
		store_relaxed(&words[i], word);
	}
}

// The cell that a directory's word leads to; NULL if to none.
static struct shm_metric_mem *cell_of(const struct shm_segment *segment, uint64_t word)
{
	if (word == 0 || word > segment->geometry.metrics)
		return NULL;
	return &segment->metric_cells[word - 1];
}

bool shm_metric_read(const struct shm_segment *segment, uint32_t index, struct shm_metric *metric)
{
	struct shm_metric_mem *cell = cell_of(segment, load_acquire(&segment->metrics[index]));
	uint64_t kind;

	if (!cell)
		return false;
	kind = load_relaxed(&cell->kind);
	if (kind >= SHM_METRIC_KINDS)
		return false;
	metric->kind = (enum shm_metric_kind)kind;
	read_text(cell->name, metric->name, sizeof metric->name);
	read_text(cell->help, metric->help, sizeof metric->help);
	return true;
}

uint32_t shm_metric_count(const struct shm_segment *segment)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < segment->geometry.metrics; i++)
		count += load_relaxed(&segment->metrics[i]) != 0;
	return count;
}

int32_t shm_metric_index_of(const struct shm_segment *segment, uint32_t cell)
{
	for (uint32_t i = 0; i < segment->geometry.metrics; i++)
		if (load_acquire(&segment->metrics[i]) == cell + 1)
			return (int32_t)i;
	return SHM_METRIC_NONE;
}

// A cell with METRIC in it, HELD by UID until it is in the directory; 0, or its number + 1.
static uint64_t prepare(struct shm_segment *segment, uint64_t uid, const struct shm_metric *metric)
{
	for (uint32_t i = 0; i < segment->geometry.metrics; i++) {
		struct shm_metric_mem *cell = &segment->metric_cells[i];
		uint64_t own = load_relaxed(&cell->own);

		if (own != SHM_METRIC_FREE || !cas_acquire(&cell->own, &own, SHM_OWN_HELD(uid)))
			continue;
		store_relaxed(&cell->kind, metric->kind);
		write_text(cell->name, metric->name, sizeof metric->name);
		write_text(cell->help, metric->help, sizeof metric->help);
		return i + 1;
	}
	return 0;
}

static void settle(struct shm_segment *segment, uint64_t cell, uint64_t own)
{
	if (cell)
		store_release(&segment->metric_cells[cell - 1].own, own);
}

enum shm_metric_result shm_metric_enter(struct shm_segment *segment, uint64_t uid,
        const struct shm_metric *metric,
        enum shm_metric_match (*match)(
                const struct shm_metric *known, const struct shm_metric *wanted),
        uint32_t *index)
{
	uint64_t cell = 0;

	for (uint32_t i = 0; i < segment->geometry.metrics; i++) {
		uint64_t word = load_acquire(&segment->metrics[i]);
		enum shm_metric_match found = SHM_METRIC_OTHER;
		struct shm_metric known;

		if (word == 0) {
			if (!cell)
				cell = prepare(segment, uid, metric);
			if (!cell)
				return SHM_METRIC_FULL;
			if (cas_acq_rel(&segment->metrics[i], &word, cell)) {
				settle(segment, cell, SHM_METRIC_LIVE);
				*index = i;
				return SHM_METRIC_OK;
			}
		}
		// Perhaps somebody was faster, and perhaps with this very name.
		if (shm_metric_read(segment, i, &known))
			found = match(&known, metric);
		if (found == SHM_METRIC_OTHER)
			continue;
		settle(segment, cell, SHM_METRIC_FREE);
		*index = i;
		return found == SHM_METRIC_SAME ? SHM_METRIC_OK : SHM_METRIC_REFUSED;
	}
	settle(segment, cell, SHM_METRIC_FREE);
	return SHM_METRIC_FULL;
}

void shm_metric_clear(struct shm_segment *segment, uint32_t slot)
{
	for (uint32_t i = 0; i < segment->geometry.metrics; i++) {
		struct shm_metric_mem *cell = cell_of(segment, load_acquire(&segment->metrics[i]));

		if (cell && load_relaxed(&cell->kind) == SHM_METRIC_GAUGE)
			store_relaxed(shm_metric_word(segment, slot, i), 0);
	}
}

void shm_metric_recover(struct shm_segment *segment, uint32_t slot)
{
	for (uint32_t i = 0; i < segment->geometry.metrics; i++) {
		shm_atomic64 *word = &segment->metric_cells[i].own;
		uint64_t own = load_acquire(word);

		if (!shm_own_is_held_by(own, slot))
			continue;
		(void)cas_acq_rel(word, &own,
		        shm_metric_index_of(segment, i) == SHM_METRIC_NONE ? SHM_METRIC_FREE
		                                                           : SHM_METRIC_LIVE);
	}
}
