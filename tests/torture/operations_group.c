// SPDX-License-Identifier: MIT
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/compact.h"
#include "tests/torture/operations.h"

// ---------------------------------------------------------------------------------------------
// Who has to be in the group
// ---------------------------------------------------------------------------------------------

static struct {
	char name[FOREBAY_NAME_SIZE];
	bool must;
	uint32_t seen;
} expected[WORLD_MEMBERS + 8];
static uint32_t expected_count;

// What the victim does to `victim_target`, which may have happened or not when it dies.
static enum { STAYS, JOINS, LEAVES } target;

static void expect(const char *name, bool must)
{
	uint32_t i = 0;

	while (i < expected_count && strcmp(expected[i].name, name) != 0)
		i++;
	if (i == expected_count)
		strcpy(expected[expected_count++].name, name);
	expected[i].must = must;
}

static int see(const char *channel, void *context)
{
	struct world *world = context;

	for (uint32_t i = 0; i < expected_count; i++) {
		if (strcmp(expected[i].name, channel) != 0)
			continue;
		if (++expected[i].seen > 1)
			world_complain(
			        world, WORLD_DOUBLED, "\"%s\" is in the group twice", channel);
		return 0;
	}
	if (world->alike) // it may be the other victim's
		return 0;
	world_complain(world, WORLD_TORN, "\"%s\" is in the group", channel);
	return 0;
}

static void check_group(struct world *world)
{
	uint64_t size, count = 0;

	for (uint32_t i = 0; i < expected_count; i++)
		expected[i].seen = 0;
	(void)forebay_group_channels(world->a, VICTIM_GROUP, see, world);
	if (world->alike)
		return;
	for (uint32_t i = 0; i < expected_count; i++) {
		bool may = target == JOINS || target == LEAVES;

		count += expected[i].seen;
		if (expected[i].must && expected[i].seen == 0)
			world_complain(
			        world, WORLD_LOST, "\"%s\" isn't in the group", expected[i].name);
		if (!expected[i].must && expected[i].seen > 0 &&
		        !(may && strcmp(expected[i].name, victim_target) == 0))
			world_complain(world, WORLD_DOUBLED, "\"%s\" has left the group",
			        expected[i].name);
	}
	if (forebay_group_size(world->a, VICTIM_GROUP, &size) != 0 || size != count)
		world_complain(world, WORLD_LOST, "the group has a size of %llu with %llu members",
		        (unsigned long long)size, (unsigned long long)count);
}

static void join(struct world *world, const char *name)
{
	int result = forebay_group_add(world->a, VICTIM_GROUP, name);

	expect(name, result == 0);
	if (result != 0)
		world_complain(world, WORLD_BLOCKED, "joining says: %s", forebay_strerror(result));
}

static void leave(struct world *world, const char *name)
{
	int result = forebay_group_discard(world->a, VICTIM_GROUP, name);

	expect(name, false);
	if (result != 0)
		world_complain(world, WORLD_BLOCKED, "leaving says: %s", forebay_strerror(result));
}

// A name that takes two cells.
static const char *long_name(char name[FOREBAY_NAME_SIZE], const char *stem, int number)
{
	snprintf(name, FOREBAY_NAME_SIZE, "%s.%d.%0150d", stem, number, 0);
	return name;
}

// Takes all free cells and gives them back, so that one which is free and yet somewhere in use is overwritten.
static void use_cells(struct world *world)
{
	char name[FOREBAY_NAME_SIZE];
	int result = 0, count = 0;

	for (; result == 0 && count < VICTIM_CELLS; count++)
		result = forebay_group_add(world->a, "filler", long_name(name, "filler", count));
	if (result != FOREBAY_NO_MEMORY)
		world_complain(world, WORLD_BLOCKED, "filling says: %s", forebay_strerror(result));
	while (count-- > 0)
		(void)forebay_group_discard(world->a, "filler", long_name(name, "filler", count));
	(void)shm_compact_all(&world->a->table, channel_now());
}

// ---------------------------------------------------------------------------------------------
// What the tester does before, meanwhile and afterwards
// ---------------------------------------------------------------------------------------------

static void stage_none(struct world *world)
{
	expected_count = 0;
	target = JOINS;
	strcpy(victim_target, world->member[8]);
	expect(victim_target, false);
}

// One that the victim's has to part from.
static void stage_one(struct world *world)
{
	stage_none(world);
	join(world, world->member[0]);
}

static void stage_long(struct world *world)
{
	stage_one(world);
	expected_count = 0;
	expect(world->member[0], true);
	expect(long_name(victim_target, "long", 0), false);
}

static void stage_again(struct world *world)
{
	stage_long(world);
	join(world, victim_target);
	target = STAYS;
}

static void stage_discard(struct world *world)
{
	stage_one(world);
	join(world, victim_target);
	expect(victim_target, false);
	target = LEAVES;
}

static void stage_discard_last(struct world *world)
{
	expected_count = 0;
	target = LEAVES;
	join(world, long_name(victim_target, "long", 0));
	expect(victim_target, false);
}

