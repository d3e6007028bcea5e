// SPDX-License-Identifier: MIT
// status_metrics.c - /metrics: the text format 0.0.4 of Prometheus; see status.h.
//
// Two kinds of families: those that are made of the layer's statistics here, and those that any process has opened
// as a metric of the layer, the server's own among them. A family comes once, with all its series; one
// that is opened under the name of one of ours is left out.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channel/metric_name.h"
#include "channel/usage.h"
#include "server/status.h"

struct page {
	struct status_text *text;
	struct forebay *layer;
	const char *names[64]; // of the families made here
	size_t name_count;
};

// ---------------------------------------------------------------------------------------------
// Families made here
// ---------------------------------------------------------------------------------------------

static void begin(struct page *page, const char *name, const char *type, const char *help)
{
	if (page->name_count < sizeof(page->names) / sizeof(page->names[0]))
		page->names[page->name_count++] = name;
	status_text_print(page->text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put(
        struct page *page, const char *name, const char *label, const char *of, double value)
{
	status_text_print(page->text, "%s", name);
	if (label) {
		status_text_print(page->text, "{%s=", label);
		status_text_label(page->text, of);
		status_text_print(page->text, "}");
	}
	status_text_print(page->text, " ");
	status_text_number(page->text, value);
	status_text_print(page->text, "\n");
}

static void put_one(
        struct page *page, const char *name, const char *type, const char *help, double value)
{
	begin(page, name, type, help);
	put(page, name, NULL, NULL, value);
}

static void gauge(struct page *page, const char *name, const char *help, double value)
{
	put_one(page, name, "gauge", help, value);
}

static void counter(struct page *page, const char *name, const char *help, double value)
{
	put_one(page, name, "counter", help, value);
}

static void put_layer(struct page *page, const struct forebay_layer_stat *stat)
{
	begin(page, "forebay_build_info", "gauge", "The version that answers");
	put(page, "forebay_build_info", "version", FOREBAY_VERSION, 1);
	gauge(page, "forebay_layer_size_bytes", "Shared memory of the layer", (double)stat->size);
	gauge(page, "forebay_layer_age_seconds", "Since the layer was made",
	        (double)stat->age / 1000);
	gauge(page, "forebay_processes", "Processes that are attached to the layer",
	        stat->processes);
	gauge(page, "forebay_processes_max", "Processes that can be attached", stat->processes_max);
	gauge(page, "forebay_channels", "Named channels that exist", stat->channels);
	gauge(page, "forebay_channels_max", "Named channels that can exist", stat->channels_max);
	gauge(page, "forebay_reply_channels_max", "Reply channels that can exist",
	        stat->reply_channels_max);
	gauge(page, "forebay_groups", "Groups that exist", stat->groups);
	gauge(page, "forebay_groups_max", "Groups that can exist", stat->groups_max);
	gauge(page, "forebay_group_cells", "Cells of 128 octets that groups' members are kept in",
	        stat->group_cells);
	gauge(page, "forebay_group_cells_max", "Such cells in all", stat->group_cells_max);
	gauge(page, "forebay_series", "Series that processes have opened as metrics",
	        stat->metrics);
	gauge(page, "forebay_series_max", "Series that can be opened", stat->metrics_max);
}

// A family's series have to stand together.
static void put_blocks(struct page *page, const struct forebay_layer_stat *stat)
{
	const size_t count = sizeof(stat->blocks) / sizeof(stat->blocks[0]);

	for (int used = 0; used < 2; used++) {
		const char *name = used ? "forebay_blocks_used" : "forebay_blocks";

		begin(page, name, "gauge",
		        used ? "Blocks of shared memory that hold messages, by their size in octets"
		             : "Blocks of shared memory for messages, by their size in octets");
		for (size_t i = 0; i < count; i++) {
			char size[16];

			snprintf(size, sizeof(size), "%u", stat->blocks[i].size);
			put(page, name, "size", size,
			        used ? stat->blocks[i].used : stat->blocks[i].total);
		}
	}
}

static void put_messages(struct page *page, const struct forebay_layer_stat *stat)
{
	counter(page, "forebay_layer_messages_sent_total", "Messages sent, over all channels",
	        (double)stat->counters[FOREBAY_COUNT_SENT]);
	counter(page, "forebay_layer_messages_received_total",
	        "Messages received, over all channels",
	        (double)stat->counters[FOREBAY_COUNT_RECEIVED]);
	gauge(page, "forebay_layer_messages_pending", "Messages that wait, in all channels",
	        (double)stat->statistics.messages_pending);
	gauge(page, "forebay_layer_message_oldest_seconds",
	        "How long the oldest of them has waited", stat->statistics.messages_max_age);
	counter(page, "forebay_wakeups_total", "System calls that woke a receiver",
	        (double)stat->counters[FOREBAY_COUNT_WAKEUPS]);
	begin(page, "forebay_messages_dropped_total", "counter",
	        "Messages that were refused or didn't arrive, by the reason");
	for (int i = 0; i < FOREBAY_COUNTERS; i++)
		if (i != FOREBAY_COUNT_SENT && i != FOREBAY_COUNT_RECEIVED &&
		        i != FOREBAY_COUNT_WAKEUPS && i != FOREBAY_COUNT_HISTORY)
			put(page, "forebay_messages_dropped_total", "reason",
			        forebay_counter_name((enum forebay_counter)i),
			        (double)stat->counters[i]);
}

// ---------------------------------------------------------------------------------------------
// Channels
// ---------------------------------------------------------------------------------------------

static double get_sent(const struct forebay_channel_stat *stat)
{
	return (double)stat->sent;
}

static double get_received(const struct forebay_channel_stat *stat)
{
	return (double)stat->received;
}

static double get_pending(const struct forebay_channel_stat *stat)
{
	return (double)stat->pending;
}

static double get_oldest(const struct forebay_channel_stat *stat)
{
	return stat->oldest < 0 ? 0 : (double)stat->oldest / 1000;
}

static double get_full(const struct forebay_channel_stat *stat)
{
	return (double)stat->full;
}

static double get_capacity(const struct forebay_channel_stat *stat)
{
	return stat->capacity;
}

static double get_listeners(const struct forebay_channel_stat *stat)
{
	return stat->listeners;
}

static const struct {
	const char *name, *type, *help;
	double (*get)(const struct forebay_channel_stat *stat);
} channel_families[] = {
        {"forebay_messages_total", "counter", "Messages sent, by channel", get_sent},
        {"forebay_messages_received_total", "counter", "Messages received, by channel",
                get_received},
        {"forebay_messages_pending", "gauge", "Messages that wait, by channel", get_pending},
        {"forebay_message_oldest_seconds", "gauge",
                "How long the oldest message has waited, by channel; 0 if none waits", get_oldest},
        {"forebay_channel_full_total", "counter", "Messages refused because the channel was full",
                get_full},
        {"forebay_channel_capacity", "gauge", "Messages that a channel holds", get_capacity},
        {"forebay_channel_listeners", "gauge", "Processes that listen to a channel", get_listeners},
};

// What is remembered of the channels on the one walk over them.
struct channels {
	struct {
		char name[FOREBAY_NAME_SIZE];
		struct forebay_channel_stat stat;
	} * list;
	size_t count, room;
};

static int collect_channel(const struct forebay_channel_stat *stat, void *context)
{
	struct channels *channels = context;

	if (!status_is_listed(stat))
		return 0;
	if (channels->count == STATUS_CHANNELS_MAX)
		return 1;
	if (channels->count == channels->room) {
		size_t room = channels->room ? 2 * channels->room : 64;
		void *grown = realloc(channels->list, room * sizeof(*channels->list));

		if (!grown)
			return 1;
		channels->list = grown;
		channels->room = room;
	}
	channels->list[channels->count].stat = *stat;
	strncpy(channels->list[channels->count].name, stat->name, FOREBAY_NAME_SIZE - 1);
	channels->list[channels->count++].name[FOREBAY_NAME_SIZE - 1] = '\0';
	return 0;
}

static void put_channels(struct page *page)
{
	struct channels channels = {0};

	(void)forebay_stat_channels(page->layer, collect_channel, &channels);
	for (size_t i = 0; i < sizeof(channel_families) / sizeof(channel_families[0]); i++) {
		const char *name = channel_families[i].name;

		begin(page, name, channel_families[i].type, channel_families[i].help);
		for (size_t k = 0; k < channels.count; k++)
			put(page, name, "channel", channels.list[k].name,
			        channel_families[i].get(&channels.list[k].stat));
	}
	free(channels.list);
}

// ---------------------------------------------------------------------------------------------
// Processes
// ---------------------------------------------------------------------------------------------

// Both families, from one look at each process: the second is kept until the first is complete.
struct processes {
	struct status_text *time, *memory;
};

static void put_of_process(struct status_text *text, const char *name,
        const struct forebay_process_stat *stat, double value)
{
	status_text_print(text, "%s{role=", name);
	status_text_label(text, stat->role);
	status_text_print(text, ",slot=\"%u\"} ", stat->slot);
	status_text_number(text, value);
	status_text_print(text, "\n");
}

static int put_process(const struct forebay_process_stat *stat, void *context)
{
	const struct processes *processes = context;
	struct channel_usage usage;

	if (!stat->alive || !channel_usage_read("/proc", stat->pid, &usage))
		return 0;
	put_of_process(processes->time, "forebay_process_cpu_seconds_total", stat,
	        (double)usage.ticks / (double)sysconf(_SC_CLK_TCK));
	put_of_process(processes->memory, "forebay_process_resident_memory_bytes", stat,
	        (double)usage.resident);
	return 0;
}

static void put_processes(struct page *page)
{
	struct status_text memory = {0};
	struct processes processes = {page->text, &memory};

	begin(page, "forebay_process_cpu_seconds_total", "counter",
	        "Processor time of the attached processes");
	(void)forebay_stat_processes(page->layer, put_process, &processes);
	begin(page, "forebay_process_resident_memory_bytes", "gauge",
	        "Resident memory of the attached processes, shared memory included");
	status_text_append(page->text, &memory);
	status_text_fini(&memory);
}

// ---------------------------------------------------------------------------------------------
// Families that processes have opened
// ---------------------------------------------------------------------------------------------

struct series {
	char name[FOREBAY_METRIC_NAME_MAX + 1], help[FOREBAY_METRIC_HELP_MAX + 1];
	enum forebay_metric_kind kind;
	size_t family, number; // octets of the family's name; which it was
	double value;
};

struct all_series {
	struct series *list;
	size_t count, room;
};

static int collect_series(const struct forebay_metric_stat *stat, void *context)
{
	struct all_series *all = context;
	struct series *series;

	if (all->count == all->room) {
		size_t room = all->room ? 2 * all->room : 128;
		void *grown = realloc(all->list, room * sizeof(*all->list));

		if (!grown)
			return 1;
		all->list = grown;
		all->room = room;
	}
	series = &all->list[all->count];
	strcpy(series->name, stat->name); // of a length that was checked
	strcpy(series->help, stat->help);
	series->kind = stat->kind;
	series->family = channel_metric_family(stat->name, stat->kind);
	series->number = all->count++;
	series->value = stat->value;
	return 0;
}

static int compare_families(const struct series *one, const struct series *other)
{
	size_t shorter = one->family < other->family ? one->family : other->family;
	int order = memcmp(one->name, other->name, shorter);

	return order ? order : (one->family > other->family) - (one->family < other->family);
}

// By family, and within one as they were opened: buckets are in order then.
static int compare_series(const void *a, const void *b)
{
	const struct series *one = a, *other = b;
	int order = compare_families(one, other);

	return order ? order : (one->number > other->number) - (one->number < other->number);
}

static bool is_ours(const struct page *page, const struct series *series)
{
	for (size_t i = 0; i < page->name_count; i++)
		if (strlen(page->names[i]) == series->family &&
		        memcmp(page->names[i], series->name, series->family) == 0)
			return true;
	return false;
}

// Only where somebody has scribbled can a series of a family be of another kind, or be there twice.
static bool is_sound(const struct series *first, const struct series *series)
{
	if (series->kind != first->kind)
		return false;
	for (const struct series *other = first; other < series; other++)
		if (strcmp(other->name, series->name) == 0)
			return false;
	return true;
}

static void put_family(struct page *page, const struct series *first, const struct series *end)
{
	static const char *const types[] = {
	        [FOREBAY_METRIC_COUNTER] = "counter",
	        [FOREBAY_METRIC_GAUGE] = "gauge",
	        [FOREBAY_METRIC_HISTOGRAM] = "histogram",
	};
	const struct series *helpful = first;

	while (helpful < end && !*helpful->help)
		helpful++;
	if (helpful < end) {
		status_text_print(page->text, "# HELP %.*s ", (int)first->family, first->name);
		status_text_help(page->text, helpful->help);
		status_text_print(page->text, "\n");
	}
	status_text_print(page->text, "# TYPE %.*s %s\n", (int)first->family, first->name,
	        types[first->kind]);
	for (const struct series *series = first; series < end; series++) {
		if (!is_sound(first, series))
			continue;
		status_text_print(page->text, "%s ", series->name);
		status_text_number(page->text, series->value);
		status_text_print(page->text, "\n");
	}
}

static void put_opened(struct page *page)
{
	struct all_series all = {0};

	(void)forebay_stat_metrics(page->layer, collect_series, &all);
	if (all.count)
		qsort(all.list, all.count, sizeof(*all.list), compare_series);
	for (size_t i = 0, end; i < all.count; i = end) {
		for (end = i + 1; end < all.count; end++)
			if (compare_families(&all.list[i], &all.list[end]) != 0)
				break;
		if (!is_ours(page, &all.list[i]))
			put_family(page, &all.list[i], &all.list[end]);
	}
	free(all.list);
}

void status_write_metrics(
        struct status_text *text, struct forebay *layer, const struct forebay_layer_stat *stat)
{
	struct page page = {.text = text, .layer = layer};

	put_layer(&page, stat);
	put_blocks(&page, stat);
	put_messages(&page, stat);
	put_channels(&page);
	put_processes(&page);
	put_opened(&page);
}
