// SPDX-License-Identifier: MIT
// Statistics: counts that are exact whatever dies, and rates that need no reader to have looked before. Time is
// made to pass by channel_clock_ahead.

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "channel/layer.h"
#include "tests/channel/support.h"

static struct forebay_channel_stat channel(struct forebay *layer, const char *name)
{
	struct forebay_channel_stat stat;

	if (forebay_stat_channel(layer, name, &stat) != 0)
		stat.sent = UINT64_MAX;
	return stat;
}

static struct forebay_statistics total(struct forebay *layer)
{
	struct forebay_layer_stat stat;

	if (forebay_stat(layer, &stat) != 0)
		stat.statistics.messages_count = UINT64_MAX;
	return stat.statistics;
}

// A rate in hundredths.
static int64_t hundredths(double rate)
{
	return (int64_t)(rate * 100 + 0.5);
}

// A second later. Somebody keeps the house, unless nobody is left.
static void tick(struct forebay *layer, bool kept)
{
	channel_clock_ahead += 1000;
	if (kept)
		(void)forebay_housekeep(layer);
}

// A layer in which time stands still, but for what a test lets pass.
static struct forebay *start(const struct forebay_options *options)
{
	channel_clock_ahead = 0;
	shm_clock_still = 5000000;
	return attach(options);
}

static void send_many(struct forebay *layer, const char *name, int count)
{
	for (int i = 0; i < count; i++)
		EXPECT_INT(send_number(layer, name, i), 0);
}

static int receive_many(struct forebay *layer, int count)
{
	int received = 0;

	while (received < count && receive_number(layer) >= 0)
		received++;
	return received;
}

TEST(a_channel_and_the_layer_have_the_statistics_of_channels)
{
	struct forebay *layer = start(&(struct forebay_options){.capacity = 5});
	struct forebay_channel_stat stat;

	send_many(layer, "x", 5);
	send_many(layer, "y", 2);
	EXPECT_INT(send_number(layer, "x", 5), FOREBAY_FULL);
	EXPECT_INT(send_number(layer, "x", 5), FOREBAY_FULL);
	channel_clock_ahead = 500;
	stat = channel(layer, "x");
	EXPECT_STRING(stat.name, "x");
	EXPECT_INT(stat.statistics.messages_count, 5);
	EXPECT_INT(hundredths(stat.statistics.messages_count_per_second), 500);
	EXPECT_INT(stat.statistics.messages_pending, 5);
	EXPECT(stat.statistics.messages_max_age >= 0.5 && stat.statistics.messages_max_age < 60);
	EXPECT_INT(stat.statistics.channel_full_count, 2);
	EXPECT_INT(hundredths(stat.statistics.channel_full_count_per_second), 200);
	EXPECT_INT(total(layer).messages_count, 7);
	EXPECT_INT(hundredths(total(layer).messages_count_per_second), 700);
	EXPECT_INT(total(layer).messages_pending, 7);
	EXPECT(total(layer).messages_max_age >= stat.statistics.messages_max_age);
	EXPECT_INT(total(layer).channel_full_count, 2);
	EXPECT_INT(hundredths(total(layer).channel_full_count_per_second), 200);
	EXPECT_INT(forebay_listen(layer, "x"), 0);
	EXPECT_INT(receive_many(layer, 10), 5);
	stat = channel(layer, "x");
	EXPECT_INT(stat.received, 5);
	EXPECT_INT(stat.statistics.messages_pending, 0);
	EXPECT(stat.statistics.messages_max_age == 0);
	EXPECT_INT(stat.oldest, -1);
	discard(layer);
}

TEST(a_channel_that_is_not_there_has_nothing_but_the_capacity_it_would_have)
{
	struct forebay *layer = start(&(struct forebay_options){.capacities = "big=5000"});
	struct forebay_channel_stat stat;

	EXPECT_INT(forebay_stat_channel(layer, "big", &stat), 0);
	EXPECT_STRING(stat.name, "big");
	EXPECT_INT(stat.capacity, 5000);
	EXPECT_INT(stat.statistics.messages_count, 0);
	EXPECT(stat.statistics.messages_count_per_second == 0);
	EXPECT_INT(stat.oldest, -1);
	EXPECT_INT(forebay_stat_channel(layer, "", &stat), FOREBAY_BAD_NAME);
	EXPECT_INT(forebay_stat_channel(layer, "r!0000000000000001", &stat), FOREBAY_BAD_NAME);
	discard(layer);
}

