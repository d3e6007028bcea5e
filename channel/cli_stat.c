// SPDX-License-Identifier: MIT
// cli_stat.c - the subcommand stat.
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>

#include "channel/cli_command.h"

// ---------------------------------------------------------------------------------------------
// stat, for people
// ---------------------------------------------------------------------------------------------

enum {
	BLOCK_CLASSES = sizeof((struct forebay_layer_stat *)NULL)->blocks /
	                sizeof((struct forebay_layer_stat *)NULL)->blocks[0]
};

// The counters in the processes' table; the layer's own table has all.
static const enum forebay_counter process_counters[] = {FOREBAY_COUNT_SENT, FOREBAY_COUNT_RECEIVED,
        FOREBAY_COUNT_FULL, FOREBAY_COUNT_GONE, FOREBAY_COUNT_WAKEUPS};

static int show_process(const struct forebay_process_stat *stat, void *context)
{
	(void)context;
	printf("%6" PRIu32 " %8" PRId32 "  %-15s  %-5s", stat->slot, stat->pid, stat->role,
	        stat->alive ? "alive" : "dead");
	for (size_t i = 0; i < sizeof process_counters / sizeof process_counters[0]; i++)
		printf(" %12" PRIu64, stat->counters[process_counters[i]]);
	putchar('\n');
	return 0;
}

static int show_channel(const struct forebay_channel_stat *stat, void *context)
{
	(void)context;
	printf("%8" PRIu64 " %8" PRIu32 " %12" PRIu64 " %12" PRIu64 " %10" PRIu64, stat->pending,
	        stat->capacity, stat->sent, stat->received, stat->full);
	if (stat->oldest < 0)
		printf(" %10s", "-");
	else
		printf(" %8.1f s", (double)stat->oldest / 1000);
	printf(" %9" PRIu32 "  %s\n", stat->listeners, stat->name); // the longest last
	return 0;
}

static void show_counters(const struct forebay_layer_stat *stat)
{
	for (int i = 0; i < FOREBAY_COUNTERS; i++)
		printf("  %-12s %14" PRIu64 "%s", forebay_counter_name((enum forebay_counter)i),
		        stat->counters[i], i % 3 == 2 || i + 1 == FOREBAY_COUNTERS ? "\n" : "   ");
}

static void show_blocks(const struct forebay_layer_stat *stat)
{
	printf("\n%10s %10s %10s %7s\n", "block size", "blocks", "in use", "");
	for (size_t i = 0; i < BLOCK_CLASSES; i++) {
		uint32_t total = stat->blocks[i].total, used = stat->blocks[i].used;

		printf("%10" PRIu32 " %10" PRIu32 " %10" PRIu32 " %5.1f %%\n", stat->blocks[i].size,
		        total, used, total ? 100.0 * used / total : 0);
	}
}

// CONTEXT says whether a metric has been shown.
static int show_metric(const struct forebay_metric_stat *stat, void *context)
{
	bool *shown = context;

	if (!*shown)
		printf("\n%16s  %s\n", "value", "metric");
	*shown = true;
	printf("%16.15g  %s\n", stat->value, stat->name);
	return 0;
}

static int show_stat(struct forebay *layer, const struct forebay_layer_stat *stat)
{
	int result;

	printf("Layer %s: %.1f MiB, %" PRIu32 " of %" PRIu32 " processes, %" PRIu32 " of %" PRIu32
	       " channels, %" PRIu32 " of %" PRIu32 " groups\n\n",
	        forebay_layer_name(layer), (double)stat->size / (1 << 20), stat->processes,
	        stat->processes_max, stat->channels, stat->channels_max, stat->groups,
	        stat->groups_max);
	show_counters(stat);
	printf("\n%6s %8s  %-15s  %-5s", "slot", "pid", "role", "state");
	for (size_t i = 0; i < sizeof process_counters / sizeof process_counters[0]; i++)
		printf(" %12s", forebay_counter_name(process_counters[i]));
	putchar('\n');
	result = forebay_stat_processes(layer, show_process, NULL);
	if (result != 0)
		return result;
	printf("\n%8s %8s %12s %12s %10s %10s %9s  %s\n", "pending", "capacity", "sent", "received",
	        "full", "oldest", "listeners", "channel");
	result = forebay_stat_channels(layer, show_channel, NULL);
	show_blocks(stat);
	return result != 0 ? result : forebay_stat_metrics(layer, show_metric, &(bool){false});
}

// ---------------------------------------------------------------------------------------------
// stat, for programs
// ---------------------------------------------------------------------------------------------

