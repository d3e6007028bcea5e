// SPDX-License-Identifier: MIT
// escape.h - makes octets that came from outside fit for a line of a log.
#pragma once

#include <stddef.h>

enum escape_style {
	ESCAPE_TEXT,        // UTF-8 stays; controls and what isn't UTF-8 become \n, \xHH
	ESCAPE_JSON,        // the same for a JSON string; what isn't UTF-8 is read as latin-1
	ESCAPE_COMBINED,    // as nginx: ", \, controls and everything from 0x7f on become \xHH
	ESCAPE_JSON_LATIN1, // for a JSON string, ASCII only: all is read as latin-1
};

// The most octets that one octet can become.
#define ESCAPE_FACTOR 6

// Writes LENGTH octets from DATA, escaped, to OUT, which must have room for ESCAPE_FACTOR times as
// many. Returns how many were written; no NUL is added. Pure.
size_t escape(char *out, enum escape_style style, const char *data, size_t length);
