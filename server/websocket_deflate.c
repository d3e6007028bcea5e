// SPDX-License-Identifier: MIT
// websocket_deflate.c - compression of messages; see websocket_deflate.h.
#include "server/websocket_deflate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/websocket_gate.h"

#define LEVEL       1 // the fastest: on small messages the others gain next to nothing
#define MEM_LEVEL   8
#define BUFFER_MIN  4096
#define BUFFER_KEPT 65536

// What every compressed message ends with, and which isn't sent (RFC 7692, 7.2.1).
static const unsigned char tail[4] = {0x00, 0x00, 0xff, 0xff};

void websocket_deflate_fini(struct websocket_deflate *deflate)
{
	if (deflate->in_made)
		inflateEnd(&deflate->in);
	for (int bits = 0; bits <= WEBSOCKET_DEFLATE_BITS_MAX; bits++)
		if (deflate->out_made[bits])
			deflateEnd(&deflate->out[bits]);
	free(deflate->buffer);
	*deflate = (struct websocket_deflate){.buffer = NULL};
}

void websocket_deflate_trim(struct websocket_deflate *deflate)
{
	if (deflate->size <= BUFFER_KEPT)
		return;
	free(deflate->buffer);
	deflate->buffer = NULL;
	deflate->size = 0;
}

// ---------------------------------------------------------------------------------------------
// Negotiation: extension-list = 1#( token *( ";" token [ "=" ( token / quoted ) ] ) )
// ---------------------------------------------------------------------------------------------

struct text {
	const char *at, *end;
};

// An offer of the extension.
struct offer {
	bool is_ours;      // permessage-deflate
	bool bad;          // with a parameter that isn't known, is wrong, or came twice
	int server_bits;   // 0: not asked for
	bool client_bits;  // seen
	bool server_alone; // server_no_context_takeover
	bool client_alone;
};

static void skip_space(struct text *text)
{
	while (text->at < text->end && (*text->at == ' ' || *text->at == '\t'))
		text->at++;
}

static bool take(struct text *text, char c)
{
	skip_space(text);
	if (text->at == text->end || *text->at != c)
		return false;
	text->at++;
	skip_space(text);
	return true;
}

static struct text take_token(struct text *text)
{
	struct text token = {text->at, text->at};

	while (token.end < text->end && !strchr(" \t,;=\"", *token.end))
		token.end++;
	text->at = token.end;
	return token;
}

// A value; what a quoted one may contain here is the same as for a token.
static struct text take_value(struct text *text)
{
	bool quoted = take(text, '"');
	struct text value = take_token(text);

	if (quoted && !take(text, '"'))
		value.end = value.at; // as good as none: it will be refused
	return value;
}

static bool is(struct text text, const char *word)
{
	size_t length = (size_t)(text.end - text.at);

	return length == strlen(word) && strncasecmp(text.at, word, length) == 0;
}

// 8 to 15, without leading zeros; else 0.
static int window_bits(struct text value)
{
	size_t length = (size_t)(value.end - value.at);

	if (length == 1 && (*value.at == '8' || *value.at == '9'))
		return *value.at - '0';
	if (length == 2 && value.at[0] == '1' && value.at[1] >= '0' && value.at[1] <= '5')
		return 10 + value.at[1] - '0';
	return 0;
}

static void set_once(struct offer *offer, bool *flag, bool has_value)
{
	offer->bad |= *flag || has_value;
	*flag = true;
}

static void take_parameter(struct offer *offer, struct text *text)
{
	struct text name = take_token(text), value = {0};
	bool has_value = take(text, '=');
	int bits = 0;

	if (has_value) {
		value = take_value(text);
		bits = window_bits(value);
	}
	if (is(name, "server_no_context_takeover")) {
		set_once(offer, &offer->server_alone, has_value);
	} else if (is(name, "client_no_context_takeover")) {
		set_once(offer, &offer->client_alone, has_value);
	} else if (is(name, "server_max_window_bits")) {
		offer->bad |= offer->server_bits != 0 || bits == 0;
		offer->server_bits = bits;
	} else if (is(name, "client_max_window_bits")) {
		offer->bad |= offer->client_bits || (has_value && bits == 0);
		offer->client_bits = true;
	} else {
		offer->bad = true;
	}
}

static struct offer take_offer(struct text *text)
{
	struct offer offer = {.is_ours = is(take_token(text), "permessage-deflate")};

	while (take(text, ';'))
		take_parameter(&offer, text);
	// What can't be read ends at the next comma.
	skip_space(text);
	if (text->at < text->end && *text->at != ',') {
		const char *comma = memchr(text->at, ',', (size_t)(text->end - text->at));

		offer.bad = true;
		text->at = comma ? comma : text->end;
	}
	return offer;
}

// The window bits with which FIELD's first good offer can be met, or 0; *SAY: they have to be said.
static int choose(const struct http_request_field *field, bool *say)
{
	struct text text = {field->value, field->value + field->value_length};

	do {
		struct offer offer;

		skip_space(&text);
		offer = take_offer(&text);
		*say = offer.server_bits != 0;
		if (!offer.is_ours || offer.bad)
			continue;
		if (!*say)
			return WEBSOCKET_DEFLATE_BITS_MAX;
		if (offer.server_bits >= WEBSOCKET_DEFLATE_BITS_MIN)
			return offer.server_bits;
	} while (take(&text, ','));
	return 0;
}

