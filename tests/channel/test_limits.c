// SPDX-License-Identifier: MIT
// What is full says so by an error of its own, is counted, and serves again when it has been drained; what
// nobody reads expires, whoever notices.

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>

#include "channel/layer.h"
#include "tests/channel/support.h"

// As small as a layer can be: 16 narrow channels, 8 wide ones, 64 reply channels.
static struct forebay *attach_small(void)
{
	return attach(&(struct forebay_options){.size = 3 << 20,
	        .channels = 16,
	        .reply_channels = 64,
	        .capacity = 5,
	        .capacities = "wide*=8000,r!*=4"});
}

static int send_octets_within(
        struct forebay *layer, const char *channel, size_t length, int timeout)
{
	static const char data[300000];
	struct forebay_message *message = forebay_message_new(layer);
	int result;

	forebay_set_content(message, data, length, FOREBAY_BINARY);
	result = forebay_send(layer, channel, message, timeout);
	forebay_message_free(message);
	return result;
}

static int send_octets(struct forebay *layer, const char *channel, size_t length)
{
	return send_octets_within(layer, channel, length, 0);
}

// Receives without waiting until nothing comes, and returns how many came.
static int drain(struct forebay *layer)
{
	struct forebay_message *message;
	int count = 0;

	for (; forebay_receive(layer, 0, &message) == 0; count++)
		forebay_message_free(message);
	return count;
}

// Makes all messages that wait, in any channel, older (or, with a negative number, younger) by MS.
static void age(struct forebay *layer, int64_t ms)
{
	for (uint32_t handle = 0; handle < layer->pool.first[SHM_CLASSES]; handle++) {
		struct shm_block_mem *block = shm_pool_block(&layer->pool, handle);

		store_relaxed(&block->sent_at, load_relaxed(&block->sent_at) - (uint64_t)ms);
	}
}

static int64_t expiry_of(const struct forebay *layer)
{
	return layer->segment.geometry.expiry;
}

// ---------------------------------------------------------------------------------------------
// Full
// ---------------------------------------------------------------------------------------------

static void fill_with(size_t length, int first_class)
{
	struct forebay *layer = attach_small();
	struct forebay_layer_stat stat;
	int sent = 0, result;

	EXPECT_INT(forebay_listen(layer, "wide"), 0);
	for (int round = 0; round < 3; round++) {
		int now = 0;

		while ((result = send_octets(layer, "wide", length)) == 0)
			now++;
		EXPECT_INT(result, FOREBAY_NO_MEMORY);
		EXPECT(now > 0 && (round == 0 || now == sent));
		sent = now;
		EXPECT_INT(counter(layer, FOREBAY_COUNT_NO_MEMORY), round + 1);
		EXPECT_INT(forebay_stat(layer, &stat), 0);
		// What is too small for the message isn't used for it, and all else is.
		for (int class = first_class; class < SHM_CLASSES && length < 65000; class ++)
			EXPECT_INT(stat.blocks[class].used, stat.blocks[class].total);
		EXPECT_INT(drain(layer), sent);
		EXPECT_INT(used_blocks(layer), 0);
	}
	discard(layer);
}

TEST(full_memory_of_each_size_refuses_and_takes_as_much_again_when_drained)
{
	fill_with(100, 0);
	EXPECT(!test_failed());
	fill_with(3000, 1);
	EXPECT(!test_failed());
	fill_with(60000, 2);
	EXPECT(!test_failed());
	fill_with(200000, 2);
}

TEST(one_block_that_comes_free_in_full_memory_is_found)
{
	struct forebay *layer = attach_small();
	struct forebay_message *message;

	forebay_listen(layer, "wide");
	while (send_octets(layer, "wide", 100) == 0)
		;
	for (int i = 0; i < 100; i++) {
		EXPECT_INT(send_octets(layer, "wide", 100), FOREBAY_NO_MEMORY);
		EXPECT_INT(forebay_receive(layer, 0, &message), 0);
		forebay_message_free(message);
		EXPECT_INT(send_octets(layer, "wide", 100), 0);
	}
	discard(layer);
}

static int find_full(const struct forebay_channel_stat *stat, void *context)
{
	if (strcmp(stat->name, "x") == 0)
		*(uint64_t *)context = stat->full;
	return 0;
}

