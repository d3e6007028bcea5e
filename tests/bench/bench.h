// SPDX-License-Identifier: MIT
// bench.h - the benchmark of the layer: ways to move messages between processes, behind one interface,
// so that Forebay and everything it is compared with go through the same loops.
//
// A *transport* is one such way. The parent sets it up, the processes it forks open their ends of its
// queues, and send and receive. Sending copies the message in from the caller's memory; receiving
// hands every octet to bench_read(), in shared memory where the transport leaves it there, else in the
// private memory it was copied to. bench_read() adds up the words, which is the read in full and the check in one.
//
// Whatever goes wrong in a benchmark ends it: bench_die().
#pragma once

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	BENCH_DEPTH = 128,    // messages that a queue holds, where its makers let us choose
	BENCH_PROCESSES = 16, // of each role
	BENCH_SIZE_MAX = 1 << 20,
	BENCH_SAMPLES = 1 << 20, // round trips that are timed
};

enum bench_role {
	BENCH_SENDER,
	BENCH_RECEIVER,
};

struct bench_run {
	const struct bench_transport *transport;
	const char *directory; // private: for sockets and the layer
	size_t size;           // octets of a message
	int producers, consumers;
	int queues; // 1 one-way, 2 for round trips
	double seconds;
	bool realtime; // SCHED_FIFO for the measured processes
	bool crowded;  // more processes than processors: who spins must yield
	long count;    // of channels, queued messages or members
};

// What a receiver has seen of one message, zeroed by the caller.
struct bench_reader {
	uint64_t first; // word
	uint64_t sum;   // of all words
	size_t length;
};

struct bench_transport {
	const char *name;
	// In the parent, before and after the processes. May be NULL.
	void (*setup)(const struct bench_run *run);
	void (*teardown)(const struct bench_run *run);
	// In a process: its end of QUEUE. INDEX counts the processes of that role.
	void *(*open)(const struct bench_run *run, int queue, enum bench_role role, int index);
	// Sends, waiting for room. flush() pushes out what is still gathered; may be NULL.
	void (*send)(void *end, const void *data, size_t size);
	void (*flush)(void *end);
	// Waits for a message, passes all of it to bench_read(), and lets go of it.
	void (*receive)(void *end, struct bench_reader *reader);
};

extern const struct bench_transport *const bench_transports[]; // ends with NULL

__attribute__((noreturn, format(printf, 1, 2))) void bench_die(const char *format, ...);

// Memory that processes forked later share, zeroed.
void *bench_shared(size_t size);

// Nanoseconds, CLOCK_MONOTONIC.
int64_t bench_now(void);

// The cheapest clock there is, in ticks of its own.
static inline uint64_t bench_ticks(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#else
	return (uint64_t)bench_now();
#endif
}

static inline void bench_pause(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

extern bool bench_crowded;

// One turn of a loop that waits for another process.
static inline void bench_spin(unsigned *spins)
{
	bench_pause();
	if (bench_crowded && ++*spins % 64 == 0)
		sched_yield();
}

static inline uint64_t bench_word(const char *data)
{
	uint64_t word;

	memcpy(&word, data, sizeof word);
	return word;
}

// The next LENGTH octets of the message. Four sums, so that the reading isn't held up by the adding.
static inline void bench_read(struct bench_reader *reader, const void *from, size_t length)
{
	const char *data = (const char *)from, *end = data + length;
	uint64_t sum[4] = {0};

	if (reader->length == 0 && length >= sizeof reader->first)
		reader->first = bench_word(data);
	// A span may end within a word, little end first.
	for (; data < end && reader->length % 8 != 0; reader->length++, data++)
		sum[0] += (uint64_t)(unsigned char)*data << reader->length % 8 * 8;
	reader->length += (size_t)(end - data);
	for (; end - data >= 32; data += 32)
		for (int i = 0; i < 4; i++)
			sum[i] += bench_word(data + i * 8);
	for (; end - data >= 8; data += 8)
		sum[0] += bench_word(data);
	for (int i = 0; data < end; data++, i += 8)
		sum[0] += (uint64_t)(unsigned char)*data << i;
	reader->sum += sum[0] + sum[1] + sum[2] + sum[3];
}

#ifdef __cplusplus
}
#endif
