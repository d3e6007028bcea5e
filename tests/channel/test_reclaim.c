// SPDX-License-Identifier: MIT
// However many channels there were in a segment's life, nothing of them is left: not in the segment, and not
// in the heap of who used them. FOREBAY_TEST_NAMES says how many; ten million take some minutes.

#include <malloc.h>

#include "channel/layer.h"
#include "tests/channel/support.h"

#ifdef __SANITIZE_THREAD__
#define DEFAULT_NAMES 40000 // it is ten times as slow there, and there are no threads
#else
#define DEFAULT_NAMES 200000
#endif

static long names_wanted(void)
{
	const char *text = getenv("FOREBAY_TEST_NAMES");
	long names = text ? atol(text) : 0;

	return names > 0 ? names : DEFAULT_NAMES;
}

static struct forebay *attach_small(void)
{
	return attach(&(struct forebay_options){
	        .size = 3 << 20, .channels = 32, .reply_channels = 64, .capacity = 5});
}

// Has all that waits expire.
static void expire(struct forebay *layer)
{
	for (uint32_t handle = 0; handle < layer->pool.first[SHM_CLASSES]; handle++) {
		struct shm_block_mem *block = shm_pool_block(&layer->pool, handle);

		store_relaxed(&block->sent_at,
		        load_relaxed(&block->sent_at) - layer->segment.geometry.expiry - 1000);
	}
	EXPECT_INT(forebay_reap(layer), 0);
}

// One channel's life, of one of several kinds, under a name that nobody had before.
static void live(struct forebay *layer, struct forebay *other, long number)
{
	char name[FOREBAY_NAME_SIZE], prefix[32];

	snprintf(prefix, sizeof prefix, "user.%ld", number);
	switch (number % 5) {
	case 0: // received
		EXPECT_INT(forebay_listen(other, prefix), 0);
		EXPECT_INT(send_number(layer, prefix, number), 0);
		EXPECT_INT(receive_number(other), number);
		EXPECT_INT(forebay_ignore(other, prefix), 0);
		break;
	case 1: // flushed
		EXPECT_INT(send_number(layer, prefix, number), 0);
		EXPECT_INT(forebay_flush(other, prefix, NULL), 0);
		break;
	case 2: // left to expire
		EXPECT_INT(send_number(layer, prefix, number), 0);
		break;
	case 3: // a stream, read until its end
		EXPECT_INT(forebay_stream_open(layer, prefix, name), 0);
		EXPECT_INT(forebay_listen(other, name), 0);
		EXPECT_INT(send_number(layer, name, number), 0);
		EXPECT_INT(receive_number(other), number);
		EXPECT_INT(forebay_stream_close(layer, name), 0);
		EXPECT_INT(receive_number(other), -2); // it is told of the end
		break;
	default: // a reply channel
		EXPECT_INT(forebay_reply_open(layer, prefix, 0, NULL, name), 0);
		EXPECT_INT(send_number(other, name, number), 0);
		EXPECT_INT(receive_number(layer), number);
		EXPECT_INT(forebay_reply_close(layer, name), 0);
	}
	if (number % 100 == 99)
		expire(layer);
}

TEST(channels_that_are_no_longer_used_leave_nothing_behind)
{
	struct forebay *layer = attach_small(), *other = attach(NULL);
	long names = names_wanted();
	struct forebay_layer_stat stat;
	size_t heap = 0;

	for (long i = 0; i < names; i++) {
		live(layer, other, i);
		if (test_failed())
			return;
		// Caches are filled by then.
		if (i == 2000)
			heap = mallinfo2().uordblks;
	}
	expire(layer);
	EXPECT_INT(mallinfo2().uordblks > heap + 16384, 0);
	EXPECT_INT(layer->listen_count + other->listen_count, 0);
	EXPECT_INT(used_blocks(layer), 0);
	// And what there was at first can all be had again.
	EXPECT_INT(forebay_flush(layer, NULL, NULL), 0);
	for (int i = 0; i < 32; i++) {
		char name[32];

		snprintf(name, sizeof name, "again.%d", i);
		EXPECT_INT(send_number(layer, name, i), 0);
	}
	EXPECT_INT(forebay_stat(layer, &stat), 0);
	EXPECT_INT(stat.channels, 32 + 1); // and the inbox
	forebay_close(other);
	discard(layer);
}

TEST(a_large_table_with_one_idle_channel_serves_one_name_after_the_other)
{
	enum { CHANNELS = 4096, NAMES = 1500 };
	struct forebay *layer = attach(&(struct forebay_options){.size = 32 << 20,
	        .channels = CHANNELS,
	        .reply_channels = 64,
	        .capacity = 5,
	        .expiry = 86400});
	char name[32];

	for (int i = 0; i < CHANNELS - 1; i++) {
		snprintf(name, sizeof name, "busy.%d", i);
		EXPECT_INT(send_number(layer, name, i), 0);
	}
	for (int i = 0; i < NAMES; i++) {
		snprintf(name, sizeof name, "name.%d", i);
		EXPECT_INT(send_number(layer, name, i), 0);
		EXPECT_INT(forebay_flush(layer, name, NULL), 0);
	}
	// All busy: each send that is refused looks at a part of the table only.
	EXPECT_INT(send_number(layer, "the last", 0), 0);
	for (int i = 0; i < NAMES; i++) {
		snprintf(name, sizeof name, "refused.%d", i);
		EXPECT_INT(send_number(layer, name, i), FOREBAY_NO_CHANNEL);
		EXPECT(layer->table.hand[0].credit <= 2 * CHANNELS);
	}
	// One comes free, wherever it is: it is found within so many tries.
	EXPECT_INT(forebay_flush(layer, "busy.3000", NULL), 0);
	for (int i = 0; i < 2 * CHANNELS / 1024 && send_number(layer, "found", 0) != 0; i++)
		;
	EXPECT_INT(send_number(layer, "found", 0), 0);
	discard(layer);
}

TEST(a_reply_channels_name_stays_whole_when_its_prefix_is_forgotten)
{
	struct forebay *layer = attach_small();
	struct forebay_message *message;
	char first[FOREBAY_NAME_SIZE], name[FOREBAY_NAME_SIZE], prefix[32];

	EXPECT_INT(forebay_reply_open(layer, "first", 0, NULL, first), 0);
	EXPECT_INT(send_number(layer, first, 1), 0);
	EXPECT_INT(forebay_receive(layer, 0, &message), 0);
	EXPECT_INT(forebay_reply_close(layer, first), 0);
	for (int i = 0; i < 100; i++) {
		snprintf(prefix, sizeof prefix, "prefix%d", i);
		EXPECT_INT(forebay_reply_open(layer, prefix, 0, NULL, name), 0);
		EXPECT_INT(forebay_reply_close(layer, name), 0);
	}
	EXPECT_STRING(forebay_message_channel(message), first);
	forebay_message_free(message);
	discard(layer);
}
