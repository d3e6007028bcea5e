// SPDX-License-Identifier: MIT
// fuzz_http_request.c - any octets as a head: what the strict grammar and http-parser let through
// becomes a message that the layer takes and a consumer can read.
#include "tests/fuzz/fuzz.h"

#include "server/http_request.h"
#include "tests/fuzz/fuzz_layer.h"

// Builds the message, sends it, and receives it.
static void pass(struct http_request *request, const struct http_strict_head *head,
        const char *data, struct forebay *layer)
{
	static const struct http_request_peer peer = {"::1", "1", NULL, "80", false};
	struct http_request_body body = {.charset = HTTP_FORM_UTF_8};
	struct forebay_message *message = forebay_message_new(layer);
	int status =
	        http_request_fill(request, head, data, &peer, &body, "http.response!0", message);

	fuzz_require(status == 0 || status == 400 || status == 413);
	if (status) {
		fuzz_require(request->reason != NULL);
	} else {
		message = fuzz_pass(layer, message);
		fuzz_require(forebay_get_string(message, "path", NULL) != NULL);
		fuzz_require(forebay_get(forebay_message_root(message), "meta") != NULL);
	}
	forebay_message_free(message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_request request;
	struct forebay *layer = fuzz_layer();
	struct http_strict_head head;
	http_parser parser;
	char *copy;

	if (!request.fields)
		http_request_init(&request, 100, 32768, 8000, 100, 65536);
	http_strict_head_init(&head, &HTTP_STRICT_LIMITS);
	if (http_strict_head_feed(&head, (const char *)data, size) != HTTP_STRICT_COMPLETE)
		return 0;
	copy = malloc(head.length); // exactly, so that a sanitizer sees a read behind the head
	memcpy(copy, data, head.length);
	http_strict_head_normalize(&head, copy);
	if (http_request_read(&request, &head, &parser, copy) == 0)
		pass(&request, &head, copy, layer);
	free(copy);
	return 0;
}
