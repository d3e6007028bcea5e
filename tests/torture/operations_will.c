// SPDX-License-Identifier: MIT
#include <unistd.h>

#include "tests/torture/operations.h"

// A process that dies having said that its reply channel is open. Not before the victim is there: it would take its slot.
static void meet_dead_announced(struct world *world)
{
	uint64_t number = world_number(world, WORLD_DOOMED, WORLD_MUST);
	pid_t pid = fork();

	if (pid == 0)
		victim_die_announced(number);
	world_await_doomed(world, pid, &number, 1);
}

// Or in the middle of saying so, or of the farewell.
static void meet_dead_claiming(struct world *world, bool farewell, bool sent)
{
	uint64_t number =
	        world_number(world, WORLD_DOOMED, farewell || sent ? WORLD_MUST : WORLD_NEVER);
	pid_t pid = fork();

	if (pid == 0)
		victim_die_claiming(number, farewell, sent);
	world_await_doomed(world, pid, &number, 1);
}

static void meet_dead_announcing(struct world *world)
{
	meet_dead_claiming(world, false, true);
}

static void meet_dead_not_announcing(struct world *world)
{
	meet_dead_claiming(world, false, false);
}

static void meet_dead_leaving(struct world *world)
{
	meet_dead_claiming(world, true, true);
}

static void meet_dead_not_leaving(struct world *world)
{
	meet_dead_claiming(world, true, false);
}

// There is no room for what is to be said.
static void fill_channel(struct world *world, const char *channel)
{
	struct forebay_channel_stat stat = {0};

	// Another victim may have been there first.
	(void)forebay_stat_channel(world->a, channel, &stat);
	for (uint64_t i = stat.pending; i < WORLD_WILL_ROOM; i++)
		world_send(world, world->a, WORLD_A, channel, 10, WORLD_MUST);
}

static void stage_no_room_to_announce(struct world *world)
{
	fill_channel(world, "websocket.connect");
}

static void stage_no_room_to_farewell(struct world *world)
{
	fill_channel(world, "websocket.disconnect");
}

// Nobody is left that could farewell: both messages came, or neither did.
static void after_will(struct world *world)
{
	const uint32_t most = world->alike ? VICTIMS : 1;

	// What has found no room is sent when there is some.
	for (uint32_t round = 0; round < 2 * most; round++) {
		(void)forebay_reap(world->a);
		world_drain_channel(world, "websocket.connect");
		world_drain_channel(world, "websocket.disconnect");
	}
	if (world->connects > most || world->disconnects > world->connects)
		world_complain(world, WORLD_DOUBLED, "%u connects and %u disconnects",
		        world->connects, world->disconnects);
	if (world->disconnects < world->connects)
		world_complain(world, WORLD_LOST, "%u connects and %u disconnects", world->connects,
		        world->disconnects);
}

// ---------------------------------------------------------------------------------------------
// The table
// ---------------------------------------------------------------------------------------------

#define REAP_CLAIM(NAME, MEET)                                                                     \
	{                                                                                          \
		.name = NAME, .ready = victim_do_nothing, .meet = MEET, .act = victim_act_reap,    \
		.after = after_will, .one_kill_in = 2, .one_stop_in = 16,                          \
	}

const struct operation will_operations[] = {
        {
                .name = "announce a reply channel",
                .ready = victim_ready_announce,
                .act = victim_act_announce,
                .after = after_will,
                .one_stop_in = 8,
        },
        {
                .name = "farewell a reply channel",
                .ready = victim_ready_farewell,
                .act = victim_act_farewell,
                .after = after_will,
                .one_stop_in = 8,
        },
        {
                .name = "announce a reply channel without room",
                .stage = stage_no_room_to_announce,
                .ready = victim_ready_announce,
                .act = victim_act_announce,
                .after = after_will,
                .one_stop_in = 8,
        },
        {
                .name = "farewell a reply channel without room",
                .stage = stage_no_room_to_farewell,
                .ready = victim_ready_farewell,
                .act = victim_act_farewell,
                .after = after_will,
                .one_stop_in = 8,
        },
        {
                .name = "detach with a reply channel announced",
                .ready = victim_ready_detach_announced,
                .act = victim_act_detach,
                .after = after_will,
                .one_stop_in = 8,
        },
        {
                .name = "reap who had announced a reply channel",
                .ready = victim_do_nothing,
                .meet = meet_dead_announced,
                .act = victim_act_reap,
                .after = after_will,
                .one_stop_in = 8,
        },
        REAP_CLAIM("reap who was announcing, after it was sent", meet_dead_announcing),
        REAP_CLAIM("reap who was announcing, before it was sent", meet_dead_not_announcing),
        REAP_CLAIM("reap who was taking leave, after it was sent", meet_dead_leaving),
        REAP_CLAIM("reap who was taking leave, before it was sent", meet_dead_not_leaving),
};

const uint32_t will_operation_count = sizeof will_operations / sizeof *will_operations;
