// SPDX-License-Identifier: MIT
// Channel names: 1 to 200 printable ASCII characters, and what '!' and '?' mean in them.

#include "channel/name.h"
#include "tests/test.h"

TEST(names_are_1_to_200_printable_ascii_characters)
{
	char name[260];
	uint64_t id;

	EXPECT_INT(channel_name_kind("", &id), CHANNEL_BAD);
	EXPECT_INT(channel_name_kind("http.request", &id), CHANNEL_PLAIN);
	EXPECT_INT(channel_name_kind("a b~", &id), CHANNEL_PLAIN);
	EXPECT_INT(channel_name_kind("a\tb", &id), CHANNEL_BAD);
	EXPECT_INT(channel_name_kind("a\x7f", &id), CHANNEL_BAD);
	EXPECT_INT(channel_name_kind("\xc3\xa4", &id), CHANNEL_BAD);
	memset(name, 'x', sizeof name);
	name[200] = '\0';
	EXPECT_INT(channel_name_kind(name, &id), CHANNEL_PLAIN);
	name[200] = 'x', name[201] = '\0';
	EXPECT_INT(channel_name_kind(name, &id), CHANNEL_BAD);
}

TEST(what_follows_a_mark_is_an_id_of_16_digits)
{
	char name[FOREBAY_NAME_SIZE];
	uint64_t id;

	channel_name_make(name, "http.response", '!', 0x0123456789abcdef);
	EXPECT_STRING(name, "http.response!0123456789abcdef");
	EXPECT_INT(channel_name_kind(name, &id), CHANNEL_REPLY);
	EXPECT(id == 0x0123456789abcdef);
	EXPECT_INT(channel_name_kind("body?0123456789abcdef", &id), CHANNEL_STREAM);
	EXPECT_INT(channel_name_kind("body!0123456789abcde", &id), CHANNEL_BAD);
	EXPECT_INT(channel_name_kind("body!0123456789abcdef0", &id), CHANNEL_BAD);
	EXPECT_INT(channel_name_kind("body!0123456789ABCDEF", &id), CHANNEL_BAD);
	EXPECT_INT(channel_name_kind("body!", &id), CHANNEL_BAD);
	EXPECT(channel_name_is_prefix("http.response"));
	EXPECT(!channel_name_is_prefix("http.response!"));
	EXPECT(!channel_name_is_prefix(""));
}

TEST(the_first_pattern_that_matches_gives_the_capacity)
{
	const char *patterns = "http.request=1000,http.response!*=10,a=b=7,*=100";

	EXPECT_INT(channel_name_capacity(patterns, "http.request"), 1000);
	EXPECT_INT(channel_name_capacity(patterns, "http.response!0000000000000001"), 10);
	EXPECT_INT(channel_name_capacity(patterns, "a=b"), 7);
	EXPECT_INT(channel_name_capacity(patterns, "anything"), 100);
	EXPECT_INT(channel_name_capacity("x=1", "y"), 0);
	EXPECT(channel_name_patterns_valid(patterns, 8192, 2048));
	EXPECT(!channel_name_patterns_valid("a=0", 8192, 2048));
	EXPECT(!channel_name_patterns_valid("a=8193", 8192, 2048));
	EXPECT(!channel_name_patterns_valid("a", 8192, 2048));
	EXPECT(!channel_name_patterns_valid("a=1x", 8192, 2048));
	EXPECT(!channel_name_patterns_valid("=1", 8192, 2048));
	EXPECT(!channel_name_patterns_valid("a=1", 8192, 3));
}
