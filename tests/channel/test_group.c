// SPDX-License-Identifier: MIT
// Groups as forebay.h promises them: members, sizes, sending, other processes, time.

#include <signal.h>
#include <sys/wait.h>

#include "channel/layer.h"
#include "tests/channel/support.h"

static uint64_t size_of(struct forebay *layer, const char *group)
{
	uint64_t size = UINT64_MAX;

	return forebay_group_size(layer, group, &size) == 0 ? size : UINT64_MAX;
}

// Sends {"n": NUMBER} to GROUP. Returns how many it reached, or -1.
static int64_t send_to(struct forebay *layer, const char *group, int64_t number)
{
	struct forebay_message *message = forebay_message_new(layer);
	uint64_t reached = 0;
	int result;

	forebay_put_integer(message, "n", number);
	result = forebay_group_send(layer, group, message, &reached);
	forebay_message_free(message);
	return result == 0 ? (int64_t)reached : -1;
}

// Owners whose turn it was, as bits.
static void note(void *owner, void *context)
{
	*(uint64_t *)context |= 1ull << *(int *)owner;
}

static int number_of[64];

// Opens COUNT reply channels with the numbers from FIRST on, and adds them to GROUP.
static void open_members(struct forebay *layer, const char *group, int first, int count)
{
	char name[FOREBAY_NAME_SIZE];

	for (int i = first; i < first + count; i++) {
		number_of[i] = i;
		EXPECT_INT(forebay_reply_open(layer, "socket", 0, &number_of[i], name), 0);
		EXPECT_INT(forebay_group_add(layer, group, name), 0);
	}
}

TEST(a_member_added_twice_is_one_and_leaves_at_once)
{
	struct forebay *layer = attach(NULL);

	EXPECT_INT(size_of(layer, "g"), 0);
	EXPECT_INT(forebay_group_add(layer, "g", "a"), 0);
	EXPECT_INT(forebay_group_add(layer, "g", "a"), 0);
	EXPECT_INT(forebay_group_add(layer, "g", "b"), 0);
	EXPECT_INT(size_of(layer, "g"), 2);
	EXPECT_INT(forebay_group_discard(layer, "g", "a"), 0);
	EXPECT_INT(forebay_group_discard(layer, "g", "a"), 0);
	EXPECT_INT(forebay_group_discard(layer, "no such group", "a"), 0);
	EXPECT_INT(size_of(layer, "g"), 1);
	EXPECT_INT(forebay_group_add(layer, "g", "a"), 0);
	EXPECT_INT(size_of(layer, "g"), 2);
	discard(layer);
}

TEST(names_are_checked)
{
	struct forebay *layer = attach(NULL);
	char name[FOREBAY_NAME_SIZE];

	EXPECT_INT(forebay_group_add(layer, "", "a"), FOREBAY_BAD_NAME);
	EXPECT_INT(forebay_group_add(layer, "g", ""), FOREBAY_BAD_NAME);
	EXPECT_INT(forebay_group_add(layer, "g", "a\n"), FOREBAY_BAD_NAME);
	EXPECT_INT(forebay_group_add(layer, "\x01", "a"), FOREBAY_BAD_NAME);
	EXPECT_INT(forebay_group_add(layer, "g", "a!ffffffffffffffff"), FOREBAY_BAD_NAME);
	EXPECT_INT(forebay_reply_open(layer, "r", 0, NULL, name), 0);
	EXPECT_INT(forebay_reply_close(layer, name), 0);
	EXPECT_INT(forebay_group_add(layer, "g", name), FOREBAY_GONE);
	EXPECT_INT(size_of(layer, "g"), 0);
	EXPECT_INT(send_to(layer, "\n", 1), -1);
	discard(layer);
}

