// SPDX-License-Identifier: MIT
// displace.h - sending into a channel that makes room by itself: older messages go for newer ones.
//
// A sender that finds such a channel full knows the position at which it would have published. What waits
// before that position, and no newer message, may go:
//
//   ...  h h+1 h+2 ... t-1 | t            t = where the channel was found full
//        `---- capacity ---'
//   drop-oldest    what is before t - capacity + 1: just enough for the one message
//   keep-latest    what is before t: all that had been sent by then
//
// So two senders that find the same channel full don't drop twice what was enough once, and none drops what another
// has sent meanwhile into the room that he made. A message is displaced by being claimed, as a receiver claims it: one
// of the two gets it. It is counted before its memory is free, as everything that shm drops.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shm/table.h"

// What a send does in a full channel.
enum shm_policy {
	SHM_REFUSE = 0,
	SHM_DROP_OLDEST = 1,
	SHM_KEEP_LATEST = 2,
};

// Publishes BLOCK, HELD by the caller, as shm_ring_push() does. If the channel is full, messages go as POLICY says.
// SHM_FULL with SHM_REFUSE; otherwise only if other senders were faster so many times in a row that this one
// gives up. Lock-free: each time another has published.
enum shm_result shm_displace_push(struct shm_table *table, struct shm_ring *ring,
        enum shm_policy policy, uint32_t handle, struct shm_block_mem *block);

// Drops the oldest message, if it was sent before the position BEFORE. False if there is none. Lock-free.
bool shm_displace_before(struct shm_table *table, struct shm_ring *ring, uint64_t before);

// For who finds no memory for a message of LENGTH octets: drops the oldest message of the channel, if its memory can
// be of use to the caller. False if it can't, or none waits.
bool shm_displace_for_memory(struct shm_table *table, struct shm_ring *ring, uint32_t length);
