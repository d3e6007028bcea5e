// SPDX-License-Identifier: MIT
// Metrics: names entered at the same time, and gauges whose process has died.

#include <string.h>

#include "shm/metric.h"
#include "shm/pool.h"
#include "tests/model/support.h"

static void open_nothing(void)
{
}

static enum shm_metric_match match(const struct shm_metric *known, const struct shm_metric *wanted)
{
	if (strcmp(known->name, wanted->name) != 0)
		return SHM_METRIC_OTHER;
	return known->kind == wanted->kind ? SHM_METRIC_SAME : SHM_METRIC_CONTRADICTS;
}

// Notes the result and the index.
static void enter(struct model_own *own, const char *name, enum shm_metric_kind kind)
{
	struct shm_metric metric = {.kind = kind};
	uint32_t index = UINT32_MAX;

	strcpy(metric.name, name);
	own->note[0] = shm_metric_enter(&own->segment, own->self.uid, &metric, match, &index);
	own->note[1] = index;
	own->note[2] = true; // came to its end
	if (own->note[0] == SHM_METRIC_OK)
		MODEL_ASSERT(shm_metric_read(&own->segment, index, &metric) &&
		             strcmp(metric.name, name) == 0 && metric.kind == kind);
}

static void enter_a(struct model_own *own)
{
	enter(own, "a", SHM_METRIC_COUNTER);
}

static void enter_b(struct model_own *own)
{
	enter(own, "b", SHM_METRIC_COUNTER);
}

static void enter_gauge_a(struct model_own *own)
{
	enter(own, "a", SHM_METRIC_GAUGE);
}

// Each name is there once, each cell is LIVE if and only if an index leads to it, and nothing is HELD: by the
// living not even while they stay attached.
static void audit_table(struct model_own *auditor)
{
	struct shm_segment *segment = &auditor->segment;

	for (uint32_t i = 0; i < segment->geometry.metrics; i++)
		MODEL_ASSERT(model_deaths() > 0 ||
		             load_relaxed(&segment->metric_cells[i].own) <= SHM_METRIC_LIVE);
	support_settle(auditor);
	for (uint32_t i = 0; i < segment->geometry.metrics; i++) {
		uint64_t own = load_relaxed(&segment->metric_cells[i].own);
		struct shm_metric metric, other;

		MODEL_ASSERT(own == (shm_metric_index_of(segment, i) == SHM_METRIC_NONE
		                                    ? SHM_METRIC_FREE
		                                    : SHM_METRIC_LIVE));
		for (uint32_t k = 0; k < i; k++)
			MODEL_ASSERT(!shm_metric_read(segment, i, &metric) ||
			             !shm_metric_read(segment, k, &other) ||
			             match(&metric, &other) == SHM_METRIC_OTHER);
	}
}

// And whoever lives was given an index: the same for the same name, of which process 0 and the auditor have one.
static void audit_entered(struct model_own *auditor)
{
	const struct model_own *first = &model_arena.own[0];

	for (int i = 0; i < support_number(auditor); i++)
		MODEL_ASSERT(model_is_dead(i) || model_arena.own[i].note[0] == SHM_METRIC_OK);
	audit_table(auditor);
	enter_a(auditor);
	MODEL_ASSERT(auditor->note[0] == SHM_METRIC_OK);
	MODEL_ASSERT(!first->note[2] || first->note[1] == auditor->note[1]);
	audit_table(auditor);
}

MODEL_SCENARIO(enter_and_enter) = {
        .name = "metric/enter",
        .intent = "a name is there once, and no other is lost over it",
        .processes = 3,
        .channels = 1,
        .metrics = 3,
        .zones = 1,
        .zone = 1,
        .setup = open_nothing,
        .run = {enter_a, enter_a, enter_b},
        .audit = audit_entered,
};

static void enter_a_and_reap(struct model_own *own)
{
	enter_a(own);
	support_reap(own);
}

MODEL_SCENARIO(killed_entering) = {
        .name = "metric/killed",
        .intent = "who dies while entering a name leaves it whole, or nothing",
        .processes = 2,
        .killable = 1,
        .kills = 1,
        .channels = 1,
        .metrics = 2,
        .zones = 1,
        .zone = 1,
        .setup = open_nothing,
        .run = {enter_a, enter_a_and_reap},
        .audit = audit_entered,
};

// One of the two at least is in; who isn't was told so.
static void audit_one_entered(struct model_own *auditor)
{
	const struct model_own *a = &model_arena.own[0], *b = &model_arena.own[1];

	MODEL_ASSERT((a->note[0] == SHM_METRIC_OK) != (b->note[0] == SHM_METRIC_OK));
	audit_table(auditor);
}

MODEL_SCENARIO(contradiction) = {
        .name = "metric/contradiction",
        .intent = "a name has one kind, however many enter it",
        .processes = 2,
        .channels = 1,
        .metrics = 3,
        .zones = 1,
        .zone = 1,
        .setup = open_nothing,
        .run = {enter_a, enter_gauge_a},
        .audit = audit_one_entered,
};

MODEL_SCENARIO(full) = {
        .name = "metric/full",
        .intent = "the last place in the table is given once",
        .processes = 2,
        .channels = 1,
        .metrics = 1,
        .zones = 1,
        .zone = 1,
        .setup = open_nothing,
        .run = {enter_a, enter_b},
        .audit = audit_one_entered,
};

// ---------------------------------------------------------------------------------------------
// Gauges
// ---------------------------------------------------------------------------------------------

static void enter_and_set(struct model_own *own)
{
	enter_gauge_a(own);
	shm_metric_store(shm_metric_word(&own->segment, own->self.slot, 0), 7);
}

static void join_after_death(struct model_own *own)
{
	model_await_deaths(1);
	model_attach(own);
	MODEL_ASSERT(shm_metric_load(shm_metric_word(&own->segment, own->self.slot, 0)) == 0);
	own->note[0] = own->self.slot + 1;
}

// The newcomer had the dead one's slot.
static void audit_gauge(struct model_own *auditor)
{
	MODEL_ASSERT(!model_arena.own[1].note[0] || model_arena.own[1].note[0] == 2);
	audit_table(auditor);
}

MODEL_SCENARIO(gauge) = {
        .name = "metric/gauge",
        .intent = "who gets a dead process's slot doesn't get its gauges",
        .processes = 2,
        .killable = 1,
        .kills = 1,
        .late = 2,
        .channels = 1,
        .metrics = 1,
        .zones = 1,
        .zone = 1,
        .setup = open_nothing,
        .run = {enter_and_set, join_after_death},
        .audit = audit_gauge,
};