// ---------------------------------------------------------------------------------------------
// Rates
// ---------------------------------------------------------------------------------------------

TEST(the_rate_follows_what_is_sent_second_by_second)
{
	static const int sent[] = {10, 10, 80, 80, 0, 0, 0, 3};
	struct forebay *layer = start(NULL);

	EXPECT_INT(forebay_listen(layer, "x"), 0);
	tick(layer, true);
	for (size_t i = 0; i < sizeof sent / sizeof *sent; i++) {
		send_many(layer, "x", sent[i]);
		EXPECT_INT(receive_many(layer, 100), sent[i]);
		tick(layer, true);
		EXPECT_INT(channel(layer, "x").statistics.messages_count_per_second + 0.5, sent[i]);
		EXPECT_INT(total(layer).messages_count_per_second + 0.5, sent[i]);
	}
	discard(layer);
}

TEST(refusals_have_a_rate_too)
{
	struct forebay *layer = start(&(struct forebay_options){.capacity = 1});

	send_many(layer, "x", 1);
	tick(layer, true);
	tick(layer, true);
	for (int i = 0; i < 40; i++)
		EXPECT_INT(send_number(layer, "x", 1), FOREBAY_FULL);
	tick(layer, true);
	EXPECT_INT(channel(layer, "x").statistics.channel_full_count_per_second + 0.5, 40);
	EXPECT_INT(total(layer).channel_full_count_per_second + 0.5, 40);
	tick(layer, true);
	EXPECT_INT(channel(layer, "x").statistics.channel_full_count_per_second * 100, 0);
	EXPECT_INT(channel(layer, "x").statistics.channel_full_count, 40);
	discard(layer);
}

TEST(when_nobody_lives_to_keep_the_house_the_rate_goes_down)
{
	struct forebay *layer = start(NULL);
	double before = 1e9;

	send_many(layer, "x", 1);
	tick(layer, true);
	send_many(layer, "x", 90);
	EXPECT_INT(channel(layer, "x").statistics.messages_count_per_second + 0.5, 90);
	for (int i = 0; i < 50; i++) {
		double rate = channel(layer, "x").statistics.messages_count_per_second;

		EXPECT(rate <= before);
		EXPECT(total(layer).messages_count_per_second <= before + 1);
		before = rate;
		tick(layer, false);
	}
	EXPECT(before < 2);
	discard(layer);
}

TEST(a_channel_made_a_moment_ago_has_the_rate_of_that_moment)
{
	struct forebay *layer = start(NULL);

	send_many(layer, "old", 1);
	for (int i = 0; i < 5; i++)
		tick(layer, true);
	send_many(layer, "new", 30);
	EXPECT_INT(hundredths(channel(layer, "new").statistics.messages_count_per_second), 3000);
	channel_clock_ahead += 2000;
	EXPECT_INT(channel(layer, "new").statistics.messages_count_per_second + 0.5, 15);
	discard(layer);
}

TEST(a_channel_that_follows_another_in_its_entry_has_nothing_of_its_numbers)
{
	// 16 channels: an idle one is ended to make another.
	struct forebay *layer = start(
	        &(struct forebay_options){.size = 3 << 20, .channels = 16, .reply_channels = 64});
	char name[16];

	EXPECT_INT(forebay_listen(layer, "keeps the loop going"), 0);
	for (int i = 0; i < 100; i++) {
		struct forebay_channel_stat stat;

		snprintf(name, sizeof name, "n%d", i);
		send_many(layer, name, 70);
		stat = channel(layer, name);
		EXPECT_INT(stat.sent, 70);
		EXPECT_INT(stat.received, 0);
		EXPECT_INT(hundredths(stat.statistics.messages_count_per_second), 7000);
		EXPECT_INT(stat.full, 0);
		EXPECT_INT(stat.dropped[FOREBAY_COUNT_FLUSHED], 0);
		send_many(layer, name, 30);
		EXPECT_INT(send_number(layer, name, 0), FOREBAY_FULL);
		if (i % 3 == 0)
			tick(layer, true);
		EXPECT_INT(forebay_flush(layer, name, NULL), 0);
		EXPECT_INT(channel(layer, name).dropped[FOREBAY_COUNT_FLUSHED], 100);
	}
	discard(layer);
}

