// SPDX-License-Identifier: MIT
// Forebay's public interface: a channel per queue, the message in the content. Four ways to use it:
//
//   forebay         send waits for room, receive sleeps until a message comes
//   forebay-corked  the same with wake-ups gathered
//   forebay-spin    both try without pause
//   forebay-epoll   an event loop's: receive until there is nothing, then wait for the descriptor

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "tests/bench/attach.h"
#include "tests/bench/transports.h"

enum way {
	SLEEPS,
	CORKED,
	SPINS,
	EPOLL,
};

// A process's attachment; all its ends share it.
static struct {
	struct forebay *layer;
	enum way way;
	int epoll;
} self = {.epoll = -1};

struct end {
	char channel[16];
	struct forebay_message *message;
};

static const struct forebay_options options = {.capacity = BENCH_DEPTH, .role = "bench"};

static void setup(const struct bench_run *run)
{
	bench_layer_make(run, &options);
}

static void *open_end(const struct bench_run *run, enum way way, int queue, enum bench_role role)
{
	struct end *end = calloc(1, sizeof *end);

	if (!self.layer)
		self.layer = bench_layer_attach(run, &options);
	self.way = way;
	snprintf(end->channel, sizeof end->channel, "bench.%d", queue);
	if (role == BENCH_SENDER) {
		end->message = forebay_message_new(self.layer);
		if (way == CORKED)
			forebay_cork(self.layer);
	} else if (forebay_listen(self.layer, end->channel) != 0) {
		bench_die("cannot listen");
	}
	if (role == BENCH_RECEIVER && way == EPOLL) {
		struct epoll_event event = {.events = EPOLLIN};

		self.epoll = epoll_create1(EPOLL_CLOEXEC);
		if (epoll_ctl(self.epoll, EPOLL_CTL_ADD, forebay_fd(self.layer), &event) < 0)
			bench_die("epoll_ctl: %s", strerror(errno));
	}
	return end;
}

static void *open_sleeping(const struct bench_run *run, int queue, enum bench_role role, int index)
{
	(void)index;
	return open_end(run, SLEEPS, queue, role);
}

static void *open_corked(const struct bench_run *run, int queue, enum bench_role role, int index)
{
	(void)index;
	return open_end(run, CORKED, queue, role);
}

static void *open_spinning(const struct bench_run *run, int queue, enum bench_role role, int index)
{
	(void)index;
	return open_end(run, SPINS, queue, role);
}

static void *open_epoll(const struct bench_run *run, int queue, enum bench_role role, int index)
{
	(void)index;
	return open_end(run, EPOLL, queue, role);
}

static void send_message(void *opaque, const void *data, size_t size)
{
	struct end *end = opaque;
	unsigned spins = 0;
	int result;

	forebay_message_reset(end->message);
	forebay_set_content(end->message, data, size, FOREBAY_BINARY);
	while ((result = forebay_send(self.layer, end->channel, end->message,
	                self.way == SPINS ? 0 : -1)) == FOREBAY_FULL)
		bench_spin(&spins);
	if (result != 0)
		bench_die("send: %s", forebay_strerror(result));
}

static void uncork(void *end)
{
	(void)end;
	forebay_uncork(self.layer);
}

static struct forebay_message *receive_spinning(void)
{
	struct forebay_message *message;
	unsigned spins = 0;

	while (forebay_receive(self.layer, 0, &message) != 0)
		bench_spin(&spins);
	return message;
}

static struct forebay_message *receive_epoll(void)
{
	struct forebay_message *message;
	struct epoll_event event;

	while (forebay_receive(self.layer, 0, &message) != 0)
		if (epoll_wait(self.epoll, &event, 1, 100) < 0 && errno != EINTR)
			bench_die("epoll_wait: %s", strerror(errno));
	return message;
}

static struct forebay_message *receive_sleeping(void)
{
	struct forebay_message *message;
	int result = forebay_receive(self.layer, -1, &message);

	if (result != 0)
		bench_die("receive: %s", forebay_strerror(result));
	return message;
}

static void receive_message(void *opaque, struct bench_reader *reader)
{
	struct forebay_message *message = self.way == SPINS   ? receive_spinning()
	                                  : self.way == EPOLL ? receive_epoll()
	                                                      : receive_sleeping();

	(void)opaque;
	bench_layer_read(message, reader);
	forebay_message_free(message);
}

const struct bench_transport bench_forebay = {
        "forebay", setup, bench_layer_remove, open_sleeping, send_message, NULL, receive_message};
const struct bench_transport bench_forebay_corked = {"forebay-corked", setup, bench_layer_remove,
        open_corked, send_message, uncork, receive_message};
const struct bench_transport bench_forebay_spin = {"forebay-spin", setup, bench_layer_remove,
        open_spinning, send_message, NULL, receive_message};
const struct bench_transport bench_forebay_epoll = {"forebay-epoll", setup, bench_layer_remove,
        open_epoll, send_message, NULL, receive_message};
