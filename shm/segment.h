// SPDX-License-Identifier: MIT
// segment.h - the one shared file of a layer: how it is made, found, checked, mapped and divided.
//
//   +--------+-----------+-------+---------+------------+-------+-----------+-----------+
//   | header | processes | zones | buckets | channels,  | slots | endpoint  | endpoints |
//   | 4 KiB  | 256       | words | words   | groups     | words | zones     |           |
//   +--------+-----------+-------+---------+------------+-------+-----------+-----------+
//   | wills | prefixes | metrics: directory, cells, processes' words | cells' own words    |
//   +-------+----------+---------------------------------------------+---------------------+
//   | cells of groups' members | blocks of 3 sizes |
//   +--------------------------+-------------------+
//
// The header's counts decide every offset. An attaching process copies the counts, computes the
// offsets for itself and compares the total with the file's size; after that nothing in the header
// is read again, so a scribbled header can't move anything.
//
// The header's first page also has the words that housekeeping is shared out by (reaper.h): hints.
//
// The file appears under its name only when it is complete (made nameless, then linked), so there
// is no half-made segment to wait for or to clean up, whenever its maker dies.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/atomic.h"

// Two marks of a number; see tally.h.
struct shm_pace_mem {
	shm_atomic64 mark[2];
};

enum {
	SHM_PROCESSES = 256,  // slots for attached processes
	SHM_CLASSES = 3,      // sizes of message blocks
	SHM_NARROW_ORDER = 7, // log2 of the slots of a narrow channel
	SHM_WIDE_ORDER = 13,  // and of a wide one
	SHM_CHANNELS_MAX = 1 << 20,
	SHM_GROUPS_MAX = 1 << 19,
	SHM_CELLS_MAX = 1 << 23,
	SHM_ENDPOINTS_MAX = 1 << 24,
	SHM_METRICS_MAX = 4096,
	SHM_ENDPOINT_ZONE = 64,   // endpoints in one zone
	SHM_PATTERNS_SIZE = 2048, // octets of the capacity patterns, with their NUL
	SHM_DROPS_SIZE = 1024     // and of those that say what is dropped on purpose
};

// What a maker decides; copied from the header by everyone else.
struct shm_geometry {
	uint32_t narrow;              // channels of up to 128 messages
	uint32_t wide;                // channels of up to 8192; their indices come first
	uint32_t endpoints;           // a multiple of SHM_ENDPOINT_ZONE
	uint32_t blocks[SHM_CLASSES]; // multiples of the class's zone size
	uint32_t expiry;              // ms that a message may stay unread
	uint32_t groups;              // their entries in the table are behind the channels'
	uint32_t cells;               // of 128 octets, for the members of all groups
	uint32_t group_expiry;        // ms that a member stays in a group
	uint32_t metrics;             // series that can be published; a multiple of 16
};

// When housekeeping was last begun, and where it stopped. Written by whoever does a round.
struct shm_housekeeping_mem {
	shm_atomic64 begun;  // ms, CLOCK_MONOTONIC
	shm_atomic64 due;    // ms; when something is due before the next round: see due.h
	shm_atomic32 cursor; // the channel that the next round begins with
	shm_atomic32 sweep;  // and the group
	// Marks of how much all processes have sent, and have been refused.
	struct shm_pace_mem sent, full;
};

// How a segment came to be attached to.
enum shm_origin {
	SHM_FOUND = 0,
	SHM_MADE = 1,
	SHM_REPLACED =
	        2, // nobody alive was attached to the one that was there, made in other terms
};

// What who attaches wants. Geometry, patterns, drops and group are those of a segment that is made.
struct shm_terms {
	const struct shm_geometry *geometry; // NULL: don't make one
	const char *patterns;
	const char *drops; // NULL: none
	int64_t group;     // gid that may attach too (directory 0770), or -1
	int64_t owner;     // uid that it must belong to, or -1: see shm_directory_open()
	bool replace;      // one that was made in other terms, if nobody alive is attached to it
};

