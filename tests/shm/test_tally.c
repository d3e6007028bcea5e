// SPDX-License-Identifier: MIT
#include "shm/tally.h"

#include <pthread.h>

#include "shm/clock.h"
#include "tests/shm/support.h"

#define START 5000000 // ms; any time

// ---------------------------------------------------------------------------------------------
// Rates
// ---------------------------------------------------------------------------------------------

static int64_t rate(const struct shm_pace_mem *pace, uint64_t number, int64_t now)
{
	return (int64_t)(shm_pace_rate(pace, number, number, now) * 10 + 0.5); // in tenths
}

TEST(what_has_just_begun_counts_in_full_until_a_second_has_gone_by)
{
	struct shm_pace_mem pace = {0};

	shm_pace_begin(&pace, 0, START);
	EXPECT_INT(rate(&pace, 0, START), 0);
	EXPECT_INT(rate(&pace, 7, START), 70);
	EXPECT_INT(rate(&pace, 7, START + 999), 70);
	EXPECT_INT(rate(&pace, 7, START + 2000), 35);
}

TEST(a_steady_stream_has_its_rate_at_any_moment)
{
	struct shm_pace_mem pace = {0};

	shm_pace_begin(&pace, 0, START);
	for (int64_t at = 0; at <= 20000; at += 125) {
		if (at % 1000 == 0)
			shm_pace_mark(&pace, (uint64_t)at / 25, START + at);
		if (at >= 1000)
			EXPECT_INT(rate(&pace, (uint64_t)at / 25, START + at), 400);
	}
}

TEST(what_was_a_burst_is_gone_from_the_rate_two_seconds_later)
{
	struct shm_pace_mem pace = {0};

	shm_pace_begin(&pace, 0, START);
	shm_pace_mark(&pace, 0, START + 1000);
	EXPECT_INT(rate(&pace, 500, START + 1500), 5000);
	shm_pace_mark(&pace, 500, START + 2000);
	EXPECT_INT(rate(&pace, 500, START + 2000), 5000);
	EXPECT_INT(rate(&pace, 500, START + 2500), 2500);
	shm_pace_mark(&pace, 500, START + 3000);
	EXPECT_INT(rate(&pace, 500, START + 3000), 0);
}

TEST(when_nobody_leaves_marks_any_more_the_rate_goes_down_to_nothing)
{
	struct shm_pace_mem pace = {0};
	int64_t before = INT64_MAX, now;

	shm_pace_begin(&pace, 0, START);
	shm_pace_mark(&pace, 1000, START + 1000);
	for (now = START + 1000; now < START + 100000; now += 777) {
		EXPECT(rate(&pace, 2000, now) <= before);
		before = rate(&pace, 2000, now);
	}
	EXPECT(before < 110);
	EXPECT_INT(rate(&pace, 2000, START + 1000ll * 86400 * 20), 0);
}

TEST(after_a_long_silence_what_comes_is_not_thinned_out_by_it)
{
	struct shm_pace_mem pace = {0};

	shm_pace_begin(&pace, 0, START);
	shm_pace_mark(&pace, 100, START + 1000);
	// An hour later somebody sends, and leaves a mark behind his first message.
	shm_pace_mark(&pace, 101, START + 3600000);
	EXPECT_INT(rate(&pace, 400, START + 3600300), 2990);
	shm_pace_mark(&pace, 400, START + 3601000);
	EXPECT_INT(rate(&pace, 400, START + 3601000), 2990);
}

TEST(numbers_and_times_wrap_around_in_marks_unnoticed)
{
	struct shm_pace_mem pace = {0};
	uint64_t number = (5ull << 32) - 50;
	int64_t now = (7ll << 32) - 500;

	shm_pace_begin(&pace, number - 300, now - 1000);
	shm_pace_mark(&pace, number, now);
	EXPECT_INT(rate(&pace, number, now), 3000);
	EXPECT_INT(rate(&pace, number + 100, now + 1000), 1000);
	shm_pace_mark(&pace, number + 100, now + 1000);
	EXPECT_INT(rate(&pace, number + 100, now + 1000), 1000);
}

