// SPDX-License-Identifier: MIT
#include "tests/torture/operations.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/metric.h"

// ---------------------------------------------------------------------------------------------
// What the tester does before, meanwhile and afterwards
// ---------------------------------------------------------------------------------------------

static void stage_three(struct world *world)
{
	for (uint32_t i = 0; i < 3; i++)
		world_send(world, world->a, WORLD_A, "work", 100 * i, WORLD_MUST);
}

static void stage_large(struct world *world)
{
	world_send(world, world->a, WORLD_A, "work", WORLD_LARGE, WORLD_MUST);
}

// For a victim to be held, and to be lost with it.
static void stage_two_to_lose(struct world *world)
{
	world_send(world, world->a, WORLD_A, "work", 30, WORLD_SENT);
	world_send(world, world->a, WORLD_A, "work", WORLD_LARGE, WORLD_SENT);
}

static void stage_reply(struct world *world)
{
	strcpy(victim_target, world->reply);
}

static void stage_full(struct world *world)
{
	struct forebay_channel_stat stat = {0};

	// Another victim may have found it full already.
	(void)forebay_stat_channel(world->a, "small", &stat);
	for (uint64_t i = stat.pending; i < WORLD_SMALL; i++)
		world_send(world, world->a, WORLD_A, "small", 10, WORLD_MUST);
}

// Of these, the first has to go for one more.
static void stage_full_fresh(struct world *world)
{
	for (int i = 0; i < WORLD_SMALL; i++)
		world_send(
		        world, world->a, WORLD_A, "fresh", i == 0 ? WORLD_LARGE : 10, WORLD_SENT);
}

static void stage_no_credit(struct world *world)
{
	strcpy(victim_target, world->reply);
	// Credit is given by the half window, so it may be less than the whole.
	for (int i = 0; i <= WORLD_WINDOW; i++) {
		uint64_t number = world_number(world, WORLD_A, WORLD_MUST);

		if (traffic_send(world->a, world->reply, WORLD_A, number, 10, 0) == 0)
			continue;
		world->fate[WORLD_A][number % WORLD_NUMBERS] = WORLD_NEVER;
		return;
	}
	world_complain(world, WORLD_DOUBLED, "a reply channel takes more than its window");
}

// Every narrow channel is in use, though only by its name.
static void stage_idle_channels(struct world *world)
{
	struct shm_segment *segment = &world->a->segment;
	uint32_t wide = segment->geometry.wide, left = 0;

	for (uint32_t index = wide; index < segment->channels; index++)
		left += load_acquire(&segment->channel[index].owner) == SHM_CHANNEL_FREE;
	for (; left > 0; left--) {
		struct shm_ring ring;
		char name[32];

		snprintf(name, sizeof name, "idle.%u", left);
		(void)shm_table_make(&world->a->table, name, 10, 0, &ring);
	}
}

// Messages sent a long time ago: older than any that the others send.
static void stage_old(struct world *world)
{
	struct shm_pool *pool = &world->a->pool;
	struct shm_ring ring = {0};

	stage_two_to_lose(world);
	(void)shm_table_find(&world->a->table, "work", &ring);
	for (uint32_t handle = 0; handle < pool->first[SHM_CLASSES]; handle++) {
		struct shm_block_mem *block = shm_pool_block(pool, handle);
		uint64_t own = load_acquire(&block->own);

		if (SHM_OWN_STATE(own) == SHM_SENT && SHM_OWN_RING(own) == ring.id)
			store_relaxed(
			        &block->sent_at, load_relaxed(&block->sent_at) -
			                                 2 * world->a->segment.geometry.expiry);
	}
}

// A process that has died holding one of each. Not before the victim is there: it would take its slot.
static void meet_dead(struct world *world)
{
	uint64_t number[2];
	pid_t pid;

	stage_two_to_lose(world);
	number[0] = world_number(world, WORLD_DOOMED, WORLD_SENT);
	number[1] = world_number(world, WORLD_DOOMED, WORLD_SENT);
	pid = fork();
	if (pid == 0)
		victim_die(number);
	world_await_doomed(world, pid, number, 2);
}

