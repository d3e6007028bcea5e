// SPDX-License-Identifier: MIT
// websocket_input.c - from frames to messages; see websocket_input.h.
#include "server/websocket_input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/log.h"
#include "server/websocket_farewell.h"

// Octets of PONGs and the like, with what the queue costs for each, that may wait for a client that
// doesn't read, before it isn't read either.
#define REPLIES_MAX  65536
#define REPLY_WEIGHT 512

#define MESSAGE_MIN 1024 // octets of the buffer for a message that comes in pieces

// ---------------------------------------------------------------------------------------------
// The message in hand
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

void websocket_input_drop(struct websocket_session *session)
{
	websocket_content_leave(session->content);
	session->content = NULL;
	unlist_blocked(session);
	session->blocked_since = 0;
	drop_message(session);
}

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
	metrics_count(server->metrics, METRICS_WEBSOCKET_BLOCKED);
	session->blocked_since = websocket_session_now(session);
	enlist_blocked(session);
	websocket_session_arm(session);
}

// Sends websocket.receive, with the message or the name of the channel that it is to come through.
static int announce(struct websocket_session *session, const char *data, size_t length)
{
	struct websocket_server *server = session->server;
	struct forebay_message *message = server->message;
	const char *channel =
	        session->receive_channel ? session->receive_channel : WEBSOCKET_RECEIVE;
	bool binary = session->gate.binary;
	int result;

	forebay_message_reset(message);
	forebay_put_text(message, "reply_channel", session->reply_channel);
	forebay_put_integer(message, "order", (int64_t)session->order);
	if (session->content) {
		forebay_put_text(message, "content_channel", session->content->channel);
		forebay_put_integer(message, "length", (int64_t)length);
		forebay_put_boolean(message, "binary", binary);
	} else {
		forebay_set_content(message, data, length, binary ? FOREBAY_BINARY : FOREBAY_TEXT);
	}
	result = session->blocked_since ? forebay_send_again(server->layer, channel, message)
	                                : forebay_send(server->layer, channel, message, 0);
	session->order += result == 0;
	return result;
}

// Sends a message that is larger than one of the layer's, or as much of it as there is room for.
static int deliver_large(struct websocket_session *session, const char *data, size_t length)
{
	int result;

	if (!session->content)
		session->content = websocket_content_new(session->server, session->gate.binary);
	if (!session->content)
		return FOREBAY_NO_CHANNEL;
	if (!session->content->announced) {
		result = announce(session, data, length);
		if (result)
			return result;
		session->content->announced = true;
	}
	result = websocket_content_send(session->content, data, length);
	if (result == 0) {
		websocket_content_leave(session->content);
		session->content = NULL;
	}
	return result;
}

// Sends the message, all of which is at DATA, to the consumers.
static void deliver(struct websocket_session *session, const char *data, size_t length)
{
	struct websocket_server *server = session->server;
	bool large = session->content != NULL;
	int result = large ? 0 : announce(session, data, length);

	if (large || (result == FOREBAY_TOO_LARGE &&
	                     server->options->websocket_max_message > FOREBAY_MESSAGE_MAX))
		result = deliver_large(session, data, length);
	switch (result) {
	case 0:
		session->delivered = true;
		session->active = session->asked = websocket_session_now(session);
		session->unanswered++;
		metrics_count(server->metrics, METRICS_WEBSOCKET_RECEIVED);
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

const struct lws_seam_side websocket_input_side = {on_output, on_payload};

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
		websocket_session_refuse(session, session->failure, session->why);
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
		websocket_session_refuse(session, session->failure, session->why);
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
		websocket_session_leave(session, close->code, close->reason, close->reason_length);
		websocket_session_write_close(
		        session, close->code, close->reason, close->reason_length);
	}
	websocket_session_end(session);
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
		websocket_session_refuse(session, (uint16_t)result, session->gate.why);
		return false;
	}
	if (again)
		connection_consume(connection, approved);
	return again;
}

void websocket_input_read(struct websocket_session *session)
{
	struct connection *connection = &session->connection;

	while (session->step < WEBSOCKET_SESSION_FAILING && !connection->closed &&
	        !session->blocked_since && !session->throttled &&
	        connection_input_length(connection) > 0)
		if (!step(session))
			break;
	if (session->step >= WEBSOCKET_SESSION_FAILING || connection->closed)
		return;
	connection_want_read(connection, !session->blocked_since && !session->throttled);
	if (connection->eof && !session->blocked_since && !session->throttled) {
		websocket_session_leave(session, WEBSOCKET_ABNORMAL, "", 0);
		websocket_session_end(session);
	}
}

bool websocket_input_unblock(struct websocket_session *session)
{
	size_t sent = session->content ? session->content->sent : 0;

	deliver(session, session->message ? session->message : "", session->message_length);
	if (session->failure) {
		websocket_input_drop(session); // not for want of room
		websocket_session_fail(session, session->failure, session->why);
		return true;
	}
	unlist_blocked(session);
	if (!session->delivered) {
		if (session->content && session->content->sent > sent)
			session->blocked_since = websocket_session_now(session);
		enlist_blocked(session);
		return false;
	}
	session->delivered = false;
	session->blocked_since = 0;
	drop_message(session);
	session->heard = websocket_session_now(session);
	websocket_input_read(session);
	return true;
}
