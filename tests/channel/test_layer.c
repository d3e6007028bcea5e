// SPDX-License-Identifier: MIT
// The public interface: what forebay.h promises of layers, messages, channels and reply channels.

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "channel/layer.h"
#include "tests/channel/support.h"

static bool readable(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	return poll(&poll_fd, 1, 0) == 1;
}

TEST(a_message_arrives_as_it_was_built)
{
	struct forebay *layer = attach(NULL);
	struct forebay_message *out = forebay_message_new(layer), *in;
	const struct forebay_value *list;
	const char *content;
	unsigned kind;
	size_t length;

	forebay_put_text(out, "path", "/\xc3\xa4\"\\");
	forebay_put_latin1(out, "latin", "\xe4", 1);
	forebay_put_integer(out, "status", -200);
	forebay_put_boolean(out, "yes", true);
	forebay_begin_list(out, "list");
	forebay_put_text(out, NULL, "a");
	forebay_put_null(out, NULL);
	forebay_end(out);
	forebay_set_content(out, "\0\xff", 2, FOREBAY_BINARY);
	EXPECT_INT(forebay_listen(layer, "x"), 0);
	EXPECT_INT(forebay_send(layer, "x", out, 0), 0);
	EXPECT_INT(forebay_receive(layer, 0, &in), 0);
	EXPECT_STRING(forebay_message_channel(in), "x");
	EXPECT_STRING(forebay_get_string(in, "path", &length), "/\xc3\xa4\"\\");
	EXPECT_INT(length, 5);
	EXPECT_STRING(forebay_get_string(in, "latin", NULL), "\xc3\xa4");
	EXPECT_INT(forebay_get_integer(in, "status", 0), -200);
	EXPECT(forebay_get_boolean(in, "yes", false));
	EXPECT(!forebay_get_string(in, "status", NULL));
	list = forebay_get(forebay_message_root(in), "list");
	EXPECT(list && list->length == 2 && list->child->next->type == FOREBAY_TYPE_NULL);
	content = forebay_message_content(in, &length, &kind);
	EXPECT(length == 2 && kind == FOREBAY_BINARY && memcmp(content, "\0\xff", 2) == 0);
	EXPECT_STRING(forebay_message_json(in, NULL),
	        "{\"path\":\"/"
	        "\xc3\xa4\\\"\\\\\",\"latin\":\"\xc3\xa4\",\"status\":-200,\"yes\":true,"
	        "\"list\":[\"a\",null],\"content\":\"AP8=\",\"binary\":true}");
	EXPECT(!forebay_message_owner(in));
	forebay_message_free(in);
	forebay_message_free(out);
	discard(layer);
}

TEST(a_message_from_json_is_the_same_message)
{
	static const char json[] = "{\"a\": [1, {}], \"binary\": true, \"content\": \"AP8=\"}";
	struct forebay *layer = attach(NULL);
	struct forebay_message *out = forebay_message_new(layer), *in;
	const char *error;

	EXPECT_INT(forebay_message_from_json(out, json, strlen(json), &error), 0);
	forebay_listen(layer, "x");
	EXPECT_INT(forebay_send(layer, "x", out, 0), 0);
	EXPECT_INT(forebay_receive(layer, 0, &in), 0);
	EXPECT_STRING(forebay_message_json(in, NULL),
	        "{\"a\":[1,{}],\"content\":\"AP8=\",\"binary\":true}");
	forebay_message_free(in);
	EXPECT_INT(forebay_message_from_json(out, "[]", 2, &error), FOREBAY_BAD_MESSAGE);
	EXPECT(error != NULL);
	EXPECT_INT(
	        forebay_message_from_json(out, "{\"content\":\"=\",\"binary\":true}", 29, &error),
	        FOREBAY_BAD_MESSAGE);
	forebay_message_free(out);
	discard(layer);
}

// What stands for true or false in some languages isn't taken for either.
TEST(whether_content_is_binary_is_a_boolean)
{
	static const char *const wrong[] = {"1", "0", "\"true\"", "\"\"", "1.5", "[]", "{}"};
	static const char none[] = "{\"binary\": 1, \"content\": {}}";
	static const char null[] = "{\"content\": \"AP8=\", \"binary\": null}";
	struct forebay *layer = attach(NULL);
	struct forebay_message *message = forebay_message_new(layer);
	const char *error;

	for (size_t i = 0; i < 2 * sizeof wrong / sizeof *wrong; i++) {
		char json[64];

		snprintf(json, sizeof json, "{\"binary\": %s, \"%s\": \"AP8=\"}", wrong[i / 2],
		        i % 2 ? "content" : "body");
		EXPECT_INT(forebay_message_from_json(message, json, strlen(json), &error),
		        FOREBAY_BAD_MESSAGE);
		EXPECT_STRING(error, "binary is not a boolean");
	}
	EXPECT_INT(forebay_message_from_json(message, null, strlen(null), &error), 0);
	EXPECT_INT(forebay_message_kind(message), FOREBAY_TEXT);
	// Of no content it says nothing.
	EXPECT_INT(forebay_message_from_json(message, none, strlen(none), &error), 0);
	EXPECT_STRING(
	        forebay_message_envelope(message, &(size_t){0}), "{\"binary\":1,\"content\":{}}");
	forebay_message_free(message);
	discard(layer);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) // end who asks for so much
