// SPDX-License-Identifier: MIT
// Looking into channels without receiving: what waits, and what passes. Nobody notices.

#include <errno.h>
#include <string.h>

#include "channel/layer.h"
#include "tests/channel/support.h"

enum { MOST = 64 };

// What was shown.
struct shown {
	int count;
	int64_t number[MOST];
	uint64_t gap[MOST];
	bool waiting[MOST];
	int end_after;
};

static int show(struct forebay_message *message, void *context)
{
	struct shown *shown = context;

	if (shown->count < MOST) {
		shown->number[shown->count] = forebay_get_integer(message, "n", -1);
		shown->gap[shown->count] = forebay_message_gap(message);
		shown->waiting[shown->count] = forebay_message_is_waiting(message);
	}
	shown->count++;
	return shown->end_after > 0 && shown->count == shown->end_after ? 77 : 0;
}

TEST(peeking_shows_what_waits_and_takes_nothing)
{
	struct forebay *layer = attach_still(&(struct forebay_options){.expiry = 10});
	struct shown shown = {0};

	EXPECT_INT(forebay_peek(layer, "x", show, &shown), 0);
	EXPECT_INT(shown.count, 0);
	for (int i = 0; i < 5; i++)
		EXPECT_INT(send_number(layer, "x", i), 0);
	EXPECT_INT(forebay_listen(layer, "x"), 0);
	EXPECT_INT(receive_number(layer), 0);
	EXPECT_INT(forebay_peek(layer, "x", show, &shown), 0);
	EXPECT_INT(shown.count, 4);
	for (int i = 0; i < 4; i++) {
		EXPECT_INT(shown.number[i], i + 1);
		EXPECT_INT(shown.gap[i], 0);
		EXPECT(shown.waiting[i]);
	}
	shown = (struct shown){.end_after = 2};
	EXPECT_INT(forebay_peek(layer, "x", show, &shown), 77);
	EXPECT_INT(shown.count, 2);
	for (int i = 1; i < 5; i++)
		EXPECT_INT(receive_number(layer), i);
	EXPECT_INT(receive_number(layer), -1);
	// What a receiver would drop isn't shown.
	EXPECT_INT(send_number(layer, "x", 6), 0);
	pass(11000);
	EXPECT_INT(send_number(layer, "x", 7), 0);
	shown = (struct shown){0};
	EXPECT_INT(forebay_peek(layer, "x", show, &shown), 0);
	EXPECT_INT(shown.count, 1);
	EXPECT_INT(shown.number[0], 7);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_RECEIVED), 5);
	EXPECT_INT(forebay_peek(layer, "", show, &shown), FOREBAY_BAD_NAME);
	EXPECT_INT(forebay_peek(layer, "r!0000000000000001", show, &shown), FOREBAY_BAD_NAME);
	discard_still(layer);
}

static int count_channel(const struct forebay_channel_stat *stat, void *context)
{
	(void)stat;
	++*(int *)context;
	return 0;
}

TEST(who_only_observes_can_look_and_makes_nothing)
{
	struct forebay *layer = attach(NULL), *observer;
	struct forebay_watch watch = {0};
	struct shown shown = {0};
	int channels = 0;

	EXPECT_INT(forebay_open(NULL, &(struct forebay_options){.observe = true}, &observer), 0);
	EXPECT_INT(forebay_peek(observer, "x", show, &shown), 0);
	EXPECT_INT(forebay_watch(observer, "x", &watch, show, &shown), 0);
	EXPECT_INT(forebay_stat_channels(layer, count_channel, &channels), 0);
	EXPECT_INT(channels, 0);
	EXPECT_INT(send_number(layer, "x", 1), 0);
	EXPECT_INT(forebay_peek(observer, "x", show, &shown), 0);
	EXPECT_INT(forebay_watch(observer, "x", &watch, show, &shown), 0);
	EXPECT_INT(shown.count, 2);
	EXPECT_INT(shown.number[1], 1); // made after the first look, so it is new
	forebay_close(observer);
	discard(layer);
}

struct large {
	size_t length;
	bool right;
};

static int look_at_large(struct forebay_message *message, void *context)
{
	struct large *large = context;
	size_t length, text;
	const unsigned char *content = forebay_message_content(message, &length, NULL);

	large->right = length == large->length && forebay_get_integer(message, "n", 0) == 5 &&
	               forebay_message_age(message) >= 0 &&
	               strcmp(forebay_message_channel(message), "x") == 0 &&
	               forebay_message_json(message, &text) != NULL && text > length;
	for (size_t i = 0; large->right && i < length; i++)
		large->right = content[i] == (unsigned char)(i * 7);
	return 0;
}

