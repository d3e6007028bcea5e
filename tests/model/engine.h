// SPDX-License-Identifier: MIT
// engine.h - what the parts of the model share: memory.c, kernel.c, explore.c.
#pragma once

#include "tests/model/memory.h"
#include "tests/model/model.h"

enum engine_status {
	ENGINE_READY,
	ENGINE_ASLEEP,   // in the futex
	ENGINE_WATCHING, // for a death
	ENGINE_DONE,
	ENGINE_DEAD,
};

// The state of an execution that isn't in the arena.
struct engine {
	bool direct; // no processes run: setup and audit; operations are plain accesses
	bool dying;  // what is done is done by the kernel, for a process that has died
	int self;    // the process that runs, or that setup and audit act for
	int deaths;
	enum engine_status status[MODEL_PROCESSES];
	void *asleep_on[MODEL_PROCESSES];
	bool timed_out[MODEL_PROCESSES];
	uint64_t learned[MODEL_PROCESSES]; // a hash of all results: stands for its private state
	uint64_t settled[MODEL_PROCESSES]; // of what it has left for the audit, when it has ended
	uint32_t steps[MODEL_PROCESSES];
	bool failed;
	char failure[512];

	// Kept over executions.
	bool trace;
	uint32_t newest;     // how many of the newest writes a load may choose from; 0: all
	uint32_t stale;      // how often a process may read an old write of one word
	bool truncated;      // one of the two has been felt
	bool conflict_found; // more words turned out to be shared than was assumed
	uint32_t longest;    // operations of one process in one execution, at most
};

extern struct engine engine;

// explore.c: chooses one of COUNT, and lets another process run.
uint32_t engine_choose(uint32_t count);
void engine_yield(void);

// Puts the running process to sleep on WORD: true when it was woken, false when its time was up.
bool engine_sleep(void *word);
// Wakes the process if it sleeps there. Returns how many were woken.
int engine_wake(int process, void *word);

// memory.c
void engine_memory_forget(void);  // what was learned of sharing: another scenario begins
void engine_memory_restart(void); // an execution begins; the arena's contents are the first writes
void engine_point(const void *object, size_t size, bool writes);
uint64_t engine_memory_hash(void);
uint64_t engine_view_hash(int process);
uint64_t engine_newest(void *object, size_t size);
uint32_t engine_words(void);

// Notes the result of an operation in what the process has learned.
void engine_learn(uint64_t value);

// kernel.c: a process has died.
void engine_release_locks(int process);

static inline uint64_t engine_mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product =
	        (unsigned __int128)(a ^ 0x9e3779b97f4a7c15ull) * (b ^ 0xe7037ed1a0b428dbull);

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}
