// SPDX-License-Identifier: MIT
// Histories of groups: what is kept and for how long, what a member learns, and that nobody takes one for complete that
// isn't.

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "channel/layer.h"
#include "tests/channel/support.h"

enum { MOST = 64 };

struct shown {
	int count;
	int64_t number[MOST];
	uint64_t offset[MOST];
};

static int show(struct forebay_message *message, void *context)
{
	struct shown *shown = context;

	if (shown->count < MOST) {
		shown->number[shown->count] = forebay_get_integer(message, "n", -1);
		(void)forebay_message_history(message, NULL, &shown->offset[shown->count]);
	}
	shown->count++;
	return 0;
}

static void say(struct forebay *layer, const char *group, int64_t number, size_t length)
{
	static const char content[300000];
	struct forebay_message *message = forebay_message_new(layer);

	forebay_put_integer(message, "n", number);
	if (length > 0)
		forebay_set_content(message, content, length, FOREBAY_BINARY);
	(void)forebay_group_send(layer, group, message, NULL);
	forebay_message_free(message);
}

static struct shown ask(struct forebay *layer, const char *group, struct forebay_history *history)
{
	struct shown shown = {0};

	if (forebay_group_history(layer, group, history, show, &shown) != 0)
		shown.count = -1;
	return shown;
}

TEST(the_last_messages_are_kept_by_number)
{
	struct forebay *layer =
	        attach(&(struct forebay_options){.group_histories = "chat.*=3,x=1"});
	struct forebay_history history = {0};
	struct shown shown = ask(layer, "chat.a", &history);
	uint64_t epoch;

	EXPECT_INT(shown.count, 0);
	EXPECT_INT(history.epoch, 0);
	// Also while the group has no members.
	for (int i = 0; i < 5; i++)
		say(layer, "chat.a", i, 0);
	say(layer, "other", 9, 0);
	shown = ask(layer, "chat.a", &history);
	EXPECT_INT(shown.count, 3);
	for (int i = 0; i < 3; i++) {
		EXPECT_INT(shown.number[i], i + 2);
		EXPECT_INT(shown.offset[i], shown.offset[0] + (uint64_t)i);
	}
	EXPECT(!history.complete); // it was none that had been asked for
	EXPECT_INT(history.offset, shown.offset[2]);
	epoch = history.epoch;
	shown = ask(layer, "chat.a", &history);
	EXPECT_INT(shown.count, 0);
	EXPECT(history.complete);
	say(layer, "chat.a", 5, 0);
	say(layer, "chat.a", 6, 0);
	shown = ask(layer, "chat.a", &history);
	EXPECT_INT(shown.count, 2);
	EXPECT_INT(shown.number[0], 5);
	EXPECT(history.complete);
	EXPECT(history.epoch == epoch);
	for (int i = 7; i < 11; i++) // one more than are kept
		say(layer, "chat.a", i, 0);
	shown = ask(layer, "chat.a", &history);
	EXPECT_INT(shown.count, 3);
	EXPECT_INT(shown.number[0], 8);
	EXPECT(!history.complete);
	history.epoch ^= 4;
	shown = ask(layer, "chat.a", &history);
	EXPECT_INT(shown.count, 3);
	EXPECT(!history.complete);
	EXPECT(history.epoch == epoch);
	history.offset += 1000; // was never given
	shown = ask(layer, "chat.a", &history);
	EXPECT_INT(shown.count, 3);
	EXPECT(!history.complete);
	shown = ask(layer, "other", &history);
	EXPECT_INT(shown.count, 0);
	EXPECT_INT(history.epoch, 0);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_DISPLACED), 0);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_HISTORY), 8);
	EXPECT_INT(forebay_group_history(layer, "", &history, show, &shown), FOREBAY_BAD_NAME);
	discard(layer);
}

TEST(what_is_kept_does_not_count_as_waiting)
{
	struct forebay *layer = attach(&(struct forebay_options){.group_histories = "chat.*=3"});
	struct forebay_layer_stat stat;

	for (int i = 0; i < 5; i++)
		say(layer, "chat.a", i, 0);
	EXPECT_INT(forebay_stat(layer, &stat), 0);
	EXPECT_INT(stat.statistics.messages_pending, 0);
	EXPECT(stat.statistics.messages_max_age == 0);
	EXPECT_INT(forebay_group_add(layer, "chat.a", "member"), 0);
	say(layer, "chat.a", 5, 0);
	EXPECT_INT(forebay_stat(layer, &stat), 0);
	EXPECT_INT(stat.statistics.messages_pending, 1);
	discard(layer);
}

