// SPDX-License-Identifier: MIT
// json_string.c - text as it stands inside a JSON string.
#include "channel/json.h"

#include <string.h>

#define ONES  UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

// Whether any of the eight octets of WORD needs an escape: below 0x20, a quote or a backslash.
// Each line sets the high bit of octets that are below what is subtracted (borrows only spread
// from an octet that has been found already).
static bool any_escaped(uint64_t word)
{
	uint64_t quote = word ^ ONES * '"', backslash = word ^ ONES * '\\';

	return (((word - ONES * 0x20) & ~word) | ((quote - ONES) & ~quote) |
	               ((backslash - ONES) & ~backslash)) &
	       HIGHS;
}

// How many of the LENGTH octets at TEXT stand as they are before the first that needs an escape,
// or a few less.
static size_t plain_length(const char *text, size_t length)
{
	size_t at = 0;
	uint64_t word;

	for (; length - at >= sizeof word; at += sizeof word) {
		memcpy(&word, text + at, sizeof word);
		if (any_escaped(word))
			break;
	}
	return at;
}

// The letter of the two-octet escape of OCTET; 'u' if its escape takes six; 0 if it needs none.
static char escape_letter(unsigned char octet)
{
	switch (octet) {
	case '"':
	case '\\':
		return (char)octet;
	case '\b':
		return 'b';
	case '\f':
		return 'f';
	case '\n':
		return 'n';
	case '\r':
		return 'r';
	case '\t':
		return 't';
	default:
		return octet < 0x20 ? 'u' : 0;
	}
}

bool channel_json_is_plain(const char *text, size_t length)
{
	size_t at = plain_length(text, length);

	while (at < length && escape_letter((unsigned char)text[at]) == 0)
		at++;
	return at == length;
}

size_t channel_json_escaped_length(const char *utf8, size_t length)
{
	size_t at = plain_length(utf8, length), total = length;

	while (at < length) {
		char letter = escape_letter((unsigned char)utf8[at++]);

		if (!letter)
			continue;
		total += letter == 'u' ? 5 : 1;
		at += plain_length(utf8 + at, length - at);
	}
	return total;
}
