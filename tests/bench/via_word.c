// SPDX-License-Identifier: MIT
// The limits of the machine, for round trips of one word: nothing that hands a message to another
// process can be faster.
//
//   line   a word on a cache line of its own; the receiver spins on it
//   futex  the same; the receiver sleeps on it, the sender wakes it

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

struct end {
	struct mailbox *mailbox;
	uint64_t last;
	uint32_t sequence;
};

static struct mailbox *mailboxes;
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

const struct bench_transport bench_line = {
        "line", setup, NULL, open_end, send_line, NULL, receive_line};
const struct bench_transport bench_futex = {
        "futex", setup, NULL, open_end, send_futex, NULL, receive_futex};
