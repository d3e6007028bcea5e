// SPDX-License-Identifier: MIT
// Messages that are sent now and delivered later. The clock stands still but for what a test adds to it.

#include <sys/wait.h>

#include "channel/layer.h"
#include "shm/due.h"
#include "tests/channel/support.h"

#define EXPIRY 60000 // ms; the default

#ifdef __SANITIZE_THREAD__
#define ROUNDS 1 // it is ten times as slow there, and there are no threads
#else
#define ROUNDS 3
#endif

static int send_later(struct forebay *layer, const char *channel, int64_t number, int delay)
{
	struct forebay_message *message = forebay_message_new(layer);
	int result;

	forebay_put_integer(message, "n", number);
	result = forebay_send_after(layer, channel, message, delay);
	forebay_message_free(message);
	return result;
}

static int send_json(struct forebay *layer, const char *channel, const char *json)
{
	struct forebay_message *message = forebay_message_new(layer);
	int result = forebay_message_from_json(message, json, strlen(json), NULL);

	if (result == 0)
		result = forebay_send(layer, channel, message, 0);
	forebay_message_free(message);
	return result;
}

static struct forebay_channel_stat stat_of(struct forebay *layer, const char *channel)
{
	struct forebay_channel_stat stat;

	if (forebay_stat_channel(layer, channel, &stat) != 0)
		abort();
	return stat;
}

static uint64_t waiting(struct forebay *layer)
{
	return stat_of(layer, "asgi.delay").pending;
}

TEST(a_delayed_message_comes_when_it_is_due_and_not_before)
{
	struct forebay *layer = attach_still(NULL);

	EXPECT_INT(forebay_listen(layer, "x"), 0);
	EXPECT_INT(send_later(layer, "x", 1, 1500), 0);
	EXPECT_INT(receive_number(layer), -1);
	EXPECT_INT(waiting(layer), 1);
	pass(1499);
	EXPECT_INT(receive_number(layer), -1);
	pass(1);
	EXPECT_INT(receive_number(layer), 1);
	EXPECT_INT(receive_number(layer), -1);
	EXPECT_INT(waiting(layer), 0);
	EXPECT_INT(used_blocks(layer), 0);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_SENT), 2); // to asgi.delay, and from there
	EXPECT_INT(counter(layer, FOREBAY_COUNT_RECEIVED), 2);
	discard_still(layer);
}

TEST(it_comes_whole_and_its_age_counts_from_when_it_was_due)
{
	struct forebay *layer = attach_still(NULL);
	struct forebay_message *message = forebay_message_new(layer);
	size_t size = 300000, length;
	char *content = malloc(size);
	unsigned kind;

	for (size_t i = 0; i < size; i++)
		content[i] = (char)(i * 7 + i / 251);
	EXPECT_INT(forebay_listen(layer, "x"), 0);
	forebay_put_text(message, "a", "b");
	forebay_set_content(message, content, size, FOREBAY_BINARY);
	EXPECT_INT(forebay_send_after(layer, "x", message, 10), 0);
	forebay_message_free(message);
	pass(510);
	EXPECT_INT(forebay_receive(layer, 0, &message), 0);
	EXPECT_STRING(forebay_get_string(message, "a", NULL), "b");
	EXPECT_STRING(forebay_message_channel(message), "x");
	EXPECT(memcmp(forebay_message_content(message, &length, &kind), content, size) == 0);
	EXPECT_INT(length, size);
	EXPECT_INT(kind, FOREBAY_BINARY);
	EXPECT_INT(forebay_message_age(message), 500);
	forebay_message_free(message);
	free(content);
	discard_still(layer);
}

TEST(the_earliest_comes_first_and_equals_in_the_order_of_sending)
{
	struct forebay *layer = attach_still(NULL);

	EXPECT_INT(forebay_listen(layer, "x"), 0);
	EXPECT_INT(send_later(layer, "x", 3, 300), 0);
	EXPECT_INT(send_later(layer, "x", 1, 100), 0);
	EXPECT_INT(send_later(layer, "x", 4, 300), 0);
	EXPECT_INT(send_later(layer, "x", 2, 200), 0);
	EXPECT_INT(send_later(layer, "x", 9, 1000), 0);
	pass(300);
	for (int i = 1; i <= 4; i++)
		EXPECT_INT(receive_number(layer), i);
	EXPECT_INT(receive_number(layer), -1);
	EXPECT_INT(waiting(layer), 1);
	pass(700);
	EXPECT_INT(receive_number(layer), 9);
	discard_still(layer);
}

