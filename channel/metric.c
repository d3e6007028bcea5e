// SPDX-License-Identifier: MIT
// metric.c - metrics: opening, counting, summing.
#include "shm/metric.h"

#include <errno.h>
#include <string.h>

#include "channel/layer.h"
#include "channel/metric_name.h"

_Static_assert(FOREBAY_METRIC_NAME_MAX < SHM_METRIC_NAME_SIZE &&
                       FOREBAY_METRIC_HELP_MAX < SHM_METRIC_HELP_SIZE,
        "a cell has room for them");
_Static_assert((int)FOREBAY_METRIC_COUNTER == (int)SHM_METRIC_COUNTER &&
                       (int)FOREBAY_METRIC_GAUGE == (int)SHM_METRIC_GAUGE &&
                       (int)FOREBAY_METRIC_HISTOGRAM == (int)SHM_METRIC_HISTOGRAM,
        "the kinds are the same");

// A name before its labels is that of one kind's series, and so is a family.
static enum shm_metric_match match(const struct shm_metric *known, const struct shm_metric *wanted)
{
	size_t bare = strcspn(wanted->name, "{"), family, other;

	if (strcmp(known->name, wanted->name) == 0)
		return known->kind == wanted->kind ? SHM_METRIC_SAME : SHM_METRIC_CONTRADICTS;
	if (known->kind == wanted->kind)
		return SHM_METRIC_OTHER;
	if (strcspn(known->name, "{") == bare && memcmp(known->name, wanted->name, bare) == 0)
		return SHM_METRIC_CONTRADICTS;
	family = channel_metric_family(wanted->name, (enum forebay_metric_kind)wanted->kind);
	other = channel_metric_family(known->name, (enum forebay_metric_kind)known->kind);
	return family == other && memcmp(known->name, wanted->name, family) == 0
	               ? SHM_METRIC_CONTRADICTS
	               : SHM_METRIC_OTHER;
}

int forebay_metric_open(struct forebay *layer, const char *name, enum forebay_metric_kind kind,
        const char *help, struct forebay_metric *metric)
{
	struct shm_metric wanted = {.kind = (enum shm_metric_kind)kind};
	uint32_t index;

	*metric = (struct forebay_metric){0};
	if (layer->stale)
		return -ESTALE;
	help = help ? help : "";
	if (!channel_metric_canonical(name, kind, wanted.name) ||
	        strlen(help) > FOREBAY_METRIC_HELP_MAX || !channel_metric_is_help(help))
		return FOREBAY_BAD_NAME;
	strcpy(wanted.help, help);
	switch (shm_metric_enter(&layer->segment, layer->self.uid, &wanted, match, &index)) {
	case SHM_METRIC_OK:
		*metric = (struct forebay_metric){layer, index, kind};
		return 0;
	case SHM_METRIC_FULL:
		return channel_count_refusal(layer, FOREBAY_NO_CHANNEL);
	default:
		return FOREBAY_BAD_NAME;
	}
}

// NULL if there is nothing to write to: not opened, or in a child of fork().
static shm_atomic64 *own_word(const struct forebay_metric *metric)
{
	struct forebay *layer = metric->layer;

	if (!layer || layer->stale)
		return NULL;
	return shm_metric_word(&layer->segment, layer->self.slot, metric->index);
}

void forebay_metric_add(const struct forebay_metric *metric, double amount)
{
	shm_atomic64 *word = own_word(metric);

	if (word && (amount > 0 || metric->kind == FOREBAY_METRIC_GAUGE))
		shm_metric_store(word, shm_metric_load(word) + amount);
}

void forebay_metric_set(const struct forebay_metric *metric, double value)
{
	shm_atomic64 *word = own_word(metric);

	if (word && metric->kind == FOREBAY_METRIC_GAUGE)
		shm_metric_store(word, value);
}

// ---------------------------------------------------------------------------------------------
// Reading
// ---------------------------------------------------------------------------------------------

// Whose words are summed; of gauges, only those of the living.
struct census {
	uint32_t count;
	uint32_t slot[SHM_PROCESSES];
	bool alive[SHM_PROCESSES];
};

static void enter_slot(struct forebay *layer, struct census *census, uint32_t slot)
{
	census->alive[census->count] = load_acquire(&layer->segment.processes[slot].uid) != 0 &&
	                               shm_process_alive(&layer->self, slot);
	census->slot[census->count++] = slot;
}

static double sum(struct forebay *layer, const struct census *census, uint32_t index, bool living)
{
	double total = 0;

	for (uint32_t i = 0; i < census->count; i++)
		if (census->alive[i] || !living)
			total += shm_metric_load(
			        shm_metric_word(&layer->segment, census->slot[i], index));
	return total;
}

// Names come from shared memory: what couldn't have been opened isn't shown.
static bool read_metric(struct forebay *layer, uint32_t index, struct shm_metric *metric,
        struct forebay_metric_stat *stat)
{
	if (!shm_metric_read(&layer->segment, index, metric))
		return false;
	*stat = (struct forebay_metric_stat){
	        .name = metric->name,
	        .help = channel_metric_is_help(metric->help) ? metric->help : "",
	        .kind = (enum forebay_metric_kind)metric->kind,
	};
	return channel_metric_is_canonical(metric->name, stat->kind);
}

static int walk(struct forebay *layer, const struct census *census,
        int (*each)(const struct forebay_metric_stat *stat, void *context), void *context)
{
	for (uint32_t index = 0; index < layer->segment.geometry.metrics; index++) {
		struct forebay_metric_stat stat;
		struct shm_metric metric;
		int result;

		if (!read_metric(layer, index, &metric, &stat))
			continue;
		stat.value = sum(layer, census, index, stat.kind == FOREBAY_METRIC_GAUGE);
		result = each(&stat, context);
		if (result != 0)
			return result;
	}
	return 0;
}

int forebay_stat_metrics(struct forebay *layer,
        int (*each)(const struct forebay_metric_stat *stat, void *context), void *context)
{
	struct census census = {0};

	if (channel_is_blind(layer))
		return -ESTALE;
	for (uint32_t slot = 0; slot < SHM_PROCESSES; slot++)
		if (load_relaxed(&layer->segment.processes[slot].incarnation) != 0) // ever used
			enter_slot(layer, &census, slot);
	return walk(layer, &census, each, context);
}

int forebay_stat_process_metrics(struct forebay *layer, uint32_t slot,
        int (*each)(const struct forebay_metric_stat *stat, void *context), void *context)
{
	struct census census = {0};

	if (channel_is_blind(layer))
		return -ESTALE;
	if (slot >= SHM_PROCESSES)
		return -EINVAL;
	enter_slot(layer, &census, slot);
	return walk(layer, &census, each, context);
}
