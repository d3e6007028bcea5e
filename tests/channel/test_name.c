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

	EXPECT_INT(channel_name_rule(patterns, "http.request").capacity, 1000);
	EXPECT_INT(channel_name_rule(patterns, "http.response!0000000000000001").capacity, 10);
	EXPECT_INT(channel_name_rule(patterns, "a=b").capacity, 7);
	EXPECT_INT(channel_name_rule(patterns, "anything").capacity, 100);
	EXPECT_INT(channel_name_rule("x=1", "y").capacity, 0);
	EXPECT(!channel_name_patterns_error(patterns, 8192));
	EXPECT(channel_name_patterns_error("a=0", 8192));
	EXPECT(channel_name_patterns_error("a=8193", 8192));
	EXPECT(channel_name_patterns_error("a", 8192));
	EXPECT(channel_name_patterns_error("a=1x", 8192));
	EXPECT(channel_name_patterns_error("=1", 8192));
	EXPECT(channel_name_patterns_error("a=4294967297", 8192));
}

TEST(a_pattern_says_what_a_full_channel_does)
{
	const char *patterns = "a/b=2/keep-latest,c=3/refuse,d*=4/drop-oldest,*=5";

	EXPECT(!channel_name_patterns_error(patterns, 8192));
	EXPECT_INT(channel_name_rule(patterns, "a/b").policy, FOREBAY_KEEP_LATEST);
	EXPECT_INT(channel_name_rule(patterns, "a/b").capacity, 2);
	EXPECT_INT(channel_name_rule(patterns, "c").policy, FOREBAY_REFUSE);
	EXPECT_INT(channel_name_rule(patterns, "d?0000000000000001").policy, FOREBAY_DROP_OLDEST);
	EXPECT_INT(channel_name_rule(patterns, "d!0000000000000001").policy, FOREBAY_REFUSE);
	EXPECT_INT(channel_name_rule(patterns, "d!0000000000000001").capacity, 4);
	EXPECT_INT(channel_name_rule(patterns, "x").policy, FOREBAY_REFUSE);
	EXPECT(channel_name_patterns_error("a=1/keep", 8192));
	EXPECT(strstr(channel_name_patterns_error("a!*=1/keep-latest", 8192), "reply"));
	EXPECT_STRING(forebay_policy_name(FOREBAY_DROP_OLDEST), "drop-oldest");
}

static uint32_t matched(const char *pattern, const char *name)
{
	char patterns[256];

	snprintf(patterns, sizeof patterns, "%s=1", pattern);
	return channel_name_rule(patterns, name).capacity;
}

TEST(patterns_match_as_pythons_fnmatch_does)
{
	EXPECT(matched("http.response!*", "http.response!0123456789abcdef"));
	EXPECT(!matched("http.response!*", "http.response"));
	EXPECT(!matched("http.response!*", "http.responses!0123456789abcdef"));
	EXPECT(matched("*", "x"));
	EXPECT(matched("a*b*c", "abbbcc"));
	EXPECT(!matched("a*b*c", "abbbccd"));
	EXPECT(matched("a**", "a"));
	EXPECT(matched("?", "?"));
	EXPECT(!matched("?", "ab"));
	EXPECT(matched("[a-cx]1", "b1"));
	EXPECT(matched("[a-cx]1", "x1"));
	EXPECT(!matched("[a-cx]1", "d1"));
	EXPECT(matched("[!a-c]", "d"));
	EXPECT(!matched("[!a-c]", "b"));
	EXPECT(matched("[]]", "]"));
	EXPECT(matched("[a-]", "-"));
	EXPECT(matched("*[0-9]x", "a1b2x"));
	// A set that isn't closed is a character like any other, and there are no escapes.
	EXPECT(matched("[ab", "[ab"));
	EXPECT(!matched("[ab", "a"));
	EXPECT(matched("\\*", "\\x"));
}

TEST(a_pattern_of_many_stars_ends)
{
	char pattern[201], name[201];

	for (int i = 0; i < 198; i += 2)
		memcpy(pattern + i, "*a", 2);
	strcpy(pattern + 198, "b");
	memset(name, 'a', 200);
	name[200] = '\0';
	EXPECT(!matched(pattern, name));
}