TEST(messages_of_all_sizes_are_whole)
{
	static const size_t lengths[] = {1, 400, 5000, 65000, 70000, 700000};

	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		struct forebay *layer = attach(NULL);
		struct forebay_message *message = forebay_message_new(layer);
		unsigned char *content = malloc(lengths[i]);
		struct large large = {.length = lengths[i]};

		for (size_t k = 0; k < lengths[i]; k++)
			content[k] = (unsigned char)(k * 7);
		forebay_put_integer(message, "n", 5);
		forebay_set_content(message, content, lengths[i], FOREBAY_BINARY);
		EXPECT_INT(forebay_send(layer, "x", message, 0), 0);
		EXPECT_INT(forebay_peek(layer, "x", look_at_large, &large), 0);
		EXPECT(large.right);
		forebay_message_free(message);
		free(content);
		discard(layer);
	}
}

TEST(watching_shows_what_was_received_meanwhile)
{
	struct forebay *layer = attach(NULL);
	struct forebay_watch watch = {0};
	struct shown shown = {0};

	EXPECT_INT(send_number(layer, "x", 0), 0);
	EXPECT_INT(forebay_watch(layer, "x", &watch, show, &shown), 0);
	EXPECT_INT(shown.count, 0); // from now on
	EXPECT_INT(forebay_listen(layer, "x"), 0);
	EXPECT_INT(receive_number(layer), 0);
	for (int i = 1; i < 5; i++)
		EXPECT_INT(send_number(layer, "x", i), 0);
	EXPECT_INT(receive_number(layer), 1);
	EXPECT_INT(receive_number(layer), 2);
	EXPECT_INT(forebay_watch(layer, "x", &watch, show, &shown), 0);
	EXPECT_INT(shown.count, 4);
	for (int i = 0; i < 4; i++) {
		EXPECT_INT(shown.number[i], i + 1);
		EXPECT_INT(shown.gap[i], 0);
		EXPECT_INT(shown.waiting[i], i >= 2);
	}
	EXPECT_INT(forebay_watch(layer, "x", &watch, show, &shown), 0);
	EXPECT_INT(shown.count, 4);
	discard(layer);
}

TEST(what_passed_unseen_is_a_gap)
{
	struct forebay *layer = attach(&(struct forebay_options){.capacities = "x=2/drop-oldest"});
	struct forebay_watch watch = {0};
	struct shown shown = {0};
	uint64_t told = 0;

	EXPECT_INT(forebay_watch(layer, "x", &watch, show, &shown), 0);
	for (int i = 0; i < 1000; i++)
		EXPECT_INT(send_number(layer, "x", i), 0);
	EXPECT_INT(forebay_watch(layer, "x", &watch, show, &shown), 0);
	EXPECT(shown.count >= 2 && shown.count <= 128);
	EXPECT_INT(shown.number[0], (int64_t)shown.gap[0]);
	for (int i = 0; i < shown.count && i < MOST; i++)
		told += shown.gap[i];
	EXPECT_INT(told + (uint64_t)shown.count + watch.missed, 1000);
	discard(layer);
}

TEST(a_watch_goes_on_in_a_channel_that_was_made_anew)
{
	struct forebay *layer = attach(NULL);
	struct forebay_watch watch = {0};
	struct shown shown = {0};
	struct shm_ring ring;

	EXPECT_INT(send_number(layer, "x", 0), 0);
	EXPECT_INT(forebay_watch(layer, "x", &watch, show, &shown), 0);
	EXPECT_INT(forebay_flush(layer, "x", NULL), 0);
	EXPECT(shm_table_find(&layer->table, "x", &ring) == SHM_OK);
	EXPECT_INT(shm_table_end(&layer->table, &ring, false, NULL), SHM_OK);
	EXPECT_INT(forebay_watch(layer, "x", &watch, show, &shown), 0);
	EXPECT_INT(send_number(layer, "x", 1), 0);
	EXPECT_INT(send_number(layer, "x", 2), 0);
	EXPECT_INT(forebay_watch(layer, "x", &watch, show, &shown), 0);
	EXPECT_INT(shown.count, 2);
	EXPECT_INT(shown.number[0], 1);
	EXPECT_INT(shown.gap[0], 0);
	discard(layer);
}
