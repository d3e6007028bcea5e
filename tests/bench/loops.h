// SPDX-License-Identifier: MIT
// loops.h - what is measured. Each prints one line of JSON.
#pragma once

#include "tests/bench/bench.h"

void bench_oneway(const struct bench_run *run);    // messages a second
void bench_roundtrip(const struct bench_run *run); // nanoseconds there and back

// By one process, messages a second; see alone.c.
void bench_memory(const struct bench_run *run);
void bench_channels(const struct bench_run *run);
void bench_spread(const struct bench_run *run);
void bench_listened(const struct bench_run *run);
void bench_queued(const struct bench_run *run);

// To the members of a group, deliveries a second; see fanout.c.
void bench_fanout(const struct bench_run *run);
void bench_singly(const struct bench_run *run);

// A message as the loops send it, in private memory; see oneway.c.
struct bench_message {
	size_t size;
	uint64_t sum; // of the words between the first and the last
	uint64_t words[BENCH_SIZE_MAX / 8];
};

void bench_message_init(struct bench_message *message, size_t size);
void bench_message_stamp(struct bench_message *message, uint64_t stamp);
void bench_message_check(const struct bench_message *message, const struct bench_reader *reader);
