// SPDX-License-Identifier: MIT
// http_session.c - heads, requests and time-outs; see http_session.h.
#include "server/http_session.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/access_log.h"
#include "server/http_answer.h"
#include "server/http_body.h"
#include "server/log.h"
#include "server/status.h"
#include "server/websocket_handshake.h"
#include "server/websocket_upgrade.h"

// While the worker drains, an idle connection is closed after this time at the latest, in ms.
#define DRAIN_GRACE 5000

static const struct connection_protocol protocol;

// An idle connection holds nothing else: tens of thousands of them have to fit.
_Static_assert(sizeof(struct http_session) <= 1024, "a session has grown too large");

static void await_request(struct http_session *session);

// ---------------------------------------------------------------------------------------------
// Time
// ---------------------------------------------------------------------------------------------

// Milliseconds that are left for the request as a whole; INT64_MAX if there is no limit.
static int64_t left_for_request(const struct http_session *session)
{
	int64_t whole = session->server->options->request_timeout;

	if (!whole || !session->began_us)
		return INT64_MAX;
	return whole - (http_server_clock() - session->began_us) / 1000;
}

void http_session_arm(struct http_session *session, int64_t delay)
{
	int64_t left = left_for_request(session);

	timer_arm(session->server->wheel, &session->timer, left < delay ? left : delay);
}

void http_session_await_flush(struct http_session *session)
{
	int64_t left = left_for_request(session);

	session->step = HTTP_SESSION_FLUSH;
	// The connection has a timer of its own for a client that takes nothing.
	if (left < INT64_MAX)
		timer_arm(session->server->wheel, &session->timer, left);
}

// For the consumer's answer, or its next part.
static void arm_for_answer(struct http_session *session)
{
	const struct options *options = session->server->options;

	if (session->connection.eof)
		timer_arm(session->server->wheel, &session->timer, options->half_close_timeout);
	else
		http_session_arm(session, options->response_timeout);
}

void http_session_expire(struct http_session *session)
{
	struct connection *connection = &session->connection;

	if (session->step != HTTP_SESSION_HEAD || connection_input_length(connection) > 0)
		return;
	if (connection_is_shaking(connection)) // which has its own time; it hasn't been idle yet
		await_request(session);
	else if (connection_poll(connection))
		http_session_advance(session);
	else
		connection_finish(connection, false);
}

// While the client has yet to take what came before, the consumer may find no room for more, nor take more of the body
// before it does, and a client that has ended its side hasn't gone: the time begins anew.
static bool has_more_time(const struct http_session *session)
{
	return connection_backlogged(&session->connection) && left_for_request(session) > 0;
}

static void expire_body(struct http_session *session)
{
	if (session->body.blocked && has_more_time(session))
		http_session_arm(session, session->server->options->response_timeout);
	else
		http_body_expire(session);
}

static void expire_answer(struct http_session *session)
{
	if (has_more_time(session))
		arm_for_answer(session);
	else if (session->connection.eof)
		connection_close(&session->connection);
	else
		http_answer_error(session, session->server->options->timeout_status,
		        "no answer from a consumer", false);
}

static void on_timer(struct timer *timer)
{
	struct http_session *session =
	        (struct http_session *)((char *)timer - offsetof(struct http_session, timer));

	switch (session->step) {
	case HTTP_SESSION_HEAD:
		if (connection_input_length(&session->connection) == 0)
			http_session_expire(session);
		else
			http_answer_error(session, 408, "head timed out", true);
		break;
	case HTTP_SESSION_BODY:
		expire_body(session);
		break;
	case HTTP_SESSION_ANSWER:
		expire_answer(session);
		http_session_advance(session);
		break;
	case HTTP_SESSION_FLUSH:
		connection_close(&session->connection);
		break;
	case HTTP_SESSION_OVER:
		break; // the connection has a timer of its own for writing
	}
}

// ---------------------------------------------------------------------------------------------
// Towards the consumer
// ---------------------------------------------------------------------------------------------

static void send_disconnect(struct http_session *session)
{
	struct http_server *server = session->server;

	metrics_count(server->metrics, METRICS_HTTP_DISCONNECTS);
	forebay_message_reset(server->message);
	forebay_put_text(server->message, "reply_channel", session->reply_channel);
	// Where nobody listens, this channel is always full: no reason to say anything.
	if (forebay_send(server->layer, "http.disconnect", server->message, 0))
		metrics_count(server->metrics, METRICS_HTTP_DISCONNECTS_DROPPED);
}

void http_session_await(struct http_session *session, bool waiting)
{
	if (session->waiting != waiting)
		metrics_add(session->server->metrics, METRICS_HTTP_WAITING, waiting ? 1 : -1);
	session->waiting = waiting;
}

