// SPDX-License-Identifier: MIT
// due.h - when something is due before the next round of housekeeping: messages that wait for their time.
//
//   sender                                 who delivers
//   publish                                take:   due -> NEVER, if it is NOW or was before
//   lower:  due -> the earlier of          look at all that waits; deliver what is due
//           due and the message's          lower:  due -> the earlier of due and what is left
//
// Each of these is a read-modify-write, also of a sender that leaves the word as it is. So of a sender's and of a taker's
// one comes first: if the sender's, the taker sees his message; if the taker's, the sender finds NEVER.
//
// The word is a hint all the same. A death between publish and lower, or between take and lower, leaves it too
// late: each round of housekeeping looks whatever it says. One that was scribbled over does no more harm.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shm/segment.h"

#define SHM_DUE_NEVER UINT64_MAX

// Says that something is due at TIME (ms, CLOCK_MONOTONIC). Lock-free.
void shm_due_lower(struct shm_housekeeping_mem *housekeeping, uint64_t time);

// Whether something may be due at NOW: then it is the caller's to look, and to lower the word to what is left, or
// to NOW if he doesn't come to the end. ANYHOW: whatever the word says. Costs a load if nothing is due. Lock-free.
bool shm_due_take(struct shm_housekeeping_mem *housekeeping, int64_t now, bool anyhow);

// For how many ms from NOW nothing is due, at most MAX and at least 1.
int shm_due_left(const struct shm_housekeeping_mem *housekeeping, int64_t now, int max);
