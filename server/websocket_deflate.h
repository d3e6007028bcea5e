// SPDX-License-Identifier: MIT
// websocket_deflate.h - permessage-deflate (RFC 7692) for all WebSockets of a worker.
//
// Both sides always agree on no context takeover: each message is compressed by itself. So a
// connection needs no memory for it, and two streams per worker are enough, one for each direction. It is
// zlib that is used, and not the extension of libwebsockets, which fails on empty messages, mistakes the sides
// of the parameters, and keeps two windows per connection: the gate hides RSV1 from it.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <zlib.h>

#include "server/http_request.h"

#define WEBSOCKET_DEFLATE_BITS_MIN 9 // zlib has no raw stream with a window of 2^8
#define WEBSOCKET_DEFLATE_BITS_MAX 15
#define WEBSOCKET_DEFLATE_ANSWER   192 // room for the header field that agrees

struct websocket_deflate {
	z_stream in;
	z_stream out[WEBSOCKET_DEFLATE_BITS_MAX + 1]; // by window bits; made when first needed
	bool in_made, out_made[WEBSOCKET_DEFLATE_BITS_MAX + 1];
	char *buffer; // for the result of the last call
	size_t size;
};

// Frees all memory. Accepts a zeroed object and a second call.
void websocket_deflate_fini(struct websocket_deflate *deflate);

// Gives back the memory of a large result. To be called now and then, when no result is in use.
void websocket_deflate_trim(struct websocket_deflate *deflate);

// Looks for an offer of permessage-deflate that can be accepted. Returns the window bits of what is sent to that
// client, 9 to 15, and writes the whole header field line that says so to ANSWER; or 0.
int websocket_deflate_negotiate(
        const struct http_request *request, char answer[WEBSOCKET_DEFLATE_ANSWER]);

// Decompresses a message of LENGTH octets. Returns 0 and *OUT, valid until the next call, of *OUT_LENGTH octets; or a
// close code: 1009 as soon as it is larger than LIMIT, 1007 if it isn't compressed data, 1011 out of memory.
int websocket_deflate_expand(struct websocket_deflate *deflate, const char *data, size_t length,
        size_t limit, const char **out, size_t *out_length);

// Compresses the LENGTH octets in PARTS, behind RESERVED octets that are left free. Returns the octets of the result, at
// *OUT + RESERVED, valid until the next call; or 0 if it would not be smaller, or memory is exhausted.
size_t websocket_deflate_compress(struct websocket_deflate *deflate, int bits,
        const struct iovec *parts, int count, size_t length, size_t reserved, char **out);
