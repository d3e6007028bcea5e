// SPDX-License-Identifier: MIT
// http_session.h - the state of HTTP on one connection: one request at a time, from head to answer.
//
//   HEAD --> BODY --> ANSWER --> FLUSH --> HEAD      Pipelined requests wait in the input buffer.
//     \________________^   \________________^
//
// The input buffer of the connection, from its first octet:
//
//   [ head ][ body, decoded ][ not looked at yet: body as received, or the next request ]
//      kept        body.held
//
// The body is decoded in place (it can only shrink). As soon as the request has been sent, its octets
// are dropped, except for the head if the access log will need it.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include <http_parser.h>

#include "channel/forebay.h"
#include "server/connection.h"
#include "server/http_response.h"
#include "server/http_server.h"
#include "server/http_strict.h"
#include "server/http_transfer.h"
#include "server/timer.h"

struct websocket_upgrade;

enum http_session_step {
	HTTP_SESSION_HEAD,   // idle, or a head is arriving
	HTTP_SESSION_BODY,   // the body is arriving; the request has been sent if it is streamed
	HTTP_SESSION_ANSWER, // the request has been sent in full, its response is awaited
	HTTP_SESSION_FLUSH,  // the response is complete, the client has yet to take it
	HTTP_SESSION_OVER,   // there will be no other request
};

enum http_session_body_kind {
	HTTP_SESSION_RAW,
	HTTP_SESSION_FORM,      // POST, application/x-www-form-urlencoded
	HTTP_SESSION_MULTIPART, // POST, multipart/form-data
};

struct http_session_body {
	enum http_session_body_kind kind;
	enum http_form_charset charset; // of query and form
	bool chunked;
	bool complete;     // all of it has been received
	bool parsed;       // http-parser says so too
	bool finished;     // the multipart parser was told
	bool blocked;      // the body channel has no room
	uint32_t held;     // decoded octets in the input buffer
	uint32_t fed;      // of these, octets that the multipart parser has seen
	uint64_t length;   // announced, unless chunked
	uint64_t received; // decoded octets so far
	uint64_t limit;    // octets to collect at most
	int64_t began;     // microseconds; moved on by the time it was blocked
	struct http_strict_chunked check;
};

// Where a listener's clients think they are; made once per listener.
struct http_session_local {
	const char *server_name; // NULL: as the client says
	char server_port[8];
	const struct tls *tls; // NULL: without
	bool status;           // requests are answered by status.c, not by consumers
};

struct http_session {
	struct connection connection; // first: allocated by the connection pool
	struct http_server *server;
	struct http_session *next, **link; // in server->sessions
	const struct http_session_local *local;
	enum http_session_step step;
	bool waiting;     // the reply channel is open: the response isn't complete
	bool head_timing; // the head's time has begun to run
	bool is_log_due;  // a request has begun that will be in the access log
	bool counted;     // and has been counted
	struct timer timer;
	uint32_t kept; // octets of the head that are at the start of the input
	struct http_strict_head head;
	http_parser parser;
	struct http_session_body body;
	struct http_transfer *transfer;    // of a streamed body
	struct websocket_upgrade *upgrade; // waits for the verdict on a WebSocket
	struct http_response_request request;
	struct http_response response;
	uint64_t number, requests; // of this connection in its worker; of requests so far
	int64_t began_us, sent_us, answered_us;      // 0: not yet
	struct http_strict_span referer, user_agent; // in the head
	char reply_channel[40];
	char remote_address[46]; // INET6_ADDRSTRLEN; "" for a unix socket
	char remote_port[6];
};

// Takes over the accepted, nonblocking socket FD. Returns 0, or -ENOMEM: FD is the caller's then.
int http_session_open(struct http_server *server, int fd, const struct sockaddr *address,
        const struct http_session_local *local);

// Ends the connection if it is idle, unless a request is found to have arrived at this very moment.
void http_session_expire(struct http_session *session);

// ---------------------------------------------------------------------------------------------
// Between http_session.c, http_body.c, http_answer.c and websocket_upgrade.c
// ---------------------------------------------------------------------------------------------

static inline struct http_session *http_session_of(struct connection *connection)
{
	return (struct http_session *)connection; // its first member
}

// Takes as many steps as the input allows.
void http_session_advance(struct http_session *session);

// Sends the request to the consumers. FRESH: its head is the one that server->request has read last.
// Returns whether it was sent; else the client has been answered.
bool http_session_dispatch(
        struct http_session *session, const struct http_request_body *body, bool fresh);

// Opens the reply channel, whose prefix is PREFIX. Returns as forebay_reply_open().
int http_session_open_reply(struct http_session *session, const char *prefix);

// Fills MESSAGE with the request. Returns as http_request_fill().
int http_session_fill(struct http_session *session, const struct http_request_body *body,
        struct forebay_message *message);

// What a client is told when sending its request had RESULT.
int http_session_send_status(int result);

// The connection becomes another protocol's: from now on the server doesn't know the session.
void http_session_detach(struct http_session *session);

// The request has been sent in full: drops its octets and waits for the response.
void http_session_await_response(struct http_session *session);

// Arms the session's timer, for DELAY milliseconds or what is left of the whole request's time.
void http_session_arm(struct http_session *session, int64_t delay);

// The response is complete, and the client has what is left of that time to take it.
void http_session_await_flush(struct http_session *session);

// Nothing more is expected from or owed to a consumer: closes the reply channel and the body channel.
// TELL: the consumer doesn't expect that, and gets http.disconnect and the end of the body.
void http_session_forget(struct http_session *session, bool tell);

// Notes whether a consumer's response is awaited.
void http_session_await(struct http_session *session, bool waiting);

// Counts the request, whose response is complete at the time END of http_server_clock(), or never if that is 0. To
// be called before it is written, so that whoever has got it finds it counted.
void http_session_count(struct http_session *session, int64_t end);

// The response is complete and written, or the connection is closed: logs the request.
void http_session_log(struct http_session *session);
