// SPDX-License-Identifier: MIT
#include <string.h>

#include "tests/torture/operations.h"

// ---------------------------------------------------------------------------------------------
// What is kept
// ---------------------------------------------------------------------------------------------

// What a had read of the history before the victim came, and what was sent since by a.
static struct {
	struct forebay_history history;
	uint32_t sent;
	bool ended; // by a, or perhaps by the victim: another epoch may have begun
	bool judged;
} known;

// One message to the group by a, which is kept unless it is larger than the history.
static void say(struct world *world, uint32_t length)
{
	uint64_t number = world_number(world, WORLD_A, WORLD_MUST), reached;
	struct forebay_message *message =
	        traffic_build(world->a, VICTIM_LOG, WORLD_A, number, length, NULL);
	int result = forebay_group_send(world->a, VICTIM_LOG, message, &reached);

	forebay_message_free(message);
	known.sent++;
	// Another victim may have taken the credit of one of them.
	if (result != 0 || (reached != 2 && !world->company))
		world_complain(world, WORLD_BLOCKED,
		        "sending to the group says: %s; %llu of 2 members were reached",
		        forebay_strerror(result), (unsigned long long)reached);
	world_drain(world);
}

// A history as it was shown, from an offset on.
struct sight {
	struct world *world;
	uint64_t epoch, offset;        // of the last message shown, or what was asked for
	uint32_t count;                // of messages shown
	bool whole;                    // no offset is left out
	uint32_t next[WORLD_SENDERS];  // number of each sender's, at least
	struct traffic_stamp youngest; // the last message shown
};

static struct sight begin_sight(struct world *world, const struct forebay_history *asked)
{
	return (struct sight){
	        .world = world, .epoch = asked->epoch, .offset = asked->offset, .whole = true};
}

// One message of a history: whole, at its place, in its sender's order, and in order of the offsets. The first may be
// of another epoch than was asked for, whose offsets begin anywhere.
static void judge_place(
        struct sight *sight, const struct traffic_stamp *stamp, const struct world_place *place)
{
	uint32_t number = (uint32_t)(stamp->number % WORLD_NUMBERS);

	if (stamp->sender >= WORLD_SENDERS) {
		world_complain(sight->world, WORLD_TORN, "a message in a history");
		return;
	}
	world_placed(sight->world, stamp, place);
	if (place->epoch != sight->epoch && sight->count == 0) {
		sight->epoch = place->epoch;
		sight->offset = place->offset - 1;
		sight->whole = false;
	}
	if (place->epoch != sight->epoch || place->offset <= sight->offset ||
	        number < sight->next[stamp->sender])
		world_complain(sight->world, WORLD_REORDERED,
		        "message %u of sender %u at offset %llu comes after %llu", number,
		        (unsigned)stamp->sender, (unsigned long long)place->offset,
		        (unsigned long long)sight->offset);
	sight->whole &= place->offset == sight->offset + 1;
	sight->offset = place->offset;
	sight->next[stamp->sender] = number + 1;
	sight->youngest = *stamp;
	sight->count++;
}

static int see(struct forebay_message *message, void *context)
{
	struct world_place place = {0};
	struct traffic_stamp stamp;

	if (!traffic_read(message, &stamp) ||
	        !forebay_message_history(message, &place.epoch, &place.offset))
		stamp.sender = WORLD_SENDERS;
	judge_place(context, &stamp, &place);
	return 0;
}

// What was told must be so: nothing is missing of what is called complete.
static void judge_sight(
        const struct sight *sight, const struct forebay_history *asked, bool complete)
{
	if (complete && (!sight->whole || sight->offset != asked->offset))
		world_complain(sight->world, WORLD_LOST,
		        "a history is called complete, and has holes up to %llu",
		        (unsigned long long)asked->offset);
	if (sight->count > VICTIM_KEPT)
		world_complain(
		        sight->world, WORLD_DOUBLED, "a history has %u messages", sight->count);
}

static struct sight read_history(struct world *world, struct forebay_history *history)
{
	struct sight sight = begin_sight(world, history);
	int result = forebay_group_history(world->a, VICTIM_LOG, history, see, &sight);

	if (result != 0)
		world_complain(world, WORLD_BLOCKED, "reading the history says: %s",
		        forebay_strerror(result));
	judge_sight(&sight, history, history->complete);
	return sight;
}

// Whether the victim's message came to b, in whatever way.
static bool victims_came(const struct world *world)
{
	return world->by_group[victim_report->sender][0] > 0 ||
	       world->got[victim_report->sender][0] > 0;
}

// ---------------------------------------------------------------------------------------------
// What the tester does before, meanwhile and afterwards
// ---------------------------------------------------------------------------------------------

// A group of b by a plain channel and by a reply channel, without a history yet.
static void stage_group(struct world *world)
{
	// What is kept isn't counted as sent, and its positions can't be told from others when its ring is another's.
	world->again = true;
	memset(&known, 0, sizeof known);
	known.ended = true;
	if (forebay_group_add(world->a, VICTIM_LOG, VICTIM_LOG) != 0 ||
	        forebay_group_add(world->a, VICTIM_LOG, world->member[0]) != 0)
		world_complain(world, WORLD_BLOCKED, "joining the group");
}

// With as much as is kept. The victim is to read all but the first.
static void stage_history(struct world *world)
{
	struct sight sight;

	stage_group(world);
	for (int i = 0; i < VICTIM_KEPT; i++)
		say(world, 200);
	sight = read_history(world, &known.history);
	if (sight.count != VICTIM_KEPT)
		world_complain(world, WORLD_LEAKED, "a history has %u messages", sight.count);
	victim_asked = known.history;
	victim_asked.offset -= VICTIM_KEPT - 1;
	known.sent = 0;
	known.ended = false;
}