TEST(more_can_be_due_at_a_time_than_are_looked_at_without_memory)
{
	struct forebay *layer = attach_still(&(struct forebay_options){.capacity = 500});

	EXPECT_INT(forebay_listen(layer, "x"), 0);
	for (int i = 0; i < 500; i++)
		EXPECT_INT(send_later(layer, "x", i, 1000 - i), 0);
	EXPECT_INT(send_later(layer, "x", 500, 1), FOREBAY_FULL);
	pass(1000);
	for (int i = 499; i >= 0; i--)
		EXPECT_INT(receive_number(layer), i);
	discard_still(layer);
}

TEST(the_delay_protocol_says_what_where_and_when)
{
	struct forebay *layer = attach_still(NULL);
	struct forebay_message *message;
	size_t length;
	unsigned kind;

	EXPECT_INT(forebay_listen(layer, "x"), 0);
	EXPECT_INT(
	        send_json(layer, "asgi.delay",
	                "{\"channel\": \"x\", \"delay\": 1500, \"content\":"
	                " {\"k\": [1, {\"l\": null}], \"content\": \"AAEC\", \"binary\": true}}"),
	        0);
	EXPECT_INT(send_json(layer, "asgi.delay",
	                   "{\"content\": {}, \"delay\": 1, \"channel\": \"x\", \"more\": 0}"),
	        0);
	pass(1);
	EXPECT_INT(forebay_receive(layer, 0, &message), 0);
	EXPECT_STRING(forebay_message_json(message, &length), "{}");
	forebay_message_free(message);
	pass(1499);
	EXPECT_INT(forebay_receive(layer, 0, &message), 0);
	EXPECT(memcmp(forebay_message_content(message, &length, &kind), "\0\1\2", 3) == 0);
	EXPECT_INT(length, 3);
	EXPECT_INT(kind, FOREBAY_BINARY);
	EXPECT_STRING(forebay_message_json(message, &length),
	        "{\"k\":[1,{\"l\":null}],\"content\":\"AAEC\",\"binary\":true}");
	forebay_message_free(message);
	discard_still(layer);
}

