// SPDX-License-Identifier: MIT
// reaper.h - gives back what a process held: after its death, or when it detaches.
//
// Everything that can be held names its holder in one word, so the reaper needs no log: it scans,
// and can be killed and started again at any point. Only the holder of the dead slot's liveness lock
// reaps it, so two never meet; a reaper that dies gives up that lock.
#pragma once

#include <stdint.h>

#include "shm/table.h"

// What a reap found.
struct shm_reaped {
	uint64_t messages; // lost: held by the dead, or waiting in its inbox or its streams
	uint32_t processes;
};

// Releases all that any user of SLOT held: zones of blocks and endpoints, blocks, channels, waiter
// bits. The caller holds that slot's liveness lock, so whoever is named there is dead, or the caller.
void shm_reaper_release(struct shm_table *table, uint32_t slot, struct shm_reaped *reaped);

// Looks for dead processes in all slots and releases what they held. A system call per occupied slot.
void shm_reaper_run(struct shm_table *table, struct shm_reaped *reaped);

// Frees messages sent before LIMIT (ms, CLOCK_MONOTONIC) that nobody has received, in all channels and
// inboxes, or in one: the oldest ones of each, so that one which was late in being sent, behind a younger
// one, goes with that. Also those with times more than the layer's expiry in the future, which nobody
// wrote but who scribbles. Returns how many. One that a receiver is faster to claim is the receiver's.
uint64_t shm_reaper_expire(struct shm_table *table, int64_t limit);
uint64_t shm_reaper_expire_ring(struct shm_table *table, struct shm_ring *ring, int64_t limit);