static void stage_history_to_end(struct world *world)
{
	stage_history(world);
	known.ended = true;
}

// More than is kept comes meanwhile.
static void say_many(struct world *world)
{
	for (int i = 0; i < 2 * VICTIM_KEPT; i++)
		say(world, 100);
}

// And then something that can't be kept, which nobody may miss without being told.
static void say_too_much(struct world *world)
{
	struct forebay_history history = {0};
	uint64_t epoch;

	say_many(world);
	(void)read_history(world, &history);
	epoch = history.epoch;
	say(world, 5000);
	(void)read_history(world, &history);
	if (history.complete && history.epoch == epoch)
		world_complain(world, WORLD_LOST, "what wasn't kept isn't missed");
	known.ended = true;
	say_many(world);
}

static void judge_victims_sight(struct world *world)
{
	struct sight sight = begin_sight(world, &victim_asked);

	for (uint32_t i = 0; i < victim_report->sights; i++)
		judge_place(&sight, &victim_report->sight[i].stamp, &victim_report->sight[i].place);
	if (victim_report->done)
		judge_sight(&sight, &victim_report->history, victim_report->history.complete);
}

// As many messages are kept as ever, the last ones.
static void use_history(struct world *world)
{
	struct forebay_history history = {0};
	struct sight sight;

	for (int i = 0; i < VICTIM_KEPT; i++)
		say(world, 10);
	sight = read_history(world, &history);
	if (sight.count != VICTIM_KEPT || sight.youngest.sender != WORLD_A ||
	        sight.youngest.number % WORLD_NUMBERS + 1 != world->next[WORLD_A])
		world_complain(world, WORLD_LEAKED, "of %d messages to be kept, %u are",
		        VICTIM_KEPT, sight.count);
}

// Who knows the history as it was before: each offset since is a message that a has sent, or the victim's, and what
// came to a member was kept, or is told to be missing.
static void judge_since(struct world *world)
{
	struct forebay_history history = known.history;
	struct sight sight = read_history(world, &history);
	uint64_t since = history.offset - known.history.offset;
	bool same = history.epoch == known.history.epoch;

	bool ended = known.ended || world->alike; // by the other victim, perhaps

	if (!same && !ended)
		world_complain(world, WORLD_LOST, "the epoch isn't the same any more");
	if (ended) {
		if (same && history.complete && victims_came(world) &&
		        world->place[victim_report->sender][0].epoch != history.epoch)
			world_complain(world, WORLD_LOST, "what wasn't kept isn't missed");
		return;
	}
	if (since != known.sent && since != known.sent + 1)
		world_complain(world, WORLD_LOST, "%llu offsets for %u messages",
		        (unsigned long long)since, known.sent);
	if (since == known.sent && (victim_report->sent > 0 && victims_came(world)))
		world_complain(world, WORLD_LOST, "the victim's message wasn't kept");
	if (since <= VICTIM_KEPT && !history.complete)
		world_complain(world, WORLD_LOST, "%u of %llu messages are kept", sight.count,
		        (unsigned long long)since);
}

// The history's messages aren't to be part of the accounts.
static void end_history(struct world *world)
{
	struct shm_table *table = &world->a->table;
	struct shm_ring ring;

	if (shm_table_find(table, "\x02" VICTIM_LOG, &ring) != SHM_OK ||
	        shm_table_end(table, &ring, true, NULL) != SHM_OK)
		world_complain(world, WORLD_LEAKED, "the history can't be ended");
	// Nor what this entry, or another, was used for.
	for (uint32_t index = 0; index < world->a->segment.channels; index++) {
		struct shm_channel_mem *channel = &world->a->segment.channel[index];

		if (load_acquire(&channel->owner) == SHM_CHANNEL_FREE)
			store_relaxed(&channel->lifetime, 0);
	}
}

static void after_history(struct world *world)
{
	if (known.judged) { // two victims: it isn't there any more
		judge_victims_sight(world);
		return;
	}
	known.judged = true;
	say(world, 100);
	world_drain(world);
	judge_victims_sight(world);
	judge_since(world);
	use_history(world);
	end_history(world);
}

// ---------------------------------------------------------------------------------------------
// The table
// ---------------------------------------------------------------------------------------------

#define ON_HISTORY(STAGE, READY, ACT, MEANWHILE)                                                   \
	.stage = STAGE, .ready = READY, .act = ACT, .meanwhile = MEANWHILE,                        \
	.after = after_history, .one_stop_in = 4

const struct operation history_operations[] = {
        {
                .name = "keep in a history",
                ON_HISTORY(stage_history, victim_ready_keep, victim_act_keep, say_many),
        },
        {
                .name = "keep in a history what is larger",
                ON_HISTORY(stage_history, victim_ready_keep_larger, victim_act_keep, say_many),
        },
        {
                .name = "keep in a history that ends",
                ON_HISTORY(stage_history, victim_ready_keep, victim_act_keep, say_too_much),
                .stop_only = true,
        },
        {
                .name = "make a history",
                ON_HISTORY(stage_group, victim_ready_keep, victim_act_keep, say_too_much),
        },
        {
                .name = "end a history",
                ON_HISTORY(stage_history_to_end, victim_ready_keep_too_large, victim_act_keep,
                        say_too_much),
        },
        {
                .name = "read a history",
                ON_HISTORY(stage_history, victim_do_nothing, victim_act_history, say_many),
        },
        {
                .name = "read a history that ends",
                ON_HISTORY(stage_history, victim_do_nothing, victim_act_history, say_too_much),
                .stop_only = true,
        },
};

const uint32_t history_operation_count = sizeof history_operations / sizeof *history_operations;