TEST(groups_and_channels_of_one_name_are_strangers)
{
	struct forebay *layer = attach(NULL);
	struct forebay_layer_stat stat;

	EXPECT_INT(forebay_listen(layer, "x"), 0);
	EXPECT_INT(forebay_group_add(layer, "x", "y"), 0);
	EXPECT_INT(forebay_group_add(layer, "y", "x"), 0);
	EXPECT_INT(send_to(layer, "x", 1), 1);
	EXPECT_INT(receive_number(layer), -1);
	EXPECT_INT(send_to(layer, "y", 2), 1);
	EXPECT_INT(receive_number(layer), 2);
	EXPECT_INT(forebay_stat(layer, &stat), 0);
	EXPECT_INT(stat.groups, 2);
	EXPECT_INT(stat.channels, 2);
	discard(layer);
}

TEST(a_plain_member_that_is_full_is_skipped_and_counted)
{
	struct forebay *layer = attach(&(struct forebay_options){.capacity = 2});

	forebay_listen(layer, "quick");
	EXPECT_INT(forebay_group_add(layer, "g", "slow"), 0);
	EXPECT_INT(forebay_group_add(layer, "g", "quick"), 0);
	for (int i = 0; i < 2; i++) {
		EXPECT_INT(send_to(layer, "g", i), 2);
		EXPECT_INT(receive_number(layer), i);
	}
	for (int i = 2; i < 5; i++) {
		EXPECT_INT(send_to(layer, "g", i), 1);
		EXPECT_INT(receive_number(layer), i);
	}
	EXPECT_INT(counter(layer, FOREBAY_COUNT_FULL), 3);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_SENT), 7);
	discard(layer);
}

TEST(one_message_serves_all_reply_channels_of_a_process)
{
	struct forebay *layer = attach(NULL);
	struct forebay_message *message;
	uint64_t called = 0;

	open_members(layer, "room", 0, 20);
	EXPECT(!test_failed());
	EXPECT_INT(send_to(layer, "room", 7), 20);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_SENT), 1);
	EXPECT_INT(forebay_receive(layer, 0, &message), 0);
	EXPECT_STRING(forebay_message_group(message), "room");
	EXPECT_STRING(forebay_message_channel(message), "room");
	EXPECT(!forebay_message_owner(message));
	EXPECT_INT(forebay_get_integer(message, "n", 0), 7);
	EXPECT_INT(forebay_message_recipients(message, note, &called), 20);
	EXPECT_INT(called, (1 << 20) - 1);
	forebay_message_free(message);
	EXPECT_INT(forebay_receive(layer, 0, &message), FOREBAY_TIMEOUT);
	EXPECT_INT(used_blocks(layer), 0);
	discard(layer);
}

TEST(a_message_to_a_single_channel_names_no_group)
{
	struct forebay *layer = attach(NULL);
	struct forebay_message *message;
	char name[FOREBAY_NAME_SIZE];
	uint64_t called = 0;

	open_members(layer, "room", 0, 1);
	EXPECT_INT(send_to(layer, "room", 7), 1);
	EXPECT_INT(forebay_receive(layer, 0, &message), 0);
	forebay_message_free(message);
	EXPECT_INT(forebay_reply_open(layer, "r", 0, layer, name), 0);
	EXPECT_INT(send_number(layer, name, 1), 0);
	EXPECT_INT(forebay_receive(layer, 0, &message), 0);
	EXPECT(!forebay_message_group(message));
	EXPECT(forebay_message_owner(message) == layer);
	EXPECT_INT(forebay_message_recipients(message, note, &called), 0);
	forebay_message_free(message);
	discard(layer);
}

// What a recipient does with the others: the names of all, and how many were called.
struct closing {
	struct forebay *layer;
	char names[8][FOREBAY_NAME_SIZE];
	int called;
};

static void close_all(void *owner, void *context)
{
	struct closing *closing = context;

	(void)owner;
	closing->called++;
	for (int i = 0; i < 8; i++)
		(void)forebay_reply_close(closing->layer, closing->names[i]);
}