TEST(of_many_channels_each_is_marked_within_ten_seconds)
{
	enum { CHANNELS = 9000 };
	struct forebay *layer =
	        start(&(struct forebay_options){.size = 96 << 20, .channels = CHANNELS});
	char name[16];

	// The marks that their births have left are far too old.
	for (int i = 0; i < CHANNELS; i++) {
		snprintf(name, sizeof name, "n%d", i);
		EXPECT_INT(send_number(layer, name, 0), 0);
	}
	channel_clock_ahead += 40000;
	for (int i = 0; i < SHM_TURNS; i++)
		tick(layer, true);
	for (int i = 0; i < CHANNELS; i += 100) {
		struct forebay_statistics statistics;

		snprintf(name, sizeof name, "n%d", i);
		EXPECT_INT(send_number(layer, name, 0), 0);
		statistics = channel(layer, name).statistics;
		EXPECT_INT(statistics.messages_count, 2);
		EXPECT(statistics.messages_count_per_second >= 0.1 &&
		        statistics.messages_count_per_second <= 1.01);
	}
	discard(layer);
}

TEST(a_round_that_died_between_two_marks_does_no_harm)
{
	struct forebay *layer = start(NULL);
	struct shm_ring ring;

	send_many(layer, "x", 1);
	tick(layer, true);
	send_many(layer, "x", 50);
	// It has marked this channel, and neither its refusals nor anything behind it.
	EXPECT_INT(shm_table_find(&layer->table, "x", &ring), SHM_OK);
	channel_clock_ahead += 1000;
	shm_pace_mark(
	        &layer->segment.channel[ring.id].tally.sent, shm_ring_tail(&ring), channel_now());
	EXPECT_INT(channel(layer, "x").statistics.messages_count_per_second + 0.5, 50);
	EXPECT_INT(total(layer).messages_count_per_second + 0.5, 50);
	channel_clock_ahead += 500;
	EXPECT_INT(channel(layer, "x").statistics.messages_count_per_second + 0.5, 25);
	EXPECT_INT(total(layer).messages_count_per_second + 0.5, 33);
	tick(layer, true);
	tick(layer, true);
	EXPECT_INT(channel(layer, "x").statistics.messages_count_per_second * 100, 0);
	EXPECT_INT(total(layer).messages_count_per_second * 100, 0);
	discard(layer);
}

// ---------------------------------------------------------------------------------------------
// What ended unread, by reason
// ---------------------------------------------------------------------------------------------

TEST(what_expires_counts_as_expired_whoever_notices)
{
	struct forebay *layer = start(&(struct forebay_options){.expiry = 1, .capacity = 4});
	struct forebay_channel_stat stat;

	// Housekeeping.
	send_many(layer, "x", 3);
	channel_clock_ahead += 2000;
	EXPECT_INT(forebay_housekeep(layer), 0);
	EXPECT_INT(channel(layer, "x").dropped[FOREBAY_COUNT_EXPIRED], 3);
	// A receiver.
	send_many(layer, "x", 2);
	EXPECT_INT(forebay_listen(layer, "x"), 0);
	channel_clock_ahead += 2000;
	layer->housekeeping = INT64_MAX;
	EXPECT_INT(receive_number(layer), -1);
	EXPECT_INT(channel(layer, "x").dropped[FOREBAY_COUNT_EXPIRED], 5);
	// A sender, who finds the channel full.
	send_many(layer, "x", 4);
	channel_clock_ahead += 2000;
	EXPECT_INT(send_number(layer, "x", 7), 0);
	stat = channel(layer, "x");
	EXPECT_INT(stat.dropped[FOREBAY_COUNT_EXPIRED], 9);
	EXPECT_INT(stat.sent, 10);
	EXPECT_INT(stat.pending, 1);
	EXPECT_INT(stat.received, 0);
	EXPECT_INT(stat.full, 0);
	EXPECT_INT(receive_number(layer), 7);
	EXPECT_INT(channel(layer, "x").received, 1);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_EXPIRED), 9);
	discard(layer);
}