TEST(a_message_isnt_printed_without_its_content)
{
	struct forebay *layer = attach(NULL);
	struct forebay_message *message = forebay_message_new(layer);

	forebay_set_content(message, "content", 7, FOREBAY_TEXT);
	forebay_listen(layer, "x");
	EXPECT_INT(forebay_send(layer, "x", message, 0), 0);
	forebay_message_free(message);
	EXPECT_INT(forebay_receive(layer, 0, &message), 0);
	message->content_length = SIZE_MAX / 2; // no heap has room for a copy
	EXPECT(!forebay_message_json(message, NULL));
	message->content_length = 7;
	EXPECT_STRING(forebay_message_json(message, NULL), "{\"content\":\"content\"}");
	forebay_message_free(message);
	discard(layer);
}
#endif

// Its memory may be that of one that was built, sent and freed before.
TEST(a_received_message_cannot_be_sent_as_it_is)
{
	struct forebay *layer = attach(NULL);
	uint64_t bad;

	forebay_listen(layer, "x");
	for (int i = 0; i < 4; i++) {
		struct forebay_message *message = forebay_message_new(layer);

		forebay_put_text(message, "an", "envelope");
		if (i % 2 == 0)
			forebay_set_content(message, "content", 7, FOREBAY_TEXT);
		EXPECT_INT(forebay_send(layer, "x", message, 0), 0);
		forebay_message_free(message);
		EXPECT_INT(forebay_receive(layer, 0, &message), 0);
		bad = counter(layer, FOREBAY_COUNT_BAD);
		EXPECT_INT(forebay_send(layer, "x", message, 0), FOREBAY_BAD_MESSAGE);
		EXPECT_INT(forebay_send(layer, "asgi.delay", message, 0), FOREBAY_BAD_MESSAGE);
		EXPECT_INT(forebay_send_after(layer, "x", message, 1), FOREBAY_BAD_MESSAGE);
		EXPECT_INT(forebay_group_send(layer, "g", message, NULL), FOREBAY_BAD_MESSAGE);
		EXPECT_INT(counter(layer, FOREBAY_COUNT_BAD), bad + 4);
		forebay_message_free(message);
		EXPECT_INT(receive_number(layer), -1);
	}
	discard(layer);
}

TEST(the_limit_of_1_mb_is_on_the_encoded_message)
{
	struct forebay *layer = attach(NULL);
	struct forebay_message *out = forebay_message_new(layer), *in;
	static char data[FOREBAY_MESSAGE_MAX + 1];
	static const size_t extra = sizeof "{,\"content\":\"\"}" - 1;
	size_t length;

	forebay_listen(layer, "x");
	memset(data, 'x', sizeof data);
	forebay_set_content(out, data, FOREBAY_MESSAGE_MAX - extra, FOREBAY_TEXT);
	EXPECT_INT(forebay_send(layer, "x", out, 0), 0);
	EXPECT_INT(forebay_receive(layer, 0, &in), 0);
	EXPECT(memcmp(forebay_message_content(in, &length, NULL), data,
	               FOREBAY_MESSAGE_MAX - extra) == 0);
	EXPECT_INT(length, FOREBAY_MESSAGE_MAX - extra);
	forebay_message_free(in);
	forebay_set_content(out, data, FOREBAY_MESSAGE_MAX - extra + 1, FOREBAY_TEXT);
	EXPECT_INT(forebay_send(layer, "x", out, 0), FOREBAY_TOO_LARGE);
	// Each of these takes six octets, or four thirds of one.
	memset(data, 1, sizeof data);
	forebay_set_content(out, data, FOREBAY_MESSAGE_MAX / 6, FOREBAY_TEXT);
	EXPECT_INT(forebay_send(layer, "x", out, 0), FOREBAY_TOO_LARGE);
	forebay_set_content(out, data, FOREBAY_MESSAGE_MAX / 6 - 100, FOREBAY_TEXT);
	EXPECT_INT(forebay_send(layer, "x", out, 0), 0);
	forebay_set_content(out, data, FOREBAY_MESSAGE_MAX / 4 * 3, FOREBAY_BINARY);
	EXPECT_INT(forebay_send(layer, "x", out, 0), FOREBAY_TOO_LARGE);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_TOO_LARGE), 3);
	forebay_message_free(out);
	discard(layer);
}