TEST(a_recipient_may_close_the_others_which_are_then_left_out)
{
	struct closing closing = {.layer = attach(NULL)};
	struct forebay_message *message;

	for (int i = 0; i < 8; i++) {
		EXPECT_INT(forebay_reply_open(closing.layer, "r", 0, NULL, closing.names[i]), 0);
		EXPECT_INT(forebay_group_add(closing.layer, "room", closing.names[i]), 0);
	}
	EXPECT_INT(send_to(closing.layer, "room", 1), 8);
	EXPECT_INT(send_to(closing.layer, "room", 2), 8);
	EXPECT_INT(forebay_receive(closing.layer, 0, &message), 0);
	EXPECT_INT(forebay_message_recipients(message, close_all, &closing), 1);
	EXPECT_INT(closing.called, 1);
	forebay_message_free(message);
	// The second finds nobody, and is dropped.
	EXPECT_INT(forebay_receive(closing.layer, 0, &message), FOREBAY_TIMEOUT);
	EXPECT_INT(counter(closing.layer, FOREBAY_COUNT_GONE), 1);
	EXPECT_INT(size_of(closing.layer, "room"), 0);
	EXPECT_INT(used_blocks(closing.layer), 0);
	discard(closing.layer);
}

TEST(a_closed_reply_channel_is_no_member_and_its_successor_isnt_either)
{
	struct forebay *layer = attach(NULL);
	char first[FOREBAY_NAME_SIZE], second[FOREBAY_NAME_SIZE];

	EXPECT_INT(forebay_reply_open(layer, "r", 0, NULL, first), 0);
	EXPECT_INT(forebay_group_add(layer, "g", first), 0);
	EXPECT_INT(forebay_reply_close(layer, first), 0);
	EXPECT_INT(forebay_reply_open(layer, "r", 0, NULL, second), 0);
	EXPECT(strcmp(first, second) != 0);
	EXPECT_INT(size_of(layer, "g"), 0);
	EXPECT_INT(send_to(layer, "g", 1), 0);
	EXPECT_INT(forebay_group_add(layer, "g", second), 0);
	EXPECT_INT(forebay_group_discard(layer, "g", first), 0);
	EXPECT_INT(size_of(layer, "g"), 1);
	discard(layer);
}

static int append_name(const char *channel, void *context)
{
	strcat(context, channel);
	strcat(context, " ");
	return 0;
}

static int stop_at_once(const char *channel, void *context)
{
	(void)channel;
	++*(int *)context;
	return 42;
}

TEST(members_are_listed_by_their_whole_names)
{
	struct forebay *layer = attach(NULL);
	char text[4 * FOREBAY_NAME_SIZE] = "", name[FOREBAY_NAME_SIZE], plain[FOREBAY_NAME_SIZE];
	int calls = 0;

	memset(plain, 'x', FOREBAY_NAME_MAX);
	plain[FOREBAY_NAME_MAX] = '\0';
	EXPECT_INT(forebay_reply_open(layer, "some.socket", 0, NULL, name), 0);
	EXPECT_INT(forebay_group_add(layer, "g", name), 0);
	EXPECT_INT(forebay_group_add(layer, "g", plain), 0);
	EXPECT_INT(forebay_group_channels(layer, "g", append_name, text), 0);
	EXPECT(strstr(text, name) && strstr(text, plain));
	EXPECT_INT(strlen(text), strlen(name) + strlen(plain) + 2);
	EXPECT_INT(forebay_group_channels(layer, "g", stop_at_once, &calls), 42);
	EXPECT_INT(calls, 1);
	EXPECT_INT(forebay_group_channels(layer, "h", stop_at_once, &calls), 0);
	EXPECT_INT(calls, 1);
	discard(layer);
}

TEST(with_too_many_prefixes_names_are_shorter_but_lead_to_the_same_channel)
{
	struct forebay *layer = attach(NULL);
	char text[4 * FOREBAY_NAME_SIZE] = "", name[FOREBAY_NAME_SIZE], prefix[32];

	for (int i = 0; i < 65; i++) {
		snprintf(prefix, sizeof prefix, "prefix-%d", i);
		EXPECT_INT(forebay_reply_open(layer, prefix, 0, layer, name), 0);
	}
	EXPECT_INT(forebay_group_add(layer, "g", name), 0);
	EXPECT_INT(forebay_group_channels(layer, "g", append_name, text), 0);
	text[strlen(text) - 1] = '\0';
	EXPECT_STRING(text, strchr(name, '!'));
	EXPECT_INT(send_number(layer, text, 5), 0);
	EXPECT_INT(receive_number(layer), 5);
	EXPECT_INT(forebay_group_discard(layer, "g", text), 0);
	EXPECT_INT(size_of(layer, "g"), 0);
	discard(layer);
}

