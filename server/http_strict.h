// SPDX-License-Identifier: MIT
// http_strict.h - the strict HTTP/1.x grammar that every octet passes before http-parser sees it.
//
// The parser of Debian accepts much that invites request smuggling. This check accepts only what
// RFC 9110 and 9112 call valid, decides the framing of the message by itself, and answers the rest
// with a status after which the connection must be closed. Both objects are pure, allocate nothing
// and can be fed in pieces of any size: the result does not depend on how the input was cut.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What the feed functions return besides an HTTP status (400 and up), which means: answer with this
// status, close, and parse nothing behind it.
enum http_strict_result {
	HTTP_STRICT_MORE = 0,     // all is well so far
	HTTP_STRICT_COMPLETE = 1, // the head (the chunked body) has ended
};

// ---------------------------------------------------------------------------------------------
// Head: request line and header fields
// ---------------------------------------------------------------------------------------------

// Part of the head, as an offset from its first octet (so that the buffer may move).
struct http_strict_span {
	uint32_t offset;
	uint32_t length;
};

struct http_strict_limits {
	uint32_t target;  // octets of the request target; longer: 414
	uint32_t head;    // octets of the whole head; longer: 431
	uint32_t headers; // header fields; more: 431
};

#define HTTP_STRICT_LIMITS                                                                         \
	((struct http_strict_limits){.target = 8000, .head = 32768, .headers = 100})

enum http_strict_target {
	HTTP_STRICT_ORIGIN,   // "/path?query"
	HTTP_STRICT_ABSOLUTE, // "http://host/path?query", also https
	HTTP_STRICT_ASTERISK, // "*", OPTIONS only
	                      // (authority-form belongs to CONNECT, which is answered 501)
};

struct http_strict_head {
	struct http_strict_limits limits;

	// Valid once feed has returned HTTP_STRICT_COMPLETE.
	uint32_t start;  // offset of the request line (empty lines before it are skipped)
	uint32_t length; // offset of the first octet behind the head
	struct http_strict_span method;
	struct http_strict_span target;
	struct http_strict_span
	        path; // in the target; empty if an absolute target has none: then "/"
	struct http_strict_span query; // without its '?'; empty also if there is none
	struct http_strict_span
	        host; // "host[:port]": the target's if absolute, else the field Host's;
	              // length 0: none (HTTP/1.0 only)
	enum http_strict_target form;
	int minor;              // 0 or 1: HTTP/1.0, or HTTP/1.1 and later 1.x
	uint32_t headers;       // number of header fields
	int64_t content_length; // -1: no such field
	bool chunked;           // the body is chunked; content_length is then -1
	bool keep_alive;        // the connection may be used again after this request
	bool close;             // the client said "Connection: close"
	bool expect_continue;   // a 100 (Continue) is awaited before the body; never on HTTP/1.0
	bool upgrade_websocket; // "Upgrade: websocket" and "Connection: upgrade" on HTTP/1.1, no body

	// Valid once feed has returned a status: why, in a few words for the log. Static.
	const char *reason;

	// Private to http_strict.c.
	int result;                     // sticky: what feed answered at last
	int state;                      // where in the grammar `scanned` stands
	uint32_t scanned;               // octets examined
	uint32_t mark;                  // first octet of the token, target, name or value in hand
	int field;                      // which known field the value in hand belongs to
	uint32_t seen;                  // set of known fields seen
	struct http_strict_span ows;    // white space behind the value of the framing field
	struct http_strict_span header; // value of the field Host
	uint8_t position; // in a fixed text ("HTTP/", "http://"), or empty lines skipped
	uint8_t major;
	bool upgrade_token; // "upgrade" in Connection
	bool websocket;     // "websocket" in Upgrade
	bool persist;       // "keep-alive" in Connection
	bool bad_expect;    // an expectation other than 100-continue
	bool expect_100;    // 100-continue
	bool https;         // scheme of an absolute target
};

// Starts (or restarts, for the next request of a connection) with the given limits. Limits above
// 2^30 are taken as 2^30.
void http_strict_head_init(struct http_strict_head *head, const struct http_strict_limits *limits);

// Examines the head that starts at DATA[0]; LENGTH octets of it have arrived, among them all that
// earlier calls saw (the buffer may have moved, its contents must not have changed). Octets behind
// the head are not looked at. Each octet is examined once over all calls.
// Returns HTTP_STRICT_MORE, HTTP_STRICT_COMPLETE, or a status: 400, 414, 417, 431, 501, 505. The
// answer comes with the first octet that decides it.
int http_strict_head_feed(struct http_strict_head *head, const char *data, size_t length);

// Prepares a complete head for http-parser, in place: TABs behind the value of Content-Length or
// Transfer-Encoding, which are legal white space that http-parser stumbles over, become spaces.
void http_strict_head_normalize(const struct http_strict_head *head, char *data);

// ---------------------------------------------------------------------------------------------
// Chunked body
// ---------------------------------------------------------------------------------------------

// Octets that are not data are capped, over the whole body: extensions and trailers by these, and
// everything together by this much plus as many as there are octets of data (else a stream of
// one-octet chunks would cost six times what it delivers).
#define HTTP_STRICT_EXTENSIONS_MAX 16384
#define HTTP_STRICT_TRAILERS_MAX   8192
#define HTTP_STRICT_OVERHEAD_MAX   65536

struct http_strict_chunked {
	const char *reason; // once feed has returned a status: why. Static.
	uint64_t data;      // octets of chunk data that have arrived

	// Private to http_strict_chunked.c.
	int result;
	int state;
	uint64_t size;       // of the chunk in hand; then, octets of it that are still to come
	uint32_t digits;     // of the chunk size in hand
	uint32_t extensions; // octets of extensions so far
	uint32_t trailers;   // octets of trailers so far
	uint64_t overhead;   // octets that were not data so far
};

void http_strict_chunked_init(struct http_strict_chunked *chunked);

// Examines the next LENGTH octets of a chunked body. The first *DROPPED of them must be thrown
// away (trailer fields: they are never merged, http-parser doesn't see them), the *APPROVED ones
// behind those may be passed to http-parser; those behind them, if any, have not been examined:
//
//	do {
//		result = http_strict_chunked_feed(&chunked, data, length, &dropped, &approved);
//		data += dropped, length -= dropped;
//		if (approved > 0) // 0 octets would mean the end of the stream
//			http_parser_execute(parser, settings, data, approved);
//		data += approved, length -= approved;
//	} while (result == HTTP_STRICT_MORE && length > 0);
//
// Returns HTTP_STRICT_MORE, HTTP_STRICT_COMPLETE (what is left belongs to the next request), or a
// status: 400, 413, 431. *DROPPED and *APPROVED are set in every case; with a status, the approved
// octets may still be passed on or not.
int http_strict_chunked_feed(struct http_strict_chunked *chunked, const char *data, size_t length,
        size_t *dropped, size_t *approved);
