// SPDX-License-Identifier: MIT
// model.h - scenarios for the model checker: a few processes, each running shm's real code on one tiny
// segment, in every possible interleaving.
//
// A scenario's state is all in the arena, which is put back before each execution: the segment, and for
// each process what it has for itself. A process must not leave anything anywhere else, nor look into
// another's part; what it reads in the segment goes through shm's operations, or model_read().
#pragma once

#include <stdint.h>

#include "shm/doorbell.h"
#include "shm/endpoint.h"
#include "shm/reaper.h"
#include "shm/table.h"

enum {
	MODEL_PROCESSES = SHM_PROCESSES, // the last one of a scenario is its auditor
	MODEL_SHARED = 12288,
	MODEL_LOG = 16,
};

// What a process has for itself.
struct model_own {
	struct shm_segment segment;
	struct shm_process self;
	struct shm_pool pool;
	struct shm_table table;
	struct shm_doorbell bell;
	struct shm_ring ring[2]; // the scenario's channels, as found in the setup
	struct shm_entry group;  // and its group

	int opened; // descriptors
	size_t heap_used;
	_Alignas(16) char heap[256];

	// What happened to it, for the audit.
	uint64_t received[MODEL_LOG];
	uint32_t received_count;
	uint64_t sent[MODEL_LOG]; // successfully
	uint32_t sent_count;
	uint64_t note[4];
	struct shm_reaped reaped;
};

struct model_arena {
	_Alignas(SHM_LINE_PAIR) char shared[MODEL_SHARED];
	shm_atomic64 *locks; // of the slots; in `shared`
	struct model_own own[MODEL_PROCESSES];
};

extern struct model_arena model_arena;

struct model_scenario {
	const char *name;
	const char *intent; // what is true in every execution
	int processes;      // without the auditor
	unsigned killable;  // processes, as bits
	int kills;          // that there may be in one execution
	unsigned consumers; // processes, as bits, that may have a message in hand when they die
	unsigned late;      // processes, as bits, that aren't attached by the setup
	uint32_t channels, endpoint_zones;
	uint32_t groups, cells; // the first cells are the reserve
	uint32_t metrics;
	uint32_t zones, zone; // of small blocks, and the blocks in one
	uint32_t large;       // blocks for extents
	uint32_t stale; // old writes that a process may read of one word, in the quick run; 0: all
	void (*setup)(void);
	void (*run[MODEL_PROCESSES])(struct model_own *own);
	void (*audit)(struct model_own *auditor);
};

// Defines a scenario. All are listed in the section `model_scenarios`, by file and place in it.
#define MODEL_SCENARIO(ID)                                                                         \
	static const struct model_scenario scenario_##ID;                                          \
	static const struct model_scenario *const scenario_entry_##ID                              \
	        __attribute__((section("model_scenarios"), used)) = &scenario_##ID;                \
	static const struct model_scenario scenario_##ID

extern const struct model_scenario *const __start_model_scenarios[],
        *const __stop_model_scenarios[];

// Lays out the scenario's segment, and attaches its processes.
void model_prepare(const struct model_scenario *scenario);

// ---------------------------------------------------------------------------------------------
// For setups and audits: operations act at once, for the process that was last named
// ---------------------------------------------------------------------------------------------

void model_act_for(int process);
bool model_is_dead(int process);
bool model_is_asleep(int process);
int model_deaths(void);

// Attaches, as channel/ does it, and detaches.
void model_attach(struct model_own *own);
void model_detach(struct model_own *own);

// ---------------------------------------------------------------------------------------------
// For processes
// ---------------------------------------------------------------------------------------------

// Goes on when NUMBER processes have died; never, in executions where they don't.
void model_await_deaths(int number);

// A violation unless CONDITION.
#define MODEL_ASSERT(CONDITION)                                                                    \
	do {                                                                                       \
		if (!(CONDITION))                                                                  \
			model_fail("%s:%d: expected %s", __FILE_NAME__, __LINE__, #CONDITION);     \
	} while (0)

// ---------------------------------------------------------------------------------------------
// The explorer
// ---------------------------------------------------------------------------------------------

struct model_options {
	uint32_t stale;  // old writes that a process may read of one word; 0: all
	uint64_t states; // after so many the exploration is given up; 0: never
	uint64_t random; // executions at random instead of all; 0: all
	uint64_t seed;
	bool solo; // from every state, let each process run alone to its end
};

struct model_result {
	bool violated;
	bool exhausted; // every execution was looked at ...
	bool truncated; // ... but for the bound on old writes
	uint64_t executions, states;
	uint32_t words, longest;
	char failure[512];
};

// Explores the scenario. On a violation its execution is printed, operation by operation, if TRACE.
struct model_result model_explore(
        const struct model_scenario *scenario, const struct model_options *options, bool trace);
