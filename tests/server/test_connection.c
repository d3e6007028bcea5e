// SPDX-License-Identifier: MIT
// test_connection.c - who takes what waits for it, however slowly, keeps the connection; who takes nothing doesn't.
#include "server/connection.h"

#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <linux/sockios.h>

#include "tests/channel/support.h"

#define WRITE_TIMEOUT 60000
#define PATIENCE      5000

static char content[8 << 20]; // more than any socket holds

static struct event_base *base;
static struct timer_wheel wheel;
static struct connection_pool pool;
static struct connection *connection;
static int64_t now;
static struct forebay *layer;
static int client;

static void on_closed(struct connection *closed)
{
	(void)closed;
}

static const struct connection_protocol protocol = {.on_closed = on_closed};

// Small buffers, of which each octet that is taken makes the most. Returns the server's end.
static int connect_network(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int listener = socket(AF_INET, SOCK_STREAM, 0), size = 16384, server;
	socklen_t length = sizeof(address);

	client = socket(AF_INET, SOCK_STREAM, 0);
	if (setsockopt(client, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) < 0 ||
	        bind(listener, (struct sockaddr *)&address, length) < 0 ||
	        listen(listener, 1) < 0 ||
	        getsockname(listener, (struct sockaddr *)&address, &length) < 0 ||
	        connect(client, (struct sockaddr *)&address, length) < 0)
		abort();
	server = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	close(listener);
	return server;
}

static int connect_local(void)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		abort();
	client = pair[1];
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	return pair[0];
}

// A connection over FD.
static void start(int fd)
{
	now = 1000;
	base = event_base_new();
	timer_wheel_init(&wheel, now);
	connection_pool_init(
	        &pool, base, &wheel, WRITE_TIMEOUT, 0, sizeof(struct connection), NULL);
	connection = connection_open(&pool, fd, &protocol);
}

// One that can't write all it has. The loop isn't run: no event tells that there is room again.
static void start_writing(int fd)
{
	struct iovec parts[] = {{content, 4}, {content, sizeof(content)}};

	start(fd);
	layer = attach(NULL);
	connection_write(connection, parts, 2, forebay_message_new(layer));
	if (!connection_backlogged(connection))
		abort();
}

static void stop(void)
{
	close(client);
	connection_close(connection);
	connection_pool_fini(&pool);
	event_base_free(base);
	if (layer)
		discard(layer);
	layer = NULL;
}

static int untaken(void)
{
	int count = 0;

	return ioctl(connection->fd, SIOCOUTQ, &count) < 0 ? -1 : count;
}

// Reads a little: as little as can be told at the other end.
static void take(void)
{
	int before = untaken();
	char some[4096];

	do
		EXPECT(read(client, some, sizeof(some)) > 0);
	while (untaken() == before);
}

static void let_pass(int64_t time)
{
	now += time;
	timer_wheel_advance(&wheel, now);
}

static void press(int fd)
{
	start_writing(fd);
	for (int i = 0; i < 3 && !test_bad; i++) {
		take();
		let_pass(PATIENCE + 1000);
		EXPECT(!connection_press(connection, PATIENCE));
	}
	// What was under way may arrive later.
	while (!connection->closed) {
		let_pass(PATIENCE + 1000);
		connection_press(connection, PATIENCE);
	}
	EXPECT(now < 1000 + WRITE_TIMEOUT);
	stop();
}

static void expire(int fd)
{
	start_writing(fd);
	for (int i = 0; i < 3 && !test_bad; i++) {
		take();
		let_pass(WRITE_TIMEOUT + 1000);
		EXPECT(!connection->closed);
	}
	while (!connection->closed)
		let_pass(WRITE_TIMEOUT + 1000);
	stop();
}

TEST(who_takes_little_is_not_cut_for_memory)
{
	press(connect_network());
}

TEST(nor_over_a_unix_socket)
{
	press(connect_local());
}

TEST(who_takes_little_has_more_time_than_who_takes_nothing)
{
	expire(connect_network());
}

TEST(so_it_is_over_a_unix_socket)
{
	expire(connect_local());
}

static void end_and_look(int fd)
{
	start(fd);
	EXPECT(write(client, "last", 4) == 4);
	close(client);
	client = -1;
	EXPECT(!connection_is_reset(connection));
	EXPECT(connection_poll(connection));
	EXPECT_INT(connection_input_length(connection), 4);
	stop();
}

TEST(an_ordinary_end_is_no_reset)
{
	end_and_look(connect_network());
}

TEST(nor_is_that_of_a_unix_socket)
{
	end_and_look(connect_local());
}

TEST(a_client_that_breaks_off_is_seen)
{
	const struct linger at_once = {.l_onoff = 1};

	start(connect_network());
	setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(client);
	client = -1;
	while (!connection_is_reset(connection))
		continue;
	stop();
}