TEST(a_ring_at_its_capacity_refuses_counts_and_takes_as_many_as_were_received)
{
	static const uint32_t capacities[] = {1, 2, 127, 128, 129, 1000, 8192};

	for (size_t i = 0; i < sizeof capacities / sizeof *capacities; i++) {
		uint32_t capacity = capacities[i];
		struct forebay *layer =
		        attach_still(&(struct forebay_options){.capacity = capacity});
		uint64_t full = 0;

		for (int round = 0; round < 3; round++) {
			for (uint32_t n = 0; n < capacity; n++)
				EXPECT_INT(send_number(layer, "x", n), 0);
			EXPECT_INT(send_number(layer, "x", 0), FOREBAY_FULL);
			EXPECT_INT(counter(layer, FOREBAY_COUNT_FULL), round + 1);
			EXPECT_INT(forebay_stat_channels(layer, find_full, &full), 0);
			EXPECT_INT(full, round + 1);
			EXPECT_INT(forebay_listen(layer, "x"), 0);
			EXPECT_INT(receive_number(layer), 0);
			EXPECT_INT(send_number(layer, "x", 0), 0);
			EXPECT_INT(drain(layer), capacity);
		}
		discard_still(layer);
	}
}

// Sends to "PREFIX0", "PREFIX1", ... as long as there are channels, and returns how many there were.
static int fill_table(struct forebay *layer, const char *prefix)
{
	char name[32];
	int made = 0;

	do
		snprintf(name, sizeof name, "%s%d", prefix, made);
	while (send_number(layer, name, 0) == 0 && ++made < 1000);
	return made;
}

TEST(a_full_table_refuses_each_kind_of_channel_and_gives_them_again_when_drained)
{
	struct forebay *layer = attach_small();
	char name[FOREBAY_NAME_SIZE];

	EXPECT_INT(fill_table(layer, "n"), 16);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_NO_CHANNEL), 1);
	EXPECT_INT(send_number(layer, "another", 0), FOREBAY_NO_CHANNEL);
	EXPECT_INT(forebay_listen(layer, "another"), FOREBAY_NO_CHANNEL);
	EXPECT_INT(forebay_stream_open(layer, "body", name), FOREBAY_NO_CHANNEL);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_NO_CHANNEL), 4);
	// The channels that there are still take messages, and wide ones are counted apart.
	EXPECT_INT(send_number(layer, "n3", 1), 0);
	EXPECT_INT(fill_table(layer, "wide"), 8);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_NO_CHANNEL), 5);
	EXPECT_INT(forebay_reply_open(layer, "r", 0, NULL, name), FOREBAY_NO_CHANNEL);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_NO_CHANNEL), 6);

	EXPECT_INT(forebay_flush(layer, "n3", NULL), 0);
	EXPECT_INT(forebay_reply_open(layer, "r", 0, NULL, name), 0); // with a narrow inbox
	EXPECT_INT(send_number(layer, name, 7), 0);
	EXPECT_INT(receive_number(layer), 7);
	EXPECT_INT(forebay_flush(layer, "n4", NULL), 0);
	EXPECT_INT(forebay_stream_open(layer, "body", name), 0);
	EXPECT_INT(send_number(layer, "another", 0), FOREBAY_NO_CHANNEL);
	EXPECT_INT(forebay_stream_close(layer, name), 0);
	EXPECT_INT(send_number(layer, "another", 0), 0);
	EXPECT_INT(forebay_flush(layer, "wide5", NULL), 0);
	EXPECT_INT(send_number(layer, "wide again", 0), 0);
	EXPECT_INT(send_number(layer, "wide again 2", 0), FOREBAY_NO_CHANNEL);
	discard(layer);
}

TEST(a_channel_that_is_listened_to_is_not_idle)
{
	struct forebay *layer = attach_small();
	char name[32];

	for (int i = 0; i < 16; i++) {
		snprintf(name, sizeof name, "n%d", i);
		EXPECT_INT(forebay_listen(layer, name), 0);
	}
	EXPECT_INT(send_number(layer, "another", 0), FOREBAY_NO_CHANNEL);
	EXPECT_INT(forebay_ignore(layer, "n9"), 0);
	EXPECT_INT(send_number(layer, "another", 0), 0);
	discard(layer);
}

