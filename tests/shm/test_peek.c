// SPDX-License-Identifier: MIT
// Looking at messages without taking them: what can be seen and how long; and with threads that send and receive all
// the time, that nothing is ever seen which wasn't sent at that position.

#include <pthread.h>
#include <sched.h>

#include "shm/peek.h"
#include "tests/shm/support.h"

static struct attachment a;

static void begin(struct shm_ring *ring)
{
	attach(&a);
	EXPECT_INT(shm_table_make(&a.table, "ring", 8, 0, ring), SHM_OK);
}

static void end(void)
{
	detach(&a);
	discard();
}

// Octets of a message that tell at each place which message they are of.
static void fill(char *octets, uint32_t length, uint64_t value)
{
	for (uint32_t i = 0; i < length; i++)
		octets[i] = (char)(value * 31 + i * 7 + (value >> 8));
}

static bool is_filled(const char *octets, uint32_t length, uint64_t value)
{
	for (uint32_t i = 0; i < length; i++)
		if (octets[i] != (char)(value * 31 + i * 7 + (value >> 8)))
			return false;
	return true;
}

static enum shm_result send(
        struct attachment *attachment, struct shm_ring *ring, uint64_t value, uint32_t length)
{
	static _Thread_local char octets[200000];
	struct shm_buffer buffer;
	enum shm_result result;
	char *from = octets;

	fill(octets, length, value);
	if (!shm_pool_alloc(&attachment->pool, length, &buffer))
		return SHM_FULL;
	for (uint32_t i = 0; i < buffer.count; i++) {
		copy_release(buffer.span[i].data, from, buffer.span[i].length);
		from += buffer.span[i].length;
	}
	result = shm_ring_push(ring, &attachment->pool, buffer.handle,
	        shm_pool_block(&attachment->pool, buffer.handle));
	if (result != SHM_OK)
		shm_pool_free(&attachment->pool, buffer.handle);
	return result;
}

static bool see(
        const struct shm_ring *ring, uint64_t pos, uint64_t value, uint32_t length, bool waiting)
{
	static char memory[200000];
	struct shm_glimpse glimpse;

	return shm_peek(ring, &a.pool, pos, &glimpse) == SHM_SEEN &&
	       glimpse.buffer.length == length && shm_peek_copy(ring, &a.pool, &glimpse, memory) &&
	       is_filled(memory, length, value) && glimpse.waiting == waiting;
}

TEST(a_message_is_seen_while_it_waits_is_held_and_is_free)
{
	struct shm_ring ring;
	struct shm_glimpse glimpse;
	uint64_t pos;
	uint32_t handle;

	begin(&ring);
	pos = load_relaxed(&ring.mem->tail);
	EXPECT_INT(shm_peek(&ring, &a.pool, pos, &glimpse), SHM_AHEAD);
	EXPECT_INT(send(&a, &ring, 1, 100), SHM_OK);
	EXPECT_INT(send(&a, &ring, 2, 3000), SHM_OK);
	EXPECT(see(&ring, pos, 1, 100, true));
	EXPECT(see(&ring, pos + 1, 2, 3000, true));
	EXPECT_INT(shm_ring_pop(&ring, &a.pool, &handle), SHM_OK);
	EXPECT(see(&ring, pos, 1, 100, false));
	shm_pool_free(&a.pool, handle);
	EXPECT(see(&ring, pos, 1, 100, false));
	EXPECT(see(&ring, pos + 1, 2, 3000, true));
	// Until the block is used again, be it that nothing is sent.
	for (int i = 0; i < 256; i++) {
		struct shm_buffer buffer;

		EXPECT(shm_pool_alloc(&a.pool, 8, &buffer));
	}
	EXPECT_INT(shm_peek(&ring, &a.pool, pos, &glimpse), SHM_PASSED);
	EXPECT(see(&ring, pos + 1, 2, 3000, true));
	end();
}