// Of two nodes below the root one is left with three members, the other with one; of two plain ones one is left.
static void stage_sparse(struct world *world)
{
	char name[FOREBAY_NAME_SIZE];

	expected_count = 0;
	target = STAYS;
	for (int i = 0; i < WORLD_MEMBERS; i++)
		if (i % 8 < 2)
			join(world, world->member[i]);
	for (int i = 0; i < 2; i++)
		join(world, long_name(name, "long", i));
	leave(world, world->member[9]);
	leave(world, name);
}

// b by a plain channel, and by one of its own.
static void stage_send(struct world *world)
{
	expected_count = 0;
	target = STAYS;
	join(world, VICTIM_GROUP);
	join(world, world->member[0]);
}

// Others come and go, also the last one, and the memory of the group, as far as it is free, is used for others.
static void meanwhile_members(struct world *world)
{
	join(world, world->member[3]);
	join(world, world->member[11]);
	leave(world, world->member[11]);
	leave(world, world->member[3]);
	use_cells(world);
	join(world, world->member[3]);
}

static void after_group(struct world *world)
{
	if (victim_report->done && target != STAYS) {
		expect(victim_target, target == JOINS);
		target = STAYS;
	}
	check_group(world);
	use_cells(world);
	check_group(world);
	leave(world, world->member[0]);
	join(world, world->member[5]);
	check_group(world);
}

// Two of b, by two ways; two of the victim, which got it once for both.
static void after_send(struct world *world)
{
	char name[FOREBAY_NAME_SIZE];

	world_drain(world);
	for (int i = 0; i < 2 && world->alike; i++) // members of the other victim's
		(void)forebay_flush(world->a, long_name(name, "long", i), NULL);
	if (!victim_report->done)
		return;
	if (world->company) // b got the other's as well, or the other had all of b's credit
		return;
	if (victim_report->reached != 4 || world->to_group != 1)
		world_complain(world, WORLD_LOST, "%llu members were reached, b by %u of 1 message",
		        (unsigned long long)victim_report->reached, world->to_group);
	if (!victim_report->looked)
		return;
	if (victim_report->copies != 1 || victim_report->recipients != 2)
		world_complain(world, WORLD_LOST, "the victim got %u of 1 messages for %llu of 2",
		        victim_report->copies, (unsigned long long)victim_report->recipients);
}

// A process that has died there; not before the victim is there: it would take its slot.
static void meet_dead_in_group(struct world *world, bool changing)
{
	pid_t pid;

	stage_long(world);
	pid = fork();
	if (pid == 0)
		victim_die_in_group(changing);
	(void)waitpid(pid, NULL, 0);
	expect(victim_target, true);
	target = STAYS;
}

static void meet_dead_adding(struct world *world)
{
	meet_dead_in_group(world, false);
}

static void meet_dead_changing(struct world *world)
{
	meet_dead_in_group(world, true);
}

// ---------------------------------------------------------------------------------------------
// The table
// ---------------------------------------------------------------------------------------------

#define ON_GROUP(NAME, STAGE, ACT, ONE_STOP_IN)                                                    \
	{                                                                                          \
		.name = NAME, .stage = STAGE, .ready = victim_do_nothing, .act = ACT,              \
		.meanwhile = meanwhile_members, .after = after_group, .one_stop_in = ONE_STOP_IN,  \
	}

const struct operation group_operations[] = {
        ON_GROUP("make a group", stage_none, victim_act_group_add, 8),
        ON_GROUP("add to a group", stage_one, victim_act_group_add, 8),
        ON_GROUP("add a long name to a group", stage_long, victim_act_group_add, 8),
        ON_GROUP("renew a member of a group", stage_again, victim_act_group_add, 8),
        ON_GROUP("discard from a group", stage_discard, victim_act_group_discard, 8),
        ON_GROUP("end a group", stage_discard_last, victim_act_group_discard, 2),
        {
                .name = "make a group smaller",
                .stage = stage_sparse,
                .ready = victim_do_nothing,
                .act = victim_act_compact,
                .meanwhile = meanwhile_members,
                .after = after_group,
                .one_kill_in = 6,
                .one_stop_in = 24,
        },
        {
                .name = "send to a group",
                .stage = stage_send,
                .ready = victim_ready_group_send,
                .act = victim_act_group_send,
                .leave = victim_leave_group_send,
                .meanwhile = use_cells,
                .after = after_send,
                .one_stop_in = 8,
        },
        {
                .name = "reap who was adding to a group",
                .ready = victim_do_nothing,
                .meet = meet_dead_adding,
                .act = victim_act_reap,
                .after = after_group,
                .one_stop_in = 8,
        },
        {
                .name = "reap who was changing a group",
                .ready = victim_do_nothing,
                .meet = meet_dead_changing,
                .act = victim_act_reap,
                .after = after_group,
                .one_stop_in = 8,
        },
};

const uint32_t group_operation_count = sizeof group_operations / sizeof *group_operations;
