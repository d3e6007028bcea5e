// SPDX-License-Identifier: MIT
// base64.c - base64 after RFC 4648 section 4.
#include "channel/base64.h"

#include <stdint.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// The six bits of each character plus one; 0 for what is not in the alphabet.
static const uint8_t values[256] = {
        ['A'] = 1,
        ['B'] = 2,
        ['C'] = 3,
        ['D'] = 4,
        ['E'] = 5,
        ['F'] = 6,
        ['G'] = 7,
        ['H'] = 8,
        ['I'] = 9,
        ['J'] = 10,
        ['K'] = 11,
        ['L'] = 12,
        ['M'] = 13,
        ['N'] = 14,
        ['O'] = 15,
        ['P'] = 16,
        ['Q'] = 17,
        ['R'] = 18,
        ['S'] = 19,
        ['T'] = 20,
        ['U'] = 21,
        ['V'] = 22,
        ['W'] = 23,
        ['X'] = 24,
        ['Y'] = 25,
        ['Z'] = 26,
        ['a'] = 27,
        ['b'] = 28,
        ['c'] = 29,
        ['d'] = 30,
        ['e'] = 31,
        ['f'] = 32,
        ['g'] = 33,
        ['h'] = 34,
        ['i'] = 35,
        ['j'] = 36,
        ['k'] = 37,
        ['l'] = 38,
        ['m'] = 39,
        ['n'] = 40,
        ['o'] = 41,
        ['p'] = 42,
        ['q'] = 43,
        ['r'] = 44,
        ['s'] = 45,
        ['t'] = 46,
        ['u'] = 47,
        ['v'] = 48,
        ['w'] = 49,
        ['x'] = 50,
        ['y'] = 51,
        ['z'] = 52,
        ['0'] = 53,
        ['1'] = 54,
        ['2'] = 55,
        ['3'] = 56,
        ['4'] = 57,
        ['5'] = 58,
        ['6'] = 59,
        ['7'] = 60,
        ['8'] = 61,
        ['9'] = 62,
        ['+'] = 63,
        ['/'] = 64,
};

char *channel_base64_encode(char *out, const void *data, size_t length)
{
	const uint8_t *in = data;
	uint32_t bits;

	for (; length >= 3; length -= 3, in += 3) {
		bits = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
		*out++ = alphabet[bits >> 18];
		*out++ = alphabet[bits >> 12 & 63];
		*out++ = alphabet[bits >> 6 & 63];
		*out++ = alphabet[bits & 63];
	}
	if (length > 0) {
		bits = (uint32_t)in[0] << 16 | (length == 2 ? (uint32_t)in[1] << 8 : 0);
		*out++ = alphabet[bits >> 18];
		*out++ = alphabet[bits >> 12 & 63];
		*out++ = length == 2 ? alphabet[bits >> 6 & 63] : '=';
		*out++ = '=';
	}
	return out;
}

// The COUNT characters at TEXT as a number of 6 * COUNT bits, or -1 if one is not in the alphabet.
static int32_t read_bits(const char *text, unsigned count)
{
	int32_t bits = 0;

	for (unsigned at = 0; at < count; at++) {
		uint8_t value = values[(unsigned char)text[at]];

		if (value == 0)
			return -1;
		bits = bits << 6 | (value - 1);
	}
	return bits;
}

// The last group: two, three or four characters that stand for one, two or three octets. Bits that
// stand for nothing must be zero, so that no two texts decode to the same octets.
static bool decode_last(uint8_t **out, const char *text)
{
	unsigned padding = (text[3] == '=') + (text[2] == '=' && text[3] == '=');
	int32_t bits = read_bits(text, 4 - padding);

	if (bits < 0 || bits & ((1 << 2 * padding) - 1))
		return false;
	bits <<= 6 * padding;
	*(*out)++ = (uint8_t)(bits >> 16);
	if (padding < 2)
		*(*out)++ = (uint8_t)(bits >> 8);
	if (padding < 1)
		*(*out)++ = (uint8_t)bits;
	return true;
}

bool channel_base64_decode(void *out, size_t *out_length, const char *text, size_t length)
{
	uint8_t *to = out;

	if (length % 4 != 0)
		return false;
	for (; length > 4; length -= 4, text += 4) {
		int32_t bits = read_bits(text, 4);

		if (bits < 0)
			return false;
		*to++ = (uint8_t)(bits >> 16);
		*to++ = (uint8_t)(bits >> 8);
		*to++ = (uint8_t)bits;
	}
	if (length > 0 && !decode_last(&to, text))
		return false;
	*out_length = (size_t)(to - (uint8_t *)out);
	return true;
}