// And a round of housekeeping is due, which finds it.
static void meet_dead_and_due(struct world *world)
{
	meet_dead(world);
	store_relaxed(&world->a->segment.housekeeping->begun, 0);
}

static void meet_named(struct world *world)
{
	world_send(world, world->a, WORLD_A, victim_report->name, 100, WORLD_SENT);
	world_send(world, world->a, WORLD_A, victim_report->name, 100, WORLD_SENT);
}

// The victim's message may have gone into a channel of that name, or the channel be there without it.
static void after_new(struct world *world)
{
	world_drain_channel(world, "new");
}

static void after_ending(struct world *world)
{
	world_drain_channel(world, "ending");
	world_drain_channel(world, "other");
}

static struct forebay *made;

static void meanwhile_make(struct world *world)
{
	(void)world;
	if (!made)
		made = victim_make_layer();
}

// Whatever was half made is no obstacle, and all who attach meet each other.
static void after_make(struct world *world)
{
	struct forebay *layer = made ? made : victim_make_layer();
	struct forebay_message *message = NULL;

	made = NULL;
	if (!layer || forebay_listen(layer, "x") != 0 ||
	        traffic_send(layer, "x", WORLD_A, 0, 100, 0) != 0 ||
	        forebay_receive(layer, 0, &message) != 0)
		world_complain(world, WORLD_BLOCKED, "the layer isn't usable: %s", forebay_error());
	else if (victim_report->done && layer->segment.identity != victim_report->identity &&
	         victim_report->identity != 0 && !world->alike)
		world_complain(world, WORLD_TORN, "two layers of one name");
	forebay_message_free(message);
	forebay_close(layer);
	victim_remove_made();
}

// Whoever made it is no more, or has ended it: nobody can send there, and the name is never used again.
static void after_named(struct world *world)
{
	char again[FOREBAY_NAME_SIZE];

	if (!victim_report->named)
		return;
	if (!world_is_gone(world, victim_report->name))
		world_complain(
		        world, WORLD_LEAKED, "\"%s\" still takes messages", victim_report->name);
	if (!strchr(victim_report->name, '?'))
		return;
	for (int i = 0; i < 2; i++) {
		struct forebay *c = world_attach("c");

		if (!c || forebay_stream_open(c, "stream", again) != 0)
			world_complain(world, WORLD_BLOCKED, "no new stream");
		else if (strcmp(again, victim_report->name) == 0)
			world_complain(world, WORLD_DOUBLED, "the name \"%s\" came again", again);
		forebay_close(c);
	}
}

// Only now: whatever the victim held must have come back though its child lives.
static void clean_forked(void)
{
	if (victim_report->child <= 0)
		return;
	(void)kill(victim_report->child, SIGKILL);
	(void)waitpid(victim_report->child, NULL, 0); // its parent gone, it is ours
	victim_report->child = 0;
}

// The sender's memory is used over and over again while the victim still reads what it received.
static void send_many(struct world *world)
{
	for (int i = 0; i < 70; i++) {
		world_send(world, world->a, WORLD_A, "work", 60, WORLD_MUST);
		if (i % 10 == 9)
			world_drain(world);
	}
}

static void send_quiet(struct world *world)
{
	world_send(world, world->a, WORLD_A, "quiet", 60, WORLD_MUST);
}

static bool is_quiet_waiting(struct world *world)
{
	struct shm_ring ring;
	uint64_t head, tail;

	return shm_table_find(&world->a->table, "quiet", &ring) == SHM_OK &&
	       shm_ring_pending(&ring, &world->a->pool, &head, &tail) > 0;
}

static bool is_room(struct world *world)
{
	(void)world;
	return true; // the others have received everything
}

