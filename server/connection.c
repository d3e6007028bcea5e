// SPDX-License-Identifier: MIT
// connection.c - sockets, buffers and output queues; see connection.h.
#include "server/connection.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "server/connection_queue.h"
#include "server/connection_tls.h"

// How much freed memory the pool keeps. What a burst needed beyond that goes back to the heap.
#define SPARE_CONNECTIONS 1024
#define SPARE_BUFFERS     256

#define SMALL_WRITE                                                                                \
	2048 // octets that are cheaper to copy together than to hand to writev() in parts

// A buffer of CONNECTION_BUFFER octets on the free list.
struct connection_buffer {
	struct connection_buffer *next;
};

// ---------------------------------------------------------------------------------------------
// The socket
// ---------------------------------------------------------------------------------------------

static size_t total(const struct iovec *parts, int count)
{
	size_t length = 0;

	for (int i = 0; i < count; i++)
		length += parts[i].iov_len;
	return length;
}

static ssize_t socket_read(struct connection *connection, void *buffer, size_t size)
{
	if (connection->tls)
		return tls_stream_read(&connection->tls->stream, buffer, size);
	return recv(connection->fd, buffer, size, 0);
}

static ssize_t socket_write(struct connection *connection, const struct iovec *parts, int count)
{
	char whole[SMALL_WRITE];
	size_t length = 0;

	if (connection->tls)
		return tls_stream_write(&connection->tls->stream, parts, count);
	if (total(parts, count) > sizeof(whole))
		return writev(connection->fd, parts, count);
	for (int i = 0; i < count; i++) {
		memcpy(whole + length, parts[i].iov_base, parts[i].iov_len);
		length += parts[i].iov_len;
	}
	return send(connection->fd, whole, length, MSG_NOSIGNAL);
}

