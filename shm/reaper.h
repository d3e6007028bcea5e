// SPDX-License-Identifier: MIT
// reaper.h - gives back what a process held: after its death, or when it detaches.
//
// Everything that can be held names its holder in one word, so the reaper needs no log: it scans,
// and can be killed and started again at any point. Only the holder of the dead slot's liveness lock
// reaps it, so two never meet; a reaper that dies gives up that lock.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shm/table.h"

enum {
	SHM_TURNS = 10,         // rounds until every channel was looked at
	SHM_ROUND_LEAST = 4096, // channels that a round looks at, if there are as many
};

// What a reap found.
struct shm_reaped {
	uint64_t messages; // lost: held by the dead, or waiting in its inbox or its streams
	uint64_t expired;  // messages that nobody has received in time
	uint32_t processes;
};

// Releases all that any user of SLOT held: zones of blocks and endpoints, blocks, channels, cells
// and groups, waiter bits. The caller holds that slot's liveness lock, so whoever is named there is dead, or the caller.
void shm_reaper_release(struct shm_table *table, uint32_t slot, struct shm_reaped *reaped);

// Looks for dead processes in all slots and releases what they held. A system call per occupied slot.
void shm_reaper_run(struct shm_table *table, struct shm_reaped *reaped);

// Frees messages sent before LIMIT (ms, CLOCK_MONOTONIC) that nobody has received, in all channels and
// inboxes, or in one: the oldest ones of each, so that one which was late in being sent, behind a younger
// one, goes with that. Also those with times more than the layer's expiry in the future, which nobody
// wrote but who scribbles. Returns how many. One that a receiver is faster to claim is the receiver's.
uint64_t shm_reaper_expire(struct shm_table *table, int64_t limit);
uint64_t shm_reaper_expire_ring(struct shm_table *table, struct shm_ring *ring, int64_t limit);

// A round of housekeeping for the whole segment: reaps the dead, frees what was sent before LIMIT and not
// received, in a part of the channels, so that all have had their turn within SHM_TURNS rounds, and sweeps a
// part of the groups (compact.h). Does
// nothing and returns false if a round was begun less than PERIOD before NOW (ms, CLOCK_MONOTONIC), by
// whomever: of all attached processes that call this once a PERIOD, one does the work. Who dies in the
// middle is followed by another a period later.
bool shm_reaper_round(struct shm_table *table, int64_t now, int64_t period, int64_t limit,
        struct shm_reaped *reaped);

// Parts of a release, for who has found out otherwise that OWNER, as it stands in the zone's word, is nobody:
// frees what was never sent, or ends what is open, and gives the zone back. False if it isn't OWNER's any more.
bool shm_reaper_release_zone(
        struct shm_table *table, uint32_t zone, uint64_t owner, struct shm_reaped *reaped);
bool shm_reaper_release_endpoint_zone(struct shm_table *table, uint32_t zone, uint64_t owner);

// Settles the claim WILL of somebody who is no more, at endpoint INDEX, by whether its block was published: see will.h.
// False if the word isn't that any more.
bool shm_reaper_settle_will(struct shm_table *table, uint32_t index, uint64_t will);

// Whether a block whose word is OWN is where it says: at a position of a ring, in the list of a head.
bool shm_reaper_is_published(struct shm_table *table, uint64_t own, uint32_t handle);
bool shm_reaper_is_listed(const struct shm_pool *pool, uint64_t own, uint32_t handle);
