// SPDX-License-Identifier: MIT
// crew.h - the processes of one benchmark: forked, pinned, started together, watched, ended.
#pragma once

#include <stdatomic.h>

#include "tests/bench/bench.h"

// Shared by parent and children. What is written often has lines of its own.
struct bench_control {
	_Atomic uint32_t ready; // children that wait for `go`
	_Atomic uint32_t go;
	// Written twice: the warm-up is over, and senders are to send no more.
	_Alignas(128) _Atomic uint32_t warm;
	_Atomic uint32_t stop;
	_Alignas(128) _Atomic uint32_t ends; // last messages that have arrived
	struct bench_counter {
		_Alignas(128) _Atomic uint64_t value;
	} sent[BENCH_PROCESSES], received[BENCH_PROCESSES];
	_Alignas(128) uint64_t sample_count;
	uint64_t samples[BENCH_SAMPLES]; // ticks
};

struct bench_crew {
	const struct bench_run *run;
	struct bench_control *control;
	int count;
	int pids[2 * BENCH_PROCESSES + 2];
};

void bench_crew_init(struct bench_crew *crew, const struct bench_run *run);

// Forks a process on the processor CPU (modulo those allowed) that runs WORK(crew, index) and ends. WORK
// calls bench_crew_ready() once its ends are open.
void bench_crew_add(struct bench_crew *crew, int cpu,
        void (*work)(struct bench_crew *crew, int index), int index);
void bench_crew_ready(struct bench_crew *crew);

// Lets them all begin together.
void bench_crew_go(struct bench_crew *crew);

// Sleeps while they run, for the warm-up and then for the seconds measured. End the benchmark if a process failed.
// measure() returns how many nanoseconds one of bench_ticks() takes.
void bench_crew_warm_up(struct bench_crew *crew);
double bench_crew_measure(struct bench_crew *crew);

// Says `stop`, waits until DONE(crew), a few seconds at most, then ends the processes.
void bench_crew_stop(struct bench_crew *crew, bool (*done)(const struct bench_crew *crew));

// All of it: go, warm-up, measure, stop when DONE, tear the transport down, and print what the receivers counted in
// a second of the measured time.
void bench_crew_print_rate(struct bench_crew *crew, bool (*done)(const struct bench_crew *crew));

// A millisecond of sleep.
void bench_nap(void);

uint64_t bench_crew_sum(const struct bench_counter *counters);

// Adds to a counter, by its only writer.
static inline void bench_count(struct bench_counter *counter, uint64_t number)
{
	uint64_t value = atomic_load_explicit(&counter->value, memory_order_relaxed);

	atomic_store_explicit(&counter->value, value + number, memory_order_relaxed);
}
