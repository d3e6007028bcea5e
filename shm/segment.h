// SPDX-License-Identifier: MIT
// segment.h - the one shared file of a layer: how it is made, found, checked, mapped and divided.
//
//   +--------+-----------+-------+---------+----------+-------+-----------+-----------+--------+
//   | header | processes | zones | buckets | channels | slots | endpoint  | endpoints | blocks |
//   | 4 KiB  | 256       | words | words   |          | words | zones     |           | 3 sizes|
//   +--------+-----------+-------+---------+----------+-------+-----------+-----------+--------+
//
// The header's counts decide every offset. An attaching process copies the counts, computes the
// offsets for itself and compares the total with the file's size; after that nothing in the header
// is read again, so a scribbled header can't move anything.
//
// The file appears under its name only when it is complete (made nameless, then linked), so there
// is no half-made segment to wait for or to clean up, whenever its maker dies.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "shm/atomic.h"

enum {
	SHM_PROCESSES = 256,  // slots for attached processes
	SHM_CLASSES = 3,      // sizes of message blocks
	SHM_NARROW_ORDER = 7, // log2 of the slots of a narrow channel
	SHM_WIDE_ORDER = 13,  // and of a wide one
	SHM_CHANNELS_MAX = 1 << 20,
	SHM_ENDPOINTS_MAX = 1 << 24,
	SHM_ENDPOINT_ZONE = 64,  // endpoints in one zone
	SHM_PATTERNS_SIZE = 2048 // octets of the capacity patterns, with their NUL
};

// What a maker decides; copied from the header by everyone else.
struct shm_geometry {
	uint32_t narrow;              // channels of up to 128 messages
	uint32_t wide;                // channels of up to 8192; their indices come first
	uint32_t endpoints;           // a multiple of SHM_ENDPOINT_ZONE
	uint32_t blocks[SHM_CLASSES]; // multiples of the class's zone size
	uint32_t expiry;              // ms that a message may stay unread
	uint32_t spare;
};

// The attached segment: a private view. All pointers lie in the mapping.
struct shm_segment {
	void *base;
	size_t size;
	int directory; // descriptor of the layer's directory, for its doorbells
	int file;      // descriptor of the segment, whose bytes past the end are the liveness locks
	struct shm_geometry geometry;
	uint64_t identity; // random, chosen when the segment was made
	char patterns[SHM_PATTERNS_SIZE];

	struct shm_header *header;
	struct shm_process_mem *processes;
	shm_atomic64 *zones; // of all classes, in the order of the classes
	shm_atomic64 *buckets;
	uint32_t bucket_mask;
	uint32_t channels; // wide + narrow
	struct shm_channel_mem *channel;
	shm_atomic64 *slots;
	shm_atomic64 *endpoint_zones;
	struct shm_endpoint_mem *endpoint;
	char *blocks[SHM_CLASSES];
};

// Attaches to the segment in the directory PATH; if there is none and GEOMETRY is given, makes
// directory (mode 0700, or 0770 and group GID if GID isn't -1) and segment first, with PATTERNS.
// Returns 0 or a negative errno, then with a sentence in ERROR (SIZE octets): file, reason, remedy.
int shm_segment_open(struct shm_segment *segment, const char *path,
        const struct shm_geometry *geometry, const char *patterns, int64_t gid, char *error,
        size_t size);

// Unmaps and closes. Accepts a zeroed segment and a second call.
void shm_segment_fini(struct shm_segment *segment);

// Removes the files of the segment in PATH. Returns 0 or a negative errno.
int shm_segment_remove(const char *path);

// Chooses the counts for a segment of about SIZE octets with CHANNELS named channels and ENDPOINTS
// reply channels. Returns 0, or -EINVAL if nothing useful fits (SIZE too small or a count too large).
int shm_geometry_choose(
        struct shm_geometry *geometry, uint64_t size, uint32_t channels, uint32_t endpoints);

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
