// SPDX-License-Identifier: MIT
// A message there and one back, each sent when the other has been received. A round trip ends where
// the next begins, so one reading of the processor's clock is in each.

#include "tests/bench/loops.h"

#include <stdlib.h>

#include "tests/bench/crew.h"

#define STOP UINT64_MAX

static void receive(const struct bench_run *run, void *end, struct bench_message *message,
        struct bench_reader *reader)
{
	*reader = (struct bench_reader){0};
	run->transport->receive(end, reader);
	bench_message_check(message, reader);
}

static void send(
        const struct bench_run *run, void *end, struct bench_message *message, uint64_t stamp)
{
	bench_message_stamp(message, stamp);
	run->transport->send(end, message->words, message->size);
	if (run->transport->flush)
		run->transport->flush(end);
}

static void ping(struct bench_crew *crew, int index)
{
	static struct bench_message message;
	const struct bench_run *run = crew->run;
	struct bench_control *control = crew->control;
	void *out = run->transport->open(run, 0, BENCH_SENDER, index);
	void *in = run->transport->open(run, 1, BENCH_RECEIVER, index);
	uint64_t last = bench_ticks();

	bench_message_init(&message, run->size);
	bench_crew_ready(crew);
	for (uint64_t i = 0; !atomic_load_explicit(&control->stop, memory_order_relaxed); i++) {
		struct bench_reader reader;
		uint64_t now;

		send(run, out, &message, i + 1);
		receive(run, in, &message, &reader);
		now = bench_ticks();
		if (reader.first != i + 1)
			bench_die("the answer is to another message");
		if (atomic_load_explicit(&control->warm, memory_order_relaxed) &&
		        control->sample_count < BENCH_SAMPLES)
			control->samples[control->sample_count++] = now - last;
		last = now;
	}
	send(run, out, &message, STOP);
	for (;;)
		bench_nap();
}

static void pong(struct bench_crew *crew, int index)
{
	static struct bench_message message;
	const struct bench_run *run = crew->run;
	void *in = run->transport->open(run, 0, BENCH_RECEIVER, index);
	void *out = run->transport->open(run, 1, BENCH_SENDER, index);

	bench_message_init(&message, run->size);
	bench_crew_ready(crew);
	for (;;) {
		struct bench_reader reader;

		receive(run, in, &message, &reader);
		if (reader.first == STOP)
			break;
		send(run, out, &message, reader.first);
	}
	atomic_store(&crew->control->ends, 1);
	for (;;)
		bench_nap();
}

static bool has_ended(const struct bench_crew *crew)
{
	return atomic_load(&crew->control->ends) == 1;
}

static int compare(const void *a, const void *b)
{
	const uint64_t *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

void bench_roundtrip(const struct bench_run *run)
{
	struct bench_crew crew;
	struct bench_control *control;
	uint64_t *samples, count;
	double scale;

	if (run->transport->setup)
		run->transport->setup(run);
	bench_crew_init(&crew, run);
	control = crew.control;
	bench_crew_add(&crew, 0, ping, 0);
	bench_crew_add(&crew, 1, pong, 0);
	bench_crew_go(&crew);
	bench_crew_warm_up(&crew);
	scale = bench_crew_measure(&crew);
	bench_crew_stop(&crew, has_ended);
	if (run->transport->teardown)
		run->transport->teardown(run);
	samples = control->samples;
	count = control->sample_count;
	if (count == 0)
		bench_die("no round trip was complete in %g s", run->seconds);
	qsort(samples, count, sizeof *samples, compare);
	printf("{\"p50\": %.1f, \"p99\": %.1f, \"samples\": %llu}\n",
	        (double)samples[count / 2] * scale, (double)samples[count * 99 / 100] * scale,
	        (unsigned long long)count);
}