TEST(flushed_and_malformed_messages_are_not_received)
{
	struct forebay *layer = start(NULL);
	struct forebay_channel_stat stat;

	send_many(layer, "x", 3);
	EXPECT_INT(forebay_flush(layer, "x", NULL), 0);
	EXPECT_INT(send_number(layer, "x", 1), 0);
	EXPECT_INT(forebay_flush(layer, NULL, NULL), 0);
	send_many(layer, "x", 2);
	// One of them is scribbled over.
	for (uint32_t handle = 0; handle < layer->pool.first[SHM_CLASSES]; handle++) {
		struct shm_block_mem *block = shm_pool_block(&layer->pool, handle);

		if (SHM_OWN_STATE(load_relaxed(&block->own)) == SHM_SENT) {
			block->length = 7;
			break;
		}
	}
	EXPECT_INT(forebay_listen(layer, "x"), 0);
	EXPECT_INT(receive_many(layer, 10), 1);
	stat = channel(layer, "x");
	EXPECT_INT(stat.dropped[FOREBAY_COUNT_FLUSHED], 4);
	EXPECT_INT(stat.dropped[FOREBAY_COUNT_BAD], 1);
	EXPECT_INT(stat.sent, 6);
	EXPECT_INT(stat.received, 1);
	discard(layer);
}

static int find_inbox(const struct forebay_channel_stat *stat, void *context)
{
	if (stat->dropped[FOREBAY_COUNT_GONE] > 0)
		*(struct forebay_channel_stat *)context = *stat;
	return 0;
}

TEST(what_comes_too_late_for_a_reply_channel_is_gone_of_its_inbox)
{
	struct forebay *layer = start(NULL), *other = attach(NULL);
	struct forebay_channel_stat inbox = {0};
	char name[FOREBAY_NAME_SIZE];

	EXPECT_INT(forebay_reply_open(layer, "r", 0, NULL, name), 0);
	send_many(other, name, 2);
	EXPECT_INT(forebay_reply_close(layer, name), 0);
	EXPECT_INT(receive_number(layer), -1);
	EXPECT_INT(forebay_stat_channels(layer, find_inbox, &inbox), 0);
	EXPECT_INT(inbox.dropped[FOREBAY_COUNT_GONE], 2);
	EXPECT_INT(inbox.sent, 2);
	EXPECT_INT(inbox.received, 0);
	forebay_close(other);
	discard(layer);
}

// ---------------------------------------------------------------------------------------------
// Several processes, and their deaths
// ---------------------------------------------------------------------------------------------

enum {
	SENDERS = 4,
	EACH = 3000,
	HELD = 2, // messages in the hands of each
};

// Sends EACH messages, receiving meanwhile whatever there is, and dies with HELD of them in hand.
static void send_and_die(void)
{
	struct forebay *own = attach(NULL);
	struct forebay_message *message;

	if (forebay_listen(own, "x") != 0)
		_exit(1);
	for (int i = 0; i < EACH;) {
		int result = send_number(own, "x", i);

		if (result != 0 && result != FOREBAY_FULL)
			_exit(1);
		i += result == 0;
		(void)receive_number(own);
	}
	for (int i = 0; i < HELD; i++)
		if (send_number(own, "x", 0) != 0 && receive_number(own) < 0)
			_exit(1);
	for (int i = 0; i < HELD; i++)
		if (forebay_receive(own, HANG, &message) != 0)
			_exit(1);
	raise(SIGKILL);
}

// Where time goes by, since processes wait.
static struct forebay *attach_in_time(const struct forebay_options *options)
{
	channel_clock_ahead = shm_clock_still = 0;
	return attach(options);
}

