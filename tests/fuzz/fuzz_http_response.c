// SPDX-License-Identifier: MIT
// fuzz_http_response.c - any messages as a response, one on each line: what comes out is one response,
// as http-parser sees it, with no header field that the consumer did not put there.
#include "tests/fuzz/fuzz.h"

#include <sys/uio.h>

#include <http_parser.h>

#include "server/http_response.h"
#include "tests/fuzz/fuzz_layer.h"

static char octets[4 << 20];
static size_t length;
static bool has_no_body;

static int on_headers_complete(http_parser *parser)
{
	(void)parser;
	return has_no_body; // whatever the head says
}

static int on_message_complete(http_parser *parser)
{
	++*(int *)parser->data;
	return 0;
}

// Adds the next part. Returns whether the response is still going on.
static bool add(struct http_response *response, const struct http_response_request *request,
        struct forebay_message *message)
{
	static struct http_response_buffer buffer;
	struct iovec parts[HTTP_RESPONSE_PARTS];
	int count = http_response_next(response, request, message, &buffer, parts);

	fuzz_require(count <= HTTP_RESPONSE_PARTS);
	fuzz_require(count >= 0 || response->reason);
	for (int i = 0; i < count; i++) {
		fuzz_require(sizeof(octets) - length >= parts[i].iov_len);
		memcpy(octets + length, parts[i].iov_base, parts[i].iov_len);
		length += parts[i].iov_len;
	}
	return count >= 0 && response->more;
}

static void check(const struct http_response *response)
{
	static const http_parser_settings settings = {.on_headers_complete = on_headers_complete,
	        .on_message_complete = on_message_complete};
	http_parser parser;
	int complete = 0;
	size_t parsed;

	has_no_body = response->framing == HTTP_RESPONSE_NO_BODY;
	http_parser_init(&parser, HTTP_RESPONSE);
	parser.data = &complete;
	http_parser_set_max_header_size(1 << 20);
	parsed = http_parser_execute(&parser, &settings, octets, length);
	// http-parser takes any name that begins with Transfer-Encoding for that field, here.
	if (parser.http_errno == HPE_UNEXPECTED_CONTENT_LENGTH)
		return;
	fuzz_require(parsed == length && parser.http_errno == HPE_OK);
	if (response->framing == HTTP_RESPONSE_UNTIL_CLOSE)
		http_parser_execute(&parser, &settings, octets, 0);
	fuzz_require(complete == 1);
	fuzz_require(parser.status_code == response->status);
}

// The first octet is the request; each line behind it is a message.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct forebay *layer = fuzz_layer();
	struct http_response response = {0};
	struct http_response_request request;
	const char *at = (const char *)data + 1, *end = (const char *)data + size;
	bool more = size > 0;

	length = 0;
	request.head = more && data[0] & 1;
	request.minor = more && data[0] & 2 ? 0 : 1;
	request.keep_alive = more && data[0] & 4;
	while (more && at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t line = (size_t)((newline ? newline : end) - at);
		struct forebay_message *message = forebay_message_new(layer);

		if (forebay_message_from_json(message, at, line, NULL) == 0) {
			message = fuzz_pass(layer, message);
			more = add(&response, &request, message);
		}
		forebay_message_free(message);
		at += line + 1;
	}
	if (response.started && !response.more && !response.reason)
		check(&response);
	return 0;
}
