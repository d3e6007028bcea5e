// SPDX-License-Identifier: MIT
// test_http_path.c - paths are decoded once, stay below the root, and become UTF-8 as in Django.
#include "server/http_path.h"

#include "channel/utf8.h"
#include "tests/test.h"

// The decoded path, or NULL if it is refused. The buffers have exactly the size promised.
static const char *decode(const char *path)
{
	static char text[256];
	size_t length = strlen(path), size;
	char *out = malloc(HTTP_PATH_SIZE(length));
	const char *reason = NULL;
	int result = http_path_decode(path, length, out, &size, &reason);

	if (result == 0) {
		test_bad |= !channel_utf8_valid(out, size);
		memcpy(text, out, size);
		text[size] = '\0';
	} else {
		test_bad |= result != 400 || !reason;
	}
	free(out);
	return result == 0 ? text : NULL;
}

TEST(plain_paths_stay_as_they_are)
{
	EXPECT_STRING(decode("/"), "/");
	EXPECT_STRING(decode("/a/b.html"), "/a/b.html");
	EXPECT_STRING(decode("/a+b;c=d:@!$&'()*,~"), "/a+b;c=d:@!$&'()*,~");
	EXPECT_STRING(decode("//a//"), "//a//");
}

TEST(an_empty_path_is_the_root)
{
	EXPECT_STRING(decode(""), "/");
}

TEST(escapes_are_decoded_once)
{
	EXPECT_STRING(decode("/a%20b"), "/a b");
	EXPECT_STRING(decode("/%41%4a%4A"), "/AJJ");
	EXPECT_STRING(decode("/%2541"), "/%41");
	EXPECT_STRING(decode("/a%2Fb"), "/a/b");
	EXPECT_STRING(decode("/%C3%A9"), "/\xc3\xa9");
}

TEST(malformed_escapes_are_refused)
{
	EXPECT(!decode("/%zz"));
	EXPECT(!decode("/%"));
	EXPECT(!decode("/%4"));
	EXPECT(!decode("/%4g"));
	EXPECT(!decode("/%%41"));
	EXPECT(!decode("/%u0041"));
}

TEST(nul_is_refused)
{
	EXPECT(!decode("/a%00"));
	EXPECT_STRING(decode("/a%01"), "/a\x01");
}

TEST(dot_segments_below_the_root_are_kept)
{
	EXPECT_STRING(decode("/a/../b/./c"), "/a/../b/./c");
	EXPECT_STRING(decode("/a/b/../.."), "/a/b/../..");
	EXPECT_STRING(decode("/..."), "/...");
	EXPECT_STRING(decode("/a.."), "/a..");
}

TEST(climbing_above_the_root_is_refused)
{
	EXPECT(!decode("/.."));
	EXPECT(!decode("/../a"));
	EXPECT(!decode("/a/../.."));
	EXPECT(!decode("/./.."));
	EXPECT(!decode("/a/../../a"));
	EXPECT(!decode("/%2e%2e/a"));
	EXPECT(!decode("/%2e./a"));
	EXPECT(!decode("/a%2f..%2f.."));
	EXPECT(!decode("/a//../.."));
}

TEST(what_is_not_utf_8_is_percent_encoded_again)
{
	EXPECT_STRING(decode("/%ff"), "/%FF");
	EXPECT_STRING(decode("/%e9t%e9"), "/%E9t%E9");
	EXPECT_STRING(decode("/%C3%A9%C3"), "/\xc3\xa9%C3");
	EXPECT_STRING(decode("/%ED%A0%80"), "/%ED%A0%80");
	EXPECT_STRING(decode("/%C0%AF"), "/%C0%AF");
	EXPECT_STRING(decode("/%F0%9F%98x"), "/%F0%9F%98x");
}

// Raw octets don't pass http_strict, but the function has to fit its buffer for any.
TEST(raw_high_octets_fit_into_the_buffer)
{
	EXPECT_STRING(decode("\xff\xff\xff\xff"), "%FF%FF%FF%FF");
}
