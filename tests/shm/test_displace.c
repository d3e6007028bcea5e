// SPDX-License-Identifier: MIT
// Sending into a full channel that makes room by itself: what goes, what stays, and that every message is either
// received once or counted as displaced once, whoever sends and receives at the same time.

#include "shm/displace.h"
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

static uint64_t displaced(const struct shm_segment *segment)
{
	uint64_t sum = 0;

	for (uint32_t slot = 0; slot < SHM_PROCESSES; slot++)
		sum += load_relaxed(&segment->processes[slot].counters[SHM_COUNT_DISPLACED]);
	return sum;
}

static enum shm_result send(struct attachment *attachment, struct shm_ring *ring,
        enum shm_policy policy, uint64_t value)
{
	struct shm_buffer buffer;
	enum shm_result result;

	if (!shm_pool_alloc(&attachment->pool, sizeof value, &buffer))
		return SHM_EMPTY;
	memcpy(buffer.span[0].data, &value, sizeof value);
	result = shm_displace_push(&attachment->table, ring, policy, buffer.handle,
	        shm_pool_block(&attachment->pool, buffer.handle));
	if (result != SHM_OK)
		shm_pool_free(&attachment->pool, buffer.handle);
	return result;
}

// Receives all and expects FIRST to LAST, and nothing else.
static void expect_waiting(struct shm_ring *ring, uint64_t first, uint64_t last)
{
	uint64_t value;

	for (uint64_t i = first; i <= last; i++) {
		EXPECT_INT(pop_number(&a, ring, &value), SHM_OK);
		EXPECT_INT(value, i);
	}
	EXPECT_INT(pop_number(&a, ring, &value), SHM_EMPTY);
}

TEST(refuse_displaces_nothing)
{
	struct shm_ring ring;

	begin(&ring, 3);
	for (uint64_t i = 0; i < 5; i++)
		EXPECT_INT(send(&a, &ring, SHM_REFUSE, i), i < 3 ? SHM_OK : SHM_FULL);
	EXPECT_INT(displaced(&a.segment), 0);
	expect_waiting(&ring, 0, 2);
	end();
}

TEST(drop_oldest_keeps_the_newest_of_a_capacity_in_order)
{
	static const uint32_t capacities[] = {1, 2, 100, 128};

	for (size_t i = 0; i < sizeof capacities / sizeof *capacities; i++) {
		uint32_t capacity = capacities[i];
		struct shm_ring ring;

		begin(&ring, capacity);
		for (uint64_t n = 0; n < 1000; n++) {
			EXPECT_INT(send(&a, &ring, SHM_DROP_OLDEST, n), SHM_OK);
			EXPECT_INT(displaced(&a.segment), n < capacity ? 0 : n + 1 - capacity);
		}
		EXPECT_INT(shm_tally_count(&a.segment.channel[ring.id].tally, ring.generation,
		                   SHM_COUNT_DISPLACED),
		        1000 - capacity);
		expect_waiting(&ring, 1000 - capacity, 999);
		EXPECT_INT(used_blocks(&a), 0);
		end();
	}
}

TEST(keep_latest_drops_all_that_waits_when_full_and_only_then)
{
	struct shm_ring ring;

	begin(&ring, 4);
	for (uint64_t n = 0; n < 4; n++)
		EXPECT_INT(send(&a, &ring, SHM_KEEP_LATEST, n), SHM_OK);
	EXPECT_INT(displaced(&a.segment), 0);
	EXPECT_INT(send(&a, &ring, SHM_KEEP_LATEST, 4), SHM_OK);
	EXPECT_INT(displaced(&a.segment), 4);
	EXPECT_INT(send(&a, &ring, SHM_KEEP_LATEST, 5), SHM_OK);
	expect_waiting(&ring, 4, 5);
	end();
}

TEST(what_was_seen_full_and_has_room_by_now_loses_nothing)
{
	struct shm_ring ring, other;
	uint64_t value;

	begin(&ring, 2);
	EXPECT_INT(push_number(&a, &ring, 0), SHM_OK);
	EXPECT_INT(push_number(&a, &ring, 1), SHM_OK);
	// This one has seen it full; another makes room and uses it before this one comes to displace.
	other = ring;
	EXPECT_INT(push_number(&a, &other, 9), SHM_FULL);
	EXPECT_INT(pop_number(&a, &ring, &value), SHM_OK);
	EXPECT_INT(push_number(&a, &ring, 2), SHM_OK);
	uint32_t handle;
	EXPECT_INT(shm_ring_pop_before(&other, &a.pool, other.full_at - 2 + 1, &handle), SHM_EMPTY);
	// To keep the latest, all may go that was sent by then, and no later one.
	EXPECT_INT(shm_ring_pop_before(&other, &a.pool, other.full_at, &handle), SHM_OK);
	shm_pool_free(&a.pool, handle);
	EXPECT_INT(shm_ring_pop_before(&other, &a.pool, other.full_at, &handle), SHM_EMPTY);
	expect_waiting(&ring, 2, 2);
	end();
}