TEST(what_makes_no_delayed_message_is_refused)
{
	static const struct {
		const char *json;
		int result;
	} cases[] = {
	        {"{}", FOREBAY_BAD_MESSAGE},
	        {"{\"delay\": 1, \"content\": {}}", FOREBAY_BAD_MESSAGE},
	        {"{\"channel\": \"x\", \"content\": {}}", FOREBAY_BAD_MESSAGE},
	        {"{\"channel\": \"x\", \"delay\": 1}", FOREBAY_BAD_MESSAGE},
	        {"{\"channel\": 1, \"delay\": 1, \"content\": {}}", FOREBAY_BAD_MESSAGE},
	        {"{\"channel\": \"x\", \"delay\": 0, \"content\": {}}", FOREBAY_BAD_MESSAGE},
	        {"{\"channel\": \"x\", \"delay\": -1, \"content\": {}}", FOREBAY_BAD_MESSAGE},
	        {"{\"channel\": \"x\", \"delay\": 1.5, \"content\": {}}", FOREBAY_BAD_MESSAGE},
	        {"{\"channel\": \"x\", \"delay\": \"1\", \"content\": {}}", FOREBAY_BAD_MESSAGE},
	        {"{\"channel\": \"x\", \"delay\": true, \"content\": {}}", FOREBAY_BAD_MESSAGE},
	        {"{\"channel\": \"x\", \"delay\": 2147483648, \"content\": {}}",
	                FOREBAY_BAD_MESSAGE},
	        {"{\"channel\": \"x\", \"delay\": 1, \"content\": []}", FOREBAY_BAD_MESSAGE},
	        {"{\"channel\": \"x\", \"delay\": 1, \"content\": \"text\"}", FOREBAY_BAD_MESSAGE},
	        {"{\"channel\": \"x\", \"delay\": 1, \"content\": {\"content\": \"?\", "
	         "\"binary\": true}}",
	                FOREBAY_BAD_MESSAGE},
	        {"{\"channel\": \"\", \"delay\": 1, \"content\": {}}", FOREBAY_BAD_NAME},
	        {"{\"channel\": \"x\\u0000\", \"delay\": 1, \"content\": {}}", FOREBAY_BAD_NAME},
	        {"{\"channel\": \"\\u00e4\", \"delay\": 1, \"content\": {}}", FOREBAY_BAD_NAME},
	        {"{\"channel\": \"a!b\", \"delay\": 1, \"content\": {}}", FOREBAY_BAD_NAME},
	        {"{\"channel\": \"asgi.delay\", \"delay\": 1, \"content\": {}}", FOREBAY_BAD_NAME},
	        {"{\"channel\": \"x?0123456789abcdef\", \"delay\": 1, \"content\": {}}",
	                FOREBAY_GONE},
	        {"{\"channel\": \"x\", \"delay\": 2147483647, \"content\": {}}", 0},
	};
	struct forebay *layer = attach_still(NULL);

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int result = send_json(layer, "asgi.delay", cases[i].json);

		if (result != cases[i].result)
			printf("# %s\n", cases[i].json);
		EXPECT_INT(result, cases[i].result);
	}
	EXPECT_INT(waiting(layer), 1);
	EXPECT_INT(send_later(layer, "x", 1, -1), FOREBAY_BAD_MESSAGE);
	EXPECT_INT(send_later(layer, "asgi.delay", 1, 1), FOREBAY_BAD_NAME);
	EXPECT_INT(send_later(layer, "asgi.delay", 1, 0), FOREBAY_BAD_NAME);
	EXPECT_INT(send_later(layer, "no name\n", 1, 1), FOREBAY_BAD_NAME);
	EXPECT_INT(forebay_listen(layer, "asgi.delay"), FOREBAY_BAD_NAME);
	EXPECT_INT(forebay_group_add(layer, "g", "asgi.delay"), FOREBAY_BAD_NAME);
	discard_still(layer);
}

TEST(no_delay_is_at_once)
{
	struct forebay *layer = attach_still(NULL);

	EXPECT_INT(forebay_listen(layer, "x"), 0);
	EXPECT_INT(send_later(layer, "x", 1, 0), 0);
	EXPECT_INT(stat_of(layer, "x").pending, 1);
	EXPECT_INT(receive_number(layer), 1);
	discard_still(layer);
}

TEST(no_sweep_takes_a_message_for_expired_that_waits_for_its_time)
{
	struct forebay *layer = attach_still(NULL);

	EXPECT_INT(forebay_listen(layer, "x"), 0);
	EXPECT_INT(send_later(layer, "x", 2, FOREBAY_DELAY_MAX), 0);
	EXPECT_INT(send_later(layer, "x", 1, 10 * EXPIRY), 0);
	for (int i = 0; i < 10; i++) {
		EXPECT_INT(forebay_reap(layer), 0);
		EXPECT_INT(forebay_housekeep(layer), 0);
		EXPECT_INT(waiting(layer), 2);
		EXPECT_INT(stat_of(layer, "asgi.delay").oldest, 0);
		pass(EXPIRY);
	}
	EXPECT_INT(receive_number(layer), 1);
	pass(FOREBAY_DELAY_MAX - 10ll * EXPIRY);
	EXPECT_INT(receive_number(layer), 2);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_EXPIRED), 0);
	discard_still(layer);
}

