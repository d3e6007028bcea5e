// SPDX-License-Identifier: MIT
// What the machine itself gives: messages handed to another process with nothing around them.
//
//   line      round trips: a word on a cache line of its own; the receiver spins on it
//   futex     the same, but the receiver sleeps on it and the sender wakes it
//   handover  one way: buffers in turn, each with a word that says whose it is; both sides spin

#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/bench/transports.h"

struct mailbox {
	_Alignas(128) _Atomic uint64_t word;
	_Atomic uint32_t sequence; // what the futex is on
};

// Whose turn it is with a buffer of a hand-over, and its octets.
struct parcel {
	_Alignas(64) _Atomic uint32_t full;
	uint32_t length;
	char *data;
};

struct end {
	struct mailbox *mailbox;
	uint64_t last;
	uint32_t sequence;
	uint32_t parcel; // the next one
};

static struct mailbox *mailboxes;
static struct parcel *parcels;
static struct end ends[2][2];

static void setup(const struct bench_run *run)
{
	if (run->queues != 2 || run->size != 8)
		bench_die("a word can be exchanged, no queue made of it");
	mailboxes = bench_shared(2 * sizeof *mailboxes);
}

static void *open_end(const struct bench_run *run, int queue, enum bench_role role, int index)
{
	struct end *end = &ends[queue][role];

	(void)run;
	(void)index;
	end->mailbox = &mailboxes[queue];
	return end;
}

static void send_line(void *opaque, const void *data, size_t size)
{
	struct end *end = opaque;

	(void)size;
	atomic_store_explicit(&end->mailbox->word, bench_word(data), memory_order_release);
}

static void receive_line(void *opaque, struct bench_reader *reader)
{
	struct end *end = opaque;
	uint64_t word;

	while ((word = atomic_load_explicit(&end->mailbox->word, memory_order_acquire)) ==
	        end->last)
		bench_pause();
	end->last = word;
	bench_read(reader, &word, sizeof word);
}

static void send_futex(void *opaque, const void *data, size_t size)
{
	struct end *end = opaque;

	(void)size;
	atomic_store_explicit(&end->mailbox->word, bench_word(data), memory_order_relaxed);
	atomic_store_explicit(&end->mailbox->sequence, ++end->sequence, memory_order_release);
	syscall(SYS_futex, &end->mailbox->sequence, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void receive_futex(void *opaque, struct bench_reader *reader)
{
	struct end *end = opaque;
	uint32_t sequence;
	uint64_t word;

	while ((sequence = atomic_load_explicit(&end->mailbox->sequence, memory_order_acquire)) ==
	        end->sequence)
		syscall(SYS_futex, &end->mailbox->sequence, FUTEX_WAIT, end->sequence, NULL, NULL,
		        0);
	end->sequence = sequence;
	word = atomic_load_explicit(&end->mailbox->word, memory_order_relaxed);
	bench_read(reader, &word, sizeof word);
}

static void set_up_parcels(const struct bench_run *run)
{
	size_t stride = (run->size + 63) / 64 * 64;
	char *data;

	if (run->queues != 1 || run->producers + run->consumers > 2)
		bench_die("buffers are handed from one process to one other");
	parcels = bench_shared(BENCH_DEPTH * sizeof *parcels);
	data = bench_shared(BENCH_DEPTH * stride);
	for (int i = 0; i < BENCH_DEPTH; i++)
		parcels[i].data = data + (size_t)i * stride;
}

static void *open_parcels(const struct bench_run *run, int queue, enum bench_role role, int index)
{
	(void)run;
	(void)index;
	return &ends[queue][role];
}

static struct parcel *next_parcel(struct end *end, uint32_t full)
{
	struct parcel *parcel = &parcels[end->parcel];

	end->parcel = (end->parcel + 1) % BENCH_DEPTH;
	while (atomic_load_explicit(&parcel->full, memory_order_acquire) != full)
		bench_pause();
	return parcel;
}

static void send_parcel(void *opaque, const void *data, size_t size)
{
	struct parcel *parcel = next_parcel(opaque, 0);

	parcel->length = (uint32_t)size;
	memcpy(parcel->data, data, size);
	atomic_store_explicit(&parcel->full, 1, memory_order_release);
}

static void receive_parcel(void *opaque, struct bench_reader *reader)
{
	struct parcel *parcel = next_parcel(opaque, 1);

	bench_read(reader, parcel->data, parcel->length);
	atomic_store_explicit(&parcel->full, 0, memory_order_release);
}

const struct bench_transport bench_line = {
        "line", setup, NULL, open_end, send_line, NULL, receive_line};
const struct bench_transport bench_futex = {
        "futex", setup, NULL, open_end, send_futex, NULL, receive_futex};
const struct bench_transport bench_handover = {
        "handover", set_up_parcels, NULL, open_parcels, send_parcel, NULL, receive_parcel};