static int add_up(const struct forebay_group_stat *stat, void *context)
{
	*(uint64_t *)context += stat->size + (strcmp(stat->name, "empty") == 0 ? 1000 : 0);
	return 0;
}

TEST(groups_are_listed_with_their_sizes)
{
	struct forebay *layer = attach(NULL);
	uint64_t sum = 0;

	forebay_group_add(layer, "one", "a");
	forebay_group_add(layer, "two", "a");
	forebay_group_add(layer, "two", "b");
	forebay_group_add(layer, "empty", "b");
	forebay_group_discard(layer, "empty", "b");
	EXPECT_INT(forebay_stat_groups(layer, add_up, &sum), 0);
	EXPECT_INT(sum, 3);
	discard(layer);
}

TEST(a_stream_that_has_ended_leaves_the_group)
{
	struct forebay *layer = attach(NULL);
	char name[FOREBAY_NAME_SIZE];

	EXPECT_INT(forebay_stream_open(layer, "body", name), 0);
	EXPECT_INT(forebay_listen(layer, name), 0);
	EXPECT_INT(forebay_group_add(layer, "g", name), 0);
	EXPECT_INT(send_to(layer, "g", 3), 1);
	EXPECT_INT(receive_number(layer), 3);
	EXPECT_INT(forebay_stream_close(layer, name), 0);
	EXPECT_INT(send_to(layer, "g", 4), 0);
	EXPECT_INT(size_of(layer, "g"), 0);
	discard(layer);
}

TEST(a_member_that_is_not_renewed_expires)
{
	struct forebay *layer = attach_still(&(struct forebay_options){.group_expiry = 1000});
	char name[FOREBAY_NAME_SIZE];

	EXPECT_INT(forebay_reply_open(layer, "r", 0, NULL, name), 0);
	EXPECT_INT(forebay_group_add(layer, "g", "old"), 0);
	EXPECT_INT(forebay_group_add(layer, "g", "renewed"), 0);
	EXPECT_INT(forebay_group_add(layer, "g", name), 0);
	pass(999000);
	EXPECT_INT(size_of(layer, "g"), 3);
	EXPECT_INT(forebay_group_add(layer, "g", "renewed"), 0);
	EXPECT_INT(forebay_group_add(layer, "h", name), 0);
	pass(21000);
	EXPECT_INT(size_of(layer, "g"), 1);
	EXPECT_INT(size_of(layer, "h"), 1);
	EXPECT_INT(send_to(layer, "g", 1), 1);
	pass(1980000);
	EXPECT_INT(send_to(layer, "g", 1), 0);
	discard_still(layer);
}

TEST(what_has_been_sent_to_a_group_is_free_again_and_many_groups_leave_nothing)
{
	struct forebay *layer = attach_still(&(struct forebay_options){.groups = 16});
	struct forebay_layer_stat stat;
	char name[32];

	for (int i = 0; i < 2000; i++) {
		snprintf(name, sizeof name, "group-%d", i);
		EXPECT_INT(forebay_group_add(layer, name, "a"), 0);
		EXPECT_INT(forebay_group_add(layer, name, "b"), 0);
		EXPECT_INT(send_to(layer, name, i), 2);
		EXPECT_INT(forebay_flush(layer, NULL, NULL), 0);
		EXPECT_INT(forebay_group_discard(layer, name, "a"), 0);
		EXPECT_INT(forebay_group_discard(layer, name, "b"), 0);
	}
	pass(1000); // for a search for groups to end
	EXPECT_INT(forebay_group_add(layer, "last", "a"), 0);
	EXPECT_INT(forebay_stat(layer, &stat), 0);
	EXPECT(stat.groups <= 16);
	discard_still(layer);
}

