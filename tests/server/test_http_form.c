// SPDX-License-Identifier: MIT
// test_http_form.c - queries and forms give what QueryDict gives; limits, reuse and media types.
#include "server/http_form.h"

#include "tests/test.h"

// A form as text: "key=value,value;key=value".
static const char *flat(const struct http_form *form)
{
	static char text[4096];
	struct http_form_cursor cursor = {0};
	struct http_form_text key, value;
	char *at = text, *end = text + sizeof(text);

	*at = '\0';
	while (http_form_next_key(form, &cursor, &key)) {
		const char *before = "=";

		at += snprintf(at, (size_t)(end - at), "%s%.*s", at == text ? "" : ";",
		        (int)key.length, key.data);
		while (http_form_next_value(form, &cursor, &value)) {
			at += snprintf(at, (size_t)(end - at), "%s%.*s", before, (int)value.length,
			        value.data);
			before = ",";
		}
	}
	return text;
}

static const char *parse_as(const char *text, enum http_form_charset charset)
{
	struct http_form form;

	http_form_init(&form, 0, 0);
	test_bad |= http_form_parse(&form, text, strlen(text), charset) != 0;
	const char *result = flat(&form);
	http_form_fini(&form);
	http_form_fini(&form);
	return result;
}

static const char *parse(const char *text)
{
	return parse_as(text, HTTP_FORM_UTF_8);
}

#define FFFD "\xef\xbf\xbd"

TEST(keys_come_in_first_seen_order_with_their_values)
{
	EXPECT_STRING(parse("a=1&b=2&a=3&c=4&b=5"), "a=1,3;b=2,5;c=4");
}

TEST(blank_values_and_keys_are_kept_empty_fields_are_not)
{
	EXPECT_STRING(parse(""), "");
	EXPECT_STRING(parse("a&b=&=c&&"), "a=;b=;=c");
	EXPECT_STRING(parse("="), "=");
	EXPECT_STRING(parse("&&&"), "");
}

TEST(only_the_ampersand_separates)
{
	EXPECT_STRING(parse("a=1;b=2"), "a=1;b=2"); // one key
	EXPECT_STRING(parse("a=b=c"), "a=b=c");
}

TEST(plus_is_a_space_and_escapes_are_decoded_once)
{
	EXPECT_STRING(parse("a+b=c+d%2B%26%3D%2541"), "a b=c d+&=%41");
}

TEST(bad_escapes_stay_as_they_are)
{
	EXPECT_STRING(parse("a=%zz&b=%&c=%4&d=%%41&e=%u0041"), "a=%zz;b=%;c=%4;d=%A;e=%u0041");
}

TEST(invalid_utf_8_in_escapes_is_replaced)
{
	EXPECT_STRING(parse("a=%ff&b=%E2%82&c=%ED%A0%80&d=%C3%A9"),
	        "a=" FFFD ";b=" FFFD ";c=" FFFD FFFD FFFD ";d=\xc3\xa9");
}

TEST(raw_utf_8_is_taken_as_it_is)
{
	EXPECT_STRING(parse("\xc3\xa9=\xe2\x82\xac"), "\xc3\xa9=\xe2\x82\xac");
}

TEST(raw_octets_that_are_not_utf_8_make_all_raw_octets_latin_1)
{
	EXPECT_STRING(parse("a=\xc3\xa9&b=\xff"), "a=\xc3\x83\xc2\xa9;b=\xc3\xbf");
}

TEST(an_escape_and_a_raw_octet_never_join)
{
	EXPECT_STRING(parse("a=%C3\xa9"), "a=" FFFD "\xc2\xa9");
}

TEST(other_charsets)
{
	EXPECT_STRING(parse_as("a=%e9", HTTP_FORM_LATIN_1), "a=\xc3\xa9");
	EXPECT_STRING(parse_as("a=\xe9", HTTP_FORM_LATIN_1), "a=\xc3\xa9");
	EXPECT_STRING(parse_as("a=%e9x", HTTP_FORM_ASCII), "a=" FFFD "x");
	EXPECT_STRING(parse_as("a=\xe9", HTTP_FORM_ASCII), "a=\xc3\xa9");
}

TEST(a_long_raw_text_of_one_octet_characters_fits)
{
	static char text[100000];
	struct http_form form;
	struct http_form_cursor cursor = {0};
	struct http_form_text key, value;

	memset(text, 0xFF, sizeof(text));
	text[0] = 'a', text[1] = '=';
	http_form_init(&form, 0, 0);
	EXPECT_INT(http_form_parse(&form, text, sizeof(text), HTTP_FORM_UTF_8), 0);
	EXPECT(http_form_next_key(&form, &cursor, &key));
	EXPECT(http_form_next_value(&form, &cursor, &value));
	EXPECT_INT(value.length, 2 * (sizeof(text) - 2));
	http_form_fini(&form);
}

TEST(more_fields_than_the_limit_are_refused_empty_ones_counted)
{
	struct http_form form;

	http_form_init(&form, 3, 0);
	EXPECT_INT(http_form_parse(&form, "a&b&c", 5, HTTP_FORM_UTF_8), 0);
	http_form_clear(&form);
	EXPECT_INT(http_form_parse(&form, "a&b&c&", 6, HTTP_FORM_UTF_8), HTTP_FORM_TOO_MANY);
	http_form_clear(&form);
	for (int i = 0; i < 3; i++)
		EXPECT_INT(http_form_add(&form, "a", 1, "b", 1), 0);
	EXPECT_INT(http_form_add(&form, "a", 1, "b", 1), HTTP_FORM_TOO_MANY);
	EXPECT_INT(http_form_parse(&form, "a", 1, HTTP_FORM_UTF_8), HTTP_FORM_TOO_MANY);
	EXPECT_STRING(flat(&form), "a=b,b,b");
	http_form_fini(&form);
}

