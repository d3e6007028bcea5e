// SPDX-License-Identifier: MIT
// websocket_session.c - the state machine of one WebSocket; see websocket_session.h.
#include "server/websocket_session.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "server/log.h"
#include "server/websocket_farewell.h"
#include "server/websocket_input.h"

// Milliseconds that answers to a client's last messages may take to overtake the CLOSE for what it broke
// after them.
#define ANSWER_GRACE 100

#define BLOCKED_LOOK 1000 // ms between looks whether a client that isn't read is still there

#define COMPRESS_MIN 64 // octets of a message that are worth it

static struct websocket_session *session_of(struct connection *connection)
{
	return (struct websocket_session *)connection; // its first member
}

// ---------------------------------------------------------------------------------------------
// Time
// ---------------------------------------------------------------------------------------------

// Milliseconds until LIMIT after SINCE; less than 1 if that has passed.
static int64_t left(const struct websocket_session *session, uint32_t since, int64_t limit)
{
	return limit - (int64_t)(uint32_t)(websocket_session_now(session) - since) * TIMER_TICK;
}

static void least(int64_t *delay, int64_t other)
{
	if (other < *delay)
		*delay = other;
}

void websocket_session_arm(struct websocket_session *session)
{
	const struct options *options = session->server->options;
	int64_t delay = INT64_MAX;

	if (session->step == WEBSOCKET_SESSION_CLOSING) {
		delay = left(session, session->closing, options->websocket_close_timeout);
	} else if (session->step == WEBSOCKET_SESSION_FAILING) {
		delay = left(session, session->asked, ANSWER_GRACE);
	} else {
		if (session->blocked_since) {
			least(&delay, left(session, session->blocked_since,
			                      options->websocket_full_timeout));
			least(&delay, BLOCKED_LOOK);
		} else if (session->pinged)
			least(&delay,
			        left(session, session->pinged, options->websocket_pong_timeout));
		else if (options->websocket_ping_interval)
			least(&delay,
			        left(session, session->heard, options->websocket_ping_interval));
		if (session->backlog_since && options->websocket_slow_timeout)
			least(&delay, left(session, session->backlog_since,
			                      options->websocket_slow_timeout));
		if (session->in_parts)
			least(&delay,
			        left(session, session->part_since, options->response_timeout));
		if (options->websocket_idle_timeout)
			least(&delay,
			        left(session, session->active, options->websocket_idle_timeout));
		if (options->websocket_lifetime)
			least(&delay, left(session, session->opened, options->websocket_lifetime));
	}
	if (delay < INT64_MAX)
		timer_arm(session->server->wheel, &session->timer, delay);
}

// ---------------------------------------------------------------------------------------------
// Closing
// ---------------------------------------------------------------------------------------------

void websocket_session_leave(
        struct websocket_session *session, uint16_t code, const char *reason, size_t reason_length)
{
	struct websocket_close close = {.code = code, .reason_length = (uint8_t)reason_length};

	if (session->said_farewell)
		return;
	session->said_farewell = true;
	metrics_count_close(session->server->metrics, code);
	if (session->blocked_since) {
		metrics_count(session->server->metrics, METRICS_WEBSOCKET_DROPPED_FULL);
		log_limited(LOG_LEVEL_WARNING, "a message on %s was dropped: no room",
		        session->receive_channel ? session->receive_channel : WEBSOCKET_RECEIVE);
	}
	websocket_input_drop(session);
	if (reason_length)
		memcpy(close.reason, reason, reason_length);
	websocket_farewell_send(session->server, session->reply_channel, session->receive_channel,
	        session->order++, &close);
}

static void write_frame(
        struct websocket_session *session, uint8_t first, const void *payload, size_t length)
{
	char frame[WEBSOCKET_HEADER_MAX + WEBSOCKET_GATE_CONTROL_MAX];
	size_t header = websocket_message_header(frame, first, length);
	struct iovec part = {frame, header + length};

	if (length)
		memcpy(frame + header, payload, length);
	connection_write(&session->connection, &part, 1, NULL);
}

void websocket_session_write_close(
        struct websocket_session *session, uint16_t code, const char *reason, size_t reason_length)
{
	char payload[WEBSOCKET_GATE_CONTROL_MAX] = {(char)(code >> 8), (char)code};

	if (reason_length)
		memcpy(payload + 2, reason, reason_length);
	write_frame(session, 0x88, payload, code == WEBSOCKET_NO_CODE ? 0 : 2 + reason_length);
}

void websocket_session_end(struct websocket_session *session)
{
	session->step = WEBSOCKET_SESSION_OVER;
	lws_loop_close(&session->server->loop, &session->seam);
	timer_stop(&session->timer);
	connection_finish(&session->connection, true);
}

