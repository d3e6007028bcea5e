// SPDX-License-Identifier: MIT
// utf8.h - strict UTF-8 after RFC 3629: validation, whole or incremental, and replacement.
//
// Refused are overlong forms, surrogates (ED A0..BF), code points above U+10FFFF and truncated
// sequences. What is broken is divided as Unicode recommends ("maximal subparts") and as Python's
// decoder does it, so that a replaced text has as many U+FFFD as Python's errors='replace' gives.
// All functions are pure: no allocation, no locale, no global state.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Whether all LENGTH octets are well-formed UTF-8. DATA may be NULL if LENGTH is 0.
bool channel_utf8_valid(const char *data, size_t length);

// How many octets at the start are whole, well-formed characters: LENGTH if all of it is valid.
size_t channel_utf8_prefix(const char *data, size_t length);

// DATA starts with a broken sequence (channel_utf8_prefix() is 0 and LENGTH is not): how many of
// its octets, 1 to 3, form the maximal subpart that one U+FFFD stands for.
size_t channel_utf8_broken(const char *data, size_t length);

// Copies LENGTH octets to OUT with every broken sequence replaced by U+FFFD (EF BF BD).
// OUT must have room for 3 * LENGTH octets; DATA may be the last LENGTH of these, but not overlap OUT
// otherwise. Returns the octets written.
size_t channel_utf8_replace(char *out, const char *data, size_t length);

// Writes the code point to OUT (1 to 4 octets, returned). It must be a Unicode scalar value.
size_t channel_utf8_encode(char *out, uint32_t code_point);

// An incremental validator, for text that arrives in pieces. Zeroed is its initial state; a feed
// that failed fails for ever. An error is found at the first octet that can't be right.
struct channel_utf8 {
	uint8_t needed; // continuation octets that must still come; 0 between characters
	uint8_t low;    // the next one must be at least this ...
	uint8_t high;   // ... and at most this
	bool failed;
};

// Returns false as soon as what was fed so far can't be the start of valid UTF-8.
bool channel_utf8_feed(struct channel_utf8 *utf8, const char *data, size_t length);

// Whether all that was fed is valid and ends between two characters.
bool channel_utf8_complete(const struct channel_utf8 *utf8);
