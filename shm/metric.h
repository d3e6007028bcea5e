// SPDX-License-Identifier: MIT
// metric.h - named numbers that every process publishes for itself, and that anyone may sum.
//
//   directory[index]     0, or a cell's number + 1: CAS from 0, in order, for ever
//   cell                 own: FREE, HELD by who writes it, LIVE; kind, name, help: written while HELD
//   words[slot][index]   the value of the process in that slot: a double, with one writer
//
// A series keeps its index as long as the segment lives. The directory is filled without gaps, and whoever
// enters a name has looked at all before it when his CAS succeeds: so a name is there once, and what
// contradicts an earlier one is never there, however many enter at a time. Who dies before the CAS leaves a
// HELD cell that no index leads to, who dies after it one that is the series': the reaper sees which.
//
// Counting is a load and a store, no locked operation. The words of counters are kept over all
// incarnations of a slot, so their sum is exact whoever dies. Those of gauges are the living process's: who
// joins a slot clears them before he says that he is there, and readers pass the dead over.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "shm/atomic.h"
#include "shm/process.h"
#include "shm/segment.h"

enum {
	SHM_METRIC_NAME_SIZE = 128, // with its NUL
	SHM_METRIC_HELP_SIZE = 112, // likewise
	SHM_METRIC_NONE = -1,
};

enum shm_metric_kind {
	SHM_METRIC_COUNTER,
	SHM_METRIC_GAUGE,
	SHM_METRIC_HISTOGRAM, // a part of one; a counter, as far as this layer is concerned
	SHM_METRIC_KINDS,
};

#define SHM_METRIC_FREE 0ull
#define SHM_METRIC_LIVE 1ull // else HELD by a uid

struct shm_metric_mem {
	shm_atomic64 own;
	shm_atomic64 kind;
	shm_atomic64 name[SHM_METRIC_NAME_SIZE / 8];
	shm_atomic64 help[SHM_METRIC_HELP_SIZE / 8];
};

_Static_assert(sizeof(struct shm_metric_mem) == 16 + SHM_METRIC_NAME_SIZE + SHM_METRIC_HELP_SIZE,
        "pinned by the layout version");

// A series, to be entered or as it was read: a private copy.
struct shm_metric {
	enum shm_metric_kind kind;
	char name[SHM_METRIC_NAME_SIZE];
	char help[SHM_METRIC_HELP_SIZE];
};

enum shm_metric_match {
	SHM_METRIC_OTHER,
	SHM_METRIC_SAME,
	SHM_METRIC_CONTRADICTS, // they can't both be there
};

enum shm_metric_result {
	SHM_METRIC_OK,
	SHM_METRIC_FULL,
	SHM_METRIC_REFUSED, // one contradicts
};

// Finds METRIC's index, or enters it for UID. MATCH compares it with a series that is there. Wait-free: two passes
// over the table at most. FULL may also be said when others, dead or slow, are about to enter the last few.
enum shm_metric_result shm_metric_enter(struct shm_segment *segment, uint64_t uid,
        const struct shm_metric *metric,
        enum shm_metric_match (*match)(
                const struct shm_metric *known, const struct shm_metric *wanted),
        uint32_t *index);

// Copies the series INDEX. False if there is none, or what is there makes no sense.
bool shm_metric_read(const struct shm_segment *segment, uint32_t index, struct shm_metric *metric);

// How many there are.
uint32_t shm_metric_count(const struct shm_segment *segment);

// The index that leads to CELL, or SHM_METRIC_NONE.
int32_t shm_metric_index_of(const struct shm_segment *segment, uint32_t cell);

// Clears the gauges of SLOT, whose lock the caller has.
void shm_metric_clear(struct shm_segment *segment, uint32_t slot);

// Completes or undoes what a user of the dead SLOT was about to enter. For the reaper.
void shm_metric_recover(struct shm_segment *segment, uint32_t slot);

// SLOT's word of the series INDEX. Both must be in range.
static inline shm_atomic64 *shm_metric_word(
        const struct shm_segment *segment, uint32_t slot, uint32_t index)
{
	return &segment->metric_words[(size_t)slot * segment->geometry.metrics + index];
}

// Its value. Acquire, and release in the writer: who reads some of one process's words in the opposite of the
// order in which that one writes them never sees a later one without the earlier. Free on x86.
static inline double shm_metric_load(const shm_atomic64 *word)
{
	uint64_t bits = load_acquire(word);
	double value;

	memcpy(&value, &bits, sizeof value);
	return value;
}

static inline void shm_metric_store(shm_atomic64 *word, double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof bits);
	store_release(word, bits);
}
