// SPDX-License-Identifier: MIT
// http_octet.h - classes of octets that the HTTP grammars share; ASCII only, no locale.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool http_octet_is_digit(char octet)
{
	return octet >= '0' && octet <= '9';
}

static inline char http_octet_lower(char octet)
{
	return octet >= 'A' && octet <= 'Z' ? (char)(octet + ('a' - 'A')) : octet;
}

static inline bool http_octet_is_letter(char octet)
{
	octet = http_octet_lower(octet);
	return octet >= 'a' && octet <= 'z';
}

// 0 to 15, or -1.
static inline int http_octet_hex(char octet)
{
	if (http_octet_is_digit(octet))
		return octet - '0';
	octet = http_octet_lower(octet);
	return octet >= 'a' && octet <= 'f' ? octet - 'a' + 10 : -1;
}

// Decodes percent escapes, and PLUS (0 for none) to a space, of LENGTH octets to OUT, which may be TEXT. What is
// no escape stays as it is, as Python's unquote() has it. Returns the octets written.
static inline size_t http_octet_unescape(char *out, const char *text, size_t length, char plus)
{
	char *start = out;

	for (size_t at = 0; at < length; at++) {
		int high = -1, low = -1;

		if (text[at] == '%' && length - at > 2) {
			high = http_octet_hex(text[at + 1]);
			low = http_octet_hex(text[at + 2]);
		}
		if (high >= 0 && low >= 0) {
			*out++ = (char)(high << 4 | low);
			at += 2;
		} else {
			*out++ = plus && text[at] == plus ? ' ' : text[at];
		}
	}
	return (size_t)(out - start);
}

// Optional white space (OWS).
static inline bool http_octet_is_space(char octet)
{
	return octet == ' ' || octet == '\t';
}

// tchar (RFC 9110, 5.6.2): an octet of a method or field name.
static inline bool http_octet_is_token(char octet)
{
	static const bool token[256] = {
	        ['0' ... '9'] = true,
	        ['A' ... 'Z'] = true,
	        ['a' ... 'z'] = true,
	        ['!'] = true,
	        ['#' ... '\''] = true,
	        ['*' ... '+'] = true,
	        ['-' ... '.'] = true,
	        ['^' ... '`'] = true,
	        ['|'] = true,
	        ['~'] = true,
	};

	return token[(uint8_t)octet];
}

// An octet of a field value: TAB, SP, what is printable, and 80..FF.
static inline bool http_octet_is_text(char octet)
{
	return octet == '\t' || ((uint8_t)octet >= ' ' && octet != 0x7F);
}
