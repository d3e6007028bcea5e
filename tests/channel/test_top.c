// SPDX-License-Identifier: MIT
// What `forebay top` finds out, and what it makes of it; without a terminal, and with a /proc of the test's own.

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "channel/cli_top.h"
#include "channel/layer.h"
#include "tests/channel/support.h"

#define NOW 1000000 // ms; any time

static struct top_sample samples[2];

static void begin(void)
{
	top_sample_fini(&samples[0]);
	top_sample_fini(&samples[1]);
	top_sample_init(&samples[0]);
	top_sample_init(&samples[1]);
}

// ---------------------------------------------------------------------------------------------
// The best of many
// ---------------------------------------------------------------------------------------------

static int compare_numbers(const void *a, const void *b)
{
	const uint32_t *first = a, *second = b;

	return (*first > *second) - (*first < *second);
}

TEST(a_list_keeps_those_that_come_first_and_in_order)
{
	static const uint32_t rooms[] = {0, 1, 2, 3, 10, 99, 100, 101, 1000};
	struct top_list list = {.size = sizeof(uint32_t), .compare = compare_numbers};
	uint32_t all[100], seed = 1;

	for (size_t r = 0; r < sizeof rooms / sizeof *rooms; r++) {
		for (int round = 0; round < 20; round++) {
			EXPECT(top_list_begin(&list, rooms[r]));
			for (uint32_t i = 0; i < 100; i++) {
				seed = seed * 1103515245 + 12345;
				all[i] = seed >> 16 & (round % 2 ? 0xffff : 15);
				top_list_offer(&list, &all[i]);
			}
			top_list_end(&list);
			qsort(all, 100, sizeof *all, compare_numbers);
			EXPECT_INT(list.offered, 100);
			EXPECT_INT(list.count, rooms[r] < 100 ? rooms[r] : 100);
			EXPECT(memcmp(list.items, all, list.count * sizeof *all) == 0);
		}
	}
	top_list_fini(&list);
}

// ---------------------------------------------------------------------------------------------
// Looks
// ---------------------------------------------------------------------------------------------

static const struct top_channel *channel_at(const struct top_sample *sample, uint32_t index)
{
	static const struct top_channel none;

	return index < sample->channels.count ? top_list_at(&sample->channels, index) : &none;
}

static const struct top_process *process_of(const struct top_sample *sample, const char *role)
{
	for (uint32_t i = 0; i < sample->process_count; i++)
		if (strcmp(sample->processes[i].role, role) == 0)
			return &sample->processes[i];
	return NULL;
}

static void send_many(struct forebay *layer, const char *name, int count)
{
	for (int i = 0; i < count; i++)
		EXPECT_INT(send_number(layer, name, i), 0);
}

TEST(a_look_has_what_the_statistics_have)
{
	struct forebay *layer = attach(&(struct forebay_options){.role = "me"});
	const struct top_group *group;
	uint64_t null;

	begin();
	send_many(layer, "a", 3);
	send_many(layer, "b", 5);
	EXPECT_INT(forebay_flush(layer, "a", &null), 0);
	EXPECT_INT(forebay_group_add(layer, "small", "a"), 0);
	EXPECT_INT(forebay_group_add(layer, "large", "a"), 0);
	EXPECT_INT(forebay_group_add(layer, "large", "b"), 0);
	EXPECT_INT(top_sample_take(&samples[0], NULL, layer, NOW, 10), 0);
	EXPECT_INT(samples[0].layer.statistics.messages_count, 8);
	EXPECT_INT(samples[0].channels.offered, 2);
	EXPECT_STRING(channel_at(&samples[0], 0)->name, "b");
	EXPECT_INT(channel_at(&samples[0], 0)->stat.pending, 5);
	EXPECT_STRING(channel_at(&samples[0], 1)->name, "a");
	EXPECT_INT(channel_at(&samples[0], 1)->dropped, 3);
	EXPECT_INT(samples[0].groups.count, 2);
	group = top_list_at(&samples[0].groups, 0);
	EXPECT_STRING(group->name, "large");
	EXPECT_INT(group->size, 2);
	EXPECT_INT(samples[0].process_count, 1);
	EXPECT_STRING(samples[0].processes[0].role, "me");
	EXPECT_INT(samples[0].processes[0].pid, getpid());
	EXPECT(samples[0].processes[0].usage.resident > 0);
	EXPECT(samples[0].processes[0].sent_rate < 0);
	EXPECT_STRING(samples[0].news, "");
	discard(layer);
}

