// SPDX-License-Identifier: MIT
// What a process that is killed leaves behind comes back; what it had sent stays.

#include <pthread.h>
#include <sched.h>

#include "tests/shm/support.h"

static void hold_everything(struct attachment *child)
{
	struct shm_buffer buffer;
	struct shm_ring ring, stream, inbox;
	struct shm_block_mem *block;
	uint32_t handle, scan = 0;

	// Sent, and to be received after the death.
	if (shm_table_make(&child->table, "kept", 10, 0, &ring) != SHM_OK)
		abort();
	for (uint64_t i = 1; i <= 4; i++)
		if (push_number(child, &ring, i) != SHM_OK)
			abort();
	// Received, not freed.
	if (shm_ring_pop(&ring, &child->pool, &handle) != SHM_OK)
		abort();
	// Being built, small and large.
	if (!shm_pool_alloc(&child->pool, 100, &buffer) ||
	        !shm_pool_alloc(&child->pool, 300000, &buffer))
		abort();
	// About to be published: it says SENT, but no slot holds it.
	if (!shm_pool_alloc(&child->pool, 200000, &buffer))
		abort();
	block = shm_pool_block(&child->pool, buffer.handle);
	store_relaxed(&block->own, SHM_OWN_SENT(ring.id, load_relaxed(&ring.mem->tail)));
	// A stream and an inbox with messages in them, a waiter bit, endpoints.
	if (shm_table_make(&child->table, "stream", 10, child->self.uid, &stream) != SHM_OK ||
	        shm_table_make_inbox(&child->table, "inbox", 10, &inbox) != SHM_OK ||
	        push_number(child, &stream, 1) != SHM_OK || push_number(child, &inbox, 1) != SHM_OK)
		abort();
	shm_table_listen(&child->table, &ring, child->self.slot);
	if (shm_endpoint_take_zone(&child->segment, child->self.uid, &scan) != 0)
		abort();
	shm_endpoint_open(&child->segment, 3, inbox.id, 5, 0);
}

TEST(everything_a_killed_process_held_comes_back)
{
	struct attachment a;
	struct shm_reaped reaped = {0};
	struct shm_ring ring;
	uint64_t value, generation;
	uint32_t scan = 0;

	attach(&a);
	EXPECT(run_and_kill(hold_everything));
	EXPECT(!test_failed());
	generation = SHM_ENDPOINT_GENERATION(load_relaxed(&a.segment.endpoint[3].state));
	EXPECT_INT(shm_endpoint_look(&a.segment, 3, generation), SHM_OK);
	shm_reaper_run(&a.table, &reaped);
	EXPECT_INT(reaped.processes, 1);
	EXPECT_INT(shm_endpoint_look(&a.segment, 3, generation), SHM_CLOSED);
	EXPECT_INT(shm_endpoint_take_zone(&a.segment, a.self.uid, &scan), 0);
	EXPECT_INT(shm_table_find(&a.table, "stream", &ring), SHM_EMPTY);
	EXPECT_INT(shm_table_find(&a.table, "kept", &ring), SHM_OK);
	EXPECT_INT(load_relaxed(&a.segment.channel[ring.id].receivers[0]), 0);
	for (uint64_t i = 2; i <= 4; i++) {
		EXPECT_INT(pop_number(&a, &ring, &value), SHM_OK);
		EXPECT_INT(value, i);
	}
	EXPECT_INT(used_blocks(&a), 0);
	EXPECT_INT(reaped.messages,
	        6); // received 1, being built 2, about to be sent 1, stream 1, inbox 1
	shm_reaper_run(&a.table, &reaped);
	EXPECT_INT(reaped.processes, 1);
	detach(&a);
	discard();
}

// Where a sender is killed.
static enum {
	HELD,      // what it was about to publish is its own
	UNHELD,    // or says that it was sent, but isn't
	PUBLISHED, // and not counted
	RECEIVED,  // the same, and somebody has received it since
	COUNTED,
	REFUSED, // it says that nothing came of it
	DEATHS,
} death;

