// SPDX-License-Identifier: MIT
// http_response.h - from the messages on a reply channel to the octets of an HTTP response.
//
// Framing is ours alone: what a consumer says about the connection is dropped, a Content-Length is
// taken for a streamed response only, and then kept to. Nothing a consumer sends can end a header
// field or forge another one: such a message is malformed as a whole, and nothing of it is sent.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include <time.h>

#include "channel/forebay.h"

#define HTTP_RESPONSE_HEAD_MAX 65536                     // octets of a response's head
#define HTTP_RESPONSE_PARTS    (FOREBAY_CONTENT_IOV + 2) // head, content, tail

// The date for the field Date, made once a second.
struct http_response_date {
	time_t second;
	char text[32];
};

// What a worker makes heads in; the parts of a response point there until the next one is made.
struct http_response_buffer {
	struct http_response_date date;
	char octets[HTTP_RESPONSE_HEAD_MAX];
};

// What the response depends on in its request.
struct http_response_request {
	bool head;       // the method is HEAD
	bool keep_alive; // the connection may stay open
	int minor;       // 0: HTTP/1.0
};

enum http_response_framing {
	HTTP_RESPONSE_NO_BODY, // HEAD, 204, 205, 304: content is accepted and not sent
	HTTP_RESPONSE_LENGTH,
	HTTP_RESPONSE_CHUNKED,
	HTTP_RESPONSE_UNTIL_CLOSE, // HTTP/1.0, length unknown
};

// One response, over all its messages. Zero it to start.
struct http_response {
	const char *reason; // why the last message was malformed. Static.
	uint64_t length;    // octets announced, with HTTP_RESPONSE_LENGTH
	uint64_t sent;      // octets of content that were put into parts
	int status;
	enum http_response_framing framing;
	bool started;    // the head was made
	bool more;       // further messages follow
	bool keep_alive; // the connection can be used again after this response
};

// Turns the next message of the response into at most HTTP_RESPONSE_PARTS parts: the first points
// to BUFFER, the others into MESSAGE or to static text. Returns how many; 0: there is nothing to send;
// -1: the message is malformed, response->reason says why, and the response is over.
int http_response_next(struct http_response *response, const struct http_response_request *request,
        struct forebay_message *message, struct http_response_buffer *buffer,
        struct iovec parts[HTTP_RESPONSE_PARTS]);

// Makes an answer of our own, with the reason phrase as its body. RETRY_AFTER is in seconds; -1: no
// such field. Returns the octets at buffer->octets.
size_t http_response_error(int status, const struct http_response_request *request, int retry_after,
        struct http_response_buffer *buffer);

// Makes the head of an answer of our own, with FIELDS (whole lines, which must fit) and LENGTH octets of content to
// follow. Returns the octets at buffer->octets.
size_t http_response_own(int status, const struct http_response_request *request,
        const char *fields, size_t length, struct http_response_buffer *buffer);

// Writes HEADERS (an object) as whole lines to OUT, without those that belong to the connection or the
// WebSocket handshake. Returns their length; or -1 and *REASON (static): malformed, or longer than SIZE.
int http_response_fields(
        const struct forebay_value *headers, char *out, size_t size, const char **reason);

// The reason phrase of STATUS, "" if there is none.
const char *http_response_reason(int status);