TEST(what_is_malformed_is_refused_at_send_by_its_own_error)
{
	struct forebay *layer = attach(NULL);
	struct forebay_message *out = forebay_message_new(layer);

	forebay_put_text(out, "bad", "\xc0\xaf");
	EXPECT_INT(forebay_send(layer, "x", out, 0), FOREBAY_BAD_MESSAGE);
	forebay_message_reset(out);
	forebay_set_content(out, "\xff", 1, FOREBAY_TEXT);
	EXPECT_INT(forebay_send(layer, "x", out, 0), FOREBAY_BAD_MESSAGE);
	forebay_message_reset(out);
	EXPECT_INT(forebay_send(layer, "", out, 0), FOREBAY_BAD_NAME);
	EXPECT_INT(forebay_send(layer, "x!y", out, 0), FOREBAY_BAD_NAME);
	EXPECT_INT(forebay_send(layer, "x!ffffffffffffffff", out, 0), FOREBAY_BAD_NAME);
	for (int i = 0; i < FOREBAY_DEPTH_MAX; i++)
		forebay_begin_object(out, "a");
	for (int i = 0; i < FOREBAY_DEPTH_MAX; i++)
		forebay_end(out);
	EXPECT_INT(forebay_send(layer, "x", out, 0), FOREBAY_BAD_MESSAGE);
	EXPECT_INT(used_blocks(layer), 0);
	forebay_message_free(out);
	discard(layer);
}

TEST(a_full_channel_refuses_and_others_still_take)
{
	struct forebay *layer =
	        attach(&(struct forebay_options){.capacities = "small=3", .capacity = 5});

	for (int i = 0; i < 5; i++) {
		EXPECT_INT(send_number(layer, "small", i), i < 3 ? 0 : FOREBAY_FULL);
		EXPECT_INT(send_number(layer, "other", i), 0);
	}
	EXPECT_INT(send_number(layer, "other", 5), FOREBAY_FULL);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_FULL), 3);
	discard(layer);
}

static uint32_t capacity_of(struct forebay *layer, const char *channel)
{
	struct forebay_channel_stat stat = {0};

	return forebay_stat_channel(layer, channel, &stat) == 0 ? stat.capacity : 0;
}

TEST(without_capacities_channels_have_those_that_suit_a_server)
{
	struct forebay *layer = attach(NULL);

	EXPECT_INT(capacity_of(layer, "http.request"), 1000);
	EXPECT_INT(capacity_of(layer, "http.disconnect"), 1000);
	EXPECT_INT(capacity_of(layer, "websocket.disconnect"), 1000);
	EXPECT_INT(capacity_of(layer, "jobs"), 100);
	discard(layer);
	layer = attach(&(struct forebay_options){.capacity = 7});
	EXPECT_INT(capacity_of(layer, "http.request"), 7);
	discard(layer);
	layer = attach(&(struct forebay_options){.capacities = "jobs=7"});
	EXPECT_INT(capacity_of(layer, "jobs"), 7);
	EXPECT_INT(capacity_of(layer, "http.request"), 100);
	discard(layer);
}

TEST(a_busy_channel_does_not_starve_a_quiet_one)
{
	struct forebay *layer = attach(NULL);
	int64_t first = -1;

	forebay_listen(layer, "busy");
	forebay_listen(layer, "quiet");
	for (int i = 0; i < 90; i++)
		send_number(layer, "busy", i);
	send_number(layer, "quiet", 1000);
	for (int i = 0; i < 3 && first != 1000; i++)
		first = receive_number(layer);
	EXPECT_INT(first, 1000);
	discard(layer);
}

TEST(listening_twice_is_once_and_an_ignored_channel_keeps_its_messages)
{
	struct forebay *layer = attach(NULL);

	EXPECT_INT(forebay_listen(layer, "x"), 0);
	EXPECT_INT(forebay_listen(layer, "x"), 0);
	send_number(layer, "x", 1);
	EXPECT_INT(forebay_ignore(layer, "x"), 0);
	EXPECT_INT(forebay_ignore(layer, "x"), 0);
	EXPECT_INT(receive_number(layer), -1);
	EXPECT_INT(forebay_listen(layer, "x"), 0);
	EXPECT_INT(receive_number(layer), 1);
	EXPECT_INT(forebay_listen(layer, "x!y"), FOREBAY_BAD_NAME);
	EXPECT_INT(forebay_listen(layer, "x?0123456789abcdef"), FOREBAY_GONE);
	discard(layer);
}

TEST(the_descriptor_is_readable_when_and_only_when_something_may_have_come)
{
	struct forebay *layer = attach(NULL), *other = attach(NULL);
	struct forebay_message *message;
	int fd = forebay_fd(layer);

	EXPECT(fd >= 0);
	forebay_listen(layer, "x");
	EXPECT_INT(forebay_receive(layer, 0, &message), FOREBAY_TIMEOUT);
	EXPECT(!readable(fd));
	for (int i = 0; i < 1000; i++) {
		EXPECT_INT(send_number(other, "x", i), 0);
		EXPECT(readable(fd));
		EXPECT_INT(receive_number(layer), i);
		EXPECT_INT(receive_number(layer), -1);
		EXPECT(!readable(fd));
	}
	EXPECT_INT(counter(layer, FOREBAY_COUNT_WAKEUPS), 1000);
	// While it is awake, no call is made to wake it.
	for (int i = 0; i < 50; i++)
		send_number(other, "x", i);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_WAKEUPS), 1001);
	forebay_close(other);
	discard(layer);
}

