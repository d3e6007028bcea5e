// SPDX-License-Identifier: MIT
// Windows of reply channels: what they are worth in memory, and what a message keeps of them that was unloaded.

#include <string.h>

#include "tests/channel/support.h"

#define LARGE 900000 // octets: 14 extents

static char content[LARGE];

// Sends messages of LENGTH octets until they are refused. Returns how many there were, and *RESULT is why.
static int fill(struct forebay *layer, const char *channel, size_t length, int *result)
{
	struct forebay_message *message = forebay_message_new(layer);
	int count = 0;

	forebay_set_content(message, content, length, FOREBAY_TEXT);
	memset(content, 'x', sizeof content);
	while ((*result = forebay_send(layer, channel, message, 0)) == 0)
		count++;
	forebay_message_free(message);
	return count;
}

TEST(a_window_counts_messages_up_to_64_kib_one_by_one)
{
	struct forebay *layer = attach(NULL);
	char name[FOREBAY_NAME_SIZE];
	int result;

	EXPECT_INT(forebay_reply_open(layer, "r", 16, NULL, name), 0);
	EXPECT_INT(fill(layer, name, 60000, &result), 16);
	EXPECT_INT(result, FOREBAY_FULL);
	discard(layer);
}

TEST(large_messages_do_not_make_a_window_worth_more_memory)
{
	struct forebay *layer = attach(NULL);
	struct forebay_message *message;
	char name[FOREBAY_NAME_SIZE];
	int result;

	EXPECT_INT(forebay_reply_open(layer, "r", 16, NULL, name), 0);
	EXPECT_INT(fill(layer, name, LARGE, &result), 2);
	EXPECT_INT(result, FOREBAY_FULL);
	// However often the window is used up and received, there is room again: more than half, at least, is granted.
	for (int round = 0; round < 100; round++) {
		int least = round % 2 ? 1 : 9, most = round % 2 ? 2 : 16, count;

		while (forebay_receive(layer, 0, &message) == 0)
			forebay_message_free(message);
		count = fill(layer, name, round % 2 ? LARGE : 60000, &result);
		EXPECT(count >= least && count <= most);
	}
	while (forebay_receive(layer, 0, &message) == 0)
		forebay_message_free(message);
	EXPECT_INT(used_blocks(layer), 0);
	discard(layer);
}

TEST(who_frees_one_large_message_at_a_time_holds_no_more_than_a_window)
{
	struct forebay *layer = attach(NULL);
	struct forebay_message *held[32] = {NULL};
	char name[FOREBAY_NAME_SIZE];
	int count = 0, result;

	EXPECT_INT(forebay_reply_open(layer, "r", 100, NULL, name), 0);
	for (int round = 0; round < 50; round++) {
		(void)fill(layer, name, LARGE, &result);
		EXPECT_INT(result, FOREBAY_FULL);
		while (count < 32 && forebay_receive(layer, 0, &held[count]) == 0)
			count++;
		// 100 extents, and the rest of the message that has taken the last ones.
		EXPECT(count > 0 && count <= (100 + 13) / 14);
		forebay_message_free(held[0]);
		memmove(held, held + 1, (size_t)--count * sizeof *held);
	}
	while (count > 0)
		forebay_message_free(held[--count]);
	EXPECT_INT(used_blocks(layer), 0);
	discard(layer);
}

TEST(a_window_of_one_takes_a_message_of_any_size)
{
	struct forebay *layer = attach(NULL);
	struct forebay_message *message;
	char name[FOREBAY_NAME_SIZE];
	int result;

	EXPECT_INT(forebay_reply_open(layer, "r", 1, NULL, name), 0);
	for (int round = 0; round < 3; round++) {
		EXPECT_INT(fill(layer, name, LARGE, &result), 1);
		EXPECT_INT(forebay_receive(layer, 0, &message), 0);
		forebay_message_free(message);
	}
	discard(layer);
}

TEST(a_message_that_is_unloaded_keeps_its_credit_and_no_memory)
{
	struct forebay *layer = attach(NULL);
	struct forebay_message *messages[16], *plain;
	char name[FOREBAY_NAME_SIZE];
	size_t length;
	unsigned kind;
	int result;

	EXPECT_INT(forebay_reply_open(layer, "r", 16, NULL, name), 0);
	EXPECT_INT(fill(layer, name, 60000, &result), 16);
	for (int i = 0; i < 16; i++) {
		EXPECT_INT(forebay_receive(layer, 0, &messages[i]), 0);
		forebay_message_unload(messages[i]);
		forebay_message_unload(messages[i]);
	}
	EXPECT_INT(used_blocks(layer), 0);
	EXPECT_INT(fill(layer, name, 60000, &result), 0);
	EXPECT_INT(result, FOREBAY_FULL);
	EXPECT(!forebay_message_content(messages[0], &length, &kind) || length == 0);
	EXPECT(!forebay_message_root(messages[0]));
	for (int i = 0; i < 16; i++)
		forebay_message_free(messages[i]);
	EXPECT_INT(fill(layer, name, 60000, &result), 16);
	EXPECT_INT(used_blocks(layer), 16);
	// What was never received has nothing to unload.
	plain = forebay_message_new(layer);
	forebay_message_unload(plain);
	EXPECT_INT(forebay_put_integer(plain, "n", 1), 0);
	EXPECT_INT(forebay_send(layer, "plain", plain, 0), 0);
	forebay_message_free(plain);
	discard(layer);
}

TEST(memory_is_short_when_half_of_it_is_used)
{
	struct forebay *layer = attach(NULL);
	struct forebay_message *message;
	char name[FOREBAY_NAME_SIZE];
	int result;

	EXPECT(!forebay_memory_is_short(layer));
	EXPECT_INT(forebay_reply_open(layer, "r", 1000, NULL, name), 0);
	(void)fill(layer, name, 60000, &result);
	EXPECT_INT(result, FOREBAY_NO_MEMORY);
	EXPECT(forebay_memory_is_short(layer));
	while (forebay_receive(layer, 0, &message) == 0)
		forebay_message_free(message);
	EXPECT(!forebay_memory_is_short(layer));
	discard(layer);
}