TEST(a_full_destination_is_tried_again_in_order_until_the_messages_expire)
{
	struct forebay *layer = attach_still(&(struct forebay_options){.capacities = "x=2"});

	EXPECT_INT(forebay_listen(layer, "other"), 0);
	EXPECT_INT(send_number(layer, "x", 1), 0);
	for (int i = 2; i <= 5; i++)
		EXPECT_INT(send_later(layer, "x", i, 100), 0);
	EXPECT_INT(send_later(layer, "other", 77, 101), 0);
	pass(101);
	EXPECT_INT(receive_number(layer), 77); // not held up
	EXPECT_INT(waiting(layer), 3);
	EXPECT_INT(stat_of(layer, "x").pending, 2);
	EXPECT_INT(stat_of(layer, "x").full, 0); // no sender was refused
	EXPECT_INT(forebay_ignore(layer, "other"), 0);
	EXPECT_INT(forebay_listen(layer, "x"), 0);
	for (int i = 1; i <= 5; i++) {
		EXPECT_INT(receive_number(layer), i);
		pass(100);
		EXPECT_INT(forebay_housekeep(layer), 0);
	}
	EXPECT_INT(waiting(layer), 0);
	EXPECT_INT(stat_of(layer, "asgi.delay").sent, 5); // however often it was tried

	EXPECT_INT(forebay_ignore(layer, "x"), 0);
	EXPECT_INT(send_number(layer, "x", 6), 0);
	EXPECT_INT(send_number(layer, "x", 7), 0);
	EXPECT_INT(send_later(layer, "x", 8, 1), 0);
	for (int64_t passed = 0; passed <= EXPIRY; passed += EXPIRY / 4) {
		uint64_t count;

		EXPECT_INT(forebay_housekeep(layer), 0);
		EXPECT_INT(waiting(layer), 1);
		EXPECT_INT(forebay_flush(layer, "x", &count), 0);
		EXPECT_INT(send_number(layer, "x", 6), 0);
		EXPECT_INT(send_number(layer, "x", 7), 0);
		pass(EXPIRY / 4);
	}
	EXPECT_INT(forebay_housekeep(layer), 0);
	EXPECT_INT(waiting(layer), 0);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_EXPIRED), 1);
	EXPECT_INT(stat_of(layer, "asgi.delay").dropped[FOREBAY_COUNT_EXPIRED], 1);
	discard_still(layer);
}

TEST(what_is_put_back_is_nothing_new)
{
	struct forebay *layer = attach_still(&(struct forebay_options){.capacities = "x=1"});

	EXPECT_INT(send_number(layer, "x", 1), 0);
	for (int i = 2; i <= 4; i++)
		EXPECT_INT(send_later(layer, "x", i, 100), 0);
	EXPECT_INT(stat_of(layer, "asgi.delay").statistics.messages_count_per_second, 3);
	for (int passed = 100; passed <= 5000; passed += 100) {
		struct forebay_channel_stat stat;

		pass(100);
		EXPECT_INT(forebay_housekeep(layer), 0);
		stat = stat_of(layer, "asgi.delay");
		EXPECT_INT(stat.statistics.messages_count, 3);
		EXPECT(stat.statistics.messages_count_per_second <= (passed < 3000 ? 3 : 0));
	}
	EXPECT_INT(waiting(layer), 3);
	EXPECT_INT(send_later(layer, "x", 5, 100), 0);
	EXPECT_INT(stat_of(layer, "asgi.delay").statistics.messages_count_per_second, 1);
	discard_still(layer);
}

TEST(a_destination_that_has_gone_counts)
{
	struct forebay *layer = attach_still(NULL);
	char reply[FOREBAY_NAME_SIZE], stream[FOREBAY_NAME_SIZE];

	EXPECT_INT(forebay_reply_open(layer, "reply", 0, NULL, reply), 0);
	EXPECT_INT(forebay_stream_open(layer, "stream", stream), 0);
	EXPECT_INT(send_later(layer, reply, 1, 10), 0);
	EXPECT_INT(send_later(layer, reply, 2, 20), 0);
	EXPECT_INT(send_later(layer, stream, 3, 20), 0);
	pass(10);
	EXPECT_INT(receive_number(layer), 1);
	EXPECT_INT(forebay_reply_close(layer, reply), 0);
	EXPECT_INT(forebay_stream_close(layer, stream), 0);
	EXPECT_INT(send_later(layer, reply, 4, 10), FOREBAY_GONE);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_GONE), 1);
	pass(10);
	EXPECT_INT(receive_number(layer), -1);
	EXPECT_INT(waiting(layer), 0);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_GONE), 3);
	EXPECT_INT(used_blocks(layer), 0);
	discard_still(layer);
}