TEST(extents_are_seen_until_they_are_freed)
{
	struct shm_ring ring;
	struct shm_glimpse glimpse;
	uint64_t pos;
	uint32_t handle;

	begin(&ring);
	pos = load_relaxed(&ring.mem->tail);
	EXPECT_INT(send(&a, &ring, 3, 150000), SHM_OK);
	EXPECT(see(&ring, pos, 3, 150000, true));
	EXPECT_INT(shm_ring_pop(&ring, &a.pool, &handle), SHM_OK);
	EXPECT(see(&ring, pos, 3, 150000, false));
	EXPECT_INT(shm_peek(&ring, &a.pool, pos, &glimpse), SHM_SEEN);
	shm_pool_free(&a.pool, handle);
	EXPECT(!see(&ring, pos, 3, 150000, false));
	end();
}

TEST(a_block_that_becomes_an_extent_is_no_message_any_more)
{
	struct shm_ring ring;
	struct shm_glimpse glimpse;
	struct shm_buffer buffer;
	uint64_t pos;
	uint32_t handle;

	begin(&ring);
	pos = load_relaxed(&ring.mem->tail);
	EXPECT_INT(send(&a, &ring, 1, 60000), SHM_OK);
	EXPECT_INT(shm_ring_pop(&ring, &a.pool, &handle), SHM_OK);
	shm_pool_free(&a.pool, handle);
	EXPECT(see(&ring, pos, 1, 60000, false));
	while (load_relaxed(&shm_pool_block(&a.pool, handle)->own) == SHM_FREE)
		EXPECT(shm_pool_alloc(&a.pool, 150000, &buffer));
	EXPECT_INT(shm_peek(&ring, &a.pool, pos, &glimpse), SHM_PASSED);
	end();
}

TEST(what_is_replaced_between_the_look_and_the_copy_isnt_taken_for_the_same)
{
	struct shm_ring ring;
	struct shm_glimpse glimpse;
	uint64_t pos;
	uint32_t handle, again;
	char memory[100];

	begin(&ring);
	pos = load_relaxed(&ring.mem->tail);
	EXPECT_INT(send(&a, &ring, 1, 100), SHM_OK);
	EXPECT_INT(shm_peek(&ring, &a.pool, pos, &glimpse), SHM_SEEN);
	EXPECT_INT(shm_ring_pop(&ring, &a.pool, &handle), SHM_OK);
	shm_pool_free(&a.pool, handle);
	// The same block, in the same ring.
	do {
		EXPECT_INT(send(&a, &ring, 1, 100), SHM_OK);
		EXPECT_INT(shm_ring_pop(&ring, &a.pool, &again), SHM_OK);
		shm_pool_free(&a.pool, again);
	} while (again != handle);
	EXPECT(!shm_peek_copy(&ring, &a.pool, &glimpse, memory));
	end();
}

TEST(laps_and_generations_are_told_apart)
{
	struct shm_ring ring;
	struct shm_glimpse glimpse;
	uint64_t pos, value;

	begin(&ring);
	pos = load_relaxed(&ring.mem->tail);
	for (uint64_t i = 0; i < 128; i++) {
		EXPECT_INT(push_number(&a, &ring, i), SHM_OK);
		EXPECT_INT(pop_number(&a, &ring, &value), SHM_OK);
	}
	EXPECT_INT(push_number(&a, &ring, 128), SHM_OK);
	EXPECT_INT(shm_peek(&ring, &a.pool, pos, &glimpse), SHM_PASSED);
	EXPECT_INT(shm_peek(&ring, &a.pool, pos + 128, &glimpse), SHM_SEEN);
	EXPECT_INT(shm_peek(&ring, &a.pool, pos + 129, &glimpse), SHM_AHEAD);
	EXPECT_INT(pop_number(&a, &ring, &value), SHM_OK);
	EXPECT_INT(shm_table_end(&a.table, &ring, false, NULL), SHM_OK);
	EXPECT_INT(shm_peek(&ring, &a.pool, pos + 128, &glimpse), SHM_ENDED);
	end();
}