// ---------------------------------------------------------------------------------------------
// Several processes
// ---------------------------------------------------------------------------------------------

enum { OWN = 10 };

// A child that joins OWN reply channels to "room", says so, and then waits to be killed; or answers each message to
// the group on "reached" with the number of its recipients, as soon as GO comes.
static pid_t fork_owner(bool answers, int *go)
{
	int ready[2], begin[2];
	char byte;
	pid_t pid;

	if (pipe(ready) < 0 || pipe(begin) < 0)
		return -1;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		struct forebay *mine = attach(NULL);
		struct forebay_message *message;
		uint64_t called = 0;

		open_members(mine, "room", 0, OWN);
		(void)!write(ready[1], "", 1);
		close(begin[1]);
		(void)!read(begin[0], &byte, 1); // until the parent writes there, or ends
		if (!answers || test_failed() || forebay_receive(mine, HANG, &message) != 0 ||
		        !forebay_message_group(message))
			_exit(1);
		(void)send_number(mine, "reached",
		        (int64_t)forebay_message_recipients(message, note, &called));
		forebay_message_free(message);
		forebay_close(mine);
		_exit(0);
	}
	(void)!read(ready[0], &byte, 1);
	close(ready[0]);
	close(ready[1]);
	close(begin[0]);
	*go = begin[1];
	return pid;
}

TEST(each_owning_process_gets_one_message_and_finds_its_own_recipients)
{
	struct forebay *layer = attach(NULL);
	int go[2], status;
	pid_t pids[2];

	forebay_listen(layer, "reached");
	for (int i = 0; i < 2; i++) {
		pids[i] = fork_owner(true, &go[i]);
		EXPECT(pids[i] > 0);
	}
	open_members(layer, "room", 0, 3);
	EXPECT_INT(size_of(layer, "room"), 2 * OWN + 3);
	EXPECT_INT(send_to(layer, "room", 1), 2 * OWN + 3);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_SENT), 3);
	for (int i = 0; i < 2; i++) {
		EXPECT(write(go[i], "", 1) == 1);
		close(go[i]);
		waitpid(pids[i], &status, 0);
		EXPECT_INT(status, 0);
	}
	// Their members have gone with them; ours is here.
	EXPECT_INT(size_of(layer, "room"), 3);
	for (int left = 2; left > 0;) {
		struct forebay_message *message;

		EXPECT_INT(forebay_receive(layer, 0, &message), 0);
		if (!forebay_message_group(message)) {
			EXPECT_INT(forebay_get_integer(message, "n", -1), OWN);
			left--;
		}
		forebay_message_free(message);
	}
	discard(layer);
}

TEST(a_dead_owners_members_vanish_when_anybody_looks_for_the_dead)
{
	struct forebay *layer = attach_still(NULL);
	struct forebay_message *message;
	int go;
	pid_t pid = fork_owner(false, &go);

	EXPECT(pid > 0);
	EXPECT_INT(forebay_group_add(layer, "room", "plain"), 0);
	EXPECT_INT(send_to(layer, "room", 1), OWN + 1);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(go);
	// Housekeeping does: nobody has to call forebay_reap().
	pass(2000);
	EXPECT_INT(forebay_receive(layer, 0, &message), FOREBAY_TIMEOUT);
	EXPECT_INT(size_of(layer, "room"), 1);
	EXPECT_INT(send_to(layer, "room", 2), 1);
	discard_still(layer);
}

TEST(a_group_whose_members_were_all_of_dead_processes_ends)
{
	struct forebay *layer = attach_still(NULL);
	struct forebay_layer_stat stat;
	struct forebay_message *message;
	int go;
	pid_t pid = fork_owner(false, &go);

	EXPECT(pid > 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(go);
	for (int i = 1; i <= 100; i++) {
		pass(2000);
		EXPECT_INT(forebay_receive(layer, 0, &message), FOREBAY_TIMEOUT);
	}
	EXPECT_INT(forebay_stat(layer, &stat), 0);
	EXPECT_INT(stat.groups, 0);
	EXPECT_INT(stat.group_cells, 0);
	discard_still(layer);
}
