// SPDX-License-Identifier: MIT
// cli_top.c - the subcommand top: what happens in a layer, live.
//
// It looks without attaching (`observe` in forebay.h). An attached observer would take one of the layer's
// process slots, would have to keep house, and would keep a server that is started with other options from replacing the
// layer; and it would be in its own way, as one more process that is attached. What it looks at can so be removed and
// replaced at any time: it says so, and looks at what comes next under that name.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "channel/cli_command.h"
#include "channel/cli_top.h"

enum {
	FIRST = 250,    // ms from the first look, which knows no rates of processes, to the second
	NAP = 200,      // ms; a signal is noticed that soon
	NOTICE = 10000, // ms that a notice stays
	BATCH_ROOM = 100, // channels, and groups, in a frame of --batch
	BATCH_WIDTH = 500,
};

const char channel_cli_top_help[] =
        "Usage: forebay top [OPTIONS]\n"
        "\n"
        "Shows what happens in a layer, live: messages, processes, channels, groups. `?` lists "
        "the\n"
        "keys, `q` ends it. Doesn't attach to the layer, and takes at most a hundredth of one\n"
        "processor's time: in a very large layer it looks less often.\n"
        "\n" CHANNEL_CLI_LAYER_HELP
        "  -i, --interval TIME  between two looks: 2, 1.5s, 500ms; from 100ms on (default 1s)\n"
        "  -n, --count N        end after N looks (default: don't)\n"
        "  -s, --sort ORDER     of channels: rate, waiting, oldest, full, dropped, name (default\n"
        "                       rate)\n"
        "  -b, --batch          write plain text to stdout, a frame a look, with the first 100\n"
        "                       channels and groups: for files, pipes, and terminals without\n"
        "                       a screen\n" CHANNEL_CLI_HELP_HELP;

static const int64_t intervals[] = {100, 200, 500, 1000, 2000, 5000, 10000, 30000, 60000};

enum { INTERVALS = sizeof intervals / sizeof intervals[0] };

struct top {
	const char *name; // as given
	bool batch;
	struct forebay *layer; // NULL: it is gone
	struct top_sample samples[2];
	const struct top_sample *latest; // NULL: none of this layer yet
	struct top_view view;
	char layer_name[65], notice[512], clock[16];
	int64_t notice_ends; // ms
	int64_t due;         // the next look
	bool ended;
};

static void nap(int64_t ms)
{
	struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	(void)nanosleep(&time, NULL);
}

// ---------------------------------------------------------------------------------------------
// Looking
// ---------------------------------------------------------------------------------------------

static void note(struct top *top, const char *text)
{
	snprintf(top->notice, sizeof top->notice, "%s", text);
	top->notice_ends = channel_cli_now() + NOTICE;
}

static int open_layer(struct top *top)
{
	const struct forebay_options options = {.observe = true};
	int result = forebay_open(top->name, &options, &top->layer);

	if (result == 0)
		snprintf(top->layer_name, sizeof top->layer_name, "%s",
		        forebay_layer_name(top->layer));
	return result;
}

static void follow_layer(struct top *top)
{
	if (top->layer && forebay_layer_gone(top->layer)) {
		forebay_close(top->layer);
		top->layer = NULL;
		top->latest = NULL;
		note(top, "the layer is gone; waiting for it to come back");
	}
	if (top->layer)
		return;
	switch (open_layer(top)) {
	case 0:
		note(top, "the layer was made anew; this is the new one");
		break;
	case -ENOENT:
		note(top, "the layer is gone; waiting for it to come back");
		break;
	default:
		note(top, forebay_error());
	}
}

// As many channels and groups as are shown, and some more to scroll over.
static uint32_t room(const struct top *top)
{
	return top->batch ? BATCH_ROOM : 2 * (top->view.offset + top->view.height) + 64;
}

static int look(struct top *top)
{
	struct top_sample *next = &top->samples[top->latest == &top->samples[0]];
	int64_t now = channel_cli_now();
	int result;

	follow_layer(top);
	top->due = now + top->view.interval;
	if (!top->layer)
		return 0;
	if (!top->latest && top->view.interval > FIRST)
		top->due = now + FIRST;
	result = top_sample_take(next, top->latest, top->layer, now, room(top));
	if (result != 0)
		return result;
	if (top->latest)
		top->due = now + top_pause(next, top->view.interval);
	top->latest = next;
	return 0;
}

static void resort(struct top *top, enum top_sort sort, bool reverse)
{
	for (int i = 0; i < 2; i++) {
		top->samples[i].sort = sort;
		top->samples[i].reverse = reverse;
	}
	top->view.offset = 0;
	top->due = 0;
}

