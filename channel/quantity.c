// SPDX-License-Identifier: MIT
#include "channel/quantity.h"

#include <string.h>
#include <strings.h>

#define FRACTION_DIGITS 9 // that count; with the largest factor, they are below 2^64

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit number_units[] = {{"", 1}, {NULL, 0}};
static const struct unit octet_units[] = {
        {"", 1}, {"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {NULL, 0}};
static const struct unit time_units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60 * 1000},
        {"h", 3600 * 1000}, {"d", 86400 * 1000}, {NULL, 0}};

static const struct unit *const units_of[] = {
        [CHANNEL_NUMBER] = number_units,
        [CHANNEL_OCTETS] = octet_units,
        [CHANNEL_TIME] = time_units,
};

// The factor of the unit that is called as the LENGTH octets at NAME; 0 if there is none.
static uint64_t factor_of(enum channel_unit unit, const char *name, size_t length)
{
	const struct unit *at = units_of[unit];

	while (at->name && (strlen(at->name) != length || strncasecmp(at->name, name, length) != 0))
		at++;
	return at->factor;
}

static bool is_digit(char octet)
{
	return octet >= '0' && octet <= '9';
}

bool channel_quantity_read(
        const char *text, size_t length, enum channel_unit unit, uint64_t most, uint64_t *quantity)
{
	uint64_t whole = 0, fraction = 0, scale = 1, factor, sum;
	size_t at = 0, point;

	for (; at < length && is_digit(text[at]); at++)
		if (__builtin_mul_overflow(whole, 10, &whole) ||
		        __builtin_add_overflow(whole, (uint64_t)(text[at] - '0'), &whole))
			return false;
	point = at;
	if (at + 1 < length && text[at] == '.' && is_digit(text[at + 1]))
		at++;
	for (; at < length && is_digit(text[at]); at++) {
		if (at - point > FRACTION_DIGITS)
			continue;
		fraction = fraction * 10 + (uint64_t)(text[at] - '0');
		scale *= 10;
	}
	factor = factor_of(unit, text + at, length - at);
	if (at == 0 || factor == 0 || (at > point && factor == 1))
		return false;
	if (__builtin_mul_overflow(whole, factor, &sum) ||
	        __builtin_add_overflow(sum, (fraction * factor + scale / 2) / scale, &sum) ||
	        sum > most)
		return false;
	*quantity = sum;
	return true;
}
