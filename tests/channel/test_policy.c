// SPDX-License-Identifier: MIT
// What a full channel does, by pattern; what is dropped is counted, and the receiver can learn how much it missed.

#include <errno.h>
#include <string.h>

#include "channel/layer.h"
#include "tests/channel/support.h"

// The gap before the next message, which is NUMBER; -1 if it is another, or none.
static int64_t gap_before(struct forebay *layer, int64_t number)
{
	struct forebay_message *message;
	int64_t gap = -1;

	if (forebay_receive(layer, 0, &message) != 0)
		return -1;
	if (forebay_get_integer(message, "n", -2) == number)
		gap = (int64_t)forebay_message_gap(message);
	forebay_message_free(message);
	return gap;
}

static int find_channel(const struct forebay_channel_stat *stat, void *context)
{
	struct forebay_channel_stat *found = context;

	if (strcmp(stat->name, found->name) != 0)
		return 0;
	*found = *stat;
	return 1;
}

TEST(a_policy_holds_for_the_channels_its_pattern_names)
{
	struct forebay *layer = attach(&(struct forebay_options){
	        .capacities = "ticks.*=3/drop-oldest,state.?=2/keep-latest,strict=2/refuse,*=4"});
	struct forebay_channel_stat stat = {.name = "ticks.a"};

	for (int i = 0; i < 10; i++) {
		EXPECT_INT(send_number(layer, "ticks.a", i), 0);
		EXPECT_INT(send_number(layer, "state.a", i), 0);
		EXPECT_INT(send_number(layer, "strict", i), i < 2 ? 0 : FOREBAY_FULL);
		EXPECT_INT(send_number(layer, "other", i), i < 4 ? 0 : FOREBAY_FULL);
	}
	EXPECT_INT(counter(layer, FOREBAY_COUNT_DISPLACED), 7 + 8);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_FULL), 8 + 6);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_SENT), 10 + 10 + 2 + 4);
	EXPECT_INT(forebay_stat_channels(layer, find_channel, &stat), 1);
	EXPECT_INT(stat.policy, FOREBAY_DROP_OLDEST);
	EXPECT_INT(stat.dropped[FOREBAY_COUNT_DISPLACED], 7);
	EXPECT_INT(stat.pending, 3);
	EXPECT_INT(stat.received, 0);
	EXPECT_INT(stat.full, 0);
	EXPECT_INT(forebay_listen(layer, "ticks.a"), 0);
	for (int i = 7; i < 10; i++)
		EXPECT_INT(receive_number(layer), i);
	EXPECT_INT(receive_number(layer), -1);
	EXPECT_INT(forebay_listen(layer, "state.a"), 0);
	EXPECT_INT(receive_number(layer), 8);
	EXPECT_INT(receive_number(layer), 9);
	EXPECT_INT(receive_number(layer), -1);
	discard(layer);
}

TEST(who_could_wait_for_room_needs_not_to)
{
	struct forebay *layer = attach(&(struct forebay_options){.capacities = "x=1/drop-oldest"});
	struct forebay_message *message = forebay_message_new(layer);

	for (int i = 0; i < 3; i++) // would hang
		EXPECT_INT(forebay_send(layer, "x", message, -1), 0);
	forebay_message_free(message);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_DISPLACED), 2);
	discard(layer);
}

TEST(streams_and_members_of_groups_have_policies_too)
{
	struct forebay *layer = attach(
	        &(struct forebay_options){.capacities = "chunks*=2/drop-oldest,m=1/keep-latest"});
	struct forebay_message *message = forebay_message_new(layer);
	char stream[FOREBAY_NAME_SIZE];
	uint64_t reached;

	EXPECT_INT(forebay_stream_open(layer, "chunks", stream), 0);
	for (int i = 0; i < 5; i++)
		EXPECT_INT(send_number(layer, stream, i), 0);
	EXPECT_INT(forebay_listen(layer, stream), 0);
	EXPECT_INT(gap_before(layer, 3), 0);
	EXPECT_INT(gap_before(layer, 4), 0);
	EXPECT_INT(forebay_group_add(layer, "g", "m"), 0);
	for (int i = 0; i < 5; i++) {
		EXPECT_INT(forebay_group_send(layer, "g", message, &reached), 0);
		EXPECT_INT(reached, 1);
	}
	EXPECT_INT(counter(layer, FOREBAY_COUNT_DISPLACED), 3 + 4);
	forebay_message_free(message);
	discard(layer);
}