void websocket_session_fail(struct websocket_session *session, uint16_t code, const char *why)
{
	metrics_count(session->server->metrics, METRICS_WEBSOCKET_FAILED);
	log_limited(LOG_LEVEL_INFO, "WebSocket closed with %u to %s: %s", code,
	        *session->remote_address ? session->remote_address : "unix:", why);
	websocket_session_leave(session, code, why, strlen(why));
	if (session->step == WEBSOCKET_SESSION_OPEN || session->step == WEBSOCKET_SESSION_FAILING)
		websocket_session_write_close(session, code, "", 0);
	websocket_session_end(session);
}

void websocket_session_refuse(struct websocket_session *session, uint16_t code, const char *why)
{
	if (session->step != WEBSOCKET_SESSION_OPEN || session->unanswered == 0 ||
	        left(session, session->asked, ANSWER_GRACE) <= 0) {
		websocket_session_fail(session, code, why);
		return;
	}
	session->failure = code;
	session->why = why;
	session->step = WEBSOCKET_SESSION_FAILING;
	connection_want_read(&session->connection, false);
	websocket_session_arm(session);
}

static void start_closing(
        struct websocket_session *session, uint16_t code, const char *reason, size_t reason_length)
{
	if (session->step != WEBSOCKET_SESSION_OPEN || session->connection.closed)
		return;
	websocket_session_leave(session, code, reason, reason_length);
	session->step = WEBSOCKET_SESSION_CLOSING;
	session->closing = websocket_session_now(session);
	websocket_session_write_close(session, code, reason, reason_length);
	if (session->connection.closed)
		return;
	connection_want_read(&session->connection, true);
	websocket_session_arm(session);
}

void websocket_session_close(struct websocket_session *session, uint16_t code, const char *reason)
{
	start_closing(session, code, reason, strlen(reason));
}

// ---------------------------------------------------------------------------------------------
// From the consumer
// ---------------------------------------------------------------------------------------------

// Writes the message compressed, if that makes it smaller and it isn't one in parts. Returns whether it did.
static bool write_compressed(struct websocket_session *session,
        const struct websocket_message *message, struct forebay_message *shared)
{
	char header[WEBSOCKET_HEADER_MAX], *out;
	struct iovec part;
	size_t length, size;

	if (!session->deflate || message->length < COMPRESS_MIN || message->more ||
	        message->continues)
		return false;
	length = websocket_deflate_compress(&session->server->deflate, session->deflate,
	        message->parts + 1, message->count - 1, message->length, sizeof(header), &out);
	if (length == 0)
		return false;
	size = websocket_message_header(header, (uint8_t)message->header[0] | 0x40, length);
	part = (struct iovec){out + sizeof(header) - size, size + length};
	memcpy(part.iov_base, header, size);
	// What waits to be written isn't in the message, but its credit comes back only with it.
	connection_write_later(&session->connection, &part, 1, shared);
	return true;
}

static void refuse_message(
        struct websocket_session *session, struct forebay_message *shared, const char *wrong)
{
	log_limited(
	        LOG_LEVEL_WARNING, "malformed message on %s: %s", session->reply_channel, wrong);
	metrics_count(session->server->metrics, METRICS_WEBSOCKET_DROPPED_MALFORMED);
	forebay_message_free(shared);
}

// A message in parts becomes one in frames, between which there can't be another. Returns NULL, or what is wrong.
static const char *take_part(
        struct websocket_session *session, const struct websocket_message *message)
{
	if (message->continues && !session->in_parts)
		return "continues nothing";
	if (!message->continues && session->in_parts)
		return "between the parts of another";
	if (message->continues && message->binary != session->parts_binary)
		return "text and binary parts in one message";
	session->parts_binary = message->binary;
	session->in_parts = message->more;
	session->part_since = websocket_session_now(session);
	if (message->more)
		websocket_session_arm(session);
	return NULL;
}

void websocket_session_write(struct websocket_session *session, struct websocket_message *message,
        struct forebay_message *shared)
{
	if ((session->step != WEBSOCKET_SESSION_OPEN &&
	            session->step != WEBSOCKET_SESSION_FAILING) ||
	        session->connection.closed) {
		forebay_message_free(shared);
		return;
	}
	if (message->has_content && (message->more || message->continues || session->in_parts)) {
		const char *wrong = take_part(session, message);

		if (wrong) {
			refuse_message(session, shared, wrong);
			return;
		}
	}
	if (message->has_content) {
		session->unanswered -= session->unanswered > 0 && !message->more;
		if (!write_compressed(session, message, shared))
			connection_write_later(
			        &session->connection, message->parts, message->count, shared);
		session->active = websocket_session_now(session);
		metrics_count(session->server->metrics, METRICS_WEBSOCKET_SENT);
	}
	if (message->close)
		start_closing(session, message->with.code, message->with.reason,
		        message->with.reason_length);
	if (!message->has_content)
		forebay_message_free(shared);
	if (session->step == WEBSOCKET_SESSION_FAILING &&
	        (message->close || session->unanswered == 0))
		websocket_session_fail(session, session->failure, session->why);
}

