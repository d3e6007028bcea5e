// SPDX-License-Identifier: MIT
// cli_top_frame.c - what is shown of a look at a layer, as lines of text, of any width and height.
//
//   head      the layer as a whole, six lines, or as many as there is room for
//   sections  processes, channels, groups, each under a line with the names of its columns
//
// With all sections in view processes get at most a third of the room, groups a fifth, and channels the rest; it is
// these that are scrolled then.
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "channel/cli_top.h"

enum {
	HEAD_LINES = 6,
	LINE_MAX_SIZE = 1024,
	TEXT = 16, // octets of a number, as text
};

static const char *const help_lines[] = {
        "q            end",
        "? or h       show or leave this",
        "p            pause, go on",
        "space        look at once",
        "+ -          look more often, less often",
        "Tab          all, processes, channels, groups",
        "up down      scroll, also j k, PgUp PgDn, Home End",
        "r w o        sort channels by rate, by what waits, by the oldest",
        "f d n        ... by sends refused, by messages dropped, by name",
        "R            in reverse order",
        "c m s i      sort processes by CPU, by OWN memory, by messages, by slot",
        "",
        "SENT/s RECV/s  messages a second, since the look before",
        "RES OWN        memory; OWN is without what is shared, such as the layer",
        "HTTP WS        open connections of a server's worker",
        "MSG/s FULL/s   messages sent, and sends refused, in the last second",
        "WAITING/OF     messages that wait, of how many can; OLDEST: since when",
        "DROP LSN       messages ended unread (expired, ...); processes that listen",
};

enum { HELP_LINES = sizeof help_lines / sizeof help_lines[0] };

// ---------------------------------------------------------------------------------------------
// Numbers
// ---------------------------------------------------------------------------------------------

// What is a million or more, in at most six columns.
static const char *large_text(char text[TEXT], double number)
{
	static const char units[] = "MGTPE";
	size_t unit = 0;

	for (number /= 1e6; number >= 999.95 && units[unit + 1]; unit++)
		number /= 1000;
	snprintf(text, TEXT, "%.1f%c", number, units[unit]);
	return text;
}

static const char *rate_text(char text[TEXT], double rate)
{
	if (rate >= 999999.5)
		return large_text(text, rate);
	if (rate < 0)
		snprintf(text, TEXT, "-");
	else
		snprintf(text, TEXT, "%.*f", rate < 999.95, rate);
	return text;
}

static const char *count_text(char text[TEXT], uint64_t count)
{
	if (count >= 1000000)
		return large_text(text, (double)count);
	snprintf(text, TEXT, "%" PRIu64, count);
	return text;
}

static const char *memory_text(char text[TEXT], uint64_t octets)
{
	double kibi = (double)octets / 1024;

	if (octets == 0)
		snprintf(text, TEXT, "-");
	else if (kibi < 9999.5)
		snprintf(text, TEXT, "%.0fK", kibi);
	else if (kibi < 9999.5 * 1024)
		snprintf(text, TEXT, "%.1fM", kibi / 1024);
	else
		snprintf(text, TEXT, "%.1fG", kibi / (1 << 20));
	return text;
}

static const char *age_text(char text[TEXT], int64_t ms)
{
	if (ms < 0)
		snprintf(text, TEXT, "-");
	else if (ms < 600000)
		snprintf(text, TEXT, "%.1f s", (double)ms / 1e3);
	else if (ms < 36000000)
		snprintf(text, TEXT, "%.1f m", (double)ms / 6e4);
	else if (ms < 3600000000)
		snprintf(text, TEXT, "%.1f h", (double)ms / 3.6e6);
	else
		snprintf(text, TEXT, ">1000 h");
	return text;
}

// A whole number that isn't always known.
static const char *gauge_text(char text[TEXT], double value)
{
	return value < 0 ? "-" : count_text(text, value < 1e18 ? (uint64_t)value : UINT64_MAX);
}

static const char *uptime_text(char text[2 * TEXT], int64_t ms)
{
	int64_t seconds = ms / 1000;
	int length = 0;

	if (seconds >= 86400)
		length = snprintf(text, 2 * TEXT, "%" PRId64 " d ", seconds / 86400);
	snprintf(text + length, (size_t)(2 * TEXT - length), "%d:%02d:%02d",
	        (int)(seconds / 3600 % 24), (int)(seconds / 60 % 60), (int)(seconds % 60));
	return text;
}