TEST(channels_come_in_each_order_and_in_reverse_and_only_the_first_are_kept)
{
	static const char *const first[TOP_SORTS] = {
	        [TOP_RATE] = "many",
	        [TOP_WAITING] = "waits",
	        [TOP_OLDEST] = "old",
	        [TOP_FULL] = "full",
	        [TOP_DROPPED] = "drop",
	        [TOP_NAME] = "a",
	};
	struct forebay *layer;
	uint64_t null;

	channel_clock_ahead = 0;
	shm_clock_still = NOW;
	layer = attach(&(struct forebay_options){.capacities = "full=1", .capacity = 50});
	begin();
	EXPECT_INT(forebay_listen(layer, "many"), 0);
	EXPECT_INT(forebay_listen(layer, "a"), 0);
	send_many(layer, "old", 1);
	channel_clock_ahead = 9000;
	EXPECT_INT(forebay_housekeep(layer), 0);
	channel_clock_ahead = 10000;
	EXPECT_INT(forebay_housekeep(layer), 0);
	send_many(layer, "drop", 25);
	EXPECT_INT(forebay_flush(layer, "drop", &null), 0);
	send_many(layer, "waits", 30);
	send_many(layer, "full", 1);
	EXPECT_INT(send_number(layer, "full", 1), FOREBAY_FULL);
	for (int i = 0; i < 40; i++) {
		send_many(layer, "many", 1);
		EXPECT_INT(receive_number(layer), 0);
	}
	for (int sort = 0; sort < TOP_SORTS; sort++) {
		samples[0].sort = (enum top_sort)sort;
		samples[0].reverse = false;
		EXPECT_INT(top_sample_take(&samples[0], NULL, layer, NOW, 2), 0);
		EXPECT_INT(samples[0].channels.count, 2);
		EXPECT_INT(samples[0].channels.offered, 6);
		EXPECT_STRING(channel_at(&samples[0], 0)->name, first[sort]);
		samples[0].reverse = true;
		EXPECT_INT(top_sample_take(&samples[0], NULL, layer, NOW, 6), 0);
		EXPECT_STRING(channel_at(&samples[0], 5)->name, first[sort]);
	}
	shm_clock_still = channel_clock_ahead = 0;
	discard(layer);
}

static const char *proc_path(void)
{
	static char path[64];

	snprintf(path, sizeof path, "%s/proc", test_directory);
	return path;
}

static void write_file(const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof path, "%s/%d/%s", proc_path(), (int)getpid(), name);
	file = fopen(path, "w");
	EXPECT(file != NULL);
	fputs(text, file);
	fclose(file);
}

static void write_usage(unsigned user, unsigned system, unsigned started)
{
	char path[128], text[256];

	(void)mkdir(proc_path(), 0700);
	snprintf(path, sizeof path, "%s/%d", proc_path(), (int)getpid());
	(void)mkdir(path, 0700);
	snprintf(text, sizeof text,
	        "1 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 %u %u 13 14 15 16 17 18 %u 20 21\n", user,
	        system, started);
	write_file("stat", text);
	write_file("statm", "900 500 300 4 5 6 7\n");
}

static void remove_usage(void)
{
	char path[128];

	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof path, "%s/%d/%s", proc_path(), (int)getpid(),
		        i ? "statm" : "stat");
		unlink(path);
	}
	snprintf(path, sizeof path, "%s/%d", proc_path(), (int)getpid());
	rmdir(path);
	rmdir(proc_path());
}

