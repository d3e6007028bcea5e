// SPDX-License-Identifier: MIT
// explore.c - runs a scenario in all its interleavings.
//
// The processes are coroutines; one is switched to at a time, and each operation on a shared word is a
// point at which another may be chosen, or a process killed. An execution is the list of its choices;
// the next one repeats all but the last of them, which it makes differently (a depth-first search
// without stored states). It is cut short at a state that has been met before. A state is known by a
// hash of the histories of all words, of each process's view and of all results that it was given, which
// decide where it is and what is in its variables. With 64 bits, the chance that among ten million states two
// are taken for one is 1 in 400,000.
//
// Since a state's successors don't depend on how it was reached, every path from it has been looked at when
// the search ends. There are no cycles (results only grow), so each process that is let run comes to an end.
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/model/coroutine.h"
#include "tests/model/engine.h"

enum {
	CHOICES_MAX = 1 << 16, // in one execution
	NAPS_MAX = 3,          // time-outs in one execution
	SOLO_MAX = 4000,       // operations of a process that runs alone
	LEARNING = 5000,       // executions
};

struct engine engine;
struct model_arena model_arena;

static struct model_arena initial;
static const struct model_scenario *scenario;
static const struct model_options *options;
static struct model_result *result;

static struct {
	uint8_t taken, count;
} choices[CHOICES_MAX];
static uint32_t at, known; // the next choice; choices that this execution repeats
static bool solo;          // one process runs alone: no choices
static bool by_chance;     // choices are made at random
static uint64_t random_state;

// ---------------------------------------------------------------------------------------------
// Known states: a hash set, 0 is empty
// ---------------------------------------------------------------------------------------------

static uint64_t *seen;
static uint64_t seen_size, seen_count;

static bool insert(uint64_t *table, uint64_t size, uint64_t hash)
{
	uint64_t i = hash & (size - 1);

	for (; table[i]; i = (i + 1) & (size - 1))
		if (table[i] == hash)
			return false;
	table[i] = hash;
	return true;
}

static void forget(void)
{
	free(seen);
	seen_size = 1 << 16;
	seen_count = 0;
	seen = calloc(seen_size, sizeof *seen);
}

// True if the state is new.
static bool remember(uint64_t hash)
{
	hash |= hash == 0;
	if (seen_count * 2 > seen_size) {
		uint64_t *larger = calloc(seen_size * 2, sizeof *larger);

		for (uint64_t i = 0; i < seen_size; i++)
			if (seen[i])
				insert(larger, seen_size * 2, seen[i]);
		free(seen);
		seen = larger;
		seen_size *= 2;
	}
	if (!insert(seen, seen_size, hash))
		return false;
	seen_count++;
	return true;
}

static uint64_t hash_of(const void *memory, size_t size)
{
	const char *bytes = memory;
	uint64_t hash = 0, eight;

	for (size_t i = 0; i + 8 <= size; i += 8) {
		memcpy(&eight, bytes + i, 8);
		hash = engine_mix(hash, eight);
	}
	return hash;
}

// Of a process that has ended, only what it left matters: for the audit and, if it can still be killed,
// for who learns of its death.
static void settle(int process)
{
	struct model_own *own = &model_arena.own[process];
	size_t log = offsetof(struct model_own, received);

	engine.settled[process] = engine.status[process] == ENGINE_DEAD
	                                  ? hash_of(own->received, sizeof *own - log)
	                                  : hash_of(own, sizeof *own);
}

static uint64_t state_hash(void)
{
	uint64_t hash = engine_memory_hash();

	for (int i = 0; i < scenario->processes; i++) {
		enum engine_status status = engine.status[i];
		bool ended = status == ENGINE_DONE || status == ENGINE_DEAD;
		uint64_t part = ended ? engine.settled[i] : engine.learned[i];

		if (!ended || (status == ENGINE_DONE && (scenario->killable >> i & 1)))
			part = engine_mix(part, engine_view_hash(i));
		hash += engine_mix(part, (uint64_t)status + 8 * (uint64_t)i);
	}
	return engine_mix(hash, (uint64_t)engine.deaths);
}

// ---------------------------------------------------------------------------------------------
// Choices
// ---------------------------------------------------------------------------------------------

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

uint32_t engine_choose(uint32_t count)
{
	if (count == 1 || solo)
		return 0;
	if (at == CHOICES_MAX || count > UINT8_MAX) {
		fprintf(stderr, "model: too many choices\n");
		exit(EXIT_FAILURE);
	}
	if (at < known) {
		if (choices[at].count != count) {
			fprintf(stderr, "model: %s isn't deterministic\n", scenario->name);
			exit(EXIT_FAILURE);
		}
		return choices[at++].taken;
	}
	choices[at].count = (uint8_t)count;
	choices[at].taken = by_chance ? (uint8_t)(next_random() % count) : 0;
	return choices[at++].taken;
}

