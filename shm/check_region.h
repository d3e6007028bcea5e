// SPDX-License-Identifier: MIT
// check_region.h - what the files of the checker share with each other: the rows of its table.
#pragma once

#include "shm/check.h"

// Something that looks wrong. It is the same suspicion as long as kind and word are the same.
struct suspicion {
	enum shm_finding_kind kind;
	uint32_t index;  // of the region's item
	uint32_t detail; // for the region's mend()
	uint64_t word;   // the value that is suspected
	char where[SHM_WHERE_SIZE];
};

// A run of the checker.
struct examination {
	struct shm_check *check;
	struct shm_segment *segment;
	struct shm_pool pool;       // to look at blocks; owns none
	struct shm_table table;     // to look at channels; without a process
	bool counting;              // the first look at an item: for the summary
	bool locked[SHM_PROCESSES]; // slots that a living process held a moment ago
	uint64_t *slots;            // a copy of one ring's
	uint32_t *reached;          // per channel: its generation when it was met in a list
	uint32_t *walk;             // per channel: the last walk that met it
	uint32_t walks;
	uint32_t *cells; // per cell: the last walk that met it
	uint32_t *met;   // per cell: the group, as entry + 1, in whose tree it was met last
	char (*files)[256];
	uint32_t file_count;
	struct suspicion *suspicions;
	uint32_t suspicion_count;
};

struct region {
	// How many items there are now.
	uint32_t (*count)(struct examination *examination);
	// Looks at one, reading each word once. True if something looks wrong.
	bool (*look)(struct examination *examination, uint32_t index, struct suspicion *found);
	// Mends it, as an attached process. False if that has to be left.
	bool (*mend)(struct examination *examination, const struct suspicion *found);
};

extern const struct region region_file, region_processes, region_block_zones, region_blocks,
        region_endpoint_zones, region_endpoints, region_channels, region_listeners, region_rings,
        region_buckets, region_reach, region_groups, region_cells, region_hazards, region_prefixes,
        region_metric_cells, region_metrics, region_wills, region_directory;

// Fills FOUND in, and returns true.
__attribute__((format(printf, 4, 5))) bool suspect(struct suspicion *found,
        enum shm_finding_kind kind, uint64_t word, const char *format, ...);

// Who a uid, as it stands in some word, is.
enum holder {
	HOLDER_ALIVE,
	HOLDER_DEAD, // and not reaped yet, so what it holds is no finding of its own
	HOLDER_GONE, // nobody: an earlier user of its slot, or no uid at all
};
enum holder holder_of(const struct examination *examination, uint64_t uid);

// True if no living process but this one is attached.
bool is_alone(const struct examination *examination);

// " NAME" of a channel, printable whatever is there.
void describe_channel(
        const struct examination *examination, uint32_t index, char *text, size_t size);
