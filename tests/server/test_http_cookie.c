// SPDX-License-Identifier: MIT
// test_http_cookie.c - Cookie is read as django.http.cookie.parse_cookie reads it; nothing is an error.
#include "server/http_cookie.h"

#include "tests/test.h"

// The cookies as text: "[name|value][name|value]".
static const char *parse(const char *text)
{
	static char result[1024];
	struct http_form cookies;
	struct http_form_cursor cursor = {0};
	struct http_form_text name, value;
	size_t length = strlen(text), at = 0;
	char *copy = malloc(length ? length : 1);

	memcpy(copy, text, length);
	result[0] = '\0';
	http_form_init(&cookies, 0, 0);
	test_bad |= http_cookie_parse(&cookies, copy, length) != 0;
	while (http_form_next_key(&cookies, &cursor, &name)) {
		http_form_next_value(&cookies, &cursor, &value);
		at += (size_t)snprintf(result + at, sizeof(result) - at, "[%.*s|%.*s]",
		        (int)name.length, name.data, (int)value.length, value.data);
		test_bad |= http_form_next_value(&cookies, &cursor, &value);
	}
	http_form_fini(&cookies);
	free(copy);
	return result;
}

TEST(ordinary_cookies)
{
	EXPECT_STRING(parse("a=1; b=2;c=3"), "[a|1][b|2][c|3]");
	EXPECT_STRING(parse("sessionid=x=y; csrftoken=%41"), "[sessionid|x=y][csrftoken|%41]");
}

TEST(a_cookie_without_equals_is_a_value)
{
	EXPECT_STRING(parse("abc; a=b"), "[|abc][a|b]");
}

TEST(empty_fields_are_nothing)
{
	EXPECT_STRING(parse(""), "");
	EXPECT_STRING(parse("; ;; = ;"), "");
	EXPECT_STRING(parse("a=; =b"), "[a|][|b]");
}

TEST(of_duplicates_the_last_wins_in_the_place_of_the_first)
{
	EXPECT_STRING(parse("a=1; b=2; a=3"), "[a|3][b|2]");
}

TEST(quotes_and_escapes_are_undone)
{
	EXPECT_STRING(parse("a=\"b c\""), "[a|b c]");
	EXPECT_STRING(parse("a=\"b\\\"c\\\\d\""), "[a|b\"c\\d]");
	EXPECT_STRING(parse("a=\"\\101\\012\\377\""), "[a|A\n\xc3\xbf]");
	EXPECT_STRING(parse("a=\"\\400\\18\""), "[a|40018]");
	EXPECT_STRING(parse("a=\"\\\xc3\xa9\""), "[a|\xc3\xa9]");
}

TEST(quotes_that_do_not_match_stay)
{
	EXPECT_STRING(parse("a=\""), "[a|\"]");
	EXPECT_STRING(parse("a=\"b"), "[a|\"b]");
	EXPECT_STRING(parse("a=b\""), "[a|b\"]");
	EXPECT_STRING(parse("a=\"\""), "[a|]");
	EXPECT_STRING(parse("a=\"b; c\""), "[a|\"b][|c\"]");
	EXPECT_STRING(parse("a=\"\\\""), "[a|\\]");
}

TEST(eight_bit_values_are_utf_8_with_replacement)
{
	EXPECT_STRING(parse("a=\xc3\xa9; b=\xe9"), "[a|\xc3\xa9][b|\xef\xbf\xbd]");
}

TEST(unicode_white_space_is_stripped)
{
	EXPECT_STRING(parse("\xc2\xa0"
	                    "a\xe3\x80\x80=\xe2\x80\x83 b\x1c\t"),
	        "[a|b]");
	EXPECT_STRING(parse("a=\xe2\x80\x8b"), "[a|\xe2\x80\x8b]"); // a zero width space is none
}

TEST(long_cookies_fit)
{
	static char text[20001];
	struct http_form cookies;
	struct http_form_cursor cursor = {0};
	struct http_form_text key, value;

	memset(text, 0xFF, sizeof(text) - 1);
	memcpy(text, "a=\"", 3);
	text[sizeof(text) - 2] = '"';
	http_form_init(&cookies, 0, 0);
	EXPECT_INT(http_cookie_parse(&cookies, text, sizeof(text) - 1), 0);
	EXPECT(http_form_next_key(&cookies, &cursor, &key));
	EXPECT(http_form_next_value(&cookies, &cursor, &value));
	EXPECT_INT(value.length, 3 * (sizeof(text) - 5));
	http_form_fini(&cookies);
}
