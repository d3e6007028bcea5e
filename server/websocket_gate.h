// SPDX-License-Identifier: MIT
// websocket_gate.h - the strict grammar of RFC 6455 frames that every octet passes first.
//
// libwebsockets accepts unmasked frames, ignores an overlong PING, answers one of ten. So it is given only
// what passed here: whole control frames, one at a time, and data frames piece by piece, never beyond
// the end of a message. The gate is pure, allocates nothing, can be fed in pieces of any size, and what it
// says doesn't depend on how the input was cut.
//
//    0                   1                   2                   3
//    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//   +-+-+-+-+-------+-+-------------+-------------------------------+
//   |F|R|R|R| opcode|M| length      | 126: 16 bits of length         |
//   |I|S|S|S|  (4)  |A|  (7)        | 127: 64 bits                   |
//   |N|V|V|V|       |S|             | in as few octets as can be     |
//   +-+-+-+-+-------+K+-------------+- - - - - - - - - - - - - - - - +
//   | masking key, 4 octets: from a client always                    |
//   +----------------------------------------------------------------+
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEBSOCKET_GATE_CONTROL_MAX   125    // octets of a control frame's payload
#define WEBSOCKET_GATE_FRAGMENTS_MAX 131072 // frames of one message, or 1009

// The close codes of RFC 6455, 7.4.1, that somebody here uses.
enum websocket_code {
	WEBSOCKET_NORMAL = 1000,
	WEBSOCKET_GOING_AWAY = 1001,
	WEBSOCKET_PROTOCOL_ERROR = 1002,
	WEBSOCKET_NO_CODE = 1005,  // never sent: a close without a code
	WEBSOCKET_ABNORMAL = 1006, // never sent: the connection ended without a close
	WEBSOCKET_BAD_DATA = 1007,
	WEBSOCKET_POLICY = 1008,
	WEBSOCKET_TOO_BIG = 1009,
	WEBSOCKET_INTERNAL_ERROR = 1011,
	WEBSOCKET_TRY_LATER = 1013,
};

// What feed() has found; or a close code: the connection has to be failed with it.
enum websocket_gate_result {
	WEBSOCKET_GATE_MORE,    // nothing can be said before more has arrived
	WEBSOCKET_GATE_DATA,    // the beginning or a part of a data frame
	WEBSOCKET_GATE_MESSAGE, // the same, and it completes the message
	WEBSOCKET_GATE_PING,    // a whole frame
	WEBSOCKET_GATE_PONG,    //
	WEBSOCKET_GATE_CLOSE,   // code and reason have been set
};

// What a close frame says.
struct websocket_close {
	uint16_t code; // WEBSOCKET_NO_CODE if it has none
	uint8_t reason_length;
	char reason[WEBSOCKET_GATE_CONTROL_MAX - 2]; // UTF-8
};

struct websocket_gate {
	// Of the message in hand, or the one that has just been completed.
	bool binary;
	bool compressed; // its first frame had RSV1 set, which has been cleared in DATA
	// Of the last feed().
	uint8_t header;  // octets of `approved` that are the frame's header
	size_t approved; // octets at DATA that may be passed on
	const char *why; // once a close code was returned: why. Static.

	// Private to websocket_gate.c.
	bool deflate;       // RSV1 may be set
	bool in_message;    // a fragmented message is going on
	bool final;         // the data frame in hand is the last of its message
	uint32_t fragments; // frames of the message so far
	uint64_t left;      // octets of the data frame's payload that are still to come
	uint64_t length;    // octets of the message's payload so far, with those
	uint64_t limit;     // ... at most that many
};

// LIMIT is in octets of a message's payload, as it is transferred. DEFLATE: permessage-deflate was
// agreed on (RFC 7692), so RSV1 on a message's first frame means that it is compressed.
void websocket_gate_init(struct websocket_gate *gate, uint64_t limit, bool deflate);

// Examines what follows the octets that were approved so far: LENGTH octets at DATA, of which none
// changes but for RSV1. Returns a result, with gate->approved (0 for MORE); or a close code with
// gate->why: 1002, 1007 or 1009. *CLOSE is written to only if there is a close frame.
int websocket_gate_feed(
        struct websocket_gate *gate, char *data, size_t length, struct websocket_close *close);

// Whether CODE may stand in a close frame (RFC 6455, 7.4).
bool websocket_gate_is_code(int64_t code);

// Whether the octets approved so far end with the last one of a message.
static inline bool websocket_gate_is_complete(const struct websocket_gate *gate)
{
	return gate->final && gate->left == 0;
}