TEST(when_all_reply_channels_are_open_the_next_is_refused_until_one_is_closed)
{
	struct forebay *layer = attach_small(), *other = attach(NULL);
	char names[64][FOREBAY_NAME_SIZE], name[FOREBAY_NAME_SIZE];

	for (int i = 0; i < 64; i++)
		EXPECT_INT(forebay_reply_open(layer, "r", 0, NULL, names[i]), 0);
	for (int i = 0; i < 10; i++) {
		EXPECT_INT(forebay_reply_open(layer, "r", 0, NULL, name), FOREBAY_NO_CHANNEL);
		EXPECT_INT(forebay_reply_open(other, "r", 0, NULL, name), FOREBAY_NO_CHANNEL);
		EXPECT_INT(counter(layer, FOREBAY_COUNT_NO_CHANNEL), 2 * (i + 1));
		EXPECT_INT(forebay_reply_close(layer, names[i]), 0);
		EXPECT_INT(forebay_reply_open(layer, "r", 0, NULL, names[i]), 0);
	}
	// They are taken in zones of 64, which come back when their owner detaches.
	forebay_close(layer);
	EXPECT_INT(forebay_reply_open(other, "r", 0, NULL, name), 0);
	discard(other);
}

// Opens reply channels until it is refused. Returns how many.
static int open_replies(struct forebay *layer, char names[][FOREBAY_NAME_SIZE], int max)
{
	int count = 0;

	while (count < max && forebay_reply_open(layer, "r", 0, NULL, names[count]) == 0)
		count++;
	return count;
}

TEST(reply_channels_that_one_process_has_closed_can_be_opened_by_another)
{
	enum { ALL = 1024 };
	static char names[ALL + 1][FOREBAY_NAME_SIZE];
	struct forebay_options options = {
	        .size = 8 << 20, .channels = 16, .reply_channels = ALL, .capacities = "r!*=4"};
	struct forebay *first = attach(&options), *second = attach(&options);
	struct forebay_message *kept[2];

	for (int round = 0; round < 3; round++) {
		EXPECT_INT(open_replies(first, names, ALL + 1), ALL);
		EXPECT_INT(
		        forebay_reply_open(second, "r", 0, NULL, names[ALL]), FOREBAY_NO_CHANNEL);
		// Messages that were received, and one that wasn't, outlive their reply channels.
		EXPECT_INT(send_octets(second, names[0], 10), 0);
		EXPECT_INT(send_octets(second, names[ALL - 1], 10), 0);
		EXPECT_INT(send_octets(second, names[ALL / 2], 10), 0);
		EXPECT_INT(forebay_receive(first, 0, &kept[0]), 0);
		EXPECT_INT(forebay_receive(first, 0, &kept[1]), 0);
		for (int i = 0; i < ALL; i++)
			EXPECT_INT(forebay_reply_close(first, names[i]), 0);
		EXPECT_INT(open_replies(second, names, ALL + 1), ALL);
		EXPECT(!forebay_message_owner(kept[0]));
		forebay_message_free(kept[0]);
		forebay_message_free(kept[1]);
		EXPECT_INT(drain(first), 0);
		for (int i = 0; i < ALL; i++)
			EXPECT_INT(send_octets(first, names[i], 10), 0);
		EXPECT_INT(drain(second), ALL);
		for (int i = ALL - 1; i >= 0; i--)
			EXPECT_INT(forebay_reply_close(second, names[i]), 0);
	}
	forebay_close(first);
	discard(second);
}

TEST(inboxes_leave_wide_rings_to_channels)
{
	enum { PROCESSES = 40 };
	struct forebay *all[PROCESSES];
	char names[PROCESSES][FOREBAY_NAME_SIZE], channel[32];

	for (int i = 0; i < PROCESSES; i++) {
		all[i] = attach(&(struct forebay_options){.capacities = "wide*=1000"});
		EXPECT_INT(forebay_reply_open(all[i], "r", 0, NULL, names[i]), 0);
	}
	EXPECT(all[0]->segment.geometry.wide < PROCESSES);
	for (int i = 0; i < 12; i++) {
		snprintf(channel, sizeof channel, "wide.%d", i);
		EXPECT_INT(forebay_listen(all[i], channel), 0);
	}
	for (int i = 0; i < PROCESSES; i++) {
		EXPECT_INT(send_octets(all[0], names[i], 10), 0);
		EXPECT_INT(drain(all[i]), 1);
	}
	for (int i = 1; i < PROCESSES; i++)
		forebay_close(all[i]);
	discard(all[0]);
}

