// SPDX-License-Identifier: MIT
// websocket_session.c - the state machine of one WebSocket; see websocket_session.h.
#include "server/websocket_session.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "channel/name.h"
#include "server/log.h"
#include "server/websocket_farewell.h"

// Octets of PONGs and the like, with what the queue costs for each, that may wait for a client that
// doesn't read, before it isn't read either.
#define REPLIES_MAX  65536
#define REPLY_WEIGHT 512

#define COMPRESS_MIN 64 // octets of a message that are worth it

#define MESSAGE_MIN 1024 // octets of the buffer for a message that comes in pieces

static struct websocket_session *session_of(struct connection *connection)
{
	return (struct websocket_session *)connection; // its first member
}

static uint32_t now(const struct websocket_session *session)
{
	return (uint32_t)session->server->wheel->tick;
}

// ---------------------------------------------------------------------------------------------
// Time
// ---------------------------------------------------------------------------------------------

// Milliseconds until LIMIT after SINCE; less than 1 if that has passed.
static int64_t left(const struct websocket_session *session, uint32_t since, int64_t limit)
{
	return limit - (int64_t)(uint32_t)(now(session) - since) * TIMER_TICK;
}

static void least(int64_t *delay, int64_t other)
{
	if (other < *delay)
		*delay = other;
}