TEST(rates_of_a_process_are_of_the_time_between_two_looks)
{
	struct forebay *layer = attach(&(struct forebay_options){.role = "me"});
	const struct top_process *me;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	begin();
	for (int i = 0; i < 2; i++) {
		samples[i].proc = proc_path();
		samples[i].ticks = 100;
	}
	EXPECT_INT(forebay_listen(layer, "x"), 0);
	send_many(layer, "x", 10);
	write_usage(1000, 500, 77);
	EXPECT_INT(top_sample_take(&samples[0], NULL, layer, NOW, 10), 0);
	send_many(layer, "x", 60);
	for (int i = 0; i < 20; i++)
		EXPECT(receive_number(layer) >= 0);
	write_usage(1030, 520, 77);
	EXPECT_INT(top_sample_take(&samples[1], &samples[0], layer, NOW + 2000, 10), 0);
	me = process_of(&samples[1], "me");
	EXPECT(me != NULL);
	EXPECT(me->sent_rate == 30 && me->received_rate == 10);
	EXPECT(me->processor == 25);
	EXPECT_INT(me->usage.resident, 500 * page);
	EXPECT_INT(me->usage.own, 200 * page);
	EXPECT_STRING(samples[1].news, "");
	// Another process of the same number, in the same slot.
	write_usage(3, 4, 99);
	EXPECT_INT(top_sample_take(&samples[0], &samples[1], layer, NOW + 3000, 10), 0);
	me = process_of(&samples[0], "me");
	EXPECT(me->sent_rate < 0 && me->processor < 0);
	// The kernel doesn't tell.
	remove_usage();
	EXPECT_INT(top_sample_take(&samples[1], &samples[0], layer, NOW + 4000, 10), 0);
	me = process_of(&samples[1], "me");
	EXPECT_INT(me->usage.resident, 0);
	EXPECT(me->processor < 0);
	discard(layer);
}

TEST(processes_come_in_each_order)
{
	struct forebay *first = attach(&(struct forebay_options){.role = "first"});
	struct forebay *second = attach(&(struct forebay_options){.role = "second"});

	begin();
	EXPECT_INT(top_sample_take(&samples[0], NULL, first, NOW, 10), 0);
	EXPECT_STRING(samples[0].processes[0].role, "first");
	send_many(second, "x", 1);
	samples[1].process_sort = TOP_BY_MESSAGES;
	EXPECT_INT(top_sample_take(&samples[1], &samples[0], first, NOW + 1000, 10), 0);
	EXPECT_STRING(samples[1].processes[0].role, "second");
	EXPECT(samples[1].processes[0].sent_rate == 1);
	samples[0].process_sort = TOP_BY_SLOT;
	EXPECT_INT(top_sample_take(&samples[0], &samples[1], first, NOW + 2000, 10), 0);
	EXPECT_STRING(samples[0].processes[0].role, "first");
	EXPECT(process_of(&samples[0], "second")->sent_rate == 0);
	EXPECT_STRING(samples[0].news, "");
	forebay_close(second);
	discard(first);
}

TEST(open_connections_are_what_the_process_says)
{
	struct forebay *layer = attach(&(struct forebay_options){.role = "worker 1"});
	struct forebay *other = attach(&(struct forebay_options){.role = "worker 2"});
	struct forebay_metric metric;

	begin();
	EXPECT_INT(top_sample_take(&samples[0], NULL, layer, NOW, 10), 0);
	EXPECT(process_of(&samples[0], "worker 1")->http < 0);
	EXPECT_INT(forebay_metric_open(
	                   layer, "forebay_http_connections", FOREBAY_METRIC_GAUGE, NULL, &metric),
	        0);
	forebay_metric_set(&metric, 12);
	EXPECT_INT(forebay_metric_open(other, "forebay_websocket_connections", FOREBAY_METRIC_GAUGE,
	                   NULL, &metric),
	        0);
	forebay_metric_set(&metric, 34);
	EXPECT_INT(top_sample_take(&samples[0], NULL, layer, NOW, 10), 0);
	EXPECT(process_of(&samples[0], "worker 1")->http == 12);
	EXPECT(process_of(&samples[0], "worker 1")->websockets == 0);
	EXPECT(process_of(&samples[0], "worker 2")->http == 0);
	EXPECT(process_of(&samples[0], "worker 2")->websockets == 34);
	forebay_close(other);
	discard(layer);
}