int websocket_deflate_negotiate(
        const struct http_request *request, char answer[WEBSOCKET_DEFLATE_ANSWER])
{
	const struct http_request_field *field =
	        http_request_find(request, "sec-websocket-extensions", 24);
	char bits_text[48] = "";
	int bits = 0;
	bool say;

	while (field && !bits) {
		bits = choose(field, &say);
		field = field->same ? &request->fields[field->same - 1] : NULL;
	}
	if (!bits)
		return 0;
	if (say)
		snprintf(bits_text, sizeof(bits_text), "; server_max_window_bits=%d", bits);
	// The client must not keep its context either, whatever it offered (RFC 7692, 7.1.1.2).
	snprintf(answer, WEBSOCKET_DEFLATE_ANSWER,
	        "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
	        "client_no_context_takeover%s\r\n",
	        bits_text);
	return bits;
}

// ---------------------------------------------------------------------------------------------
// Messages
// ---------------------------------------------------------------------------------------------

static int reserve(struct websocket_deflate *deflate, size_t needed)
{
	size_t size = deflate->size ? deflate->size : BUFFER_MIN;
	char *grown;

	if (needed <= deflate->size)
		return 0;
	while (size < needed)
		size *= 2;
	grown = realloc(deflate->buffer, size);
	if (!grown)
		return -ENOMEM;
	deflate->buffer = grown;
	deflate->size = size;
	return 0;
}

// Expands LENGTH octets behind the *FILLED ones in the buffer. Returns 0 or a close code.
static int expand_some(struct websocket_deflate *deflate, const void *data, size_t length,
        size_t limit, size_t *filled)
{
	z_stream *stream = &deflate->in;
	int result = Z_OK;

	stream->next_in = (Bytef *)data;
	stream->avail_in = (uInt)length;
	// Until it asks for input, which it does with room left in the buffer. Each round fills the buffer, or is the last.
	do {
		if (reserve(deflate, *filled + 1024) < 0)
			return WEBSOCKET_INTERNAL_ERROR;
		stream->next_out = (Bytef *)deflate->buffer + *filled;
		stream->avail_out = (uInt)(deflate->size - *filled);
		result = inflate(stream, Z_SYNC_FLUSH);
		*filled = deflate->size - stream->avail_out;
		if (*filled > limit)
			return WEBSOCKET_TOO_BIG;
		if (result == Z_STREAM_END)
			inflateReset(
			        stream); // a final block: others may follow (RFC 7692, 7.2.3.4)
		else if (result != Z_OK && result != Z_BUF_ERROR)
			return WEBSOCKET_BAD_DATA;
	} while (stream->avail_in > 0 || stream->avail_out == 0);
	return 0;
}

int websocket_deflate_expand(struct websocket_deflate *deflate, const char *data, size_t length,
        size_t limit, const char **out, size_t *out_length)
{
	size_t filled = 0;
	int result;

	if (!deflate->in_made && inflateInit2(&deflate->in, -WEBSOCKET_DEFLATE_BITS_MAX) != Z_OK)
		return WEBSOCKET_INTERNAL_ERROR;
	deflate->in_made = true;
	inflateReset(&deflate->in);
	result = expand_some(deflate, data, length, limit, &filled);
	if (!result)
		result = expand_some(deflate, tail, sizeof(tail), limit, &filled);
	*out = deflate->buffer;
	*out_length = filled;
	return result;
}

static z_stream *out_stream(struct websocket_deflate *deflate, int bits)
{
	z_stream *stream = &deflate->out[bits];

	if (deflate->out_made[bits])
		return deflateReset(stream) == Z_OK ? stream : NULL;
	if (deflateInit2(stream, LEVEL, Z_DEFLATED, -bits, MEM_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
		return NULL;
	deflate->out_made[bits] = true;
	return stream;
}

// Takes all input, and with LAST writes all output. Returns 0, or -1 if there was no room for it.
static int deflate_some(z_stream *stream, bool last)
{
	int result = deflate(stream, last ? Z_SYNC_FLUSH : Z_NO_FLUSH);

	return (result == Z_OK || result == Z_BUF_ERROR) && stream->avail_in == 0 &&
	                       stream->avail_out > 0
	               ? 0
	               : -1;
}

size_t websocket_deflate_compress(struct websocket_deflate *deflate, int bits,
        const struct iovec *parts, int count, size_t length, size_t reserved, char **out)
{
	z_stream *stream = out_stream(deflate, bits);

	// What doesn't get smaller is sent as it is, so there is never more room needed.
	if (!stream || reserve(deflate, reserved + length + sizeof(tail)) < 0)
		return 0;
	stream->next_out = (Bytef *)deflate->buffer + reserved;
	stream->avail_out = (uInt)(length + sizeof(tail));
	for (int i = 0; i < count; i++) {
		stream->next_in = parts[i].iov_base;
		stream->avail_in = (uInt)parts[i].iov_len;
		if (deflate_some(stream, i == count - 1) < 0)
			return 0;
	}
	*out = deflate->buffer;
	return length - stream->avail_out; // without the tail
}
