// SPDX-License-Identifier: MIT
// http_body.c - bodies of requests; see http_body.h.
#include "server/http_body.h"

#include <string.h>
#include <strings.h>

#include "channel/utf8.h"
#include "server/http_answer.h"

// A client has this long (in microseconds) before its average rate is looked at.
#define RATE_GRACE 10000000

// ---------------------------------------------------------------------------------------------
// Decoding, in place
// ---------------------------------------------------------------------------------------------

static char *body_start(const struct http_session *session)
{
	return connection_input(&session->connection) + session->head.length;
}

static int on_body(http_parser *parser, const char *data, size_t length)
{
	struct http_session *session = parser->data;
	char *to = body_start(session) + session->body.held;

	// Chunk lines lie between; http-parser is past DATA, so what is behind it can be written to.
	if (to != data)
		memmove(to, data, length);
	session->body.held += (uint32_t)length;
	session->body.received += length;
	return 0;
}

static int on_message_complete(http_parser *parser)
{
	struct http_session *session = parser->data;

	session->body.parsed = true;
	return 0;
}

static const http_parser_settings settings = {
        .on_body = on_body,
        .on_message_complete = on_message_complete,
};

static const char *parse(struct http_session *session, const char *data, size_t length)
{
	if (length == 0)
		return NULL;
	if (http_parser_execute(&session->parser, &settings, data, length) != length ||
	        HTTP_PARSER_ERRNO(&session->parser) != HPE_OK)
		return "body not understood by http-parser";
	return NULL;
}

static int decode_plain(
        struct http_session *session, const char *data, size_t length, const char **reason)
{
	struct http_session_body *body = &session->body;
	uint64_t left = body->length - body->received;

	if (length > left)
		length = (size_t)left;
	*reason = parse(session, data, length);
	body->complete = body->received == body->length;
	return *reason ? 400 : 0;
}

static int decode_chunked(
        struct http_session *session, const char *data, size_t length, const char **reason)
{
	struct http_session_body *body = &session->body;
	size_t dropped, approved, at = 0, held = body->held;
	int result;

	do {
		result = http_strict_chunked_feed(
		        &body->check, data + at, length - at, &dropped, &approved);
		if (result >= 400) {
			*reason = body->check.reason;
			return result;
		}
		*reason = parse(session, data + at + dropped, approved);
		if (*reason)
			return 400;
		at += dropped + approved;
	} while (result == HTTP_STRICT_MORE && at < length);
	body->complete = result == HTTP_STRICT_COMPLETE;
	// Close the gap that the chunk lines left behind the data.
	connection_cut(
	        &session->connection, session->head.length + body->held, at - (body->held - held));
	return 0;
}

// Decodes what has arrived. Returns 0, or a status and *REASON.
static int decode(struct http_session *session, const char **reason)
{
	struct http_session_body *body = &session->body;
	const char *data = body_start(session) + body->held;
	size_t length =
	        connection_input_length(&session->connection) - session->head.length - body->held;
	int status;

	if (length == 0 || body->complete)
		return 0;
	status = body->chunked ? decode_chunked(session, data, length, reason)
	                       : decode_plain(session, data, length, reason);
	if (status)
		return status;
	*reason = "http-parser sees another end of the body";
	return body->complete == body->parsed ? 0 : 400;
}

// ---------------------------------------------------------------------------------------------
// Streaming
// ---------------------------------------------------------------------------------------------

static int feed_upload(struct http_session *session)
{
	struct http_session_body *body = &session->body;
	struct http_upload *upload = session->transfer->upload;
	int status;

	if (!upload)
		return 0;
	status = http_upload_feed(upload, body_start(session) + body->fed, body->held - body->fed);
	body->fed = body->held;
	if (!status && body->complete && !body->finished) {
		body->finished = true;
		status = http_upload_finish(upload);
	}
	return status;
}

static int send_piece(struct http_session *session)
{
	struct http_session_body *body = &session->body;
	uint32_t length = body->held;
	int result;

	if (length > HTTP_TRANSFER_PIECE)
		length = HTTP_TRANSFER_PIECE;
	result = http_transfer_send(session->transfer, body_start(session), length,
	        body->complete && length == body->held);
	if (result)
		return result;
	connection_cut(&session->connection, session->head.length, length);
	body->held -= length;
	body->fed = body->held;
	return 0;
}

