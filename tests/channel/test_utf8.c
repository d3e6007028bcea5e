// SPDX-License-Identifier: MIT
// test_utf8.c - UTF-8 is judged as RFC 3629 has it, whole, in pieces, and when replaced.
#include "channel/utf8.h"

#include "tests/test.h"

static bool fed_bytewise(const char *data, size_t length)
{
	struct channel_utf8 utf8 = {0};

	for (size_t i = 0; i < length; i++)
		channel_utf8_feed(&utf8, data + i, 1);
	return channel_utf8_complete(&utf8);
}

// Whole, in two pieces cut everywhere, and octet by octet must agree; behind 0 to 40 octets of ASCII
// too, so that every alignment of the fast path is met.
static void expect_valid(const char *text, size_t length, bool valid)
{
	char buffer[64];

	for (size_t pad = 0; pad <= 40; pad++) {
		size_t total = pad + length;

		memset(buffer, 'a', pad);
		memcpy(buffer + pad, text, length);
		EXPECT(channel_utf8_valid(buffer, total) == valid);
		EXPECT(fed_bytewise(buffer, total) == valid);
		for (size_t cut = 0; cut <= total; cut++) {
			struct channel_utf8 utf8 = {0};

			channel_utf8_feed(&utf8, buffer, cut);
			channel_utf8_feed(&utf8, buffer + cut, total - cut);
			EXPECT(channel_utf8_complete(&utf8) == valid);
		}
	}
}

#define JUDGE(TEXT, VALID)                                                                         \
	do {                                                                                       \
		expect_valid(TEXT, sizeof(TEXT) - 1, VALID);                                       \
		if (test_failed())                                                                 \
			return;                                                                    \
	} while (0)
#define VALID(TEXT)   JUDGE(TEXT, true)
#define INVALID(TEXT) JUDGE(TEXT, false)

TEST(characters_of_every_length_are_valid)
{
	VALID("");
	VALID("hello");
	VALID("\0");
	VALID("\x7f");
	VALID("\xc2\x80");
	VALID("\xdf\xbf");
	VALID("\xe0\xa0\x80");
	VALID("\xef\xbf\xbf");
	VALID("\xf0\x90\x80\x80");
	VALID("\xf4\x8f\xbf\xbf");
	VALID("z\xc3\xa9z\xe2\x82\xacz\xf0\x9f\x98\x80z");
}

TEST(overlong_forms_are_refused)
{
	INVALID("\xc0\xaf");
	INVALID("\xc1\xbf");
	INVALID("\xe0\x80\xaf");
	INVALID("\xe0\x9f\xbf");
	INVALID("\xf0\x80\x80\xaf");
	INVALID("\xf0\x8f\xbf\xbf");
}

TEST(surrogates_are_refused)
{
	INVALID("\xed\xa0\x80");
	INVALID("\xed\xbf\xbf");
	INVALID("\xed\xa0\xbd\xed\xb8\x80");
	VALID("\xed\x9f\xbf");
	VALID("\xee\x80\x80");
}

TEST(code_points_above_10ffff_are_refused)
{
	INVALID("\xf4\x90\x80\x80");
	INVALID("\xf5\x80\x80\x80");
	INVALID("\xf8\x88\x80\x80\x80");
	INVALID("\xfe");
	INVALID("\xff");
}

TEST(truncated_and_stray_octets_are_refused)
{
	INVALID("\x80");
	INVALID("\xbf");
	INVALID("\xc3");
	INVALID("\xc3x");
	INVALID("\xe2\x82");
	INVALID("\xe2\x82x");
	INVALID("\xf0\x9f\x98");
	INVALID("\xf0\x9f\x98x");
}

TEST(an_error_is_found_at_the_first_octet_that_cannot_be_right)
{
	struct channel_utf8 utf8 = {0};

	EXPECT(channel_utf8_feed(&utf8, "abc\xed", 4));
	EXPECT(!channel_utf8_complete(&utf8));
	EXPECT(!channel_utf8_feed(&utf8, "\xa0", 1));
	EXPECT(!channel_utf8_feed(&utf8, "abc", 3));
	EXPECT(!channel_utf8_complete(&utf8));
}

TEST(the_prefix_ends_before_the_first_broken_sequence)
{
	EXPECT_INT(channel_utf8_prefix("a\xc3\xa9\xff", 4), 3);
	EXPECT_INT(channel_utf8_prefix("\xff", 1), 0);
	EXPECT_INT(channel_utf8_prefix("0123456789abcdef0123456789abcdef0123\xc3", 37), 36);
	EXPECT_INT(channel_utf8_broken("\xf0\x9f\x98x", 4), 3);
	EXPECT_INT(channel_utf8_broken("\xed\xa0\x80", 3), 1);
}

static void expect_replaced(const char *in, size_t length, const char *expected)
{
	char out[256];
	size_t size = channel_utf8_replace(out, in, length);

	out[size] = '\0';
	EXPECT_STRING(out, expected);
	EXPECT(channel_utf8_valid(out, size));
}

#define FFFD "\xef\xbf\xbd"

TEST(each_maximal_subpart_is_replaced_once)
{
	expect_replaced("a\xff\x62", 3, "a" FFFD "b");
	expect_replaced("\xf0\x9f\x98", 3, FFFD);
	expect_replaced("\xf0\x9f\x98z", 4, FFFD "z");
	expect_replaced("\xed\xa0\x80", 3, FFFD FFFD FFFD);
	expect_replaced("\xc0\xaf", 2, FFFD FFFD);
	expect_replaced("\xf4\x90\x80\x80", 4, FFFD FFFD FFFD FFFD);
	expect_replaced("\xe2\x82\xe2\x82\xac", 5, FFFD "\xe2\x82\xac");
}

// Every code point there is survives encoding, and every surrogate and what lies above is refused.
TEST(every_code_point_is_encoded_and_judged)
{
	for (uint32_t code_point = 0; code_point < 0x110400; code_point++) {
		bool scalar =
		        code_point <= 0x10FFFF && (code_point < 0xD800 || code_point > 0xDFFF);
		char text[4];
		size_t length = channel_utf8_encode(text, code_point);

		EXPECT(channel_utf8_valid(text, length) == scalar);
		EXPECT(fed_bytewise(text, length) == scalar);
	}
}
