// SPDX-License-Identifier: MIT
// escape.c - makes octets that came from outside fit for a line of a log.
#include "server/escape.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "channel/utf8.h"

static bool is_json(enum escape_style style)
{
	return style == ESCAPE_JSON || style == ESCAPE_JSON_LATIN1;
}

// Writes one octet as an escape sequence.
static size_t escape_octet(char *out, enum escape_style style, unsigned char octet)
{
	static const char digits[] = "0123456789abcdef", upper[] = "0123456789ABCDEF";
	const char *hex = style == ESCAPE_COMBINED ? upper : digits;
	size_t length = 0;

	out[length++] = '\\';
	if (style != ESCAPE_COMBINED && (octet == '\n' || octet == '\r' || octet == '\t')) {
		out[length++] = octet == '\n' ? 'n' : octet == '\r' ? 'r' : 't';
		return length;
	}
	if (is_json(style) && (octet == '"' || octet == '\\')) {
		out[length++] = (char)octet;
		return length;
	}
	out[length++] = is_json(style) ? 'u' : 'x';
	if (is_json(style)) {
		out[length++] = '0';
		out[length++] = '0';
	}
	out[length++] = hex[octet >> 4];
	out[length++] = hex[octet & 15];
	return length;
}

static bool is_plain(enum escape_style style, unsigned char octet)
{
	if (octet < 0x20 || octet >= 0x7f)
		return false;
	return style == ESCAPE_TEXT || (octet != '"' && octet != '\\');
}

// How many octets at DATA are one UTF-8 character beyond ASCII that may stay: no C1 control.
static size_t character(const char *data, size_t length)
{
	unsigned char first = (unsigned char)data[0];
	size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;

	if (first < 0x80 || size > length || !channel_utf8_valid(data, size))
		return 0;
	return first == 0xc2 && (unsigned char)data[1] < 0xa0 ? 0 : size;
}

size_t escape(char *out, enum escape_style style, const char *data, size_t length)
{
	bool utf8 = style == ESCAPE_TEXT || style == ESCAPE_JSON;
	size_t written = 0, size;

	for (size_t i = 0; i < length; i += size) {
		size = 1;
		if (is_plain(style, (unsigned char)data[i])) {
			out[written++] = data[i];
		} else if (utf8 && (size = character(data + i, length - i)) > 0) {
			memcpy(out + written, data + i, size);
			written += size;
		} else {
			size = 1;
			written += escape_octet(out + written, style, (unsigned char)data[i]);
		}
	}
	return written;
}
