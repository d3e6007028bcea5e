// SPDX-License-Identifier: MIT
// check.h - looks a whole segment over, and mends what can be mended without touching what the living hold.
//
// Looking takes no lock and writes nothing, so it works on a read-only mapping, attached or not, and disturbs
// nobody. What is in motion can look wrong for a moment: a suspicion becomes a finding only when it is still
// there, with the same word, after several more looks with pauses in between. A process that is stopped in
// the middle of something may look wrong for longer; where that can be, the finding says so.
//
// The segment is looked at region by region: one row of a table (check.c) says how many items a region has,
// how one of them is looked at, and how it is mended. A new region is a new row.
//
// Blocks can't be cross-linked: a block's own word names one position of one ring, or one head, so any
// other ring slot or list that names the block too is stale by definition. What can be wrong is an own
// word that nothing answers to.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shm/table.h"

enum shm_finding_kind {
	SHM_FINDING_HOLES,
	SHM_FINDING_DEAD,
	SHM_FINDING_SILENT,
	SHM_FINDING_BAD_UID,
	SHM_FINDING_BAD_SLEEP,
	SHM_FINDING_ORPHAN_ZONE,
	SHM_FINDING_ORPHAN_BLOCK,
	SHM_FINDING_DANGLING,
	SHM_FINDING_UNFINISHED,
	SHM_FINDING_GARBAGE_BLOCK,
	SHM_FINDING_STRANDED,
	SHM_FINDING_MALFORMED,
	SHM_FINDING_ORPHAN_ENDPOINTS,
	SHM_FINDING_OPEN_ENDPOINT,
	SHM_FINDING_NO_INBOX,
	SHM_FINDING_BAD_CREDIT,
	SHM_FINDING_BAD_WILL,
	SHM_FINDING_ORPHAN_WILL,
	SHM_FINDING_UNSETTLED_WILL,
	SHM_FINDING_LOST_WILL,
	SHM_FINDING_ORPHAN_CHANNEL,
	SHM_FINDING_ORPHAN_STREAM,
	SHM_FINDING_BAD_OWNER,
	SHM_FINDING_BAD_CAPACITY,
	SHM_FINDING_STALE_LISTENER,
	SHM_FINDING_BAD_SLOT,
	SHM_FINDING_HEAD_AHEAD,
	SHM_FINDING_TAIL_AHEAD,
	SHM_FINDING_BAD_LINK,
	SHM_FINDING_BAD_HASH,
	SHM_FINDING_BAD_NAME,
	SHM_FINDING_TWICE,
	SHM_FINDING_UNREACHABLE,
	SHM_FINDING_BAD_GROUP,
	SHM_FINDING_BAD_MEMBER,
	SHM_FINDING_ORPHAN_CELL,
	SHM_FINDING_LOST_CELL,
	SHM_FINDING_STALE_HAZARD,
	SHM_FINDING_ORPHAN_PREFIX,
	SHM_FINDING_ORPHAN_METRIC,
	SHM_FINDING_LOST_METRIC,
	SHM_FINDING_BAD_METRIC,
	SHM_FINDING_BAD_FIFO,
	SHM_FINDING_LEFTOVER,
	SHM_FINDING_STRANGER,
	SHM_FINDINGS
};

enum {
	SHM_WHERE_SIZE = 320, // a channel's name and some words
};

struct shm_finding {
	enum shm_finding_kind kind;
	const char *name;    // of the kind, for programs: "dead-process"
	const char *meaning; // for people: what is wrong and what comes of it
	const char *remedy;  // what a repair does
	const char *where;   // such as "block 17"
	bool repaired;
};

// What there is, counted on the way.
struct shm_check_summary {
	uint32_t alive, dead; // processes
	uint32_t zones;       // of blocks, owned
	uint32_t blocks[SHM_CLASSES], free[SHM_CLASSES];
	uint32_t held, of_dead; // blocks in the hands of living and of dead processes
	uint32_t sent, parts;   // heads of messages waiting, and their extents
	uint32_t channels, live, being_changed;
	uint64_t messages;      // waiting
	uint32_t endpoints;     // open
	uint32_t groups, cells; // in use
	uint32_t findings[SHM_FINDINGS], repaired;
};

struct shm_check {
	struct shm_segment *segment; // attached, or mapped by shm_segment_inspect()
	struct shm_table *table;     // of an attachment that is to repair, or NULL
	void (*report)(const struct shm_finding *finding, void *context); // in the order found
	void *context;
	struct shm_check_summary summary; // filled in
};

// Looks everything over. Takes a pass over the segment and, where something looks wrong, some ten
// milliseconds more. Returns the number of findings that weren't repaired, or -ENOMEM.
int64_t shm_check_run(struct shm_check *check);