static void on_backlog(struct connection *connection)
{
	struct websocket_session *session = session_of(connection);

	if (session->backlog_since || session->step == WEBSOCKET_SESSION_OVER)
		return;
	session->backlog_since = websocket_session_now(session);
	websocket_session_arm(session);
}

// Whether LENGTH octets more may be copied. What is only written at the end of this turn of the loop counts like what the
// client doesn't take, until it is known whether it does.
static bool has_room_for_copy(struct websocket_session *session, size_t length)
{
	struct connection *connection = &session->connection;

	if (connection->output && session->copied + length > WEBSOCKET_SESSION_COPIED)
		connection_flush(connection);
	if (!connection->output)
		session->copied = 0;
	return !connection->closed && session->copied + length <= WEBSOCKET_SESSION_COPIED;
}

bool websocket_session_broadcast(
        struct websocket_session *session, struct websocket_message *message)
{
	struct connection *connection = &session->connection;
	size_t length = message->length + message->parts[0].iov_len;

	if (session->step != WEBSOCKET_SESSION_OPEN || connection->closed)
		return false;
	if (message->has_content) {
		if (session->in_parts || message->more || message->continues)
			return false;
		if (!has_room_for_copy(session, length))
			return false;
		connection_write_copy(connection, message->parts, message->count);
		if (connection->output)
			session->copied += (uint32_t)length;
		if (connection_backlogged(connection))
			on_backlog(connection);
		session->active = websocket_session_now(session);
		metrics_count(session->server->metrics, METRICS_WEBSOCKET_SENT);
	}
	if (message->close)
		start_closing(session, message->with.code, message->with.reason,
		        message->with.reason_length);
	return true;
}

static void on_message(struct connection *connection, struct forebay_message *shared)
{
	struct websocket_session *session = session_of(connection);
	struct websocket_message message;
	const char *wrong = websocket_message_read(shared, &message);

	if (!wrong)
		wrong = websocket_message_move(&message, &session->receive_channel);
	if (!wrong) {
		websocket_session_write(session, &message, shared);
		return;
	}
	refuse_message(session, shared, wrong);
}

// ---------------------------------------------------------------------------------------------
// The connection
// ---------------------------------------------------------------------------------------------

static void on_data(struct connection *connection)
{
	struct websocket_session *session = session_of(connection);

	session->heard = websocket_session_now(session);
	session->pinged = 0;
	websocket_input_read(session);
}

static void on_eof(struct connection *connection)
{
	websocket_input_read(session_of(connection));
}

// The client takes what it was sent, or has the write time-out for that: no ping could tell more, and wouldn't come
// through before. Nor can a consumer be blamed for a part that found no room.
static void note_taking(struct websocket_session *session)
{
	session->heard = session->part_since = websocket_session_now(session);
	session->pinged = 0;
}

static void on_drained(struct connection *connection)
{
	struct websocket_session *session = session_of(connection);

	note_taking(session);
	session->replies = session->copied = 0;
	session->throttled = false;
	session->backlog_since = 0;
	websocket_input_read(session);
}

static void on_closed(struct connection *connection)
{
	struct websocket_session *session = session_of(connection);

	if (session->step == WEBSOCKET_SESSION_FAILING)
		websocket_session_leave(
		        session, session->failure, session->why, strlen(session->why));
	else
		websocket_session_leave(session,
		        session->server->draining ? WEBSOCKET_GOING_AWAY : WEBSOCKET_ABNORMAL, "",
		        0);
	session->step = WEBSOCKET_SESSION_OVER;
	session->seam.muted = true;
	if (!session->inside)
		lws_loop_close(&session->server->loop, &session->seam);
	timer_fini(&session->timer);
	free(session->receive_channel);
	session->receive_channel = NULL;
	metrics_add(session->server->metrics, METRICS_WEBSOCKET_CONNECTIONS, -1);
	*session->link = session->next;
	if (session->next)
		session->next->link = session->link;
}

static const struct connection_protocol protocol = {
        .on_data = on_data,
        .on_eof = on_eof,
        .on_drained = on_drained,
        .on_backlog = on_backlog,
        .on_message = on_message,
        .on_closed = on_closed,
};

bool websocket_session_is(const struct connection *connection)
{
	return connection->protocol == &protocol;
}

static void give_up_slow(struct websocket_session *session)
{
	static const uint16_t codes[] = {WEBSOCKET_TRY_LATER, WEBSOCKET_POLICY};
	int how = session->server->options->websocket_slow;

	websocket_session_leave(session, how < 2 ? codes[how] : WEBSOCKET_ABNORMAL, "too slow", 8);
	metrics_count(session->server->metrics, METRICS_WEBSOCKET_FAILED);
	if (how < 2)
		websocket_session_write_close(session, codes[how], "too slow", 8);
	if (how < 2)
		websocket_session_end(session);
	else
		connection_close(&session->connection);
}