TEST(reply_channels_have_none)
{
	static const char *const refused[] = {
	        "http.response!*=10/drop-oldest", "*=5,a![0-9]*=1/keep-latest", "!=1/drop-oldest"};
	struct forebay *layer;
	char name[FOREBAY_NAME_SIZE];

	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		EXPECT_INT(forebay_open("refused",
		                   &(struct forebay_options){.capacities = refused[i]}, &layer),
		        -EINVAL);
		EXPECT(strstr(forebay_error(), "reply channels"));
	}
	// "!" negates in a set, and a pattern for all means those that can have a policy.
	layer = attach(&(struct forebay_options){
	        .capacities = "x![0-9]*=10/refuse,[!a]*=2/drop-oldest,*=3/drop-oldest"});
	EXPECT_INT(forebay_reply_open(layer, "reply", 0, NULL, name), 0);
	EXPECT_INT(send_number(layer, name, 1), 0);
	EXPECT_INT(send_number(layer, name, 2), 0);
	EXPECT_INT(send_number(layer, name, 3), FOREBAY_FULL);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_DISPLACED), 0);
	EXPECT_INT(gap_before(layer, 1), 0);
	discard(layer);
}

TEST(what_is_no_policy_is_refused_with_a_sentence)
{
	static const char *const refused[] = {"a=1/", "a=1/drop", "a=1/drop-oldest ", "a=1/Refuse",
	        "a=/refuse", "a=0/refuse", "a=1:refuse", "a=1/refuse/refuse", "a=1 /refuse",
	        "a=99999/refuse", "a=1/refuse,b"};
	struct forebay *layer;

	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		EXPECT_INT(forebay_open("refused",
		                   &(struct forebay_options){.capacities = refused[i]}, &layer),
		        -EINVAL);
		EXPECT(strstr(forebay_error(), refused[i]));
	}
}

TEST(expired_messages_go_as_expired_before_others_are_displaced)
{
	struct forebay *layer = attach_still(
	        &(struct forebay_options){.capacities = "x=3/drop-oldest", .expiry = 10});

	EXPECT_INT(send_number(layer, "x", 0), 0);
	EXPECT_INT(send_number(layer, "x", 1), 0);
	pass(11000);
	EXPECT_INT(send_number(layer, "x", 2), 0);
	EXPECT_INT(send_number(layer, "x", 3), 0);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_EXPIRED), 2);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_DISPLACED), 0);
	EXPECT_INT(send_number(layer, "x", 4), 0);
	EXPECT_INT(send_number(layer, "x", 5), 0);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_DISPLACED), 1);
	discard_still(layer);
}

// Sends LENGTH octets until MOST are sent or one isn't. Returns how many were.
static int fill(struct forebay *layer, const char *channel, size_t length, int most)
{
	struct forebay_message *message = forebay_message_new(layer);
	char *content = calloc(1, length);
	int count = 0;

	forebay_set_content(message, content, length, FOREBAY_BINARY);
	while (count < most && forebay_send(layer, channel, message, 0) == 0)
		count++;
	forebay_message_free(message);
	free(content);
	return count;
}

TEST(a_channel_that_has_taken_all_memory_gives_it_to_its_own_newer_messages)
{
	static const size_t lengths[] = {100, 3000, 60000, 200000};

	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		const int octets = 6 << 20, several = 4 * octets / (int)lengths[i];
		const int most = several < 12000 ? several : 12000;
		struct forebay *layer = attach(&(struct forebay_options){.size = octets,
		        .channels = 16,
		        .reply_channels = 64,
		        .capacities = "big=8192/drop-oldest,other=8192",
		        .expiry = NEVER});

		// Another channel has no claim to it, and is refused.
		EXPECT_INT(fill(layer, "big", lengths[i], most), most);
		EXPECT(counter(layer, FOREBAY_COUNT_DISPLACED) > 0);
		EXPECT_INT(counter(layer, FOREBAY_COUNT_NO_MEMORY), 0);
		EXPECT(fill(layer, "other", lengths[i], 8000) < 8000);
		EXPECT(counter(layer, FOREBAY_COUNT_NO_MEMORY) > 0);
		discard(layer);
	}
}