TEST(the_sums_are_exact_after_the_deaths_of_all)
{
	struct forebay *layer =
	        attach_in_time(&(struct forebay_options){.capacity = 20, .expiry = NEVER});
	struct forebay_channel_stat stat;
	pid_t pids[SENDERS];

	for (int i = 0; i < SENDERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			send_and_die();
	}
	for (int i = 0; i < SENDERS; i++) {
		int status;

		EXPECT_INT(waitpid(pids[i], &status, 0), pids[i]);
		EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	}
	EXPECT(forebay_reap(layer) >= 0); // or who came next to its slot did
	stat = channel(layer, "x");
	EXPECT_INT(stat.sent, total(layer).messages_count);
	EXPECT(stat.sent >= SENDERS * EACH && stat.sent <= SENDERS * (EACH + HELD));
	EXPECT_INT(stat.full, total(layer).channel_full_count);
	EXPECT_INT(stat.received, counter(layer, FOREBAY_COUNT_RECEIVED));
	EXPECT_INT(stat.dropped[FOREBAY_COUNT_LOST], SENDERS * HELD);
	EXPECT_INT(stat.sent, stat.received + stat.pending);
	EXPECT_INT(used_blocks(layer), stat.pending);
	discard(layer);
}

TEST(who_reads_while_channels_come_and_go_never_sees_nonsense)
{
	struct forebay *layer = attach_in_time(&(struct forebay_options){
	        .size = 3 << 20, .channels = 16, .reply_channels = 64, .capacity = 2});
	char name[16];
	int status;
	pid_t pid;

	pid = fork();
	if (pid == 0) {
		struct forebay *own = attach(NULL);

		for (int i = 0; i < 40000; i++) {
			snprintf(name, sizeof name, "n%d", i);
			if (send_number(own, name, 0) != 0 || forebay_flush(own, name, NULL) != 0)
				_exit(1);
		}
		_exit(0);
	}
	while (waitpid(pid, &status, WNOHANG) == 0) {
		for (uint32_t i = 0; i < 16; i++) {
			struct forebay_channel_stat stat;

			snprintf(name, sizeof name, "n%u", 100 * i);
			EXPECT_INT(forebay_stat_channel(layer, name, &stat), 0);
			// One that is being flushed has been taken out, and isn't counted as flushed yet.
			EXPECT(stat.sent <= 1 && stat.received + stat.pending <= stat.sent);
		}
		EXPECT(total(layer).messages_pending <= 16);
	}
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	discard(layer);
}

static int count_processes(const struct forebay_process_stat *stat, void *context)
{
	*(int *)context += stat->alive;
	return 0;
}

static int find_group(const struct forebay_group_stat *stat, void *context)
{
	if (strcmp(stat->name, "g") == 0)
		*(uint64_t *)context = stat->size;
	return 0;
}

static int find_metric(const struct forebay_metric_stat *stat, void *context)
{
	*(double *)context += stat->value;
	return 0;
}

TEST(who_only_looks_sees_all_and_is_not_seen)
{
	struct forebay *layer = start(NULL), *other = attach(NULL), *observer;
	struct forebay_metric metric;
	struct forebay_layer_stat stat;
	uint64_t size = 0;
	double value = 0;
	int processes = 0;

	send_many(layer, "x", 3);
	EXPECT_INT(forebay_group_add(layer, "g", "x"), 0);
	EXPECT_INT(forebay_group_add(layer, "g", "y"), 0);
	EXPECT_INT(forebay_metric_open(other, "n", FOREBAY_METRIC_GAUGE, NULL, &metric), 0);
	forebay_metric_add(&metric, 7);
	observer = attach(&(struct forebay_options){.observe = true});
	EXPECT_INT(forebay_stat(observer, &stat), 0);
	EXPECT_INT(stat.processes, 2);
	EXPECT_INT(stat.statistics.messages_pending, 3);
	EXPECT_INT(channel(observer, "x").sent, 3);
	EXPECT_INT(channel(observer, "none").sent, 0);
	EXPECT_INT(forebay_stat_processes(observer, count_processes, &processes), 0);
	EXPECT_INT(processes, 2);
	EXPECT_INT(forebay_stat_groups(observer, find_group, &size), 0);
	EXPECT_INT(size, 2);
	EXPECT_INT(forebay_stat_metrics(observer, find_metric, &value), 0);
	EXPECT_INT(value, 7);
	EXPECT(!forebay_layer_gone(observer));
	// It doesn't keep anybody from replacing the layer.
	forebay_close(layer);
	forebay_close(other);
	layer = attach(&(struct forebay_options){.channels = 500, .replace = true});
	EXPECT_INT(forebay_layer_origin(layer), FOREBAY_REPLACED);
	EXPECT(forebay_layer_gone(observer));
	EXPECT_INT(forebay_stat(observer, &stat), 0);
	EXPECT_INT(stat.processes, 0);
	forebay_close(observer);
	discard(layer);
}