TEST(as_many_wait_as_the_capacity_says_whatever_has_passed_through)
{
	struct forebay *layer =
	        attach_still(&(struct forebay_options){.capacities = "asgi.delay=3"});

	EXPECT_INT(forebay_listen(layer, "x"), 0);
	EXPECT_INT(send_later(layer, "x", 0, FOREBAY_DELAY_MAX), 0); // at the ring's head
	for (int i = 1; i < 3; i++)
		EXPECT_INT(send_later(layer, "x", i, 10), 0);
	EXPECT_INT(send_later(layer, "x", 3, 10), FOREBAY_FULL);
	EXPECT_INT(stat_of(layer, "asgi.delay").capacity, 3);
	EXPECT_INT(stat_of(layer, "asgi.delay").full, 1);
	for (int i = 0; i < 20000; i++) { // more than two laps of it
		pass(10);
		EXPECT_INT(receive_number(layer), i + 1);
		EXPECT_INT(send_later(layer, "x", i + 3, 20), 0);
	}
	EXPECT_INT(waiting(layer), 3);
	EXPECT_INT(send_later(layer, "x", 3, 10), FOREBAY_FULL);
	EXPECT_INT(stat_of(layer, "asgi.delay").sent, 20003);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_LOST), 0);
	discard_still(layer);
}

TEST(the_largest_delay_channel_can_be_full_and_be_emptied)
{
	struct forebay *layer =
	        attach_still(&(struct forebay_options){.capacities = "asgi.delay=8192,x=8192"});
	uint64_t count;

	EXPECT_INT(forebay_listen(layer, "x"), 0);
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < CHANNEL_DELAY_MAX; i++)
			EXPECT_INT(send_later(layer, "x", i, i % 2 ? 1000 : 1000000), 0);
		EXPECT_INT(send_later(layer, "x", 1, 1), FOREBAY_FULL);
		pass(1000);
		for (int i = 1; i < CHANNEL_DELAY_MAX; i += 2)
			EXPECT_INT(receive_number(layer), i);
		EXPECT_INT(receive_number(layer), -1);
		// Every second position is a gap.
		for (int i = 1; i < CHANNEL_DELAY_MAX; i += 2)
			EXPECT_INT(send_later(layer, "x", i, 1000000), 0);
		EXPECT_INT(send_later(layer, "x", 1, 1), FOREBAY_FULL);
		EXPECT_INT(waiting(layer), CHANNEL_DELAY_MAX);
		EXPECT_INT(forebay_flush(layer, round ? NULL : "asgi.delay", &count), 0);
		EXPECT_INT(count, CHANNEL_DELAY_MAX);
	}
	EXPECT_INT(counter(layer, FOREBAY_COUNT_LOST), 0);
	EXPECT_INT(used_blocks(layer), 0);
	discard_still(layer);
}

TEST(a_message_that_was_put_back_keeps_its_turn)
{
	struct forebay *layer =
	        attach_still(&(struct forebay_options){.capacities = "asgi.delay=4,full=1"});

	EXPECT_INT(forebay_listen(layer, "x"), 0);
	EXPECT_INT(send_number(layer, "full", 0), 0);
	EXPECT_INT(send_later(layer, "full", 1, 1), 0);
	for (int i = 1; i <= 3; i++)
		EXPECT_INT(send_later(layer, "x", i, 100000), 0);
	// Each look moves what is refused to the ring's end, and then the others, until there is a gap.
	for (int i = 0; i < 500; i++) {
		pass(100);
		EXPECT_INT(forebay_housekeep(layer), 0);
		EXPECT_INT(waiting(layer), 4);
	}
	pass(50000);
	for (int i = 1; i <= 3; i++)
		EXPECT_INT(receive_number(layer), i);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_LOST), 0);
	discard_still(layer);
}

// Sends messages that take a block of each size to "fill", until there is no memory.
static int fill_memory(struct forebay *layer)
{
	static const char octets[70000];
	static const size_t sizes[] = {50000, 2000, 100};
	int sent = 0;

	for (int i = 0; i < 3; i++) {
		struct forebay_message *message = forebay_message_new(layer);

		forebay_set_content(message, octets, sizes[i], FOREBAY_BINARY);
		while (forebay_send(layer, "fill", message, 0) == 0)
			sent++;
		forebay_message_free(message);
	}
	return sent;
}

