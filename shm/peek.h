// SPDX-License-Identifier: MIT
// peek.h - looking at messages without taking them: a copy that is judged afterwards.
//
// Who looks holds nothing, so the block may be received, freed and used again under his eyes. Its `origin` word names
// the message that is in it, by the ring's position, which is used once:
//
//   reader                                       who uses the block next
//   1  slot[pos]: cycle, handle                  1  own = HELD
//   2  origin == ring, pos      (acquire)        2  origin = NONE
//   3  lengths, extents, octets (acquire)        3  lengths, extents (theirs is NONE too), octets (release)
//   4  origin, extents' own words: as before     4  origin = his own position
//
// Whoever has read anything of the next use in 3 sees, in 4, that the origin has changed, and it never comes back. So a
// copy that is judged valid is of that message, whole. It may have been received meanwhile, or before: a message can be
// seen until its memory is used again. Whether it still waits is said by its own word, as ever. Extents say by their
// own words whose they are, so a message that has some can be seen only until it is freed.
//
// Nothing is written, so who only maps the segment for reading can look as well.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shm/ring.h"

// What was seen at a position.
struct shm_glimpse {
	uint64_t pos;
	struct shm_buffer buffer; // in shared memory; lengths have been checked
	int64_t sent_at;
	bool waiting; // nobody had received it yet
};

enum shm_sight {
	SHM_SEEN = 0,
	SHM_PASSED = 1, // it can't be seen any more
	SHM_AHEAD = 2,  // nothing was published at the position yet
	SHM_ENDED = 3,  // the ring serves another channel now, or none
};

// Looks at the position POS. On SHM_SEEN, the message is to be copied at once.
enum shm_sight shm_peek(const struct shm_ring *ring, const struct shm_pool *pool, uint64_t pos,
        struct shm_glimpse *glimpse);

// Copies its octets to MEMORY (glimpse->buffer.length). False if they weren't that message's all the time: then what is
// there means nothing. glimpse->waiting is as it was at the end.
bool shm_peek_copy(const struct shm_ring *ring, const struct shm_pool *pool,
        struct shm_glimpse *glimpse, void *memory);
