// SPDX-License-Identifier: MIT
// member.h - what a slot of a group's tree holds: one word of 64 bits, the whole truth about a member.
//
//   empty           0
//   node            cell:24 | 0:38                              | 1    a cell of 16 slots
//   reply channel   endpoint:24 | generation:28 | joined:10     | 2
//   plain channel   cell:24 | joined:37 | left:1                | 3    the cell holds its name
//
// A reply channel is a member as long as its endpoint has that generation, so its end, and its owner's
// death, end the membership with no further work; a plain one until it leaves (`left`). Both end when
// they are older than the layer's group expiry. Such words are replaced, or swept out: see compact.h.
//
// A member's key says where in the tree it is: of a plain channel a hash, of a reply channel its index, the high
// bits first, so that those whose endpoints are neighbours in memory are neighbours in one cell. What the index
// has bits for besides whole levels of the tree goes to the root.
//
// Of a generation, which is odd when open, the word keeps bits 1 to 28. A word that has outlived its reply
// channel would speak for another one after 2^28 uses of the same endpoint; a sweep of all groups takes about a
// minute or two, and 2^28 uses more than four, at a million a second. `joined` of a reply channel counts
// 128ths of the expiry (or seconds, if these are longer), and would come back after eight expiries (17 minutes);
// of a plain one it counts milliseconds, for four years.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shm/segment.h"
#include "shm/table.h"

enum shm_tag {
	SHM_TAG_NONE = 0,
	SHM_TAG_NODE = 1,
	SHM_TAG_REPLY = 2,
	SHM_TAG_PLAIN = 3,
};

#define SHM_WORD_TAG(WORD)  ((enum shm_tag)((WORD)&3))
#define SHM_WORD_CELL(WORD) ((uint32_t)((WORD) >> 40)) // or endpoint
#define SHM_WORD_NODE(CELL) ((uint64_t)(CELL) << 40 | SHM_TAG_NODE)

// A member, as callers name it and as they get it listed.
struct shm_member {
	uint64_t key; // even: of a reply channel; odd: of a plain one
	uint32_t endpoint;
	uint32_t prefix; // of the reply channel's name, see prefix.h; only set in a list
	uint64_t generation;
	char name[SHM_NAME_SIZE]; // of a plain channel
};

#define SHM_MEMBER_IS_REPLY(MEMBER) ((MEMBER)->key % 2 == 0)

// NAME has at most SHM_NAME_SIZE - 1 octets.
void shm_member_set_reply(struct shm_member *member, const struct shm_segment *segment,
        uint32_t endpoint, uint64_t generation);
void shm_member_set_plain(
        struct shm_member *member, const struct shm_segment *segment, const char *name);

// The word of a member that joins now; NAME is the cell of a plain one's name.
uint64_t shm_member_word(const struct shm_segment *segment, const struct shm_member *member,
        uint32_t name, int64_t now);

// The same word for a plain channel that has left.
uint64_t shm_member_left(uint64_t word);

// The key of the member that WORD stands for, valid or not. False if it is no member, or nonsense.
bool shm_member_key(const struct shm_segment *segment, uint64_t word, uint64_t *key);

// Whether WORD stands for a member at this moment (NOW in ms, CLOCK_MONOTONIC).
bool shm_member_valid(const struct shm_segment *segment, uint64_t word, int64_t now);

// The same, and tells which. False also if it has become another's meanwhile.
bool shm_member_read(
        const struct shm_segment *segment, uint64_t word, int64_t now, struct shm_member *member);

// Whether WORD stands for that channel, valid or not: SHM_OK; SHM_EMPTY if it doesn't; SHM_CLOSED if it stands
// for another use of the same endpoint; SHM_CLASH if two names have the same key.
enum shm_result shm_member_match(
        const struct shm_segment *segment, uint64_t word, const struct shm_member *member);

// The second cell of a name whose first is CELL, if it needs one; else false.
bool shm_member_second(const struct shm_segment *segment, uint32_t cell, uint32_t *second);

// Cells that the name needs: 1 or 2; and writes it there.
int shm_member_cells(const struct shm_member *member);
void shm_member_write(const struct shm_segment *segment, const struct shm_member *member,
        const uint32_t cells[2]);