TEST(more_text_than_the_limit_is_refused)
{
	struct http_form form;

	http_form_init(&form, 0, 10);
	EXPECT_INT(http_form_parse(&form, "12345=67890", 11, HTTP_FORM_UTF_8), 0);
	http_form_clear(&form);
	EXPECT_INT(
	        http_form_parse(&form, "12345=678901", 12, HTTP_FORM_UTF_8), HTTP_FORM_TOO_LARGE);
	http_form_clear(&form);
	EXPECT_INT(
	        http_form_parse(&form, "a=%ff%ff%ff%ff", 14, HTTP_FORM_UTF_8), HTTP_FORM_TOO_LARGE);
	EXPECT_INT(http_form_add(&form, "b", 1, "0123456789", 10), HTTP_FORM_TOO_LARGE);
	http_form_fini(&form);
}

TEST(set_keeps_the_last_value_in_the_first_place)
{
	struct http_form form;

	http_form_init(&form, 0, 0);
	http_form_set(&form, "a", 1, "1", 1);
	http_form_set(&form, "b", 1, "2", 1);
	http_form_set(&form, "a", 1, "3", 1);
	EXPECT_STRING(flat(&form), "a=3;b=2");
	http_form_fini(&form);
}

TEST(a_value_may_arrive_in_pieces)
{
	struct http_form form;

	http_form_init(&form, 0, 0);
	EXPECT_INT(http_form_open(&form, "a", 1), 0);
	EXPECT_INT(http_form_append(&form, "x\xc3", 2), 0);
	EXPECT_INT(http_form_append(&form, "\xa9\xff", 2), 0);
	EXPECT_INT(http_form_close(&form, HTTP_FORM_UTF_8), 0);
	EXPECT_INT(http_form_open(&form, "a", 1), 0);
	EXPECT_INT(http_form_append(&form, "\xe9", 1), 0);
	EXPECT_INT(http_form_close(&form, HTTP_FORM_LATIN_1), 0);
	EXPECT_INT(http_form_open(&form, "b", 1), 0);
	EXPECT_INT(http_form_close(&form, HTTP_FORM_UTF_8), 0);
	EXPECT_STRING(flat(&form), "a=x\xc3\xa9" FFFD ",\xc3\xa9;b=");
	http_form_fini(&form);
}

TEST(a_form_is_used_again_and_again_without_more_memory)
{
	struct http_form form;

	http_form_init(&form, 0, 0);
	for (int i = 0; i < 1000; i++) {
		char text[32];
		int length = snprintf(text, sizeof(text), "k%d=v&a=1&k%d=w", i, i);

		EXPECT_INT(http_form_parse(&form, text, (size_t)length, HTTP_FORM_UTF_8), 0);
		EXPECT(strstr(flat(&form), "=v,w;a=1") != NULL);
		http_form_clear(&form);
	}
	EXPECT(form.text_size <= 1024 && form.key_size <= 32 && form.bucket_size <= 64);
	http_form_fini(&form);
}

// Thousands of distinct keys: all are found again, and no chain is long.
TEST(many_distinct_keys_are_spread)
{
	struct http_form form;

	http_form_init(&form, 50000, 0);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 20000; i++) {
			char key[16];
			int length = snprintf(key, sizeof(key), "key%d", i);

			EXPECT_INT(http_form_add(&form, key, (size_t)length, "v", 1), 0);
		}
	}
	EXPECT_INT(form.key_count, 20000);
	EXPECT_INT(form.value_count, 40000);
	uint32_t used = 0;
	for (uint32_t i = 0; i < form.bucket_size; i++)
		used += form.buckets[i] != 0;
	EXPECT(used > form.key_count / 2);
	http_form_clear(&form);
	EXPECT_STRING(flat(&form), "");
	http_form_fini(&form);
}

static int kind_of(const char *type, enum http_form_charset *charset)
{
	return http_form_content_type(type, strlen(type), charset);
}

TEST(media_types_and_charsets_are_told_apart)
{
	enum http_form_charset charset;

	EXPECT_INT(kind_of("application/x-www-form-urlencoded", &charset), HTTP_FORM_URLENCODED);
	EXPECT_INT(charset, HTTP_FORM_UTF_8);
	EXPECT_INT(kind_of("Application/X-WWW-Form-Urlencoded ; Charset=\"ISO-8859-1\"", &charset),
	        HTTP_FORM_URLENCODED);
	EXPECT_INT(charset, HTTP_FORM_LATIN_1);
	EXPECT_INT(kind_of("multipart/form-data; boundary=x; charset=us-ascii", &charset),
	        HTTP_FORM_MULTIPART);
	EXPECT_INT(charset, HTTP_FORM_ASCII);
	EXPECT_INT(kind_of("text/plain; charset=klingon", &charset), HTTP_FORM_NONE);
	EXPECT_INT(charset, HTTP_FORM_UTF_8);
	EXPECT_INT(kind_of("", &charset), HTTP_FORM_NONE);
	EXPECT_INT(kind_of("multipart/form-datax", &charset), HTTP_FORM_NONE);
	EXPECT_INT(kind_of("x; charset=Latin_1; y=\"a;charset=utf-8\"", &charset), HTTP_FORM_NONE);
	EXPECT_INT(charset, HTTP_FORM_LATIN_1);
}