static void die_sending(struct attachment *child)
{
	struct shm_buffer buffer;
	struct shm_block_mem *block;
	struct shm_ring ring;

	if (shm_table_make(&child->table, "x", 10, 0, &ring) != SHM_OK ||
	        !shm_pool_alloc(&child->pool, 100, &buffer))
		abort();
	block = shm_pool_block(&child->pool, buffer.handle);
	shm_process_sends(&child->self, buffer.handle);
	if (death == UNHELD)
		store_relaxed(&block->own, SHM_OWN_SENT(ring.id, load_relaxed(&ring.mem->tail)));
	else if (death == REFUSED)
		shm_process_sent(&child->self, false);
	else if (death != HELD &&
	         shm_ring_push(&ring, &child->pool, buffer.handle, block) != SHM_OK)
		abort();
	if (death == COUNTED)
		shm_process_sent(&child->self, true);
	if (death == REFUSED)
		shm_pool_free(&child->pool, buffer.handle);
}

// As a reaper that dies before it has said that it is done.
static void release(struct attachment *a, uint32_t slot)
{
	struct shm_reaped reaped = {0};

	EXPECT(shm_process_lock(&a->self, slot));
	shm_reaper_release(&a->table, slot, &reaped);
	shm_process_unlock(&a->self, slot);
}

TEST(what_a_killed_sender_had_published_is_counted_once_whoever_is_killed_reaping_it)
{
	static const uint64_t sent[DEATHS] = {[PUBLISHED] = 1, [RECEIVED] = 1, [COUNTED] = 1};

	for (death = 0; death < DEATHS; death++) {
		struct attachment a;
		struct shm_ring ring;
		uint32_t slot, handle;

		attach(&a);
		slot = a.self.slot + 1;
		EXPECT(run_and_kill(die_sending));
		EXPECT(load_relaxed(&a.segment.processes[slot].uid) != 0);
		if (death == RECEIVED) {
			EXPECT_INT(shm_table_find(&a.table, "x", &ring), SHM_OK);
			EXPECT_INT(shm_ring_pop(&ring, &a.pool, &handle), SHM_OK);
			shm_pool_free(&a.pool, handle);
		}
		for (int again = 0; again < 3; again++) {
			release(&a, slot);
			EXPECT(!test_failed());
			EXPECT_INT(
			        load_relaxed(&a.segment.processes[slot].counters[SHM_COUNT_SENT]),
			        sent[death]);
		}
		detach(&a);
		discard();
	}
}

static void take_zones(struct attachment *child)
{
	struct shm_buffer buffer;

	while (shm_pool_alloc(&child->pool, 60000, &buffer))
		;
}

TEST(whoever_gets_a_dead_processes_slot_mends_it)
{
	struct attachment a;
	struct shm_reaped reaped = {0};

	attach(&a);
	detach(&a);
	EXPECT(run_and_kill(take_zones));
	attach(&a);
	EXPECT_INT(a.self.slot, 0);
	EXPECT_INT(shm_pool_used(&a.pool, 2), 32);
	shm_reaper_release(&a.table, a.self.slot, &reaped);
	EXPECT_INT(used_blocks(&a), 0);
	detach(&a);
	discard();
}

TEST(the_living_are_not_reaped_even_when_stopped)
{
	struct attachment a;
	struct shm_reaped reaped = {0};
	struct shm_buffer buffer;
	struct attachment b;

	attach(&a);
	attach(&b);
	EXPECT(shm_pool_alloc(&b.pool, 100, &buffer));
	EXPECT(shm_process_alive(&a.self, b.self.slot));
	shm_reaper_run(&a.table, &reaped);
	EXPECT_INT(reaped.processes, 0);
	EXPECT_INT(used_blocks(&a), 1);
	detach(&b);
	EXPECT(!shm_process_alive(&a.self, 1));
	EXPECT_INT(used_blocks(&a), 0);
	detach(&a);
	discard();
}

