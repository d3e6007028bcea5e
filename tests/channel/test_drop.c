// SPDX-License-Identifier: MIT
// The resilience mode: messages that are dropped on purpose.

#include <errno.h>

#include "channel/layer.h"
#include "tests/channel/support.h"

enum {
	MANY = 10000,
};

static struct forebay *attach_dropping(const char *drops)
{
	return attach(
	        &(struct forebay_options){.capacities = "*=8192", .drops = drops, .drop_seed = 42});
}

static uint64_t dropped(struct forebay *layer)
{
	return counter(layer, FOREBAY_COUNT_DROPPED_ON_PURPOSE);
}

static uint64_t pending(struct forebay *layer, const char *channel)
{
	struct forebay_channel_stat stat;

	return forebay_stat_channel(layer, channel, &stat) == 0 ? stat.pending : UINT64_MAX;
}

// Which of MANY messages to CHANNEL are dropped, as a hash; and how many.
static uint64_t send_many(struct forebay *layer, const char *channel, uint64_t *count)
{
	uint64_t hash = 0, first = dropped(layer);

	for (int i = 0; i < MANY; i++) {
		uint64_t before = layer->self.mem->counters[FOREBAY_COUNT_DROPPED_ON_PURPOSE];

		if (send_number(layer, channel, i) != 0)
			abort();
		if (layer->self.mem->counters[FOREBAY_COUNT_DROPPED_ON_PURPOSE] != before)
			hash = (hash + (uint64_t)i) * 0x9e3779b97f4a7c15;
		if (i % 1000 == 0)
			(void)forebay_flush(layer, NULL, NULL);
	}
	*count = dropped(layer) - first;
	return hash;
}

TEST(about_that_share_is_dropped_and_with_a_seed_always_the_same)
{
	struct forebay *layer = attach_dropping("x=5,y=0.1"), *other;
	uint64_t count, again, hash = send_many(layer, "x", &count);

	EXPECT(count > MANY / 20 * 8 / 10 && count < MANY / 20 * 12 / 10);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_SENT), MANY - count);
	other = attach(&(struct forebay_options){.drop_seed = 42}); // obeys, whoever made it
	EXPECT_STRING(forebay_layer_drops(other), "x=5,y=0.1");
	EXPECT_INT(send_many(other, "x", &again), hash);
	EXPECT_INT(again, count);
	forebay_close(other);
	other = attach(&(struct forebay_options){.drop_seed = 43});
	EXPECT(send_many(other, "x", &again) != hash);
	(void)send_many(other, "y", &count);
	EXPECT(count > 0 && count < MANY / 1000 * 3);
	forebay_close(other);
	setenv("FOREBAY_DROP_SEED", "42", 1);
	other = attach(NULL);
	EXPECT_INT(send_many(other, "x", &again), hash);
	unsetenv("FOREBAY_DROP_SEED");
	forebay_close(other);
	discard(layer);
}

TEST(a_seed_that_is_none_is_refused)
{
	static const char *const wrong[] = {
	        "junk", "0", "-1", "42x", " 42", "0x2a", "4.2", "18446744073709551616"};
	struct forebay *layer = attach_dropping("x=50"), *other;

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		setenv("FOREBAY_DROP_SEED", wrong[i], 1);
		EXPECT_INT(forebay_open(NULL, NULL, &other), -EINVAL);
		EXPECT(strstr(forebay_error(), "FOREBAY_DROP_SEED"));
		EXPECT(strstr(forebay_error(), wrong[i]));
	}
	// Who has a seed of his own, or drops nothing, doesn't look at it.
	forebay_close(attach(&(struct forebay_options){.drop_seed = 42}));
	forebay_close(attach(&(struct forebay_options){.observe = true}));
	setenv("FOREBAY_DROP_SEED", "", 1);
	forebay_close(attach(NULL));
	unsetenv("FOREBAY_DROP_SEED");
	discard(layer);
}

TEST(the_first_pattern_decides_and_what_matches_none_is_sent)
{
	struct forebay *layer = attach_dropping("kept.*=0,*.*=100.0000,all=100");
	struct forebay_message *message = forebay_message_new(layer);

	EXPECT_INT(send_number(layer, "kept.x", 1), 0);
	EXPECT_INT(send_number(layer, "other.x", 1), 0);
	EXPECT_INT(send_number(layer, "all", 1), 0);
	EXPECT_INT(send_number(layer, "none", 1), 0);
	EXPECT_INT(pending(layer, "kept.x"), 1);
	EXPECT_INT(pending(layer, "other.x"), 0);
	EXPECT_INT(pending(layer, "all"), 0);
	EXPECT_INT(pending(layer, "none"), 1);
	EXPECT_INT(dropped(layer), 2);
	// What is no message isn't dropped, it is refused.
	forebay_put_text(message, NULL, "a value without a key");
	EXPECT_INT(forebay_send(layer, "all", message, 0), FOREBAY_BAD_MESSAGE);
	EXPECT_INT(send_number(layer, "no name\n", 1), FOREBAY_BAD_NAME);
	EXPECT_INT(dropped(layer), 2);
	forebay_message_free(message);
	discard(layer);
}

