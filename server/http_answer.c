// SPDX-License-Identifier: MIT
// http_answer.c - responses on their way out; see http_answer.h.
#include "server/http_answer.h"

#include "server/log.h"

// The response is complete and written: on to the next request, or the end.
static void end_request(struct http_session *session)
{
	struct connection *connection = &session->connection;
	bool unread = session->step == HTTP_SESSION_BODY || !session->body.complete;

	http_session_log(session);
	connection_consume(connection, session->kept + session->body.held);
	session->kept = session->body.held = 0;
	if (!session->response.keep_alive) {
		session->step = HTTP_SESSION_OVER;
		connection_finish(connection, unread || connection_input_length(connection) > 0);
		return;
	}
	session->step = HTTP_SESSION_HEAD;
}

// The last octet of the response was given to the connection; its reply channel has ended before.
static void complete(struct http_session *session)
{
	timer_stop(&session->timer);
	if (session->step == HTTP_SESSION_BODY || !session->body.complete)
		session->response.keep_alive = false;
	if (connection_backlogged(&session->connection))
		http_session_await_flush(session);
	else
		end_request(session);
}

void http_answer_drained(struct http_session *session)
{
	if (session->step == HTTP_SESSION_FLUSH)
		end_request(session);
}

static void refuse_message(struct http_session *session, struct forebay_message *message)
{
	log_limited(LOG_LEVEL_WARNING, "malformed response on %s: %s", session->reply_channel,
	        session->response.reason);
	metrics_count(session->server->metrics, METRICS_HTTP_MALFORMED);
	forebay_message_free(message);
	http_session_forget(session, false);
	http_answer_error(session, 500, NULL, session->step == HTTP_SESSION_BODY);
}

void http_answer_message(struct http_session *session, struct forebay_message *message)
{
	struct http_response_request request = session->request;
	struct iovec parts[HTTP_RESPONSE_PARTS];
	uint64_t before = session->response.sent;
	bool first = !session->answered_us;
	int count;

	if (first)
		session->answered_us = http_server_clock();
	// A response that begins before the whole body has arrived may end before it, too.
	if (session->server->draining || session->step == HTTP_SESSION_BODY)
		request.keep_alive = false;
	count = http_response_next(
	        &session->response, &request, message, session->server->buffer, parts);
	if (count < 0) {
		refuse_message(session, message);
		return;
	}
	metrics_add(session->server->metrics, METRICS_HTTP_RESPONSE_BYTES,
	        (double)(session->response.sent - before));
	if (!session->response.more) {
		http_session_count(session, first ? session->answered_us : http_server_clock());
		// Before the client can have the end: from then on nobody's message seems to arrive.
		http_session_forget(session, false);
	}
	if (count > 0)
		connection_write(&session->connection, parts, count, message);
	else
		forebay_message_free(message);
	if (session->connection.closed)
		return;
	if (!session->response.more)
		complete(session);
	else if (!session->connection.eof && !session->body.blocked)
		http_session_arm(session, session->server->options->response_timeout);
}

void http_answer_error(struct http_session *session, int status, const char *reason, bool close)
{
	struct http_server *server = session->server;
	struct iovec part;

	if (reason)
		log_limited(LOG_LEVEL_INFO, "%d to %s: %s", status,
		        *session->remote_address ? session->remote_address : "unix:", reason);
	http_session_forget(session, true);
	if (!session->local->status)
		metrics_count_refusal(server->metrics, status);
	if (session->response.started) {
		connection_close(&session->connection);
		return;
	}
	if (close || server->draining)
		session->request.keep_alive = false;
	session->response = (struct http_response){
	        .status = status, .keep_alive = session->request.keep_alive, .started = true};
	part.iov_base = server->buffer->octets;
	part.iov_len = http_response_error(status, &session->request,
	        status == 503 ? server->options->retry_after : -1, server->buffer);
	session->is_log_due = true;
	http_session_count(session, http_server_clock());
	connection_write(&session->connection, &part, 1, NULL);
	if (!session->connection.closed)
		complete(session);
}

void http_answer_own(struct http_session *session, int status, const char *fields,
        const char *content, size_t length)
{
	struct http_server *server = session->server;
	struct iovec parts[2] = {{.iov_base = server->buffer->octets},
	        {(char *)(uintptr_t)content, session->request.head ? 0 : length}};

	if (server->draining || !session->body.complete)
		session->request.keep_alive = false;
	session->response = (struct http_response){.status = status,
	        .keep_alive = session->request.keep_alive,
	        .started = true,
	        .sent = parts[1].iov_len};
	parts[0].iov_len =
	        http_response_own(status, &session->request, fields, length, server->buffer);
	session->answered_us = http_server_clock();
	http_session_count(session, session->answered_us);
	connection_write_copy(&session->connection, parts, 2);
	if (!session->connection.closed)
		complete(session);
}

void http_answer_continue(struct http_session *session)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct iovec part = {(void *)text, sizeof(text) - 1};

	connection_write(&session->connection, &part, 1, NULL);
}
