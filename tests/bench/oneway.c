// SPDX-License-Identifier: MIT
// Messages one way, from some processes to others, as fast as they go. The parent samples the
// receivers' counters at the two ends of the measured time, so no loop reads a clock.
//
// A message's first word is its stamp, the producer and a sequence number; the last word is derived
// from it, and all words between are the same in every message. The receiver adds up all words, so
// that it reads the message in full and knows what the sum must be. With one consumer sequence
// numbers must come without a gap; with several they must grow.

#include "tests/bench/loops.h"

#include <stdlib.h>

#include "tests/bench/crew.h"

#define FACTOR 0x9e3779b97f4a7c15ull

#define STAMP(PRODUCER, SEQUENCE) ((uint64_t)(PRODUCER) << 56 | (SEQUENCE))
#define STAMP_PRODUCER(STAMP)     ((int)((STAMP) >> 56 & 0x7f))
#define STAMP_SEQUENCE(STAMP)     ((STAMP)&0xffffffffffffffull)
#define STAMP_END                 (1ull << 63)

void bench_message_init(struct bench_message *message, size_t size)
{
	uint64_t word = 88172645463325252ull;

	if (size % 8 != 0 || size > sizeof message->words)
		bench_die("a message's size is a multiple of 8, at most %d", BENCH_SIZE_MAX);
	message->size = size;
	message->sum = 0;
	for (size_t i = 1; i + 1 < size / 8; i++) {
		word ^= word << 13, word ^= word >> 7, word ^= word << 17;
		message->words[i] = word;
		message->sum += word;
	}
}

void bench_message_stamp(struct bench_message *message, uint64_t stamp)
{
	message->words[0] = stamp;
	if (message->size > 8)
		message->words[message->size / 8 - 1] = stamp * FACTOR;
}

void bench_message_check(const struct bench_message *message, const struct bench_reader *reader)
{
	uint64_t sum = reader->first;

	if (message->size > 8)
		sum += reader->first * FACTOR + message->sum;
	if (reader->length != message->size || reader->sum != sum)
		bench_die("a message is torn: %zu octets, sum %016llx, should be %zu and %016llx",
		        reader->length, (unsigned long long)reader->sum, message->size,
		        (unsigned long long)sum);
}

static void produce(struct bench_crew *crew, int index)
{
	static struct bench_message message;
	const struct bench_run *run = crew->run;
	const struct bench_transport *transport = run->transport;
	struct bench_counter *sent = &crew->control->sent[index];
	void *end = transport->open(run, 0, BENCH_SENDER, index);
	uint64_t sequence = 0;

	bench_message_init(&message, run->size);
	bench_crew_ready(crew);
	while (!atomic_load_explicit(&crew->control->stop, memory_order_relaxed)) {
		bench_message_stamp(&message, STAMP(index, sequence++));
		transport->send(end, message.words, message.size);
		bench_count(sent, 1);
	}
	for (int i = 0; i < run->consumers; i++) {
		bench_message_stamp(&message, STAMP(index, sequence) | STAMP_END);
		transport->send(end, message.words, message.size);
	}
	if (transport->flush)
		transport->flush(end);
	// What the transport still holds in this process must not be lost with it: the parent ends us.
	for (;;)
		bench_nap();
}

static void consume(struct bench_crew *crew, int index)
{
	static struct bench_message message;
	const struct bench_run *run = crew->run;
	const struct bench_transport *transport = run->transport;
	struct bench_counter *received = &crew->control->received[index];
	void *end = transport->open(run, 0, BENCH_RECEIVER, index);
	uint64_t next[BENCH_PROCESSES] = {0};

	bench_message_init(&message, run->size);
	bench_crew_ready(crew);
	for (;;) {
		struct bench_reader reader = {0};
		int producer;

		transport->receive(end, &reader);
		bench_message_check(&message, &reader);
		producer = STAMP_PRODUCER(reader.first);
		if (producer >= run->producers || STAMP_SEQUENCE(reader.first) < next[producer] ||
		        (run->consumers == 1 && STAMP_SEQUENCE(reader.first) != next[producer]))
			bench_die("a message is lost, doubled or out of order");
		next[producer] = STAMP_SEQUENCE(reader.first) + 1;
		if (reader.first & STAMP_END) {
			next[producer]--;
			atomic_fetch_add(&crew->control->ends, 1);
			continue;
		}
		bench_count(received, 1);
	}
}

static bool all_ended(const struct bench_crew *crew)
{
	const struct bench_control *control = crew->control;

	// Of several consumers one may have taken a last message while another is reading one from before it.
	return atomic_load(&control->ends) ==
	               (uint32_t)(crew->run->producers * crew->run->consumers) &&
	       bench_crew_sum(control->received) == bench_crew_sum(control->sent);
}

void bench_oneway(const struct bench_run *run)
{
	struct bench_crew crew;

	if (run->transport->setup)
		run->transport->setup(run);
	bench_crew_init(&crew, run);
	// Consumers on the first processor, then the second; producers from the other side.
	for (int i = 0; i < run->consumers; i++)
		bench_crew_add(&crew, i, consume, i);
	for (int i = 0; i < run->producers; i++)
		bench_crew_add(&crew, run->consumers == 1 ? 1 : i + 1, produce, i);
	bench_crew_print_rate(&crew, all_ended);
}