TEST(what_finds_no_memory_is_kept_and_tried_again)
{
	struct forebay *layer = attach_still(&(struct forebay_options){
	        .size = 8 << 20, .reply_channels = 64, .capacities = "fill=8192"});
	struct forebay *other = attach(NULL);

	EXPECT_INT(forebay_listen(layer, "x"), 0);
	for (int i = 1; i <= 3; i++)
		EXPECT_INT(send_later(other, "x", i, 100), 0);
	EXPECT(fill_memory(layer) > 100);
	pass(100);
	EXPECT_INT(receive_number(layer), -1);
	EXPECT(layer->hand_count > 0);
	EXPECT_INT(waiting(layer) + layer->hand_count, 3);
	EXPECT_INT(forebay_flush(layer, "fill", NULL), 0);
	pass(100);
	for (int i = 1; i <= 3; i++)
		EXPECT_INT(receive_number(layer), i);
	EXPECT_INT(layer->hand_count, 0);

	// Who detaches puts back what he can.
	EXPECT_INT(send_later(other, "x", 4, 100), 0);
	EXPECT(fill_memory(layer) > 100);
	pass(100);
	EXPECT_INT(receive_number(layer), -1);
	EXPECT_INT(layer->hand_count, 1);
	EXPECT_INT(forebay_flush(other, "fill", NULL), 0);
	forebay_close(layer);
	EXPECT_INT(waiting(other), 1);
	EXPECT_INT(forebay_listen(other, "x"), 0);
	pass(100);
	EXPECT_INT(receive_number(other), 4);
	EXPECT_INT(counter(other, FOREBAY_COUNT_LOST), 0);
	EXPECT_INT(used_blocks(other), 0);
	discard_still(other);
}

TEST(who_detaches_puts_back_what_there_is_memory_for)
{
	struct forebay *layer = attach_still(&(struct forebay_options){
	        .size = 8 << 20, .reply_channels = 64, .capacities = "fill=8192,x=1"});
	struct forebay *other = attach(NULL);
	struct forebay_message *large = forebay_message_new(other);
	static const char octets[50000];

	EXPECT_INT(send_number(layer, "x", 0), 0);
	EXPECT_INT(send_number(layer, "small", 0), 0);
	forebay_set_content(large, octets, sizeof octets, FOREBAY_BINARY);
	EXPECT_INT(send_later(other, "x", 1, 100), 0);
	EXPECT_INT(forebay_send_after(other, "x", large, 100), 0);
	forebay_message_free(large);
	EXPECT(fill_memory(layer) > 100);
	pass(100);
	EXPECT_INT(forebay_listen(layer, "small"), 0);
	EXPECT_INT(forebay_housekeep(layer), 0);
	EXPECT_INT(layer->hand_count, 2);
	EXPECT_INT(receive_number(layer), 0); // whose memory the first can have
	forebay_close(layer);
	EXPECT_INT(waiting(other), 1);
	EXPECT_INT(counter(other, FOREBAY_COUNT_LOST), 1);
	discard_still(other);
}

TEST(what_was_in_hand_while_its_channel_ended_is_new_in_the_next_one)
{
	struct forebay *layer = attach_still(&(struct forebay_options){
	        .size = 8 << 20, .reply_channels = 64, .capacities = "fill=8192,x=1"});
	struct shm_ring ring;

	EXPECT_INT(send_number(layer, "x", 0), 0);
	for (int i = 1; i <= 3; i++)
		EXPECT_INT(send_later(layer, "x", i, 100), 0);
	EXPECT(fill_memory(layer) > 100);
	pass(100);
	EXPECT_INT(forebay_housekeep(layer), 0);
	EXPECT_INT(layer->hand_count + waiting(layer), 3);
	EXPECT(layer->hand_count > 0);
	EXPECT_INT(stat_of(layer, "asgi.delay").sent, 3);

	EXPECT_INT(shm_table_find(&layer->table, "asgi.delay", &ring), SHM_OK);
	EXPECT_INT(forebay_flush(layer, "asgi.delay", NULL), 0);
	EXPECT_INT(shm_table_end(&layer->table, &ring, false, NULL), SHM_OK);
	EXPECT_INT(forebay_flush(layer, "fill", NULL), 0);
	pass(100);
	EXPECT_INT(forebay_housekeep(layer), 0);
	EXPECT_INT(layer->hand_count, 0);
	EXPECT(waiting(layer) > 0);
	EXPECT_INT(stat_of(layer, "asgi.delay").sent, waiting(layer));
	pass(100);
	EXPECT_INT(forebay_housekeep(layer), 0); // and puts it back there
	EXPECT_INT(stat_of(layer, "asgi.delay").sent, waiting(layer));
	discard_still(layer);
}

