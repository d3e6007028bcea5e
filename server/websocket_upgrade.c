// SPDX-License-Identifier: MIT
// websocket_upgrade.c - requests for WebSockets; see websocket_upgrade.h.
#include "server/websocket_upgrade.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/http_answer.h"
#include "server/log.h"
#include "server/websocket_farewell.h"
#include "server/websocket_handshake.h"
#include "server/websocket_message.h"
#include "server/websocket_session.h"

// The one is made in the memory of the other.
_Static_assert(sizeof(struct websocket_session) <= sizeof(struct http_session),
        "a WebSocket needs more than an HTTP session");

// What is kept while a verdict is awaited.
struct websocket_upgrade {
	char key[WEBSOCKET_KEY_SIZE];
	char *receive_channel; // where the consumer wants messages; NULL: as usual
	int deflate;           // window bits, or 0
	bool answering;        // with an ordinary HTTP response
	char extensions[WEBSOCKET_DEFLATE_ANSWER]; // header field line, if deflate
	char offered[];                            // subprotocols: "a, b", NUL-terminated
};

static void refuse(struct http_session *session, int status, const char *reason)
{
	http_answer_error(session, status, reason, true);
}

// ---------------------------------------------------------------------------------------------
// Accepting
// ---------------------------------------------------------------------------------------------

// The session's memory becomes that of the WebSocket. What follows the head is dealt with as frames, and then
// SHARED, what the consumer said with its verdict; NULL: there was none. While the worker drains it ends
// at once, as do those that came a moment earlier: clients are ready to come again then.
static void accept_it(struct http_session *session, struct websocket_session_setup setup,
        struct forebay_message *shared)
{
	struct websocket_server *server = session->server->websocket;
	struct connection *connection = &session->connection;

	memcpy(setup.reply_channel, session->reply_channel, sizeof(setup.reply_channel));
	memcpy(setup.remote_address, session->remote_address, sizeof(setup.remote_address));
	session->response.status = 101;
	http_session_count(session, http_server_clock());
	http_session_log(session);
	connection_consume(connection, session->kept);
	http_session_detach(session);
	websocket_session_start(server, connection, &setup);
	if (connection->closed)
		forebay_message_free(shared);
	else if (shared)
		connection->protocol->on_message(connection, shared);
	if (server->draining)
		websocket_session_close(
		        (struct websocket_session *)connection, WEBSOCKET_GOING_AWAY, "");
}

// Makes and sends websocket.connect. Returns 0, or a status and *REASON.
static int send_connect(struct http_session *session, const char **reason)
{
	struct websocket_server *server = session->server->websocket;
	int result = http_session_open_reply(session, "websocket.send");

	if (!result) {
		forebay_message_reset(server->message);
		result = http_session_fill(session, NULL, server->message);
		forebay_put_integer(server->message, "order", 0);
		*reason = session->server->request.reason;
		if (result)
			return result;
		result = websocket_farewell_owe(server, session->reply_channel);
	}
	*reason = forebay_strerror(result);
	return result ? http_session_send_status(result) : 0;
}

static struct websocket_upgrade *new_upgrade(const struct http_request *request, const char *key)
{
	const struct http_request_field *first =
	        http_request_find(request, "sec-websocket-protocol", 22);
	struct websocket_upgrade *upgrade;
	size_t length = 1;
	char *end;

	for (const struct http_request_field *field = first; field;
	        field = field->same ? &request->fields[field->same - 1] : NULL)
		length += field->value_length + 1;
	upgrade = calloc(1, sizeof(*upgrade) + length);
	if (!upgrade)
		return NULL;
	memcpy(upgrade->key, key, sizeof(upgrade->key));
	end = upgrade->offered;
	for (const struct http_request_field *field = first; field;
	        field = field->same ? &request->fields[field->same - 1] : NULL) {
		end = mempcpy(end, field->value, field->value_length);
		*end++ = ',';
	}
	return upgrade;
}

void websocket_upgrade_begin(struct http_session *session)
{
	const struct options *options = session->server->options;
	struct websocket_handshake handshake;
	bool wait = options->websocket_accept == 1;
	char extensions[WEBSOCKET_DEFLATE_ANSWER] = "";
	const char *reason;
	int deflate = 0;
	int status = websocket_handshake_judge(&handshake, &session->server->request,
	        &session->head, connection_input(&session->connection), &options->websocket_origin);

	if (status) {
		refuse(session, status, handshake.reason);
		return;
	}
	session->body = (struct http_session_body){.complete = true};
	session->step = HTTP_SESSION_ANSWER;
	if (session->server->ending) {
		refuse(session, 503, "WebSocket while shutting down");
		return;
	}
	if (options->websocket_deflate)
		deflate = websocket_deflate_negotiate(&session->server->request, extensions);
	if (wait) {
		session->upgrade = new_upgrade(&session->server->request, handshake.key);
		if (!session->upgrade) {
			refuse(session, 503, "out of memory");
			return;
		}
		session->upgrade->deflate = deflate;
		strcpy(session->upgrade->extensions, extensions);
	}
	status = send_connect(session, &reason);
	if (status) {
		free(session->upgrade);
		session->upgrade = NULL;
		http_session_forget(session, false);
		refuse(session, status, reason);
		return;
	}
	if (wait)
		http_session_await_response(session);
	else
		accept_it(session,
		        (struct websocket_session_setup){.key = handshake.key,
		                .headers = extensions,
		                .headers_length = strlen(extensions),
		                .deflate = deflate},
		        NULL);
}