// The event loop of a victim that was told TIMEOUT has to turn if something waits.
static void after_receive_event(struct world *world)
{
	if (victim_report->done && victim_report->result == FOREBAY_TIMEOUT &&
	        is_quiet_waiting(world) && !victim_report->readable)
		world_complain(
		        world, WORLD_ASLEEP, "a message waits, and the descriptor isn't readable");
}

// Ends the channel "ending" while the victim sends there, and makes another of what it was.
static void end_channel(struct world *world)
{
	struct shm_table *table = &world->a->table;
	struct shm_ring ring, other = {0};

	world_drain_channel(world, "ending");
	if (shm_table_find(table, "ending", &ring) != SHM_OK ||
	        shm_table_end(table, &ring, false, NULL) != SHM_OK)
		return;
	for (int i = 0; i < 64 && other.id != ring.id; i++) {
		if (other.mem)
			(void)shm_table_end(table, &other, false, NULL);
		if (shm_table_make(table, "other", 100, 0, &other) != SHM_OK)
			break;
	}
}

// A message of a's that waits for its time.
static void stage_delayed(struct world *world, const char *channel, uint32_t length)
{
	uint64_t number = world_number(world, WORLD_A, WORLD_MUST);
	struct forebay_message *message =
	        traffic_build(world->a, channel, WORLD_A, number, length, NULL);
	int result = forebay_send_after(world->a, channel, message, VICTIM_DELAY);

	forebay_message_free(message);
	if (result == 0)
		return;
	world->fate[WORLD_A][number % WORLD_NUMBERS] = WORLD_NEVER;
	world_complain(world, WORLD_BLOCKED, "a delayed send says: %s", forebay_strerror(result));
}

static void stage_due(struct world *world)
{
	stage_delayed(world, "quiet", 100);
	stage_delayed(world, "quiet", WORLD_LARGE);
}

static struct forebay_channel_stat delayed_before;

static struct forebay_channel_stat look_at_delayed(struct world *world)
{
	struct forebay_channel_stat stat = {0};

	if (forebay_stat_channel(world->a, "asgi.delay", &stat) != 0)
		world_complain(world, WORLD_BLOCKED, "no statistics of asgi.delay");
	return stat;
}

static void stage_due_and_full(struct world *world)
{
	world->again = true;
	stage_full(world);
	stage_delayed(world, "small", 100);
	delayed_before = look_at_delayed(world);
}

// All that waits is due, and a round of housekeeping is, too.
static void deliver_all(struct world *world)
{
	shm_clock_ahead = VICTIM_LATER;
	(void)channel_deliver(world->a, channel_now(), true);
	shm_clock_ahead = 0;
}

static void after_delayed(struct world *world)
{
	world_drain(world);
	deliver_all(world);
	world_drain(world);
}

// It was sent once. If it counts once more, it is because what was put back is counted as lost.
static void after_put_back(struct world *world)
{
	struct forebay_channel_stat stat;
	uint64_t sent, lost;

	(void)forebay_reap(world->a);
	stat = look_at_delayed(world);
	sent = stat.sent - delayed_before.sent;
	lost = stat.dropped[FOREBAY_COUNT_LOST] - delayed_before.dropped[FOREBAY_COUNT_LOST];
	if ((stat.sent < delayed_before.sent || sent > lost) && !world->company)
		world_complain(world, WORLD_MISCOUNTED,
		        "of %llu delayed messages, %llu were sent and %llu are lost",
		        (unsigned long long)delayed_before.sent, (unsigned long long)stat.sent,
		        (unsigned long long)lost);
	after_delayed(world);
}

// Metrics are for ever, so a trial begins with a table as in a new segment, but for one name.
static void stage_metrics(struct world *world)
{
	struct shm_segment *segment = &world->a->segment;
	struct forebay_metric metric;

	for (uint32_t i = 0; i < segment->geometry.metrics; i++) {
		store_relaxed(&segment->metrics[i], 0);
		store_relaxed(&segment->metric_cells[i].own, SHM_METRIC_FREE);
	}
	memset(segment->metric_words, 0,
	        (size_t)segment->geometry.metrics * SHM_PROCESSES * sizeof *segment->metric_words);
	if (forebay_metric_open(world->a, "first", FOREBAY_METRIC_GAUGE, NULL, &metric) != 0)
		world_complain(world, WORLD_BLOCKED, "a metric couldn't be opened");
}