// ---------------------------------------------------------------------------------------------
// Showing
// ---------------------------------------------------------------------------------------------

static void print_line(const char *text, enum top_style style, void *context)
{
	int length = (int)strlen(text);

	(void)style;
	(void)context;
	while (length > 0 && text[length - 1] == ' ')
		length--;
	printf("%.*s\n", length, text);
}

static void tell_time(struct top *top)
{
	time_t now = time(NULL);
	struct tm local;

	if (!localtime_r(&now, &local) ||
	        strftime(top->clock, sizeof top->clock, ", %H:%M:%S", &local) == 0)
		top->clock[0] = '\0';
	top->view.clock = top->clock;
	top->view.layer = top->layer_name;
	top->view.notice = channel_cli_now() < top->notice_ends || !top->layer ? top->notice : NULL;
}

static int show(struct top *top)
{
	tell_time(top);
	if (!top->batch) {
		top_screen_size(&top->view.width, &top->view.height);
		top_screen_draw(top->latest, &top->view);
		return EXIT_DONE;
	}
	top_frame(top->latest, &top->view, print_line, NULL);
	putchar('\n');
	return channel_cli_flush();
}

// ---------------------------------------------------------------------------------------------
// Keys
// ---------------------------------------------------------------------------------------------

static void scroll(struct top *top, int64_t lines)
{
	uint32_t all, page;
	int64_t most, offset = (int64_t)top->view.offset + lines;

	if (!top->latest)
		return;
	all = top_frame_lines(top->latest, &top->view);
	page = top_frame_page(top->latest, &top->view);
	most = all > page ? all - page : 0;
	offset = offset > most ? most : offset;
	top->view.offset = offset < 0 ? 0 : (uint32_t)offset;
	if (!top->view.paused && top->view.offset + page > top->latest->channels.room)
		top->due = 0; // it hasn't been kept: look again
}

static void change_interval(struct top *top, bool longer)
{
	int64_t chosen = top->view.interval;

	for (int i = 0; i < INTERVALS; i++) {
		if (longer && intervals[i] > top->view.interval) {
			chosen = intervals[i];
			break;
		}
		if (!longer && intervals[i] < top->view.interval)
			chosen = intervals[i];
	}
	top->view.interval = chosen;
	top->due = channel_cli_now() + (top->latest ? top_pause(top->latest, chosen) : chosen);
}

static bool scrolls(struct top *top, int key)
{
	int64_t page = top->latest ? top_frame_page(top->latest, &top->view) : 0;

	switch (key) {
	case TOP_KEY_UP:
	case 'k':
		scroll(top, -1);
		return true;
	case TOP_KEY_DOWN:
	case 'j':
		scroll(top, 1);
		return true;
	case TOP_KEY_PAGE_UP:
		scroll(top, -page);
		return true;
	case TOP_KEY_PAGE_DOWN:
		scroll(top, page);
		return true;
	case TOP_KEY_HOME:
		scroll(top, INT32_MIN);
		return true;
	case TOP_KEY_END:
		scroll(top, UINT32_MAX);
		return true;
	default:
		return false;
	}
}

static bool sorts_processes(struct top *top, int key)
{
	static const char letters[] = {
	        [TOP_BY_SLOT] = 'i',
	        [TOP_BY_MESSAGES] = 's',
	        [TOP_BY_PROCESSOR] = 'c',
	        [TOP_BY_MEMORY] = 'm',
	};

	for (size_t sort = 0; sort < sizeof letters; sort++) {
		if (key != letters[sort])
			continue;
		for (int i = 0; i < 2; i++)
			top->samples[i].process_sort = (enum top_process_sort)sort;
		top->due = 0;
		return true;
	}
	return false;
}

static bool sorts(struct top *top, int key)
{
	static const char letters[TOP_SORTS] = {
	        [TOP_RATE] = 'r',
	        [TOP_WAITING] = 'w',
	        [TOP_OLDEST] = 'o',
	        [TOP_FULL] = 'f',
	        [TOP_DROPPED] = 'd',
	        [TOP_NAME] = 'n',
	};

	for (int sort = 0; sort < TOP_SORTS; sort++) {
		if (key == letters[sort]) {
			resort(top, (enum top_sort)sort, false);
			return true;
		}
	}
	return false;
}

