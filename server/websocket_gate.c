// SPDX-License-Identifier: MIT
// websocket_gate.c - the grammar of frames; see websocket_gate.h.
#include "server/websocket_gate.h"

#include <string.h>

#include "channel/utf8.h"

enum {
	FIN = 0x80,
	RSV1 = 0x40,
	RSV2_AND_3 = 0x30,
	OPCODE = 0x0f,
	CONTINUATION = 0,
	TEXT = 1,
	BINARY = 2,
	CONTROL = 0x8, // bit of all control opcodes
	CLOSE = 0x8,
	PING = 0x9,
	PONG = 0xa,
	MASKED = 0x80,
	KEY = 4, // octets
};

static int refuse(struct websocket_gate *gate, int code, const char *why)
{
	gate->why = why;
	return code;
}

bool websocket_gate_is_code(int64_t code)
{
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
	       (code >= 3000 && code <= 4999);
}

void websocket_gate_init(struct websocket_gate *gate, uint64_t limit, bool deflate)
{
	*gate = (struct websocket_gate){.limit = limit, .deflate = deflate};
}

// The payload length that the header gives, of which HAVE octets are there. Sets *HEADER, the header's
// size. Returns MORE if the length isn't complete, DATA if it is, or a close code.
static int read_length(struct websocket_gate *gate, const uint8_t *octets, size_t have,
        size_t *header, uint64_t *length)
{
	size_t size = (octets[1] & 0x7f) < 126 ? 0 : (octets[1] & 0x7f) == 126 ? 2 : 8;

	*header = 2 + size + KEY;
	*length = size ? 0 : octets[1] & 0x7f;
	if (have >= 3 && size == 8 && octets[2] & 0x80)
		return refuse(gate, WEBSOCKET_PROTOCOL_ERROR, "length with the top bit set");
	if (have < 2 + size)
		return WEBSOCKET_GATE_MORE;
	for (size_t i = 0; i < size; i++)
		*length = *length << 8 | octets[2 + i];
	if ((size == 2 && *length < 126) || (size == 8 && *length <= UINT16_MAX))
		return refuse(gate, WEBSOCKET_PROTOCOL_ERROR, "length in too many octets");
	return WEBSOCKET_GATE_DATA;
}

// Checks what the first octet says. Returns 0 or a close code.
static int check_first(struct websocket_gate *gate, uint8_t first)
{
	unsigned opcode = first & OPCODE;

	if (first & RSV2_AND_3)
		return refuse(gate, WEBSOCKET_PROTOCOL_ERROR, "reserved bit set");
	if (first & RSV1 && !(gate->deflate && (opcode == TEXT || opcode == BINARY)))
		return refuse(gate, WEBSOCKET_PROTOCOL_ERROR, "RSV1 set");
	if ((opcode & ~CONTROL) > 2)
		return refuse(gate, WEBSOCKET_PROTOCOL_ERROR, "unknown opcode");
	if (opcode & CONTROL && !(first & FIN))
		return refuse(gate, WEBSOCKET_PROTOCOL_ERROR, "fragmented control frame");
	if (opcode == CONTINUATION && !gate->in_message)
		return refuse(gate, WEBSOCKET_PROTOCOL_ERROR, "continuation of nothing");
	if ((opcode == TEXT || opcode == BINARY) && gate->in_message)
		return refuse(gate, WEBSOCKET_PROTOCOL_ERROR, "new message inside of another");
	return 0;
}

static int read_close(struct websocket_gate *gate, const uint8_t *key, size_t length,
        struct websocket_close *close)
{
	const uint8_t *payload = key + KEY;
	uint8_t plain[WEBSOCKET_GATE_CONTROL_MAX];

