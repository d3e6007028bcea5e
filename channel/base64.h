// SPDX-License-Identifier: MIT
// base64.h - base64 after RFC 4648 section 4: the standard alphabet, padded, no line breaks.
#pragma once

#include <stdbool.h>
#include <stddef.h>

// Octets that LENGTH octets take encoded, padding included, without a NUL.
static inline size_t channel_base64_encoded_length(size_t length)
{
	return length / 3 * 4 + (length % 3 ? 4 : 0);
}

// Writes channel_base64_encoded_length(LENGTH) characters to OUT, no NUL. Returns the end.
char *channel_base64_encode(char *out, const void *data, size_t length);

// Decodes LENGTH characters of TEXT to OUT, which has room for LENGTH / 4 * 3 octets and may be TEXT itself. Returns
// false for anything but exactly what the encoder writes: a character outside the alphabet, padding missing or
// misplaced, unused bits that aren't zero. OUT is then partly written.
bool channel_base64_decode(void *out, size_t *out_length, const char *text, size_t length);
