// SPDX-License-Identifier: MIT
// websocket_session.h - one WebSocket: messages to frames and back, closing, time.
//
//   client -> connection -> websocket_gate -> lws_loop -> websocket.receive
//   client <- connection <- frame header + the message's content, in shared memory <- websocket.send!...
//
//   OPEN --our CLOSE--> CLOSING --theirs, or time---------> OVER
//    |\____their CLOSE, a violation, the end of the connection___/|
//    \--a violation--> FAILING --answers to what came before it--/
//
// A session is made in the place of the http_session whose connection is upgraded. While a client's message
// finds no room (blocked), nothing more of that client is read. What a client is sent stays in shared memory
// until the socket has taken it, so the reply channel's window bounds it.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "channel/forebay.h"
#include "channel/utf8.h"
#include "server/connection.h"
#include "server/lws_seam.h"
#include "server/timer.h"
#include "server/websocket_content.h"
#include "server/websocket_gate.h"
#include "server/websocket_message.h"
#include "server/websocket_server.h"

#define WEBSOCKET_SESSION_COPIED (1 << 20)

enum websocket_session_step {
	WEBSOCKET_SESSION_OPEN,
	WEBSOCKET_SESSION_CLOSING, // our CLOSE is written, the client's is awaited
	WEBSOCKET_SESSION_FAILING, // nothing more is read; what was asked before may still be answered
	WEBSOCKET_SESSION_OVER,    // nothing more is read or written
};

struct websocket_session {
	struct connection connection; // first: allocated by the connection pool
	struct websocket_server *server;
	struct websocket_session *next, **link; // in server->sessions
	struct websocket_session *blocked_next,
	        **blocked_link; // in server->blocked; NULL: not there
	struct timer timer;
	struct lws_seam seam;
	struct websocket_gate gate;
	char *message; // of the client, as far as it has come; NULL: nothing of one
	uint32_t message_length, message_size;
	struct websocket_content *content; // of the message, if it is on its way and large
	size_t awaited;                    // octets of payload in what the library has been given
	uint64_t order;                    // of the next message to consumers
	const char *why;                   // of failure
	char *receive_channel;             // where messages and the disconnect go; NULL: as usual
	uint16_t failure; // close code: what the library was given turned out to be wrong
	uint8_t step;
	uint8_t deflate; // window bits of compressed messages to the client; 0: none are compressed
	struct channel_utf8 utf8;
	bool said_farewell;  // the disconnect was sent, or is in server->farewells
	bool inside;         // the library is at work on this connection
	bool delivered;      // the message in hand was sent
	bool in_parts;       // a consumer has sent a part, but not the last, of a message
	bool parts_binary;   // ... which is binary
	bool throttled;      // too many of our own frames wait; nothing is read
	uint32_t unanswered; // messages sent to consumers, less those that came back since
	uint32_t replies;    // octets of our own frames that wait, roughly
	uint32_t copied;     // octets of messages to groups that wait
	// Ticks of the wheel; 0: not so.
	uint32_t opened, heard, active, asked, pinged, closing, blocked_since, backlog_since,
	        part_since;
	char reply_channel[40];
	char remote_address[46]; // INET6_ADDRSTRLEN; "" for a unix socket
};

// What is known when the upgrade is decided on.
struct websocket_session_setup {
	const char *key;     // of the client's handshake
	const char *headers; // whole lines for the answer
	size_t headers_length;
	int deflate;           // window bits, if permessage-deflate was agreed on; else 0
	char *receive_channel; // the session's then, and the heap's; or NULL
	char reply_channel[40];
	char remote_address[46];
};

// Makes CONNECTION, whose input begins behind the head of the request, a WebSocket: the client gets the
// answer 101, and what it has sent already is dealt with. All octets of the object that CONNECTION
// is in are overwritten, but for the connection itself; the reply channel's owner stays. A failure closes it.
void websocket_session_start(struct websocket_server *server, struct connection *connection,
        const struct websocket_session_setup *setup);

// A consumer's message, read from SHARED, which the session takes over.
void websocket_session_write(struct websocket_session *session, struct websocket_message *message,
        struct forebay_message *shared);

// A message to a group that the session is in: read once, framed once, written to each member. What a
// client doesn't take at once is copied, up to WEBSOCKET_SESSION_COPIED octets; beyond that its messages to groups
// are skipped. Returns whether this one was not.
bool websocket_session_broadcast(
        struct websocket_session *session, struct websocket_message *message);

// Starts to close, if that hasn't begun. REASON is UTF-8, at most 123 octets.
void websocket_session_close(struct websocket_session *session, uint16_t code, const char *reason);

// Whether CONNECTION is a WebSocket: else it is an http_session.
bool websocket_session_is(const struct connection *connection);

// ---------------------------------------------------------------------------------------------
// Between websocket_session.c and websocket_input.c
// ---------------------------------------------------------------------------------------------

// The time in ticks of the wheel.
static inline uint32_t websocket_session_now(const struct websocket_session *session)
{
	return (uint32_t)session->server->wheel->tick;
}

// Sets the timer to the next moment at which something could have to be done. What only moves a deadline away
// needn't call it: the timer looks again when it fires.
void websocket_session_arm(struct websocket_session *session);

// The connection is over for the consumers, whatever is still said on the wire: tells them, once.
void websocket_session_leave(
        struct websocket_session *session, uint16_t code, const char *reason, size_t reason_length);

void websocket_session_write_close(
        struct websocket_session *session, uint16_t code, const char *reason, size_t reason_length);

// Nothing more is read: what is queued is written, and the client gets time to read it. Not while session->inside.
void websocket_session_end(struct websocket_session *session);

// The client has broken a rule or a limit: tells it, and ends (RFC 6455, 7.1.7). Not while session->inside.
void websocket_session_fail(struct websocket_session *session, uint16_t code, const char *why);

// The same for what the client has sent. Messages that came before, and were well-formed, are on their way
// through a consumer: a client that sees the answers knows how far it was understood. So the end waits for
// as many messages as are unanswered, a moment, as pipelined requests of HTTP are answered before the one
// that is malformed.
void websocket_session_refuse(struct websocket_session *session, uint16_t code, const char *why);
