// SPDX-License-Identifier: MIT
// cli_stat.c - the subcommand stat.
#include <fnmatch.h>
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "channel/cli_command.h"

const char channel_cli_stat_help[] =
        "Usage: forebay stat [OPTIONS] [CHANNEL...]\n"
        "\n"
        "Shows what happens in a layer, without disturbing it: its counters, processes, channels "
        "and\n"
        "memory; or only the channels named, which may be patterns such as 'http.*'.\n"
        "\n" CHANNEL_CLI_LAYER_HELP
        "  -j, --json           one JSON object, for programs\n" CHANNEL_CLI_HELP_HELP "\n"
        "Rates (/s) are of the last second. `dropped` are messages that nobody has received: "
        "expired,\n"
        "flushed, displaced by newer ones, gone, bad, or lost with their receiver. In JSON, the\n"
        "object itself and each channel have messages_count, messages_count_per_second,\n"
        "messages_pending, messages_max_age (seconds), channel_full_count and\n"
        "channel_full_count_per_second; with CHANNEL, `channels` has only those.\n";

// Why messages of a channel can end unread.
static const enum forebay_counter drop_reasons[] = {FOREBAY_COUNT_EXPIRED, FOREBAY_COUNT_FLUSHED,
        FOREBAY_COUNT_DISPLACED, FOREBAY_COUNT_GONE, FOREBAY_COUNT_BAD, FOREBAY_COUNT_LOST};

enum { DROP_REASONS = sizeof drop_reasons / sizeof drop_reasons[0] };

static uint64_t count_dropped(const struct forebay_channel_stat *stat)
{
	uint64_t count = 0;

	for (size_t i = 0; i < DROP_REASONS; i++)
		count += stat->dropped[drop_reasons[i]];
	return count;
}

// Whether the channel is one of those that the command line names; all are if it names none. A name may look like
// a pattern.
static bool is_wanted(const struct channel_cli_arguments *arguments, const char *name)
{
	for (int i = 0; i < arguments->name_count; i++)
		if (strcmp(arguments->names[i], name) == 0 ||
		        fnmatch(arguments->names[i], name, FNM_NOESCAPE) == 0)
			return true;
	return arguments->name_count == 0;
}

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

static void show_rate(double rate)
{
	printf(" %8.*f", rate < 1000 ? 1 : 0, rate);
}

static int show_channel(const struct forebay_channel_stat *stat, void *context)
{
	const struct forebay_statistics *statistics = &stat->statistics;

	if (!is_wanted(context, stat->name))
		return 0;
	printf("%8" PRIu64 " %8" PRIu32 " %12" PRIu64, stat->pending, stat->capacity, stat->sent);
	show_rate(statistics->messages_count_per_second);
	printf(" %12" PRIu64 " %10" PRIu64, stat->received, stat->full);
	show_rate(statistics->channel_full_count_per_second);
	printf(" %10" PRIu64, count_dropped(stat));
	if (stat->oldest < 0)
		printf(" %10s", "-");
	else
		printf(" %8.1f s", (double)stat->oldest / 1000);
	printf(" %9" PRIu32 "  %s\n", stat->listeners, stat->name); // the longest last
	return 0;
}

static int show_channels(struct forebay *layer, const struct channel_cli_arguments *arguments)
{
	printf("%8s %8s %12s %8s %12s %10s %8s %10s %10s %9s  %s\n", "pending", "capacity", "sent",
	        "/s", "received", "full", "/s", "dropped", "oldest", "listeners", "channel");
	return forebay_stat_channels(layer, show_channel, (void *)arguments);
}