TEST(even_the_fewest_wide_rings_suffice_for_what_comes_from_clients_and_is_delayed)
{
	static const char *const channels[] = {"http.request", "http.disconnect",
	        "websocket.connect", "websocket.receive", "websocket.disconnect"};
	enum { PROCESSES = 10 };
	struct forebay *all[PROCESSES];
	struct forebay_message *message;
	char name[FOREBAY_NAME_SIZE];

	for (int i = 0; i < PROCESSES; i++) {
		all[i] = attach(&(struct forebay_options){
		        .size = 8 << 20, .channels = 16, .reply_channels = 1024});
		EXPECT_INT(forebay_reply_open(all[i], "r", 0, NULL, name), 0);
	}
	EXPECT(all[0]->segment.geometry.wide < PROCESSES);
	for (size_t i = 0; i < sizeof channels / sizeof *channels; i++)
		EXPECT_INT(forebay_listen(all[0], channels[i]), 0);
	message = forebay_message_new(all[0]);
	EXPECT_INT(forebay_send_after(all[0], "http.request", message, 1000), 0);
	forebay_message_free(message);
	for (int i = 1; i < PROCESSES; i++)
		forebay_close(all[i]);
	discard(all[0]);
}

TEST(who_has_sent_much_and_does_nothing_now_keeps_little_memory_from_others)
{
	struct forebay *idle = attach_small(), *others[40];
	static const size_t lengths[] = {10, 2000, 60000};

	EXPECT_INT(forebay_listen(idle, "wide"), 0);
	for (size_t i = 0; i < 40; i++)
		others[i] = attach_small();
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		while (send_octets(idle, "wide", lengths[i]) == 0)
			continue;
		(void)drain(idle);
		// More of them than there are zones of some sizes. None does anything but this.
		for (size_t k = 0; k < 40; k++) {
			EXPECT_INT(send_octets(others[k], "wide", lengths[i]), 0);
			EXPECT_INT(drain(idle), 1);
		}
	}
	for (size_t i = 0; i < 40; i++)
		forebay_close(others[i]);
	discard(idle);
}

struct waiter {
	struct forebay *layer;
	pthread_t thread;
	int timeout, result;
};

static void *wait_for_room(void *context)
{
	struct waiter *waiter = context;

	waiter->result = send_octets_within(waiter->layer, "full", 60000, waiter->timeout);
	return NULL;
}

// Returns when it sleeps.
static void start_waiter(struct waiter *waiter, int timeout)
{
	waiter->layer = attach_small();
	waiter->timeout = timeout;
	EXPECT_INT(pthread_create(&waiter->thread, NULL, wait_for_room, waiter), 0);
	while (load_seq_cst(&waiter->layer->self.mem->sleeping) != SHM_ASLEEP_ROOM)
		sched_yield();
}

static void end_waiter(struct waiter *waiter, int expected)
{
	EXPECT_INT(pthread_join(waiter->thread, NULL), 0);
	EXPECT_INT(waiter->result, expected);
	forebay_close(waiter->layer);
}

#define WAITERS 40

TEST(who_waits_for_room_in_a_channel_keeps_no_memory_from_others)
{
	struct forebay *layer = attach_small(), *sender;
	struct waiter waiters[WAITERS];
	struct forebay_message *message;

	EXPECT_INT(forebay_listen(layer, "wide"), 0);
	for (int i = 0; i < 5; i++)
		EXPECT_INT(send_octets(layer, "full", 10), 0);
	for (int i = 0; i < WAITERS; i++)
		start_waiter(&waiters[i], -1);
	sender = attach_small();
	EXPECT_INT(send_octets(sender, "wide", 60000), 0);
	EXPECT_INT(drain(layer), 1);
	EXPECT_INT(forebay_listen(layer, "full"), 0);
	for (int i = 0; i < 5 + WAITERS; i++) {
		EXPECT_INT(forebay_receive(layer, -1, &message), 0);
		forebay_message_free(message);
	}
	for (int i = 0; i < WAITERS; i++)
		end_waiter(&waiters[i], 0);
	forebay_close(sender);
	discard(layer);
}

