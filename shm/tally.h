// SPDX-License-Identifier: MIT
// tally.h - what is counted of a channel: sends that were refused, messages that ended unread, and how
// many of these there were in the last second.
//
//   count    generation:24 | number:40     of one use of the channel's entry
//   mark     time:32 | number:32           the low bits of ms and of a number that only grows
//
// A count is raised by a CAS of both halves at once: who comes late, when the entry has become another channel,
// changes nothing, and nobody has to reset what the former channel has left. What was sent isn't counted here: it
// follows from the ring's positions, less those that messages took which had one before (MOVED).
//
// Rates need no reader that takes samples: housekeeping leaves a mark of each number about once a second,
// instead of the older one of two. A mark is one store, so no death can tear it; one that a stopped process
// leaves late is old, but true. A reader takes what came since the newer mark, and, if that is less than a second old,
// its share of what came between the two. When nobody keeps the house any more, marks only get older, and the
// rates go down to 0.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shm/atomic.h"
#include "shm/process.h"

struct shm_ring;
struct shm_table;

enum {
	SHM_TALLIES = 8,
};

// In a channel's image.
struct shm_tally_mem {
	struct shm_pace_mem sent; // of the ring's positions, less those that were MOVED to
	struct shm_pace_mem full;
	shm_atomic64 count[SHM_TALLIES];
};

// A number that is marked from now on: of what only grows, at NOW (ms). Nothing that went before counts.
void shm_pace_begin(struct shm_pace_mem *pace, uint64_t number, int64_t now);
void shm_pace_mark(struct shm_pace_mem *pace, uint64_t number, int64_t now);

// By how much the number, which is NUMBER at NOW, has grown in the last second; if it wasn't marked for longer, its
// average since then, a second; nothing if it is less than was marked. Of MOST in all: whatever the marks say, the
// result is from 0 to MOST.
double shm_pace_rate(const struct shm_pace_mem *pace, uint64_t number, uint64_t most, int64_t now);

// Adds to what is counted of COUNTER in that GENERATION of the channel: SHM_COUNT_FULL, _EXPIRED, _FLUSHED, _GONE,
// _LOST, _DISPLACED, _BAD or _MOVED; others aren't kept by channels. Lock-free: a failed CAS means that another has
// counted.
void shm_tally_add(struct shm_tally_mem *tally, uint32_t generation, enum shm_counter counter,
        uint64_t number);
uint64_t shm_tally_count(
        const struct shm_tally_mem *tally, uint32_t generation, enum shm_counter counter);

// Counts the message HANDLE, which we HOLD and which came out of RING, as dropped for the reason WHY, by this
// process and of the channel, and then frees it. A death in between leaves it HELD, to be counted as lost.
void shm_tally_drop(struct shm_table *table, const struct shm_ring *ring, enum shm_counter why,
        uint32_t handle);

// Counts a message that its dead holder had received: of the channel it came from, if it ever was in one.
void shm_tally_lost(struct shm_table *table, uint32_t handle);

// Leaves marks of all of a channel's numbers, or of the layer's.
void shm_tally_mark(struct shm_table *table, uint32_t index, int64_t now);
void shm_tally_mark_total(struct shm_table *table, int64_t now);
