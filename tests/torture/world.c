// SPDX-License-Identifier: MIT
#include "tests/torture/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/torture/victim.h"

#define COMPLAINTS_MAX 10    // printed of one operation
#define BETWEEN        10000 // ms between two trials: for what isn't looked for again at once
#define PATTERNS       "small=2,websocket.*=2,fresh=2/drop-oldest,*=100\n" VICTIM_HISTORY

const char *const world_violation_names[WORLD_VIOLATIONS] = {
        [WORLD_BLOCKED] = "blocked",
        [WORLD_LEAKED] = "leaked",
        [WORLD_TORN] = "torn",
        [WORLD_DOUBLED] = "doubled",
        [WORLD_REORDERED] = "reordered",
        [WORLD_LOST] = "lost",
        [WORLD_ASLEEP] = "asleep",
        [WORLD_MISCOUNTED] = "miscounted",
};

// Small, so that a scan over all of it is short, with three zones of each size for three who send.
static const struct shm_geometry geometry_for_one = {
        .narrow = 16,
        .groups = 4,
        .cells = 64,
        .wide = 4,
        .endpoints = 192,
        .blocks = {192, 64, 24},
        .expiry = 60000,
        .group_expiry = 86400000,
        .metrics = 16,
};

static const struct shm_geometry geometry_for_two = {
        .narrow = 32,
        .groups = 8,
        .cells = 64,
        .wide = 4,
        .endpoints = 448,
        .blocks = {448, 192, 64},
        .expiry = 60000,
        .group_expiry = 86400000,
        .metrics = 16,
};

void world_complain(struct world *world, enum world_violation violation, const char *format, ...)
{
	va_list arguments;

	world->violations[violation]++;
	if (++world->complaints > COMPLAINTS_MAX)
		return;
	printf("# %s: %s: ", world->what, world_violation_names[violation]);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
}

struct forebay *world_attach(const char *role)
{
	struct forebay_options options = {.must_exist = true, .role = role};
	struct forebay *layer;

	return forebay_open(NULL, &options, &layer) == 0 ? layer : NULL;
}

static void bail_out(const char *why)
{
	printf("Bail out! %s\n", why);
	exit(EXIT_FAILURE);
}

static void remove_layer(void)
{
	(void)forebay_remove(NULL);
}

static void make_layer(const struct shm_geometry *geometry)
{
	const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	const struct shm_terms terms = {
	        .geometry = geometry,
	        .patterns = PATTERNS,
	        .group = -1,
	        .owner = -1,
	};
	struct shm_segment segment;
	char name[64], path[128], error[512] = "";

	snprintf(name, sizeof name, "step.%d", (int)getpid());
	snprintf(path, sizeof path, "%s/forebay.%s", base, name);
	setenv("FOREBAY_DIR", base, 1);
	setenv("FOREBAY_LAYER", name, 1);
	(void)shm_segment_remove(path); // of one that was killed and had our number
	if (shm_segment_open(&segment, path, &terms, error, sizeof error) < 0)
		bail_out(error);
	shm_segment_fini(&segment);
}

void world_init(struct world *world, uint32_t victims)
{
	*world = (struct world){0};
	shm_clock_still = shm_clock_now();
	make_layer(victims == 1 ? &geometry_for_one : &geometry_for_two);
	atexit(remove_layer); // however the program ends; the victims don't pass here
	world->a = world_attach("a");
	world->b = world_attach("b");
	if (!world->a || !world->b)
		bail_out(forebay_error());
	if (forebay_listen(world->b, "work") != 0 || forebay_listen(world->b, "small") != 0 ||
	        forebay_listen(world->b, "fresh") != 0 || forebay_listen(world->b, "quiet") != 0 ||
	        forebay_reply_open(world->b, "reply", WORLD_WINDOW, world, world->reply) != 0)
		bail_out("b can't listen");
	for (int i = 0; i < WORLD_MEMBERS; i++)
		if (forebay_reply_open(world->b, "reply", 1, world, world->member[i]) != 0)
			bail_out("b can't open reply channels");
	inventory_take(world->a, &world->before);
}