TEST(a_gap_is_what_was_displaced)
{
	struct forebay *layer = attach(&(struct forebay_options){.capacities = "x=2/drop-oldest"});

	EXPECT_INT(forebay_listen(layer, "x"), 0);
	for (int i = 0; i < 5; i++)
		EXPECT_INT(send_number(layer, "x", i), 0);
	EXPECT_INT(gap_before(layer, 3), 0); // the first one since it listens
	EXPECT_INT(gap_before(layer, 4), 0);
	EXPECT_INT(send_number(layer, "x", 5), 0);
	EXPECT_INT(gap_before(layer, 5), 0);
	for (int i = 6; i < 10; i++)
		EXPECT_INT(send_number(layer, "x", i), 0);
	EXPECT_INT(gap_before(layer, 8), 2);
	EXPECT_INT(gap_before(layer, 9), 0);
	discard(layer);
}

TEST(a_gap_is_what_was_flushed_or_expired_or_received_elsewhere)
{
	struct forebay *layer = attach_still(&(struct forebay_options){.expiry = 10}),
	               *other = attach(NULL);

	EXPECT_INT(forebay_listen(layer, "x"), 0);
	EXPECT_INT(forebay_listen(other, "x"), 0);
	EXPECT_INT(send_number(layer, "x", 0), 0);
	EXPECT_INT(gap_before(layer, 0), 0);
	EXPECT_INT(send_number(layer, "x", 1), 0);
	EXPECT_INT(send_number(layer, "x", 2), 0);
	EXPECT_INT(gap_before(other, 1), 0);
	EXPECT_INT(gap_before(layer, 2), 1);
	EXPECT_INT(send_number(layer, "x", 3), 0);
	EXPECT_INT(forebay_flush(layer, "x", NULL), 0);
	EXPECT_INT(send_number(layer, "x", 4), 0);
	EXPECT_INT(gap_before(layer, 4), 1);
	EXPECT_INT(gap_before(other, 5), -1);
	EXPECT_INT(send_number(layer, "x", 5), 0);
	EXPECT_INT(send_number(layer, "x", 6), 0);
	pass(11000);
	EXPECT_INT(send_number(layer, "x", 7), 0);
	EXPECT_INT(gap_before(layer, 7), 2);
	// For who takes it up again, it begins again.
	EXPECT_INT(send_number(layer, "x", 8), 0);
	EXPECT_INT(forebay_ignore(layer, "x"), 0);
	EXPECT_INT(forebay_flush(layer, "x", NULL), 0);
	EXPECT_INT(forebay_listen(layer, "x"), 0);
	EXPECT_INT(send_number(layer, "x", 9), 0);
	EXPECT_INT(gap_before(layer, 9), 0);
	forebay_close(other);
	discard_still(layer);
}

TEST(a_channel_made_anew_begins_without_a_gap)
{
	struct forebay *layer = attach(
	        &(struct forebay_options){.size = 4 << 20, .channels = 16, .reply_channels = 64});
	char name[32];

	EXPECT_INT(send_number(layer, "x", 0), 0);
	EXPECT_INT(forebay_listen(layer, "x"), 0);
	EXPECT_INT(gap_before(layer, 0), 0);
	// The listener's bit aside, it is idle: others take its place.
	for (int i = 0; i < SHM_WAITER_WORDS; i++)
		store_relaxed(&layer->segment.channel[layer->listens[0]->ring.id].receivers[i], 0);
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof name, "other.%d", i);
		EXPECT_INT(send_number(layer, name, 1), i < 16 ? 0 : FOREBAY_NO_CHANNEL);
	}
	EXPECT_INT(forebay_flush(layer, NULL, NULL), 0);
	EXPECT_INT(receive_number(layer), -1);
	for (int i = 1; i < 4; i++)
		EXPECT_INT(send_number(layer, "x", i), 0);
	EXPECT_INT(gap_before(layer, 1), 0);
	EXPECT_INT(gap_before(layer, 2), 0);
	discard(layer);
}