void http_session_forget(struct http_session *session, bool tell)
{
	struct http_transfer *transfer = session->transfer;

	if (session->upgrade)
		websocket_upgrade_forget(session);
	tell = tell && session->waiting;
	// First, so that who is told that the client has left finds its reply channel ended.
	if (session->waiting)
		forebay_reply_close(session->server->layer, session->reply_channel);
	session->transfer = NULL;
	if (transfer && tell)
		http_transfer_abandon(transfer);
	else
		http_transfer_free(transfer);
	if (tell)
		send_disconnect(session);
	http_session_await(session, false);
}

int http_session_open_reply(struct http_session *session, const char *prefix)
{
	char name[FOREBAY_NAME_SIZE];
	size_t length;
	int result =
	        forebay_reply_open(session->server->layer, prefix, 0, &session->connection, name);

	if (result)
		return result;
	http_session_await(session, true);
	// "http.response!" and 16 digits. Not by snprintf(), which would show in a profile.
	length = strnlen(name, sizeof(session->reply_channel) - 1);
	memcpy(session->reply_channel, name, length);
	session->reply_channel[length] = '\0';
	return 0;
}

int http_session_send_status(int result)
{
	switch (result) {
	case FOREBAY_FULL:
	case FOREBAY_NO_MEMORY:
	case FOREBAY_NO_CHANNEL:
		return 503;
	case FOREBAY_TOO_LARGE:
		return 413;
	default:
		return 500;
	}
}

int http_session_fill(struct http_session *session, const struct http_request_body *body,
        struct forebay_message *message)
{
	struct http_request_peer peer = {
	        .remote_address = session->remote_address,
	        .remote_port = session->remote_port,
	        .server_name = session->local->server_name,
	        .server_port = session->local->server_port,
	        .secure = session->local->tls != NULL,
	};

	return http_request_fill(&session->server->request, &session->head,
	        connection_input(&session->connection), &peer, body, session->reply_channel,
	        message);
}

// Makes and sends the message. Returns 0, or a status and *REASON.
static int send_request(
        struct http_session *session, const struct http_request_body *body, const char **reason)
{
	struct http_server *server = session->server;
	int result = http_session_open_reply(session, "http.response");

	if (!result) {
		forebay_message_reset(server->message);
		result = http_session_fill(session, body, server->message);
		*reason = server->request.reason;
		if (result)
			return result;
		result = forebay_send(server->layer, "http.request", server->message, 0);
	}
	*reason = forebay_strerror(result);
	return result ? http_session_send_status(result) : 0;
}

bool http_session_dispatch(
        struct http_session *session, const struct http_request_body *body, bool fresh)
{
	struct http_server *server = session->server;
	const char *reason;
	http_parser parser;
	int status = 0;

	if (!fresh) {
		status = http_request_read(&server->request, &session->head, &parser,
		        connection_input(&session->connection));
		reason = server->request.reason;
	}
	if (!status)
		status = send_request(session, body, &reason);
	if (!status) {
		session->sent_us = http_server_clock();
		return true;
	}
	http_session_forget(session, false);
	http_answer_error(session, status, reason, session->step == HTTP_SESSION_BODY);
	return false;
}

void http_session_await_response(struct http_session *session)
{
	struct connection *connection = &session->connection;
	size_t used = session->kept + session->body.held;

	session->step = HTTP_SESSION_ANSWER;
	if (session->server->access_log) {
		connection_cut(connection, session->kept, session->body.held);
	} else {
		connection_consume(connection, used);
		session->kept = 0;
	}
	session->body.held = 0;
	// What else comes is another request: as much of it as the buffer takes is read.
	connection->input_limit = CONNECTION_BUFFER;
	connection_want_read(connection, true);
	arm_for_answer(session);
}

// ---------------------------------------------------------------------------------------------
// Heads
// ---------------------------------------------------------------------------------------------

// DELAY, or less if it is at others' expense.
static int64_t patience(const struct http_session *session, int64_t delay)
{
	bool at_others = session->local->status && http_server_is_crowded(session->server);

	return at_others && delay > HTTP_SERVER_MOMENT ? HTTP_SERVER_MOMENT : delay;
}

static void await_request(struct http_session *session)
{
	int64_t delay = session->server->options->idle_timeout;

	if (session->connection.eof) {
		connection_finish(&session->connection, false);
		return;
	}
	if (session->server->draining && delay > DRAIN_GRACE)
		delay = DRAIN_GRACE;
	timer_arm(session->server->wheel, &session->timer, patience(session, delay));
	connection_want_read(&session->connection, true);
}

static void await_head(struct http_session *session)
{
	if (session->connection.eof) {
		connection_close(&session->connection);
		return;
	}
	if (!session->head_timing)
		http_session_arm(
		        session, patience(session, session->server->options->head_timeout));
	session->head_timing = true;
	connection_want_read(&session->connection, true);
}