void world_fini(struct world *world)
{
	forebay_close(world->a);
	forebay_close(world->b);
}

// Messages that didn't arrive, and were counted, for whatever reason.
static uint64_t count_dropped(struct world *world)
{
	struct forebay_layer_stat stat;

	(void)forebay_stat(world->a, &stat);
	return stat.counters[FOREBAY_COUNT_LOST] + stat.counters[FOREBAY_COUNT_EXPIRED] +
	       stat.counters[FOREBAY_COUNT_FLUSHED] + stat.counters[FOREBAY_COUNT_GONE] +
	       stat.counters[FOREBAY_COUNT_DISPLACED];
}

// Messages that were ever published, by the rings' positions (marks aren't messages, nor are copies in a history), less
// those that all processes have counted as sent. Not 0, for rings don't begin with position 0; but always the same.
static int64_t count_uncounted(struct world *world)
{
	const struct shm_segment *segment = &world->a->segment;
	struct forebay_layer_stat stat;
	uint64_t published = 0;

	for (uint32_t index = 0; index < segment->channels; index++) {
		const struct shm_channel_mem *channel = &segment->channel[index];
		struct shm_ring ring;

		if (!shm_table_ring(&world->a->table, index, &ring))
			continue;
		published += load_relaxed(&channel->lifetime) > 0 ? load_relaxed(&channel->base)
		                                                  : shm_ring_tail(&ring);
		published -= ring.generation;
	}
	(void)forebay_stat(world->a, &stat);
	return (int64_t)(published - stat.statistics.messages_count);
}

void world_begin(struct world *world, const char *what, uint32_t instruction)
{
	world->what = what;
	world->instruction = instruction;
	world->trial++;
	memset(world->next, 0, sizeof world->next);
	memset(world->last, 0, sizeof world->last);
	memset(world->fate, 0, sizeof world->fate);
	memset(world->got, 0, sizeof world->got);
	memset(world->by_group, 0, sizeof world->by_group);
	memset(world->place, 0, sizeof world->place);
	world->refusals = world->to_group = world->connects = world->disconnects = 0;
	// Time passes between two trials only, and nobody keeps the house in one: or each that is slow would take another
	// way than the recorded one.
	shm_clock_still += BETWEEN;
	store_relaxed(&world->a->segment.housekeeping->begun, (uint64_t)channel_now());
	world->dropped = count_dropped(world);
	world->uncounted = count_uncounted(world);
	world->again = world->company = world->alike = false;
}

uint64_t world_number(struct world *world, enum world_sender sender, enum world_fate fate)
{
	uint32_t number = world->next[sender]++;

	if (number >= WORLD_NUMBERS)
		abort();
	world->fate[sender][number] = fate;
	return world->trial * WORLD_NUMBERS + number;
}

void world_send(struct world *world, struct forebay *from, enum world_sender sender,
        const char *channel, uint32_t length, enum world_fate fate)
{
	uint64_t number = world_number(world, sender, fate);
	int result = traffic_send(from, channel, sender, number, length, 0);

	if (result == 0)
		return;
	world->fate[sender][number % WORLD_NUMBERS] = WORLD_NEVER;
	world_complain(world, WORLD_BLOCKED, "a send to \"%s\" says: %s", channel,
	        forebay_strerror(result));
}

void world_await_doomed(struct world *world, pid_t pid, const uint64_t *numbers, uint32_t count)
{
	int status = 0;

	(void)waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		return;
	if (!world->company)
		bail_out("who was to die before the trial couldn't get that far");
	for (uint32_t i = 0; i < count; i++)
		world->fate[WORLD_DOOMED][numbers[i] % WORLD_NUMBERS] = WORLD_MAY;
}

bool world_is_gone(struct world *world, const char *channel)
{
	if (traffic_send(world->a, channel, WORLD_A, 0, 0, 0) != FOREBAY_GONE)
		return false;
	world->refusals++;
	return true;
}

