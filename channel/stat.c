// SPDX-License-Identifier: MIT
#include <errno.h>
#include <string.h>

#include "channel/layer.h"
#include "channel/name.h"
#include "shm/cell.h"
#include "shm/link.h"
#include "shm/metric.h"

#define TRIES 3 // to read a channel, because others end and make it meanwhile

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
	        [FOREBAY_COUNT_DISPLACED] = "displaced",
	        [FOREBAY_COUNT_DROPPED_ON_PURPOSE] = "dropped_on_purpose",
	        [FOREBAY_COUNT_HISTORY] = "history",
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

// ---------------------------------------------------------------------------------------------
// Channels
// ---------------------------------------------------------------------------------------------

static uint32_t count_listeners(const struct shm_channel_mem *channel)
{
	uint32_t count = 0;

	for (int i = 0; i < SHM_WAITER_WORDS; i++)
		count += (uint32_t)__builtin_popcountll(load_relaxed(&channel->receivers[i]));
	return count;
}

// What ended unread, by reason. Returns how many never reached a receiver.
static uint64_t read_dropped(const struct shm_channel_mem *channel, uint32_t generation,
        struct forebay_channel_stat *stat)
{
	uint64_t unread = 0;

	for (int i = 0; i < FOREBAY_COUNTERS; i++) {
		stat->dropped[i] =
		        i == FOREBAY_COUNT_FULL
		                ? 0
		                : shm_tally_count(&channel->tally, generation, (enum shm_counter)i);
		if (i != FOREBAY_COUNT_LOST)
			unread += stat->dropped[i];
	}
	return unread;
}

// Returns the position that the next message gets.
static uint64_t read_waiting(
        struct forebay *layer, struct shm_ring *ring, struct forebay_channel_stat *stat)
{
	uint64_t head, tail;
	int64_t oldest;

	stat->pending = shm_ring_pending(ring, &layer->pool, &head, &tail);
	oldest = shm_ring_oldest(ring, &layer->pool);
	stat->oldest = oldest < 0 ? -1 : channel_age(oldest);
	if (oldest >= 0 && stat->oldest < 0)
		stat->oldest = 0; // sent a moment ago, or scribbled
	return tail;
}

static void read_channel(struct forebay *layer, struct shm_ring *ring, int64_t now,
        struct forebay_channel_stat *stat)
{
	const struct shm_channel_mem *channel = &layer->segment.channel[ring->id];
	uint64_t base = load_relaxed(&channel->base), tail, moved, unread;

	stat->capacity = ring->capacity;
	stat->listeners = count_listeners(channel);
	stat->full = shm_tally_count(&channel->tally, ring->generation, SHM_COUNT_FULL);
	tail = read_waiting(layer, ring, stat);
	moved = shm_tally_count(&channel->tally, ring->generation, SHM_COUNT_MOVED);
	stat->sent = tail - base > moved ? tail - base - moved : 0;
	// Afterwards: what is dropped meanwhile may be subtracted too soon, but doesn't stay among the received.
	unread = read_dropped(channel, ring->generation, stat) + stat->pending;
	stat->received = stat->sent > unread ? stat->sent - unread : 0;
	stat->statistics = (struct forebay_statistics){
	        .messages_count = stat->sent,
	        .messages_count_per_second =
	                shm_pace_rate(&channel->tally.sent, base + stat->sent, stat->sent, now),
	        .messages_pending = stat->pending,
	        .messages_max_age = stat->oldest < 0 ? 0 : (double)stat->oldest / 1000,
	        .channel_full_count = stat->full,
	        .channel_full_count_per_second =
	                shm_pace_rate(&channel->tally.full, stat->full, stat->full, now),
	};
}

// Whether the entry is of that generation, and not about to be another's.
static bool is_whole(const struct shm_channel_mem *channel, uint32_t generation)
{
	// Acquire: with the link of a channel comes what was written before its birth.
	return load_acquire(&channel->owner) != SHM_CHANNEL_FREE &&
	       !(load_acquire(&channel->link) & LINK_MARK) &&
	       load_acquire(&channel->ring.generation) == generation;
}

// Reads what channel INDEX is now, and its name. False if there is none: what is read of one that ends meanwhile
// is mixed with what comes after it, and doesn't count.
static bool read_entry(struct forebay *layer, uint32_t index, int64_t now, char name[SHM_NAME_SIZE],
        struct forebay_channel_stat *stat)
{
	const struct shm_channel_mem *channel = &layer->segment.channel[index];
	char raw[SHM_NAME_SIZE];
	struct shm_ring ring;

	if (load_relaxed(&channel->owner) == SHM_CHANNEL_FREE)
		return false;
	for (int tries = 0; tries < TRIES; tries++) {
		if (!shm_table_ring(&layer->table, index, &ring) ||
		        !is_whole(channel, ring.generation))
			return false;
		shm_table_name(&layer->table, index, raw);
		if (load_relaxed(&channel->lifetime) != 0)
			return false; // a group's history
		copy_text(name, raw, SHM_NAME_SIZE);
		read_channel(layer, &ring, now, stat);
		stat->name = name;
		stat->policy = channel_rule_of(layer, name).policy;
		stat->inbox = load_acquire(&channel->owner) != SHM_CHANNEL_LIVE;
		if (is_whole(channel, ring.generation))
			return true;
	}
	return false;
}

