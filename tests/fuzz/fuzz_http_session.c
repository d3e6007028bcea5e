// SPDX-License-Identifier: MIT
// fuzz_http_session.c - any octets from a client, in two pieces, to a whole session: it may answer what
// it likes, but ends with everything given back. A consumer of its own answers each request.
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "server/http_server.h"
#include "server/http_session.h"
#include "server/log.h"
#include "tests/fuzz/fuzz_layer.h"

static struct options options;
static struct event_base *base;
static struct timer_wheel wheel;
static struct connection_pool pool;
static struct metrics metrics;
static struct http_server server;

static void setup(void)
{
	static const char *const arguments[] = {"forebay", "--body-inline", "1K", "--max-form",
	        "2K", "--max-head", "4K", "--log-level", "error"};
	char error[OPTIONS_ERROR_SIZE];

	fuzz_require(options_parse(&options, 9, (char *const *)arguments, error) == 0);
	log_init("-", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
	fuzz_require(forebay_listen(fuzz_layer(), "http.request") == 0);
	fuzz_require(forebay_listen(fuzz_layer(), "http.disconnect") == 0);
	base = event_base_new();
	timer_wheel_init(&wheel, 0);
	metrics_init(&metrics, fuzz_layer());
	connection_pool_init(&pool, base, &wheel, options.write_timeout, 0,
	        sizeof(struct http_session), &metrics);
	fuzz_require(
	        http_server_init(&server, &options, fuzz_layer(), &wheel, &pool, &metrics) == 0);
}

// Receives as consumer and as worker, which in this process share an attachment.
static void deliver(void)
{
	struct forebay_message *message, *answer;

	while (forebay_receive(fuzz_layer(), 0, &message) == 0) {
		struct connection *connection = forebay_message_owner(message);
		const char *reply = forebay_message_reply_channel(message);

		if (connection) {
			connection->protocol->on_message(connection, message);
			continue;
		}
		if (reply && strcmp(forebay_message_channel(message), "http.request") == 0) {
			fuzz_require(forebay_message_json(message, NULL) != NULL);
			answer = forebay_message_new(fuzz_layer());
			forebay_set_content(answer, "hello", 5, FOREBAY_TEXT);
			(void)forebay_send(fuzz_layer(), reply, answer, 0);
			forebay_message_free(answer);
		}
		forebay_message_free(message);
	}
}

static void turn(int client)
{
	char answer[65536];

	event_base_loop(base, EVLOOP_NONBLOCK);
	deliver();
	http_server_retry(&server);
	connection_pool_sweep(&pool);
	while (recv(client, answer, sizeof(answer), MSG_DONTWAIT) > 0)
		;
}

static void feed(int client, const uint8_t *data, size_t size)
{
	while (size > 0) {
		ssize_t sent = send(client, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0 && errno != EAGAIN)
			return;
		if (sent > 0) {
			data += sent;
			size -= (size_t)sent;
		}
		turn(client);
	}
	turn(client);
}

// One connection, of a client or of who asks for the status.
static void talk(
        const struct http_session_local *local, const uint8_t *data, size_t cut, size_t size)
{
	static int64_t now;
	struct sockaddr address = {.sa_family = AF_UNIX};
	int pair[2];

	fuzz_require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
	fuzz_require(http_session_open(&server, pair[0], &address, local) == 0);
	feed(pair[1], data, cut);
	feed(pair[1], data + cut, size - cut);
	for (int i = 0; i < 4; i++)
		turn(pair[1]);
	close(pair[1]);
	for (int i = 0; i < 4 && server.sessions; i++)
		turn(pair[1]);
	// Half closed, or waiting for something that can't come: until a timer ends it.
	while (server.sessions) {
		now += TIMER_TICK;
		timer_wheel_advance(&wheel, now);
		turn(-1);
	}
	fuzz_require(pool.live == 0 && !server.blocked && server.status_sessions == 0);
	while (server.left) {
		now += TIMER_TICK;
		timer_wheel_advance(&wheel, now);
		turn(-1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct http_session_local client = {.server_port = "80"},
	                                       status = {.server_port = "80", .status = true};
	size_t cut = fuzz_cut(&data, &size);

	if (!base)
		setup();
	talk(&client, data, cut, size);
	talk(&status, data, cut, size);
	return 0;
}