TEST(who_waits_for_room_in_a_channel_takes_no_memory_before_there_is_any)
{
	struct forebay *layer = attach_small();
	struct waiter waiter;

	EXPECT_INT(forebay_listen(layer, "wide"), 0);
	for (int i = 0; i < 5; i++)
		EXPECT_INT(send_octets(layer, "full", 10), 0);
	// A try that asked for memory would find that there is none.
	start_waiter(&waiter, 1000);
	while (send_octets(layer, "wide", 10) == 0)
		continue;
	end_waiter(&waiter, FOREBAY_TIMEOUT);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_NO_MEMORY), 1);
	discard(layer);
}

TEST(a_large_message_is_refused_by_a_full_channel_before_it_is_copied)
{
	struct forebay *layer = attach_small();
	struct forebay_channel_stat stat;

	EXPECT_INT(forebay_listen(layer, "wide"), 0);
	for (int i = 0; i < 5; i++)
		EXPECT_INT(send_octets(layer, "full", 10), 0);
	while (send_octets(layer, "wide", 60000) == 0)
		continue;
	EXPECT_INT(counter(layer, FOREBAY_COUNT_NO_MEMORY), 1);
	// The copy would find no memory.
	EXPECT_INT(send_octets(layer, "full", 60000), FOREBAY_FULL);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_NO_MEMORY), 1);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_FULL), 1);
	EXPECT_INT(forebay_stat_channel(layer, "full", &stat), 0);
	EXPECT_INT(stat.full, 1);
	// What has expired there gives way all the same.
	drain(layer);
	age(layer, expiry_of(layer) + 1000);
	EXPECT_INT(send_octets(layer, "full", 60000), 0);
	discard(layer);
}

static int send_again(struct forebay *layer, const char *channel)
{
	struct forebay_message *message = forebay_message_new(layer);
	int result;

	forebay_put_text(message, "it", "is small");
	result = forebay_send_again(layer, channel, message);
	forebay_message_free(message);
	return result;
}

TEST(who_tries_again_until_there_is_room_was_refused_once)
{
	struct forebay *layer = attach_still(&(struct forebay_options){.capacity = 2});
	struct forebay_channel_stat stat;
	char name[FOREBAY_NAME_SIZE];

	EXPECT_INT(forebay_stream_open(layer, "stream", name), 0);
	for (int channel = 0; channel < 2; channel++) {
		const char *at = channel ? name : "plain";

		for (int i = 0; i < 2; i++)
			EXPECT_INT(send_octets(layer, at, 10), 0);
		EXPECT_INT(send_octets(layer, at, 10), FOREBAY_FULL);
		for (int i = 0; i < 10; i++)
			EXPECT_INT(send_again(layer, at), FOREBAY_FULL);
		EXPECT_INT(counter(layer, FOREBAY_COUNT_FULL), channel + 1);
		EXPECT_INT(forebay_stat_channel(layer, at, &stat), 0);
		EXPECT_INT(stat.full, 1);
		EXPECT_INT(forebay_listen(layer, at), 0);
		EXPECT_INT(drain(layer), 2);
		EXPECT_INT(send_again(layer, at), 0);
		EXPECT_INT(drain(layer), 1);
	}
	EXPECT_INT(counter(layer, FOREBAY_COUNT_SENT), 6);
	EXPECT_INT(forebay_stream_close(layer, name), 0);
	EXPECT_INT(send_again(layer, name), FOREBAY_GONE);
	discard_still(layer);
}