TEST(late_hints_dont_make_more_go)
{
	struct shm_ring ring;
	uint64_t start;

	begin(&ring, 5);
	start = load_relaxed(&ring.mem->head);
	for (uint64_t n = 0; n < 1000; n++) {
		EXPECT_INT(send(&a, &ring, SHM_DROP_OLDEST, n), SHM_OK);
		if (n % 3 == 0)
			store_relaxed(&ring.mem->tail, start);
		if (n % 5 == 0)
			store_relaxed(&ring.mem->head, start);
		if (n % 7 == 0)
			ring.head = start;
	}
	EXPECT_INT(displaced(&a.segment), 995);
	expect_waiting(&ring, 995, 999);
	end();
}

TEST(scribbled_rings_end_every_send)
{
	struct shm_ring ring;
	uint64_t seed = 88172645463325252ull;

	begin(&ring, 100);
	for (int round = 0; round < 200; round++) {
		for (int i = 0; i < 128; i++) {
			seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
			store_relaxed(&ring.slots[i], seed);
		}
		store_relaxed(&ring.mem->head, seed * 3);
		store_relaxed(&ring.mem->tail, seed * 5);
		ring.capacity = (uint32_t)(seed % 3);
		(void)send(&a, &ring, SHM_DROP_OLDEST, 1);
		(void)send(&a, &ring, SHM_KEEP_LATEST, 1);
		(void)shm_displace_for_memory(&a.table, &ring, 8);
	}
	end();
}

TEST(memory_is_taken_from_the_oldest_if_it_is_of_use)
{
	struct attachment b;
	struct shm_ring ring;
	struct shm_buffer buffer;

	begin(&ring, 100);
	attach(&b);
	EXPECT(!shm_displace_for_memory(&a.table, &ring, 8));
	EXPECT_INT(send(&b, &ring, SHM_DROP_OLDEST, 1), SHM_OK);
	EXPECT_INT(send(&a, &ring, SHM_DROP_OLDEST, 2), SHM_OK);
	EXPECT(!shm_displace_for_memory(&a.table, &ring, 8));    // in a zone of b's
	EXPECT(!shm_displace_for_memory(&b.table, &ring, 5000)); // too small
	EXPECT(shm_displace_for_memory(&b.table, &ring, 8));
	EXPECT(shm_displace_for_memory(&a.table, &ring, 8));
	EXPECT_INT(displaced(&a.segment), 2);
	EXPECT_INT(used_blocks(&a), 0);
	// A head of extents is of use for another one.
	EXPECT(shm_pool_alloc(&a.pool, 70000, &buffer));
	EXPECT_INT(shm_ring_push(
	                   &ring, &a.pool, buffer.handle, shm_pool_block(&a.pool, buffer.handle)),
	        SHM_OK);
	EXPECT(shm_displace_for_memory(&a.table, &ring, 70000));
	EXPECT_INT(used_blocks(&a), 0);
	detach(&b);
	end();
}

// ---------------------------------------------------------------------------------------------
// Threads
// ---------------------------------------------------------------------------------------------

static _Atomic uint32_t refused;

// Producers of both policies meet in one ring; the last one keeps the latest.
static void send_anyhow(
        struct attachment *mine, struct shm_ring *ring, uint32_t producer, uint64_t value)
{
	enum shm_policy policy = producer == PRODUCERS - 1 ? SHM_KEEP_LATEST : SHM_DROP_OLDEST;

	if (send(mine, ring, policy, value) != SHM_OK)
		refused++;
}

TEST(threads_receive_once_or_displace_once)
{
	uint64_t received = 0;
	struct shm_ring ring;

	begin(&ring, 8);
	run_crowd(&a, 8, send_anyhow);
	EXPECT(!crowd.disorder);
	for (int producer = 0; producer < PRODUCERS; producer++) {
		for (int i = 0; i < EACH; i++) {
			EXPECT(crowd.seen[producer][i] <= 1);
			received += crowd.seen[producer][i];
		}
	}
	EXPECT_INT(received + displaced(&a.segment) + refused, PRODUCERS * EACH);
	EXPECT_INT(used_blocks(&a), 0);
	end();
}
