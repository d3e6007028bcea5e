// SPDX-License-Identifier: MIT
// http_path.c - from raw path to text; see http_path.h.
#include "server/http_path.h"

#include <stdbool.h>
#include <string.h>

#include "channel/utf8.h"
#include "server/http_octet.h"

// Decodes the escapes to OUT; returns the length, or 0 and *REASON.
static size_t unquote(const char *path, size_t length, char *out, const char **reason)
{
	size_t size = 0;

	for (size_t at = 0; at < length; at++) {
		char octet = path[at];

		if (octet == '%') {
			int high = length - at > 2 ? http_octet_hex(path[at + 1]) : -1;
			int low = length - at > 2 ? http_octet_hex(path[at + 2]) : -1;

			if (high < 0 || low < 0) {
				*reason = "malformed escape in the path";
				return 0;
			}
			octet = (char)(high << 4 | low);
			at += 2;
		}
		if (octet == '\0') {
			*reason = "NUL in the path";
			return 0;
		}
		out[size++] = octet;
	}
	return size;
}

// Whether ".." leads above the root anywhere. Empty segments and "." are no level, as in a file
// system: "/a//../.." climbs out.
static bool climbs(const char *path, size_t length)
{
	size_t depth = 0;

	while (length > 0) {
		const char *slash = memchr(path, '/', length);
		size_t segment = slash ? (size_t)(slash - path) : length;

		if (segment == 2 && path[0] == '.' && path[1] == '.') {
			if (depth-- == 0)
				return true;
		} else if (segment > 0 && !(segment == 1 && path[0] == '.')) {
			depth++;
		}
		path += segment + (slash != NULL);
		length -= segment + (slash != NULL);
	}
	return false;
}

// Copies with every octet of a broken sequence percent-encoded. OUT may be the octets before PATH
// if the gap is at least twice LENGTH: what is written never overtakes what is read.
static size_t repercent(const char *path, size_t length, char *out)
{
	static const char digits[] = "0123456789ABCDEF";
	char *start = out;

	while (length > 0) {
		size_t valid = channel_utf8_prefix(path, length);

		memmove(out, path, valid);
		out += valid;
		path += valid;
		length -= valid;
		for (size_t broken = length > 0 ? channel_utf8_broken(path, length) : 0; broken > 0;
		        broken--, path++, length--) {
			uint8_t octet = (uint8_t)*path;

			*out++ = '%';
			*out++ = digits[octet >> 4];
			*out++ = digits[octet & 15];
		}
	}
	return (size_t)(out - start);
}

int http_path_decode(
        const char *path, size_t length, char *out, size_t *out_length, const char **reason)
{
	if (length == 0) {
		out[0] = '/';
		*out_length = 1;
		return 0;
	}

	size_t size = unquote(path, length, out, reason);

	if (size == 0)
		return 400;
	if (climbs(out, size)) {
		*reason = "path above the root";
		return 400;
	}
	if (!channel_utf8_valid(out, size)) {
		// To the end of the buffer, and from there back.
		char *tail = out + HTTP_PATH_SIZE(length) - size;

		memmove(tail, out, size);
		size = repercent(tail, size, out);
	}
	*out_length = size;
	return 0;
}