// Others open the same one and another.
static void meanwhile_metrics(struct world *world)
{
	struct forebay_metric metric;

	if (forebay_metric_open(world->a, VICTIM_METRIC, FOREBAY_METRIC_COUNTER, NULL, &metric) !=
	                0 ||
	        forebay_metric_open(world->b, "other", FOREBAY_METRIC_COUNTER, NULL, &metric) != 0)
		world_complain(world, WORLD_BLOCKED, "a metric couldn't be opened");
	forebay_metric_add(&metric, 1);
}

struct metric_sum {
	uint32_t times;
	double value;
};

static int see_metric(const struct forebay_metric_stat *stat, void *context)
{
	struct metric_sum *sum = context;

	if (strcmp(stat->name, VICTIM_METRIC) != 0)
		return 0;
	sum->times++;
	sum->value += stat->value;
	return 0;
}

// The name is there once, if at all, with what was counted; whoever comes can open it.
static void after_metrics(struct world *world)
{
	struct shm_segment *segment = &world->a->segment;
	struct metric_sum sum = {0};
	uint32_t cells = 0;

	(void)forebay_reap(world->a);
	meanwhile_metrics(world);
	(void)forebay_stat_metrics(world->a, see_metric, &sum);
	if (sum.times != 1)
		world_complain(world, WORLD_DOUBLED, "the metric is there %u times", sum.times);
	if (sum.value != 0 && sum.value != 1 && !(world->alike && sum.value == 2))
		world_complain(world, WORLD_TORN, "the metric is %g", sum.value);
	if (victim_report->done && (victim_report->result != 0 || sum.value < 1))
		world_complain(world, WORLD_LOST, "what was counted is %g", sum.value);
	for (uint32_t i = 0; i < segment->geometry.metrics; i++)
		cells += load_acquire(&segment->metric_cells[i].own) != SHM_METRIC_FREE;
	if (cells != shm_metric_count(segment))
		world_complain(world, WORLD_LEAKED, "%u cells for %u metrics", cells,
		        shm_metric_count(segment));
}

// ---------------------------------------------------------------------------------------------
// The table
// ---------------------------------------------------------------------------------------------