// ---------------------------------------------------------------------------------------------
// Lines
// ---------------------------------------------------------------------------------------------

struct frame {
	const struct top_sample *sample;
	const struct top_view *view;
	top_line show;
	void *context;
	uint32_t left; // lines
};

__attribute__((format(printf, 3, 4))) static void line(
        struct frame *frame, enum top_style style, const char *format, ...)
{
	char text[LINE_MAX_SIZE];
	size_t length;
	va_list list;

	if (frame->left == 0)
		return;
	frame->left--;
	va_start(list, format);
	vsnprintf(text, sizeof text, format, list);
	va_end(list);
	length = strlen(text);
	if (length > frame->view->width)
		length = frame->view->width;
	while (length > 0 && text[length - 1] == ' ' && style != TOP_HEAD)
		length--;
	text[length] = '\0';
	frame->show(text, style, frame->context);
}

static void show_title(struct frame *frame)
{
	const struct top_view *view = frame->view;
	const struct top_sample *sample = frame->sample;
	int64_t pause = sample ? top_pause(sample, view->interval) : view->interval;
	char up[2 * TEXT];

	line(frame, TOP_PLAIN, "forebay top - %s, %s%s%s, every %.1f s%s%s%s", view->layer,
	        sample ? "up " : "", sample ? uptime_text(up, sample->layer.age) : "gone",
	        view->clock, (double)pause / 1000, sample ? ", by " : "",
	        sample ? top_sort_names[sample->sort] : "", view->paused ? ", PAUSED" : "");
}

static void show_messages(struct frame *frame)
{
	const struct forebay_statistics *statistics = &frame->sample->layer.statistics;
	char sent[TEXT], full[TEXT], waiting[TEXT], oldest[TEXT], all[TEXT];

	line(frame, TOP_PLAIN,
	        "Messages  %s/s sent, %s/s refused; %s waiting, %s at most; %s in all",
	        rate_text(sent, statistics->messages_count_per_second),
	        rate_text(full, statistics->channel_full_count_per_second),
	        count_text(waiting, statistics->messages_pending),
	        age_text(oldest, (int64_t)(statistics->messages_max_age * 1000)),
	        count_text(all, statistics->messages_count));
}

static void show_use(struct frame *frame)
{
	const struct forebay_layer_stat *stat = &frame->sample->layer;

	line(frame, TOP_PLAIN,
	        "In use    %" PRIu32 " of %" PRIu32 " channels, %" PRIu32 " of %" PRIu32
	        " processes, %" PRIu32 " of %" PRIu32 " groups",
	        stat->channels, stat->channels_max, stat->processes, stat->processes_max,
	        stat->groups, stat->groups_max);
}

static void show_memory(struct frame *frame)
{
	const struct forebay_layer_stat *stat = &frame->sample->layer;
	char text[LINE_MAX_SIZE], size[TEXT];
	size_t length = 0;

	for (size_t i = 0; i < sizeof stat->blocks / sizeof stat->blocks[0]; i++) {
		uint32_t octets = stat->blocks[i].size, total = stat->blocks[i].total;

		length += (size_t)snprintf(text + length, sizeof text - length, "%s%s %.1f%%",
		        i ? ", " : "", octets < 1024 ? "512B" : memory_text(size, octets),
		        total ? 100.0 * stat->blocks[i].used / total : 0);
	}
	line(frame, TOP_PLAIN, "Memory    blocks of %s in use; %s in all", text,
	        memory_text(size, stat->size));
}

// Since the layer was made; what is dropped is what nobody wants to see.
static void show_drops(struct frame *frame)
{
	const uint64_t *counters = frame->sample->layer.counters;
	char text[LINE_MAX_SIZE] = "", number[TEXT];
	size_t length = 0;

	for (int i = 0; i < FOREBAY_COUNTERS; i++) {
		if (counters[i] == 0 || i == FOREBAY_COUNT_SENT || i == FOREBAY_COUNT_RECEIVED ||
		        i == FOREBAY_COUNT_WAKEUPS || i == FOREBAY_COUNT_HISTORY)
			continue;
		length += (size_t)snprintf(text + length, sizeof text - length, "%s%s %s",
		        length ? ", " : "", forebay_counter_name((enum forebay_counter)i),
		        count_text(number, counters[i]));
	}
	line(frame, length ? TOP_ALARM : TOP_PLAIN, "Dropped   %s", length ? text : "nothing");
}