// ---------------------------------------------------------------------------------------------
// The verdict
// ---------------------------------------------------------------------------------------------

static bool offers(const char *offered, const struct forebay_value *name)
{
	while (*offered) {
		size_t length = strcspn(offered, ","), end = length, begin = strspn(offered, " \t");

		while (end > begin && strchr(" \t", offered[end - 1]))
			end--;
		if (end > begin && end - begin == name->length &&
		        memcmp(offered + begin, name->string, name->length) == 0)
			return true;
		offered += length + 1;
	}
	return false;
}

// Writes the header fields that the consumer wants in the answer. Returns their length, or -1 and *WRONG.
static int make_headers(const struct websocket_upgrade *upgrade,
        const struct websocket_message *message, char *out, size_t size, const char **wrong)
{
	int length = (int)strlen(upgrade->extensions), added;

	memcpy(out, upgrade->extensions, (size_t)length);
	if (message->headers) {
		added = http_response_fields(
		        message->headers, out + length, size - (size_t)length, wrong);
		if (added < 0)
			return -1;
		length += added;
	}
	if (!message->subprotocol)
		return length;
	*wrong = "subprotocol was not offered";
	if (!offers(upgrade->offered, message->subprotocol))
		return -1;
	*wrong = "headers are too large";
	if (message->subprotocol->length + 32 > size - (size_t)length)
		return -1;
	return length + sprintf(out + length, "Sec-WebSocket-Protocol: %.*s\r\n",
	                        (int)message->subprotocol->length, message->subprotocol->string);
}

static void refuse_malformed(
        struct http_session *session, struct forebay_message *shared, const char *wrong)
{
	log_limited(
	        LOG_LEVEL_WARNING, "malformed message on %s: %s", session->reply_channel, wrong);
	metrics_count(session->server->metrics, METRICS_HTTP_MALFORMED);
	forebay_message_free(shared);
	refuse(session, 500, NULL);
}

static void accept_as_told(struct http_session *session, struct websocket_message *message,
        struct forebay_message *shared)
{
	struct websocket_upgrade *upgrade = session->upgrade;
	char headers[LWS_LOOP_HEADERS_MAX];
	const char *wrong = NULL;
	int length = make_headers(upgrade, message, headers, sizeof(headers), &wrong);

	if (length < 0) {
		refuse_malformed(session, shared, wrong);
		return;
	}
	session->upgrade = NULL;
	accept_it(session,
	        (struct websocket_session_setup){.key = upgrade->key,
	                .headers = headers,
	                .headers_length = (size_t)length,
	                .deflate = upgrade->deflate,
	                .receive_channel = upgrade->receive_channel},
	        shared);
	free(upgrade);
}

void websocket_upgrade_reply(struct http_session *session, struct forebay_message *shared)
{
	struct websocket_message message;
	const char *wrong;

	if (session->upgrade->answering) {
		http_answer_message(session, shared);
		return;
	}
	wrong = websocket_message_read(shared, &message);
	if (!wrong)
		wrong = websocket_message_move(&message, &session->upgrade->receive_channel);
	if (wrong) {
		refuse_malformed(session, shared, wrong);
	} else if (message.status) {
		session->upgrade->answering = true;
		metrics_count(session->server->metrics, METRICS_WEBSOCKET_REFUSED);
		http_answer_message(session, shared);
	} else if (message.has_accept ? message.accept : message.has_content) {
		accept_as_told(session, &message, shared);
	} else if (message.has_accept || message.close) {
		forebay_message_free(shared);
		metrics_count(session->server->metrics, METRICS_WEBSOCKET_REFUSED);
		refuse(session, 403, "refused by the consumer");
	} else {
		// It only moves the channel, or says nothing: the verdict is still to come.
		forebay_message_free(shared);
	}
}

void websocket_upgrade_forget(struct http_session *session)
{
	static const struct websocket_close close = {.code = WEBSOCKET_ABNORMAL};

	if (session->waiting)
		websocket_farewell_send(session->server->websocket, session->reply_channel,
		        session->upgrade->receive_channel, 1, &close);
	free(session->upgrade->receive_channel);
	free(session->upgrade);
	session->upgrade = NULL;
	http_session_await(session, false);
}
