// SPDX-License-Identifier: MIT
// The table: one channel a name, whoever makes it and whatever ends meanwhile.

#include <pthread.h>

#include "shm/link.h"
#include "tests/shm/support.h"

TEST(a_name_leads_to_one_channel_from_everywhere)
{
	struct attachment a, b;
	struct shm_ring first, second;

	attach(&a);
	attach(&b);
	EXPECT_INT(shm_table_find(&a.table, "x", &first), SHM_EMPTY);
	EXPECT_INT(shm_table_make(&a.table, "x", 10, 0, &first), SHM_OK);
	EXPECT_INT(shm_table_make(&b.table, "x", 20, 0, &second), SHM_OK);
	EXPECT_INT(first.id, second.id);
	EXPECT_INT(second.capacity, 10);
	EXPECT_INT(shm_table_find(&b.table, "y", &second), SHM_EMPTY);
	detach(&a);
	detach(&b);
	discard();
}

TEST(a_full_table_ends_idle_channels_and_says_so_when_there_are_none)
{
	struct attachment a;
	struct shm_ring ring;
	char name[32];
	int made = 0;

	attach(&a);
	for (int i = 0; i < 64; i++) {
		snprintf(name, sizeof name, "busy-%d", i);
		EXPECT_INT(shm_table_make(&a.table, name, 10, 0, &ring), SHM_OK);
		if (i < 62)
			EXPECT_INT(push_number(&a, &ring, 1), SHM_OK);
		if (i == 62)
			shm_table_listen(&a.table, &ring, a.self.slot);
	}
	// One is idle: it serves one name after the other.
	for (int i = 0; i < 10000; i++) {
		snprintf(name, sizeof name, "name-%d", i);
		made += shm_table_make(&a.table, name, 10, 0, &ring) == SHM_OK;
	}
	EXPECT_INT(made, 10000);
	EXPECT_INT(push_number(&a, &ring, 1), SHM_OK);
	EXPECT_INT(shm_table_make(&a.table, "one more", 10, 0, &ring), SHM_FULL);
	// Wide channels are counted apart.
	EXPECT_INT(shm_table_make(&a.table, "one more", 1000, 0, &ring), SHM_OK);
	detach(&a);
	discard();
}

TEST(an_ended_channels_name_starts_afresh_and_its_old_handle_is_closed)
{
	struct attachment a;
	struct shm_ring old, new;
	uint64_t value, dropped = 0;

	attach(&a);
	EXPECT_INT(shm_table_make(&a.table, "x", 10, 0, &old), SHM_OK);
	EXPECT_INT(push_number(&a, &old, 1), SHM_OK);
	EXPECT_INT(shm_table_end(&a.table, &old, false, NULL), SHM_FULL);
	EXPECT_INT(shm_table_end(&a.table, &old, true, &dropped), SHM_OK);
	EXPECT_INT(dropped, 1);
	EXPECT_INT(shm_table_end(&a.table, &old, true, &dropped), SHM_CLOSED);
	EXPECT_INT(shm_table_find(&a.table, "x", &new), SHM_EMPTY);
	EXPECT_INT(shm_table_make(&a.table, "x", 10, 0, &new), SHM_OK);
	EXPECT_INT(push_number(&a, &old, 2), SHM_CLOSED);
	EXPECT_INT(pop_number(&a, &new, &value), SHM_EMPTY);
	EXPECT_INT(used_blocks(&a), 0);
	detach(&a);
	discard();
}

// Makes NAME in the entry of RING and nowhere else, which has been used USES times since.
static void make_again(
        struct attachment *at, const char *name, uint32_t uses, struct shm_ring *ring)
{
	struct shm_channel_mem *channel = &at->segment.channel[ring->id];
	uint64_t nobody = 0;
	struct shm_ring other = {.id = UINT32_MAX};

	store_relaxed(&channel->ring.generation, ring->generation + uses);
	for (int i = 0; i < 1000 && other.id != ring->id; i++) {
		if (other.mem)
			EXPECT_INT(shm_table_end(&at->table, &other, true, &nobody), SHM_OK);
		EXPECT_INT(shm_table_make(&at->table, name, 10, 0, &other), SHM_OK);
	}
	EXPECT_INT(other.id, ring->id);
	*ring = other;
}

