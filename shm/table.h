// SPDX-License-Identifier: MIT
// table.h - the channels and groups of a layer by name: a hash table of lists, lock-free, with reuse.
//
// Channels lie in an array, behind them groups, which are entries without a ring (see group.h); a bucket is a list of
// links (Harris, "A pragmatic implementation of non-blocking linked-lists", DISC 2001):
//
//   link word    generation:32 | index + 1:31 | mark:1
//
// The generation in a bucket is the target's, in a channel it is that channel's own. New channels come in at the head
// only, so a channel's word never comes again, but in the generation of four thousand million uses later: the mark can't be
// set on a later use of the same channel. A bucket's word does, when all that came in before its target have gone; but the
// target has stayed in the list then, in the same use. So whoever walks a list looks at the word that it came through once
// more after each step: if it is the same, what it has led to was in the list. A new channel is prepared privately
// (owner = HELD uid) and inserted at the head of its bucket by one CAS: that is its birth, and it fails if
// anything was inserted since the caller searched, so a name is never there twice.
//
// End of a channel, each step done by its owner or, if that one dies, by the reaper (see reaper.h):
//   1. owner LIVE -> HELD uid: one process ends it
//   2. the ring is sealed (fails if messages wait: owner -> LIVE again). Point of no return.
//   3. its own link is marked, then it is unlinked. Done by anybody who meets the sealed ring, so a
//      stopped owner holds up nobody: the name can be made anew at another index at once.
//   4. generation + 1, owner = FREE
// Who can't wait until the owner word is LIVE seals and unlinks all the same (shm_table_shut()).
// A group ends in the same way; what seals it is its own word (compact.h).
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shm/hand.h"
#include "shm/ring.h"
#include "shm/tally.h"

#define SHM_NAME_SIZE 208 // a channel name and its NUL, rounded up

#define SHM_CHANNEL_FREE 0ull
#define SHM_CHANNEL_LIVE 1ull // else HELD by a uid: being made or ended, or one process's inbox

// A group's word, the one truth about it; see group.h. Each change takes the next ticket.
enum shm_phase {
	SHM_GROUP_CLOSED = 0, // ended, or never begun
	SHM_GROUP_OPEN = 1,
	SHM_GROUP_CHANGING = 2, // somebody is about to end or compact it, unless anyone objects
};

#define SHM_GROUP_WORD(PHASE, ROOT, TICKET)                                                        \
	((uint64_t)(PHASE) << 62 | (uint64_t)(((ROOT) + 1) & 0xffffff) << 38 |                     \
	        ((TICKET)&0x3fffffffff))
#define SHM_GROUP_PHASE(WORD)  ((enum shm_phase)((WORD) >> 62))
#define SHM_GROUP_ROOT(WORD)   ((uint32_t)((((WORD) >> 38) - 1) & 0xffffff)) // a cell
#define SHM_GROUP_TICKET(WORD) ((WORD)&0x3fffffffff)
#define SHM_ROOT_NONE          0xffffffu

enum {
	SHM_WAITER_WORDS = SHM_PROCESSES / 64,
};

struct shm_channel_mem {
	struct shm_ring_mem ring;
	shm_atomic64 owner;
	shm_atomic64 maker; // uid of the process that ends it, for streams; 0 for the rest
	shm_atomic64 link;  // to the next channel in the bucket
	shm_atomic64 base;  // position at which this generation began
	shm_atomic32 hash;
	shm_atomic32
	        lifetime; // ms, of the messages in a history; 0: it is none, and the layer's expiry holds
	shm_atomic64 group; // of a group: phase, root of its members, ticket

	_Alignas(SHM_LINE_PAIR)
	        shm_atomic64 receivers[SHM_WAITER_WORDS]; // slots that listen: sticky
	shm_atomic64 senders;                             // slots modulo 64 that wait for room

	_Alignas(SHM_LINE) shm_atomic64 name[SHM_NAME_SIZE / 8]; // padded with zeros
	struct shm_tally_mem tally;
};

// One use (generation) of an entry of the table: for a group, a private handle as a ring is for a channel.
struct shm_entry {
	uint32_t index;
	uint32_t generation;
};

struct shm_table {
	struct shm_segment *segment;
	struct shm_process *self;
	struct shm_pool *pool;
	struct shm_hand hand[SHM_KINDS];
	uint32_t cell_scan; // where the search for a free cell begins
};

void shm_table_init(struct shm_table *table, struct shm_segment *segment, struct shm_process *self,
        struct shm_pool *pool);

// Finds the channel NAME (checked by the caller: 1-200 octets). Fills RING for it. SHM_OK or SHM_EMPTY.
enum shm_result shm_table_find(struct shm_table *table, const char *name, struct shm_ring *ring);