TEST(a_mark_left_late_by_who_was_stopped_gives_an_average_over_its_age)
{
	struct shm_pace_mem pace = {0};

	shm_pace_begin(&pace, 0, START);
	for (int64_t i = 1; i <= 60; i++)
		shm_pace_mark(&pace, (uint64_t)i * 100, START + i * 1000);
	// It had read number and time a minute ago, and stores them now, over either mark.
	for (int word = 0; word < 2; word++) {
		struct shm_pace_mem late = pace;
		int64_t found;

		store_relaxed(&late.mark[word], (uint64_t)START << 32);
		found = rate(&late, 6000, START + 60000);
		EXPECT(found == 1000);
		// The next mark takes its place.
		shm_pace_mark(&late, 6100, START + 61000);
		EXPECT_INT(rate(&late, 6100, START + 61000), 1000);
		shm_pace_mark(&late, 6200, START + 62000);
		EXPECT_INT(rate(&late, 6250, START + 62500), 1000);
	}
}

// A message that is moved has two positions before it is counted as moved.
TEST(what_was_marked_too_high_makes_no_rate)
{
	struct shm_pace_mem pace = {0};

	shm_pace_begin(&pace, 0, START);
	shm_pace_mark(&pace, 1001, START + 1000);
	EXPECT_INT(rate(&pace, 1000, START + 1500), 5000);
	shm_pace_mark(&pace, 1000, START + 2000);
	EXPECT_INT(rate(&pace, 1000, START + 2500), 0);
}

TEST(whatever_the_marks_say_the_rate_is_between_nothing_and_all)
{
	struct shm_pace_mem pace;
	uint64_t seed = 1;

	for (int i = 0; i < 100000; i++) {
		double found;

		for (int word = 0; word < 2; word++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			store_relaxed(&pace.mark[word], seed ^ seed >> 29);
		}
		found = shm_pace_rate(&pace, seed >> 7, i, (int64_t)(seed >> 20));
		EXPECT(found >= 0 && found <= i);
	}
}

TEST(a_mark_from_the_future_is_the_first_to_be_replaced)
{
	struct shm_pace_mem pace = {0};

	store_relaxed(&pace.mark[0], (uint64_t)(START + 9000000) << 32 | 5);
	shm_pace_mark(&pace, 10, START);
	EXPECT_INT(rate(&pace, 10, START), 0);
	shm_pace_mark(&pace, 110, START + 1000);
	EXPECT_INT(rate(&pace, 110, START + 1000), 1000);
}

// ---------------------------------------------------------------------------------------------
// Counts
// ---------------------------------------------------------------------------------------------

TEST(a_count_is_of_one_generation_and_who_comes_late_counts_nothing)
{
	struct shm_tally_mem tally = {0};

	EXPECT_INT(shm_tally_count(&tally, 0, SHM_COUNT_FULL), 0);
	shm_tally_add(&tally, 0, SHM_COUNT_FULL, 2);
	shm_tally_add(&tally, 0, SHM_COUNT_EXPIRED, 1);
	EXPECT_INT(shm_tally_count(&tally, 0, SHM_COUNT_FULL), 2);
	EXPECT_INT(shm_tally_count(&tally, 1, SHM_COUNT_FULL), 0);
	shm_tally_add(&tally, 1, SHM_COUNT_FULL, 5);
	shm_tally_add(&tally, 0, SHM_COUNT_FULL, 1);
	EXPECT_INT(shm_tally_count(&tally, 1, SHM_COUNT_FULL), 5);
	EXPECT_INT(shm_tally_count(&tally, 0, SHM_COUNT_FULL), 0);
	EXPECT_INT(shm_tally_count(&tally, 0, SHM_COUNT_EXPIRED), 1);
}

TEST(generations_that_nobody_counted_in_do_not_matter_however_many)
{
	static const uint32_t generations[] = {
	        1, 1000, 0x7fffff, 0x800001, 0xff0000, 0x1000005, 0x80010000, 0xffffffff, 0x20000};
	struct shm_tally_mem tally = {0};

	for (size_t i = 0; i < sizeof generations / sizeof *generations; i++) {
		shm_tally_add(&tally, generations[i], SHM_COUNT_LOST, 1);
		EXPECT_INT(shm_tally_count(&tally, generations[i], SHM_COUNT_LOST), 1);
	}
}

TEST(what_a_channel_does_not_keep_is_not_counted_anywhere)
{
	const struct shm_tally_mem nothing = {0};
	struct shm_tally_mem tally = {0};

	for (int counter = 0; counter < SHM_COUNTERS; counter++) {
		bool kept;

		shm_tally_add(&tally, 0, (enum shm_counter)counter, 1);
		kept = memcmp(&tally, &nothing, sizeof tally) != 0;
		EXPECT_INT(shm_tally_count(&tally, 0, (enum shm_counter)counter), kept);
		tally = nothing;
	}
}

enum {
	THREADS = 4,
	ROUNDS = 20000,
};