TEST(scribbles_are_not_seen_and_do_no_harm)
{
	struct shm_ring ring;
	struct shm_glimpse glimpse;
	static char memory[2 << 20];
	uint64_t pos, seed = 88172645463325252ull;

	begin(&ring);
	pos = load_relaxed(&ring.mem->tail);
	EXPECT_INT(send(&a, &ring, 3, 150000), SHM_OK);
	for (int round = 0; round < 20000; round++) {
		uint32_t handle = round % (a.pool.first[SHM_CLASSES] + 3);
		struct shm_block_mem *block;

		seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
		(void)shm_ring_look(&ring, pos, &handle);
		block = shm_pool_block(&a.pool, handle);
		if (round % 3 == 0)
			block->length = (uint32_t)seed;
		if (round % 5 == 0)
			memcpy(block->data, &seed, 8);
		if (round % 7 == 0)
			block->serial = (uint32_t)seed;
		if (shm_peek(&ring, &a.pool, pos, &glimpse) == SHM_SEEN)
			(void)shm_peek_copy(&ring, &a.pool, &glimpse, memory);
	}
	end();
}

// ---------------------------------------------------------------------------------------------
// Threads
// ---------------------------------------------------------------------------------------------

enum { MESSAGES = 6000 };

// Of a small pool, so that blocks are soon used again: 100 octets, 3,000, 60,000, 140,000 in turn.
static uint32_t length_of(uint64_t value)
{
	static const uint32_t lengths[] = {100, 100, 3000, 100, 60000, 100, 100, 140000};

	return value % 64 < 56 ? 100 : lengths[value % 8];
}

static _Atomic bool over;

static void *produce(void *argument)
{
	struct attachment mine;
	struct shm_ring ring;

	(void)argument;
	attach_thread(&mine, &a);
	if (shm_table_make(&mine.table, "ring", 8, 0, &ring) != SHM_OK)
		abort();
	for (uint64_t i = 0; i < MESSAGES;) {
		if (send(&mine, &ring, i, length_of(i)) == SHM_OK)
			i++;
		else
			sched_yield();
	}
	leave(&mine);
	return NULL;
}

static void *consume(void *argument)
{
	struct attachment mine;
	struct shm_ring ring;

	(void)argument;
	attach_thread(&mine, &a);
	if (shm_table_make(&mine.table, "ring", 8, 0, &ring) != SHM_OK)
		abort();
	for (uint64_t i = 0; i < MESSAGES;) {
		uint32_t handle;

		if (shm_ring_pop(&ring, &mine.pool, &handle) != SHM_OK) {
			sched_yield();
			continue;
		}
		shm_pool_free(&mine.pool, handle);
		i++;
	}
	over = true;
	leave(&mine);
	return NULL;
}

TEST(whatever_is_seen_is_what_was_sent_there)
{
	static char memory[200000];
	pthread_t threads[2];
	struct shm_ring ring;
	uint64_t first, pos, seen = 0;

	begin(&ring);
	first = pos = load_relaxed(&ring.mem->tail);
	EXPECT(pthread_create(&threads[0], NULL, produce, NULL) == 0);
	EXPECT(pthread_create(&threads[1], NULL, consume, NULL) == 0);
	while (!over || pos < first + MESSAGES) {
		struct shm_glimpse glimpse;
		enum shm_sight sight = shm_peek(&ring, &a.pool, pos, &glimpse);
		uint64_t value = pos - first;

		if (sight == SHM_AHEAD) {
			sched_yield();
			continue;
		}
		pos++;
		if (sight != SHM_SEEN || glimpse.buffer.length > sizeof memory ||
		        !shm_peek_copy(&ring, &a.pool, &glimpse, memory))
			continue;
		EXPECT_INT(glimpse.buffer.length, length_of(value));
		EXPECT(is_filled(memory, length_of(value), value));
		seen++;
	}
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	EXPECT(seen > 0); // the last ones, at least, whose memory nobody used again
	end();
}