// Sets the timer to the next moment at which something could have to be done. What only moves a deadline
// away needn't call it: the timer looks again when it fires.
static void rearm(struct websocket_session *session)
{
	const struct options *options = session->server->options;
	int64_t delay = INT64_MAX;

	if (session->step == WEBSOCKET_SESSION_CLOSING) {
		delay = left(session, session->closing, options->websocket_close_timeout);
	} else {
		if (session->blocked_since)
			least(&delay, left(session, session->blocked_since,
			                      options->websocket_full_timeout));
		else if (session->pinged)
			least(&delay,
			        left(session, session->pinged, options->websocket_pong_timeout));
		else if (options->websocket_ping_interval)
			least(&delay,
			        left(session, session->heard, options->websocket_ping_interval));
		if (session->backlog_since && options->websocket_slow_timeout)
			least(&delay, left(session, session->backlog_since,
			                      options->websocket_slow_timeout));
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

static void unlist_blocked(struct websocket_session *session)
{
	if (!session->blocked_link)
		return;
	*session->blocked_link = session->blocked_next;
	if (session->blocked_next)
		session->blocked_next->blocked_link = session->blocked_link;
	else
		session->server->blocked_last = session->blocked_link;
	session->blocked_link = NULL;
}

static void enlist_blocked(struct websocket_session *session)
{
	struct websocket_server *server = session->server;

	session->blocked_next = NULL;
	session->blocked_link = server->blocked_last;
	*session->blocked_link = session;
	server->blocked_last = &session->blocked_next;
}

static void drop_message(struct websocket_session *session)
{
	free(session->message);
	session->message = NULL;
	session->message_length = session->message_size = 0;
}

// The connection is over for the consumers, whatever is still said on the wire.
static void leave(
        struct websocket_session *session, uint16_t code, const char *reason, size_t reason_length)
{
	struct websocket_close close = {.code = code, .reason_length = (uint8_t)reason_length};

	if (session->said_farewell)
		return;
	session->said_farewell = true;
	if (session->blocked_since) {
		session->server->stats.dropped++;
		log_limited(LOG_LEVEL_WARNING, "a message on %s was dropped: no room",
		        session->receive_channel ? session->receive_channel : WEBSOCKET_RECEIVE);
	}
	unlist_blocked(session);
	session->blocked_since = 0;
	drop_message(session);
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

static void write_close(
        struct websocket_session *session, uint16_t code, const char *reason, size_t reason_length)
{
	char payload[WEBSOCKET_GATE_CONTROL_MAX] = {(char)(code >> 8), (char)code};

	if (reason_length)
		memcpy(payload + 2, reason, reason_length);
	write_frame(session, 0x88, payload, code == WEBSOCKET_NO_CODE ? 0 : 2 + reason_length);
}

// Nothing more is read: what is queued is written, and the client gets time to read it.
static void end(struct websocket_session *session)
{
	session->step = WEBSOCKET_SESSION_OVER;
	lws_loop_close(&session->server->loop, &session->seam);
	timer_stop(&session->timer);
	connection_finish(&session->connection, true);
}

// The client has broken a rule or a limit: tells it, and goes (RFC 6455, 7.1.7).
static void fail(struct websocket_session *session, uint16_t code, const char *why)
{
	session->server->stats.failed++;
	log_limited(LOG_LEVEL_INFO, "WebSocket closed with %u to %s: %s", code,
	        *session->remote_address ? session->remote_address : "unix:", why);
	leave(session, code, why, strlen(why));
	if (session->step == WEBSOCKET_SESSION_OPEN)
		write_close(session, code, "", 0);
	end(session);
}

static void start_closing(
        struct websocket_session *session, uint16_t code, const char *reason, size_t reason_length)
{
	if (session->step != WEBSOCKET_SESSION_OPEN || session->connection.closed)
		return;
	leave(session, code, reason, reason_length);
	session->step = WEBSOCKET_SESSION_CLOSING;
	session->closing = now(session);
	write_close(session, code, reason, reason_length);
	if (session->connection.closed)
		return;
	connection_want_read(&session->connection, true);
	rearm(session);
}

void websocket_session_close(struct websocket_session *session, uint16_t code, const char *reason)
{
	start_closing(session, code, reason, strlen(reason));
}

// ---------------------------------------------------------------------------------------------
// From the client
// ---------------------------------------------------------------------------------------------

// In the middle of the library's work nothing can be ended; see take().
static void note_failure(struct websocket_session *session, uint16_t code, const char *why)
{
	if (session->failure)
		return;
	session->failure = code;
	session->why = why;
}

static int keep(struct websocket_session *session, const char *data, size_t length)
{
	size_t needed = session->message_length + length, size = session->message_size;
	char *grown;

	if (needed > size || !session->message) {
		size = size ? size : MESSAGE_MIN;
		while (size < needed)
			size *= 2;
		grown = realloc(session->message, size);
		if (!grown)
			return -ENOMEM;
		session->message = grown;
		session->message_size = (uint32_t)size;
	}
	if (length)
		memcpy(session->message + session->message_length, data, length);
	session->message_length = (uint32_t)needed;
	return 0;
}

static void block(struct websocket_session *session)
{
	struct websocket_server *server = session->server;

	connection_want_read(&session->connection, false);
	if (session->blocked_since)
		return;
	server->stats.blocked++;
	session->blocked_since = now(session);
	enlist_blocked(session);
	rearm(session);
}

// Sends the message, all of which is at DATA, to the consumers.
static void deliver(struct websocket_session *session, const char *data, size_t length)
{
	struct websocket_server *server = session->server;
	struct forebay_message *message = server->message;
	int result;

	forebay_message_reset(message);
	forebay_put_text(message, "reply_channel", session->reply_channel);
	forebay_put_integer(message, "order", (int64_t)session->order);
	forebay_set_content(
	        message, data, length, session->gate.binary ? FOREBAY_BINARY : FOREBAY_TEXT);
	result = forebay_send(server->layer,
	        session->receive_channel ? session->receive_channel : WEBSOCKET_RECEIVE, message,
	        0);
	switch (result) {
	case 0:
		session->delivered = true;
		session->order++;
		session->active = now(session);
		server->stats.received++;
		break;
	case FOREBAY_FULL:
	case FOREBAY_NO_MEMORY:
	case FOREBAY_NO_CHANNEL:
		if (data != session->message && keep(session, data, length) < 0)
			note_failure(session, WEBSOCKET_INTERNAL_ERROR, "out of memory");
		else
			block(session);
		break;
	case FOREBAY_TOO_LARGE:
		note_failure(session, WEBSOCKET_TOO_BIG, "message too large when encoded");
		break;
	default:
		note_failure(session, WEBSOCKET_INTERNAL_ERROR, forebay_strerror(result));
	}
}

// The library has unmasked the next octets of a message.
static void on_payload(struct lws_seam *seam, const char *data, size_t length)
{
	struct websocket_session *session =
	        (struct websocket_session *)((char *)seam -
	                                     offsetof(struct websocket_session, seam));
	struct websocket_gate *gate = &session->gate;
	bool last;

	if (session->failure || session->delivered || session->blocked_since ||
	        session->connection.closed || length > session->awaited)
		return;
	session->awaited -= length;
	if (gate->compressed) {
		if (keep(session, data, length) < 0)
			note_failure(session, WEBSOCKET_INTERNAL_ERROR, "out of memory");
		return;
	}
	if (!gate->binary && !channel_utf8_feed(&session->utf8, data, length)) {
		note_failure(session, WEBSOCKET_BAD_DATA, "text isn't UTF-8");
		return;
	}
	last = session->awaited == 0 && websocket_gate_is_complete(gate);
	// A message that came in one piece needn't be copied.
	if (last && !session->message && (gate->binary || channel_utf8_complete(&session->utf8)))
		deliver(session, data, length);
	else if (keep(session, data, length) < 0)
		note_failure(session, WEBSOCKET_INTERNAL_ERROR, "out of memory");
}

// What the library writes: the answer to the handshake, and PONGs.
static void on_output(struct lws_seam *seam, const void *data, size_t length)
{
	struct websocket_session *session =
	        (struct websocket_session *)((char *)seam -
	                                     offsetof(struct websocket_session, seam));
	struct iovec part = {(void *)data, length};

	connection_write(&session->connection, &part, 1, NULL);
	if (!connection_backlogged(&session->connection))
		return;
	session->replies += (uint32_t)length + REPLY_WEIGHT;
	session->throttled = session->replies > REPLIES_MAX;
}

static const struct lws_seam_side side = {on_output, on_payload};

// Gives the library what the gate has approved. Returns whether the connection goes on.
static bool take(struct websocket_session *session, const char *data, size_t length)
{
	int result;

	session->inside = true;
	result = lws_loop_feed(&session->server->loop, &session->seam, data, length);
	session->inside = false;
	if (session->connection.closed) {
		lws_loop_close(&session->server->loop, &session->seam);
		return false;
	}
	if (result < 0 && !session->failure)
		note_failure(session, WEBSOCKET_INTERNAL_ERROR, "refused by libwebsockets");
	if (session->failure)
		fail(session, session->failure, session->why);
	return !session->failure;
}

// A compressed message is all there.
static void deliver_expanded(struct websocket_session *session)
{
	struct websocket_server *server = session->server;
	size_t length;
	const char *data;
	int result = websocket_deflate_expand(&server->deflate,
	        session->message ? session->message : "", session->message_length,
	        server->options->websocket_max_message, &data, &length);

	drop_message(session);
	if (result)
		note_failure(session, (uint16_t)result,
		        result == WEBSOCKET_TOO_BIG ? "message too large when expanded"
		                                    : "bad compressed data");
	else if (!session->gate.binary && !channel_utf8_valid(data, length))
		note_failure(session, WEBSOCKET_BAD_DATA, "text isn't UTF-8");
	else
		deliver(session, data, length);
}

// A message has ended. If it wasn't sent straight out of the library's buffer, it is all here.
static bool end_message(struct websocket_session *session)
{
	bool complete = session->gate.binary || channel_utf8_complete(&session->utf8);

	session->utf8 = (struct channel_utf8){0};
	if (session->delivered || session->blocked_since) {
		session->delivered = false;
		return true;
	}
	if (session->gate.compressed)
		deliver_expanded(session);
	else if (!complete)
		note_failure(session, WEBSOCKET_BAD_DATA, "text ends inside of a character");
	else
		deliver(session, session->message ? session->message : "", session->message_length);
	session->delivered = false;
	if (!session->blocked_since)
		drop_message(session);
	if (session->failure)
		fail(session, session->failure, session->why);
	return !session->failure;
}

static bool take_data(struct websocket_session *session, char *data, bool ends)
{
	const struct websocket_gate *gate = &session->gate;

	// What comes behind our CLOSE doesn't interest anybody.
	if (session->step != WEBSOCKET_SESSION_OPEN)
		return true;
	session->awaited = gate->approved - gate->header;
	return take(session, data, gate->approved) && (!ends || end_message(session));
}

// The client wants to end, or has answered our own wish.
static void take_close(struct websocket_session *session, const struct websocket_close *close)
{
	if (session->step == WEBSOCKET_SESSION_OPEN) {
		leave(session, close->code, close->reason, close->reason_length);
		write_close(session, close->code, close->reason, close->reason_length);
	}
	end(session);
}

// Deals with the next piece of the input. Returns whether there may be another.
static bool step(struct websocket_session *session)
{
	struct connection *connection = &session->connection;
	struct websocket_close close;
	char *data = connection_input(connection);
	int result = websocket_gate_feed(
	        &session->gate, data, connection_input_length(connection), &close);
	size_t approved = session->gate.approved;
	bool again = true;

	switch (result) {
	case WEBSOCKET_GATE_MORE:
		return false;
	case WEBSOCKET_GATE_DATA:
	case WEBSOCKET_GATE_MESSAGE:
		again = take_data(session, data, result == WEBSOCKET_GATE_MESSAGE);
		break;
	case WEBSOCKET_GATE_PING:
		again = session->step != WEBSOCKET_SESSION_OPEN || take(session, data, approved);
		break;
	case WEBSOCKET_GATE_PONG:
		break;
	case WEBSOCKET_GATE_CLOSE:
		take_close(session, &close);
		return false;
	default:
		fail(session, (uint16_t)result, session->gate.why);
		return false;
	}
	if (again)
		connection_consume(connection, approved);
	return again;
}

static void advance(struct websocket_session *session)
{
	struct connection *connection = &session->connection;

	while (session->step != WEBSOCKET_SESSION_OVER && !connection->closed &&
	        !session->blocked_since && !session->throttled &&
	        connection_input_length(connection) > 0)
		if (!step(session))
			break;
	if (session->step == WEBSOCKET_SESSION_OVER || connection->closed)
		return;
	connection_want_read(connection, !session->blocked_since && !session->throttled);
	if (connection->eof && !session->blocked_since && !session->throttled) {
		leave(session, WEBSOCKET_ABNORMAL, "", 0);
		end(session);
	}
}

bool websocket_session_unblock(struct websocket_session *session)
{
	deliver(session, session->message ? session->message : "", session->message_length);
	if (session->failure) {
		fail(session, session->failure, session->why);
		return true;
	}
	unlist_blocked(session);
	if (!session->delivered) {
		enlist_blocked(session);
		return false;
	}
	session->delivered = false;
	session->blocked_since = 0;
	drop_message(session);
	session->heard = now(session);
	advance(session);
	return true;
}

// ---------------------------------------------------------------------------------------------
// From the consumer
// ---------------------------------------------------------------------------------------------

static const char *move_channel(struct websocket_session *session, const struct forebay_value *name)
{
	uint64_t id;
	enum channel_kind kind = channel_name_kind(name->string, &id);
	char *copy;

	if (kind != CHANNEL_PLAIN && kind != CHANNEL_STREAM)
		return "receive_channel is not a channel";
	copy = strdup(name->string);
	if (!copy)
		return "out of memory";
	free(session->receive_channel);
	session->receive_channel = copy;
	return NULL;
}

// Writes the message compressed, if that makes it smaller. Returns whether it did.
static bool write_compressed(struct websocket_session *session,
        const struct websocket_message *message, struct forebay_message *shared)
{
	char header[WEBSOCKET_HEADER_MAX], *out;
	struct iovec part;
	size_t length, size;

	if (!session->deflate || message->length < COMPRESS_MIN)
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

void websocket_session_write(struct websocket_session *session, struct websocket_message *message,
        struct forebay_message *shared)
{
	if (session->step != WEBSOCKET_SESSION_OPEN || session->connection.closed) {
		forebay_message_free(shared);
		return;
	}
	if (message->has_content) {
		if (!write_compressed(session, message, shared))
			connection_write_later(
			        &session->connection, message->parts, message->count, shared);
		session->active = now(session);
		session->server->stats.sent++;
	}
	if (message->close)
		start_closing(session, message->with.code, message->with.reason,
		        message->with.reason_length);
	if (!message->has_content)
		forebay_message_free(shared);
}

static void on_backlog(struct connection *connection)
{
	struct websocket_session *session = session_of(connection);

	if (session->backlog_since || session->step == WEBSOCKET_SESSION_OVER)
		return;
	session->backlog_since = now(session);
	rearm(session);
}

bool websocket_session_broadcast(
        struct websocket_session *session, struct websocket_message *message)
{
	struct connection *connection = &session->connection;
	size_t length = message->length + message->parts[0].iov_len;

	if (session->step != WEBSOCKET_SESSION_OPEN || connection->closed)
		return false;
	if (message->has_content) {
		if (connection->output && session->copied + length > WEBSOCKET_SESSION_COPIED)
			return false;
		connection_write_copy(connection, message->parts, message->count);
		if (connection_backlogged(connection)) {
			session->copied += (uint32_t)length;
			on_backlog(connection);
		}
		session->active = now(session);
		session->server->stats.sent++;
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

	if (!wrong && message.receive_channel)
		wrong = move_channel(session, message.receive_channel);
	if (!wrong) {
		websocket_session_write(session, &message, shared);
		return;
	}
	log_limited(
	        LOG_LEVEL_WARNING, "malformed message on %s: %s", session->reply_channel, wrong);
	session->server->stats.malformed++;
	forebay_message_free(shared);
}

// ---------------------------------------------------------------------------------------------
// The connection
// ---------------------------------------------------------------------------------------------

static void on_data(struct connection *connection)
{
	struct websocket_session *session = session_of(connection);

	session->heard = now(session);
	session->pinged = 0;
	advance(session);
}

static void on_eof(struct connection *connection)
{
	advance(session_of(connection));
}

static void on_drained(struct connection *connection)
{
	struct websocket_session *session = session_of(connection);

	session->replies = session->copied = 0;
	session->throttled = false;
	session->backlog_since = 0;
	advance(session);
}

static void on_closed(struct connection *connection)
{
	struct websocket_session *session = session_of(connection);

	leave(session, session->server->draining ? WEBSOCKET_GOING_AWAY : WEBSOCKET_ABNORMAL, "",
	        0);
	session->step = WEBSOCKET_SESSION_OVER;
	session->seam.muted = true;
	if (!session->inside)
		lws_loop_close(&session->server->loop, &session->seam);
	timer_fini(&session->timer);
	free(session->receive_channel);
	session->receive_channel = NULL;
	session->server->stats.closed++;
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

	leave(session, how < 2 ? codes[how] : WEBSOCKET_ABNORMAL, "too slow", 8);
	session->server->stats.failed++;
	if (how < 2)
		write_close(session, codes[how], "too slow", 8);
	if (how < 2)
		end(session);
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

	if (session->step == WEBSOCKET_SESSION_CLOSING) {
		if (is_over(session, session->closing, options->websocket_close_timeout))
			end(session);
	} else if (session->blocked_since &&
	           left(session, session->blocked_since, options->websocket_full_timeout) <= 0) {
		fail(session, WEBSOCKET_TRY_LATER, "no room for its message");
	} else if (session->backlog_since &&
	           is_over(session, session->backlog_since, options->websocket_slow_timeout)) {
		give_up_slow(session);
	} else if (session->pinged && !session->blocked_since &&
	           is_over(session, session->pinged, options->websocket_pong_timeout)) {
		leave(session, WEBSOCKET_ABNORMAL, "ping timed out", 14);
		connection_close(&session->connection);
	} else if (is_over(session, session->opened, options->websocket_lifetime)) {
		websocket_session_close(session, WEBSOCKET_GOING_AWAY, "lifetime is over");
	} else if (is_over(session, session->active, options->websocket_idle_timeout)) {
		websocket_session_close(session, WEBSOCKET_NORMAL, "idle");
	} else if (!session->pinged && !session->blocked_since &&
	           is_over(session, session->heard, options->websocket_ping_interval)) {
		session->pinged = now(session);
		// While others wait to be written, it would wait too: then that has a time-out.
		if (!connection_backlogged(&session->connection))
			write_frame(session, 0x89, NULL, 0);
	}
	if (session->step != WEBSOCKET_SESSION_OVER && !session->connection.closed)
		rearm(session);
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
	session->opened = session->heard = session->active = now(session);
	session->order = 1; // websocket.connect was 0
	strcpy(session->reply_channel, setup->reply_channel);
	strcpy(session->remote_address, setup->remote_address);
	timer_init(&session->timer, on_timer);
	session->deflate = (uint8_t)setup->deflate;
	websocket_gate_init(
	        &session->gate, server->options->websocket_max_message, session->deflate != 0);
	enlist(session);
	set_no_delay(connection->fd);
	server->stats.opened++;
	session->inside = true;
	result = lws_loop_open(&server->loop, &session->seam, &side, setup->key, setup->headers,
	        setup->headers_length);
	session->inside = false;
	if (result < 0 && !connection->closed) {
		log_limited(LOG_LEVEL_ERROR, "cannot open a WebSocket: %s", strerror(-result));
		connection_close(connection);
	}
	if (connection->closed) {
		lws_loop_close(&server->loop, &session->seam);
		return;
	}
	rearm(session);
	advance(session);
}