static int note_peeked(struct forebay_message *message, void *context)
{
	char *text = context;
	size_t length;

	sprintf(text + strlen(text), "%s in %d ms: %s; ", forebay_message_channel(message),
	        -(int)forebay_message_age(message), forebay_message_json(message, &length));
	return 0;
}

TEST(what_waits_can_be_looked_at_with_its_destination)
{
	struct forebay *layer = attach_still(NULL);
	char text[200] = "";

	EXPECT_INT(send_later(layer, "x", 1, 10 * EXPIRY), 0);
	EXPECT_INT(
	        send_json(layer, "asgi.delay",
	                "{\"channel\": \"yy\", \"delay\": 5, \"content\": {\"content\": \"c\"}}"),
	        0);
	EXPECT_INT(forebay_peek(layer, "asgi.delay", note_peeked, text), 0);
	EXPECT_STRING(text, "x in 600000 ms: {\"n\":1}; yy in 5 ms: {\"content\":\"c\"}; ");
	EXPECT_INT(waiting(layer), 2);
	discard_still(layer);
}

TEST(who_waits_for_room_there_gets_it)
{
	struct forebay *layer =
	        attach_still(&(struct forebay_options){.capacities = "asgi.delay=1"});
	static const char json[] = "{\"channel\": \"x\", \"delay\": 5, \"content\": {}}";
	struct forebay_message *message = forebay_message_new(layer);

	EXPECT_INT(forebay_message_from_json(message, json, strlen(json), NULL), 0);
	EXPECT_INT(forebay_send(layer, "asgi.delay", message, 0), 0);
	EXPECT_INT(forebay_send(layer, "asgi.delay", message, 0), FOREBAY_FULL);
	shm_clock_still = 0; // it waits until the first one is due, and then delivers it itself
	EXPECT_INT(forebay_send(layer, "asgi.delay", message, -1), 0);
	EXPECT_INT(stat_of(layer, "x").pending + waiting(layer), 2);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_FULL), 1);
	forebay_message_free(message);
	discard_still(layer);
}

TEST(any_process_delivers_also_one_that_only_sends_or_never_sleeps)
{
	struct forebay *layer = attach_still(NULL), *other = attach(NULL);

	EXPECT_INT(send_later(layer, "x", 1, 100), 0);
	forebay_close(layer); // its sender needn't stay
	pass(100);
	EXPECT_INT(send_number(other, "y", 0), 0);
	EXPECT_INT(stat_of(other, "x").pending, 1);
	EXPECT_INT(forebay_listen(other, "y"), 0);
	EXPECT_INT(send_later(other, "x", 2, 100), 0);
	for (int i = 0; i < 50; i++)
		EXPECT_INT(send_number(other, "y", 0), 0);
	pass(100);
	EXPECT_INT(receive_number(other), 0);
	EXPECT_INT(stat_of(other, "x").pending, 2);
	discard_still(other);
}

TEST(if_nobody_was_there_it_comes_late_or_has_expired)
{
	struct forebay *layer = attach_still(NULL);

	EXPECT_INT(send_later(layer, "x", 1, 100), 0);
	EXPECT_INT(send_later(layer, "x", 2, 100 + EXPIRY), 0);
	forebay_close(layer);
	pass(101 + EXPIRY);
	layer = attach(NULL);
	EXPECT_INT(forebay_listen(layer, "x"), 0);
	EXPECT_INT(receive_number(layer), 2);
	EXPECT_INT(receive_number(layer), -1);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_EXPIRED), 1);
	discard_still(layer);
}

