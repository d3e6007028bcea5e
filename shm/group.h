// SPDX-License-Identifier: MIT
// group.h - groups: sets of channels that any number of processes change and walk at a time, any of which
// may die or stop at any instruction without holding up the others.
//
// A group is an entry of the table without a ring. Its members are in a radix tree of cells (cell.h): four
// bits of a member's key a level, the low ones first. A member that is alone in its part of the tree stands as
// high as it can; when another comes, both move into a new cell, which replaces it by one CAS. Reply channels
// whose endpoints are neighbours fill their cells, and are met in that order (member.h).
//
//   table entry                 cell                      cell
//   +-----------------------+   +---+---+---+-- --+---+   +---+-- --+---+
//   | phase, root, ticket   |-->| m | 0 | n |     | m |   | m |     | m |     m: a member's word
//   +-----------------------+   +---+---+-|-+-- --+---+   +---+-- --+---+     n: a node's word
//                                         +---------------^                   (member.h)
//
// To join, to leave, to be refreshed is one CAS on one slot. Nodes, and the cells that hold names, stay
// where they are until the group is *compacted* or *ended* (compact.h): only these two free cells. So
// that nobody is inside then, and nobody is waited for:
//
//   visitor                                     who compacts or ends (holds the entry, so is alone)
//   1 hazard = this group        (seq_cst)      A word: OPEN -> CHANGING            (CAS, seq_cst)
//   2 load the word              (seq_cst)      B load everybody's hazard           (seq_cst)
//     CLOSED: leave, look up anew                 one is this group: word -> OPEN, give up
//     CHANGING: CAS -> OPEN, ticket + 1         C build the new tree privately
//   3 load the generation: another: leave       D word: CHANGING -> OPEN, new root, (CAS, seq_cst)
//   4 walk, add, discard                                          or -> CLOSED
//   5 hazard = 0                 (release)        failed: a visitor came: give up
//                                               E the old tree's cells are free
//
// 1, 2 and A, B are Dekker's pattern: either B sees the visitor's hazard, or 2 sees CHANGING or what came
// after it. In the first case the change is given up; in the second the visitor's CAS, which takes
// the next ticket, makes D fail, or D was first, and the visitor sees the new tree or a CLOSED group. So at E
// nobody is inside the old tree, and nobody can get there. B's load of a 0 pairs with the release in 5: what
// that visitor did is in the new tree.
//
// What a visitor that dies leaves behind: its hazard, which keeps the group as it is, and cells HELD by it, which
// are part of the tree or not; the reaper looks (compact.h). A stopped one keeps the group from being
// compacted, no more.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shm/member.h"
#include "shm/table.h"

// The group's one word of truth: phase, root, ticket.
static inline shm_atomic64 *shm_group_word(
        const struct shm_segment *segment, const struct shm_entry *group)
{
	return &segment->channel[group->index].group;
}

// The group that a process is inside; shm_process_mem.hazard.
#define SHM_HAZARD(ENTRY) ((uint64_t)((ENTRY)->index + 1) << 32 | (ENTRY)->generation)

// Adds MEMBER, or renews it. SHM_OK, SHM_FULL (no cell is free), SHM_CLOSED (the group has ended: look it
// up anew), SHM_CLASH (two names with one key), SHM_CORRUPT. NOW in ms, CLOCK_MONOTONIC. Lock-free.
enum shm_result shm_group_add(struct shm_table *table, const struct shm_entry *group,
        const struct shm_member *member, int64_t now);

// Removes MEMBER. SHM_OK, SHM_EMPTY (it isn't one), SHM_CLOSED, SHM_CLASH, SHM_CORRUPT. Lock-free.
enum shm_result shm_group_discard(struct shm_table *table, const struct shm_entry *group,
        const struct shm_member *member, int64_t now);

// Where a list goes on; begins zeroed.
struct shm_place {
	uint64_t next; // position in the order of keys
	bool done;
};

// Lists the next valid members into the ROOM entries of MEMBERS, from PLACE on, which it moves. Returns how
// many; 0 at the end. Between two calls the caller is not inside the group and may do anything. Who is a member
// all the time is listed exactly once; who joins or leaves meanwhile, at most once.
uint32_t shm_group_list(struct shm_table *table, const struct shm_entry *group, int64_t now,
        struct shm_place *place, struct shm_member *members, uint32_t room);

// How many valid members there are. Without entering: who compacts the group meanwhile isn't held up, and then the
// count is begun anew, a few times. Writes nothing.
uint64_t shm_group_count(
        const struct shm_segment *segment, const struct shm_entry *group, int64_t now);

// For compact.h. Enters the group, cancelling any change of it: *WORD is its word, OPEN. False if it has ended.
bool shm_group_enter(struct shm_table *table, const struct shm_entry *group, uint64_t *word);
void shm_group_leave(struct shm_table *table);
