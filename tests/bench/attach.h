// SPDX-License-Identifier: MIT
// attach.h - the one layer of a benchmark, in its directory.
#pragma once

#include "channel/forebay.h"
#include "tests/bench/bench.h"

// Made by the parent, so that no time is taken for it and it's removed whatever becomes of its processes.
void bench_layer_make(const struct bench_run *run, const struct forebay_options *options);
void bench_layer_remove(const struct bench_run *run);

// A process's own attachment. It ends with the process.
struct forebay *bench_layer_attach(
        const struct bench_run *run, const struct forebay_options *options);

// Passes a message's content to bench_read(), where it lies.
void bench_layer_read(struct forebay_message *message, struct bench_reader *reader);
