// SPDX-License-Identifier: MIT
// Concurrency Kit's ring with a slab of message buffers in shared memory. Both sides spin.
//
//   ck-spsc  one producer, one consumer. Buffers are used in a circle: the ring holds one less than there
//            are slots and the consumer reads one, so the buffer after all these is free.
//   ck-mpmc  any number of both. Free buffers come back through a second ring.

#include <ck_ring.h>
#include <stdlib.h>

#include "tests/bench/transports.h"

enum {
	BUFFERS = BENCH_DEPTH + 1,
};

// One queue in shared memory, followed by its buffers.
struct queue {
	_Alignas(128) ck_ring_t ring;
	_Alignas(128) ck_ring_t spare;
	_Alignas(128) ck_ring_buffer_t slots[BENCH_DEPTH];
	_Alignas(128) ck_ring_buffer_t spare_slots[2 * BENCH_DEPTH];
	_Alignas(128) char buffers[];
};

struct end {
	struct queue *queue;
	unsigned next; // buffer, of the SPSC producer
};

static struct queue *queues[2];
static size_t stride;
static struct end ends[2][2];

static char *buffer_of(struct queue *queue, unsigned index)
{
	return queue->buffers + index * stride;
}

// What the ring carries: a buffer's number, since processes may map the slab at different addresses, and
// the message's length, which so needs no line of its own.
static void *value_of(unsigned buffer, size_t size)
{
	return (void *)((uintptr_t)size << 16 | (buffer + 1));
}

static unsigned number_of(void *value)
{
	return ((uintptr_t)value & 0xffff) - 1;
}

static void setup(const struct bench_run *run)
{
	stride = (run->size + 63) / 64 * 64;
	for (int i = 0; i < run->queues; i++) {
		struct queue *queue = bench_shared(sizeof *queue + BUFFERS * stride);

		ck_ring_init(&queue->ring, BENCH_DEPTH);
		ck_ring_init(&queue->spare, 2 * BENCH_DEPTH);
		for (unsigned buffer = 0; buffer < BENCH_DEPTH; buffer++)
			ck_ring_enqueue_mpmc(
			        &queue->spare, queue->spare_slots, value_of(buffer, 0));
		queues[i] = queue;
	}
}

static void *open_end(const struct bench_run *run, int queue, enum bench_role role, int index)
{
	struct end *end = &ends[queue][role];

	(void)run;
	(void)index;
	end->queue = queues[queue];
	return end;
}

static void read_buffer(struct queue *queue, void *value, struct bench_reader *reader)
{
	bench_read(reader, buffer_of(queue, number_of(value)), (uintptr_t)value >> 16);
}

static void send_spsc(void *opaque, const void *data, size_t size)
{
	struct end *end = opaque;
	struct queue *queue = end->queue;
	unsigned spins = 0;

	memcpy(buffer_of(queue, end->next), data, size);
	while (!ck_ring_enqueue_spsc(&queue->ring, queue->slots, value_of(end->next, size)))
		bench_spin(&spins);
	end->next = end->next + 1 == BUFFERS ? 0 : end->next + 1;
}

static void receive_spsc(void *opaque, struct bench_reader *reader)
{
	struct end *end = opaque;
	struct queue *queue = end->queue;
	unsigned spins = 0;
	void *value;

	while (!ck_ring_dequeue_spsc(&queue->ring, queue->slots, &value))
		bench_spin(&spins);
	read_buffer(queue, value, reader);
}

static void send_mpmc(void *opaque, const void *data, size_t size)
{
	struct end *end = opaque;
	struct queue *queue = end->queue;
	unsigned spins = 0;
	void *value;

	while (!ck_ring_trydequeue_mpmc(&queue->spare, queue->spare_slots, &value))
		bench_spin(&spins);
	memcpy(buffer_of(queue, number_of(value)), data, size);
	value = value_of(number_of(value), size);
	while (!ck_ring_enqueue_mpmc(&queue->ring, queue->slots, value))
		bench_spin(&spins);
}

static void receive_mpmc(void *opaque, struct bench_reader *reader)
{
	struct end *end = opaque;
	struct queue *queue = end->queue;
	unsigned spins = 0;
	void *value;

	while (!ck_ring_trydequeue_mpmc(&queue->ring, queue->slots, &value))
		bench_spin(&spins);
	read_buffer(queue, value, reader);
	while (!ck_ring_enqueue_mpmc(&queue->spare, queue->spare_slots, value))
		bench_spin(&spins);
}

const struct bench_transport bench_ck_spsc = {
        "ck-spsc", setup, NULL, open_end, send_spsc, NULL, receive_spsc};
const struct bench_transport bench_ck_mpmc = {
        "ck-mpmc", setup, NULL, open_end, send_mpmc, NULL, receive_mpmc};
