// SPDX-License-Identifier: MIT
// status_json.c - /status for programs, and for the page; see status.h.
#include <stdio.h>
#include <unistd.h>

#include "channel/usage.h"
#include "server/status.h"

// A list that is being written.
struct list {
	struct status_text *text;
	struct forebay *layer;
	unsigned written, left_out, most;
};

static void separate(struct list *list)
{
	status_text_print(list->text, list->written++ ? ",\n  " : "\n  ");
}

static void put_counters(struct status_text *text, const uint64_t counters[FOREBAY_COUNTERS])
{
	status_text_print(text, "{");
	for (int i = 0; i < FOREBAY_COUNTERS; i++)
		status_text_print(text, "%s\"%s\": %llu", i ? ", " : "",
		        forebay_counter_name((enum forebay_counter)i),
		        (unsigned long long)counters[i]);
	status_text_print(text, "}");
}

static void put_layer(
        struct status_text *text, struct forebay *layer, const struct forebay_layer_stat *stat)
{
	status_text_print(text, "\"layer\": {\"name\": ");
	status_text_json(text, forebay_layer_name(layer));
	status_text_print(text,
	        ", \"size\": %llu, \"age_ms\": %lld, \"processes\": %u, \"processes_max\": %u, "
	        "\"channels\": %u, \"channels_max\": %u, \"reply_channels_max\": %u, \"groups\": "
	        "%u, "
	        "\"groups_max\": %u, \"group_cells\": %u, \"group_cells_max\": %u, \"metrics\": "
	        "%u, "
	        "\"metrics_max\": %u,\n \"counters\": ",
	        (unsigned long long)stat->size, (long long)stat->age, stat->processes,
	        stat->processes_max, stat->channels, stat->channels_max, stat->reply_channels_max,
	        stat->groups, stat->groups_max, stat->group_cells, stat->group_cells_max,
	        stat->metrics, stat->metrics_max);
	put_counters(text, stat->counters);
	status_text_print(text, ",\n \"messages_per_second\": ");
	status_text_json_number(text, stat->statistics.messages_count_per_second);
	status_text_print(text, ", \"full_per_second\": ");
	status_text_json_number(text, stat->statistics.channel_full_count_per_second);
	status_text_print(text, ", \"pending\": %llu, \"oldest_seconds\": ",
	        (unsigned long long)stat->statistics.messages_pending);
	status_text_json_number(text, stat->statistics.messages_max_age);
	status_text_print(text, ",\n \"blocks\": [");
	for (size_t i = 0; i < sizeof(stat->blocks) / sizeof(stat->blocks[0]); i++)
		status_text_print(text, "%s{\"size\": %u, \"total\": %u, \"used\": %u}",
		        i ? ", " : "", stat->blocks[i].size, stat->blocks[i].total,
		        stat->blocks[i].used);
	status_text_print(text, "]}");
}

static int put_own_metric(const struct forebay_metric_stat *stat, void *context)
{
	struct list *list = context;

	// What it has counted may be an earlier process's, in the same slot.
	if (stat->kind != FOREBAY_METRIC_GAUGE)
		return 0;
	status_text_print(list->text, "%s", list->written++ ? ", " : "");
	status_text_json(list->text, stat->name);
	status_text_print(list->text, ": ");
	status_text_json_number(list->text, stat->value);
	return 0;
}

static int put_process(const struct forebay_process_stat *stat, void *context)
{
	struct list *list = context, gauges = {.text = list->text};
	struct channel_usage usage;

	separate(list);
	status_text_print(
	        list->text, "{\"slot\": %u, \"pid\": %d, \"role\": ", stat->slot, stat->pid);
	status_text_json(list->text, stat->role);
	status_text_print(list->text, ", \"alive\": %s", stat->alive ? "true" : "false");
	if (stat->alive && channel_usage_read("/proc", stat->pid, &usage)) {
		status_text_print(list->text, ", \"cpu_seconds\": ");
		status_text_json_number(
		        list->text, (double)usage.ticks / (double)sysconf(_SC_CLK_TCK));
		status_text_print(list->text, ", \"resident_bytes\": ");
		status_text_json_number(list->text, (double)usage.resident);
		status_text_print(list->text, ", \"own_bytes\": ");
		status_text_json_number(list->text, (double)usage.own);
	}
	status_text_print(list->text, ", \"counters\": ");
	put_counters(list->text, stat->counters);
	status_text_print(list->text, ", \"gauges\": {");
	(void)forebay_stat_process_metrics(list->layer, stat->slot, put_own_metric, &gauges);
	status_text_print(list->text, "}}");
	return 0;
}

static int put_channel(const struct forebay_channel_stat *stat, void *context)
{
	struct list *list = context;

	if (!status_is_listed(stat) || list->written == list->most) {
		list->left_out++;
		return 0;
	}
	separate(list);
	status_text_print(list->text, "{\"name\": ");
	status_text_json(list->text, stat->name);
	status_text_print(list->text,
	        ", \"capacity\": %u, \"pending\": %llu, \"sent\": %llu, \"received\": %llu, "
	        "\"full\": %llu, \"listeners\": %u, \"messages_per_second\": ",
	        stat->capacity, (unsigned long long)stat->pending, (unsigned long long)stat->sent,
	        (unsigned long long)stat->received, (unsigned long long)stat->full,
	        stat->listeners);
	status_text_json_number(list->text, stat->statistics.messages_count_per_second);
	status_text_print(list->text, ", \"full_per_second\": ");
	status_text_json_number(list->text, stat->statistics.channel_full_count_per_second);
	status_text_print(list->text, ", \"oldest_ms\": ");
	if (stat->oldest < 0)
		status_text_print(list->text, "null");
	else
		status_text_print(list->text, "%lld", (long long)stat->oldest);
	status_text_print(list->text, "}");
	return 0;
}

static int put_group(const struct forebay_group_stat *stat, void *context)
{
	struct list *list = context;

	if (list->written == list->most)
		return 1;
	separate(list);
	status_text_print(list->text, "{\"name\": ");
	status_text_json(list->text, stat->name);
	status_text_print(list->text, ", \"members\": %llu}", (unsigned long long)stat->size);
	return 0;
}

static int put_metric(const struct forebay_metric_stat *stat, void *context)
{
	struct list *list = context;

	separate(list);
	status_text_json(list->text, stat->name);
	status_text_print(list->text, ": ");
	status_text_json_number(list->text, stat->value);
	return 0;
}

void status_write_json(struct status_text *text, struct forebay *layer,
        const struct forebay_layer_stat *stat, bool ending)
{
	struct list list = {.text = text, .layer = layer, .most = STATUS_CHANNELS_MAX};

	status_text_print(text,
	        "{\"version\": \"" FOREBAY_VERSION "\", \"answered_by\": %d, "
	        "\"stopping\": %s,\n",
	        (int)getpid(), ending ? "true" : "false");
	put_layer(text, layer, stat);
	status_text_print(text, ",\n\"processes\": [");
	(void)forebay_stat_processes(layer, put_process, &list);
	status_text_print(text, "],\n\"channels\": [");
	list.written = 0;
	(void)forebay_stat_channels(layer, put_channel, &list);
	status_text_print(text, "],\n\"channels_not_listed\": %u,\n\"groups\": [", list.left_out);
	list.written = 0;
	list.most = STATUS_GROUPS_MAX;
	(void)forebay_stat_groups(layer, put_group, &list);
	status_text_print(text, "],\n\"metrics\": {");
	list.written = 0;
	(void)forebay_stat_metrics(layer, put_metric, &list);
	status_text_print(text, "}}\n");
}