void world_got(struct world *world, const struct traffic_stamp *stamp)
{
	uint32_t number = (uint32_t)(stamp->number % WORLD_NUMBERS);

	if (stamp->sender >= WORLD_SENDERS || stamp->number / WORLD_NUMBERS != world->trial)
		world_complain(world, WORLD_DOUBLED, "a message of an earlier trial");
	else if (++world->got[stamp->sender][number] > 1)
		world_complain(world, WORLD_DOUBLED, "message %u of sender %u came again", number,
		        (unsigned)stamp->sender);
}

static void ignore_owner(void *owner, void *context)
{
	(void)owner;
	(void)context;
}

void world_placed(
        struct world *world, const struct traffic_stamp *stamp, const struct world_place *place)
{
	uint32_t number = (uint32_t)(stamp->number % WORLD_NUMBERS);
	struct world_place *known;

	if (stamp->sender >= WORLD_SENDERS || stamp->number / WORLD_NUMBERS != world->trial) {
		world_complain(world, WORLD_DOUBLED, "a message of an earlier trial in a history");
		return;
	}
	known = &world->place[stamp->sender][number];
	if (known->epoch != 0 && (known->epoch != place->epoch || known->offset != place->offset))
		world_complain(world, WORLD_DOUBLED,
		        "message %u of sender %u has two places in a history", number,
		        (unsigned)stamp->sender);
	*known = *place;
}

static void note_place(struct world *world, const struct forebay_message *message,
        const struct traffic_stamp *stamp)
{
	struct world_place place;

	if (forebay_message_history(message, &place.epoch, &place.offset))
		world_placed(world, stamp, &place);
}

// One that came by a group, which may have come by a plain channel in it as well.
static void note_to_group(struct world *world, struct forebay_message *message)
{
	struct traffic_stamp stamp;

	if (!traffic_read(message, &stamp) || stamp.sender >= WORLD_SENDERS ||
	        stamp.number / WORLD_NUMBERS != world->trial) {
		world_complain(world, WORLD_TORN, "a message to a group");
		return;
	}
	if (forebay_message_recipients(message, ignore_owner, NULL) != 1 && !world->alike)
		world_complain(world, WORLD_LOST, "a message to a group without its member");
	world->to_group++;
	if (++world->by_group[stamp.sender][stamp.number % WORLD_NUMBERS] > 1)
		world_complain(world, WORLD_DOUBLED, "a message to a group");
	note_place(world, message, &stamp);
}

// The first one or the last one of a victim's reply channel, from itself or from whoever reaped it. Returns whether
// it was from itself. What has no reply channel only fills the room there is.
static bool note_will(struct world *world, struct forebay_message *message)
{
	const char *name = forebay_message_reply_channel(message);
	size_t length;
	unsigned kind;

	if (!name)
		return true;
	if (strcmp(forebay_message_channel(message), "websocket.connect") == 0) {
		world->connects++;
		return true;
	}
	world->disconnects++;
	if (!victim_has_named(name))
		world_complain(world, WORLD_TORN, "the end of another reply channel");
	return forebay_message_content(message, &length, &kind) != NULL;
}

static void note(struct world *world, struct forebay_message *message)
{
	const char *channel = forebay_message_channel(message);
	struct traffic_stamp stamp;
	uint32_t number;

	if (forebay_message_group(message)) {
		note_to_group(world, message);
		return;
	}
	if (strncmp(channel, "websocket.", 10) == 0 && !note_will(world, message))
		return;
	if (!traffic_read(message, &stamp)) {
		world_complain(world, WORLD_TORN, "a message from \"%s\"", channel);
		return;
	}
	world_got(world, &stamp);
	note_place(world, message, &stamp);
	if (stamp.sender >= WORLD_SENDERS || strcmp(channel, "work") != 0)
		return;
	number = (uint32_t)(stamp.number % WORLD_NUMBERS) + 1;
	if (number < world->last[stamp.sender])
		world_complain(world, WORLD_REORDERED, "message %u of sender %u came after %u",
		        number - 1, (unsigned)stamp.sender, world->last[stamp.sender] - 1);
	world->last[stamp.sender] = number;
}