const struct operation operations[] = {
        {.name = "send", .ready = victim_ready_send, .act = victim_act_send},
        {.name = "send, the first one", .ready = victim_ready_send_first, .act = victim_act_send},
        {.name = "send several extents", .ready = victim_ready_send_large, .act = victim_act_send},
        {
                .name = "send to a reply channel",
                .stage = stage_reply,
                .ready = victim_ready_send_reply,
                .act = victim_act_send,
        },
        {
                .name = "send into a new channel",
                .ready = victim_ready_send_new,
                .act = victim_act_send,
                .after = after_new,
        },
        {
                .name = "send with a table full of idle channels",
                .stage = stage_idle_channels,
                .ready = victim_ready_send_new,
                .act = victim_act_send,
                .after = after_new,
        },
        {
                .name = "send later",
                .ready = victim_ready_send,
                .act = victim_act_send_later,
                .after = after_delayed,
        },
        {
                .name = "deliver what is due",
                .stage = stage_due,
                .ready = victim_ready_deliver,
                .act = victim_act_deliver,
                .meanwhile = deliver_all,
                .after = after_delayed,
                .losses = 1,
        },
        {
                .name = "put back what is due",
                .stage = stage_due_and_full,
                .ready = victim_ready_deliver,
                .act = victim_act_deliver,
                .after = after_put_back,
                .losses = 1,
        },
        {
                .name = "send to a full channel",
                .stage = stage_full,
                .ready = victim_ready_send_small,
                .act = victim_act_send,
        },
        {
                .name = "send to a channel that drops the oldest",
                .stage = stage_full_fresh,
                .ready = victim_ready_send_fresh,
                .act = victim_act_send,
        },
        {
                .name = "send while the channel ends",
                .ready = victim_ready_send_passing,
                .act = victim_act_send,
                .meanwhile = end_channel,
                .after = after_ending,
                .stop_only = true,
        },
        {
                .name = "send, waiting for room",
                .stage = stage_full,
                .ready = victim_ready_send_small,
                .act = victim_act_send_waiting,
                .is_awake = is_room,
        },
        {
                .name = "send, waiting for credit",
                .stage = stage_no_credit,
                .ready = victim_ready_send_reply,
                .act = victim_act_send_waiting,
                .is_awake = is_room,
        },
        {
                .name = "receive",
                .stage = stage_three,
                .ready = victim_ready_receive,
                .act = victim_act_receive,
                .meanwhile = send_many,
                .losses = 1,
        },
        {
                .name = "receive several extents",
                .stage = stage_large,
                .ready = victim_ready_receive,
                .act = victim_act_receive,
                .losses = 1,
        },
        {
                .name = "receive, waiting",
                .ready = victim_ready_receive_quiet,
                .act = victim_act_receive_waiting,
                .meanwhile = send_quiet,
                .is_awake = is_quiet_waiting,
        },
        {
                .name = "receive in an event loop",
                .ready = victim_ready_receive_event,
                .act = victim_act_receive,
                .leave = victim_leave_receive_event,
                .meanwhile = send_quiet,
                .after = after_receive_event,
        },
        {
                .name = "receive with a forked child",
                .stage = stage_three,
                .ready = victim_ready_receive_forked,
                .act = victim_act_receive,
                .clean = clean_forked,
                .losses = 1,
        },
        {.name = "listen and ignore",
                .ready = victim_do_nothing,
                .act = victim_act_listen,
                .after = after_new},
        {
                .name = "attach",
                .ready = victim_do_nothing,
                .act = victim_act_attach,
                .leave = victim_leave_attach,
                .detached = true,
        },
        {
                .name = "attach, making the layer",
                .ready = victim_do_nothing,
                .act = victim_act_make,
                .leave = victim_leave_make,
                .meanwhile = meanwhile_make,
                .after = after_make,
                .detached = true,
        },
        {
                .name = "detach",
                .stage = stage_two_to_lose,
                .ready = victim_ready_detach,
                .act = victim_act_detach,
        },
        {
                .name = "open a stream",
                .ready = victim_do_nothing,
                .act = victim_act_stream_open,
                .after = after_named,
        },
        {
                .name = "close a stream",
                .ready = victim_ready_stream_close,
                .meet = meet_named,
                .act = victim_act_stream_close,
                .after = after_named,
        },
        {
                .name = "open a reply channel",
                .ready = victim_do_nothing,
                .act = victim_act_reply_open,
                .after = after_named,
        },
        {
                .name = "close a reply channel",
                .ready = victim_ready_reply_close,
                .meet = meet_named,
                .act = victim_act_reply_close,
                .after = after_named,
        },
        {
                .name = "flush",
                .stage = stage_two_to_lose,
                .ready = victim_do_nothing,
                .act = victim_act_flush,
        },
        {.name = "expire", .stage = stage_old, .ready = victim_do_nothing, .act = victim_act_reap},
        {
                .name = "keep the house",
                .ready = victim_do_nothing,
                .meet = meet_dead_and_due,
                .act = victim_act_housekeep,
        },
        {
                .name = "open a metric",
                .stage = stage_metrics,
                .ready = victim_do_nothing,
                .act = victim_act_metric,
                .meanwhile = meanwhile_metrics,
                .after = after_metrics,
        },
        {.name = "reap", .ready = victim_do_nothing, .meet = meet_dead, .act = victim_act_reap},
};

const uint32_t operation_count = sizeof operations / sizeof *operations;