// Sends what has been decoded. Returns 0, also if the channel has no room (body->blocked), or a status
// and *REASON.
static int stream(struct http_session *session, const char **reason)
{
	struct http_session_body *body = &session->body;
	int result = feed_upload(session);

	if (result) {
		*reason = session->transfer->upload->reason;
		return result;
	}
	body->began += http_transfer_unblock(session->transfer);
	while (body->held > 0 || (body->complete && !session->transfer->complete)) {
		result = send_piece(session);
		if (result)
			break;
		body->blocked = false;
	}
	if (result == FOREBAY_FULL) {
		// The consumer's time, not the client's; it runs since the first refusal.
		if (!body->blocked)
			http_session_arm(session, session->server->options->response_timeout);
		body->blocked = true;
		return 0;
	}
	*reason = forebay_strerror(result);
	return result == FOREBAY_TOO_LARGE ? 413 : result ? 500 : 0;
}

// Sends the request with a body channel; the body will follow.
static void start_stream(struct http_session *session, bool fresh)
{
	struct connection *connection = &session->connection;
	struct http_server *server = session->server;
	struct http_request_body body = {.charset = session->body.charset};
	bool multipart = session->body.kind == HTTP_SESSION_MULTIPART;
	const struct http_request_field *type;
	const char *reason;

	session->transfer = http_transfer_new(server, session, multipart, &reason);
	if (!session->transfer) {
		http_answer_error(session, 503, reason, true);
		return;
	}
	body.channel = session->transfer->channel;
	if (!http_session_dispatch(session, &body, fresh))
		return;
	type = http_request_find(&server->request, "content-type", 12);
	if (multipart &&
	        http_upload_begin(session->transfer->upload, type->value, type->value_length,
	                session->body.charset, (uint32_t)server->options->max_parts)) {
		http_answer_error(session, 400, session->transfer->upload->reason, true);
		return;
	}
	if (connection_reserve(connection, HTTP_TRANSFER_PIECE) < 0) {
		http_answer_error(session, 503, "out of memory", true);
		return;
	}
	connection->input_limit = connection->input_size;
}

// ---------------------------------------------------------------------------------------------
// Collecting
// ---------------------------------------------------------------------------------------------

// Whether a raw body of this media type is text: then it is sent as such if it is UTF-8.
static bool is_text(const struct http_request_field *type)
{
	static const char *const prefixes[] = {"text/", "application/json"};
	enum http_form_charset charset;

	if (!type)
		return false;
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		size_t length = strlen(prefixes[i]);

		if (type->value_length >= length &&
		        strncasecmp(type->value, prefixes[i], length) == 0)
			return true;
	}
	http_form_content_type(type->value, type->value_length, &charset);
	return charset == HTTP_FORM_UTF_8 &&
	       memmem(type->value, type->value_length, "charset", 7) != NULL;
}

static void set_raw(struct http_session *session, const struct http_request_field *type,
        struct http_request_body *body)
{
	body->content = body_start(session);
	body->content_length = session->body.held;
	body->content_kind = FOREBAY_BINARY;
	if (is_text(type) && channel_utf8_valid(body->content, body->content_length))
		body->content_kind = FOREBAY_TEXT;
}

// Parses a multipart form that is all there. Returns 0, or a status and upload->reason.
static int parse_upload(struct http_session *session, const struct http_request_field *type,
        struct http_request_body *body)
{
	struct http_server *server = session->server;
	struct http_upload *upload = &server->upload;
	int status = http_upload_begin(upload, type->value, type->value_length,
	        session->body.charset, (uint32_t)server->options->max_parts);

	if (!status)
		status = http_upload_feed(upload, body_start(session), session->body.held);
	if (!status)
		status = http_upload_finish(upload);
	if (status)
		return status;
	body->upload = upload;
	if (http_upload_has_files(upload)) {
		body->content = body_start(session);
		body->content_length = session->body.held;
		body->content_kind = FOREBAY_BINARY;
	}
	return 0;
}

// The body is all there: sends the request.
static void send_collected(struct http_session *session)
{
	struct http_server *server = session->server;
	struct http_request_body body = {.charset = session->body.charset};
	const struct http_request_field *type;
	http_parser parser;
	int status = http_request_read(
	        &server->request, &session->head, &parser, connection_input(&session->connection));

	if (status) {
		http_answer_error(session, status, server->request.reason, true);
		return;
	}
	type = http_request_find(&server->request, "content-type", 12);
	switch (session->body.kind) {
	case HTTP_SESSION_RAW:
		set_raw(session, type, &body);
		break;
	case HTTP_SESSION_FORM:
		body.form = body_start(session);
		body.form_length = session->body.held;
		break;
	case HTTP_SESSION_MULTIPART:
		status = parse_upload(session, type, &body);
		break;
	}
	session->step = HTTP_SESSION_ANSWER;
	if (status)
		http_answer_error(session, status, server->upload.reason, false);
	else if (http_session_dispatch(session, &body, true))
		http_session_await_response(session);
}

