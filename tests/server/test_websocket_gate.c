// SPDX-License-Identifier: MIT
// test_websocket_gate.c - every rule of RFC 6455 on frames, whatever way the octets are cut.
#include "server/websocket_gate.h"

#include "tests/test.h"

#define LIMIT 1000

// What all of the input came to, as text: "data 5", "message 3", "ping 4", "close 1000 bye", "1002".
static char story[4096];

static void tell(int result, const struct websocket_gate *gate, const struct websocket_close *close)
{
	static size_t data; // of the message so far
	char *end = story + strlen(story);
	size_t payload = gate->approved - gate->header, room = sizeof(story) - strlen(story);

	switch (result) {
	case WEBSOCKET_GATE_DATA:
		data += payload;
		break;
	case WEBSOCKET_GATE_MESSAGE:
		snprintf(end, room, "%s%s %zu, ", gate->binary ? "binary" : "text",
		        gate->compressed ? " compressed" : "", data + payload);
		data = 0;
		break;
	case WEBSOCKET_GATE_PING:
		snprintf(end, room, "ping %zu, ", payload);
		break;
	case WEBSOCKET_GATE_PONG:
		snprintf(end, room, "pong %zu, ", payload);
		break;
	case WEBSOCKET_GATE_CLOSE:
		snprintf(end, room, "close %u %.*s", close->code, close->reason_length,
		        close->reason);
		data = 0;
		break;
	default:
		snprintf(end, room, "%d", result);
		data = 0;
	}
}

// Feeds LENGTH octets, of which at first only CUT are there. Returns false when it is over.
static bool feed(struct websocket_gate *gate, char *data, size_t *begin, size_t end)
{
	for (;;) {
		struct websocket_close close;
		int result = websocket_gate_feed(gate, data + *begin, end - *begin, &close);

		if (result == WEBSOCKET_GATE_MORE)
			return true;
		tell(result, gate, &close);
		*begin += gate->approved;
		if (result >= 1000 || result == WEBSOCKET_GATE_CLOSE)
			return false;
	}
}

static const char *judge(const char *octets, size_t length, size_t cut, bool deflate)
{
	struct websocket_gate gate;
	char copy[4096];
	size_t begin = 0;

	memcpy(copy, octets, length);
	story[0] = '\0';
	websocket_gate_init(&gate, LIMIT, deflate);
	if (feed(&gate, copy, &begin, cut))
		feed(&gate, copy, &begin, length);
	return story;
}

#define EXPECT_STORY(OCTETS, DEFLATE, STORY)                                                       \
	do {                                                                                       \
		for (size_t cut_ = 0; cut_ < sizeof(OCTETS); cut_++)                               \
			EXPECT_STRING(judge(OCTETS, sizeof(OCTETS) - 1, cut_, DEFLATE), STORY);    \
	} while (0)

#define KEY "\1\2\3\4"

TEST(messages)
{
	EXPECT_STORY("\x81\x85" KEY "hello", false, "text 5, ");
	EXPECT_STORY("\x82\x80" KEY, false, "binary 0, ");
	EXPECT_STORY("\x81\x80" KEY "\x82\x81" KEY "x", false, "text 0, binary 1, ");
}

TEST(fragments_with_control_frames_between)
{
	EXPECT_STORY("\x01\x82" KEY "ab"
	             "\x89\x81" KEY "p"
	             "\x00\x80" KEY "\x8a\x80" KEY "\x80\x83" KEY "cde",
	        false, "ping 1, pong 0, text 5, ");
}

TEST(lengths)
{
	static char octets[8 + LIMIT] = "\x82\xfe\x00\x7e" KEY;

	EXPECT_STRING(judge(octets, 8 + 126, 3, false), "binary 126, ");
	memcpy(octets, "\x82\xfe\x03\xe8", 4);
	EXPECT_STRING(judge(octets, 8 + LIMIT, 100, false), "binary 1000, ");
	EXPECT_STORY("\x82\xfe\x00\x7d", false, "1002");
	EXPECT_STORY("\x82\xff\0\0\0\0\0\0\xff\xff", false, "1002");
	EXPECT_STORY("\x82\xff\x80", false, "1002");
	EXPECT_STORY("\x82\xff\0\0\0\0\0\1\0\0", false, "1009");
	EXPECT_STORY("\x82\xfe\x03\xe9", false, "1009");
}

TEST(the_limit_is_on_the_whole_message)
{
	EXPECT_STORY("\x02\x81" KEY "x"
	             "\x80\xfe\x03\xe8",
	        false, "1009");
	// Not overflown by lengths that add up to more than 64 bits.
	EXPECT_STORY("\x02\x81" KEY "x"
	             "\x80\xff\x7f\xff\xff\xff\xff\xff\xff\xff",
	        false, "1009");
	// The next message starts anew.
	EXPECT_STORY("\x02\x81" KEY "x"
	             "\x80\x81" KEY "y"
	             "\x82\x82" KEY "ab",
	        false, "binary 2, binary 2, ");
}

