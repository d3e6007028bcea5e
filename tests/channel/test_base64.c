// SPDX-License-Identifier: MIT
// test_base64.c - encoding and strict decoding.
#include "channel/base64.h"

#include "tests/test.h"

static bool decodes_to(const char *text, const char *expected)
{
	char out[64];
	size_t length = 0;

	return channel_base64_decode(out, &length, text, strlen(text)) &&
	       length == strlen(expected) && memcmp(out, expected, length) == 0;
}

static bool refused(const char *text, size_t text_length)
{
	char out[64];
	size_t length;

	return !channel_base64_decode(out, &length, text, text_length);
}

// RFC 4648 section 10.
static const char *const vectors[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
};

TEST(the_vectors_of_the_rfc_encode_and_decode)
{
	for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
		const char *plain = vectors[i][0], *encoded = vectors[i][1];
		char out[16];
		char *end = channel_base64_encode(out, plain, strlen(plain));

		EXPECT_INT(end - out, strlen(encoded));
		EXPECT_INT(channel_base64_encoded_length(strlen(plain)), strlen(encoded));
		EXPECT(memcmp(out, encoded, strlen(encoded)) == 0);
		EXPECT(decodes_to(encoded, plain));
	}
}

TEST(every_octet_comes_back_at_every_length)
{
	unsigned char data[256], decoded[256];
	char text[344];

	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (unsigned char)(255 - i);
	for (size_t length = 0; length <= sizeof data; length++) {
		char *end = channel_base64_encode(text, data, length);
		size_t decoded_length = 0;

		EXPECT(channel_base64_decode(decoded, &decoded_length, text, (size_t)(end - text)));
		EXPECT_INT(decoded_length, length);
		EXPECT(memcmp(decoded, data, length) == 0);
	}
}

TEST(decoding_may_be_done_in_place)
{
	char text[] = "Zm9vYmFy";
	size_t length = 0;

	EXPECT(channel_base64_decode(text, &length, text, 8));
	EXPECT_INT(length, 6);
	EXPECT(memcmp(text, "foobar", 6) == 0);
}

TEST(what_the_encoder_would_not_write_is_refused)
{
	static const char *const wrong[] = {
	        "Z",
	        "Zg",
	        "Zg=",
	        "Zm9",
	        "====",
	        "=g==",
	        "Z===",
	        "Zg=v",
	        "Zg==Zg==",
	        "Zm8=Zm8=",
	        "Zm9v\n",
	        "Zm 9v",
	        "Zm9-",
	        "Zm9_",
	        "Zm9v====",
	        "Zh==",
	        "Zm9=",
	        "Zm\x80v",
	        "Zm9v ",
	};

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		EXPECT(refused(wrong[i], strlen(wrong[i])));
	EXPECT(refused("Zm\0v", 4));
}