static bool try_again(int error)
{
	return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

// ---------------------------------------------------------------------------------------------
// Input
// ---------------------------------------------------------------------------------------------

static char *take_buffer(struct connection_pool *pool)
{
	struct connection_buffer *buffer = pool->spare_buffers;

	if (!buffer)
		return malloc(CONNECTION_BUFFER);
	pool->spare_buffers = buffer->next;
	pool->spare_buffer_count--;
	return (char *)buffer;
}

static void release_input(struct connection *connection)
{
	struct connection_pool *pool = connection->pool;

	if (connection->input_size == CONNECTION_BUFFER &&
	        pool->spare_buffer_count < SPARE_BUFFERS) {
		struct connection_buffer *buffer = (struct connection_buffer *)connection->input;

		buffer->next = pool->spare_buffers;
		pool->spare_buffers = buffer;
		pool->spare_buffer_count++;
	} else {
		free(connection->input);
	}
	connection->input = NULL;
	connection->input_size = connection->input_begin = connection->input_end = 0;
}

static void move_to_front(struct connection *connection)
{
	size_t length = connection_input_length(connection);

	if (!connection->input_begin)
		return;
	memmove(connection->input, connection_input(connection), length);
	connection->input_begin = 0;
	connection->input_end = length;
}

// Exchanges the buffer for one of SIZE octets, or of the usual size if that is more.
static int grow(struct connection *connection, size_t size)
{
	size_t length = connection_input_length(connection);
	char *input;

	if (size < CONNECTION_BUFFER)
		size = CONNECTION_BUFFER;
	input = size == CONNECTION_BUFFER ? take_buffer(connection->pool) : malloc(size);
	if (!input)
		return -ENOMEM;
	if (connection->input) {
		memcpy(input, connection_input(connection), length);
		release_input(connection);
	}
	connection->input = input;
	connection->input_size = size;
	connection->input_end = length;
	return 0;
}

int connection_reserve(struct connection *connection, size_t room)
{
	if (connection->input_size - connection->input_end >= room && connection->input)
		return 0;
	if (connection->input_size >= connection_input_length(connection) + room) {
		move_to_front(connection);
		return 0;
	}
	return grow(connection, connection_input_length(connection) + room);
}

// Makes room for at least one octet, growing by doubling up to the limit. Returns whether there is.
static bool make_room(struct connection *connection)
{
	size_t size = connection->input_size;

	if (connection->input_end < size)
		return true;
	if (connection->input_begin) {
		move_to_front(connection);
		return true;
	}
	if (size && size >= connection->input_limit)
		return false;
	size *= 2;
	return grow(connection, size < connection->input_limit ? size : connection->input_limit) ==
	       0;
}

void connection_consume(struct connection *connection, size_t length)
{
	connection->input_begin += length;
	if (connection->input && connection->input_begin == connection->input_end)
		release_input(connection);
}

void connection_cut(struct connection *connection, size_t offset, size_t length)
{
	char *start = connection_input(connection) + offset;

	memmove(start, start + length, connection_input_length(connection) - offset - length);
	connection->input_end -= length;
}

bool connection_poll(struct connection *connection)
{
	ssize_t count;

	if (connection->eof || connection_is_shaking(connection) || !make_room(connection))
		return false;
	count = socket_read(connection, connection->input + connection->input_end,
	        connection->input_size - connection->input_end);
	if (count > 0)
		connection->input_end += (size_t)count;
	connection_consume(connection, 0);
	if (connection->tls)
		connection_tls_list(connection);
	return count > 0;
}

bool connection_is_reset(const struct connection *connection)
{
	struct pollfd fd = {.fd = connection->fd};

	return !connection->closed && poll(&fd, 1, 0) > 0 && (fd.revents & POLLERR);
}

void connection_want_read(struct connection *connection, bool want)
{
	if (connection->closed || want == connection->reading || (want && connection->eof))
		return;
	connection->reading = want;
	if (connection->tls)
		connection_tls_watch(connection);
	else if (want)
		event_add(&connection->read_event, NULL);
	else
		event_del(&connection->read_event);
}

static void meet_eof(struct connection *connection)
{
	connection_want_read(connection, false);
	connection->eof = true;
	connection_consume(connection, 0);
	if (connection->lingering)
		connection_close(connection);
	else if (!connection->finishing)
		connection->protocol->on_eof(connection);
}

// Reads what nobody wants any more, into the buffer where it was.
static void discard(struct connection *connection, size_t length)
{
	connection->lingered += (uint32_t)length;
	if (connection->lingered > CONNECTION_LINGER_OCTETS)
		connection_close(connection);
	else
		connection_consume(connection, connection_input_length(connection));
}

void connection_read_more(struct connection *connection)
{
	ssize_t count;

	if (!make_room(connection)) {
		connection_want_read(connection, false);
		return;
	}
	count = socket_read(connection, connection->input + connection->input_end,
	        connection->input_size - connection->input_end);
	if (count > 0) {
		connection->input_end += (size_t)count;
		if (connection->finishing)
			discard(connection, (size_t)count);
		else
			connection->protocol->on_data(connection);
	} else if (count == 0) {
		meet_eof(connection);
	} else if (try_again(errno)) {
		connection_consume(connection, 0);
	} else {
		connection_close(connection);
	}
}

static void on_readable(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	connection_read_more(argument);
}

// ---------------------------------------------------------------------------------------------
// Output
// ---------------------------------------------------------------------------------------------

// Octets that were written and that the client hasn't taken yet.
static int untaken(const struct connection *connection)
{
	int count = 0;

	return ioctl(connection->fd, SIOCOUTQ, &count) < 0 ? 0 : count;
}

void connection_await_taking(struct connection *connection)
{
	connection->untaken = untaken(connection);
	timer_arm(connection->pool->wheel, &connection->timer, connection->pool->write_timeout);
}

// Whether the client has taken something since the timer was armed; then its time begins anew. That we could write
// says too little: a socket becomes writable only when a third of its buffer is free, for which one that reads
// steadily may need a minute. One that stops is noticed after up to twice the time, since it isn't known when it did.
static bool has_taken(struct connection *connection)
{
	if (untaken(connection) == connection->untaken)
		return false;
	connection_await_taking(connection);
	return true;
}

static void want_write(struct connection *connection, bool want)
{
	if (want == connection->writing)
		return;
	connection->writing = want;
	if (connection->tls)
		connection_tls_watch(connection);
	else if (want)
		event_add(&connection->write_event, NULL);
	else
		event_del(&connection->write_event);
	if (want)
		connection_await_taking(connection);
	else
		timer_stop(&connection->timer);
}

void connection_write(struct connection *connection, const struct iovec *parts, int count,
        struct forebay_message *message)
{
	ssize_t written = 0;

	if (connection->closed) {
		forebay_message_free(message);
		return;
	}
	if (!connection->output) {
		written = socket_write(connection, parts, count);
		if (written == (ssize_t)total(parts, count)) {
			forebay_message_free(message);
			return;
		}
		if (written < 0 && !try_again(errno)) {
			forebay_message_free(message);
			connection_close(connection);
			return;
		}
	}
	if (connection_queue_add(
	            connection, parts, count, written > 0 ? (size_t)written : 0, message) < 0)
		connection_close(connection);
	else
		want_write(connection, true);
}

void connection_write_copy(struct connection *connection, const struct iovec *parts, int count)
{
	ssize_t written = 0;

	if (connection->closed)
		return;
	if (!connection->output)
		written = socket_write(connection, parts, count);
	if (written == (ssize_t)total(parts, count))
		return;
	if (written < 0 && !try_again(errno)) {
		connection_close(connection);
		return;
	}
	if (connection_queue_add_copy(connection, parts, count, written > 0 ? (size_t)written : 0) <
	        0)
		connection_close(connection);
	else if (!connection->corked_link)
		want_write(connection, true);
}

// One writev() for as much of the queue as it takes.
static ssize_t flush(struct connection *connection)
{
	struct iovec parts[CONNECTION_QUEUE_IOV];

	return socket_write(connection, parts, connection_queue_gather(connection, parts));
}

static void uncork(struct connection *connection)
{
	if (!connection->corked_link)
		return;
	*connection->corked_link = connection->corked_next;
	if (connection->corked_next)
		connection->corked_next->corked_link = connection->corked_link;
	connection->corked_link = NULL;
}

void connection_write_later(struct connection *connection, const struct iovec *parts, int count,
        struct forebay_message *message)
{
	struct connection_pool *pool = connection->pool;
	bool idle = !connection->output;

	if (connection->closed) {
		forebay_message_free(message);
		return;
	}
	if (connection_queue_add(connection, parts, count, 0, message) < 0) {
		connection_close(connection);
		return;
	}
	if (!idle)
		return; // it is corked already, or waits for the socket
	connection->corked_next = pool->corked;
	connection->corked_link = &pool->corked;
	if (pool->corked)
		pool->corked->corked_link = &connection->corked_next;
	pool->corked = connection;
}

// Writes what was given for later, as far as possible at once.
static void flush_corked(struct connection *connection)
{
	ssize_t written;

	uncork(connection);
	do {
		written = flush(connection);
		if (written > 0)
			connection_queue_advance(connection, (size_t)written);
	} while (written > 0 && connection->output);
	if (written < 0 && !try_again(errno)) {
		connection_close(connection);
	} else if (!connection->output) {
		want_write(connection, false);
	} else {
		want_write(connection, true);
		if (connection->protocol->on_backlog)
			connection->protocol->on_backlog(connection);
	}
}

void connection_flush(struct connection *connection)
{
	if (connection->corked_link)
		flush_corked(connection);
}

void connection_pool_flush(struct connection_pool *pool)
{
	while (pool->corked)
		flush_corked(pool->corked);
}

static void finish_now(struct connection *connection)
{
	if (connection->tls && tls_stream_finish(&connection->tls->stream) < 0) {
		want_write(connection, true);
		return;
	}
	want_write(connection, false);
	connection_tls_drop(connection);
	if (!connection->linger || connection->eof || shutdown(connection->fd, SHUT_WR) < 0) {
		connection_close(connection);
		return;
	}
	connection->lingering = true;
	connection_consume(connection, connection_input_length(connection));
	connection_want_read(connection, true);
	timer_arm(connection->pool->wheel, &connection->timer, CONNECTION_LINGER);
}

void connection_write_more(struct connection *connection)
{
	ssize_t written = flush(connection);

	if (written < 0) {
		if (!try_again(errno))
			connection_close(connection);
		return;
	}
	connection_queue_advance(connection, (size_t)written);
	if (connection->output) {
		connection_await_taking(connection);
		return;
	}
	want_write(connection, false);
	if (connection->finishing)
		finish_now(connection);
	else
		connection->protocol->on_drained(connection);
}

static void on_writable(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	connection_write_more(argument);
}

// ---------------------------------------------------------------------------------------------
// Lifetime
// ---------------------------------------------------------------------------------------------

// The client took nothing for too long, or has lingered long enough, or doesn't shake hands.
static void on_timer(struct timer *timer)
{
	struct connection *connection =
	        (struct connection *)((char *)timer - offsetof(struct connection, timer));

	if (connection_is_shaking(connection))
		connection_tls_expire(connection);
	else if (!connection->writing || !has_taken(connection))
		connection_close(connection);
}

void connection_pool_init(struct connection_pool *pool, struct event_base *base,
        struct timer_wheel *wheel, int64_t write_timeout, size_t unloaded_max, size_t object_size,
        struct metrics *metrics)
{
	*pool = (struct connection_pool){
	        .base = base,
	        .wheel = wheel,
	        .write_timeout = write_timeout,
	        .unloaded_max = unloaded_max,
	        .object_size = object_size,
	        .metrics = metrics,
	};
}

struct connection *connection_open(
        struct connection_pool *pool, int fd, const struct connection_protocol *protocol)
{
	struct connection *connection = pool->spare;

	if (connection) {
		pool->spare = connection->next;
		pool->spare_count--;
	} else {
		connection = malloc(pool->object_size);
		if (!connection)
			return NULL;
	}
	*connection = (struct connection){
	        .protocol = protocol,
	        .pool = pool,
	        .fd = fd,
	        .input_limit = CONNECTION_BUFFER,
	};
	connection->output_end = &connection->output;
	timer_init(&connection->timer, on_timer);
	event_assign(&connection->read_event, pool->base, fd, EV_READ | EV_PERSIST, on_readable,
	        connection);
	event_assign(&connection->write_event, pool->base, fd, EV_WRITE | EV_PERSIST, on_writable,
	        connection);
	pool->live++;
	connection_want_read(connection, true);
	return connection;
}

void connection_close(struct connection *connection)
{
	struct connection_pool *pool = connection->pool;

	if (connection->closed)
		return;
	connection_want_read(connection, false);
	want_write(connection, false);
	uncork(connection);
	connection->closed = true;
	connection_tls_drop(connection);
	timer_fini(&connection->timer);
	connection_queue_clear(connection);
	close(connection->fd);
	connection->fd = -1;
	connection->next = pool->closed;
	pool->closed = connection;
	pool->live--;
	connection->protocol->on_closed(connection);
}

void connection_unload(struct connection *connection)
{
	if (connection_backlogged(connection))
		connection_queue_unload(connection);
}

bool connection_press(struct connection *connection, int64_t patience)
{
	const struct connection_pool *pool = connection->pool;
	int64_t waited;

	if (!connection->writing || !timer_armed(&connection->timer) ||
	        !connection_queue_has_messages(connection))
		return false;
	// Looked at each time, for who has stood still for longest to be known.
	if (has_taken(connection))
		return false;
	waited = pool->write_timeout - timer_left(pool->wheel, &connection->timer);
	if (waited < patience)
		return false;
	connection_close(connection);
	return true;
}

void connection_finish(struct connection *connection, bool linger)
{
	if (connection->closed || connection->finishing)
		return;
	connection_flush(connection);
	if (connection->closed)
		return;
	connection->finishing = true;
	connection->linger = linger;
	// What arrives meanwhile waits in the socket: it will be discarded, or closed away.
	connection_want_read(connection, false);
	if (!connection->output)
		finish_now(connection);
}

void connection_pool_sweep(struct connection_pool *pool)
{
	struct connection *connection;

	while ((connection = pool->closed)) {
		pool->closed = connection->next;
		if (connection->input)
			release_input(connection);
		if (pool->spare_count >= SPARE_CONNECTIONS) {
			free(connection);
			continue;
		}
		connection->next = pool->spare;
		pool->spare = connection;
		pool->spare_count++;
	}
}

void connection_pool_fini(struct connection_pool *pool)
{
	connection_pool_sweep(pool);
	while (pool->spare) {
		struct connection *connection = pool->spare;

		pool->spare = connection->next;
		free(connection);
	}
	connection_queue_pool_fini(pool);
	while (pool->spare_buffers) {
		struct connection_buffer *buffer = pool->spare_buffers;

		pool->spare_buffers = buffer->next;
		free(buffer);
	}
}