// Finds it, or makes it with CAPACITY (1 to 8192) and MAKER (0 unless a stream). SHM_OK, or SHM_FULL if no
// channel of that size is free or idle (nobody listens, nothing waits): then one of those is ended. Lock-free.
// Looks at 2048 channels at least, and in the long run at 128 a millisecond at most: in a table that is
// larger, and full, some calls may say SHM_FULL although a channel has become idle.
enum shm_result shm_table_make(struct shm_table *table, const char *name, uint32_t capacity,
        uint64_t maker, struct shm_ring *ring);

// The same with a wide ring, of whatever capacity.
enum shm_result shm_table_make_wide(
        struct shm_table *table, const char *name, uint32_t capacity, struct shm_ring *ring);

// The same for a history: its messages stay for LIFETIME (ms) instead of the layer's expiry, and nobody misses those
// that go (SHM_COUNT_HISTORY).
enum shm_result shm_table_make_history(struct shm_table *table, const char *name, uint32_t capacity,
        uint32_t lifetime, struct shm_ring *ring);

// Makes a channel that isn't in the table: a process's inbox, HELD by it. SHM_OK or SHM_FULL: of the wide rings some are
// kept for channels.
enum shm_result shm_table_make_inbox(
        struct shm_table *table, const char *name, uint32_t capacity, struct shm_ring *ring);

// Finds the group NAME, or makes it, without members. As the same for channels, but idle groups aren't ended.
enum shm_result shm_table_find_group(
        struct shm_table *table, const char *name, struct shm_entry *group);
enum shm_result shm_table_make_group(
        struct shm_table *table, const char *name, struct shm_entry *group);

// Fills RING for channel INDEX as it is now, whatever its state. False if INDEX is out of bounds.
bool shm_table_ring(struct shm_table *table, uint32_t index, struct shm_ring *ring);

// Ends the channel: SHM_OK; SHM_FULL if messages wait and FORCE is false, or somebody else is ending it or listens and
// FORCE is false; SHM_CLOSED if it had ended before. FORCE drops its messages, counted in *DROPPED (may be NULL), and
// as GONE.
enum shm_result shm_table_end(
        struct shm_table *table, struct shm_ring *ring, bool force, uint64_t *dropped);

// The same by force for who can't leave it to another: while somebody else has the entry, by whom it has just been made
// or is being ended, perhaps in vain, and who may be stopped or dead, the channel is sealed and unlinked all the same.
// SHM_OK, or SHM_CLOSED if it had ended before; SHM_FULL only if others have sent in between a thousand times.
enum shm_result shm_table_shut(struct shm_table *table, struct shm_ring *ring);

// For who met SHM_CLOSED: makes sure the name no longer leads to that channel.
void shm_table_unlink(struct shm_table *table, const struct shm_ring *ring);
void shm_table_unlink_group(struct shm_table *table, const struct shm_entry *group);

// The steps of ending a group. hold() is step 1: false if it has ended or another is at it; release() takes
// that back; finish() is steps 3 and 4. seize() is step 1 for the reaper, of a group that users of the dead
// SLOT were making or ending; false if they weren't.
bool shm_table_hold(struct shm_table *table, const struct shm_entry *group);
void shm_table_release(struct shm_table *table, const struct shm_entry *group);
void shm_table_finish(struct shm_table *table, const struct shm_entry *group);
bool shm_table_seize(
        struct shm_table *table, uint32_t index, uint32_t slot, struct shm_entry *group);

// Completes or undoes what users of the dead SLOT were doing to channel INDEX, and ends the streams
// and the inbox they had made. For the reaper.
void shm_table_recover(struct shm_table *table, uint32_t index, uint32_t slot, uint64_t *dropped);

// Puts a live channel that is in no list back into its own, with all that waits and listens; ends it if another
// has its name by now, or it was shut. For who mends a damaged table. False if it wasn't live, or was put in by itself.
bool shm_table_adopt(struct shm_table *table, uint32_t index, uint32_t generation);

uint32_t shm_table_hash(const char *name);

// Copies the name of entry INDEX, as it is at this moment, NUL-terminated whatever is there.
void shm_table_name(const struct shm_table *table, uint32_t index, char name[SHM_NAME_SIZE]);

// Registers (removes) a process as listener of the ring's channel. False if that has ended.
bool shm_table_listen(struct shm_table *table, const struct shm_ring *ring, uint32_t slot);
void shm_table_ignore(struct shm_table *table, const struct shm_ring *ring, uint32_t slot);

// Whether anybody listens to it.
bool shm_table_has_receivers(struct shm_channel_mem *channel);
