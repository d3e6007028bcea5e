// SPDX-License-Identifier: MIT
// One process by itself, so that only the length of the way through the code and the memory counts:
//
//   memory    a message copied in and out: what its octets cost in any case. COUNT buffers in turn.
//   channels  send and receive on one channel while COUNT exist
//   spread    send to each of COUNT channels, in an order without a pattern; what was sent is flushed untimed
//   listened  send to one of COUNT channels that the receiver listens to, and receive
//   queued    send and receive on a channel in which COUNT messages wait
//
// Each prints messages a second.

#include "tests/bench/loops.h"

#include <stdlib.h>

#include "tests/bench/attach.h"
#include "tests/bench/crew.h"

enum {
	STRIDE = 7919, // prime: walks over all channels of any number we use
	ROUND = 8192,  // messages that wait at most while they are spread
	NAME_SIZE = 32,
	QUEUE = 8192, // capacity of the channel that messages wait in
};

static struct bench_message message;

static bool stopped(const struct bench_crew *crew)
{
	return atomic_load_explicit(&crew->control->stop, memory_order_relaxed);
}

// ---------------------------------------------------------------------------------------------
// Memory
// ---------------------------------------------------------------------------------------------

static void copy(struct bench_crew *crew, int index)
{
	static char copied[BENCH_SIZE_MAX];
	size_t size = crew->run->size,
	       buffers = crew->run->count > 0 ? (size_t)crew->run->count : 1;
	char *shared = bench_shared(buffers * size);

	(void)index;
	bench_message_init(&message, size);
	bench_crew_ready(crew);
	for (uint64_t i = 0; !stopped(crew); i++) {
		char *buffer = shared + i % buffers * size;

		bench_message_stamp(&message, i);
		memcpy(buffer, message.words, size);
		__asm__ volatile("" ::"r"(buffer) : "memory");
		memcpy(copied, buffer, size);
		__asm__ volatile("" ::"r"(copied) : "memory");
		if (bench_word(copied) != i)
			bench_die("memory doesn't hold what was put there");
		bench_count(&crew->control->received[0], 1);
	}
}

// ---------------------------------------------------------------------------------------------
// Channels and queues
// ---------------------------------------------------------------------------------------------

static char (*names)[NAME_SIZE]; // of the channels, so that none is made up while time is taken

static struct forebay_options options_of(const struct bench_run *run)
{
	return (struct forebay_options){
	        // A narrow channel takes about 2 KiB, and as much again for the messages that wait in all.
	        .size = (64ull << 20) + (uint64_t)run->count * 4096,
	        .channels = (uint32_t)run->count + 16,
	        .capacities = "queue=8192",
	        .capacity = BENCH_DEPTH,
	        .role = "bench",
	};
}

static void make_layer(const struct bench_run *run)
{
	struct forebay_options options = options_of(run);

	bench_layer_make(run, &options);
}

static void listen(struct forebay *layer, const char *channel)
{
	int result = forebay_listen(layer, channel);

	if (result != 0)
		bench_die("listen: %s", forebay_strerror(result));
}

static void send(
        struct forebay *layer, struct forebay_message *out, const char *channel, uint64_t stamp)
{
	int result;

	bench_message_stamp(&message, stamp);
	forebay_message_reset(out);
	forebay_set_content(out, message.words, message.size, FOREBAY_BINARY);
	result = forebay_send(layer, channel, out, 0);
	if (result != 0)
		bench_die("send: %s", forebay_strerror(result));
}

static void receive(struct forebay *layer, uint64_t stamp)
{
	struct bench_reader reader = {0};
	struct forebay_message *in;
	int result = forebay_receive(layer, 0, &in);

	if (result != 0)
		bench_die("receive: %s", forebay_strerror(result));
	bench_layer_read(in, &reader);
	bench_message_check(&message, &reader);
	if (reader.first != stamp)
		bench_die(
		        "message %llu is lost, doubled or out of order", (unsigned long long)stamp);
	forebay_message_free(in);
}

static struct forebay *attach(struct bench_crew *crew, struct forebay_message **out)
{
	struct forebay_options options = options_of(crew->run);
	struct forebay *layer = bench_layer_attach(crew->run, &options);
	long count = crew->run->count;

	bench_message_init(&message, crew->run->size);
	names = calloc((size_t)count + 1, sizeof *names);
	for (long i = 0; i < count; i++)
		snprintf(names[i], sizeof names[i], "bench.%ld", i);
	*out = forebay_message_new(layer);
	return layer;
}

static void make_channels(struct forebay *layer, long count)
{
	for (long i = 0; i < count; i++) {
		listen(layer, names[i]);
		(void)forebay_ignore(layer, names[i]);
	}
}

static void use_one_of(struct bench_crew *crew, int index)
{
	struct forebay_message *out;
	struct forebay *layer = attach(crew, &out);

	(void)index;
	make_channels(layer, crew->run->count);
	listen(layer, names[0]);
	bench_crew_ready(crew);
	for (uint64_t i = 0; !stopped(crew); i++) {
		send(layer, out, names[0], i);
		receive(layer, i);
		bench_count(&crew->control->received[0], 1);
	}
}

