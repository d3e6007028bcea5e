// SPDX-License-Identifier: MIT
// prefix.h - what reply channels' names begin with, kept once for all: an endpoint's word of 32 bits
// stands for it, so that whoever finds the endpoint in a group can tell the channel's whole name.
//
// A small table that only grows. An entry is FREE, HELD by who writes it, or LIVE and never changed again.
// Two processes may enter the same prefix twice: harmless. When the table is full, prefixes have the
// number 0 and are shown as "": such a name still leads to its channel, whose digits are what counts.
#pragma once

#include <stdint.h>

#include "shm/atomic.h"
#include "shm/segment.h"

enum {
	SHM_PREFIXES = 64,
	SHM_PREFIX_SIZE = 184, // with its NUL
};

#define SHM_PREFIX_FREE 0ull
#define SHM_PREFIX_LIVE 1ull // else HELD by a uid

struct shm_prefix_mem {
	shm_atomic64 own;
	shm_atomic64 name[SHM_PREFIX_SIZE / 8];
};

_Static_assert(sizeof(struct shm_prefix_mem) == 192, "pinned by the layout version");

// The number of PREFIX, entered by UID if it is new; 0 if the table is full or PREFIX too long.
uint32_t shm_prefix_enter(struct shm_segment *segment, uint64_t uid, const char *prefix);

// Copies the prefix with that NUMBER; "" if there is none.
void shm_prefix_name(
        const struct shm_segment *segment, uint32_t number, char name[SHM_PREFIX_SIZE]);

// Frees what a user of the dead SLOT was about to enter. For the reaper.
void shm_prefix_recover(struct shm_segment *segment, uint32_t slot);