TEST(members_learn_epoch_and_offset)
{
	struct forebay *layer = attach(&(struct forebay_options){.group_histories = "g=10"});
	struct forebay_history history = {0};
	struct forebay_message *message;
	char reply[FOREBAY_NAME_SIZE];
	uint64_t epoch[2] = {0}, offset[2] = {0};
	struct shown shown;

	EXPECT_INT(forebay_reply_open(layer, "r", 0, layer, reply), 0);
	EXPECT_INT(forebay_group_add(layer, "g", reply), 0);
	EXPECT_INT(forebay_group_add(layer, "g", "plain"), 0);
	EXPECT_INT(forebay_listen(layer, "plain"), 0);
	say(layer, "g", 1, 100);
	for (int i = 0; i < 2; i++) {
		struct iovec iov[FOREBAY_CONTENT_IOV];
		size_t length;

		EXPECT_INT(forebay_receive(layer, 0, &message), 0);
		EXPECT(forebay_message_history(message, &epoch[i], &offset[i]));
		EXPECT_INT(forebay_get_integer(message, "n", 0), 1);
		EXPECT(forebay_message_content(message, &length, NULL) && length == 100);
		EXPECT_INT(forebay_message_content_iov(message, iov, FOREBAY_CONTENT_IOV), 1);
		EXPECT_INT(iov[0].iov_len, 100);
		forebay_message_free(message);
	}
	EXPECT(epoch[0] == epoch[1] && offset[0] == offset[1] && epoch[0] != 0);
	history = (struct forebay_history){.epoch = epoch[0], .offset = offset[0] - 1};
	shown = ask(layer, "g", &history);
	EXPECT_INT(shown.count, 1);
	EXPECT(history.complete);
	// Others don't carry any.
	EXPECT_INT(send_number(layer, "plain", 2), 0);
	EXPECT_INT(forebay_receive(layer, 0, &message), 0);
	EXPECT(!forebay_message_history(message, NULL, NULL));
	forebay_message_free(message);
	discard(layer);
}

TEST(the_sum_of_octets_is_bounded)
{
	struct forebay *layer = attach(&(struct forebay_options){.group_histories = "g=100/10K"});
	struct forebay_history history = {0};
	struct shown shown;
	uint64_t epoch;

	for (int i = 0; i < 10; i++)
		say(layer, "g", i, 2000);
	shown = ask(layer, "g", &history);
	EXPECT_INT(shown.count, 5);
	EXPECT_INT(shown.number[0], 5);
	say(layer, "g", 10, 9000);
	shown = ask(layer, "g", &(struct forebay_history){0});
	EXPECT_INT(shown.count, 1);
	EXPECT_INT(shown.number[0], 10);
	// What is larger than all may be isn't kept, and nobody is to believe that nothing was sent.
	(void)ask(layer, "g", &history);
	epoch = history.epoch;
	say(layer, "g", 11, 20000);
	shown = ask(layer, "g", &history);
	EXPECT_INT(shown.count, 0);
	EXPECT(!history.complete);
	say(layer, "g", 12, 0);
	history.epoch = epoch;
	shown = ask(layer, "g", &history);
	EXPECT_INT(shown.count, 1);
	EXPECT(!history.complete && history.epoch != epoch);
	discard(layer);
}

TEST(messages_stay_for_their_own_time_whoever_leaves)
{
	struct forebay *layer = attach_still(
	        &(struct forebay_options){.expiry = 1, .group_histories = "g=100/1M/30s"});
	struct forebay_history history = {0};
	struct shown shown;

	EXPECT_INT(forebay_group_add(layer, "g", "member"), 0);
	say(layer, "g", 1, 0);
	pass(20000);
	say(layer, "g", 2, 0);
	EXPECT_INT(forebay_group_discard(layer, "g", "member"), 0);
	EXPECT(forebay_reap(layer) >= 0);
	shown = ask(layer, "g", &history);
	EXPECT_INT(shown.count, 2);
	pass(11000);
	// Too old, whether anybody has cleared it away yet or not.
	for (int round = 0; round < 2; round++) {
		history.offset = shown.offset[0] - 1;
		EXPECT_INT(ask(layer, "g", &history).count, 1);
		EXPECT(!history.complete);
		EXPECT(forebay_reap(layer) >= 0);
	}
	pass(29000);
	EXPECT(forebay_reap(layer) >= 0);
	EXPECT_INT(ask(layer, "g", &history).count, 0);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_HISTORY), 2);
	EXPECT_INT(used_blocks(layer), 0);
	discard_still(layer);
}

