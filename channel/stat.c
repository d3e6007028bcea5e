// SPDX-License-Identifier: MIT
#include <errno.h>
#include <string.h>

#include "channel/layer.h"
#include "shm/cell.h"
#include "shm/metric.h"

const char *forebay_counter_name(enum forebay_counter counter)
{
	static const char *const names[FOREBAY_COUNTERS] = {
	        [FOREBAY_COUNT_SENT] = "sent",
	        [FOREBAY_COUNT_RECEIVED] = "received",
	        [FOREBAY_COUNT_FULL] = "full",
	        [FOREBAY_COUNT_GONE] = "gone",
	        [FOREBAY_COUNT_EXPIRED] = "expired",
	        [FOREBAY_COUNT_TOO_LARGE] = "too_large",
	        [FOREBAY_COUNT_BAD] = "bad",
	        [FOREBAY_COUNT_NO_MEMORY] = "no_memory",
	        [FOREBAY_COUNT_NO_CHANNEL] = "no_channel",
	        [FOREBAY_COUNT_FLUSHED] = "flushed",
	        [FOREBAY_COUNT_LOST] = "lost",
	        [FOREBAY_COUNT_WAKEUPS] = "wakeups",
	};

	return (unsigned)counter < FOREBAY_COUNTERS ? names[counter] : "unknown";
}

// Copies a name out of shared memory, printable and NUL-terminated whatever is there.
static void copy_text(char *out, const char *text, size_t size)
{
	size_t i;

	for (i = 0; i + 1 < size; i++) {
		char character = *(const volatile char *)&text[i]; // once: it may change

		if (!character)
			break;
		out[i] = character >= 0x20 && character <= 0x7e ? character : '?';
	}
	out[i] = '\0';
}

int forebay_stat(struct forebay *layer, struct forebay_layer_stat *stat)
{
	const struct shm_segment *segment = &layer->segment;

	if (layer->stale)
		return -ESTALE;
	*stat = (struct forebay_layer_stat){
	        .size = segment->size,
	        .channels_max = segment->channels,
	        .reply_channels_max = segment->geometry.endpoints,
	        .processes_max = SHM_PROCESSES,
	        .groups_max = segment->geometry.groups,
	        .group_cells = shm_cell_used(segment),
	        .group_cells_max = segment->geometry.cells,
	        .metrics = shm_metric_count(segment),
	        .metrics_max = segment->geometry.metrics,
	};
	for (uint32_t slot = 0; slot < SHM_PROCESSES; slot++) {
		for (int i = 0; i < FOREBAY_COUNTERS; i++)
			stat->counters[i] += load_relaxed(&segment->processes[slot].counters[i]);
		stat->processes += load_relaxed(&segment->processes[slot].uid) != 0;
	}
	for (uint32_t i = segment->channels; i < segment->entries; i++)
		stat->groups += load_relaxed(&segment->channel[i].owner) != SHM_CHANNEL_FREE;
	for (uint32_t i = 0; i < segment->channels; i++)
		stat->channels += load_relaxed(&segment->channel[i].owner) != SHM_CHANNEL_FREE;
	for (int class = 0; class < SHM_CLASSES; class ++) {
		stat->blocks[class].size = shm_class_size(class);
		stat->blocks[class].total = segment->geometry.blocks[class];
		stat->blocks[class].used = shm_pool_used(&layer->pool, class);
	}
	return 0;
}

static uint32_t count_listeners(const struct shm_channel_mem *channel)
{
	uint32_t count = 0;

	for (int i = 0; i < SHM_WAITER_WORDS; i++)
		count += (uint32_t)__builtin_popcountll(load_relaxed(&channel->receivers[i]));
	return count;
}

int forebay_stat_channels(struct forebay *layer,
        int (*each)(const struct forebay_channel_stat *stat, void *context), void *context)
{
	if (layer->stale)
		return -ESTALE;
	for (uint32_t i = 0; i < layer->segment.channels; i++) {
		struct shm_channel_mem *channel = &layer->segment.channel[i];
		struct forebay_channel_stat stat;
		uint64_t base, head, tail;
		char raw[SHM_NAME_SIZE], name[SHM_NAME_SIZE];
		struct shm_ring ring;
		int64_t oldest;
		int result;

		if (load_acquire(&channel->owner) == SHM_CHANNEL_FREE ||
		        !shm_table_ring(&layer->table, i, &ring))
			continue;
		shm_table_name(&layer->table, i, raw);
		copy_text(name, raw, sizeof name);
		base = load_relaxed(&channel->base);
		stat.pending = shm_ring_pending(&ring, &layer->pool, &head, &tail);
		oldest = shm_ring_oldest(&ring, &layer->pool);
		stat.name = name;
		stat.capacity = ring.capacity;
		stat.sent = tail - base;
		stat.received = stat.sent > stat.pending ? stat.sent - stat.pending : 0;
		stat.full = load_relaxed(&channel->full);
		stat.oldest = oldest < 0 ? -1 : channel_age(oldest);
		if (oldest >= 0 && stat.oldest < 0)
			stat.oldest = 0; // sent a moment ago, or scribbled
		stat.listeners = count_listeners(channel);
		result = each(&stat, context);
		if (result != 0)
			return result;
	}
	return 0;
}

int forebay_stat_processes(struct forebay *layer,
        int (*each)(const struct forebay_process_stat *stat, void *context), void *context)
{
	if (layer->stale)
		return -ESTALE;
	for (uint32_t slot = 0; slot < SHM_PROCESSES; slot++) {
		struct shm_process_mem *process = &layer->segment.processes[slot];
		struct forebay_process_stat stat = {.slot = slot};
		char role[SHM_ROLE_SIZE];
		int result;

		if (load_acquire(&process->uid) == 0)
			continue;
		copy_text(role, process->role, sizeof role);
		stat.pid = (int32_t)load_relaxed(&process->pid);
		stat.role = role;
		stat.alive = shm_process_alive(&layer->self, slot);
		for (int i = 0; i < FOREBAY_COUNTERS; i++)
			stat.counters[i] = load_relaxed(&process->counters[i]);
		result = each(&stat, context);
		if (result != 0)
			return result;
	}
	return 0;
}