TEST(a_reply_channel_takes_its_window_and_gives_credit_back_as_messages_are_freed)
{
	struct forebay *layer = attach(NULL), *sender = attach(NULL);
	struct forebay_message *held[4];
	char name[FOREBAY_NAME_SIZE];
	int owner;

	EXPECT_INT(forebay_reply_open(layer, "http.response", 4, &owner, name), 0);
	for (int round = 0; round < 1000; round++) {
		for (int i = 0; i < 4; i++)
			EXPECT_INT(send_number(sender, name, i), 0);
		EXPECT_INT(send_number(sender, name, 4), FOREBAY_FULL);
		for (int i = 0; i < 4; i++) {
			EXPECT_INT(forebay_receive(layer, 0, &held[i]), 0);
			EXPECT(forebay_message_owner(held[i]) == &owner);
			EXPECT_STRING(forebay_message_channel(held[i]), name);
		}
		EXPECT_INT(send_number(sender, name, 4), FOREBAY_FULL);
		for (int i = 0; i < 4; i++)
			forebay_message_free(held[i]);
	}
	forebay_close(sender);
	discard(layer);
}

TEST(room_in_a_reply_channel_wakes_the_sender_that_found_it_full)
{
	struct forebay *layer = attach(NULL), *sender = attach(NULL);
	struct forebay_message *message;
	char name[FOREBAY_NAME_SIZE];
	int fd = forebay_fd(sender);

	EXPECT_INT(forebay_reply_open(layer, "r", 1, NULL, name), 0);
	EXPECT_INT(send_number(sender, name, 1), 0);
	EXPECT_INT(send_number(sender, name, 2), FOREBAY_FULL);
	EXPECT_INT(forebay_receive(sender, 0, &message), FOREBAY_TIMEOUT);
	EXPECT(!readable(fd));
	EXPECT_INT(receive_number(layer), 1);
	EXPECT(readable(fd));
	EXPECT_INT(forebay_receive(sender, 0, &message), FOREBAY_TIMEOUT);
	EXPECT_INT(send_number(sender, name, 2), 0);
	// Room that comes before it goes to sleep isn't missed either.
	EXPECT_INT(send_number(sender, name, 3), FOREBAY_FULL);
	EXPECT_INT(receive_number(layer), 2);
	EXPECT_INT(forebay_receive(sender, 0, &message), FOREBAY_TIMEOUT);
	EXPECT(readable(fd));
	forebay_close(sender);
	discard(layer);
}

TEST(room_in_a_plain_channel_wakes_the_sender_too)
{
	struct forebay *layer = attach(&(struct forebay_options){.capacity = 1}),
	               *sender = attach(NULL);
	struct forebay_message *message;
	int fd = forebay_fd(sender);

	forebay_listen(layer, "x");
	EXPECT_INT(send_number(sender, "x", 1), 0);
	EXPECT_INT(send_number(sender, "x", 2), FOREBAY_FULL);
	EXPECT_INT(forebay_receive(sender, 0, &message), FOREBAY_TIMEOUT);
	EXPECT_INT(receive_number(layer), 1);
	EXPECT(readable(fd));
	forebay_close(sender);
	discard(layer);
}

TEST(a_closed_reply_channel_is_gone_at_once_and_for_ever)
{
	struct forebay *layer = attach(NULL);
	char first[FOREBAY_NAME_SIZE], second[FOREBAY_NAME_SIZE];

	EXPECT_INT(forebay_reply_open(layer, "r", 0, NULL, first), 0);
	EXPECT_INT(send_number(layer, first, 1), 0);
	EXPECT_INT(forebay_reply_close(layer, first), 0);
	EXPECT_INT(forebay_reply_close(layer, first), FOREBAY_GONE);
	EXPECT_INT(send_number(layer, first, 2), FOREBAY_GONE);
	EXPECT_INT(forebay_reply_open(layer, "r", 0, NULL, second), 0);
	EXPECT(strcmp(first, second) != 0);
	EXPECT_INT(send_number(layer, first, 3), FOREBAY_GONE);
	EXPECT_INT(receive_number(layer), -1); // what was under way is dropped, and counted
	EXPECT_INT(counter(layer, FOREBAY_COUNT_GONE), 3);
	EXPECT_INT(used_blocks(layer), 0);
	discard(layer);
}