// Makes the last choice differently that can be. False if there is none.
static bool next_execution(void)
{
	while (at > 0 && choices[at - 1].taken + 1 == choices[at - 1].count)
		at--;
	if (at == 0)
		return false;
	choices[at - 1].taken++;
	known = at;
	return true;
}

// ---------------------------------------------------------------------------------------------
// Processes
// ---------------------------------------------------------------------------------------------

static struct coroutine scheduler, processes[MODEL_PROCESSES];

void engine_yield(void)
{
	coroutine_switch(&processes[engine.self], &scheduler);
}

void engine_learn(uint64_t value)
{
	uint64_t *learned = &engine.learned[engine.self];

	*learned = engine_mix(*learned, value);
}

void model_fail(const char *format, ...)
{
	va_list arguments;

	if (!engine.failed) {
		va_start(arguments, format);
		vsnprintf(engine.failure, sizeof engine.failure, format, arguments);
		va_end(arguments);
	}
	engine.failed = true;
	while (!engine.direct && !engine.dying)
		engine_yield();
}

static void run_process(void)
{
	int self = engine.self;

	scenario->run[self](&model_arena.own[self]);
	engine.status[self] = ENGINE_DONE;
	settle(self);
	for (;;)
		engine_yield();
}

static void resume(int process)
{
	engine.self = process;
	coroutine_switch(&scheduler, &processes[process]);
	if (engine.steps[process] > result->longest)
		result->longest = engine.steps[process];
}

bool engine_sleep(void *word)
{
	int self = engine.self;

	engine.status[self] = ENGINE_ASLEEP;
	engine.asleep_on[self] = word;
	engine.timed_out[self] = false;
	engine_learn(1);
	while (engine.status[self] == ENGINE_ASLEEP)
		engine_yield();
	engine_learn(engine.timed_out[self]);
	return !engine.timed_out[self];
}

int engine_wake(int process, void *word)
{
	if (engine.status[process] != ENGINE_ASLEEP || engine.asleep_on[process] != word)
		return 0;
	engine.status[process] = ENGINE_READY;
	return 1;
}

void model_await_deaths(int number)
{
	int self = engine.self;

	while (engine.deaths < number) {
		engine.status[self] = ENGINE_WATCHING;
		engine_yield();
	}
}

static void kill_process(int process)
{
	if (engine.trace)
		printf("#   %d  is killed\n", process);
	engine_release_locks(process);
	engine.status[process] = ENGINE_DEAD;
	engine.deaths++;
	settle(process);
	for (int i = 0; i < scenario->processes; i++)
		if (engine.status[i] == ENGINE_WATCHING)
			engine.status[i] = ENGINE_READY;
}

// ---------------------------------------------------------------------------------------------
// One execution
// ---------------------------------------------------------------------------------------------

static void start(void)
{
	memcpy(&model_arena, &initial, sizeof model_arena);
	engine_memory_restart();
	at = 0;
	solo = false;
	engine.deaths = 0;
	engine.failed = false;
	engine.direct = engine.dying = false;
	for (int i = 0; i < scenario->processes; i++) {
		engine.status[i] = ENGINE_READY;
		engine.learned[i] = 0;
		engine.steps[i] = 0;
		coroutine_init(&processes[i], run_process);
	}
}

// Nothing can happen any more, except that sleepers' time is up: if somebody died, it may be that he was to
// wake them. Otherwise who sleeps now has been forgotten, and the audit will see.
static bool end_naps(int *naps)
{
	bool any = false;

	for (int i = 0; i < scenario->processes && engine.deaths > 0 && *naps < NAPS_MAX; i++) {
		if (engine.status[i] != ENGINE_ASLEEP)
			continue;
		engine.status[i] = ENGINE_READY;
		engine.timed_out[i] = true;
		any = true;
	}
	*naps += any;
	return any;
}

// Lets PROCESS run alone until it ends or sleeps: whatever the others have left half done.
static void run_alone(int process)
{
	uint32_t before = engine.steps[process];

	solo = true;
	while (engine.status[process] == ENGINE_READY && !engine.failed) {
		resume(process);
		if (engine.steps[process] - before > SOLO_MAX)
			model_fail("process %d, alone, doesn't come to an end", process);
	}
}

static void audit(void)
{
	engine.direct = true;
	engine.self = scenario->processes;
	scenario->audit(&model_arena.own[scenario->processes]);
}