TEST(a_reply_channel_that_has_ended_is_gone_all_the_same)
{
	struct forebay *layer = attach_dropping("r!*=100");
	char name[FOREBAY_NAME_SIZE];

	EXPECT_INT(forebay_reply_open(layer, "r", 1, NULL, name), 0);
	for (int i = 0; i < 3; i++) // takes no credit
		EXPECT_INT(send_number(layer, name, 1), 0);
	EXPECT_INT(receive_number(layer), -1);
	EXPECT_INT(forebay_reply_close(layer, name), 0);
	EXPECT_INT(send_number(layer, name, 1), FOREBAY_GONE);
	EXPECT_INT(dropped(layer), 3);
	discard(layer);
}

static void count_owner(void *owner, void *context)
{
	(void)context;
	++*(int *)owner;
}

TEST(a_member_whose_copy_is_dropped_counts_as_reached)
{
	struct forebay *layer = attach_dropping("x=100,bad!*=100");
	char good[FOREBAY_NAME_SIZE], bad[FOREBAY_NAME_SIZE];
	struct forebay_message *message = forebay_message_new(layer);
	int goods = 0, bads = 0;
	uint64_t reached;

	EXPECT_INT(forebay_reply_open(layer, "good", 1, &goods, good), 0);
	EXPECT_INT(forebay_reply_open(layer, "bad", 1, &bads, bad), 0);
	EXPECT_INT(forebay_group_add(layer, "g", good), 0);
	EXPECT_INT(forebay_group_add(layer, "g", bad), 0);
	EXPECT_INT(forebay_group_add(layer, "g", "x"), 0);
	EXPECT_INT(forebay_group_add(layer, "g", "y"), 0);
	EXPECT_INT(forebay_group_send(layer, "g", message, &reached), 0);
	EXPECT_INT(reached, 4);
	forebay_message_free(message);
	EXPECT_INT(forebay_receive(layer, 0, &message), 0);
	EXPECT_INT(forebay_message_recipients(message, count_owner, NULL), 2);
	EXPECT_INT(goods, 1);
	EXPECT_INT(bads, 0);
	EXPECT_INT(pending(layer, "x"), 0);
	EXPECT_INT(pending(layer, "y"), 1);
	EXPECT_INT(dropped(layer), 2);
	forebay_message_free(message);
	discard(layer);
}

TEST(what_comes_exactly_once_does)
{
	struct forebay *layer = attach_dropping("*=100");
	struct forebay_message *message = forebay_message_new(layer);
	char name[FOREBAY_NAME_SIZE];

	EXPECT_INT(forebay_reply_open(layer, "websocket.send", 1, NULL, name), 0);
	EXPECT_INT(forebay_reply_announce(layer, name, "websocket.connect", message), 0);
	EXPECT_INT(pending(layer, "websocket.connect"), 1);
	EXPECT_INT(forebay_reply_farewell(layer, name, "websocket.disconnect", message), 0);
	EXPECT_INT(pending(layer, "websocket.disconnect"), 1);
	EXPECT_INT(dropped(layer), 0);
	forebay_message_free(message);
	discard(layer);
}

TEST(a_delayed_message_is_dropped_when_it_is_delivered)
{
	struct forebay *layer =
	        attach_still(&(struct forebay_options){.drops = "asgi.delay=100,x=100"});
	struct forebay_message *message = forebay_message_new(layer);

	EXPECT_INT(forebay_send_after(layer, "x", message, 1000), 0);
	EXPECT_INT(forebay_send_after(layer, "y", message, 1000), 0);
	EXPECT_INT(pending(layer, "asgi.delay"), 2);
	pass(2000);
	EXPECT_INT(forebay_housekeep(layer), 0);
	EXPECT_INT(pending(layer, "asgi.delay"), 0);
	EXPECT_INT(pending(layer, "x"), 0);
	EXPECT_INT(pending(layer, "y"), 1);
	EXPECT_INT(dropped(layer), 1);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_SENT), 3);
	EXPECT_INT(used_blocks(layer), 1);
	forebay_message_free(message);
	discard_still(layer);
}

TEST(what_is_no_share_is_refused)
{
	static const char *const wrong[] = {"x", "x=", "=5", "x=5%", "x=-1", "x=101", "x=100.0001",
	        "x=1.", "x=.5", "x=1.00001", "x=1e1", "x=5,y", "x=99999999999999999999"};
	struct forebay *layer = attach_dropping("x=5");

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct forebay_options options = {.drops = wrong[i]};
		struct forebay *other;

		EXPECT_INT(forebay_open(NULL, &options, &other), -EINVAL);
		EXPECT(strstr(forebay_error(), "PATTERN=PERCENT"));
	}
	discard(layer);
}

TEST(who_wanted_others_is_told)
{
	struct forebay *layer = attach_dropping("x=5"), *other;

	EXPECT_STRING(forebay_layer_differences(layer), "");
	other = attach(&(struct forebay_options){.capacities = "*=8192"});
	EXPECT_STRING(forebay_layer_differences(other), "drops x=5 on purpose, not nothing");
	forebay_close(other);
	discard(layer);
}

TEST(scribbled_patterns_drop_nothing)
{
	struct forebay *layer = attach_dropping("x=100"), *other;
	char *at = layer->segment.base;

	while (memcmp(at, "x=100", 5) != 0)
		at++;
	memcpy(at, "x=999", 5);
	other = attach(NULL);
	EXPECT_INT(send_number(other, "x", 1), 0);
	EXPECT_INT(pending(other, "x"), 1);
	forebay_close(other);
	discard(layer);
}