static void *count_much(void *tally)
{
	for (int i = 0; i < ROUNDS; i++)
		shm_tally_add(tally, 3, i % 2 ? SHM_COUNT_FULL : SHM_COUNT_GONE, 1);
	return NULL;
}

TEST(what_several_count_at_a_time_is_exact)
{
	struct shm_tally_mem tally = {0};
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, count_much, &tally);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	EXPECT_INT(shm_tally_count(&tally, 3, SHM_COUNT_FULL), THREADS * ROUNDS / 2);
	EXPECT_INT(shm_tally_count(&tally, 3, SHM_COUNT_GONE), THREADS * ROUNDS / 2);
}

// ---------------------------------------------------------------------------------------------
// Of channels
// ---------------------------------------------------------------------------------------------

static uint64_t lost(const struct attachment *a, const struct shm_ring *ring)
{
	return shm_tally_count(
	        &a->segment.channel[ring->id].tally, ring->generation, SHM_COUNT_LOST);
}

TEST(what_the_dead_had_received_is_lost_of_its_channel_and_what_they_were_making_is_not)
{
	struct attachment a, b;
	struct shm_reaped reaped = {0};
	struct shm_buffer buffer;
	struct shm_ring ring;
	uint32_t handle;

	attach(&a);
	attach_thread(&b, &a);
	EXPECT_INT(shm_table_make(&a.table, "x", 100, 0, &ring), SHM_OK);
	for (int i = 0; i < 3; i++)
		EXPECT_INT(push_number(&a, &ring, 1), SHM_OK);
	EXPECT_INT(shm_ring_pop(&ring, &b.pool, &handle), SHM_OK);
	EXPECT_INT(shm_ring_pop(&ring, &b.pool, &handle), SHM_OK);
	shm_pool_free(&b.pool, handle);
	EXPECT(shm_pool_alloc(&b.pool, 8, &buffer)); // perhaps the very block just freed
	shm_reaper_release(&a.table, b.self.slot, &reaped);
	EXPECT_INT(reaped.messages, 2);
	EXPECT_INT(lost(&a, &ring), 1);
	EXPECT_INT(load_relaxed(&a.self.mem->counters[SHM_COUNT_LOST]), 2);
	leave(&b);
	detach(&a);
	discard();
}

TEST(what_was_lost_of_a_channel_that_has_ended_is_not_its_successors)
{
	struct attachment a, b;
	struct shm_reaped reaped = {0};
	struct shm_ring ring, later;
	uint32_t handle;

	attach(&a);
	attach_thread(&b, &a);
	EXPECT_INT(shm_table_make(&a.table, "x", 100, 0, &ring), SHM_OK);
	EXPECT_INT(push_number(&a, &ring, 1), SHM_OK);
	EXPECT_INT(shm_ring_pop(&ring, &b.pool, &handle), SHM_OK);
	EXPECT_INT(shm_table_end(&a.table, &ring, false, NULL), SHM_OK);
	// Until the same entry comes again.
	for (int i = 0; i < 1000; i++) {
		char name[16];

		snprintf(name, sizeof name, "y%d", i);
		EXPECT_INT(shm_table_make(&a.table, name, 100, 0, &later), SHM_OK);
		if (later.id == ring.id)
			break;
	}
	EXPECT_INT(later.id, ring.id);
	shm_reaper_release(&a.table, b.self.slot, &reaped);
	EXPECT_INT(reaped.messages, 1);
	EXPECT_INT(lost(&a, &later), 0);
	leave(&b);
	detach(&a);
	discard();
}

TEST(a_tail_that_a_stopped_sender_has_set_back_does_not_count_anything_twice)
{
	struct attachment a;
	struct shm_ring ring;
	uint64_t value, tail;

	attach(&a);
	EXPECT_INT(shm_table_make(&a.table, "x", 100, 0, &ring), SHM_OK);
	tail = shm_ring_tail(&ring);
	EXPECT_INT(tail, load_relaxed(&a.segment.channel[ring.id].base));
	for (int i = 0; i < 1000; i++) {
		EXPECT_INT(push_number(&a, &ring, 1), SHM_OK);
		EXPECT_INT(pop_number(&a, &ring, &value), SHM_OK);
	}
	EXPECT_INT(shm_ring_tail(&ring), tail + 1000);
	store_relaxed(&ring.mem->tail, tail + 5);
	EXPECT_INT(shm_ring_tail(&ring), tail + 1000);
	store_relaxed(&ring.mem->tail, tail + 999);
	EXPECT_INT(shm_ring_tail(&ring), tail + 1000);
	detach(&a);
	discard();
}