// Who can run, and then who can be killed (as negative numbers). The one that ran last comes first.
static int collect(int last, int actions[2 * MODEL_PROCESSES + 1], bool *running)
{
	int count = 0;

	if (last >= 0 && engine.status[last] == ENGINE_READY)
		actions[count++] = last;
	for (int i = 0; i < scenario->processes; i++)
		if (i != last && engine.status[i] == ENGINE_READY)
			actions[count++] = i;
	*running = count > 0;
	if (!*running)
		actions[count++] = MODEL_PROCESSES; // the end
	for (int i = 0; i < scenario->processes && engine.deaths < scenario->kills; i++)
		if ((scenario->killable >> i & 1) && engine.status[i] != ENGINE_DEAD)
			actions[count++] = -1 - i;
	return count;
}

// Tries each ready process alone, in executions of their own. True if this is one of them.
static bool try_alone(const int *actions, int count)
{
	uint32_t chosen;
	int ready = 0;

	while (ready < count && actions[ready] >= 0 && actions[ready] < MODEL_PROCESSES)
		ready++;
	chosen = engine_choose(1 + (uint32_t)ready);
	if (chosen > 0)
		run_alone(actions[chosen - 1]);
	return chosen > 0;
}

static void execute(void)
{
	int actions[2 * MODEL_PROCESSES + 1], last = -1, naps = 0, action;

	start();
	while (!engine.failed) {
		bool running;
		int count = collect(last, actions, &running);

		if (!by_chance && at == known && !engine.trace && !remember(state_hash()))
			return;
		if (options->solo && try_alone(actions, count))
			return;
		action = actions[engine_choose((uint32_t)count)];
		if (action < 0) {
			kill_process(-1 - action);
		} else if (action < MODEL_PROCESSES) {
			last = action;
			resume(action);
		} else if (!end_naps(&naps)) {
			break;
		}
	}
	if (!engine.failed)
		audit();
	engine.direct = true;
}

// ---------------------------------------------------------------------------------------------
// All of them
// ---------------------------------------------------------------------------------------------

static void set_up(void)
{
	memset(&model_arena, 0, sizeof model_arena);
	engine.direct = true;
	engine.failed = false;
	model_prepare(scenario);
	scenario->setup();
	if (engine.failed) {
		fprintf(stderr, "model: setup of %s: %s\n", scenario->name, engine.failure);
		exit(EXIT_FAILURE);
	}
	memcpy(&initial, &model_arena, sizeof model_arena);
}

static void print_execution(void)
{
	printf("# %s: %s\n", scenario->name, engine.failure);
	known = at;
	engine.trace = true;
	execute();
	engine.trace = false;
	fflush(stdout);
}

// Executions at random find most of what is shared, until they find nothing new for a while. What they miss
// makes the exploration start again.
static void learn_sharing(void)
{
	by_chance = true;
	for (int left = LEARNING; left > 0; left--) {
		known = 0;
		engine.conflict_found = false;
		execute();
		if (engine.conflict_found)
			left = LEARNING;
	}
}

// False if sharing was found that nobody knew of: what was explored before counts for nothing.
static bool explore(bool trace)
{
	bool more = true;

	forget();
	engine.conflict_found = engine.truncated = false;
	known = 0;
	by_chance = options->random != 0;
	result->executions = 0;
	while (more) {
		execute();
		result->executions++;
		// First: an execution that went by what wasn't known can't be repeated.
		if (engine.conflict_found)
			return false;
		if (engine.failed) {
			result->violated = true;
			memcpy(result->failure, engine.failure, sizeof result->failure);
			if (trace)
				print_execution();
			return true;
		}
		if (options->random) {
			known = 0;
			more = result->executions < options->random;
		} else {
			more = next_execution();
		}
		if (more && options->states && seen_count > options->states)
			return true;
	}
	result->exhausted = !options->random;
	return true;
}

struct model_result model_explore(
        const struct model_scenario *given, const struct model_options *given_options, bool trace)
{
	struct model_result made = {0};

	scenario = given;
	options = given_options;
	result = &made;
	engine.stale = options->stale ? options->stale : UINT32_MAX;
	random_state = options->seed * 2654435761u + 88172645463325252ull;
	engine_memory_forget();
	set_up();
	do
		learn_sharing();
	while (!explore(trace));
	made.states = seen_count;
	made.words = engine_words();
	made.truncated = engine.truncated;
	return made;
}

// ---------------------------------------------------------------------------------------------
// Questions of setups and audits
// ---------------------------------------------------------------------------------------------

void model_act_for(int process)
{
	engine.self = process;
}

bool model_is_dead(int process)
{
	return engine.status[process] == ENGINE_DEAD;
}

bool model_is_asleep(int process)
{
	return engine.status[process] == ENGINE_ASLEEP;
}

int model_deaths(void)
{
	return engine.deaths;
}
