// SPDX-License-Identifier: MIT
// http_request.h - a request's head and body as an `http.request` message.
//
// The head has passed the strict grammar (http_strict.h). Here http-parser reads it, must come to the
// same conclusions, and yields the header fields; from them and the body the message is made, with
// the values that Django's own parsers give for the same octets.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <http_parser.h>

#include "channel/forebay.h"
#include "server/http_form.h"
#include "server/http_strict.h"
#include "server/http_upload.h"

#define HTTP_REQUEST_BUCKETS 64

// A header field, as views into the head; valid until the head moves or the next one is read.
struct http_request_field {
	const char *name, *value;
	uint32_t name_length, value_length;
	uint32_t hash;  // of the name in lower case
	uint32_t chain; // 1 + index of the next field in the same bucket; 0: none
	uint32_t same;  // 1 + index of the next field of the same name; 0: none
	bool repeated;  // an earlier field has the same name, and lists this one
};

// What reading a head and making a message need; one per worker. Nothing is allocated per request.
struct http_request {
	const char *reason; // once a function has returned a status: why. Static.

	struct http_request_field *fields;
	uint32_t count;

	// Private to http_request.c.
	uint32_t max_fields;
	uint32_t buckets[HTTP_REQUEST_BUCKETS];
	const char *target; // as http-parser saw it
	size_t target_length;
	struct http_form get, post, cookies;
	char *path;    // decoded
	char *scratch; // names and joined values of header fields
};

// Who asked, and whom.
struct http_request_peer {
	const char *remote_address; // "" for a unix socket
	const char *remote_port;    // decimal; "" for a unix socket, and then left out
	const char *server_name;    // NULL: what the client calls us
	const char *server_port;    // decimal
	bool secure;                // over TLS
};

// The body that goes with a request; all members zero if there is none.
struct http_request_body {
	const char *channel;              // name of the channel that it arrives on
	const char *form;                 // urlencoded text that becomes `post`
	size_t form_length;               //
	enum http_form_charset charset;   // of query and form
	const struct http_upload *upload; // a multipart form, complete
	const void *content;              // goes along as it is
	size_t content_length;            //
	unsigned content_kind;            // FOREBAY_TEXT or FOREBAY_BINARY; 0: no content
};

// Returns 0 or -ENOMEM. MAX_FIELDS as given to http_strict as its limit, MAX_HEAD and MAX_TARGET too.
int http_request_init(struct http_request *request, uint32_t max_fields, size_t max_head,
        size_t max_target, uint32_t max_form_fields, uint32_t max_form);
void http_request_fini(struct http_request *request);

// Reads a complete and normalized head at DATA with PARSER, which is started for it and is then ready
// for the body. Returns 0; or a status and request->reason: 501 for a method http-parser doesn't know,
// 400 if it disagrees with HEAD in anything.
int http_request_read(struct http_request *request, const struct http_strict_head *head,
        http_parser *parser, const char *data);

// The first field NAME (lower case), or NULL.
const struct http_request_field *http_request_find(
        const struct http_request *request, const char *name, size_t length);

// Fills the empty MESSAGE with the request that was read last, whose head is still at DATA. BODY NULL: it
// is a request for a WebSocket, whose message has no `method` and no `post`. Errors of putting stick to MESSAGE. Returns 0; or 400 or 413 (or 503, out of memory) and request->reason.
int http_request_fill(struct http_request *request, const struct http_strict_head *head,
        const char *data, const struct http_request_peer *peer,
        const struct http_request_body *body, const char *reply_channel,
        struct forebay_message *message);

// Puts a form as {key: [value, ...]}.
void http_request_put_form(
        struct forebay_message *message, const char *key, const struct http_form *form);
