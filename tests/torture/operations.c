// SPDX-License-Identifier: MIT
#include "tests/torture/operations.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/torture/tracer.h"

enum {
	LARGE = 70000, // octets: a message of two extents
};

struct victim_report *victim_report;

// ---------------------------------------------------------------------------------------------
// The victim's side
// ---------------------------------------------------------------------------------------------

static struct forebay *own;
static uint64_t trial;
static struct forebay_message *outgoing, *incoming;
static const char *outgoing_channel;
static uint32_t outgoing_number;

static void need(bool fulfilled)
{
	if (fulfilled)
		return;
	victim_report->broken = true;
	_exit(EXIT_FAILURE);
}

// Builds the message that act() sends. Building it isn't stepped: it touches nothing shared.
static void prepare(const char *channel, uint32_t length)
{
	outgoing_channel = channel;
	outgoing_number = victim_report->sent++;
	outgoing = traffic_build(
	        own, channel, WORLD_VICTIM, trial * WORLD_NUMBERS + outgoing_number, length, NULL);
	victim_report->fate[outgoing_number] = WORLD_MAY;
}

static void send_prepared(int timeout)
{
	int result = forebay_send(own, outgoing_channel, outgoing, timeout);

	victim_report->fate[outgoing_number] = result == 0 ? WORLD_MUST : WORLD_NEVER;
	victim_report->result = result;
}

// Sends at once.
static void send_now(const char *channel, uint32_t length, enum world_fate fate)
{
	prepare(channel, length);
	send_prepared(0);
	need(victim_report->result == 0);
	forebay_message_free(outgoing);
	victim_report->fate[outgoing_number] = (uint8_t)fate;
}

static void enter_received(void)
{
	struct traffic_stamp stamp;

	if (!traffic_read(incoming, &stamp))
		stamp.sender = WORLD_SENDERS; // the tester will see that it is wrong
	if (victim_report->received < WORLD_NUMBERS)
		victim_report->stamp[victim_report->received++] = stamp;
}

// Receives one message and gives its memory back.
static void receive(int timeout)
{
	victim_report->result = forebay_receive(own, timeout, &incoming);
	if (victim_report->result != 0)
		return;
	enter_received();
	forebay_message_free(incoming);
}

static void do_nothing(void)
{
}

static void ready_send(void)
{
	send_now("work", 50, WORLD_MUST);
	prepare("work", 100);
}

static void ready_send_first(void)
{
	prepare("work", 100);
}

static void ready_send_large(void)
{
	prepare("work", LARGE);
}

static char b_reply[FOREBAY_NAME_SIZE];

static void ready_send_reply(void)
{
	prepare(b_reply, 100);
}

static void ready_send_new(void)
{
	prepare("new", 100);
}

static void ready_send_small(void)
{
	prepare("small", 100);
}

static void ready_send_passing(void)
{
	send_now("ending", 50, WORLD_MUST);
	prepare("ending", 100);
}

static void act_send(void)
{
	send_prepared(0);
}

// 1 ms: the shortest sleep that there is.
static void act_send_waiting(void)
{
	send_prepared(1);
}

static void ready_receive(void)
{
	need(forebay_listen(own, "work") == 0);
}

static void ready_receive_quiet(void)
{
	need(forebay_listen(own, "quiet") == 0);
}

static void ready_receive_event(void)
{
	need(forebay_listen(own, "quiet") == 0 && forebay_fd(own) >= 0);
}

static void ready_receive_forked(void)
{
	int born[2];
	char byte;
	pid_t child;

	ready_receive();
	need(pipe(born) == 0);
	child = fork();
	need(child >= 0);
	if (child == 0) {
		(void)!write(born[1], "", 1);
		for (;;)
			pause();
	}
	victim_report->child = child;
	// Until the child has run its fork handler, it keeps its parent's lock.
	need(read(born[0], &byte, 1) == 1);
}

static void act_receive(void)
{
	receive(0);
}

static void act_receive_waiting(void)
{
	receive(1);
}

static void leave_receive_event(void)
{
	struct pollfd poll_fd = {.fd = forebay_fd(own), .events = POLLIN};

	victim_report->readable = poll(&poll_fd, 1, 0) == 1;
}

static void act_listen(void)
{
	victim_report->result = forebay_listen(own, "new");
	if (victim_report->result == 0)
		victim_report->result = forebay_ignore(own, "new");
}

static void act_attach(void)
{
	own = world_attach("victim");
}

static void leave_attach(void)
{
	need(own != NULL);
}

// Attaches to a second layer, and makes it if it isn't there.
static struct forebay *make_layer(void)
{
	struct forebay_options options = {.size = 3 << 20, .channels = 16, .reply_channels = 64};
	struct forebay *layer;
	char name[65];

	snprintf(name, sizeof name, "%s.made", getenv("FOREBAY_LAYER"));
	return forebay_open(name, &options, &layer) == 0 ? layer : NULL;
}

