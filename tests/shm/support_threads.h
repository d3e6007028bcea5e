// SPDX-License-Identifier: MIT
// support_threads.h - several threads send numbered messages through one ring to several others, which note what came.
#pragma once

#include <pthread.h>
#include <sched.h>

#include "tests/shm/support.h"

enum {
	PRODUCERS = 3,
	CONSUMERS = 2,
	EACH = 20000, // messages of a producer
};

// Sends VALUE as that producer does, or doesn't.
typedef void (*send_one)(
        struct attachment *mine, struct shm_ring *ring, uint32_t producer, uint64_t value);

static struct {
	const struct attachment *mapped; // whose mapping the threads share
	uint32_t capacity;               // of the channel "ring"
	send_one send;
	_Atomic uint32_t producing;
	_Atomic unsigned char seen[PRODUCERS][EACH];
	_Atomic bool disorder; // something came that wasn't sent, or behind what was sent after it
} crowd;

static void join_crowd(struct attachment *mine, struct shm_ring *ring)
{
	attach_thread(mine, crowd.mapped);
	if (shm_table_make(&mine->table, "ring", crowd.capacity, 0, ring) != SHM_OK)
		abort();
}

static void *produce(void *argument)
{
	uint32_t producer = (uint32_t)(uintptr_t)argument;
	struct attachment mine;
	struct shm_ring ring;

	join_crowd(&mine, &ring);
	for (uint64_t i = 0; i < EACH; i++)
		crowd.send(&mine, &ring, producer, (uint64_t)producer << 32 | i);
	crowd.producing--;
	leave(&mine);
	return NULL;
}

static void note_value(uint64_t value, int64_t last[PRODUCERS])
{
	uint32_t producer = (uint32_t)(value >> 32), number = (uint32_t)value;

	if (producer >= PRODUCERS || number >= EACH) {
		crowd.disorder = true;
		return;
	}
	if (number <= last[producer])
		crowd.disorder = true;
	last[producer] = number;
	crowd.seen[producer][number]++;
}

static void *consume(void *argument)
{
	int64_t last[PRODUCERS];
	struct attachment mine;
	struct shm_ring ring;

	(void)argument;
	memset(last, -1, sizeof last);
	join_crowd(&mine, &ring);
	for (;;) {
		bool over = crowd.producing == 0; // before the look that may find nothing more
		uint64_t value;

		if (pop_number(&mine, &ring, &value) == SHM_OK)
			note_value(value, last);
		else if (over)
			break;
		else
			sched_yield();
	}
	leave(&mine);
	return NULL;
}

// Runs all threads to their end, over MAPPED's mapping and a channel "ring" of that CAPACITY. What came is in `crowd`.
static void run_crowd(const struct attachment *mapped, uint32_t capacity, send_one send)
{
	pthread_t threads[PRODUCERS + CONSUMERS];

	crowd.mapped = mapped;
	crowd.capacity = capacity;
	crowd.send = send;
	crowd.producing = PRODUCERS;
	for (uintptr_t i = 0; i < PRODUCERS + CONSUMERS; i++)
		if (pthread_create(
		            &threads[i], NULL, i < PRODUCERS ? produce : consume, (void *)i) != 0)
			abort();
	for (int i = 0; i < PRODUCERS + CONSUMERS; i++)
		pthread_join(threads[i], NULL);
}