// ---------------------------------------------------------------------------------------------
// Steps
// ---------------------------------------------------------------------------------------------

static bool is_post(const struct http_session *session)
{
	const char *method = connection_input(&session->connection) + session->head.method.offset;

	return session->head.method.length == 4 && memcmp(method, "POST", 4) == 0;
}

static void classify(struct http_session *session)
{
	const struct http_request_field *type =
	        http_request_find(&session->server->request, "content-type", 12);
	enum http_form_kind kind = HTTP_FORM_NONE;

	session->body.charset = HTTP_FORM_UTF_8;
	if (type)
		kind = http_form_content_type(
		        type->value, type->value_length, &session->body.charset);
	if (!is_post(session) || kind == HTTP_FORM_NONE)
		session->body.kind = HTTP_SESSION_RAW;
	else
		session->body.kind =
		        kind == HTTP_FORM_MULTIPART ? HTTP_SESSION_MULTIPART : HTTP_SESSION_FORM;
}

static bool is_over_limit(const struct http_session *session, uint64_t length)
{
	const struct options *options = session->server->options;

	return (options->max_body && length > options->max_body) ||
	       (session->body.kind == HTTP_SESSION_FORM && length > options->max_form);
}

void http_body_begin(struct http_session *session)
{
	const struct options *options = session->server->options;
	struct connection *connection = &session->connection;
	struct http_session_body *body = &session->body;
	bool has_body = session->head.chunked || session->head.content_length > 0;

	*body = (struct http_session_body){.chunked = session->head.chunked};
	classify(session);
	if (!has_body) {
		struct http_request_body none = {.charset = body->charset};

		body->complete = true;
		session->step = HTTP_SESSION_ANSWER;
		if (http_session_dispatch(session, &none, true))
			http_session_await_response(session);
		return;
	}
	session->step = HTTP_SESSION_BODY;
	session->parser.data = session;
	body->began = http_server_clock();
	body->length = body->chunked ? 0 : (uint64_t)session->head.content_length;
	body->limit = body->kind == HTTP_SESSION_FORM ? options->max_form : options->body_inline;
	if (body->chunked)
		http_strict_chunked_init(&body->check);
	if (is_over_limit(session, body->length)) {
		http_answer_error(session, 413, "body too large", true);
		return;
	}
	// Room for what is collected, and for what one read adds to it before it is decoded.
	connection->input_limit = session->head.length + body->limit + CONNECTION_BUFFER;
	if (body->length > body->limit)
		start_stream(session, true);
	if (session->step == HTTP_SESSION_BODY && session->head.expect_continue &&
	        connection_input_length(connection) == session->head.length)
		http_answer_continue(session);
}

static bool is_too_slow(const struct http_session *session)
{
	uint64_t rate = session->server->options->body_min_rate;
	int64_t elapsed = http_server_clock() - session->body.began;

	return rate && elapsed > RATE_GRACE &&
	       session->body.received < rate * (uint64_t)(elapsed / 1000000);
}

static void await_body(struct http_session *session)
{
	struct connection *connection = &session->connection;

	if (connection->eof) {
		connection_close(connection);
	} else if (is_too_slow(session)) {
		http_answer_error(session, 408, "body slower than the least rate", true);
	} else {
		http_session_arm(session, session->server->options->body_timeout);
		connection_want_read(connection, true);
	}
}

bool http_body_read(struct http_session *session)
{
	struct http_session_body *body = &session->body;
	const char *reason = NULL;
	int status = decode(session, &reason);

	if (!status && is_over_limit(session, body->received)) {
		status = 413;
		reason = "body too large";
	}
	if (!status && session->transfer)
		status = stream(session, &reason);
	if (status) {
		http_answer_error(session, status, reason, true);
		return false;
	}
	if (body->blocked)
		return false;
	if (!session->transfer && body->received > body->limit) {
		start_stream(session, false);
		return session->step == HTTP_SESSION_BODY;
	}
	if (!body->complete) {
		await_body(session);
		return false;
	}
	if (session->transfer)
		http_session_await_response(session);
	else
		send_collected(session);
	return true;
}

void http_body_expire(struct http_session *session)
{
	if (session->body.blocked)
		http_answer_error(session, session->server->options->timeout_status,
		        "consumer doesn't take the body", true);
	else
		http_answer_error(session, 408, "body timed out", true);
}