static void remove_made(void)
{
	char name[65];

	snprintf(name, sizeof name, "%s.made", getenv("FOREBAY_LAYER"));
	(void)forebay_remove(name);
}

static void act_make(void)
{
	own = make_layer();
}

static void leave_make(void)
{
	need(own != NULL);
	victim_report->identity = own->segment.identity;
}

// Holds one of each.
static void ready_detach(void)
{
	char name[FOREBAY_NAME_SIZE];

	need(forebay_listen(own, "work") == 0 && forebay_listen(own, "quiet") == 0);
	need(forebay_receive(own, 0, &incoming) == 0 && forebay_receive(own, 0, &incoming) == 0);
	need(forebay_reply_open(own, "answer", 2, NULL, name) == 0);
	send_now(name, 100, WORLD_SENT);
	need(forebay_stream_open(own, "stream", name) == 0);
	send_now(name, LARGE, WORLD_SENT);
}

static void act_detach(void)
{
	forebay_close(own);
	own = NULL;
}

static void act_stream_open(void)
{
	victim_report->result = forebay_stream_open(own, "stream", victim_report->name);
}

static void ready_stream_close(void)
{
	act_stream_open();
	need(victim_report->result == 0);
	send_now(victim_report->name, 100, WORLD_SENT);
	send_now(victim_report->name, LARGE, WORLD_SENT);
}

static void act_stream_close(void)
{
	victim_report->result = forebay_stream_close(own, victim_report->name);
}

static void act_reply_open(void)
{
	victim_report->result = forebay_reply_open(own, "answer", 4, NULL, victim_report->name);
}

static void ready_reply_close(void)
{
	act_reply_open();
	need(victim_report->result == 0);
}

static void act_reply_close(void)
{
	victim_report->result = forebay_reply_close(own, victim_report->name);
}

static void act_flush(void)
{
	victim_report->result = forebay_flush(own, "work", NULL);
}

static void act_reap(void)
{
	int reaped = forebay_reap(own);

	victim_report->result = reaped < 0 ? reaped : 0;
}

void victim_run(const struct operation *operation, uint64_t number)
{
	trial = number;
	*victim_report = (struct victim_report){.refused = !tracer_allow()};
	if (victim_report->refused)
		_exit(EXIT_FAILURE);
	if (!operation->detached) {
		own = world_attach("victim");
		need(own != NULL);
		victim_report->slot = own->self.slot;
	}
	operation->ready();
	tracer_begin();
	operation->act();
	victim_report->done = true;
	if (!victim_report->untraced)
		tracer_end();
	if (operation->leave)
		operation->leave();
	forebay_close(own);
	_exit(EXIT_SUCCESS);
}

// ---------------------------------------------------------------------------------------------
// The tester's side
// ---------------------------------------------------------------------------------------------

static void stage_three(struct world *world)
{
	for (uint32_t i = 0; i < 3; i++)
		world_send(world, world->a, WORLD_A, "work", 100 * i, WORLD_MUST);
}

static void stage_large(struct world *world)
{
	world_send(world, world->a, WORLD_A, "work", LARGE, WORLD_MUST);
}

// For a victim to be held, and to be lost with it.
static void stage_two_to_lose(struct world *world)
{
	world_send(world, world->a, WORLD_A, "work", 30, WORLD_SENT);
	world_send(world, world->a, WORLD_A, "work", LARGE, WORLD_SENT);
}

static void stage_reply(struct world *world)
{
	strcpy(b_reply, world->reply);
}

static void stage_full(struct world *world)
{
	for (int i = 0; i < WORLD_SMALL; i++)
		world_send(world, world->a, WORLD_A, "small", 10, WORLD_MUST);
}

