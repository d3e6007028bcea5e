// SPDX-License-Identifier: MIT
// http_strict_chunked.c - the strict grammar of chunked bodies; see http_strict.h.
//
// RFC 9112, 7.1, as far as it is accepted here:
//
//	chunked-body = *chunk 1*16"0" [ extension ] CRLF *( field CRLF ) CRLF
//	chunk        = 1*16HEXDIG [ extension ] CRLF data CRLF
//	extension    = ";" *( HTAB / SP / %x21-7E )
//
// No white space around the size, no bare CR or LF, no folded trailer.
#include "server/http_strict.h"

#include "server/http_octet.h"

#define CR '\r'
#define LF '\n'

#define CHUNK_DIGITS_MAX 16

enum chunked_state {
	CHUNK_SIZE,
	CHUNK_EXTENSION,
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	BODY_LF, // of the empty line that ends it all
	TRAILER_START,
	TRAILER_NAME,
	TRAILER_VALUE,
	TRAILER_LF,
};

static int refuse_chunk(struct http_strict_chunked *chunked, int status, const char *reason)
{
	chunked->reason = reason;
	return status;
}

static int chunk_size(struct http_strict_chunked *chunked, char octet)
{
	int value = http_octet_hex(octet);

	if (value >= 0) {
		if (++chunked->digits > CHUNK_DIGITS_MAX || chunked->size > INT64_MAX >> 4)
			return refuse_chunk(chunked, 400, "chunk size too large");
		chunked->size = chunked->size << 4 | (uint64_t)value;
		return 0;
	}
	if (chunked->digits == 0 || (octet != CR && octet != ';'))
		return refuse_chunk(chunked, 400, "malformed chunk size");
	chunked->state = octet == CR ? CHUNK_SIZE_LF : CHUNK_EXTENSION;
	return 0;
}

static int chunk_extension(struct http_strict_chunked *chunked, char octet)
{
	if (octet == CR) {
		chunked->state = CHUNK_SIZE_LF;
		return 0;
	}
	if (!http_octet_is_text(octet) || (uint8_t)octet >= 0x80)
		return refuse_chunk(chunked, 400, "bad octet in a chunk extension");
	if (++chunked->extensions > HTTP_STRICT_EXTENSIONS_MAX)
		return refuse_chunk(chunked, 413, "too many chunk extensions");
	return 0;
}

static int chunk_size_end(struct http_strict_chunked *chunked, char octet)
{
	if (octet != LF)
		return refuse_chunk(chunked, 400, "bare CR in a chunk size");
	if (chunked->overhead > HTTP_STRICT_OVERHEAD_MAX + chunked->data)
		return refuse_chunk(chunked, 413, "too many small chunks");
	chunked->state = chunked->size > 0 ? CHUNK_DATA : TRAILER_START;
	return 0;
}

static int chunk_data_end(struct http_strict_chunked *chunked, char octet)
{
	if (octet != (chunked->state == CHUNK_DATA_CR ? CR : LF))
		return refuse_chunk(chunked, 400, "no CRLF behind chunk data");
	if (octet == CR) {
		chunked->state = CHUNK_DATA_LF;
	} else {
		chunked->state = CHUNK_SIZE;
		chunked->digits = 0;
	}
	return 0;
}

static int trailer_octet(struct http_strict_chunked *chunked, char octet)
{
	if (++chunked->trailers > HTTP_STRICT_TRAILERS_MAX)
		return refuse_chunk(chunked, 431, "trailers too large");
	switch (chunked->state) {
	case TRAILER_START:
		if (octet == CR) {
			chunked->state = BODY_LF;
			return 0;
		}
		chunked->state = TRAILER_NAME;
		return http_octet_is_token(octet) ? 0
		                                  : refuse_chunk(chunked, 400, "malformed trailer");
	case TRAILER_NAME:
		if (octet == ':')
			chunked->state = TRAILER_VALUE;
		else if (!http_octet_is_token(octet))
			return refuse_chunk(chunked, 400, "bad octet in a trailer's name");
		return 0;
	case TRAILER_VALUE:
		if (octet == CR)
			chunked->state = TRAILER_LF;
		else if (!http_octet_is_text(octet))
			return refuse_chunk(chunked, 400, "control in a trailer's value");
		return 0;
	default: // TRAILER_LF
		chunked->state = TRAILER_START;
		return octet == LF ? 0 : refuse_chunk(chunked, 400, "bare CR in a trailer");
	}
}

// One octet that is not chunk data.
static int framing_octet(struct http_strict_chunked *chunked, char octet)
{
	chunked->overhead++;
	switch (chunked->state) {
	case CHUNK_SIZE:
		return chunk_size(chunked, octet);
	case CHUNK_EXTENSION:
		return chunk_extension(chunked, octet);
	case CHUNK_SIZE_LF:
		return chunk_size_end(chunked, octet);
	case CHUNK_DATA_CR:
	case CHUNK_DATA_LF:
		return chunk_data_end(chunked, octet);
	case BODY_LF:
		return octet == LF ? HTTP_STRICT_COMPLETE
		                   : refuse_chunk(chunked, 400, "bare CR behind the last chunk");
	default:
		return trailer_octet(chunked, octet);
	}
}

static size_t chunk_data(struct http_strict_chunked *chunked, size_t length)
{
	size_t taken = length < chunked->size ? length : (size_t)chunked->size;

	chunked->size -= taken;
	chunked->data += taken;
	if (chunked->size == 0)
		chunked->state = CHUNK_DATA_CR;
	return taken;
}

// Whether the next octet belongs to a trailer field, and not to the empty line behind them.
static bool is_trailer(const struct http_strict_chunked *chunked, char octet)
{
	return chunked->state > TRAILER_START || (chunked->state == TRAILER_START && octet != CR);
}

void http_strict_chunked_init(struct http_strict_chunked *chunked)
{
	*chunked = (struct http_strict_chunked){0};
}

int http_strict_chunked_feed(struct http_strict_chunked *chunked, const char *data, size_t length,
        size_t *dropped, size_t *approved)
{
	size_t at = 0;

	while (at < length && chunked->result == 0 && is_trailer(chunked, data[at])) {
		chunked->result = framing_octet(chunked, data[at]);
		at += chunked->result == 0;
	}
	*dropped = at;
	while (at < length && chunked->result == 0 && !is_trailer(chunked, data[at])) {
		if (chunked->state == CHUNK_DATA) {
			at += chunk_data(chunked, length - at);
			continue;
		}
		chunked->result = framing_octet(chunked, data[at]);
		at += chunked->result <= HTTP_STRICT_COMPLETE;
	}
	*approved = at - *dropped;
	return chunked->result;
}