TEST(it_is_news_who_comes_and_goes)
{
	struct forebay *layer = attach(&(struct forebay_options){.role = "me"}), *other, *third;
	char expected[80];

	begin();
	EXPECT_INT(top_sample_take(&samples[0], NULL, layer, NOW, 10), 0);
	other = attach(&(struct forebay_options){.role = "other"});
	EXPECT_INT(top_sample_take(&samples[1], &samples[0], layer, NOW + 1, 10), 0);
	snprintf(expected, sizeof expected, "other (process %d) has come", (int)getpid());
	EXPECT_STRING(samples[1].news, expected);
	EXPECT_INT(top_sample_take(&samples[0], &samples[1], layer, NOW + 2, 10), 0);
	EXPECT_STRING(samples[0].news, "");
	forebay_close(other);
	EXPECT_INT(top_sample_take(&samples[1], &samples[0], layer, NOW + 3, 10), 0);
	snprintf(expected, sizeof expected, "other (process %d) has gone", (int)getpid());
	EXPECT_STRING(samples[1].news, expected);
	other = attach(NULL);
	third = attach(NULL);
	EXPECT_INT(top_sample_take(&samples[0], &samples[1], layer, NOW + 4, 10), 0);
	EXPECT_STRING(samples[0].news, "2 processes have come, 0 have gone");
	forebay_close(other);
	forebay_close(third);
	discard(layer);
}

TEST(a_killed_process_is_dead_and_has_gone)
{
	struct forebay *layer = attach(&(struct forebay_options){.role = "me"});
	int ready[2];
	char byte;
	pid_t pid;

	begin();
	EXPECT(pipe(ready) == 0);
	pid = fork();
	if (pid == 0) {
		struct forebay *own = attach(&(struct forebay_options){.role = "victim"});

		(void)!write(ready[1], own ? "" : NULL, 1);
		pause();
	}
	EXPECT(read(ready[0], &byte, 1) == 1);
	EXPECT_INT(top_sample_take(&samples[0], NULL, layer, NOW, 10), 0);
	EXPECT(process_of(&samples[0], "victim")->alive);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	EXPECT_INT(top_sample_take(&samples[1], &samples[0], layer, NOW + 1, 10), 0);
	EXPECT(!process_of(&samples[1], "victim")->alive);
	EXPECT(strstr(samples[1].news, "victim (process") && strstr(samples[1].news, "has gone"));
	close(ready[0]);
	close(ready[1]);
	discard(layer);
}

TEST(looking_takes_no_more_than_a_hundredth_of_the_time)
{
	struct top_sample sample = {.cost = 2};

	EXPECT_INT(top_pause(&sample, 1000), 1000);
	sample.cost = 50;
	EXPECT_INT(top_pause(&sample, 1000), 5000);
	EXPECT_INT(top_pause(&sample, 10000), 10000);
}

// ---------------------------------------------------------------------------------------------
// Frames
// ---------------------------------------------------------------------------------------------

struct frame {
	uint32_t lines, widest;
	char text[400][512];
	enum top_style style[400];
};

static struct frame frame;

static void keep_line(const char *text, enum top_style style, void *context)
{
	uint32_t length = (uint32_t)strlen(text);

	(void)context;
	if (frame.lines < 400) {
		snprintf(frame.text[frame.lines], sizeof frame.text[0], "%s", text);
		frame.style[frame.lines] = style;
	}
	frame.lines++;
	frame.widest = length > frame.widest ? length : frame.widest;
}

static void draw(const struct top_sample *sample, const struct top_view *view)
{
	frame.lines = frame.widest = 0;
	top_frame(sample, view, keep_line, NULL);
}