// By the table's lists, which are tidied up on the way; who may not write looks at every channel.
bool channel_find(struct forebay *layer, const char *name, struct shm_ring *ring)
{
	uint32_t hash = shm_table_hash(name);
	char found[SHM_NAME_SIZE];

	if (!layer->observes)
		return shm_table_find(&layer->table, name, ring) == SHM_OK;
	for (uint32_t index = 0; index < layer->segment.channels; index++) {
		const struct shm_channel_mem *channel = &layer->segment.channel[index];

		if (load_relaxed(&channel->hash) != hash ||
		        !shm_table_ring(&layer->table, index, ring))
			continue;
		shm_table_name(&layer->table, index, found);
		if (strcmp(found, name) == 0 && is_whole(channel, ring->generation))
			return true;
	}
	return false;
}

int forebay_stat_channel(struct forebay *layer, const char *name, struct forebay_channel_stat *stat)
{
	char found[SHM_NAME_SIZE];
	struct shm_ring ring;
	uint64_t id;

	*stat = (struct forebay_channel_stat){.oldest = -1};
	if (channel_is_blind(layer))
		return -ESTALE;
	switch (channel_name_kind(name, &id)) {
	case CHANNEL_BAD:
	case CHANNEL_REPLY:
		return FOREBAY_BAD_NAME;
	default:
		break;
	}
	if (!channel_find(layer, name, &ring) ||
	        !read_entry(layer, ring.id, channel_now(), found, stat) || strcmp(found, name) != 0)
		*stat = (struct forebay_channel_stat){.oldest = -1,
		        .capacity = channel_rule_of(layer, name).capacity,
		        .policy = channel_rule_of(layer, name).policy};
	stat->name = name;
	return 0;
}

int forebay_stat_channels(struct forebay *layer,
        int (*each)(const struct forebay_channel_stat *stat, void *context), void *context)
{
	int64_t now = channel_now();

	if (channel_is_blind(layer))
		return -ESTALE;
	for (uint32_t i = 0; i < layer->segment.channels; i++) {
		struct forebay_channel_stat stat;
		char name[SHM_NAME_SIZE];
		int result;

		if (!read_entry(layer, i, now, name, &stat))
			continue;
		result = each(&stat, context);
		if (result != 0)
			return result;
	}
	return 0;
}

// ---------------------------------------------------------------------------------------------
// The layer
// ---------------------------------------------------------------------------------------------

// What waits in all channels, and how many there are.
static void add_channels(struct forebay *layer, struct forebay_layer_stat *stat)
{
	struct forebay_statistics *statistics = &stat->statistics;

	for (uint32_t i = 0; i < layer->segment.channels; i++) {
		struct forebay_channel_stat channel;
		struct shm_ring ring;

		if (load_relaxed(&layer->segment.channel[i].owner) == SHM_CHANNEL_FREE ||
		        !shm_table_ring(&layer->table, i, &ring))
			continue;
		stat->channels++;
		if (load_relaxed(&layer->segment.channel[i].lifetime) != 0)
			continue; // in a group's history nothing waits for anybody
		(void)read_waiting(layer, &ring, &channel);
		statistics->messages_pending += channel.pending;
		if ((double)channel.oldest / 1000 > statistics->messages_max_age)
			statistics->messages_max_age = (double)channel.oldest / 1000;
	}
}

static void read_totals(const struct shm_segment *segment, struct forebay_layer_stat *stat)
{
	const uint64_t *counters = stat->counters;
	struct forebay_statistics *statistics = &stat->statistics;
	int64_t now = channel_now();

	statistics->messages_count = counters[FOREBAY_COUNT_SENT];
	statistics->messages_count_per_second = shm_pace_rate(&segment->housekeeping->sent,
	        counters[FOREBAY_COUNT_SENT], counters[FOREBAY_COUNT_SENT], now);
	statistics->channel_full_count = counters[FOREBAY_COUNT_FULL];
	statistics->channel_full_count_per_second = shm_pace_rate(&segment->housekeeping->full,
	        counters[FOREBAY_COUNT_FULL], counters[FOREBAY_COUNT_FULL], now);
	stat->age = channel_age(segment->made_at);
	if (stat->age < 0)
		stat->age = 0; // the time was scribbled over
}

int forebay_stat(struct forebay *layer, struct forebay_layer_stat *stat)
{
	const struct shm_segment *segment = &layer->segment;

	if (channel_is_blind(layer))
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
	for (int class = 0; class < SHM_CLASSES; class ++) {
		stat->blocks[class].size = shm_class_size(class);
		stat->blocks[class].total = segment->geometry.blocks[class];
		stat->blocks[class].used = shm_pool_used(&layer->pool, class);
	}
	read_totals(segment, stat);
	add_channels(layer, stat);
	return 0;
}

// ---------------------------------------------------------------------------------------------
// Processes
// ---------------------------------------------------------------------------------------------

int forebay_stat_processes(struct forebay *layer,
        int (*each)(const struct forebay_process_stat *stat, void *context), void *context)
{
	if (channel_is_blind(layer))
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
