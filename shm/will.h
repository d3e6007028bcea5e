// SPDX-License-Identifier: MIT
// will.h - what is to be sent for an endpoint when its owner is no more: exactly once, whoever dies.
//
// The owner of a reply channel sends one message that says "it is open" and owes another that says "it is
// over". Sending and keeping account of it are two steps, between which a process may die. So the account names
// the message: who was about to publish which block.
//
//   will word   handle:32 | (spare) | slot:12 | state:2
//
//   NONE --claim--> SETTING slot,handle --published--> SET --claim--> EXECUTING slot,handle --published--> NONE
//     ^______________/ not published                    ^______________/ not published
//
// A claim that its maker didn't settle is settled by the maker's reaper, before anything else that
// the maker held is given back: until then a block that was never published is still HELD by the maker, or SENT
// and in no slot, and one that was published is neither. (The maker does nothing between the claim and its settlement but
// publish that block, so it can't have received or reused it.)
//
// Only the owner of the endpoint's zone claims. When it ends, its zones with a will that is SET become
// SHM_ORPHANED, nobody's and not to be opened from, until somebody adopts them and executes the wills.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shm/segment.h"

enum shm_will_state {
	SHM_WILL_NONE = 0,
	SHM_WILL_SET = 1,
	SHM_WILL_SETTING = 2,
	SHM_WILL_EXECUTING = 3,
};

#define SHM_ORPHANED UINT64_MAX // in a zone's word; the uid of nobody

#define SHM_WILL(STATE, SLOT, HANDLE)                                                              \
	((uint64_t)(HANDLE) << 32 | (uint64_t)(SLOT) << 2 | (uint64_t)(STATE))
#define SHM_WILL_STATE(WORD)  ((enum shm_will_state)((WORD)&3))
#define SHM_WILL_SLOT(WORD)   ((uint32_t)((WORD) >> 2 & 0xfff))
#define SHM_WILL_HANDLE(WORD) ((uint32_t)((WORD) >> 32))

static inline enum shm_will_state shm_will_state(const struct shm_segment *segment, uint32_t index)
{
	return SHM_WILL_STATE(load_acquire(&segment->wills[index]));
}

// Says that SLOT, the caller's, will publish the block HANDLE next. STATE is SETTING or EXECUTING.
static inline void shm_will_claim(struct shm_segment *segment, uint32_t index,
        enum shm_will_state state, uint32_t slot, uint32_t handle)
{
	// Before the publishing CAS in the order of this process, which is all a reaper relies on.
	store_release(&segment->wills[index], SHM_WILL(state, slot, handle));
}

// What a claim becomes once it is known whether its block was published.
static inline enum shm_will_state shm_will_settled(uint64_t claim, bool published)
{
	bool setting = SHM_WILL_STATE(claim) == SHM_WILL_SETTING;

	return setting == published ? SHM_WILL_SET : SHM_WILL_NONE;
}

static inline bool shm_will_claimed(uint64_t will)
{
	return SHM_WILL_STATE(will) == SHM_WILL_SETTING ||
	       SHM_WILL_STATE(will) == SHM_WILL_EXECUTING;
}

// Ends the claim: the block was published, or it wasn't and is still the caller's.
static inline void shm_will_settle(struct shm_segment *segment, uint32_t index, bool published)
{
	shm_atomic64 *will = &segment->wills[index];

	store_release(will, shm_will_settled(load_acquire(will), published));
}

// Takes an orphaned zone of endpoints for UID: its number, or SHM_HANDLE_NONE. Lock-free. The
// endpoints in it are closed. Those whose will is SET are to be executed.
uint32_t shm_will_adopt(struct shm_segment *segment, uint64_t uid);

// Gives the zone up: to be opened from again, or, if there is a will yet, to be adopted later.
void shm_will_release(struct shm_segment *segment, uint32_t zone);