static uint32_t head_lines(const struct top_view *view)
{
	return view->height >= 14 ? HEAD_LINES : view->height >= 8 ? 2 : 1;
}

static void show_head(struct frame *frame)
{
	uint32_t lines = head_lines(frame->view);
	const struct top_sample *sample = frame->sample;
	const char *notice = frame->view->notice;

	show_title(frame);
	if (lines > 1 && sample)
		show_messages(frame);
	if (lines == HEAD_LINES && sample) {
		show_use(frame);
		show_memory(frame);
		show_drops(frame);
	}
	if (lines == HEAD_LINES || !sample)
		line(frame, TOP_ALARM, "%s", notice ? notice : sample ? sample->news : "");
}

// ---------------------------------------------------------------------------------------------
// Sections
// ---------------------------------------------------------------------------------------------

static void show_process(struct frame *frame, uint32_t index)
{
	const struct top_process *process = &frame->sample->processes[index];
	char sent[TEXT], received[TEXT], resident[TEXT], own[TEXT], http[TEXT], websockets[TEXT];
	char processor[TEXT] = "-";

	if (process->processor >= 0)
		snprintf(processor, sizeof processor, "%.1f", process->processor);
	line(frame, process->alive ? TOP_PLAIN : TOP_ALARM,
	        "%7" PRId32 " %-5s %7s %7s %5s %6s %6s %6s %6s  %s", process->pid,
	        process->alive ? "alive" : "dead", rate_text(sent, process->sent_rate),
	        rate_text(received, process->received_rate), processor,
	        memory_text(resident, process->usage.resident),
	        memory_text(own, process->usage.own), gauge_text(http, process->http),
	        gauge_text(websockets, process->websockets),
	        process->role[0] ? process->role : "-");
}

static void show_channel(struct frame *frame, uint32_t index)
{
	const struct top_channel *channel = top_list_at(&frame->sample->channels, index);
	const struct forebay_channel_stat *stat = &channel->stat;
	bool full = stat->pending >= stat->capacity;
	char rate[TEXT], oldest[TEXT], refused[TEXT], refusals[TEXT], dropped[TEXT];

	line(frame,
	        full || stat->statistics.channel_full_count_per_second > 0 ? TOP_ALARM : TOP_PLAIN,
	        "%6s %5" PRIu64 "/%-5" PRIu32 " %7s %6s %6s %6s %3" PRIu32 "  %s",
	        rate_text(rate, stat->statistics.messages_count_per_second), stat->pending,
	        stat->capacity, age_text(oldest, stat->oldest), count_text(refused, stat->full),
	        rate_text(refusals, stat->statistics.channel_full_count_per_second),
	        count_text(dropped, channel->dropped), stat->listeners, channel->name);
}

static void show_group(struct frame *frame, uint32_t index)
{
	const struct top_group *group = top_list_at(&frame->sample->groups, index);
	char size[TEXT];

	line(frame, TOP_PLAIN, "%7s  %s", count_text(size, group->size), group->name);
}

struct section {
	const char *columns, *what;
	void (*show)(struct frame *frame, uint32_t index);
};

static const struct section sections[] = {
        [TOP_ONLY_PROCESSES] = {"    PID STATE  SENT/s  RECV/s  CPU%    RES    OWN   HTTP     WS",
                "PROCESS", show_process},
        [TOP_ONLY_CHANNELS] = {" MSG/s WAITING/OF   OLDEST   FULL FULL/s   DROP LSN", "CHANNEL",
                show_channel},
        [TOP_ONLY_GROUPS] = {"MEMBERS", "GROUP", show_group},
};

// How many lines there are in all, and how many of them the sample has.
static uint64_t total_of(const struct top_sample *sample, enum top_section section)
{
	return section == TOP_ONLY_PROCESSES ? sample->process_count
	       : section == TOP_ONLY_GROUPS  ? sample->groups.offered
	                                     : sample->channels.offered;
}

static uint32_t kept_of(const struct top_sample *sample, enum top_section section)
{
	return section == TOP_ONLY_PROCESSES ? sample->process_count
	       : section == TOP_ONLY_GROUPS  ? sample->groups.count
	                                     : sample->channels.count;
}