static int ignore_member(const char *name, void *context)
{
	(void)name;
	(void)context;
	return 0;
}

TEST(who_only_looks_can_do_nothing_else)
{
	struct forebay *layer = start(NULL), *observer;
	struct forebay_message *message, *received;
	struct forebay_metric metric;
	char name[FOREBAY_NAME_SIZE], own[FOREBAY_NAME_SIZE];
	uint64_t size;

	EXPECT_INT(forebay_reply_open(layer, "r", 0, NULL, own), 0);
	observer = attach(&(struct forebay_options){.observe = true});
	EXPECT_INT(send_number(observer, "x", 1), -ESTALE);
	EXPECT_INT(forebay_listen(observer, "x"), -ESTALE);
	EXPECT_INT(forebay_ignore(observer, "x"), -ESTALE);
	EXPECT_INT(forebay_receive(observer, 0, &received), -ESTALE);
	EXPECT_INT(forebay_fd(observer), -ESTALE);
	EXPECT_INT(forebay_flush(observer, NULL, NULL), -ESTALE);
	EXPECT_INT(forebay_reap(observer), -ESTALE);
	EXPECT_INT(forebay_housekeep(observer), -ESTALE);
	EXPECT_INT(forebay_reply_open(observer, "r", 0, NULL, name), -ESTALE);
	EXPECT_INT(forebay_reply_close(observer, own), -ESTALE);
	EXPECT_INT(forebay_stream_open(observer, "s", name), -ESTALE);
	EXPECT_INT(forebay_group_add(observer, "g", "x"), -ESTALE);
	EXPECT_INT(forebay_group_discard(observer, "g", "x"), -ESTALE);
	EXPECT_INT(forebay_group_size(observer, "g", &size), -ESTALE);
	EXPECT_INT(forebay_group_channels(observer, "g", ignore_member, NULL), -ESTALE);
	EXPECT_INT(
	        forebay_metric_open(observer, "n", FOREBAY_METRIC_GAUGE, NULL, &metric), -ESTALE);
	message = forebay_message_new(observer);
	EXPECT_INT(forebay_group_send(observer, "g", message, NULL), -ESTALE);
	EXPECT_INT(forebay_reply_announce(observer, own, "x", message), -ESTALE);
	EXPECT_INT(forebay_reply_farewell(observer, own, "x", message), -ESTALE);
	forebay_message_free(message);
	forebay_cork(observer);
	forebay_uncork(observer);
	forebay_close(observer);
	EXPECT_INT(forebay_open("no-such", &(struct forebay_options){.observe = true}, &observer),
	        -ENOENT);
	discard(layer);
}

TEST(the_size_of_a_group_that_is_compacted_meanwhile_is_right)
{
	struct forebay *layer = attach_in_time(NULL);
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct forebay *own = attach(NULL);
		char name[16];

		for (int i = 0; i < 3000; i++) {
			snprintf(name, sizeof name, "m%d", i % 50);
			if (forebay_group_add(own, "g", "always") != 0 ||
			        forebay_group_add(own, "g", name) != 0 ||
			        forebay_group_discard(own, "g", name) != 0 ||
			        (i % 3 == 0 && forebay_group_discard(own, "g", "always") != 0))
				_exit(1);
		}
		_exit(0);
	}
	while (waitpid(pid, &status, WNOHANG) == 0) {
		uint64_t size = 0;

		EXPECT_INT(forebay_stat_groups(layer, find_group, &size), 0);
		EXPECT(size <= 2);
	}
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	discard(layer);
}

TEST(the_statistics_of_a_fork_child_are_refused)
{
	struct forebay *layer = attach(NULL);
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct forebay_channel_stat stat;

		_exit(forebay_stat_channel(layer, "x", &stat) == -ESTALE ? 0 : 1);
	}
	EXPECT_INT(waitpid(pid, &status, 0), pid);
	EXPECT_INT(status, 0);
	discard(layer);
}
