// SPDX-License-Identifier: MIT
// endpoint.h - the ends of reply channels: 32 octets each, so that a sender learns in one load
// whether anybody is still there, and how much it may send.
//
//   state word   generation:40 | sequence:24
//
// An odd generation is open. Opening and closing add one, so an old name never fits again. A sender
// takes one sequence number by CAS on that same word: it can neither take one from a later
// connection, nor go beyond `limit`, which the owner moves as it frees messages. A sender that dies
// after taking numbers leaves holes; the owner's next grant counts from the highest number it has
// seen, so they cost credit only until then. When all credit is taken, and the owner holds nothing, it grants afresh
// (a look a second): so one that has only stopped there, too, keeps others waiting for a second at most.
//
// Endpoints are owned by zones of 64, like blocks: the zone's word names the process that may open
// them, and the reaper closes those of the dead.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shm/process.h"
#include "shm/ring.h"
#include "shm/segment.h"

struct shm_endpoint_mem {
	shm_atomic64 state;
	shm_atomic64 ring;    // of the owner's inbox: generation:32 | index:32
	shm_atomic32 limit;   // first sequence number that may not be sent
	shm_atomic32 prefix;  // of its name, see prefix.h; for whoever lists members of groups
	shm_atomic64 waiters; // slots modulo 64 of senders that wait for room
};

_Static_assert(sizeof(struct shm_endpoint_mem) == 32, "pinned by the layout version");

#define SHM_SEQUENCE_MASK              0xffffffu
#define SHM_ENDPOINT_GENERATION(STATE) ((STATE) >> 24)
#define SHM_ENDPOINT_FIRST(IDENTITY)   (((IDENTITY)&0xffffff) << 1) // before it is ever opened

// Difference of two 24-bit sequence numbers, -2^23 to 2^23 - 1.
static inline int32_t shm_sequence_diff(uint32_t a, uint32_t b)
{
	return (int32_t)((a - b) << 8) >> 8;
}

// Looks at an endpoint: SHM_OK, SHM_FULL (no credit), SHM_CLOSED (gone), SHM_CORRUPT (no such index).
enum shm_result shm_endpoint_look(
        const struct shm_segment *segment, uint32_t index, uint64_t generation);

// Takes the next sequence number: SHM_OK and *SEQUENCE, or as shm_endpoint_look(). Lock-free.
enum shm_result shm_endpoint_take(
        struct shm_segment *segment, uint32_t index, uint64_t generation, uint32_t *sequence);

// Gives the number back, if nobody has taken a later one. Returns the slots (modulo 64, as bits) of senders to nudge.
uint64_t shm_endpoint_untake(
        struct shm_segment *segment, uint32_t index, uint64_t generation, uint32_t sequence);

// Says that SLOT waits for room there; the caller looks once more afterwards, then sleeps.
void shm_endpoint_wait(struct shm_segment *segment, uint32_t index, uint32_t slot);

// The owner's side. open() returns the new generation; INDEX is in a zone the caller owns. close() returns
// the slots (modulo 64, as bits) of senders to nudge.
uint64_t shm_endpoint_open(struct shm_segment *segment, uint32_t index, uint64_t ring,
        uint32_t window, uint32_t prefix);
uint64_t shm_endpoint_close(struct shm_segment *segment, uint32_t index, uint64_t generation);

// Moves the limit. Returns the senders to nudge, as close() does.
uint64_t shm_endpoint_grant(struct shm_segment *segment, uint32_t index, uint32_t limit);

// The sequence number the next sender will get.
uint32_t shm_endpoint_next(const struct shm_segment *segment, uint32_t index);

// Takes an unowned zone of endpoints for UID: its number, or SHM_HANDLE_NONE. SCAN remembers where
// the search stopped.
uint32_t shm_endpoint_take_zone(struct shm_segment *segment, uint64_t uid, uint32_t *scan);