static void obey(struct top *top, int key)
{
	if (top->view.help && key != 'q' && key != TOP_KEY_RESIZE) {
		top->view.help = false;
		return;
	}
	if (scrolls(top, key) || sorts(top, key) || sorts_processes(top, key))
		return;
	switch (key) {
	case 'q':
		top->ended = true;
		break;
	case '?':
	case 'h':
		top->view.help = true;
		break;
	case 'p':
		top->view.paused = !top->view.paused;
		break;
	case ' ':
		top->due = 0;
		break;
	case 'R':
		resort(top, top->samples[0].sort, !top->samples[0].reverse);
		break;
	case '\t':
		top->view.section = (enum top_section)((top->view.section + 1) % TOP_SECTIONS);
		top->view.offset = 0;
		break;
	case '+':
	case '=':
		change_interval(top, false);
		break;
	case '-':
		change_interval(top, true);
		break;
	default:
		break;
	}
}

// Waits until the next look is due, or a key or a signal has come. Returns whether to look.
static bool wait_for_turn(struct top *top)
{
	int64_t begun = channel_cli_now(), left = top->due - begun;
	bool due = left <= 0 && (!top->view.paused || top->due == 0);
	int key;

	if (due || channel_cli_signal)
		return due;
	if (left <= 0 || left > NAP)
		left = NAP;
	if (top->batch) {
		nap(left);
		return false;
	}
	key = top_screen_key((int)left);
	if (key != TOP_KEY_NONE) {
		obey(top, key);
		(void)show(top);
	} else if (channel_cli_now() - begun < left / 2) {
		// It didn't wait. Without a terminal it never will.
		top->ended |= !isatty(STDIN_FILENO);
		nap(left / 2);
	}
	return false;
}

// ---------------------------------------------------------------------------------------------
// The command
// ---------------------------------------------------------------------------------------------

static int run(struct top *top, long count)
{
	int result = 0, status = EXIT_DONE;
	bool first = true;

	for (long looks = 0; !top->ended && !channel_cli_signal && status == EXIT_DONE;) {
		result = look(top);
		if (result != 0)
			break;
		// The very first look of a batch is only there to be compared with.
		if (!(first && top->batch)) {
			status = show(top);
			looks++;
		}
		if (!first && count > 0 && looks >= count)
			break;
		first = false;
		while (!top->ended && !channel_cli_signal && !wait_for_turn(top))
			;
	}
	if (!top->batch)
		top_screen_end();
	if (result != 0) {
		channel_cli_complain("can't look at the layer: %s", forebay_strerror(result));
		return EXIT_FAILED;
	}
	return status;
}

static bool find_sort(const char *name, enum top_sort *sort)
{
	*sort = TOP_RATE;
	if (!name)
		return true;
	for (int i = 0; i < TOP_SORTS; i++) {
		if (strcmp(name, top_sort_names[i]) == 0) {
			*sort = (enum top_sort)i;
			return true;
		}
	}
	channel_cli_complain("no such order: %s", name);
	return false;
}

// Says what is wrong, if anything is.
static int begin(struct top *top, const struct channel_cli_arguments *arguments)
{
	const char *objection = NULL;
	enum top_sort sort;

	if (!find_sort(arguments->sort, &sort))
		return EXIT_USAGE;
	if (arguments->timeout < (int)intervals[0]) {
		channel_cli_complain("an interval of less than 0.1 seconds is too short");
		return EXIT_USAGE;
	}
	if (open_layer(top) != 0) {
		channel_cli_complain("%s", forebay_error());
		return EXIT_FAILED;
	}
	resort(top, sort, false);
	channel_cli_catch_signals();
	channel_cli_catch_signal(SIGHUP); // the terminal is to be as it was
	if (!top->batch)
		objection = top_screen_begin();
	if (objection) {
		channel_cli_complain("%s; use --batch", objection);
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}

int channel_cli_top(const struct channel_cli_arguments *arguments)
{
	struct top top = {
	        .name = arguments->layer,
	        .batch = arguments->batch,
	        .view = {.width = BATCH_WIDTH, .height = INT32_MAX, .interval = arguments->timeout},
	};
	int status;

	for (int i = 0; i < 2; i++)
		top_sample_init(&top.samples[i]);
	status = begin(&top, arguments);
	if (status == EXIT_DONE) {
		if (!top.batch)
			top_screen_size(&top.view.width, &top.view.height);
		status = run(&top, arguments->count);
	}
	forebay_close(top.layer);
	for (int i = 0; i < 2; i++)
		top_sample_fini(&top.samples[i]);
	if (channel_cli_signal) { // ends as anybody does who is sent this signal, with the terminal as it was
		signal(channel_cli_signal, SIG_DFL);
		raise(channel_cli_signal);
	}
	return status;
}