TEST(what_the_hint_says_is_no_truth)
{
	struct forebay *layer = attach_still(NULL);

	EXPECT_INT(forebay_listen(layer, "x"), 0);
	EXPECT_INT(send_later(layer, "x", 1, 100), 0);
	// A sender that died before it had lowered it, or a deliverer after he had raised it.
	store_relaxed(&layer->segment.housekeeping->due, SHM_DUE_NEVER);
	pass(100);
	EXPECT_INT(receive_number(layer), -1);
	pass(1000); // another round of housekeeping
	EXPECT_INT(forebay_housekeep(layer), 0);
	EXPECT_INT(receive_number(layer), 1);
	// Scribbled: too early only costs a look.
	EXPECT_INT(send_later(layer, "x", 2, 100), 0);
	store_relaxed(&layer->segment.housekeeping->due, 0);
	EXPECT_INT(receive_number(layer), -1);
	EXPECT_INT(shm_due_left(layer->segment.housekeeping, shm_clock_now(), 1000), 100);
	discard_still(layer);
}

TEST(nobody_sleeps_longer_than_until_something_is_due)
{
	struct forebay *layer = attach_still(NULL);

	EXPECT_INT(forebay_housekeep(layer), 0);
	EXPECT_INT(shm_due_left(layer->segment.housekeeping, shm_clock_now(), 100), 100);
	EXPECT_INT(send_later(layer, "x", 1, 30), 0);
	EXPECT_INT(shm_due_left(layer->segment.housekeeping, shm_clock_now(), 100), 30);
	EXPECT_INT(send_later(layer, "x", 1, 50), 0);
	EXPECT_INT(shm_due_left(layer->segment.housekeeping, shm_clock_now(), 100), 30);
	pass(30);
	EXPECT_INT(shm_due_left(layer->segment.housekeeping, shm_clock_now(), 100), 1);
	EXPECT_INT(forebay_housekeep(layer), 0);
	EXPECT_INT(shm_due_left(layer->segment.housekeeping, shm_clock_now(), 100), 20);
	discard_still(layer);
}

TEST(a_receiver_that_sleeps_delivers_to_itself)
{
	struct forebay *layer = attach(NULL);
	struct forebay_message *message;

	EXPECT_INT(forebay_listen(layer, "x"), 0);
	EXPECT_INT(send_later(layer, "x", 1, 20), 0);
	forebay_cork(layer);
	EXPECT_INT(forebay_receive(layer, -1, &message), 0);
	EXPECT_INT(forebay_get_integer(message, "n", 0), 1);
	forebay_message_free(message);
	discard(layer);
}

TEST(a_scribbled_message_is_dropped_and_counted)
{
	struct forebay *layer = attach_still(NULL);

	for (int i = 0; i < 4; i++)
		EXPECT_INT(send_later(layer, "x", i, 100), 0);
	for (uint32_t handle = 0, seen = 0; handle < layer->pool.first[SHM_CLASSES]; handle++) {
		struct shm_block_mem *block = shm_pool_block(&layer->pool, handle);
		struct channel_message_mem *head = (struct channel_message_mem *)block->data;

		if (SHM_OWN_STATE(load_relaxed(&block->own)) != SHM_SENT)
			continue;
		switch (seen++) {
		case 0:
			head->endpoint = 0;
			break;
		case 1:
			head->endpoint = UINT32_MAX;
			break;
		case 2:
			block->length = 3;
			break;
		default:
			store_relaxed(&block->sent_at, (uint64_t)shm_clock_now()); // no SHM_DUE()
		}
	}
	pass(100);
	EXPECT_INT(forebay_housekeep(layer), 0);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_BAD), 3);
	EXPECT_INT(stat_of(layer, "asgi.delay").dropped[FOREBAY_COUNT_BAD], 3);
	EXPECT_INT(used_blocks(layer), waiting(layer) + stat_of(layer, "x").pending);
	discard_still(layer);
}