static bool is_over(const struct websocket_session *session, uint32_t since, int64_t limit)
{
	return limit && left(session, since, limit) <= 0;
}

static void on_timer(struct timer *timer)
{
	struct websocket_session *session =
	        (struct websocket_session *)((char *)timer -
	                                     offsetof(struct websocket_session, timer));
	const struct options *options = session->server->options;

	if (connection_backlogged(&session->connection))
		note_taking(session);
	if (session->step == WEBSOCKET_SESSION_CLOSING) {
		if (is_over(session, session->closing, options->websocket_close_timeout))
			websocket_session_end(session);
	} else if (session->step == WEBSOCKET_SESSION_FAILING) {
		if (is_over(session, session->asked, ANSWER_GRACE))
			websocket_session_fail(session, session->failure, session->why);
	} else if (session->blocked_since &&
	           left(session, session->blocked_since, options->websocket_full_timeout) <= 0) {
		websocket_session_fail(session, WEBSOCKET_TRY_LATER, "no room for its message");
	} else if (session->blocked_since && connection_is_reset(&session->connection)) {
		connection_close(&session->connection);
	} else if (session->backlog_since &&
	           is_over(session, session->backlog_since, options->websocket_slow_timeout)) {
		give_up_slow(session);
	} else if (session->pinged && !session->blocked_since &&
	           is_over(session, session->pinged, options->websocket_pong_timeout)) {
		websocket_session_leave(session, WEBSOCKET_ABNORMAL, "ping timed out", 14);
		connection_close(&session->connection);
	} else if (session->in_parts &&
	           is_over(session, session->part_since, options->response_timeout)) {
		websocket_session_close(session, WEBSOCKET_INTERNAL_ERROR, "the rest didn't come");
	} else if (is_over(session, session->opened, options->websocket_lifetime)) {
		websocket_session_close(session, WEBSOCKET_GOING_AWAY, "lifetime is over");
	} else if (is_over(session, session->active, options->websocket_idle_timeout)) {
		websocket_session_close(session, WEBSOCKET_NORMAL, "idle");
	} else if (!session->pinged && !session->blocked_since &&
	           is_over(session, session->heard, options->websocket_ping_interval)) {
		session->pinged = websocket_session_now(session);
		write_frame(session, 0x89, NULL, 0);
	}
	if (session->step != WEBSOCKET_SESSION_OVER && !session->connection.closed)
		websocket_session_arm(session);
}

// ---------------------------------------------------------------------------------------------
// Start
// ---------------------------------------------------------------------------------------------

static void enlist(struct websocket_session *session)
{
	struct websocket_server *server = session->server;

	session->next = server->sessions;
	session->link = &server->sessions;
	if (session->next)
		session->next->link = &session->next;
	server->sessions = session;
}

// Small frames are to leave at once. (On a unix socket this fails, and isn't needed.)
static void set_no_delay(int fd)
{
	int on = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

void websocket_session_start(struct websocket_server *server, struct connection *connection,
        const struct websocket_session_setup *setup)
{
	struct websocket_session *session = session_of(connection);
	int result;

	memset((char *)session + sizeof(*connection), 0, sizeof(*session) - sizeof(*connection));
	connection->protocol = &protocol;
	connection->input_limit = CONNECTION_BUFFER;
	session->server = server;
	session->opened = session->heard = session->active = websocket_session_now(session);
	session->order = 1; // websocket.connect was 0
	strcpy(session->reply_channel, setup->reply_channel);
	strcpy(session->remote_address, setup->remote_address);
	timer_init(&session->timer, on_timer);
	session->deflate = (uint8_t)setup->deflate;
	session->receive_channel = setup->receive_channel;
	websocket_gate_init(
	        &session->gate, server->options->websocket_max_message, session->deflate != 0);
	enlist(session);
	set_no_delay(connection->fd);
	metrics_count(server->metrics, METRICS_WEBSOCKET_OPENED);
	metrics_count(server->metrics, METRICS_WEBSOCKET_CONNECTIONS);
	session->inside = true;
	result = lws_loop_open(&server->loop, &session->seam, &websocket_input_side, setup->key,
	        setup->headers, setup->headers_length);
	session->inside = false;
	if (result < 0 && !connection->closed) {
		log_limited(LOG_LEVEL_ERROR, "cannot open a WebSocket: %s", strerror(-result));
		connection_close(connection);
	}
	if (connection->closed) {
		lws_loop_close(&server->loop, &session->seam);
		return;
	}
	websocket_session_arm(session);
	websocket_input_read(session);
}