TEST(messages_older_than_the_limit_are_freed_and_younger_ones_stay)
{
	struct attachment a;
	struct shm_ring ring;
	uint64_t value;

	attach(&a);
	EXPECT_INT(shm_table_make(&a.table, "x", 10, 0, &ring), SHM_OK);
	for (int64_t i = 1; i <= 5; i++) {
		struct shm_buffer buffer;
		struct shm_block_mem *block;

		EXPECT(shm_pool_alloc(&a.pool, 8, &buffer));
		block = shm_pool_block(&a.pool, buffer.handle);
		memcpy(buffer.span[0].data, &i, sizeof i);
		store_relaxed(&block->sent_at, (uint64_t)i * 1000);
		EXPECT_INT(shm_ring_push(&ring, &a.pool, buffer.handle, block), SHM_OK);
	}
	EXPECT_INT(shm_ring_oldest(&ring, &a.pool), 1000);
	EXPECT_INT(shm_reaper_expire(&a.table, 3500), 3);
	EXPECT_INT(pop_number(&a, &ring, &value), SHM_OK);
	EXPECT_INT(value, 4);
	EXPECT_INT(shm_ring_oldest(&ring, &a.pool), 5000);
	detach(&a);
	discard();
}

// ---------------------------------------------------------------------------------------------
// A receiver and whoever expires messages at the same time
// ---------------------------------------------------------------------------------------------

enum {
	MESSAGES = 40000,
	OLD = 1000,   // ms at which every other message was sent
	YOUNG = 5000, // and the rest
	LIMIT = 2000,
};

static struct attachment shared;
static struct shm_ring shared_ring;
static _Atomic uint64_t received, expired, wrongly;
static _Atomic bool done;

static void *receive_all(void *argument)
{
	struct attachment mine;
	struct shm_ring ring = shared_ring;
	uint64_t value;

	(void)argument;
	attach_thread(&mine, &shared);
	while (!done || shm_ring_pending(&ring, &mine.pool, &(uint64_t){0}, &(uint64_t){0}) > 0) {
		if (pop_number(&mine, &ring, &value) == SHM_OK)
			received++;
		else
			sched_yield();
	}
	leave(&mine);
	return NULL;
}

static void *expire_all(void *argument)
{
	struct attachment mine;
	struct shm_ring ring = shared_ring;
	uint32_t handle;

	(void)argument;
	attach_thread(&mine, &shared);
	while (!done) {
		if (shm_ring_pop_outside(&ring, &mine.pool, LIMIT, INT64_MAX, &handle) != SHM_OK) {
			sched_yield();
			continue;
		}
		expired++;
		wrongly += load_relaxed(&shm_pool_block(&mine.pool, handle)->sent_at) != OLD;
		shm_pool_free(&mine.pool, handle);
	}
	leave(&mine);
	return NULL;
}

TEST(what_is_expired_is_what_was_found_to_be_old_however_fast_receivers_are)
{
	pthread_t receiver, reaper;
	struct shm_ring ring;
	uint64_t sent = 0;

	attach(&shared);
	EXPECT_INT(shm_table_make(&shared.table, "x", 100, 0, &ring), SHM_OK);
	shared_ring = ring; // a handle is one thread's: they copy this one
	EXPECT(pthread_create(&receiver, NULL, receive_all, NULL) == 0);
	EXPECT(pthread_create(&reaper, NULL, expire_all, NULL) == 0);
	while (sent < MESSAGES) {
		struct shm_block_mem *block;
		struct shm_buffer buffer;

		if (!shm_pool_alloc(&shared.pool, 8, &buffer))
			continue;
		block = shm_pool_block(&shared.pool, buffer.handle);
		store_relaxed(&block->sent_at, sent % 2 ? YOUNG : OLD);
		if (shm_ring_push(&ring, &shared.pool, buffer.handle, block) == SHM_OK) {
			sent++;
			continue;
		}
		shm_pool_free(&shared.pool, buffer.handle);
		sched_yield();
	}
	done = true;
	pthread_join(receiver, NULL);
	pthread_join(reaper, NULL);
	EXPECT_INT(wrongly, 0);
	EXPECT_INT(received + expired, sent);
	EXPECT_INT(used_blocks(&shared), 0);
	detach(&shared);
	discard();
}