// Forgets all about the former request.
static void prepare(struct http_session *session)
{
	const struct options *options = session->server->options;
	struct http_strict_limits limits = {
	        .target = (uint32_t)options->max_target,
	        .head = (uint32_t)options->max_head,
	        .headers = (uint32_t)options->max_headers,
	};

	http_strict_head_init(&session->head, &limits);
	session->request = (struct http_response_request){.minor = 1};
	session->response = (struct http_response){0};
	session->body.complete = false;
	session->body.received = 0;
	session->head_timing = session->counted = false;
	session->kept = 0;
	session->began_us = http_server_clock();
	session->sent_us = session->answered_us = 0;
	session->requests++;
	session->connection.input_limit = options->max_head + 1;
	if (session->connection.input_limit < CONNECTION_BUFFER)
		session->connection.input_limit = CONNECTION_BUFFER;
}

static struct http_strict_span span_of(
        const struct http_session *session, const char *name, size_t length)
{
	const struct http_request_field *field =
	        http_request_find(&session->server->request, name, length);
	const char *base = connection_input(&session->connection);

	if (!field)
		return (struct http_strict_span){0};
	return (struct http_strict_span){(uint32_t)(field->value - base), field->value_length};
}

static void begin_request(struct http_session *session)
{
	struct http_server *server = session->server;
	char *data = connection_input(&session->connection);
	int status;

	session->kept = session->head.length;
	session->is_log_due = true;
	session->request.keep_alive = session->head.keep_alive;
	session->request.minor = session->head.minor;
	session->request.head = session->head.method.length == 4 &&
	                        memcmp(data + session->head.method.offset, "HEAD", 4) == 0;
	http_strict_head_normalize(&session->head, data);
	status = http_request_read(&server->request, &session->head, &session->parser, data);
	if (status) {
		session->kept = 0;
		http_answer_error(session, status, server->request.reason, true);
		return;
	}
	if (server->access_log) {
		session->referer = span_of(session, "referer", 7);
		session->user_agent = span_of(session, "user-agent", 10);
	}
	// An upgrade to anything else is ignored (RFC 9110, 7.8).
	if (session->local->status)
		status_answer(session);
	else if (server->websocket && websocket_handshake_wanted(&server->request, &session->head))
		websocket_upgrade_begin(session);
	else
		http_body_begin(session);
}

// Whether the connection wasn't upgraded: else the session is no more.
static bool is_http(const struct connection *connection)
{
	return connection->protocol == &protocol;
}

// Returns whether a head was complete, and there may be more to do.
static bool read_head(struct http_session *session)
{
	struct connection *connection = &session->connection;
	size_t length = connection_input_length(connection);
	int result;

	if (length == 0) {
		await_request(session);
		return false;
	}
	if (!session->began_us)
		prepare(session);
	result = http_strict_head_feed(&session->head, connection_input(connection), length);
	if (result == HTTP_STRICT_MORE) {
		await_head(session);
		return false;
	}
	if (result != HTTP_STRICT_COMPLETE) {
		http_answer_error(session, result, session->head.reason, true);
		return false;
	}
	begin_request(session);
	return is_http(connection);
}

void http_session_advance(struct http_session *session)
{
	bool again = true;

	while (again && !session->connection.closed) {
		switch (session->step) {
		case HTTP_SESSION_HEAD:
			again = read_head(session);
			break;
		case HTTP_SESSION_BODY:
			again = http_body_read(session);
			break;
		default:
			again = false;
		}
	}
}

static void on_message(struct connection *connection, struct forebay_message *message)
{
	struct http_session *session = http_session_of(connection);

	if (session->upgrade)
		websocket_upgrade_reply(session, message);
	else
		http_answer_message(session, message);
	if (is_http(connection))
		http_session_advance(session);
}

// ---------------------------------------------------------------------------------------------
// Metrics
// ---------------------------------------------------------------------------------------------

// Who asks for the status isn't a client of the server that it is about.
static void count_session(struct http_session *session, int number)
{
	struct http_server *server = session->server;

	if (session->local->status) {
		server->status_sessions += (unsigned)number;
		return;
	}
	if (number > 0)
		metrics_count(server->metrics, METRICS_CONNECTIONS);
	metrics_add(server->metrics, METRICS_HTTP_CONNECTIONS, number);
}

void http_session_count(struct http_session *session, int64_t end)
{
	struct metrics *metrics = session->server->metrics;

	session->counted = true;
	if (session->local->status)
		return;
	metrics_add(metrics, METRICS_HTTP_REQUEST_BYTES,
	        (double)(session->head.length + session->body.received));
	if (end)
		metrics_count_response(metrics, session->response.status, end - session->began_us);
	else
		metrics_count(metrics, METRICS_HTTP_ABORTED);
}