void world_drain(struct world *world)
{
	struct forebay_message *message;
	int left = 4 * WORLD_NUMBERS;

	while (left-- > 0 && forebay_receive(world->b, 0, &message) == 0) {
		note(world, message);
		forebay_message_free(message);
	}
	if (left < 0)
		world_complain(world, WORLD_DOUBLED, "messages without end");
}

void world_drain_channel(struct world *world, const char *channel)
{
	int result = forebay_listen(world->b, channel);

	if (result != 0)
		world_complain(world, WORLD_BLOCKED, "listening to \"%s\" says: %s", channel,
		        forebay_strerror(result));
	world_drain(world);
	(void)forebay_ignore(world->b, channel);
}

// Fills the reply channel's window several times over: credit that a death took must have come back.
static void use_credit(struct world *world)
{
	for (int i = 0; i < 3 * WORLD_WINDOW; i++) {
		uint64_t number = world_number(world, WORLD_A, WORLD_MUST);
		int result = traffic_send(world->a, world->reply, WORLD_A, number, 10, 0);

		if (result == FOREBAY_FULL) {
			// What b does when it has time, between two sleeps.
			world_drain(world);
			channel_reply_heal(world->b);
			result = traffic_send(world->a, world->reply, WORLD_A, number, 10, 0);
		}
		if (result == 0)
			continue;
		world->fate[WORLD_A][number % WORLD_NUMBERS] = WORLD_NEVER;
		world_complain(world, WORLD_LEAKED, "credit of a reply channel: %s",
		        forebay_strerror(result));
		return;
	}
	world_drain(world);
}

// Channels come and go: a plain one, a stream, a reply channel, a group.
static void use_channels(struct world *world, struct forebay *c)
{
	char passing[FOREBAY_NAME_SIZE], stream[FOREBAY_NAME_SIZE], reply[FOREBAY_NAME_SIZE];
	int result;

	snprintf(passing, sizeof passing, "passing.%u", (unsigned)(world->trial % 5));
	world_send(world, world->a, WORLD_A, passing, 20, WORLD_MUST);
	world_drain_channel(world, passing);
	result = forebay_stream_open(c, "stream", stream);
	if (result == 0) {
		world_send(world, world->a, WORLD_A, stream, 20, WORLD_SENT);
		result = forebay_stream_close(c, stream);
	}
	if (result == 0)
		result = world_is_gone(world, stream) ? 0 : 1;
	if (result == 0)
		result = forebay_reply_open(c, "answer", 1, NULL, reply);
	if (result == 0) {
		world_send(world, world->a, WORLD_A, reply, 20, WORLD_SENT);
		result = forebay_reply_close(c, reply);
	}
	if (result == 0)
		result = world_is_gone(world, reply) ? 0 : 1;
	if (result == 0)
		result = forebay_group_add(c, "passing", world->reply);
	if (result == 0)
		result = forebay_group_discard(world->a, "passing", world->reply);
	if (result != 0)
		world_complain(world, WORLD_BLOCKED, "c's stream, reply channel or group: %s",
		        forebay_strerror(result));
}

// Before c gets a dead one's slot, and uses it for groups of its own.
static void check_hazards(struct world *world)
{
	for (uint32_t slot = 0; slot < SHM_PROCESSES; slot++) {
		struct shm_process_mem *process = &world->a->segment.processes[slot];

		if (load_acquire(&process->uid) == 0 && load_acquire(&process->hazard) != 0)
			world_complain(world, WORLD_LEAKED, "a hazard of the dead");
	}
}

