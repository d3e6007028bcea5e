// SPDX-License-Identifier: MIT
// memory.h - the simulated memory: C11 atomics as an operational, view-based model.
//
// Every word has a history of writes. Every process has a view: for each word, the oldest write that
// it may still read. This is RC11 (Lahav et al., "Repairing sequential consistency in C/C++11",
// PLDI 2017) without fences, as an abstract machine:
//
//   load          may return any write from the view's on, and moves the view to it: a choice
//   acquire       also takes over the view that the write carries
//   release       the write carries the writer's view; others carry none
//   read-modify-  reads the newest write, and passes on the view which that one carried (a release
//   write         sequence); a compare-and-swap that fails is an acquire load, so it may fail on an old value
//   seq_cst       a load doesn't read older than what any earlier seq_cst operation wrote or read at
//                 that same word. It orders nothing else: not the relaxed accesses around it.
//
// What the model allows, C11 allows, so a violation is one of the code, not of the model. Two things
// that C11 allows are left out: a write always becomes the newest of its word when it is executed (so no
// cycles of plain stores alone, "2+2W"), and no process reads what isn't written yet (load buffering).
// x86 does neither; nor does the order of seq_cst operations ever differ from that of execution.
//
// Plain data (the messages) is checked for races: who reads a cell must have the last write in its view,
// who writes one all earlier reads too.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	MODEL_RELAXED = 0,
	MODEL_ACQUIRE = 1,
	MODEL_RELEASE = 2,
	MODEL_SEQ_CST = 4,
	MODEL_ALL_ORDERS = 7,
	MODEL_NEWEST = 8, // the kernel's: reads the newest write
};

enum model_update {
	MODEL_EXCHANGE,
	MODEL_OR,
	MODEL_AND,
	MODEL_ADD,
};

// One operation in the source. `order` is what the source says; a weakened run changes it.
struct model_site {
	const char *file, *function, *operation, *object;
	int line;
	unsigned order;
	uint64_t uses;
};

uint64_t model_load(struct model_site *site, const void *object, size_t size);
void model_store(struct model_site *site, void *object, size_t size, uint64_t value);
uint64_t model_update(struct model_site *site, void *object, size_t size, enum model_update how,
        uint64_t operand);
bool model_cas(
        struct model_site *site, void *object, size_t size, uint64_t *expected, uint64_t value);

// Plain data: one cell an address, of 8 octets.
void model_write(void *cell, uint64_t value);
uint64_t model_read(void *cell);

// A violation: ends the execution. Returns only outside of the processes.
__attribute__((format(printf, 1, 2))) void model_fail(const char *format, ...);