TEST(a_stream_passes_messages_until_it_ends_and_its_listener_learns_of_the_end)
{
	struct forebay *layer = attach(NULL), *reader = attach(NULL);
	struct forebay_message *message;
	char name[FOREBAY_NAME_SIZE];

	EXPECT_INT(forebay_stream_open(layer, "body", name), 0);
	EXPECT_INT(forebay_listen(reader, name), 0);
	EXPECT_INT(send_number(layer, name, 7), 0);
	EXPECT_INT(receive_number(reader), 7);
	EXPECT_INT(forebay_stream_close(layer, name), 0);
	EXPECT_INT(forebay_receive(reader, 0, &message), 0);
	EXPECT(forebay_get_boolean(message, "closed", false));
	EXPECT_STRING(forebay_message_channel(message), name);
	forebay_message_free(message);
	EXPECT_INT(forebay_receive(reader, 0, &message), FOREBAY_TIMEOUT);
	EXPECT_INT(send_number(layer, name, 8), FOREBAY_GONE);
	EXPECT_INT(forebay_listen(reader, name), FOREBAY_GONE);
	forebay_close(reader);
	discard(layer);
}

TEST(a_stream_is_finished_when_all_was_received)
{
	struct forebay *layer = attach(NULL), *reader = attach(NULL);
	char name[FOREBAY_NAME_SIZE];

	EXPECT_INT(forebay_stream_open(layer, "body", name), 0);
	EXPECT_INT(send_number(layer, name, 7), 0);
	EXPECT_INT(forebay_stream_finish(layer, name), FOREBAY_FULL);
	EXPECT_INT(forebay_stream_finish(reader, name), FOREBAY_BAD_NAME);
	EXPECT_INT(forebay_listen(reader, name), 0);
	EXPECT_INT(receive_number(reader), 7);
	EXPECT_INT(forebay_stream_finish(layer, name), 0);
	EXPECT_INT(forebay_stream_finish(layer, name), FOREBAY_GONE);
	forebay_close(reader);
	discard(layer);
}

TEST(streams_leave_nothing_behind_however_many_there_were)
{
	struct forebay *layer = attach(NULL);
	char name[FOREBAY_NAME_SIZE];
	struct forebay_layer_stat stat;

	for (int i = 0; i < 20000; i++) {
		EXPECT_INT(forebay_stream_open(layer, "body", name), 0);
		EXPECT_INT(send_number(layer, name, i), 0);
		EXPECT_INT(forebay_stream_close(layer, name), 0);
	}
	EXPECT_INT(forebay_stat(layer, &stat), 0);
	EXPECT_INT(stat.channels, 0);
	EXPECT_INT(used_blocks(layer), 0);
	discard(layer);
}

TEST(flush_drops_what_waits_and_counts_it)
{
	struct forebay *layer = attach(NULL);
	uint64_t count;

	for (int i = 0; i < 10; i++) {
		send_number(layer, "a", i);
		send_number(layer, "b", i);
	}
	EXPECT_INT(forebay_flush(layer, "a", &count), 0);
	EXPECT_INT(count, 10);
	EXPECT_INT(forebay_flush(layer, NULL, &count), 0);
	EXPECT_INT(count, 10);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_FLUSHED), 20);
	EXPECT_INT(used_blocks(layer), 0);
	discard(layer);
}

TEST(a_full_memory_refuses_and_serves_again_when_drained)
{
	struct forebay *layer = attach(&(struct forebay_options){
	        .size = 8 << 20, .channels = 64, .reply_channels = 64, .capacity = 8000});
	static char data[60000];
	struct forebay_message *out = forebay_message_new(layer);
	int sent = 0, result;

	forebay_set_content(out, data, sizeof data, FOREBAY_BINARY);
	while ((result = forebay_send(layer, "x", out, 0)) == 0)
		sent++;
	EXPECT_INT(result, FOREBAY_NO_MEMORY);
	EXPECT(sent > 20);
	EXPECT_INT(forebay_flush(layer, "x", NULL), 0);
	for (int i = 0; i < sent; i++)
		EXPECT_INT(forebay_send(layer, "x", out, 0), 0);
	forebay_message_free(out);
	discard(layer);
}

// ---------------------------------------------------------------------------------------------
// Several processes
// ---------------------------------------------------------------------------------------------