// The attached segment: a private view. All pointers lie in the mapping.
struct shm_segment {
	void *base;
	size_t size;
	int directory; // descriptor of the layer's directory, for its doorbells
	int file;      // descriptor of the segment, whose bytes past the end are the liveness locks
	struct shm_geometry geometry;
	uint64_t identity; // random, chosen when the segment was made
	int64_t made_at;   // when that was: ms, CLOCK_MONOTONIC
	enum shm_origin origin;
	char patterns[SHM_PATTERNS_SIZE];
	char drops[SHM_DROPS_SIZE];

	struct shm_header *header;
	struct shm_housekeeping_mem *housekeeping;
	struct shm_process_mem *processes;
	shm_atomic64 *zones; // of all classes, in the order of the classes
	shm_atomic64 *buckets;
	uint32_t bucket_mask;
	uint32_t channels; // wide + narrow
	uint32_t entries;  // of the table: channels + groups
	struct shm_channel_mem *channel;
	shm_atomic64 *slots;
	shm_atomic64 *endpoint_zones;
	struct shm_endpoint_mem *endpoint;
	shm_atomic64 *wills; // of each endpoint
	struct shm_prefix_mem *prefixes;
	shm_atomic64 *metrics; // the directory
	struct shm_metric_mem *metric_cells;
	shm_atomic64 *metric_words; // of each process, one for each series
	shm_atomic64 *cell_owns;
	struct shm_cell_mem *cells;
	char *blocks[SHM_CLASSES];
};

// Attaches to the segment in the directory PATH, making directory and segment first if TERMS have it so.
// Returns 0 or a negative errno, then with a sentence in ERROR (SIZE octets): file, reason, remedy.
int shm_segment_open(struct shm_segment *segment, const char *path, const struct shm_terms *terms,
        char *error, size_t size);

// Maps the segment in PATH for reading only, to be looked at without being attached to: whoever is attached
// isn't disturbed. Errors as shm_segment_open(). What would only keep a process from attaching (owners,
// modes, further names of the file) is no error: it is told in ERROR all the same.
int shm_segment_inspect(struct shm_segment *segment, const char *path, char *error, size_t size);

// True if the segment was made in other terms: geometry, patterns, drops, or group.
bool shm_segment_differs(const struct shm_segment *segment, const struct shm_terms *terms);

// True if the file has no name any more: removed or replaced.
bool shm_segment_is_gone(const struct shm_segment *segment);

// Unmaps and closes. Accepts a zeroed segment and a second call.
void shm_segment_fini(struct shm_segment *segment);

// Removes the files of the segment in PATH, and the directory. Returns 0 or a negative errno.
int shm_segment_remove(const char *path);

// Chooses the counts for a segment of about SIZE octets with CHANNELS named channels, ENDPOINTS
// reply channels and GROUPS groups (0: as many as suit SIZE). Returns 0, or -EINVAL if nothing useful fits
// (SIZE too small or a count too large).
int shm_geometry_choose(struct shm_geometry *geometry, uint64_t size, uint32_t channels,
        uint32_t endpoints, uint32_t groups);

// Octets that a segment of that geometry occupies; 0 if a count is out of bounds.
uint64_t shm_geometry_size(const struct shm_geometry *geometry);

// A class's block size in octets (header included), as a power of two, and the number of blocks in one of its
// zones. Here, because the compiler then makes constants of them wherever a block is looked up.
static inline unsigned shm_class_order(int class)
{
	return class == 0 ? 9 : class == 1 ? 12 : 16;
}

static inline uint32_t shm_class_size(int class)
{
	return 1u << shm_class_order(class);
}

static inline uint32_t shm_class_zone(int class)
{
	return class == SHM_CLASSES - 1 ? 8 : 64;
}

// NUMBER with its low four bits in reverse order: neighbours are far apart, at changing distances. What several
// processes use in turn is laid out like that. In order, the prefetcher of the one who reads would fetch ahead what
// the one who writes is about to write, and each would wait for the other.
static inline uint32_t shm_scatter(uint32_t number)
{
	return (number & ~15u) | (uint32_t)(0xf7b3d591e6a2c480 >> (number & 15) * 4 & 15);
}