TEST(when_all_process_slots_are_taken_the_next_is_told_so_until_one_leaves)
{
	struct forebay *first = attach_small(), *layers[SHM_PROCESSES], *one_more;

	for (int i = 1; i < SHM_PROCESSES; i++)
		layers[i] = attach(NULL);
	for (int round = 0; round < 3; round++) {
		EXPECT_INT(forebay_open(NULL, NULL, &one_more), -EUSERS);
		EXPECT(strstr(forebay_error(), "256 processes") != NULL);
		forebay_close(layers[100]);
		layers[100] = attach(NULL);
		EXPECT_INT(send_number(layers[100], "x", round), 0);
	}
	for (int i = 1; i < SHM_PROCESSES; i++)
		forebay_close(layers[i]);
	discard(first);
}

// ---------------------------------------------------------------------------------------------
// Expiry
// ---------------------------------------------------------------------------------------------

TEST(what_nobody_reads_expires_though_nobody_receives)
{
	struct forebay *layer = attach_small(), *other = attach(NULL);

	EXPECT_INT(send_number(layer, "x", 1), 0);
	EXPECT_INT(send_octets(layer, "y", 200000), 0);
	age(layer, expiry_of(layer) + 1000);
	EXPECT_INT(send_number(layer, "x", 2), 0);
	EXPECT_INT(forebay_reap(other), 0);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_EXPIRED), 2);
	EXPECT_INT(used_blocks(layer), 1);
	EXPECT_INT(forebay_listen(layer, "x"), 0);
	EXPECT_INT(receive_number(layer), 2);
	forebay_close(other);
	discard(layer);
}

TEST(a_receiver_gets_nothing_that_has_expired)
{
	struct forebay *layer = attach_small();

	EXPECT_INT(send_number(layer, "x", 1), 0);
	EXPECT_INT(send_number(layer, "x", 2), 0);
	age(layer, expiry_of(layer) + 1000);
	EXPECT_INT(send_number(layer, "x", 3), 0);
	EXPECT_INT(forebay_listen(layer, "x"), 0);
	EXPECT_INT(receive_number(layer), 3);
	EXPECT_INT(receive_number(layer), -1);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_EXPIRED), 2);
	EXPECT_INT(used_blocks(layer), 0);
	discard(layer);
}

TEST(a_channel_full_of_what_has_expired_takes_messages)
{
	struct forebay *layer = attach_small();

	for (int i = 0; i < 5; i++)
		EXPECT_INT(send_number(layer, "x", i), 0);
	EXPECT_INT(send_number(layer, "x", 5), FOREBAY_FULL);
	age(layer, expiry_of(layer) + 1000);
	EXPECT_INT(send_number(layer, "x", 6), 0);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_EXPIRED), 5);
	EXPECT_INT(used_blocks(layer), 1);
	discard(layer);
}

TEST(memory_and_table_full_of_what_has_expired_have_room)
{
	struct forebay *layer = attach_small();
	int sent = 0;

	while (send_octets(layer, "wide", 60000) == 0)
		sent++;
	age(layer, expiry_of(layer) + 1000);
	// The search for it was in vain a moment ago, and isn't repeated at once.
	layer->searched = 0;
	EXPECT_INT(send_octets(layer, "wide", 60000), 0);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_EXPIRED), sent);
	EXPECT_INT(fill_table(layer, "n"), 16);
	age(layer, expiry_of(layer) + 1000);
	layer->searched = 0;
	EXPECT_INT(fill_table(layer, "m"), 16);
	discard(layer);
}

TEST(messages_to_a_reply_channel_expire_and_their_credit_comes_back)
{
	struct forebay *layer = attach_small(), *sender = attach(NULL);
	char name[FOREBAY_NAME_SIZE];

	EXPECT_INT(forebay_reply_open(layer, "r", 0, NULL, name), 0);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 4; i++)
			EXPECT_INT(send_number(sender, name, i), 0);
		EXPECT_INT(send_number(sender, name, 4), FOREBAY_FULL);
		age(layer, expiry_of(layer) + 1000);
		EXPECT_INT(forebay_reap(sender), 0);
		EXPECT_INT(counter(layer, FOREBAY_COUNT_EXPIRED), 4 * (round + 1));
		EXPECT_INT(used_blocks(layer), 0);
		channel_reply_heal(layer); // as the owner's housekeeping does
	}
	EXPECT_INT(send_number(sender, name, 9), 0);
	EXPECT_INT(receive_number(layer), 9);
	// What the receiver itself drops gives its credit back at once.
	while (send_number(sender, name, 0) == 0)
		;
	age(layer, expiry_of(layer) + 1000);
	EXPECT_INT(receive_number(layer), -1);
	EXPECT_INT(send_number(sender, name, 4), 0);
	forebay_close(sender);
	discard(layer);
}