TEST(a_child_of_fork_can_not_use_its_parents_attachment_and_does_not_keep_it_alive)
{
	struct forebay *layer = attach(NULL);
	struct forebay_message *message;
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		bool stale = forebay_receive(layer, 0, &message) == -ESTALE &&
		             send_number(layer, "x", 1) == -ESTALE &&
		             forebay_reap(layer) == -ESTALE;

		forebay_close(layer);
		_exit(stale ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	EXPECT_INT(status, 0);
	EXPECT_INT(send_number(layer, "x", 1), 0);
	discard(layer);
}

static _Atomic unsigned detaching;
static _Atomic bool stop_detaching;

static void *attach_and_detach(void *unused)
{
	while (!stop_detaching) {
		struct forebay *layer = attach(NULL);

		detaching++;
		forebay_close(layer);
	}
	return unused;
}

TEST(a_child_forked_while_another_thread_detaches_does_not_keep_its_slot)
{
	struct forebay *layer = attach(NULL);
	uint32_t locked = 0;
	pthread_t thread;
	pid_t pids[80];
	int tube[2];
	char byte;

	EXPECT(pipe(tube) == 0);
	fflush(stdout);
	EXPECT_INT(pthread_create(&thread, NULL, attach_and_detach, NULL), 0);
	for (size_t i = 0; i < sizeof pids / sizeof *pids; i++) {
		unsigned before = detaching;

		while (detaching == before)
			sched_yield();
		pids[i] = fork();
		if (pids[i] == 0)
			(void)!write(tube[1], "", 1);
		while (pids[i] == 0)
			pause();
	}
	// Until a child has run its fork handler, it keeps what its parent had.
	for (size_t i = 0; i < sizeof pids / sizeof *pids; i++)
		EXPECT(read(tube[0], &byte, 1) == 1);
	stop_detaching = true;
	EXPECT_INT(pthread_join(thread, NULL), 0);
	for (uint32_t slot = 0; slot < SHM_PROCESSES; slot++)
		locked += shm_process_is_locked(&layer->segment, slot);
	EXPECT_INT(locked, 1);
	for (size_t i = 0; i < sizeof pids / sizeof *pids; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	discard(layer);
}

// As fork() leaves it before it runs the handlers: with all descriptors of its parent.
static pid_t fork_without_handlers(void)
{
	return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}

TEST(a_child_that_is_stopped_before_its_fork_handler_hides_its_parents_death_until_it_ends)
{
	struct forebay *layer = attach(NULL);
	char name[FOREBAY_NAME_SIZE];
	pid_t pid, child;
	int tube[2];

	// So that the child becomes ours.
	EXPECT_INT(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
	EXPECT(pipe(tube) == 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		struct forebay *mine = attach(NULL);

		if (forebay_reply_open(mine, "r", 0, NULL, name) != 0)
			_exit(1);
		child = fork_without_handlers();
		if (child != 0) {
			(void)!write(tube[1], &child, sizeof child);
			(void)!write(tube[1], name, sizeof name);
		}
		for (;;)
			pause();
	}
	EXPECT(read(tube[0], &child, sizeof child) == sizeof child);
	EXPECT(read(tube[0], name, sizeof name) == sizeof name);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	EXPECT_INT(forebay_reap(layer), 0);
	EXPECT_INT(send_number(layer, name, 1), 0);
	kill(child, SIGKILL);
	EXPECT_INT(waitpid(child, NULL, 0), child);
	EXPECT_INT(forebay_reap(layer), 1);
	EXPECT_INT(send_number(layer, name, 1), FOREBAY_GONE);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_LOST), 1);
	discard(layer);
}

TEST(a_killed_owners_reply_channels_are_gone_after_a_reap)
{
	struct forebay *layer = attach(NULL);
	char name[FOREBAY_NAME_SIZE];
	int tube[2];
	pid_t pid;

	EXPECT(pipe(tube) == 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		struct forebay *mine = attach(NULL);

		if (forebay_reply_open(mine, "r", 0, NULL, name) != 0)
			_exit(1);
		(void)!write(tube[1], name, sizeof name);
		pause();
		_exit(0);
	}
	EXPECT(read(tube[0], name, sizeof name) == sizeof name);
	EXPECT_INT(send_number(layer, name, 1), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	EXPECT_INT(forebay_reap(layer), 1);
	EXPECT_INT(send_number(layer, name, 2), FOREBAY_GONE);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_LOST), 1);
	EXPECT_INT(used_blocks(layer), 0);
	discard(layer);
}

static void serve_echo(int requests)
{
	struct forebay *layer = attach(NULL);
	struct forebay_message *message, *reply = forebay_message_new(layer);

	forebay_listen(layer, "request");
	for (int i = 0; i < requests; i++) {
		if (forebay_receive(layer, HANG, &message) != 0)
			_exit(1);
		forebay_message_reset(reply);
		forebay_put_integer(reply, "n", forebay_get_integer(message, "n", -1));
		if (forebay_send(layer, forebay_message_reply_channel(message), reply, 0) != 0)
			_exit(2);
		forebay_message_free(message);
	}
	forebay_message_free(reply);
	forebay_close(layer);
	_exit(0);
}

TEST(two_processes_exchange_requests_and_replies_sleeping_in_between)
{
	enum { REQUESTS = 5000 };
	struct forebay *layer = attach(NULL);
	struct forebay_message *request, *reply;
	char name[FOREBAY_NAME_SIZE];
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		serve_echo(REQUESTS);
	request = forebay_message_new(layer);
	for (int i = 0; i < REQUESTS; i++) {
		EXPECT_INT(forebay_reply_open(layer, "reply", 0, NULL, name), 0);
		forebay_message_reset(request);
		forebay_put_text(request, "reply_channel", name);
		forebay_put_integer(request, "n", i);
		EXPECT_INT(forebay_send(layer, "request", request, 0), 0);
		EXPECT_INT(forebay_receive(layer, HANG, &reply), 0);
		EXPECT_INT(forebay_get_integer(reply, "n", -1), i);
		forebay_message_free(reply);
		EXPECT_INT(forebay_reply_close(layer, name), 0);
	}
	waitpid(pid, &status, 0);
	EXPECT_INT(status, 0);
	EXPECT_INT(used_blocks(layer), 0);
	forebay_message_free(request);
	discard(layer);
}

