// SPDX-License-Identifier: MIT
#include "tests/torture/pair.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/torture/trial.h"

enum {
	HANG = 60, // s for one pair: only a hang takes that long
};

// One of the two, with what the tester keeps of it while it deals with the other.
struct party {
	const struct pair_choice *choice;
	uint32_t instruction;
	bool killed;
	pid_t pid;
	char target[FOREBAY_NAME_SIZE];
	struct forebay_history asked;
};

struct pair {
	struct party party[VICTIMS];
	uint32_t first; // to be killed, or to go on
	bool reap_first;
};

static uint64_t dice;

// splitmix64
static uint32_t roll(uint32_t sides)
{
	uint64_t value = dice += 0x9e3779b97f4a7c15ull;

	value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9ull;
	value = (value ^ value >> 27) * 0x94d049bb133111ebull;
	return (uint32_t)((value ^ value >> 31) >> 32) % sides;
}

// Half of the time where something has just happened, or is about to.
static uint32_t choose_instruction(const struct tracer_path *path)
{
	uint32_t instruction = roll(path->count + 1);

	if (roll(2))
		return instruction;
	while (instruction < path->count && !path->events[instruction])
		instruction++;
	return instruction - (instruction > 0 ? roll(2) : 0);
}

static void choose(
        struct pair *pair, const struct pair_choice *choices, uint32_t count, uint64_t seed)
{
	dice = seed;
	for (int i = 0; i < VICTIMS; i++)
		pair->party[i].choice = &choices[roll(count)];
	for (int i = 0; i < VICTIMS; i++) {
		pair->party[i].instruction = choose_instruction(&pair->party[i].choice->path);
		pair->party[i].killed = roll(3) > 0;
	}
	pair->first = roll(VICTIMS);
	pair->reap_first = roll(2);
}

// What the tester and the operations know of a victim is of this one from now on.
static void turn_to(struct pair *pair, uint32_t i)
{
	victim_report = &victim_reports[i];
	strcpy(victim_target, pair->party[i].target);
	victim_asked = pair->party[i].asked;
}

static void begin(struct world *world, struct pair *pair)
{
	for (uint32_t i = 0; i < VICTIMS; i++) {
		struct party *party = &pair->party[i];

		victim_report = &victim_reports[i];
		party->pid = trial_start(world, party->choice->operation);
		strcpy(party->target, victim_target);
		party->asked = victim_asked;
	}
	// Those who die before aren't to be met by who attaches: it would get their slot.
	for (uint32_t i = 0; i < VICTIMS; i++) {
		turn_to(pair, i);
		if (pair->party[i].choice->operation->meet)
			pair->party[i].choice->operation->meet(world);
		strcpy(pair->party[i].target, victim_target);
	}
	// The second one may take another way than the recorded one, because of the first, and stands wherever that led.
	for (uint32_t i = 0; i < VICTIMS; i++)
		if (pair->party[i].pid > 0)
			(void)tracer_go(pair->party[i].pid, &pair->party[i].choice->path,
			        pair->party[i].instruction);
}

static void end(struct world *world, struct pair *pair, uint32_t i)
{
	const struct party *party = &pair->party[i];

	turn_to(pair, i);
	if (party->pid == 0)
		return;
	if (party->killed) {
		trial_kill(party->pid);
		return;
	}
	// It may wait for what the other one has taken.
	world_drain(world);
	channel_reply_heal(world->b);
	if (party->choice->operation->meanwhile)
		party->choice->operation->meanwhile(world);
	trial_finish(world, party->choice->operation, party->pid);
}

static void judge(struct world *world, struct pair *pair)
{
	for (uint32_t i = 0; i < VICTIMS; i++) {
		turn_to(pair, i);
		trial_enter(world);
	}
	world_drain(world);
	(void)forebay_reap(world->a);
	for (uint32_t i = 0; i < VICTIMS; i++) {
		turn_to(pair, i);
		if (pair->party[i].choice->operation->after)
			pair->party[i].choice->operation->after(world);
	}
	world_settle(world, 0);
	for (uint32_t i = 0; i < VICTIMS; i++) {
		turn_to(pair, i);
		if (pair->party[i].choice->operation->clean)
			pair->party[i].choice->operation->clean();
	}
}

static void describe(const struct pair *pair, uint64_t seed, char *text, size_t size)
{
	int length = snprintf(text, size, "pair of seed %llu", (unsigned long long)seed);

	for (uint32_t i = 0; i < VICTIMS; i++)
		length += snprintf(text + length, size - (size_t)length, "; %s, %u, %s%s",
		        pair->party[i].choice->operation->name, pair->party[i].instruction,
		        pair->party[i].killed ? "killed" : "stopped",
		        pair->first == i ? " first" : "");
}

static void try(struct world *world, struct pair *pair, uint64_t seed)
{
	const struct pair_choice *one = pair->party[0].choice, *two = pair->party[1].choice;
	static char what[256];

	describe(pair, seed, what, sizeof what);
	world_begin(world, what, 0);
	world->company = true;
	// The first table's operations have nothing in common but what they say themselves.
	world->alike = one->operation == two->operation ||
	               (one->table == two->table && one->table != operations);
	begin(world, pair);
	world_others_go_on(world, pair->reap_first);
	end(world, pair, pair->first);
	world_others_go_on(world, pair->reap_first);
	end(world, pair, 1 - pair->first);
	world_others_go_on(world, pair->reap_first);
	judge(world, pair);
}

void pair_test(struct world *world, const struct pair_choice *choices, uint32_t count,
        uint64_t pairs, uint64_t seed, bool first_only)
{
	for (uint64_t i = 0; i < pairs && !(first_only && world->complaints > 0); i++) {
		struct pair pair = {0};

		choose(&pair, choices, count, seed + i);
		alarm(HANG);
		try(world, &pair, seed + i);
	}
	alarm(0);
}