void world_others_go_on(struct world *world, bool reap_first)
{
	static const uint32_t lengths[] = {0, 40, 700, 0, 5000, 1};
	struct forebay *c;

	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
		world_send(world, world->a, WORLD_A, "work", lengths[i], WORLD_MUST);
	world_drain(world);
	world_send(world, world->a, WORLD_A, "small", 100, WORLD_MUST);
	world_drain(world);
	if (reap_first) {
		(void)forebay_reap(world->a);
		check_hazards(world);
	}
	c = world_attach("c");
	if (!c) {
		world_complain(world, WORLD_BLOCKED, "attaching: %s", forebay_error());
		return;
	}
	world_send(world, c, WORLD_C, "work", WORLD_LARGE, WORLD_MUST);
	world_send(world, c, WORLD_C, "work", 200, WORLD_MUST);
	use_channels(world, c);
	world_drain(world);
	(void)forebay_reap(world->a);
	forebay_close(c);
}

static void settle_messages(struct world *world, uint32_t losses)
{
	uint64_t counted = count_dropped(world) - world->dropped - world->refusals;
	uint32_t missing = 0, unread = 0;

	for (int sender = 0; sender < WORLD_SENDERS; sender++) {
		for (uint32_t i = 0; i < WORLD_NUMBERS; i++) {
			if (world->fate[sender][i] == WORLD_MUST && world->got[sender][i] == 0)
				missing++;
			if (world->fate[sender][i] == WORLD_SENT && world->got[sender][i] == 0)
				unread++;
			if (world->fate[sender][i] == WORLD_NEVER && world->got[sender][i] > 0)
				world_complain(world, WORLD_DOUBLED,
				        "message %u of sender %d came though it wasn't sent", i,
				        sender);
		}
	}
	if (missing > losses && !world->company)
		world_complain(world, WORLD_LOST, "%u messages are missing", missing);
	else if (missing + unread > counted)
		world_complain(world, WORLD_LOST, "%u messages are missing, %llu were counted",
		        missing + unread, (unsigned long long)counted);
}

// Lost ones had been received. What was counted and then left behind by a death is lost as well.
static int judge_channel(const struct forebay_channel_stat *stat, void *context)
{
	const struct forebay_statistics *statistics = &stat->statistics;
	uint64_t ended = stat->pending;

	for (int i = 0; i < FOREBAY_COUNTERS; i++)
		ended += i == FOREBAY_COUNT_LOST ? 0 : stat->dropped[i];
	if (ended > stat->sent || stat->received != stat->sent - ended ||
	        stat->dropped[FOREBAY_COUNT_LOST] > stat->sent ||
	        !(statistics->messages_count_per_second >= 0 &&
	                statistics->messages_count_per_second <= (double)stat->sent) ||
	        !(statistics->channel_full_count_per_second >= 0 &&
	                statistics->channel_full_count_per_second <= (double)stat->full))
		world_complain(context, WORLD_MISCOUNTED,
		        "of %llu messages to \"%s\" %llu have ended, %llu are lost, %g/s, %g/s "
		        "refused",
		        (unsigned long long)stat->sent, stat->name, (unsigned long long)ended,
		        (unsigned long long)stat->dropped[FOREBAY_COUNT_LOST],
		        statistics->messages_count_per_second,
		        statistics->channel_full_count_per_second);
	return 0;
}

void world_settle(struct world *world, uint32_t losses)
{
	struct inventory now;
	char text[512];
	int64_t uncounted;

	world_drain(world);
	(void)forebay_reap(world->a);
	use_credit(world);
	(void)forebay_stat_channels(world->a, judge_channel, world);
	uncounted = count_uncounted(world) - world->uncounted;
	if (uncounted != 0 && !world->again)
		world_complain(world, WORLD_MISCOUNTED,
		        "%lld messages more were published than counted as sent",
		        (long long)uncounted);
	inventory_end_idle(world->a);
	inventory_end_groups(world->a);
	inventory_take(world->a, &now);
	if (!inventory_same(&world->before, &now, text, sizeof text))
		world_complain(world, WORLD_LEAKED, "%s", text);
	settle_messages(world, losses);
}