TEST(memory_that_another_process_does_not_need_is_given_back_when_somebody_asks)
{
	struct forebay *layer = attach_still(&(struct forebay_options){.size = 8 << 20,
	                       .channels = 64,
	                       .reply_channels = 64,
	                       .capacity = 8000}),
	               *other = attach(NULL);
	static char data[60000];
	struct forebay_message *out = forebay_message_new(layer), *in;

	uint32_t zones = layer->segment.geometry.blocks[2] / shm_class_zone(2);

	// Three zones' worth, which leaves more than half of them to others, so we keep them.
	EXPECT_INT(zones, 7);
	forebay_set_content(out, data, sizeof data, FOREBAY_BINARY);
	for (uint32_t i = 0; i < 3 * shm_class_zone(2); i++)
		EXPECT_INT(forebay_send(layer, "x", out, 0), 0);
	EXPECT_INT(forebay_flush(layer, "x", NULL), 0);
	forebay_message_free(out);
	// The other one gets what is nobody's, asks for more, and gets some once we look.
	out = forebay_message_new(other);
	forebay_set_content(out, data, sizeof data, FOREBAY_BINARY);
	for (uint32_t i = 0; i < 4 * shm_class_zone(2); i++)
		EXPECT_INT(forebay_send(other, "x", out, 0), 0);
	EXPECT_INT(forebay_send(other, "x", out, 0), FOREBAY_NO_MEMORY);
	EXPECT(forebay_fd(layer) >= 0);
	EXPECT_INT(forebay_receive(layer, 0, &in), FOREBAY_TIMEOUT);
	EXPECT_INT(forebay_send(other, "x", out, 0), 0);
	forebay_message_free(out);
	forebay_close(other);
	discard_still(layer);
}

TEST(who_only_sends_gives_memory_back_once_when_somebody_asks)
{
	struct forebay *layer = attach_still(&(struct forebay_options){.capacities = "x=1000"}),
	               *other = attach(NULL);
	uint32_t zone = shm_class_zone(0);

	EXPECT_INT(forebay_listen(layer, "x"), 0);
	for (uint32_t i = 0; i < 4 * zone; i++)
		EXPECT_INT(send_number(layer, "x", i), 0);
	EXPECT_INT(layer->pool.class[0].owned, 4);
	channel_nudge_slots(other, UINT64_MAX);
	EXPECT_INT(send_number(layer, "x", 0), 0);
	EXPECT(layer->pool.class[0].owned < 4);
	// The nudge is still there for who is about to sleep, but what is taken after it is needed.
	for (uint32_t i = 0; i < 4 * zone; i++)
		EXPECT_INT(send_number(layer, "x", i), 0);
	EXPECT(layer->pool.class[0].owned >= 4);
	channel_nudge_slots(other, UINT64_MAX);
	EXPECT_INT(send_number(layer, "x", 0), 0);
	EXPECT(layer->pool.class[0].owned < 4);
	forebay_close(other);
	discard_still(layer);
}

// ---------------------------------------------------------------------------------------------
// Who is woken
// ---------------------------------------------------------------------------------------------

TEST(the_descriptor_tells_of_room_even_if_nothing_was_ever_received)
{
	struct forebay *layer = attach(&(struct forebay_options){.capacity = 1}),
	               *sender = attach(NULL);
	char name[FOREBAY_NAME_SIZE];
	int fd = forebay_fd(sender);

	forebay_listen(layer, "x");
	EXPECT_INT(send_number(sender, "x", 1), 0);
	EXPECT_INT(send_number(sender, "x", 2), FOREBAY_FULL);
	EXPECT(!readable(fd));
	EXPECT_INT(receive_number(layer), 1);
	EXPECT(readable(fd));
	EXPECT_INT(receive_number(sender), -1); // leaves it readable: the caller is to try again
	EXPECT_INT(receive_number(sender), -1);
	EXPECT(!readable(fd));
	// A reply channel that ends is news for who waits for room in it, too.
	EXPECT_INT(forebay_reply_open(layer, "r", 1, NULL, name), 0);
	EXPECT_INT(send_number(sender, name, 1), 0);
	EXPECT_INT(send_number(sender, name, 2), FOREBAY_FULL);
	EXPECT(!readable(fd));
	EXPECT_INT(forebay_reply_close(layer, name), 0);
	EXPECT(readable(fd));
	EXPECT_INT(send_number(sender, name, 2), FOREBAY_GONE);
	forebay_close(sender);
	discard(layer);
}