	close->code = WEBSOCKET_NO_CODE;
	close->reason_length = 0;
	if (length == 0)
		return WEBSOCKET_GATE_CLOSE;
	if (length == 1)
		return refuse(gate, WEBSOCKET_PROTOCOL_ERROR, "half a close code");
	for (size_t i = 0; i < length; i++)
		plain[i] = payload[i] ^ key[i % KEY];
	close->code = (uint16_t)(plain[0] << 8 | plain[1]);
	close->reason_length = (uint8_t)(length - 2);
	memcpy(close->reason, plain + 2, length - 2);
	if (!websocket_gate_is_code(close->code))
		return refuse(gate, WEBSOCKET_PROTOCOL_ERROR, "bad close code");
	if (!channel_utf8_valid(close->reason, close->reason_length))
		return refuse(gate, WEBSOCKET_BAD_DATA, "close reason isn't UTF-8");
	return WEBSOCKET_GATE_CLOSE;
}

static int feed_control(struct websocket_gate *gate, const uint8_t *octets, size_t have,
        struct websocket_close *close)
{
	size_t length = octets[1] & 0x7f, header = 2 + KEY;

	if (length > WEBSOCKET_GATE_CONTROL_MAX)
		return refuse(gate, WEBSOCKET_PROTOCOL_ERROR, "control frame too long");
	if (have < header + length)
		return WEBSOCKET_GATE_MORE;
	gate->header = (uint8_t)header;
	gate->approved = header + length;
	switch (octets[0] & OPCODE) {
	case CLOSE:
		return read_close(gate, octets + 2, length, close);
	case PING:
		return WEBSOCKET_GATE_PING;
	default:
		return WEBSOCKET_GATE_PONG;
	}
}

// Begins a data frame whose header, of SIZE octets, is there, and announces LENGTH octets.
static void begin_frame(struct websocket_gate *gate, char *data, size_t size, uint64_t length)
{
	unsigned opcode = (uint8_t)data[0] & OPCODE;

	if (opcode != CONTINUATION) {
		gate->binary = opcode == BINARY;
		gate->compressed = data[0] & RSV1;
		data[0] &= ~RSV1;
		gate->length = 0;
		gate->fragments = 0;
	}
	gate->final = data[0] & FIN;
	gate->in_message = !gate->final;
	gate->fragments++;
	gate->length += length;
	gate->left = length;
	gate->header = (uint8_t)size;
	gate->approved = size;
}

static int check_size(struct websocket_gate *gate, bool continues, uint64_t length)
{
	if (length > gate->limit - (continues ? gate->length : 0))
		return refuse(gate, WEBSOCKET_TOO_BIG, "message too large");
	if (continues && gate->fragments >= WEBSOCKET_GATE_FRAGMENTS_MAX)
		return refuse(gate, WEBSOCKET_TOO_BIG, "too many fragments");
	return WEBSOCKET_GATE_DATA;
}

// Approves what has arrived of the frame's payload.
static int take_payload(struct websocket_gate *gate, size_t have)
{
	size_t take = gate->left < have ? (size_t)gate->left : have;

	gate->left -= take;
	gate->approved += take;
	return gate->left == 0 && gate->final ? WEBSOCKET_GATE_MESSAGE : WEBSOCKET_GATE_DATA;
}

int websocket_gate_feed(
        struct websocket_gate *gate, char *data, size_t length, struct websocket_close *close)
{
	const uint8_t *octets = (const uint8_t *)data;
	size_t header;
	uint64_t payload;
	int result;

	gate->approved = gate->header = 0;
	if (length == 0)
		return WEBSOCKET_GATE_MORE;
	if (gate->left > 0)
		return take_payload(gate, length);
	result = check_first(gate, octets[0]);
	if (result || length < 2)
		return result;
	if (!(octets[1] & MASKED))
		return refuse(gate, WEBSOCKET_PROTOCOL_ERROR, "unmasked frame");
	if (octets[0] & CONTROL)
		return feed_control(gate, octets, length, close);
	result = read_length(gate, octets, length, &header, &payload);
	if (result == WEBSOCKET_GATE_DATA)
		result = check_size(gate, (octets[0] & OPCODE) == CONTINUATION, payload);
	if (result != WEBSOCKET_GATE_DATA || length < header)
		return result == WEBSOCKET_GATE_DATA ? WEBSOCKET_GATE_MORE : result;
	begin_frame(gate, data, header, payload);
	return take_payload(gate, length - header);
}