static void print_counters(const uint64_t counters[FOREBAY_COUNTERS])
{
	fputs("\"counters\": {", stdout);
	for (int i = 0; i < FOREBAY_COUNTERS; i++)
		printf("%s\"%s\": %" PRIu64, i ? ", " : "",
		        forebay_counter_name((enum forebay_counter)i), counters[i]);
	putchar('}');
}

// CONTEXT is what separates this member of the list from the one before.
static void separate(const char **separator)
{
	fputs(*separator, stdout);
	*separator = ", ";
}

static int print_process(const struct forebay_process_stat *stat, void *context)
{
	separate(context);
	printf("{\"slot\": %" PRIu32 ", \"pid\": %" PRId32 ", \"role\": ", stat->slot, stat->pid);
	channel_cli_quote(stat->role);
	printf(", \"alive\": %s, ", stat->alive ? "true" : "false");
	print_counters(stat->counters);
	putchar('}');
	return 0;
}

static int print_channel(const struct forebay_channel_stat *stat, void *context)
{
	separate(context);
	fputs("{\"name\": ", stdout);
	channel_cli_quote(stat->name);
	printf(", \"capacity\": %" PRIu32 ", \"pending\": %" PRIu64 ", \"sent\": %" PRIu64
	       ", \"received\": %" PRIu64 ", \"full\": %" PRIu64 ", \"listeners\": %" PRIu32,
	        stat->capacity, stat->pending, stat->sent, stat->received, stat->full,
	        stat->listeners);
	if (stat->oldest < 0)
		fputs(", \"oldest_ms\": null}", stdout);
	else
		printf(", \"oldest_ms\": %" PRId64 "}", stat->oldest);
	return 0;
}

static int print_metric(const struct forebay_metric_stat *stat, void *context)
{
	static const char *const kinds[] = {
	        [FOREBAY_METRIC_COUNTER] = "counter",
	        [FOREBAY_METRIC_GAUGE] = "gauge",
	        [FOREBAY_METRIC_HISTOGRAM] = "histogram",
	};

	separate(context);
	fputs("{\"name\": ", stdout);
	channel_cli_quote(stat->name);
	fputs(", \"help\": ", stdout);
	channel_cli_quote(stat->help);
	printf(", \"kind\": \"%s\", \"value\": ", kinds[stat->kind]);
	// JSON has no word for an infinity or for what isn't a number.
	if (isfinite(stat->value))
		printf("%.17g}", stat->value);
	else
		fputs("null}", stdout);
	return 0;
}

static void print_blocks(const struct forebay_layer_stat *stat)
{
	fputs("], \"blocks\": [", stdout);
	for (size_t i = 0; i < BLOCK_CLASSES; i++)
		printf("%s{\"size\": %" PRIu32 ", \"total\": %" PRIu32 ", \"used\": %" PRIu32 "}",
		        i ? ", " : "", stat->blocks[i].size, stat->blocks[i].total,
		        stat->blocks[i].used);
}

static int print_stat(struct forebay *layer, const struct forebay_layer_stat *stat)
{
	const char *separator = "";
	int result;

	fputs("{\"layer\": ", stdout);
	channel_cli_quote(forebay_layer_name(layer));
	printf(", \"size\": %" PRIu64 ", \"channels_max\": %" PRIu32
	       ", \"reply_channels_max\": %" PRIu32 ", \"processes_max\": %" PRIu32
	       ", \"groups\": %" PRIu32 ", \"groups_max\": %" PRIu32 ", \"group_cells\": %" PRIu32
	       ", \"group_cells_max\": %" PRIu32 ", \"metrics_max\": %" PRIu32 ", ",
	        stat->size, stat->channels_max, stat->reply_channels_max, stat->processes_max,
	        stat->groups, stat->groups_max, stat->group_cells, stat->group_cells_max,
	        stat->metrics_max);
	print_counters(stat->counters);
	fputs(", \"processes\": [", stdout);
	result = forebay_stat_processes(layer, print_process, &separator);
	if (result != 0)
		return result;
	fputs("], \"channels\": [", stdout);
	separator = "";
	result = forebay_stat_channels(layer, print_channel, &separator);
	print_blocks(stat);
	fputs("], \"metrics\": [", stdout);
	separator = "";
	if (result == 0)
		result = forebay_stat_metrics(layer, print_metric, &separator);
	fputs("]}\n", stdout);
	return result;
}

int channel_cli_stat(struct forebay *layer, const struct channel_cli_arguments *arguments)
{
	struct forebay_layer_stat stat;
	int result = forebay_stat(layer, &stat);

	if (result == 0)
		result = arguments->json ? print_stat(layer, &stat) : show_stat(layer, &stat);
	if (result != 0) {
		channel_cli_complain("can't read the statistics: %s", forebay_strerror(result));
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}
