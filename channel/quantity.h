// SPDX-License-Identifier: MIT
// quantity.h - numbers with units, as people write them: 100, 64K, 1500ms, 2.5h.
//
//   quantity = ( digits [ "." digits ] | "." digits ) [ unit ]
//
// Neither signs, exponents nor blanks; units in upper or lower case. The functions are pure.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum channel_unit {
	CHANNEL_NUMBER, // of whatever: no unit
	CHANNEL_OCTETS, // K, M or G, powers of 1024; none: octets
	CHANNEL_TIME,   // ms, s, m, h or d; none: seconds; what comes out is milliseconds
};

// Reads a quantity that is all of the LENGTH octets at TEXT, which needs no NUL. A fraction is rounded to whole octets or
// milliseconds; only with a unit of more than one can there be any. False if it isn't such a quantity, or more than
// MOST; then *QUANTITY is as it was.
bool channel_quantity_read(
        const char *text, size_t length, enum channel_unit unit, uint64_t most, uint64_t *quantity);
