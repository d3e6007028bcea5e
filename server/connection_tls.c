// SPDX-License-Identifier: MIT
// connection_tls.c - connections with TLS: handshake, events, and octets that no event tells of.
#include "server/connection_tls.h"

#include <errno.h>
#include <stdlib.h>

#include "server/log.h"

bool connection_is_shaking(const struct connection *connection)
{
	return connection->tls && !connection->tls->stream.established;
}

static void set_event(struct event *event, bool *is_on, bool on)
{
	if (*is_on == on)
		return;
	*is_on = on;
	if (on)
		event_add(event, NULL);
	else
		event_del(event);
}

void connection_tls_watch(struct connection *connection)
{
	struct connection_tls *tls = connection->tls;
	const struct tls_stream *stream = &tls->stream;
	bool read = connection->reading || !stream->established;
	bool write = connection->writing && stream->established;

	set_event(&connection->read_event, &tls->awaits_read,
	        (read && !stream->read_needs_write) || (write && stream->write_needs_read));
	set_event(&connection->write_event, &tls->awaits_write,
	        (write && !stream->write_needs_read) || (read && stream->read_needs_write));
	connection_tls_list(connection);
}

void connection_tls_list(struct connection *connection)
{
	struct connection_pool *pool = connection->pool;
	struct connection_tls *tls = connection->tls;

	if (tls->link || !connection->reading || !tls_stream_pending(&tls->stream))
		return;
	tls->next = pool->pending;
	tls->link = &pool->pending;
	if (tls->next)
		tls->next->link = &tls->next;
	pool->pending = tls;
}

static void unlist(struct connection_tls *tls)
{
	if (!tls->link)
		return;
	*tls->link = tls->next;
	if (tls->next)
		tls->next->link = tls->link;
	tls->link = NULL;
}

void connection_tls_drop(struct connection *connection)
{
	struct connection_tls *tls = connection->tls;

	if (!tls)
		return;
	set_event(&connection->read_event, &tls->awaits_read, connection->reading);
	set_event(&connection->write_event, &tls->awaits_write, connection->writing);
	unlist(tls);
	tls_stream_fini(&tls->stream);
	free(tls);
	connection->tls = NULL;
}

// ---------------------------------------------------------------------------------------------
// Handshake
// ---------------------------------------------------------------------------------------------

static void fail(struct connection *connection, const char *why)
{
	metrics_count(connection->pool->metrics, METRICS_TLS_FAILED);
	log_limited(LOG_LEVEL_INFO, "TLS handshake failed: %s", why);
	connection_close(connection);
}

void connection_tls_expire(struct connection *connection)
{
	fail(connection, "it took too long");
}

// The one thing that a connection says by itself: the protocol can't know that the client speaks it
// without TLS. What the protocol may have written already is not for everyone to read.
static void refuse_plain(struct connection *connection)
{
	static const char answer[] = "HTTP/1.1 400 Bad Request\r\n"
	                             "Connection: close\r\n"
	                             "Content-Type: text/plain; charset=utf-8\r\n"
	                             "Content-Length: 48\r\n\r\n"
	                             "plain HTTP was sent to a port that speaks HTTPS\n";
	struct iovec part = {(char *)(uintptr_t)answer, sizeof(answer) - 1};

	if (connection->output) {
		fail(connection, "plain HTTP was sent");
		return;
	}
	metrics_count(connection->pool->metrics, METRICS_TLS_FAILED);
	log_limited(LOG_LEVEL_INFO, "plain HTTP was sent to a port that speaks HTTPS");
	timer_stop(&connection->timer);
	connection_tls_drop(connection);
	connection_write(connection, &part, 1, NULL);
	connection_finish(connection, true);
}

// The time of the handshake is over, and that of writing begins if something waits.
static void complete(struct connection *connection)
{
	metrics_count(connection->pool->metrics, METRICS_TLS_OK);
	timer_stop(&connection->timer);
	if (connection->writing)
		connection_await_taking(connection);
}

// Goes on with the handshake. Returns whether it is over and the connection can be used.
static bool shake_hands(struct connection *connection)
{
	const char *why = NULL;

	switch (tls_stream_handshake(&connection->tls->stream, &why)) {
	case 0:
		complete(connection);
		return true;
	case TLS_STREAM_WAIT:
		connection_tls_watch(connection);
		return false;
	case TLS_STREAM_NOT_TLS:
		refuse_plain(connection);
		return false;
	case TLS_STREAM_ENDED: // somebody looked whether the port is open
		connection_close(connection);
		return false;
	default:
		fail(connection, why);
		return false;
	}
}

// ---------------------------------------------------------------------------------------------
// Events
// ---------------------------------------------------------------------------------------------

// Both events of a connection with TLS, or of one that had it and is about to end.
static void on_ready(evutil_socket_t fd, short what, void *argument)
{
	struct connection *connection = argument;
	struct connection_tls *tls = connection->tls;
	bool read = what & EV_READ, write = what & EV_WRITE;

	(void)fd;
	if (connection_is_shaking(connection)) {
		if (!shake_hands(connection))
			return;
		// A request may be right behind the handshake, already taken from the socket.
		read = write = true;
	} else if (tls) {
		read = read || tls->stream.read_needs_write;
		write = write || tls->stream.write_needs_read;
	}
	if (write && connection->writing)
		connection_write_more(connection);
	if (read && connection->reading)
		connection_read_more(connection);
	if (connection->tls)
		connection_tls_watch(connection);
}

int connection_secure(struct connection *connection, const struct tls *tls, int64_t timeout)
{
	struct connection_pool *pool = connection->pool;
	struct connection_tls *secure = calloc(1, sizeof(*secure));

	if (!secure)
		return -ENOMEM;
	if (tls_stream_init(&secure->stream, tls, connection->fd) < 0) {
		free(secure);
		return -ENOMEM;
	}
	secure->connection = connection;
	connection->tls = secure;
	event_del(&connection->read_event);
	event_assign(&connection->read_event, pool->base, connection->fd, EV_READ | EV_PERSIST,
	        on_ready, connection);
	event_assign(&connection->write_event, pool->base, connection->fd, EV_WRITE | EV_PERSIST,
	        on_ready, connection);
	connection_tls_watch(connection);
	timer_arm(pool->wheel, &connection->timer, timeout);
	return 0;
}

void connection_pool_resume(struct connection_pool *pool)
{
	struct connection_tls *tls = pool->pending;

	// Those that have to go on once more return to pool->pending, so this is a list of its own.
	pool->pending = NULL;
	if (tls)
		tls->link = &tls;
	while (tls) {
		struct connection *connection = tls->connection;

		unlist(tls); // which makes TLS the next one
		on_ready(connection->fd, EV_READ, connection);
	}
}
