// SPDX-License-Identifier: MIT
// cli_top_sample.c - one look at a layer, and at what the kernel says about the processes in it.
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "channel/cli_top.h"

#define SHARE 100 // looking takes at most one part in so many of a processor's time

const char *const top_sort_names[TOP_SORTS] = {
        [TOP_RATE] = "rate",
        [TOP_WAITING] = "waiting",
        [TOP_OLDEST] = "oldest",
        [TOP_FULL] = "full",
        [TOP_DROPPED] = "dropped",
        [TOP_NAME] = "name",
};

// ---------------------------------------------------------------------------------------------
// Orders
// ---------------------------------------------------------------------------------------------

#define DESCENDING(A, B) (((A) < (B)) - ((A) > (B)))

static int by_name(const struct top_channel *a, const struct top_channel *b)
{
	return strcmp(a->name, b->name);
}

static int by_rate(const struct top_channel *a, const struct top_channel *b)
{
	int order = DESCENDING(a->stat.statistics.messages_count_per_second,
	        b->stat.statistics.messages_count_per_second);

	return order ? order : DESCENDING(a->stat.sent, b->stat.sent);
}

static int by_waiting(const struct top_channel *a, const struct top_channel *b)
{
	return DESCENDING(a->stat.pending, b->stat.pending);
}

static int by_oldest(const struct top_channel *a, const struct top_channel *b)
{
	return DESCENDING(a->stat.oldest, b->stat.oldest);
}

static int by_full(const struct top_channel *a, const struct top_channel *b)
{
	int order = DESCENDING(a->stat.statistics.channel_full_count_per_second,
	        b->stat.statistics.channel_full_count_per_second);

	return order ? order : DESCENDING(a->stat.full, b->stat.full);
}

static int by_dropped(const struct top_channel *a, const struct top_channel *b)
{
	return DESCENDING(a->dropped, b->dropped);
}

// One function for each order, since qsort() passes nothing else on. What is equal is in the order of names.
#define ORDER(NAME)                                                                                \
	static int order_##NAME(const void *a, const void *b)                                      \
	{                                                                                          \
		int order = by_##NAME(a, b);                                                       \
                                                                                                   \
		return order ? order : by_name(a, b);                                              \
	}                                                                                          \
	static int reverse_##NAME(const void *a, const void *b)                                    \
	{                                                                                          \
		return order_##NAME(b, a);                                                         \
	}

ORDER(rate)
ORDER(waiting)
ORDER(oldest)
ORDER(full)
ORDER(dropped)
ORDER(name)

static int (*const orders[TOP_SORTS][2])(const void *a, const void *b) = {
        [TOP_RATE] = {order_rate, reverse_rate},
        [TOP_WAITING] = {order_waiting, reverse_waiting},
        [TOP_OLDEST] = {order_oldest, reverse_oldest},
        [TOP_FULL] = {order_full, reverse_full},
        [TOP_DROPPED] = {order_dropped, reverse_dropped},
        [TOP_NAME] = {order_name, reverse_name},
};

// The busiest, or largest, come first.
static double weight_of(const struct top_process *process, enum top_process_sort sort)
{
	switch (sort) {
	case TOP_BY_MESSAGES:
		return process->sent_rate + process->received_rate;
	case TOP_BY_PROCESSOR:
		return process->processor;
	case TOP_BY_MEMORY:
		return (double)process->usage.own;
	default:
		return 0;
	}
}

static int compare_processes(const void *a, const void *b, void *sort)
{
	const struct top_process *first = a, *second = b;
	enum top_process_sort by = *(const enum top_process_sort *)sort;
	double left = weight_of(first, by), right = weight_of(second, by);
	int order = DESCENDING(left, right);

	return order ? order : (first->slot > second->slot) - (first->slot < second->slot);
}

static int compare_groups(const void *a, const void *b)
{
	const struct top_group *first = a, *second = b;
	int order = DESCENDING(first->size, second->size);

	return order ? order : strcmp(first->name, second->name);
}

// ---------------------------------------------------------------------------------------------
// The layer
// ---------------------------------------------------------------------------------------------

static int keep_channel(const struct forebay_channel_stat *stat, void *context)
{
	struct top_channel channel = {.stat = *stat};

	channel.stat.name = NULL; // it is the callback's
	snprintf(channel.name, sizeof channel.name, "%s", stat->name);
	for (int i = 0; i < FOREBAY_COUNTERS; i++)
		channel.dropped += stat->dropped[i];
	top_list_offer(context, &channel);
	return 0;
}

static int keep_group(const struct forebay_group_stat *stat, void *context)
{
	struct top_group group = {.size = stat->size};

	snprintf(group.name, sizeof group.name, "%s", stat->name);
	top_list_offer(context, &group);
	return 0;
}

static int keep_process(const struct forebay_process_stat *stat, void *context)
{
	struct top_sample *sample = context;
	struct top_process *process = &sample->processes[sample->process_count];

	if (sample->process_count == TOP_PROCESSES)
		return 0;
	sample->process_count++;
	*process = (struct top_process){
	        .slot = stat->slot,
	        .pid = stat->pid,
	        .alive = stat->alive,
	        .sent = stat->counters[FOREBAY_COUNT_SENT],
	        .received = stat->counters[FOREBAY_COUNT_RECEIVED],
	        .sent_rate = -1,
	        .received_rate = -1,
	        .processor = -1,
	        .http = -1,
	        .websockets = -1,
	};
	snprintf(process->role, sizeof process->role, "%s", stat->role);
	return 0;
}