// The line that has TEXT in it, or -1.
static int find_line(const char *text)
{
	for (uint32_t i = 0; i < frame.lines && i < 400; i++)
		if (strstr(frame.text[i], text))
			return (int)i;
	return -1;
}

// Looks at a layer with many channels and groups.
static void look_at_many(struct forebay *layer, uint32_t room)
{
	char name[FOREBAY_NAME_SIZE];

	for (int i = 0; i < 60; i++) {
		snprintf(name, sizeof name, "channel.%02d.%s", i,
		        i == 7 ? "with.a.name.that.is.longer.than.most.and.goes.on.and.on.and.on."
		                 "and.on.and.on.and.on.and.on.and.on.and.on.and.on.and.on.and.on"
		               : "x");
		send_many(layer, name, 60 - i);
	}
	for (int i = 0; i < 30; i++) {
		snprintf(name, sizeof name, "group.%02d", i);
		EXPECT_INT(forebay_group_add(layer, name, "channel.00.x"), 0);
	}
	EXPECT_INT(top_sample_take(&samples[0], NULL, layer, NOW, room), 0);
}

static struct top_view view_of(uint32_t width, uint32_t height)
{
	return (struct top_view){.width = width,
	        .height = height,
	        .interval = 1000,
	        .layer = "some",
	        .clock = ", 12:34:56"};
}

TEST(a_frame_fits_whatever_the_size)
{
	struct forebay *layer = attach_still(&(struct forebay_options){.role = "me"});

	begin();
	look_at_many(layer, 200);
	for (uint32_t width = 1; width < 140; width += width < 20 ? 1 : 17) {
		for (uint32_t height = 1; height < 120; height += height < 40 ? 1 : 9) {
			for (int section = 0; section < TOP_SECTIONS; section++) {
				struct top_view view = view_of(width, height);

				view.section = (enum top_section)section;
				view.offset = height % 3 * 20;
				draw(&samples[0], &view);
				EXPECT(frame.lines <= height && frame.widest <= width);
				EXPECT(frame.lines > 0);
				view.help = true;
				draw(&samples[0], &view);
				EXPECT(frame.lines <= height && frame.widest <= width);
				draw(NULL, &view);
				EXPECT(frame.lines <= height && frame.widest <= width);
			}
		}
	}
	discard_still(layer);
}

TEST(a_terminal_of_the_usual_size_shows_something_of_everything)
{
	struct forebay *layer = attach_still(&(struct forebay_options){.role = "me"});
	struct top_view view = view_of(80, 24);

	begin();
	look_at_many(layer, 200);
	draw(&samples[0], &view);
	EXPECT_INT(frame.lines, 24);
	EXPECT(find_line("forebay top - some, up ") == 0);
	EXPECT(find_line("12:34:56") == 0);
	EXPECT(find_line("1830 waiting") > 0);
	EXPECT(find_line("60 of ") > 0);
	EXPECT(find_line("Dropped   nothing") > 0);
	EXPECT(find_line(" me") > 0);
	EXPECT(find_line("channel.00.x") > find_line("PROCESS"));
	EXPECT(find_line("CHANNEL (1-") > 0 && find_line(" of 60)") > 0);
	EXPECT(find_line("group.00") > find_line("channel.00.x"));
	EXPECT(find_line("GROUP (1-") > 0 && find_line(" of 30)") > 0);
	discard_still(layer);
}

TEST(what_is_scrolled_over_is_the_whole_list_and_no_more)
{
	struct forebay *layer = attach_still(&(struct forebay_options){.role = "me"});
	struct top_view view = view_of(80, 24);

	begin();
	look_at_many(layer, 200);
	for (int section = 0; section < TOP_SECTIONS; section++) {
		const char *last = section == TOP_ONLY_PROCESSES ? " me"
		                   : section == TOP_ONLY_GROUPS  ? "group.29"
		                                                 : "channel.59.x";
		uint32_t lines, page;

		view.section = (enum top_section)section;
		view.offset = 0;
		lines = top_frame_lines(&samples[0], &view);
		page = top_frame_page(&samples[0], &view);
		EXPECT_INT(lines, section == TOP_ONLY_PROCESSES ? 1
		                  : section == TOP_ONLY_GROUPS  ? 30
		                                                : 60);
		EXPECT(page > 0);
		draw(&samples[0], &view);
		EXPECT(lines <= page || find_line(last) < 0);
		view.offset = lines > page ? lines - page : 0;
		draw(&samples[0], &view);
		EXPECT(find_line(last) > 0);
		view.offset = 1000000;
		draw(&samples[0], &view);
		EXPECT(find_line(last) < 0);
	}
	discard_still(layer);
}

