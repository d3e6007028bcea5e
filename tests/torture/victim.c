// SPDX-License-Identifier: MIT
#include "tests/torture/victim.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/torture/operations.h"
#include "tests/torture/tracer.h"

enum {
	WAIT = 60000, // ms
};

struct victim_report *victim_reports, *victim_report;

struct forebay *victim_own;
static uint64_t trial;
static struct forebay_message *outgoing, *incoming;
static const char *outgoing_channel;
static uint32_t outgoing_number;

void victim_init(void)
{
	victim_reports = mmap(NULL, VICTIMS * sizeof *victim_reports, PROT_READ | PROT_WRITE,
	        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (victim_reports == MAP_FAILED)
		abort();
	for (int i = 0; i < VICTIMS; i++)
		victim_reports[i].sender = WORLD_VICTIM + i;
	victim_report = victim_reports;
}

bool victim_has_named(const char *name)
{
	for (int i = 0; i < VICTIMS; i++)
		if (strcmp(name, victim_reports[i].name) == 0)
			return true;
	return false;
}

void victim_need(bool fulfilled)
{
	if (fulfilled)
		return;
	victim_report->broken = true;
	_exit(EXIT_FAILURE);
}

struct forebay_message *victim_prepare(
        const char *channel, uint32_t length, const char *reply_channel)
{
	outgoing_channel = channel;
	outgoing_number = victim_report->sent++;
	outgoing = traffic_build(victim_own, channel, victim_report->sender,
	        trial * WORLD_NUMBERS + outgoing_number, length, reply_channel);
	victim_report->fate[outgoing_number] = WORLD_MAY;
	return outgoing;
}

void victim_sent(int result)
{
	victim_report->fate[outgoing_number] = result == 0 ? WORLD_MUST : WORLD_NEVER;
	victim_report->result = result;
}

static void prepare(const char *channel, uint32_t length)
{
	(void)victim_prepare(channel, length, NULL);
}

static void send_prepared(int timeout)
{
	victim_sent(forebay_send(victim_own, outgoing_channel, outgoing, timeout));
}

// Sends at once.
static void send_now(const char *channel, uint32_t length, enum world_fate fate)
{
	prepare(channel, length);
	send_prepared(0);
	victim_need(victim_report->result == 0);
	forebay_message_free(outgoing);
	victim_report->fate[outgoing_number] = (uint8_t)fate;
}

// A death in the middle must not leave half a name, or half a stamp, that counts.
static void publish(void)
{
	atomic_signal_fence(memory_order_release);
}

static void enter_received(void)
{
	struct traffic_stamp stamp;

	if (!traffic_read(incoming, &stamp))
		stamp.sender = WORLD_SENDERS; // the tester will see that it is wrong
	if (victim_report->received == WORLD_NUMBERS)
		return;
	victim_report->stamp[victim_report->received] = stamp;
	publish();
	*(volatile uint32_t *)&victim_report->received += 1;
}

// Receives one message and gives its memory back.
static void receive(int timeout)
{
	victim_report->result = forebay_receive(victim_own, timeout, &incoming);
	if (victim_report->result != 0)
		return;
	enter_received();
	forebay_message_free(incoming);
}

void victim_do_nothing(void)
{
}

void victim_ready_send(void)
{
	send_now("work", 50, WORLD_MUST);
	prepare("work", 100);
}

void victim_ready_send_first(void)
{
	prepare("work", 100);
}

void victim_ready_send_large(void)
{
	prepare("work", WORLD_LARGE);
}

char victim_target[FOREBAY_NAME_SIZE];

void victim_ready_send_reply(void)
{
	prepare(victim_target, 100);
}

void victim_ready_send_new(void)
{
	prepare("new", 100);
}

void victim_ready_send_small(void)
{
	prepare("small", 100);
}

void victim_ready_send_fresh(void)
{
	prepare("fresh", 100);
}

void victim_ready_send_passing(void)
{
	send_now("ending", 50, WORLD_MUST);
	prepare("ending", 100);
}

void victim_act_send(void)
{
	send_prepared(0);
}

void victim_act_send_later(void)
{
	victim_sent(forebay_send_after(victim_own, outgoing_channel, outgoing, VICTIM_DELAY));
}

void victim_ready_deliver(void)
{
	shm_clock_ahead = VICTIM_LATER;
}

void victim_act_deliver(void)
{
	(void)channel_deliver(victim_own, channel_now(), false);
}

// Long enough for stepping to it; nobody waits so long.
void victim_act_send_waiting(void)
{
	send_prepared(WAIT);
}

void victim_ready_receive(void)
{
	victim_need(forebay_listen(victim_own, "work") == 0);
}

void victim_ready_receive_quiet(void)
{
	victim_need(forebay_listen(victim_own, "quiet") == 0);
}

void victim_ready_receive_event(void)
{
	victim_need(forebay_listen(victim_own, "quiet") == 0 && forebay_fd(victim_own) >= 0);
}

void victim_ready_receive_forked(void)
{
	int born[2];
	char byte;
	pid_t child;

	victim_ready_receive();
	victim_need(pipe(born) == 0);
	child = fork();
	victim_need(child >= 0);
	if (child == 0) {
		(void)!write(born[1], "", 1);
		for (;;)
			pause();
	}
	victim_report->child = child;
	// Until the child has run its fork handler, it keeps its parent's lock.
	victim_need(read(born[0], &byte, 1) == 1);
}

void victim_act_receive(void)
{
	receive(0);
}

void victim_act_receive_waiting(void)
{
	receive(WAIT);
}

void victim_leave_receive_event(void)
{
	struct pollfd poll_fd = {.fd = forebay_fd(victim_own), .events = POLLIN};

	victim_report->readable = poll(&poll_fd, 1, 0) == 1;
}

void victim_act_listen(void)
{
	victim_report->result = forebay_listen(victim_own, "new");
	if (victim_report->result == 0)
		victim_report->result = forebay_ignore(victim_own, "new");
}

void victim_act_attach(void)
{
	victim_own = world_attach("victim");
}

void victim_leave_attach(void)
{
	victim_need(victim_own != NULL);
}

// Attaches to a second layer, and makes it if it isn't there.
struct forebay *victim_make_layer(void)
{
	struct forebay_options options = {.size = 3 << 20, .channels = 16, .reply_channels = 64};
	struct forebay *layer;
	char name[65];

	snprintf(name, sizeof name, "%s.made", getenv("FOREBAY_LAYER"));
	return forebay_open(name, &options, &layer) == 0 ? layer : NULL;
}

void victim_remove_made(void)
{
	char name[65];

	snprintf(name, sizeof name, "%s.made", getenv("FOREBAY_LAYER"));
	(void)forebay_remove(name);
}

void victim_act_make(void)
{
	victim_own = victim_make_layer();
}

void victim_leave_make(void)
{
	victim_need(victim_own != NULL);
	victim_report->identity = victim_own->segment.identity;
}

// Holds one of each.
void victim_ready_detach(void)
{
	char name[FOREBAY_NAME_SIZE];

	victim_need(forebay_listen(victim_own, "work") == 0 &&
	            forebay_listen(victim_own, "quiet") == 0);
	victim_need(forebay_receive(victim_own, 0, &incoming) == 0 &&
	            forebay_receive(victim_own, 0, &incoming) == 0);
	victim_need(forebay_reply_open(victim_own, "answer", 2, NULL, name) == 0);
	send_now(name, 100, WORLD_SENT);
	victim_need(forebay_stream_open(victim_own, "stream", name) == 0);
	send_now(name, WORLD_LARGE, WORLD_SENT);
}

void victim_act_detach(void)
{
	forebay_close(victim_own);
	victim_own = NULL;
}

static void enter_name(const char *name)
{
	if (victim_report->result != 0)
		return;
	strcpy(victim_report->name, name);
	publish();
	*(volatile bool *)&victim_report->named = true;
}

void victim_act_stream_open(void)
{
	char name[FOREBAY_NAME_SIZE];

	victim_report->result = forebay_stream_open(victim_own, "stream", name);
	enter_name(name);
}

void victim_ready_stream_close(void)
{
	victim_act_stream_open();
	victim_need(victim_report->result == 0);
	send_now(victim_report->name, 100, WORLD_SENT);
	send_now(victim_report->name, WORLD_LARGE, WORLD_SENT);
}

void victim_act_stream_close(void)
{
	victim_report->result = forebay_stream_close(victim_own, victim_report->name);
}

void victim_act_reply_open(void)
{
	char name[FOREBAY_NAME_SIZE];

	victim_report->result = forebay_reply_open(victim_own, "answer", 4, NULL, name);
	enter_name(name);
}

void victim_act_metric(void)
{
	struct forebay_metric metric;

	victim_report->result = forebay_metric_open(
	        victim_own, VICTIM_METRIC, FOREBAY_METRIC_COUNTER, "Victims", &metric);
	forebay_metric_add(&metric, 1);
}

void victim_ready_reply_close(void)
{
	victim_act_reply_open();
	victim_need(victim_report->result == 0);
}

void victim_act_reply_close(void)
{
	victim_report->result = forebay_reply_close(victim_own, victim_report->name);
}

void victim_act_flush(void)
{
	victim_report->result = forebay_flush(victim_own, "work", NULL);
}

void victim_act_housekeep(void)
{
	victim_report->result = forebay_housekeep(victim_own);
}

void victim_act_reap(void)
{
	int reaped = forebay_reap(victim_own);

	victim_report->result = reaped < 0 ? reaped : 0;
}

// Another process than the victim: it dies holding one of each.
void victim_die(const uint64_t number[2])
{
	char name[FOREBAY_NAME_SIZE];

	victim_own = world_attach("doomed");
	victim_need(victim_own != NULL && forebay_listen(victim_own, "work") == 0);
	victim_need(forebay_receive(victim_own, 0, &incoming) == 0 &&
	            forebay_receive(victim_own, 0, &incoming) == 0);
	victim_need(forebay_reply_open(victim_own, "answer", 2, NULL, name) == 0);
	victim_need(traffic_send(victim_own, name, WORLD_DOOMED, number[0], 100, 0) == 0);
	victim_need(forebay_stream_open(victim_own, "stream", name) == 0);
	victim_need(traffic_send(victim_own, name, WORLD_DOOMED, number[1], WORLD_LARGE, 0) == 0);
	raise(SIGKILL);
}

void victim_run(const struct operation *operation, uint64_t number)
{
	trial = number;
	*victim_report =
	        (struct victim_report){.refused = !tracer_allow(), .sender = victim_report->sender};
	if (victim_report->refused)
		_exit(EXIT_FAILURE);
	if (!operation->detached) {
		victim_own = world_attach("victim");
		victim_need(victim_own != NULL);
		victim_report->slot = victim_own->self.slot;
	}
	operation->ready();
	tracer_begin();
	operation->act();
	victim_report->done = true;
	if (!victim_report->untraced)
		tracer_end();
	if (operation->leave)
		operation->leave();
	forebay_close(victim_own);
	_exit(EXIT_SUCCESS);
}