// What a server's worker says of itself.
static int keep_connections(const struct forebay_metric_stat *stat, void *context)
{
	struct top_process *process = context;

	if (stat->kind != FOREBAY_METRIC_GAUGE || !isfinite(stat->value))
		return 0;
	if (strcmp(stat->name, "forebay_http_connections") == 0)
		process->http = stat->value;
	else if (strcmp(stat->name, "forebay_websocket_connections") == 0)
		process->websockets = stat->value;
	return 0;
}

// ---------------------------------------------------------------------------------------------
// Two looks
// ---------------------------------------------------------------------------------------------

static const struct top_process *find_slot(const struct top_sample *sample, uint32_t slot)
{
	for (uint32_t i = 0; sample && i < sample->process_count; i++)
		if (sample->processes[i].slot == slot)
			return &sample->processes[i];
	return NULL;
}

static bool is_same(const struct top_process *a, const struct top_process *b)
{
	return a && b && a->pid == b->pid && a->usage.started == b->usage.started;
}

// What grew from BEFORE to NOW, a second.
static double growth(uint64_t before, uint64_t now, double seconds)
{
	return now > before ? (double)(now - before) / seconds : 0;
}

static void compare(struct top_sample *sample, const struct top_sample *before)
{
	double seconds = before ? (double)(sample->at - before->at) / 1000 : 0;

	for (uint32_t i = 0; i < sample->process_count && seconds > 0; i++) {
		struct top_process *process = &sample->processes[i];
		const struct top_process *then = find_slot(before, process->slot);

		if (!is_same(then, process))
			continue;
		process->sent_rate = growth(then->sent, process->sent, seconds);
		process->received_rate = growth(then->received, process->received, seconds);
		if (process->usage.started)
			process->processor =
			        100 * growth(then->usage.ticks, process->usage.ticks, seconds) /
			        (double)sample->ticks;
	}
}

// Counts those of A that aren't in B any more. *ONE gets one of them.
static uint32_t count_others(
        const struct top_sample *a, const struct top_sample *b, const struct top_process **one)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < a->process_count; i++) {
		const struct top_process *process = &a->processes[i];
		const struct top_process *other = find_slot(b, process->slot);

		if (!process->alive || (is_same(other, process) && other->alive))
			continue;
		*one = process;
		count++;
	}
	return count;
}

static void tell_news(struct top_sample *sample, const struct top_sample *before)
{
	const struct top_process *one = NULL;
	uint32_t come = 0, gone = 0;

	sample->news[0] = '\0';
	if (!before)
		return;
	come = count_others(sample, before, &one);
	gone = count_others(before, sample, &one);
	if (come + gone == 1)
		snprintf(sample->news, sizeof sample->news, "%s (process %" PRId32 ") has %s",
		        one->role[0] ? one->role : "somebody", one->pid, come ? "come" : "gone");
	else if (come + gone > 0)
		snprintf(sample->news, sizeof sample->news,
		        "%" PRIu32 " processes have come, %" PRIu32 " have gone", come, gone);
}

// ---------------------------------------------------------------------------------------------
// A look
// ---------------------------------------------------------------------------------------------

void top_sample_init(struct top_sample *sample)
{
	*sample = (struct top_sample){
	        .ticks = sysconf(_SC_CLK_TCK),
	        .proc = "/proc",
	        .channels = {.size = sizeof(struct top_channel)},
	        .groups = {.size = sizeof(struct top_group), .compare = compare_groups},
	};
}

void top_sample_fini(struct top_sample *sample)
{
	top_list_fini(&sample->channels);
	top_list_fini(&sample->groups);
}

static int look(struct top_sample *sample, struct forebay *layer)
{
	int result = forebay_stat(layer, &sample->layer);

	sample->process_count = 0;
	if (result == 0)
		result = forebay_stat_processes(layer, keep_process, sample);
	if (result == 0)
		result = forebay_stat_channels(layer, keep_channel, &sample->channels);
	if (result == 0)
		result = forebay_stat_groups(layer, keep_group, &sample->groups);
	for (uint32_t i = 0; i < sample->process_count && result == 0; i++) {
		struct top_process *process = &sample->processes[i];

		if (!process->alive)
			continue;
		(void)channel_usage_read(sample->proc, process->pid, &process->usage);
		result = forebay_stat_process_metrics(
		        layer, process->slot, keep_connections, process);
	}
	return result;
}

// ms of processor time that this thread has used.
static double processor_time(void)
{
	struct timespec used;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (double)used.tv_sec * 1e3 + (double)used.tv_nsec / 1e6;
}

int top_sample_take(struct top_sample *sample, const struct top_sample *before,
        struct forebay *layer, int64_t now, uint32_t room)
{
	double begun = processor_time();
	int result;

	sample->channels.compare = orders[sample->sort][sample->reverse];
	if (!top_list_begin(&sample->channels, room) || !top_list_begin(&sample->groups, room))
		return -ENOMEM;
	sample->at = now;
	result = look(sample, layer);
	if (result != 0)
		return result;
	top_list_end(&sample->channels);
	top_list_end(&sample->groups);
	compare(sample, before);
	tell_news(sample, before);
	qsort_r(sample->processes, sample->process_count, sizeof sample->processes[0],
	        compare_processes, &sample->process_sort);
	sample->cost = processor_time() - begun;
	return 0;
}

int64_t top_pause(const struct top_sample *sample, int64_t interval)
{
	double least = sample->cost * SHARE;

	return least > (double)interval ? (int64_t)least : interval;
}