TEST(of_what_was_not_kept_the_number_is_shown)
{
	struct forebay *layer = attach_still(&(struct forebay_options){.role = "me"});
	struct top_view view = view_of(80, 200);

	begin();
	look_at_many(layer, 5);
	draw(&samples[0], &view);
	EXPECT(find_line("(1-5 of 60)") > 0);
	EXPECT(find_line("channel.05.x") < 0);
	EXPECT_INT(top_frame_lines(&samples[0], &view), 60);
	view.paused = true;
	EXPECT_INT(top_frame_lines(&samples[0], &view), 5);
	discard_still(layer);
}

TEST(what_is_wrong_is_marked)
{
	struct forebay *layer =
	        attach_still(&(struct forebay_options){.role = "me", .capacity = 2});
	struct top_view view = view_of(80, 24);

	begin();
	send_many(layer, "full", 2);
	send_many(layer, "well", 1);
	EXPECT_INT(send_number(layer, "full", 1), FOREBAY_FULL);
	EXPECT_INT(forebay_flush(layer, "well", NULL), 0);
	EXPECT_INT(top_sample_take(&samples[0], NULL, layer, NOW, 10), 0);
	draw(&samples[0], &view);
	EXPECT_INT(frame.style[find_line("Dropped   full 1, flushed 1")], TOP_ALARM);
	EXPECT_INT(frame.style[find_line("  full")], TOP_ALARM);
	EXPECT_INT(frame.style[find_line("  well")], TOP_PLAIN);
	EXPECT_INT(frame.style[find_line("CHANNEL")], TOP_HEAD);
	view.notice = "something has happened";
	draw(&samples[0], &view);
	EXPECT_INT(frame.style[find_line("something has happened")], TOP_ALARM);
	draw(NULL, &view);
	EXPECT(find_line("forebay top - some, gone") == 0);
	EXPECT(find_line("something has happened") == 1);
	discard_still(layer);
}

TEST(columns_stay_in_place_however_large_the_numbers)
{
	struct top_channel channel = {.name = "here",
	        .stat = {.capacity = 8192,
	                .pending = 8192,
	                .oldest = INT64_MAX / 2,
	                .full = UINT64_MAX,
	                .listeners = 256,
	                .statistics = {.messages_count_per_second = 1e9,
	                        .channel_full_count_per_second = 99999.9}},
	        .dropped = 123456789012};
	static const int64_t ages[] = {-1, 0, 99, 599999, 600000, 35999999, 36000000};
	static const double rates[] = {0, 0.05, 9.96, 999.96, 99999.9, 999999.6, 1e6, 9.999e8};
	struct top_view view = view_of(80, 24);

	begin();
	for (int i = 0; i < 40; i++) {
		channel.stat.oldest = ages[i % 7];
		channel.stat.statistics.messages_count_per_second = rates[i % 8];
		channel.stat.full = channel.dropped = UINT64_MAX >> i;
		EXPECT(top_list_begin(&samples[0].channels, 1));
		samples[0].channels.compare = compare_numbers; // of one there's nothing to compare
		top_list_offer(&samples[0].channels, &channel);
		draw(&samples[0], &view);
		EXPECT(find_line("  here") > 0);
		EXPECT(strstr(frame.text[find_line("CHANNEL")], "CHANNEL") -
		                frame.text[find_line("CHANNEL")] ==
		        strstr(frame.text[find_line("  here")], "here") -
		                frame.text[find_line("  here")]);
	}
	begin();
}
