// SPDX-License-Identifier: MIT
// utf8.c - strict UTF-8 after RFC 3629; see utf8.h.
//
// Well-formed sequences (Unicode, table 3-7). Only the second octet has special ranges, so a state
// of three numbers is enough: how many octets must follow, and the range of the next one.
//
//	00..7F
//	C2..DF 80..BF
//	E0     A0..BF 80..BF
//	E1..EC 80..BF 80..BF		EE and EF likewise
//	ED     80..9F 80..BF		no surrogates
//	F0     90..BF 80..BF 80..BF
//	F1..F3 80..BF 80..BF 80..BF
//	F4     80..8F 80..BF 80..BF	nothing above U+10FFFF
#include "channel/utf8.h"

#include <string.h>

#define HIGH_BITS 0x8080808080808080u

static size_t skip_ascii(const char *data, size_t length)
{
	size_t at = 0;

	for (uint64_t word[4]; length - at >= sizeof(word); at += sizeof(word)) {
		memcpy(word, data + at, sizeof(word));
		if ((word[0] | word[1] | word[2] | word[3]) & HIGH_BITS)
			break;
	}
	for (uint64_t word; length - at >= sizeof(word); at += sizeof(word)) {
		memcpy(&word, data + at, sizeof(word));
		if (word & HIGH_BITS)
			break;
	}
	while (at < length && !(data[at] & 0x80))
		at++;
	return at;
}

// Enters a sequence of several octets by its first one; false if no sequence starts so.
static bool start_sequence(struct channel_utf8 *utf8, uint8_t octet)
{
	if (octet < 0xC2 || octet > 0xF4)
		return false;
	utf8->needed = octet < 0xE0 ? 1 : octet < 0xF0 ? 2 : 3;
	utf8->low = octet == 0xE0 ? 0xA0 : octet == 0xF0 ? 0x90 : 0x80;
	utf8->high = octet == 0xED ? 0x9F : octet == 0xF4 ? 0x8F : 0xBF;
	return true;
}

static bool continue_sequence(struct channel_utf8 *utf8, uint8_t octet)
{
	if (octet < utf8->low || octet > utf8->high)
		return false;
	utf8->needed--;
	utf8->low = 0x80;
	utf8->high = 0xBF;
	return true;
}

// The sequence at the start of DATA, which is not ASCII: how many octets of it can stand there
// (its maximal subpart), at least 1; *WHOLE says whether that is a character.
static size_t take_sequence(const char *data, size_t length, bool *whole)
{
	struct channel_utf8 utf8 = {0};
	size_t at = 1;

	*whole = false;
	if (!start_sequence(&utf8, (uint8_t)data[0]))
		return 1;
	while (utf8.needed && at < length && continue_sequence(&utf8, (uint8_t)data[at]))
		at++;
	*whole = utf8.needed == 0;
	return at;
}

size_t channel_utf8_prefix(const char *data, size_t length)
{
	size_t at = 0;

	while (at < length) {
		bool whole;

		at += skip_ascii(data + at, length - at);
		if (at == length)
			break;
		size_t taken = take_sequence(data + at, length - at, &whole);
		if (!whole)
			break;
		at += taken;
	}
	return at;
}

bool channel_utf8_valid(const char *data, size_t length)
{
	return channel_utf8_prefix(data, length) == length;
}

size_t channel_utf8_broken(const char *data, size_t length)
{
	bool whole;

	return take_sequence(data, length, &whole);
}

size_t channel_utf8_replace(char *out, const char *data, size_t length)
{
	char *start = out;

	while (length > 0) {
		size_t valid = channel_utf8_prefix(data, length);

		memmove(out, data, valid);
		out += valid;
		data += valid;
		length -= valid;
		if (length > 0) {
			size_t broken = channel_utf8_broken(data, length);

			out += channel_utf8_encode(out, 0xFFFD);
			data += broken;
			length -= broken;
		}
	}
	return (size_t)(out - start);
}

size_t channel_utf8_encode(char *out, uint32_t code_point)
{
	if (code_point < 0x80) {
		out[0] = (char)code_point;
		return 1;
	}
	if (code_point < 0x800) {
		out[0] = (char)(0xC0 | code_point >> 6);
		out[1] = (char)(0x80 | (code_point & 0x3F));
		return 2;
	}
	if (code_point < 0x10000) {
		out[0] = (char)(0xE0 | code_point >> 12);
		out[1] = (char)(0x80 | (code_point >> 6 & 0x3F));
		out[2] = (char)(0x80 | (code_point & 0x3F));
		return 3;
	}
	out[0] = (char)(0xF0 | code_point >> 18);
	out[1] = (char)(0x80 | (code_point >> 12 & 0x3F));
	out[2] = (char)(0x80 | (code_point >> 6 & 0x3F));
	out[3] = (char)(0x80 | (code_point & 0x3F));
	return 4;
}

bool channel_utf8_feed(struct channel_utf8 *utf8, const char *data, size_t length)
{
	size_t at = 0;

	while (at < length && !utf8->failed) {
		if (utf8->needed) {
			utf8->failed = !continue_sequence(utf8, (uint8_t)data[at++]);
			continue;
		}
		at += skip_ascii(data + at, length - at);
		if (at < length)
			utf8->failed = !start_sequence(utf8, (uint8_t)data[at++]);
	}
	return !utf8->failed;
}

bool channel_utf8_complete(const struct channel_utf8 *utf8)
{
	return !utf8->failed && utf8->needed == 0;
}