TEST(an_incarnation_that_was_scribbled_over_makes_no_process_nobody)
{
	struct attachment a;

	attach(&a);
	store_relaxed(&a.self.mem->incarnation, (1ull << 50) - 1);
	detach(&a);
	attach(&a);
	EXPECT(a.self.uid != 0);
	detach(&a);
	discard();
}

// Sends a message at SENT_AT (ms).
static void send_at(struct attachment *a, struct shm_ring *ring, int64_t sent_at)
{
	struct shm_buffer buffer;
	struct shm_block_mem *block;

	EXPECT(shm_pool_alloc(&a->pool, 8, &buffer));
	block = shm_pool_block(&a->pool, buffer.handle);
	store_relaxed(&block->sent_at, (uint64_t)sent_at);
	EXPECT_INT(shm_ring_push(ring, &a->pool, buffer.handle, block), SHM_OK);
}

TEST(one_of_all_processes_keeps_the_house_in_a_period)
{
	struct attachment a, b;
	struct shm_reaped reaped = {0};
	struct shm_ring ring;

	attach(&a);
	attach(&b);
	EXPECT_INT(shm_table_make(&a.table, "x", 10, 0, &ring), SHM_OK);
	EXPECT(run_and_kill(take_zones));
	send_at(&a, &ring, 1000);
	EXPECT(shm_reaper_round(&a.table, 100000, 1000, 50000, &reaped));
	EXPECT_INT(reaped.expired, 1);
	EXPECT_INT(reaped.processes, 1);
	send_at(&a, &ring, 1000);
	EXPECT(run_and_kill(take_zones));
	EXPECT(!shm_reaper_round(&b.table, 100999, 1000, 50000, &reaped));
	EXPECT(!shm_reaper_round(&a.table, 100000, 1000, 50000, &reaped));
	EXPECT_INT(reaped.expired, 1);
	EXPECT_INT(reaped.processes, 1);
	// Also if the one who had begun it died then and there.
	EXPECT(shm_reaper_round(&b.table, 101000, 1000, 50000, &reaped));
	EXPECT_INT(reaped.expired, 2);
	EXPECT_INT(reaped.processes, 2);
	// A time to come, be it of a machine that was started anew or scribbled, isn't waited for.
	store_relaxed(&a.segment.housekeeping->begun, UINT64_MAX / 4);
	store_relaxed(&a.segment.housekeeping->cursor, UINT32_MAX);
	EXPECT(shm_reaper_round(&a.table, 101500, 1000, 50000, &reaped));
	detach(&a);
	detach(&b);
	discard();
}

TEST(every_channel_of_many_has_its_turn_and_a_round_is_bounded)
{
	enum { CHANNELS = SHM_ROUND_LEAST * SHM_TURNS * 2, BUSY = 500 };
	struct shm_geometry geometry = support_geometry();
	struct shm_terms terms = support_terms(&geometry);
	struct shm_reaped reaped = {0};
	struct attachment a;
	struct shm_ring ring;
	char name[32], error[512] = "";
	uint64_t before = 0;

	geometry.narrow = CHANNELS;
	geometry.blocks[0] = 1024;
	EXPECT_INT(
	        shm_segment_open(&a.segment, support_directory(), &terms, error, sizeof error), 0);
	join(&a);
	// Far apart, so that they are in all parts.
	for (int i = 0; i < BUSY; i++) {
		a.table.hand[0].free = (uint32_t)(CHANNELS / BUSY * i);
		snprintf(name, sizeof name, "channel %d", i);
		EXPECT_INT(shm_table_make(&a.table, name, 10, 0, &ring), SHM_OK);
		send_at(&a, &ring, 1000);
		EXPECT(!test_failed());
	}
	for (int round = 0; round < SHM_TURNS; round++) {
		EXPECT(shm_reaper_round(&a.table, 100000 + round * 1000, 1000, 50000, &reaped));
		EXPECT(reaped.expired - before <= BUSY / SHM_TURNS + 1);
		before = reaped.expired;
	}
	EXPECT_INT(reaped.expired, BUSY);
	detach(&a);
	discard();
}