static void show_counters(const struct forebay_layer_stat *stat)
{
	for (int i = 0; i < FOREBAY_COUNTERS; i++)
		printf("  %-18s %14" PRIu64 "%s", forebay_counter_name((enum forebay_counter)i),
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

static void show_statistics(const struct forebay_layer_stat *stat)
{
	const struct forebay_statistics *statistics = &stat->statistics;

	printf("  %.1f messages a second, %.1f refused; %" PRIu64 " waiting, %.1f s at most\n\n",
	        statistics->messages_count_per_second, statistics->channel_full_count_per_second,
	        statistics->messages_pending, statistics->messages_max_age);
}

static int show_stat(struct forebay *layer, const struct channel_cli_arguments *arguments)
{
	struct forebay_layer_stat stat;
	int result = forebay_stat(layer, &stat);

	if (result != 0)
		return result;
	printf("Layer %s: %.1f MiB, %" PRIu32 " of %" PRIu32 " processes, %" PRIu32 " of %" PRIu32
	       " channels, %" PRIu32 " of %" PRIu32 " groups\n\n",
	        forebay_layer_name(layer), (double)stat.size / (1 << 20), stat.processes,
	        stat.processes_max, stat.channels, stat.channels_max, stat.groups, stat.groups_max);
	if (*forebay_layer_drops(layer))
		printf("Drops messages on purpose: %s\n\n", forebay_layer_drops(layer));
	show_statistics(&stat);
	show_counters(&stat);
	printf("\n%6s %8s  %-15s  %-5s", "slot", "pid", "role", "state");
	for (size_t i = 0; i < sizeof process_counters / sizeof process_counters[0]; i++)
		printf(" %12s", forebay_counter_name(process_counters[i]));
	putchar('\n');
	result = forebay_stat_processes(layer, show_process, NULL);
	if (result != 0)
		return result;
	putchar('\n');
	result = show_channels(layer, arguments);
	show_blocks(&stat);
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

// By the names of Channels 1.x.
static void print_statistics(const struct forebay_statistics *statistics)
{
	printf("\"messages_count\": %" PRIu64 ", \"messages_count_per_second\": %.3f"
	       ", \"messages_pending\": %" PRIu64 ", \"messages_max_age\": %.3f"
	       ", \"channel_full_count\": %" PRIu64 ", \"channel_full_count_per_second\": %.3f",
	        statistics->messages_count, statistics->messages_count_per_second,
	        statistics->messages_pending, statistics->messages_max_age,
	        statistics->channel_full_count, statistics->channel_full_count_per_second);
}

static void print_dropped(const struct forebay_channel_stat *stat)
{
	fputs(", \"dropped\": {", stdout);
	for (size_t i = 0; i < DROP_REASONS; i++)
		printf("%s\"%s\": %" PRIu64, i ? ", " : "", forebay_counter_name(drop_reasons[i]),
		        stat->dropped[drop_reasons[i]]);
	putchar('}');
}

// What is printed of the channels, and what separates the next from the one before.
struct channel_list {
	const struct channel_cli_arguments *arguments;
	const char *separator;
};

static int print_channel(const struct forebay_channel_stat *stat, void *context)
{
	struct channel_list *list = context;

	if (!is_wanted(list->arguments, stat->name))
		return 0;
	separate(&list->separator);
	fputs("{\"name\": ", stdout);
	channel_cli_quote(stat->name);
	printf(", \"capacity\": %" PRIu32 ", \"pending\": %" PRIu64 ", \"sent\": %" PRIu64
	       ", \"received\": %" PRIu64 ", \"full\": %" PRIu64 ", \"policy\": \"%s\""
	       ", \"listeners\": %" PRIu32,
	        stat->capacity, stat->pending, stat->sent, stat->received, stat->full,
	        forebay_policy_name(stat->policy), stat->listeners);
	if (stat->oldest < 0)
		fputs(", \"oldest_ms\": null, ", stdout);
	else
		printf(", \"oldest_ms\": %" PRId64 ", ", stat->oldest);
	print_statistics(&stat->statistics);
	print_dropped(stat);
	putchar('}');
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

static int print_stat(struct forebay *layer, const struct channel_cli_arguments *arguments)
{
	struct channel_list list = {.arguments = arguments, .separator = ""};
	const char *separator = "";
	struct forebay_layer_stat stat;
	int result = forebay_stat(layer, &stat);

	if (result != 0)
		return result;
	fputs("{\"layer\": ", stdout);
	channel_cli_quote(forebay_layer_name(layer));
	printf(", \"size\": %" PRIu64 ", \"age_ms\": %" PRId64 ", \"channels_max\": %" PRIu32
	       ", \"reply_channels_max\": %" PRIu32 ", \"processes_max\": %" PRIu32
	       ", \"groups\": %" PRIu32 ", \"groups_max\": %" PRIu32 ", \"group_cells\": %" PRIu32
	       ", \"group_cells_max\": %" PRIu32 ", \"metrics_max\": %" PRIu32 ", ",
	        stat.size, stat.age, stat.channels_max, stat.reply_channels_max, stat.processes_max,
	        stat.groups, stat.groups_max, stat.group_cells, stat.group_cells_max,
	        stat.metrics_max);
	fputs("\"drops\": ", stdout);
	channel_cli_quote(forebay_layer_drops(layer));
	fputs(", ", stdout);
	print_statistics(&stat.statistics);
	fputs(", ", stdout);
	print_counters(stat.counters);
	fputs(", \"processes\": [", stdout);
	result = forebay_stat_processes(layer, print_process, &separator);
	if (result != 0)
		return result;
	fputs("], \"channels\": [", stdout);
	result = forebay_stat_channels(layer, print_channel, &list);
	print_blocks(&stat);
	fputs("], \"metrics\": [", stdout);
	separator = "";
	if (result == 0)
		result = forebay_stat_metrics(layer, print_metric, &separator);
	fputs("]}\n", stdout);
	return result;
}

int channel_cli_stat(struct forebay *layer, const struct channel_cli_arguments *arguments)
{
	int result = arguments->json             ? print_stat(layer, arguments)
	             : arguments->name_count > 0 ? show_channels(layer, arguments)
	                                         : show_stat(layer, arguments);

	if (result != 0) {
		channel_cli_complain("can't read the statistics: %s", forebay_strerror(result));
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}