TEST(the_number_of_fragments_is_limited)
{
	struct websocket_gate gate;
	struct websocket_close close;
	char first[] = "\x02\x80" KEY, more[] = "\x00\x80" KEY;

	websocket_gate_init(&gate, LIMIT, false);
	EXPECT_INT(websocket_gate_feed(&gate, first, 6, &close), WEBSOCKET_GATE_DATA);
	for (int i = 1; i < WEBSOCKET_GATE_FRAGMENTS_MAX; i++)
		EXPECT_INT(websocket_gate_feed(&gate, more, 6, &close), WEBSOCKET_GATE_DATA);
	EXPECT_INT(websocket_gate_feed(&gate, more, 6, &close), WEBSOCKET_TOO_BIG);
}

TEST(every_frame_is_masked)
{
	EXPECT_STORY("\x81\x05hello", false, "1002");
	EXPECT_STORY("\x81\x00", false, "1002");
	EXPECT_STORY("\x89\x00", false, "1002");
	EXPECT_STORY("\x88\x00", false, "1002");
}

TEST(reserved_bits)
{
	EXPECT_STORY("\x91", false, "1002");
	EXPECT_STORY("\xa1", false, "1002");
	EXPECT_STORY("\xc1", false, "1002");
	EXPECT_STORY("\xf1", true, "1002");
	EXPECT_STORY("\xc9", true, "1002");
	EXPECT_STORY("\xc1\x81" KEY "x", true, "text compressed 1, ");
	EXPECT_STORY("\x41\x81" KEY "x"
	             "\x80\x81" KEY "y"
	             "\x82\x80" KEY,
	        true, "text compressed 2, binary 0, ");
	EXPECT_STORY("\x41\x81" KEY "x"
	             "\xc0",
	        true, "1002");
}

TEST(opcodes)
{
	for (unsigned opcode = 0; opcode < 16; opcode++) {
		char octets[] = {(char)(0x80 | opcode), '\x80', 1, 2, 3, 4};
		bool known = opcode == 1 || opcode == 2 || (opcode >= 8 && opcode <= 10);

		if (!known)
			EXPECT_STRING(judge(octets, 6, 1, false), "1002");
		else
			EXPECT(strncmp(judge(octets, 6, 1, false), "1002", 4) != 0);
	}
}

TEST(what_follows_what)
{
	EXPECT_STORY("\x80", false, "1002");
	EXPECT_STORY("\x81\x80" KEY "\x00", false, "text 0, 1002");
	EXPECT_STORY("\x01\x80" KEY "\x81", false, "1002");
	EXPECT_STORY("\x01\x80" KEY "\x02", false, "1002");
}

TEST(control_frames_are_short_and_whole)
{
	EXPECT_STORY("\x09", false, "1002");
	EXPECT_STORY("\x08", false, "1002");
	EXPECT_STORY("\x89\xfe", false, "1002");
	EXPECT_STORY("\x8a\xff", false, "1002");
	EXPECT_STORY("\x88\xfe", false, "1002");
}

TEST(a_ping_is_approved_only_when_it_is_whole)
{
	struct websocket_gate gate;
	struct websocket_close close;
	char ping[] = "\x89\x84" KEY "abcd";

	websocket_gate_init(&gate, LIMIT, false);
	for (size_t length = 0; length < 10; length++) {
		EXPECT_INT(websocket_gate_feed(&gate, ping, length, &close), WEBSOCKET_GATE_MORE);
		EXPECT_INT(gate.approved, 0);
	}
	EXPECT_INT(websocket_gate_feed(&gate, ping, 10, &close), WEBSOCKET_GATE_PING);
	EXPECT_INT(gate.approved, 10);
}

#define NO_KEY "\0\0\0\0"

TEST(closes)
{
	EXPECT_STORY("\x88\x80" NO_KEY, false, "close 1005 ");
	EXPECT_STORY("\x88\x82" NO_KEY "\x03\xe8", false, "close 1000 ");
	EXPECT_STORY("\x88\x85" NO_KEY "\x0b\xb8"
	             "bye",
	        false, "close 3000 bye");
	EXPECT_STORY("\x88\x84" KEY "\x02\xea\x61\x66", false, "close 1000 bb");
	EXPECT_STORY("\x88\x81" NO_KEY "\x03", false, "1002");
	EXPECT_STORY("\x88\x83" NO_KEY "\x03\xe8\xff", false, "1007");
	EXPECT_STORY("\x88\x84" NO_KEY "\x03\xe8\xc3\xa9", false, "close 1000 \xc3\xa9");
}

TEST(close_codes)
{
	for (unsigned code = 0; code < 65536; code++) {
		bool good = (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 &&
		                    code != 1006) ||
		            (code >= 3000 && code <= 4999);
		char octets[] = {'\x88', '\x82', 0, 0, 0, 0, (char)(code >> 8), (char)code};

		EXPECT_INT(websocket_gate_is_code(code), good);
		EXPECT((strcmp(judge(octets, 8, 8, false), "1002") == 0) == !good);
	}
	EXPECT(!websocket_gate_is_code(-1) && !websocket_gate_is_code(1000 + (1ll << 32)));
}