static void stage_no_credit(struct world *world)
{
	strcpy(b_reply, world->reply);
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

	stage_two_to_lose(world);
	for (uint32_t handle = 0; handle < pool->first[SHM_CLASSES]; handle++) {
		struct shm_block_mem *block = shm_pool_block(pool, handle);

		if (SHM_OWN_STATE(load_acquire(&block->own)) == SHM_SENT)
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
	if (pid == 0) {
		char name[FOREBAY_NAME_SIZE];

		own = world_attach("doomed");
		need(own != NULL && forebay_listen(own, "work") == 0);
		need(forebay_receive(own, 0, &incoming) == 0 &&
		        forebay_receive(own, 0, &incoming) == 0);
		need(forebay_reply_open(own, "answer", 2, NULL, name) == 0);
		need(traffic_send(own, name, WORLD_DOOMED, number[0], 100, 0) == 0);
		need(forebay_stream_open(own, "stream", name) == 0);
		need(traffic_send(own, name, WORLD_DOOMED, number[1], LARGE, 0) == 0);
		raise(SIGKILL);
	}
	(void)waitpid(pid, NULL, 0);
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
	made = make_layer();
}

// Whatever was half made is no obstacle, and all who attach meet each other.
static void after_make(struct world *world)
{
	struct forebay *layer = made ? made : make_layer();
	struct forebay_message *message = NULL;

	made = NULL;
	if (!layer || forebay_listen(layer, "x") != 0 ||
	        traffic_send(layer, "x", WORLD_A, 0, 100, 0) != 0 ||
	        forebay_receive(layer, 0, &message) != 0)
		world_complain(world, WORLD_BLOCKED, "the layer isn't usable: %s", forebay_error());
	else if (victim_report->done && layer->segment.identity != victim_report->identity &&
	         victim_report->identity != 0)
		world_complain(world, WORLD_TORN, "two layers of one name");
	forebay_message_free(message);
	forebay_close(layer);
	remove_made();
}

// Whoever made it is no more, or has ended it: nobody can send there, and the name is never used again.
static void after_named(struct world *world)
{
	char again[FOREBAY_NAME_SIZE];

	if (victim_report->name[0] == '\0')
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

// ---------------------------------------------------------------------------------------------
// The table
// ---------------------------------------------------------------------------------------------

const struct operation operations[] = {
        {.name = "send", .ready = ready_send, .act = act_send},
        {.name = "send, the first one", .ready = ready_send_first, .act = act_send},
        {.name = "send several extents", .ready = ready_send_large, .act = act_send},
        {
                .name = "send to a reply channel",
                .stage = stage_reply,
                .ready = ready_send_reply,
                .act = act_send,
        },
        {
                .name = "send into a new channel",
                .ready = ready_send_new,
                .act = act_send,
                .after = after_new,
        },
        {
                .name = "send with a table full of idle channels",
                .stage = stage_idle_channels,
                .ready = ready_send_new,
                .act = act_send,
                .after = after_new,
        },
        {
                .name = "send to a full channel",
                .stage = stage_full,
                .ready = ready_send_small,
                .act = act_send,
        },
        {
                .name = "send while the channel ends",
                .ready = ready_send_passing,
                .act = act_send,
                .meanwhile = end_channel,
                .after = after_ending,
                .stop_only = true,
        },
        {
                .name = "send, waiting for room",
                .stage = stage_full,
                .ready = ready_send_small,
                .act = act_send_waiting,
                .is_awake = is_room,
        },
        {
                .name = "send, waiting for credit",
                .stage = stage_no_credit,
                .ready = ready_send_reply,
                .act = act_send_waiting,
                .is_awake = is_room,
        },
        {
                .name = "receive",
                .stage = stage_three,
                .ready = ready_receive,
                .act = act_receive,
                .meanwhile = send_many,
                .losses = 1,
        },
        {
                .name = "receive several extents",
                .stage = stage_large,
                .ready = ready_receive,
                .act = act_receive,
                .losses = 1,
        },
        {
                .name = "receive, waiting",
                .ready = ready_receive_quiet,
                .act = act_receive_waiting,
                .meanwhile = send_quiet,
                .is_awake = is_quiet_waiting,
        },
        {
                .name = "receive in an event loop",
                .ready = ready_receive_event,
                .act = act_receive,
                .leave = leave_receive_event,
                .meanwhile = send_quiet,
                .after = after_receive_event,
        },
        {
                .name = "receive with a forked child",
                .stage = stage_three,
                .ready = ready_receive_forked,
                .act = act_receive,
                .clean = clean_forked,
                .losses = 1,
        },
        {.name = "listen and ignore", .ready = do_nothing, .act = act_listen, .after = after_new},
        {
                .name = "attach",
                .ready = do_nothing,
                .act = act_attach,
                .leave = leave_attach,
                .detached = true,
        },
        {
                .name = "attach, making the layer",
                .ready = do_nothing,
                .act = act_make,
                .leave = leave_make,
                .meanwhile = meanwhile_make,
                .after = after_make,
                .detached = true,
        },
        {
                .name = "detach",
                .stage = stage_two_to_lose,
                .ready = ready_detach,
                .act = act_detach,
        },
        {
                .name = "open a stream",
                .ready = do_nothing,
                .act = act_stream_open,
                .after = after_named,
        },
        {
                .name = "close a stream",
                .ready = ready_stream_close,
                .meet = meet_named,
                .act = act_stream_close,
                .after = after_named,
        },
        {
                .name = "open a reply channel",
                .ready = do_nothing,
                .act = act_reply_open,
                .after = after_named,
        },
        {
                .name = "close a reply channel",
                .ready = ready_reply_close,
                .meet = meet_named,
                .act = act_reply_close,
                .after = after_named,
        },
        {
                .name = "flush",
                .stage = stage_two_to_lose,
                .ready = do_nothing,
                .act = act_flush,
        },
        {.name = "expire", .stage = stage_old, .ready = do_nothing, .act = act_reap},
        {.name = "reap", .ready = do_nothing, .meet = meet_dead, .act = act_reap},
};

const uint32_t operation_count = sizeof operations / sizeof *operations;
