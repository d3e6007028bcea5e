// SPDX-License-Identifier: MIT
// fuzz_http_strict.c - heads: the judgement does not depend on cuts, and http-parser, given a head that
// was accepted, accepts it too and sees the same framing.
#include "tests/fuzz/fuzz.h"

#include <http_parser.h>

#include "server/http_strict.h"

static int on_headers_complete(http_parser *parser)
{
	*(bool *)parser->data = true;
	return 0;
}

static void compare(const struct http_strict_head *head, const char *data)
{
	static const http_parser_settings settings = {.on_headers_complete = on_headers_complete};
	char *copy = malloc(head->length);
	bool complete = false;
	http_parser parser;

	memcpy(copy, data, head->length);
	http_strict_head_normalize(head, copy);
	http_parser_init(&parser, HTTP_REQUEST);
	parser.data = &complete;
	http_parser_execute(&parser, &settings, copy, head->length);
	fuzz_require(parser.http_errno == HPE_OK && complete);
	fuzz_require(parser.http_minor == head->minor || parser.http_minor > 1);
	fuzz_require(head->chunked == !!(parser.flags & F_CHUNKED));
	const char *method = http_method_str((enum http_method)parser.method);
	fuzz_require(head->method.length == strlen(method) &&
	             memcmp(data + head->method.offset, method, head->method.length) == 0);
	// With a body the parser now waits for it; without, it is done with the message.
	if (head->content_length > 0)
		fuzz_require(parser.content_length == (uint64_t)head->content_length);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_strict_head whole, pieces;
	size_t cut = fuzz_cut(&data, &size);

	http_strict_head_init(&whole, &HTTP_STRICT_LIMITS);
	http_strict_head_init(&pieces, &HTTP_STRICT_LIMITS);
	int result = http_strict_head_feed(&whole, (const char *)data, size);
	http_strict_head_feed(&pieces, (const char *)data, cut);
	fuzz_require(http_strict_head_feed(&pieces, (const char *)data, size) == result);
	if (result == HTTP_STRICT_COMPLETE) {
		fuzz_require(
		        whole.length == pieces.length && whole.host.offset == pieces.host.offset);
		compare(&whole, (const char *)data);
	} else {
		fuzz_require(result == HTTP_STRICT_MORE || (result >= 400 && whole.reason));
	}
	return 0;
}