TEST(a_time_of_sending_that_is_none_does_not_make_a_message_immortal)
{
	struct forebay *layer = attach_small();

	EXPECT_INT(send_number(layer, "x", 1), 0);
	EXPECT_INT(send_number(layer, "y", 1), 0);
	age(layer, INT64_MIN + 1);
	EXPECT_INT(forebay_listen(layer, "x"), 0);
	EXPECT_INT(receive_number(layer), -1);
	EXPECT_INT(forebay_reap(layer), 0);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_EXPIRED), 2);
	EXPECT_INT(used_blocks(layer), 0);
	discard(layer);
}

// ---------------------------------------------------------------------------------------------
// Bad blocks
// ---------------------------------------------------------------------------------------------

// Sends a message to CHANNEL and writes VALUE over the word at OFFSET of its block.
static void send_spoilt(struct forebay *layer, const char *channel, size_t offset, uint32_t value)
{
	EXPECT_INT(send_number(layer, channel, 1), 0);
	for (uint32_t handle = 0; handle < layer->pool.first[SHM_CLASSES]; handle++) {
		struct shm_block_mem *block = shm_pool_block(&layer->pool, handle);

		if (SHM_OWN_STATE(load_relaxed(&block->own)) == SHM_SENT)
			memcpy((char *)block + offset, &value, sizeof value);
	}
}

TEST(a_block_that_was_scribbled_over_is_dropped_and_counted_and_the_next_one_arrives)
{
	static const size_t offsets[] = {
	        offsetof(struct shm_block_mem, length),
	        sizeof(struct shm_block_mem) + offsetof(struct channel_message_mem, envelope),
	        sizeof(struct shm_block_mem) + offsetof(struct channel_message_mem, content),
	        sizeof(struct shm_block_mem) + offsetof(struct channel_message_mem, kind),
	};
	struct forebay *layer = attach_small();
	char name[FOREBAY_NAME_SIZE];

	EXPECT_INT(forebay_listen(layer, "x"), 0);
	for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
		send_spoilt(layer, "x", offsets[i], 0x7fffff01);
		EXPECT_INT(send_number(layer, "x", 2), 0);
		EXPECT_INT(receive_number(layer), 2);
		EXPECT_INT(counter(layer, FOREBAY_COUNT_BAD), i + 1);
		EXPECT_INT(used_blocks(layer), 0);
	}
	// A sequence number that nobody was given, on the way to a reply channel.
	EXPECT_INT(forebay_reply_open(layer, "r", 0, NULL, name), 0);
	send_spoilt(layer, name,
	        sizeof(struct shm_block_mem) + offsetof(struct channel_message_mem, sequence), 99);
	EXPECT_INT(receive_number(layer), -1);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_BAD), sizeof offsets / sizeof *offsets + 1);
	discard(layer);
}

TEST(a_ring_that_was_scribbled_over_is_an_error_of_its_own)
{
	struct forebay *layer = attach_small();
	struct shm_ring ring;

	EXPECT_INT(send_number(layer, "x", 1), 0);
	EXPECT_INT(shm_table_find(&layer->table, "x", &ring), SHM_OK);
	for (uint64_t pos = 0; pos < 1u << ring.order; pos++)
		store_relaxed(shm_ring_slot(&ring, pos), pos % 2 * 0x40000000 << 32);
	EXPECT_INT(send_number(layer, "x", 1), -EUCLEAN);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_BAD), 1);
	EXPECT_INT(send_number(layer, "y", 1), 0);
	discard(layer);
}

// ---------------------------------------------------------------------------------------------
// Capacity by pattern
// ---------------------------------------------------------------------------------------------

static int accepted(struct forebay *layer, const char *channel)
{
	int count = 0;

	while (count < 10000 && send_number(layer, channel, count) == 0)
		count++;
	return count;
}