// ---------------------------------------------------------------------------------------------
// The access log
// ---------------------------------------------------------------------------------------------

static struct access_log_view view(const struct http_session *session, struct http_strict_span span)
{
	if (span.length == 0)
		return (struct access_log_view){0};
	return (struct access_log_view){
	        connection_input(&session->connection) + span.offset, span.length};
}

static struct access_log_view text_view(const char *text)
{
	return (struct access_log_view){text, strlen(text)};
}

static void write_log(const struct http_session *session)
{
	struct access_log_entry entry = {
	        .remote = text_view(*session->remote_address ? session->remote_address : "unix:"),
	        .status = session->response.status,
	        .bytes = session->response.sent,
	        .request_us = http_server_clock() - session->began_us,
	        .consumer_us = session->answered_us && session->sent_us
	                               ? session->answered_us - session->sent_us
	                               : -1,
	        .connection = session->number,
	        .request = session->requests,
	};

	if (session->kept > 0) {
		entry.method = view(session, session->head.method);
		entry.target = view(session, session->head.target);
		entry.protocol = text_view(session->head.minor > 0 ? "HTTP/1.1" : "HTTP/1.0");
		entry.referer = view(session, session->referer);
		entry.user_agent = view(session, session->user_agent);
	}
	access_log_write(&entry);
}

void http_session_log(struct http_session *session)
{
	if (session->is_log_due && session->server->access_log)
		write_log(session);
	session->is_log_due = false;
	session->began_us = 0;
}

// ---------------------------------------------------------------------------------------------
// The connection
// ---------------------------------------------------------------------------------------------

static void on_data(struct connection *connection)
{
	http_session_advance(http_session_of(connection));
}

// The client has ended its side. It may still be reading: what it has sent is dealt with.
static void on_eof(struct connection *connection)
{
	struct http_session *session = http_session_of(connection);

	if (session->step == HTTP_SESSION_ANSWER)
		arm_for_answer(session);
	else
		http_session_advance(session);
}

static void on_drained(struct connection *connection)
{
	struct http_session *session = http_session_of(connection);

	// Only now has the consumer room for certain.
	if (session->step == HTTP_SESSION_ANSWER)
		arm_for_answer(session);
	else if (session->step == HTTP_SESSION_BODY && session->body.blocked)
		http_session_arm(session, session->server->options->response_timeout);
	http_answer_drained(session);
	http_session_advance(session);
}

void http_session_detach(struct http_session *session)
{
	http_session_await(session, false);
	count_session(session, -1);
	timer_fini(&session->timer);
	*session->link = session->next;
	if (session->next)
		session->next->link = session->link;
}

static void on_closed(struct connection *connection)
{
	struct http_session *session = http_session_of(connection);

	http_session_forget(session, true);
	if (session->is_log_due && !session->counted)
		http_session_count(session, 0);
	http_session_log(session);
	http_session_detach(session);
	session->step = HTTP_SESSION_OVER;
}

static const struct connection_protocol protocol = {
        .on_data = on_data,
        .on_eof = on_eof,
        .on_drained = on_drained,
        .on_message = on_message,
        .on_closed = on_closed,
};

static void note_address(struct http_session *session, const struct sockaddr *address)
{
	const void *octets;
	uint16_t port;

	if (address->sa_family == AF_INET) {
		octets = &((const struct sockaddr_in *)address)->sin_addr;
		port = ((const struct sockaddr_in *)address)->sin_port;
	} else if (address->sa_family == AF_INET6) {
		octets = &((const struct sockaddr_in6 *)address)->sin6_addr;
		port = ((const struct sockaddr_in6 *)address)->sin6_port;
	} else {
		return;
	}
	inet_ntop(address->sa_family, octets, session->remote_address,
	        sizeof(session->remote_address));
	snprintf(session->remote_port, sizeof(session->remote_port), "%hu", ntohs(port));
}

int http_session_open(struct http_server *server, int fd, const struct sockaddr *address,
        const struct http_session_local *local)
{
	struct connection *connection = connection_open(server->pool, fd, &protocol);
	struct http_session *session;

	if (!connection)
		return -ENOMEM;
	session = http_session_of(connection);
	memset((char *)session + sizeof(*connection), 0, sizeof(*session) - sizeof(*connection));
	session->server = server;
	session->local = local;
	session->number = ++server->connections;
	count_session(session, 1);
	session->next = server->sessions;
	session->link = &server->sessions;
	if (session->next)
		session->next->link = &session->next;
	server->sessions = session;
	timer_init(&session->timer, on_timer);
	note_address(session, address);
	await_request(session);
	if (local->tls &&
	        connection_secure(connection, local->tls, server->options->head_timeout) < 0) {
		log_limited(LOG_LEVEL_ERROR, "no memory for TLS");
		connection_close(connection);
	}
	return 0;
}
