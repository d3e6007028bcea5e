// SPDX-License-Identifier: MIT
// check_metric.c - the checker's rows for metrics: the cells with their names, and the directory that leads to them.
#include "shm/check_region.h"
#include "shm/metric.h"

static uint32_t count_metrics(struct examination *examination)
{
	return examination->segment->geometry.metrics;
}

static bool look_at_cell(struct examination *examination, uint32_t index, struct suspicion *found)
{
	uint64_t own = load_acquire(&examination->segment->metric_cells[index].own);

	if (own == SHM_METRIC_FREE)
		return false;
	if (own == SHM_METRIC_LIVE)
		return shm_metric_index_of(examination->segment, index) == SHM_METRIC_NONE &&
		       suspect(found, SHM_FINDING_LOST_METRIC, own, "metric cell %u", index);
	return (SHM_OWN_STATE(own) != SHM_HELD ||
	               holder_of(examination, SHM_OWN_UID(own)) == HOLDER_GONE) &&
	       suspect(found, SHM_FINDING_ORPHAN_METRIC, own, "metric cell %u", index);
}

static bool mend_cell(struct examination *examination, const struct suspicion *found)
{
	struct shm_segment *segment = examination->segment;
	uint64_t own = found->word;
	bool listed = shm_metric_index_of(segment, found->index) != SHM_METRIC_NONE;

	return cas_acq_rel(&segment->metric_cells[found->index].own, &own,
	        listed ? SHM_METRIC_LIVE : SHM_METRIC_FREE);
}

const struct region region_metric_cells = {count_metrics, look_at_cell, mend_cell};

// A cell that is FREE though an index leads to it would be given to another name.
static bool look_at_index(struct examination *examination, uint32_t index, struct suspicion *found)
{
	const struct shm_segment *segment = examination->segment;
	uint64_t word = load_acquire(&segment->metrics[index]);
	struct shm_metric metric;

	if (word == 0)
		return false;
	if (!shm_metric_read(segment, index, &metric) || metric.name[0] == '\0')
		return suspect(found, SHM_FINDING_BAD_METRIC, word, "metric %u", index);
	return load_acquire(&segment->metric_cells[word - 1].own) == SHM_METRIC_FREE &&
	       suspect(found, SHM_FINDING_BAD_METRIC, word, "metric %u", index);
}

static bool mend_index(struct examination *examination, const struct suspicion *found)
{
	struct shm_segment *segment = examination->segment;
	uint64_t own = SHM_METRIC_FREE;
	struct shm_metric metric;

	return shm_metric_read(segment, found->index, &metric) && metric.name[0] != '\0' &&
	       cas_acq_rel(&segment->metric_cells[found->word - 1].own, &own, SHM_METRIC_LIVE);
}

const struct region region_metrics = {count_metrics, look_at_index, mend_index};