static int count_channel(const struct forebay_channel_stat *stat, void *context)
{
	(void)stat;
	++*(int *)context;
	return 0;
}

TEST(a_history_is_no_channel_to_others)
{
	struct forebay *layer = attach(&(struct forebay_options){.group_histories = "g=100"});
	struct forebay_history history = {0};
	uint64_t dropped;
	int channels = 0;

	say(layer, "g", 1, 0);
	EXPECT_INT(forebay_stat_channels(layer, count_channel, &channels), 0);
	EXPECT_INT(channels, 0);
	EXPECT_INT(forebay_flush(layer, NULL, &dropped), 0);
	EXPECT_INT(dropped, 0);
	EXPECT_INT(ask(layer, "g", &history).count, 1);
	EXPECT_INT(forebay_listen(layer, "\x02g"), FOREBAY_BAD_NAME);
	discard(layer);
}

TEST(a_full_memory_ends_a_history_rather_than_leave_a_hole)
{
	struct forebay *layer = attach(&(struct forebay_options){.size = 4 << 20,
	        .channels = 16,
	        .reply_channels = 64,
	        .capacities = "filler=8000",
	        .group_histories = "g=100/8M"});
	struct forebay_history history = {0};

	say(layer, "g", 1, 0);
	EXPECT_INT(ask(layer, "g", &history).count, 1);
	while (send_number(layer, "filler", 1) == 0)
		continue;
	// The old one gives its place to the new, of the same size; there is none for one that is larger than all.
	say(layer, "g", 2, 0);
	EXPECT_INT(ask(layer, "g", &history).count, 1);
	EXPECT(history.complete);
	say(layer, "g", 3, 300000);
	EXPECT_INT(ask(layer, "g", &history).count, 0);
	EXPECT(!history.complete);
	discard(layer);
}

// The entry is another's for a moment, who has just made it, or is about to end it because it seems idle; and that
// moment lasts as long as he is stopped.
TEST(what_is_not_kept_is_missed_whoever_has_the_entry)
{
	struct forebay *layer = attach(&(struct forebay_options){.group_histories = "g=100/1K"}),
	               *other = attach(NULL);
	struct forebay_history history = {0};
	struct shm_ring ring;
	uint64_t epoch;

	say(layer, "g", 1, 0);
	EXPECT_INT(ask(layer, "g", &history).count, 1);
	epoch = history.epoch;
	EXPECT_INT(shm_table_find(&layer->table, "\x02g", &ring), SHM_OK);
	store_release(&layer->segment.channel[ring.id].owner, SHM_OWN_HELD(other->self.uid));
	say(layer, "g", 2, 2000);
	EXPECT_INT(ask(layer, "g", &history).count, 0);
	EXPECT(!history.complete);
	say(layer, "g", 3, 0);
	store_release(&layer->segment.channel[ring.id].owner, SHM_CHANNEL_LIVE);
	history = (struct forebay_history){.epoch = epoch, .offset = ring.head};
	EXPECT_INT(ask(layer, "g", &history).count, 1);
	EXPECT(!history.complete && history.epoch != epoch);
	EXPECT_INT(used_blocks(layer), 1);
	forebay_close(other);
	discard(layer);
}

TEST(what_is_no_history_is_refused_with_a_sentence)
{
	static const char *const refused[] = {"a", "a=0", "a=8193", "a=1/", "a=1/0", "a=1/1X",
	        "a=1/1K/", "a=1/1K/1w", "a=1/1K/1s/1", "=1", "a=1,", "a=1,,b=1", "a=1/2K/999999h"};
	struct forebay *layer;

	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		int result = forebay_open("refused",
		        &(struct forebay_options){.group_histories = refused[i]}, &layer);

		if (strcmp(refused[i], "a=1,") == 0 && result == 0) { // as of capacities
			forebay_close(layer);
			(void)forebay_remove("refused");
			continue;
		}
		EXPECT_INT(result, -EINVAL);
		EXPECT(strstr(forebay_error(), refused[i]));
	}
}