static void send_to_all(struct bench_crew *crew, int index)
{
	struct forebay_message *out;
	struct forebay *layer = attach(crew, &out);
	long count = crew->run->count, channel = 0;
	// No channel gets more than it holds, and there are blocks for all.
	uint64_t flushed, round = count < BENCH_DEPTH ? BENCH_DEPTH
	                          : count < ROUND     ? (uint64_t)count
	                                              : ROUND;

	(void)index;
	make_channels(layer, count);
	bench_crew_ready(crew);
	while (!stopped(crew)) {
		uint64_t start;

		// Here the ticks are added up, since the flush between two rounds doesn't count.
		start = bench_ticks();
		for (uint64_t i = 0; i < round; i++) {
			send(layer, out, names[channel], i);
			channel = (channel + STRIDE) % count;
		}
		if (atomic_load(&crew->control->warm)) {
			crew->control->samples[0] += bench_ticks() - start;
			crew->control->sample_count += round;
		}
		(void)forebay_flush(layer, NULL, &flushed);
		if (flushed != round)
			bench_die("%llu messages sent, %llu flushed", (unsigned long long)round,
			        (unsigned long long)flushed);
	}
	atomic_store(&crew->control->ends, 1);
	for (;;)
		bench_nap();
}

static void listen_to_all(struct bench_crew *crew, int index)
{
	struct forebay_message *out;
	struct forebay *layer = attach(crew, &out);
	long count = crew->run->count, channel = 0;

	(void)index;
	for (long i = 0; i < count; i++)
		listen(layer, names[i]);
	bench_crew_ready(crew);
	for (uint64_t i = 0; !stopped(crew); i++) {
		send(layer, out, names[channel], i);
		receive(layer, i);
		channel = (channel + STRIDE) % count;
		bench_count(&crew->control->received[0], 1);
	}
}

static void use_long_queue(struct bench_crew *crew, int index)
{
	struct forebay_message *out;
	struct forebay *layer = attach(crew, &out);
	uint64_t queued = (uint64_t)crew->run->count;

	(void)index;
	listen(layer, "queue");
	for (uint64_t i = 0; i < queued; i++)
		send(layer, out, "queue", i);
	bench_crew_ready(crew);
	for (uint64_t i = 0; !stopped(crew); i++) {
		send(layer, out, "queue", i + queued);
		receive(layer, i);
		bench_count(&crew->control->received[0], 1);
	}
}

// ---------------------------------------------------------------------------------------------
// One process
// ---------------------------------------------------------------------------------------------

static bool at_once(const struct bench_crew *crew)
{
	(void)crew;
	return true;
}

static bool has_ended(const struct bench_crew *crew)
{
	return atomic_load(&crew->control->ends) == 1;
}

static const struct bench_transport layer_transport = {
        .name = "layer", .setup = make_layer, .teardown = bench_layer_remove};
// Runs WORK in a process of its own, over what TRANSPORT (may be NULL) sets up, and prints how many
// messages a second it counts.
static void run_counting(const struct bench_run *run, const struct bench_transport *transport,
        void (*work)(struct bench_crew *crew, int index))
{
	struct bench_run own = *run;
	struct bench_crew crew;

	own.transport = transport;
	if (transport)
		transport->setup(&own);
	bench_crew_init(&crew, &own);
	bench_crew_add(&crew, 0, work, 0);
	bench_crew_print_rate(&crew, at_once);
}

void bench_memory(const struct bench_run *run)
{
	run_counting(run, NULL, copy);
}

void bench_channels(const struct bench_run *run)
{
	run_counting(run, &layer_transport, use_one_of);
}

void bench_listened(const struct bench_run *run)
{
	run_counting(run, &layer_transport, listen_to_all);
}

void bench_queued(const struct bench_run *run)
{
	if (run->count >= QUEUE)
		bench_die("at most %d messages can wait", QUEUE - 1);
	run_counting(run, &layer_transport, use_long_queue);
}

void bench_spread(const struct bench_run *run)
{
	struct bench_run own = *run;
	struct bench_crew crew;
	double scale;

	own.transport = &layer_transport;
	make_layer(&own);
	bench_crew_init(&crew, &own);
	bench_crew_add(&crew, 0, send_to_all, 0);
	bench_crew_go(&crew);
	bench_crew_warm_up(&crew);
	scale = bench_crew_measure(&crew);
	bench_crew_stop(&crew, has_ended);
	bench_layer_remove(&own);
	if (crew.control->sample_count == 0)
		bench_die("nothing was sent in %g s", run->seconds);
	printf("{\"rate\": %.1f}\n", (double)crew.control->sample_count * 1e9 /
	                                     ((double)crew.control->samples[0] * scale));
}