TEST(a_send_that_sleeps_does_not_silence_the_descriptor)
{
	struct forebay *layer = attach(NULL), *other = attach(NULL);
	struct forebay_message *message, *out = forebay_message_new(layer);
	char name[FOREBAY_NAME_SIZE];
	int fd = forebay_fd(layer);

	forebay_listen(layer, "x");
	EXPECT_INT(forebay_reply_open(other, "r", 1, NULL, name), 0);
	EXPECT_INT(forebay_send(layer, name, out, 0), 0);
	EXPECT_INT(forebay_receive(layer, 0, &message), FOREBAY_TIMEOUT);
	EXPECT_INT(forebay_send(layer, name, out, 5), FOREBAY_TIMEOUT);
	EXPECT_INT(send_number(other, "x", 1), 0);
	EXPECT(readable(fd));
	EXPECT_INT(receive_number(layer), 1);
	forebay_message_free(out);
	forebay_close(other);
	discard(layer);
}

// Forks a process that listens to "x", says so, and does WORK.
static pid_t fork_listener(void (*work)(struct forebay *layer))
{
	int tube[2];
	char byte;
	pid_t pid;

	if (pipe(tube) < 0)
		return -1;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		struct forebay *mine = attach(NULL);

		forebay_listen(mine, "x");
		(void)!write(tube[1], "", 1);
		work(mine);
		_exit(0);
	}
	(void)!read(tube[0], &byte, 1);
	close(tube[0]);
	close(tube[1]);
	return pid;
}

static void sleep_in_receive(struct forebay *layer)
{
	struct forebay_message *message;

	(void)forebay_receive(layer, 60000, &message);
	pause();
}

static bool is_asleep(pid_t pid)
{
	char path[64], state = 0;
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	file = fopen(path, "r");
	if (!file)
		return false;
	(void)!fscanf(file, "%*d (%*[^)]) %c", &state);
	fclose(file);
	return state == 'S';
}

TEST(a_wake_up_is_not_spent_on_a_dead_listener)
{
	struct forebay *layer = attach(NULL);
	struct forebay *living;
	struct forebay_message *message;
	pid_t pid = fork_listener(sleep_in_receive); // it has the lower slot, so it is woken first
	int fd;

	EXPECT(pid > 0);
	while (!is_asleep(pid))
		usleep(1000);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	living = attach(NULL);
	fd = forebay_fd(living);
	forebay_listen(living, "x");
	EXPECT_INT(forebay_receive(living, 0, &message), FOREBAY_TIMEOUT);
	EXPECT_INT(send_number(layer, "x", 1), 0);
	EXPECT(readable(fd));
	forebay_close(living);
	discard(layer);
}

static char full_name[FOREBAY_NAME_SIZE];

static void sleep_in_send(struct forebay *layer)
{
	struct forebay_message *message = forebay_message_new(layer);

	for (;;)
		(void)forebay_send(layer, full_name, message, 60000);
}

TEST(a_wake_up_is_not_spent_on_a_listener_that_waits_to_send)
{
	struct forebay *layer = attach(NULL), *living;
	struct forebay_message *message;
	pid_t pid;
	int fd;

	EXPECT_INT(forebay_reply_open(layer, "r", 1, NULL, full_name), 0);
	pid = fork_listener(sleep_in_send);
	EXPECT(pid > 0);
	living = attach(NULL);
	fd = forebay_fd(living);
	forebay_listen(living, "x");
	EXPECT_INT(forebay_receive(living, 0, &message), FOREBAY_TIMEOUT);
	for (int i = 0; i < 100; i++) {
		EXPECT_INT(send_number(layer, "x", i), 0);
		EXPECT(readable(fd));
		EXPECT_INT(receive_number(living), i);
		EXPECT_INT(receive_number(living), -1);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	forebay_close(living);
	discard(layer);
}

TEST(what_the_content_is_must_be_said)
{
	struct forebay *layer = attach(NULL);
	struct forebay_message *out = forebay_message_new(layer);

	forebay_set_content(out, "x", 1, FOREBAY_NO_CONTENT);
	EXPECT_INT(forebay_send(layer, "x", out, 0), FOREBAY_BAD_MESSAGE);
	forebay_set_content(out, "x", 1, FOREBAY_BODY);
	EXPECT_INT(forebay_send(layer, "x", out, 0), FOREBAY_BAD_MESSAGE);
	forebay_set_content(out, "x", 1, FOREBAY_TEXT | FOREBAY_BINARY);
	EXPECT_INT(forebay_send(layer, "x", out, 0), FOREBAY_BAD_MESSAGE);
	forebay_set_content(out, "x", 1, FOREBAY_TEXT | FOREBAY_BODY);
	EXPECT_INT(forebay_send(layer, "x", out, 0), 0);
	forebay_message_free(out);
	discard(layer);
}
