// SPDX-License-Identifier: MIT
// http_octet.h - classes of octets that the HTTP grammars share; ASCII only, no locale.
#pragma once

#include <stdbool.h>
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
