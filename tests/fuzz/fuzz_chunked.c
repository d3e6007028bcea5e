// SPDX-License-Identifier: MIT
// fuzz_chunked.c - chunked bodies: the judgement does not depend on cuts, and http-parser takes what was
// approved, delivers as many octets of data, and ends where this ends.
#include "tests/fuzz/fuzz.h"

#include <http_parser.h>

#include "server/http_strict.h"

static const char head[] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

struct body {
	http_parser parser;
	uint64_t data;
	bool complete;
};

static int on_body(http_parser *parser, const char *at, size_t length)
{
	(void)at;
	((struct body *)parser)->data += length;
	return 0;
}

static int on_message_complete(http_parser *parser)
{
	((struct body *)parser)->complete = true;
	return 0;
}

static const http_parser_settings settings = {
        .on_body = on_body, .on_message_complete = on_message_complete};

static int feed(
        struct http_strict_chunked *chunked, struct body *body, const char *data, size_t size)
{
	int result = HTTP_STRICT_MORE;
	size_t dropped, approved;

	while (size > 0 && result == HTTP_STRICT_MORE) {
		result = http_strict_chunked_feed(chunked, data, size, &dropped, &approved);
		fuzz_require(dropped + approved <= size);
		fuzz_require(result != HTTP_STRICT_MORE || dropped + approved > 0);
		// (No octets would mean the end of the stream to http-parser.)
		if (approved > 0)
			fuzz_require(http_parser_execute(&body->parser, &settings, data + dropped,
			                     approved) == approved);
		fuzz_require(body->parser.http_errno == HPE_OK);
		data += dropped + approved;
		size -= dropped + approved;
	}
	return result;
}

static void start(struct http_strict_chunked *chunked, struct body *body)
{
	*body = (struct body){0};
	http_strict_chunked_init(chunked);
	http_parser_init(&body->parser, HTTP_REQUEST);
	http_parser_execute(&body->parser, &settings, head, sizeof(head) - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t cut = fuzz_cut(&data, &size);
	struct http_strict_chunked chunked;
	struct body whole, pieces;

	start(&chunked, &whole);
	int result = feed(&chunked, &whole, (const char *)data, size);
	if (result < 400)
		fuzz_require(whole.data == chunked.data);
	fuzz_require(whole.complete == (result == HTTP_STRICT_COMPLETE));

	start(&chunked, &pieces);
	int other = feed(&chunked, &pieces, (const char *)data, cut);
	if (other == HTTP_STRICT_MORE && cut < size)
		other = feed(&chunked, &pieces, (const char *)data + cut, size - cut);
	fuzz_require(other == result && (result >= 400 || pieces.data == whole.data));
	return 0;
}
