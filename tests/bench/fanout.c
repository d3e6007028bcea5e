// SPDX-License-Identifier: MIT
// One message to COUNT members of a group, which are reply channels of one or more processes, as the
// connections of a chat are. Prints deliveries a second, to members.
//
//   fanout  forebay_group_send(): stored once for each process, which hands it to its own
//   singly  what there would be without groups: forebay_send() to each
//
// The sender is at most a few messages ahead of the slowest owner, so none is skipped for want of room, and
// each owner checks at the end that every member got every message.

#include "tests/bench/loops.h"

#include <stdlib.h>

#include "tests/bench/attach.h"
#include "tests/bench/crew.h"

#define GROUP     "bench"
#define AHEAD     4
#define STAMP_END (1ull << 63)

// What a server has for a connection: a line of memory of its own is touched for each delivery.
struct member {
	_Alignas(64) uint64_t delivered;
	bool mine;
};

static struct bench_message message;

// Names of all members, written by their owners before the start.
static char (*names)[FOREBAY_NAME_SIZE];

static struct forebay_options options_of(const struct bench_run *run)
{
	return (struct forebay_options){
	        .size = (64ull << 20) + (uint64_t)run->count * 4096,
	        .reply_channels = 4 * (uint32_t)run->count + 1024,
	        .role = "bench",
	};
}

static void make_layer(const struct bench_run *run)
{
	struct forebay_options options = options_of(run);

	bench_layer_make(run, &options);
}

// ---------------------------------------------------------------------------------------------
// Owners of members
// ---------------------------------------------------------------------------------------------

// Member I belongs to the owner I modulo their number.
static struct member *make_members(
        const struct bench_run *run, struct forebay *layer, int index, uint64_t *count)
{
	struct member *members = calloc((size_t)run->count, sizeof *members);

	if (!members)
		bench_die("out of memory");
	*count = 0;
	for (long i = index; i < run->count; i += run->consumers) {
		int result = forebay_reply_open(layer, "bench", 0, &members[i], names[i]);

		if (result == 0)
			result = forebay_group_add(layer, GROUP, names[i]);
		if (result != 0)
			bench_die("member %ld: %s", i, forebay_strerror(result));
		members[i].mine = true;
		++*count;
	}
	return members;
}

static void deliver(void *owner, void *context)
{
	struct member *member = owner;

	(void)context;
	member->delivered++;
}

// Hands the message to its members. Returns to how many, and its stamp.
static uint64_t hand_out(struct forebay_message *in, uint64_t *stamp)
{
	struct bench_reader reader = {0};

	bench_layer_read(in, &reader);
	bench_message_check(&message, &reader);
	*stamp = reader.first;
	if (forebay_message_group(in))
		return forebay_message_recipients(in, deliver, NULL);
	deliver(forebay_message_owner(in), NULL);
	return 1;
}

static void own(struct bench_crew *crew, int index)
{
	const struct bench_run *run = crew->run;
	struct forebay_options options = options_of(run);
	struct forebay *layer = bench_layer_attach(run, &options);
	struct bench_counter *received = &crew->control->received[index];
	uint64_t count, sequence = 0, handed = 0;
	struct member *members = make_members(run, layer, index, &count);

	bench_message_init(&message, run->size);
	bench_crew_ready(crew);
	for (;;) {
		struct forebay_message *in;
		uint64_t stamp, reached;
		int result = forebay_receive(layer, -1, &in);

		if (result != 0)
			bench_die("receive: %s", forebay_strerror(result));
		reached = hand_out(in, &stamp);
		forebay_message_free(in);
		handed += reached;
		if ((stamp & ~STAMP_END) != sequence)
			bench_die("a message is lost, doubled or out of order");
		if (handed % count == 0)
			sequence++;
		bench_count(received, reached);
		if ((stamp & STAMP_END) && handed % count == 0)
			break;
	}
	for (long i = 0; i < run->count; i++)
		if (members[i].mine && members[i].delivered != sequence)
			bench_die("a member got %llu of %llu messages",
			        (unsigned long long)members[i].delivered,
			        (unsigned long long)sequence);
	atomic_fetch_add(&crew->control->ends, 1);
	for (;;)
		bench_nap();
}

// ---------------------------------------------------------------------------------------------
// The sender
// ---------------------------------------------------------------------------------------------

static void send_to_group(
        const struct bench_run *run, struct forebay *layer, struct forebay_message *out)
{
	uint64_t reached;
	int result = forebay_group_send(layer, GROUP, out, &reached);

	if (result != 0 || reached != (uint64_t)run->count)
		bench_die("group_send: %s, reached %llu of %ld", forebay_strerror(result),
		        (unsigned long long)reached, run->count);
}

static void send_singly(
        const struct bench_run *run, struct forebay *layer, struct forebay_message *out)
{
	for (long i = 0; i < run->count; i++) {
		int result = forebay_send(layer, names[i], out, -1);

		if (result != 0)
			bench_die("send: %s", forebay_strerror(result));
	}
}

static void send_all(
        struct bench_crew *crew, void (*send)(const struct bench_run *run, struct forebay *layer,
                                         struct forebay_message *out))
{
	const struct bench_run *run = crew->run;
	struct forebay_options options = options_of(run);
	struct forebay *layer = bench_layer_attach(run, &options);
	struct forebay_message *out = forebay_message_new(layer);
	struct bench_counter *sent = &crew->control->sent[0];
	bool stop = false;
	unsigned spins = 0;

	bench_message_init(&message, run->size);
	bench_crew_ready(crew);
	for (uint64_t i = 0; !stop; i++) {
		while (i * (uint64_t)run->count >=
		        bench_crew_sum(crew->control->received) + AHEAD * (uint64_t)run->count)
			bench_spin(&spins);
		stop = atomic_load(&crew->control->stop);
		bench_message_stamp(&message, i | (stop ? STAMP_END : 0));
		forebay_message_reset(out);
		forebay_set_content(out, message.words, message.size, FOREBAY_BINARY);
		send(run, layer, out);
		bench_count(sent, (uint64_t)run->count);
	}
	for (;;)
		bench_nap();
}

static void produce_for_group(struct bench_crew *crew, int index)
{
	(void)index;
	send_all(crew, send_to_group);
}

static void produce_singly(struct bench_crew *crew, int index)
{
	(void)index;
	send_all(crew, send_singly);
}

static bool all_ended(const struct bench_crew *crew)
{
	return atomic_load(&crew->control->ends) == (uint32_t)crew->run->consumers &&
	       bench_crew_sum(crew->control->received) == bench_crew_sum(crew->control->sent);
}

static void run_fanout(
        const struct bench_run *run, void (*produce)(struct bench_crew *crew, int index))
{
	static const struct bench_transport transport = {
	        .name = "layer", .setup = make_layer, .teardown = bench_layer_remove};
	struct bench_run own_run = *run;
	struct bench_crew crew;

	if (run->count < run->consumers)
		bench_die("there are members for each owner: --count is at least --consumers");
	own_run.transport = &transport;
	names = bench_shared((size_t)run->count * sizeof *names);
	make_layer(&own_run);
	bench_crew_init(&crew, &own_run);
	for (int i = 0; i < run->consumers; i++)
		bench_crew_add(&crew, i * 2, own, i);
	bench_crew_add(&crew, 1, produce, 0);
	bench_crew_print_rate(&crew, all_ended);
}

void bench_fanout(const struct bench_run *run)
{
	run_fanout(run, produce_for_group);
}

void bench_singly(const struct bench_run *run)
{
	run_fanout(run, produce_singly);
}
