// SPDX-License-Identifier: MIT
// doorbell.h - waking a sleeping process, with no system call while it is awake.
//
//   sleeper                                  waker
//   sleeping = how          (seq_cst)        publish                 (seq_cst)
//   poll everything again                    if sleeping             (seq_cst)
//   wait                                       if exchange(sleeping, 0): wake
//
// One of the two sees the other. If a waker dies between its exchange and its wake, the sleeper
// sleeps on, so no sleep is longer than SHM_NAP_MAX. The wake is a futex for who waits in
// shm_doorbell_wait(), a byte into the slot's FIFO for who waits in an event loop.
#pragma once

#include <stdint.h>

#include "shm/process.h"

enum {
	SHM_NAP_MAX = 100 // ms
};

struct shm_doorbell {
	struct shm_segment *segment;
	struct shm_process *self;
	int fifo;                  // our own FIFO, or -1
	int others[SHM_PROCESSES]; // theirs, opened when first needed, or -1
};

void shm_doorbell_init(
        struct shm_doorbell *bell, struct shm_segment *segment, struct shm_process *self);
void shm_doorbell_fini(struct shm_doorbell *bell);

// Our own FIFO for an event loop, made when first asked for. A descriptor or a negative errno.
int shm_doorbell_fd(struct shm_doorbell *bell);

// Says that we're about to sleep. Then poll everything once more, and wait, or call awake().
void shm_doorbell_drowse(struct shm_doorbell *bell, enum shm_sleep how);
void shm_doorbell_awake(struct shm_doorbell *bell);

// Sleeps until woken, at most TIMEOUT ms (capped at SHM_NAP_MAX). 0, or -EINTR. After drowse(HOW), FUTEX or ROOM.
int shm_doorbell_wait(struct shm_doorbell *bell, enum shm_sleep how, int timeout);

// Makes our own FIFO readable, and empties it.
void shm_doorbell_ring_self(struct shm_doorbell *bell);
void shm_doorbell_drain(struct shm_doorbell *bell);

// Wakes the process in SLOT if it sleeps. True if this call woke it (a system call was made).
bool shm_doorbell_wake(struct shm_doorbell *bell, uint32_t slot);

// The same, and makes it not sleep if it is just about to: something it doesn't poll has changed.
bool shm_doorbell_nudge(struct shm_doorbell *bell, uint32_t slot);