// Who would mark a channel's link, to unlink it, may be stopped just before. Meanwhile the channel ends, and its entry is
// used over and over again; one day it stands before the same neighbour as it did then.
TEST(a_late_mark_never_meets_a_later_use_of_its_entry)
{
	static const uint32_t uses[] = {1, 2, 1023, 1024, 1025, 2048, 1 << 20, 1 << 21, 1u << 31};

	for (size_t i = 0; i < sizeof uses / sizeof *uses; i++) {
		struct shm_ring neighbour, ring, found;
		struct attachment a;
		uint64_t seen;
		char name[32];

		attach(&a);
		EXPECT_INT(shm_table_make(&a.table, "neighbour", 10, 0, &neighbour), SHM_OK);
		for (int k = 0;; k++) { // in the same list
			snprintf(name, sizeof name, "name-%d", k);
			if (((shm_table_hash(name) ^ shm_table_hash("neighbour")) &
			            a.segment.bucket_mask) == 0)
				break;
		}
		EXPECT_INT(shm_table_make(&a.table, name, 10, 0, &ring), SHM_OK);
		seen = load_acquire(&a.segment.channel[ring.id].link);
		EXPECT_INT(LINK_TARGET(seen), neighbour.id + 1);
		EXPECT_INT(shm_table_end(&a.table, &ring, false, NULL), SHM_OK);
		make_again(&a, name, uses[i], &ring);
		(void)cas_acq_rel(&a.segment.channel[ring.id].link, &seen, seen | LINK_MARK);
		EXPECT_INT(shm_table_find(&a.table, name, &found), SHM_OK);
		EXPECT_INT(found.id, ring.id);
		detach(&a);
		discard();
	}
}

TEST(a_list_that_was_tied_into_a_knot_ends_every_search)
{
	for (uint64_t marks = 0; marks < 4; marks++) {
		struct attachment a;
		struct shm_ring first, second, ring;
		struct shm_channel_mem *one, *two;
		shm_atomic64 *bucket;

		attach(&a);
		EXPECT_INT(shm_table_make(&a.table, "one", 10, 0, &first), SHM_OK);
		EXPECT_INT(shm_table_make(&a.table, "two", 10, 0, &second), SHM_OK);
		one = &a.segment.channel[first.id], two = &a.segment.channel[second.id];
		for (uint32_t i = 0; i <= a.segment.bucket_mask; i++)
			store_relaxed(&a.segment.buckets[i], link_to(first.id, first.generation));
		bucket = &a.segment.buckets[0];
		store_relaxed(&one->link, link_to(second.id, first.generation) | (marks & 1));
		store_relaxed(&two->link, link_to(first.id, second.generation) | marks >> 1);
		(void)shm_table_find(&a.table, "three", &ring);
		(void)shm_table_make(&a.table, "three", 10, 0, &ring);
		(void)shm_table_unlink(&a.table, &first);
		store_relaxed(bucket, link_to(second.id, second.generation));
		(void)shm_table_end(&a.table, &second, true, NULL);
		detach(&a);
		discard();
	}
}

// ---------------------------------------------------------------------------------------------
// Threads make and end the same few names
// ---------------------------------------------------------------------------------------------

enum {
	THREADS = 4,
	ROUNDS = 4000,
	NAMES = 5,
};

static struct attachment a;
static _Atomic uint32_t sent, taken;

static void *churn(void *argument)
{
	unsigned seed = (unsigned)(uintptr_t)argument + 1;
	struct attachment mine;

	attach_thread(&mine, &a);
	for (int i = 0; i < ROUNDS; i++) {
		char name[8] = {'n', (char)('0' + rand_r(&seed) % NAMES)};
		struct shm_ring ring;
		uint64_t value;

		if (shm_table_make(&mine.table, name, 10, 0, &ring) != SHM_OK)
			continue;
		if (push_number(&mine, &ring, 1) == SHM_OK)
			sent++;
		if (pop_number(&mine, &ring, &value) == SHM_OK)
			taken++;
		(void)shm_table_end(&mine.table, &ring, false, NULL);
	}
	leave(&mine);
	return NULL;
}

TEST(threads_that_make_and_end_the_same_names_lose_no_message_and_no_channel)
{
	pthread_t threads[THREADS];
	uint32_t occupied = 0;

	attach(&a);
	for (uintptr_t i = 0; i < THREADS; i++)
		EXPECT(pthread_create(&threads[i], NULL, churn, (void *)i) == 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < NAMES; i++) {
		struct shm_ring ring;
		uint64_t value;

		if (shm_table_find(&a.table, (char[]){'n', (char)('0' + i), 0}, &ring) != SHM_OK)
			continue;
		while (pop_number(&a, &ring, &value) == SHM_OK)
			taken++;
		EXPECT_INT(shm_table_end(&a.table, &ring, false, NULL), SHM_OK);
	}
	for (uint32_t i = 0; i < a.segment.channels; i++)
		occupied += load_relaxed(&a.segment.channel[i].owner) != SHM_CHANNEL_FREE;
	EXPECT_INT(taken, sent);
	EXPECT_INT(occupied, 0);
	EXPECT_INT(used_blocks(&a), 0);
	detach(&a);
	discard();
}
