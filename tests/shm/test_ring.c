// SPDX-License-Identifier: MIT
// The ring: order, capacity, late hints, the end of a generation, wrap-around; and with real threads,
// each with an attachment of its own, that nothing is lost, doubled or reordered.

#include "tests/shm/support_threads.h"

static struct attachment a;

static void begin(struct shm_ring *ring, uint32_t capacity)
{
	attach(&a);
	EXPECT_INT(shm_table_make(&a.table, "ring", capacity, 0, ring), SHM_OK);
}

static void end(void)
{
	detach(&a);
	discard();
}

TEST(messages_come_out_once_in_the_order_they_went_in)
{
	struct shm_ring ring;
	uint64_t value;

	begin(&ring, 100);
	EXPECT_INT(pop_number(&a, &ring, &value), SHM_EMPTY);
	for (uint64_t i = 0; i < 100; i++)
		EXPECT_INT(push_number(&a, &ring, i), SHM_OK);
	for (uint64_t i = 0; i < 100; i++) {
		EXPECT_INT(pop_number(&a, &ring, &value), SHM_OK);
		EXPECT_INT(value, i);
	}
	EXPECT_INT(pop_number(&a, &ring, &value), SHM_EMPTY);
	end();
}

TEST(capacity_is_exact_and_room_returns_with_each_message_taken)
{
	struct shm_ring ring;
	uint64_t value;

	for (uint32_t capacity = 1; capacity <= 128; capacity += 127) {
		begin(&ring, capacity);
		for (uint64_t i = 0; i < 1000; i++)
			EXPECT_INT(push_number(&a, &ring, i), i < capacity ? SHM_OK : SHM_FULL);
		EXPECT_INT(pop_number(&a, &ring, &value), SHM_OK);
		EXPECT_INT(push_number(&a, &ring, 1), SHM_OK);
		EXPECT_INT(push_number(&a, &ring, 1), SHM_FULL);
		end();
	}
}

TEST(positions_wrap_around_the_slots_thousands_of_times)
{
	struct shm_ring ring;
	uint64_t value, head, tail;

	begin(&ring, 3);
	for (uint64_t i = 0; i < 100000; i++) {
		EXPECT_INT(push_number(&a, &ring, i), SHM_OK);
		EXPECT_INT(pop_number(&a, &ring, &value), SHM_OK);
		EXPECT_INT(value, i);
	}
	EXPECT_INT(shm_ring_pending(&ring, &a.pool, &head, &tail), 0);
	EXPECT_INT(tail, 100000 + 128);
	end();
}

TEST(cycles_wrap_around_32_bits)
{
	struct shm_ring ring;
	uint64_t value, start = (0xffffffffull << SHM_NARROW_ORDER) - 5;

	begin(&ring, 100);
	// As if 2^39 messages had passed: every slot holds what the last lap left there.
	for (uint64_t pos = start - 128; pos < start; pos++)
		store_relaxed(
		        shm_ring_slot(&ring, pos), pos >> SHM_NARROW_ORDER << 32 | 0x7fffffff);
	store_relaxed(&ring.mem->head, start);
	store_relaxed(&ring.mem->tail, start);
	ring.head = start;
	for (uint64_t i = 0; i < 1000; i++) {
		EXPECT_INT(push_number(&a, &ring, i), SHM_OK);
		EXPECT_INT(pop_number(&a, &ring, &value), SHM_OK);
		EXPECT_INT(value, i);
	}
	end();
}

TEST(hints_that_are_late_by_anything_heal)
{
	struct shm_ring ring;
	uint64_t value, start;

	begin(&ring, 100);
	start = load_relaxed(&ring.mem->head);
	for (uint64_t i = 0; i < 1000; i++) {
		EXPECT_INT(push_number(&a, &ring, i), SHM_OK);
		// A process that died before it wrote its hint, or wrote one from long ago.
		if (i % 3 == 0)
			store_relaxed(&ring.mem->tail, start);
		if (i % 5 == 0)
			store_relaxed(&ring.mem->head, start + i / 2);
		if (i % 7 == 0)
			ring.head = start;
		EXPECT_INT(pop_number(&a, &ring, &value), SHM_OK);
		EXPECT_INT(value, i);
		if (i % 11 == 0)
			store_relaxed(&ring.mem->head, start);
		EXPECT_INT(pop_number(&a, &ring, &value), SHM_EMPTY);
	}
	end();
}

TEST(nonsense_in_slots_and_hints_ends_every_walk)
{
	struct shm_ring ring;
	uint64_t value, seed = 88172645463325252ull;

	begin(&ring, 100);
	for (int round = 0; round < 2000; round++) {
		for (int i = 0; i < 128; i++) {
			seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
			store_relaxed(&ring.slots[i], seed);
		}
		store_relaxed(&ring.mem->head, seed * 3);
		store_relaxed(&ring.mem->tail, seed * 5);
		(void)push_number(&a, &ring, 1);
		(void)pop_number(&a, &ring, &value);
		(void)shm_ring_oldest(&ring, &a.pool);
		(void)shm_ring_seal(&ring, &a.pool);
	}
	end();
}

TEST(a_sealed_ring_is_closed_for_its_generation_and_open_for_the_next)
{
	struct shm_ring ring, next;
	uint64_t value;

	begin(&ring, 100);
	EXPECT_INT(push_number(&a, &ring, 1), SHM_OK);
	EXPECT_INT(shm_ring_seal(&ring, &a.pool), SHM_FULL);
	EXPECT_INT(pop_number(&a, &ring, &value), SHM_OK);
	EXPECT_INT(shm_ring_seal(&ring, &a.pool), SHM_OK);
	EXPECT_INT(shm_ring_seal(&ring, &a.pool), SHM_OK);
	EXPECT_INT(push_number(&a, &ring, 2), SHM_CLOSED);
	EXPECT_INT(pop_number(&a, &ring, &value), SHM_CLOSED);
	EXPECT_INT(shm_table_end(&a.table, &ring, false, NULL), SHM_OK);
	EXPECT_INT(shm_table_make(&a.table, "other", 100, 0, &next), SHM_OK);
	while (next.id != ring.id)
		EXPECT_INT(shm_table_make(&a.table,
		                   (char[]){'x', (char)('0' + next.id % 64),
		                           (char)('0' + next.id / 64), 0},
		                   100, 0, &next),
		        SHM_OK);
	EXPECT_INT(push_number(&a, &next, 3), SHM_OK);
	EXPECT_INT(push_number(&a, &ring, 4), SHM_CLOSED);
	EXPECT_INT(pop_number(&a, &ring, &value), SHM_CLOSED);
	EXPECT_INT(pop_number(&a, &next, &value), SHM_OK);
	EXPECT_INT(value, 3);
	end();
}

// ---------------------------------------------------------------------------------------------
// Threads
// ---------------------------------------------------------------------------------------------

static void send_until_sent(
        struct attachment *mine, struct shm_ring *ring, uint32_t producer, uint64_t value)
{
	(void)producer;
	while (push_number(mine, ring, value) != SHM_OK)
		sched_yield();
}

TEST(threads_lose_double_and_reorder_nothing)
{
	struct shm_ring ring;

	begin(&ring, 50);
	run_crowd(&a, 50, send_until_sent);
	EXPECT(!crowd.disorder);
	for (int producer = 0; producer < PRODUCERS; producer++)
		for (int i = 0; i < EACH; i++)
			EXPECT_INT(crowd.seen[producer][i], 1);
	EXPECT_INT(used_blocks(&a), 0);
	end();
}