TEST(the_first_pattern_that_matches_decides_how_much_a_channel_takes)
{
	struct forebay *layer = attach(&(struct forebay_options){.capacity = 7,
	        .capacities = "http.request=200,http.*=9,http.response!*=3,user.?=2,*.[a-c]*=4,"
	                      "http.request=1"});
	char name[FOREBAY_NAME_SIZE];

	EXPECT_INT(accepted(layer, "http.request"), 200);
	EXPECT_INT(accepted(layer, "http.other"), 9);
	EXPECT_INT(accepted(layer, "user.1"), 2);
	EXPECT_INT(accepted(layer, "user.12"), 7);
	EXPECT_INT(accepted(layer, "x.bcd"), 4);
	EXPECT_INT(accepted(layer, "x.dcb"), 7);
	EXPECT_INT(accepted(layer, "anything"), 7);
	// "http.*" comes first, and is as good for a reply channel.
	EXPECT_INT(forebay_reply_open(layer, "http.response", 0, NULL, name), 0);
	EXPECT_INT(accepted(layer, name), 9);
	discard(layer);
	layer = attach(&(struct forebay_options){.capacities = "http.response!*=3,s?*=6"});
	EXPECT_INT(forebay_reply_open(layer, "http.response", 0, NULL, name), 0);
	EXPECT_INT(accepted(layer, name), 3);
	EXPECT_INT(forebay_reply_open(layer, "http.response", 11, NULL, name), 0);
	EXPECT_INT(accepted(layer, name), 11);
	EXPECT_INT(forebay_stream_open(layer, "s", name), 0);
	EXPECT_INT(accepted(layer, name), 6);
	EXPECT_INT(accepted(layer, "http.response"), 100);
	discard(layer);
}

TEST(what_an_outcome_says_fits_whatever_it_came_from)
{
	struct forebay *layer = attach_small();
	struct forebay_metric metric;

	EXPECT_INT(forebay_group_add(layer, "a\tb", "x"), FOREBAY_BAD_NAME);
	EXPECT_INT(forebay_metric_open(layer, "a b", FOREBAY_METRIC_GAUGE, NULL, &metric),
	        FOREBAY_BAD_NAME);
	EXPECT(!strstr(forebay_strerror(FOREBAY_BAD_NAME), "channel"));
	EXPECT(strstr(forebay_strerror(FOREBAY_NO_CHANNEL), "groups"));
	EXPECT(strstr(forebay_strerror(FOREBAY_NO_CHANNEL), "metrics"));
	EXPECT_STRING(forebay_strerror(-ENOENT), strerror(ENOENT));
	EXPECT_STRING(forebay_strerror(1000), "unknown result");
	discard(layer);
}

TEST(sends_that_can_never_succeed_are_counted_as_bad)
{
	struct forebay *layer = attach_small();
	struct forebay_message *message = forebay_message_new(layer);
	uint64_t reached;

	EXPECT_INT(forebay_send(layer, "a\tb", message, 0), FOREBAY_BAD_NAME);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_BAD), 1);
	EXPECT_INT(forebay_send(layer, "r!0123456789abcdef", message, 0), FOREBAY_BAD_NAME);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_BAD), 2);
	EXPECT_INT(forebay_send_after(layer, "asgi.delay", message, 5), FOREBAY_BAD_NAME);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_BAD), 3);
	EXPECT_INT(forebay_send_after(layer, "x", message, -1), FOREBAY_BAD_MESSAGE);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_BAD), 4);
	EXPECT_INT(forebay_group_send(layer, "a\tb", message, &reached), FOREBAY_BAD_NAME);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_BAD), 5);
	EXPECT_INT(reached, 0);
	forebay_put_text(message, "a", "\xff");
	EXPECT_INT(forebay_send(layer, "x", message, 0), FOREBAY_BAD_MESSAGE);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_BAD), 6);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_SENT), 0);
	// What isn't a send isn't counted.
	EXPECT_INT(forebay_listen(layer, "a\tb"), FOREBAY_BAD_NAME);
	EXPECT_INT(forebay_group_add(layer, "a\tb", "x"), FOREBAY_BAD_NAME);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_BAD), 6);
	forebay_message_free(message);
	discard(layer);
}