// Shows ROWS lines from OFFSET on, below the names of the columns.
static void show_section(
        struct frame *frame, enum top_section section, uint32_t offset, uint32_t rows)
{
	const struct section *own = &sections[section];
	uint64_t total = total_of(frame->sample, section);
	uint32_t kept = kept_of(frame->sample, section), shown;
	char text[LINE_MAX_SIZE], range[64] = "";

	offset = offset < kept ? offset : kept;
	shown = kept - offset < rows ? kept - offset : rows;
	if (shown < total)
		snprintf(range, sizeof range, " (%" PRIu32 "-%" PRIu32 " of %" PRIu64 ")",
		        shown ? offset + 1 : 0, offset + shown, total);
	snprintf(text, sizeof text, "%s  %s%s", own->columns, own->what, range);
	line(frame, TOP_HEAD, "%-*s", (int)(frame->view->width < 512 ? frame->view->width : 512),
	        text);
	for (uint32_t i = 0; i < shown; i++)
		own->show(frame, offset + i);
}

// How many lines each section gets of the view, without the names of the columns.
struct shares {
	uint32_t processes, channels, groups;
};

static uint32_t least(uint64_t a, uint64_t b)
{
	return (uint32_t)(a < b ? a : b);
}

static struct shares share_out(const struct top_sample *sample, const struct top_view *view)
{
	uint32_t body = view->height - least(view->height, head_lines(view));
	uint32_t only = body > 0 ? body - 1 : 0;
	struct shares shares = {0};

	switch (view->section) {
	case TOP_ONLY_PROCESSES:
		return (struct shares){.processes = only};
	case TOP_ONLY_CHANNELS:
		return (struct shares){.channels = only};
	case TOP_ONLY_GROUPS:
		return (struct shares){.groups = only};
	default:
		break;
	}
	if (body < 5)
		return (struct shares){.channels = only};
	if (body >= 12 && sample->groups.count > 0)
		shares.groups = least(sample->groups.count, body / 5);
	shares.processes = least(sample->process_count, body / 3);
	// Each with a line for the columns, and an empty one before the next.
	shares.channels = body - 1;
	shares.channels -= shares.processes + 2;
	if (shares.groups > 0)
		shares.channels -= shares.groups + 2;
	if (kept_of(sample, TOP_ONLY_CHANNELS) < shares.channels)
		shares.channels = kept_of(sample, TOP_ONLY_CHANNELS);
	return shares;
}

static void show_body(struct frame *frame)
{
	const struct top_view *view = frame->view;
	struct shares shares = share_out(frame->sample, view);

	if (view->section != TOP_ALL) {
		show_section(frame, view->section, view->offset, frame->left ? frame->left - 1 : 0);
		return;
	}
	if (shares.processes > 0) {
		show_section(frame, TOP_ONLY_PROCESSES, 0, shares.processes);
		line(frame, TOP_PLAIN, "%s", "");
	}
	show_section(frame, TOP_ONLY_CHANNELS, view->offset, shares.channels);
	if (shares.groups > 0) {
		line(frame, TOP_PLAIN, "%s", "");
		show_section(frame, TOP_ONLY_GROUPS, 0, shares.groups);
	}
}

static enum top_section scrolled(const struct top_view *view)
{
	return view->section == TOP_ALL ? TOP_ONLY_CHANNELS : view->section;
}

uint32_t top_frame_lines(const struct top_sample *sample, const struct top_view *view)
{
	uint32_t kept = kept_of(sample, scrolled(view));

	return view->paused ? kept : least(total_of(sample, scrolled(view)), UINT32_MAX);
}

uint32_t top_frame_page(const struct top_sample *sample, const struct top_view *view)
{
	struct shares shares = share_out(sample, view);

	return scrolled(view) == TOP_ONLY_PROCESSES ? shares.processes
	       : scrolled(view) == TOP_ONLY_GROUPS  ? shares.groups
	                                            : shares.channels;
}

void top_frame(
        const struct top_sample *sample, const struct top_view *view, top_line show, void *context)
{
	struct frame frame = {sample, view, show, context, view->height};

	show_head(&frame);
	if (view->help) {
		line(&frame, TOP_HEAD, "%-*s", (int)least(view->width, 512), "Keys and columns");
		for (uint32_t i = 0; i < HELP_LINES; i++)
			line(&frame, TOP_PLAIN, "  %s", help_lines[i]);
		return;
	}
	if (sample)
		show_body(&frame);
}
