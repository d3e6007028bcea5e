// SPDX-License-Identifier: MIT
// options_row.c - one row of the table of options: reading, copying and comparing its value.
#include "server/options_row.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel/name.h"
#include "channel/quantity.h"
#include "server/listener.h"

#define CAPACITY_MAX 8192 // messages that a channel may hold

#define OPTION_GROUP(TITLE) {.heading = TITLE},
#define OPTION(TYPE, FIELD, INITIAL, RANGE, VALUE, EFFECT, HELP)                                   \
	{OPTIONS_##TYPE, #FIELD, offsetof(struct options, FIELD), INITIAL, RANGE, VALUE, HELP,     \
	        OPTIONS_##EFFECT, NULL},
const struct options_row options_rows[OPTIONS_ROWS] = {
#include "server/options_table.h"
};
#undef OPTION
#undef OPTION_GROUP

// ---------------------------------------------------------------------------------------------
// Names
// ---------------------------------------------------------------------------------------------

void options_row_name(const struct options_row *row, char name[OPTIONS_NAME_SIZE])
{
	snprintf(name, OPTIONS_NAME_SIZE, "%s", row->field);
	for (char *c = name; *c; c++)
		if (*c == '_')
			*c = '-';
}

const struct options_row *options_row_find(const char *name, size_t length)
{
	char known[OPTIONS_NAME_SIZE];

	OPTIONS_EACH(row)
	{
		options_row_name(row, known);
		if (strlen(known) == length && memcmp(known, name, length) == 0)
			return row;
	}
	return NULL;
}

// How many characters must be inserted, deleted or replaced to make one word from the other
// (Levenshtein); KNOWN is shorter than OPTIONS_NAME_SIZE.
static size_t distance(const char *known, const char *name, size_t length)
{
	size_t row[OPTIONS_NAME_SIZE], width = strlen(known);

	for (size_t x = 0; x <= width; x++)
		row[x] = x;
	for (size_t y = 1; y <= length; y++) {
		size_t diagonal = row[0];

		row[0] = y;
		for (size_t x = 1; x <= width; x++) {
			size_t best = diagonal + (known[x - 1] != name[y - 1]);

			diagonal = row[x];
			if (row[x] + 1 < best)
				best = row[x] + 1;
			if (row[x - 1] + 1 < best)
				best = row[x - 1] + 1;
			row[x] = best;
		}
	}
	return row[width];
}

const struct options_row *options_row_closest(const char *name, size_t length)
{
	const struct options_row *closest = NULL;
	size_t best = length / 3 + 1; // a third of it may be wrong
	char known[OPTIONS_NAME_SIZE];

	if (length >= OPTIONS_NAME_SIZE)
		return NULL;
	OPTIONS_EACH(row)
	{
		size_t far;

		options_row_name(row, known);
		far = distance(known, name, length);
		// What a user abbreviated is meant, however much is missing.
		if (length >= 3 && strncmp(known, name, length) == 0)
			far = 1;
		if (far < best || (far == best && !closest)) {
			best = far;
			closest = row;
		}
	}
	return closest;
}

// ---------------------------------------------------------------------------------------------
// Values as text
// ---------------------------------------------------------------------------------------------

static enum channel_unit unit_of(enum options_type type)
{
	if (type == OPTIONS_SIZE)
		return CHANNEL_OCTETS;
	return type == OPTIONS_DURATION ? CHANNEL_TIME : CHANNEL_NUMBER;
}

// Reads a number within the row's range "LEAST..MOST".
static bool read_ranged(const struct options_row *row, const char *text, uint64_t *number)
{
	enum channel_unit unit = unit_of(row->type);
	const char *dots = strstr(row->range, "..");
	uint64_t least, most;

	return channel_quantity_read(
	               row->range, (size_t)(dots - row->range), unit, UINT64_MAX, &least) &&
	       channel_quantity_read(dots + 2, strlen(dots + 2), unit, UINT64_MAX, &most) &&
	       channel_quantity_read(text, strlen(text), unit, most, number) && *number >= least;
}

// The position of TEXT among "one|two|three", or -1.
static int read_word(const char *words, const char *text)
{
	size_t length = strlen(text);

	for (int number = 0;; number++) {
		size_t end = strcspn(words, "|");

		if (end == length && strncasecmp(words, text, end) == 0)
			return number;
		if (!words[end])
			return -1;
		words += end + 1;
	}
}

// Whether it is but one, and could be one of a channel's name.
static bool is_pattern(const char *text)
{
	for (const char *c = text; *c; c++)
		if (*c <= ' ' || *c > '~' || *c == ',')
			return false;
	return *text != '\0';
}

static bool is_capacity(const char *text)
{
	return is_pattern(text) && !channel_name_patterns_error(text, CAPACITY_MAX);
}

static bool is_drop(const char *text)
{
	return is_pattern(text) && !channel_name_drops_error(text);
}

static bool is_history(const char *text)
{
	return is_pattern(text) && !channel_history_error(text);
}

// SCHEME://HOST[:PORT], as browsers write it: lower case, without a path.
static bool is_origin(const char *text)
{
	const char *host = strstr(text, "://");

	if (strcmp(text, "same") == 0)
		return true;
	if (!host || host == text || !host[3])
		return false;
	for (const char *c = text; *c; c++)
		if (*c <= ' ' || *c > '~' || isupper((unsigned char)*c))
			return false;
	return !strpbrk(host + 3, "/?#@");
}

void options_row_describe(const struct options_row *row, char text[OPTIONS_REASON_SIZE])
{
	static const char *const kinds[] = {
	        [OPTIONS_BOOLEAN] = "yes or no",
	        [OPTIONS_INTEGER] = "a number, ",
	        [OPTIONS_WORKERS] = "auto or a number, ",
	        [OPTIONS_SIZE] = "a size (a number, with K, M or G), ",
	        [OPTIONS_DURATION] = "a time (a number with ms, s, m, h or d), ",
	        [OPTIONS_STRING] = "text, not empty and without control characters",
	        [OPTIONS_PATH] = "a file name",
	        [OPTIONS_PATHS] = "a file name",
	        [OPTIONS_ENUM] = "one of ",
	        [OPTIONS_ADDRESSES] = "HOST:PORT, [IPV6]:PORT, https://HOST:PORT or unix:/PATH",
	        [OPTIONS_HISTORIES] =
	                "PATTERN=N[/SIZE[/TIME]] with a number N, 1..8192, a size and a time",
	        [OPTIONS_CAPACITIES] =
	                ("PATTERN=N or PATTERN=N/POLICY with a number N, 1..8192, and a policy "
	                 "refuse, drop-oldest or keep-latest, but for reply channels (!)"),
	        [OPTIONS_DROPS] = "PATTERN=PERCENT, 0..100 with at most 4 digits behind the point",
	        [OPTIONS_ORIGINS] = "SCHEME://HOST[:PORT] in lower case, or same",
	        [OPTIONS_CONFIG] = "a file name",
	};
	_Static_assert(CAPACITY_MAX == 8192, "said in the text above");

	snprintf(text, OPTIONS_REASON_SIZE, "%s%s", kinds[row->type], row->range ? row->range : "");
}

// ---------------------------------------------------------------------------------------------
// Values in the struct
// ---------------------------------------------------------------------------------------------

static void *place(const struct options_row *row, struct options *options)
{
	return (char *)options + row->offset;
}

static const void *place_const(const struct options_row *row, const struct options *options)
{
	return (const char *)options + row->offset;
}

bool options_row_is_list(const struct options_row *row)
{
	return row->type == OPTIONS_ADDRESSES || row->type == OPTIONS_CAPACITIES ||
	       row->type == OPTIONS_DROPS || row->type == OPTIONS_HISTORIES ||
	       row->type == OPTIONS_ORIGINS || row->type == OPTIONS_CONFIG ||
	       row->type == OPTIONS_PATHS;
}

static bool is_string(const struct options_row *row)
{
	return row->type == OPTIONS_STRING || row->type == OPTIONS_PATH;
}

static int set_string(char **place, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return -ENOMEM;
	free(*place);
	*place = copy;
	return 0;
}

static int append(struct options_list *list, const char *text)
{
	char **items = reallocarray(list->items, list->count + 1, sizeof(*items));

	if (!items)
		return -ENOMEM;
	list->items = items;
	items[list->count] = NULL;
	if (set_string(&items[list->count], text) < 0)
		return -ENOMEM;
	list->count++;
	return 0;
}

// TEXT as an absolute path: to be freed. "-" and "off" are words of their own.
static char *absolute(const struct options *options, const char *text)
{
	char *path;

	if (text[0] == '/' || strcmp(text, "-") == 0 || strcmp(text, "off") == 0)
		return strdup(text);
	return asprintf(&path, "%s/%s", options->directory, text) < 0 ? NULL : path;
}

static int set_path(const struct options_row *row, struct options *options, const char *text)
{
	char *path = absolute(options, text);
	int result;

	if (!path)
		return -ENOMEM;
	if (options_row_is_list(row))
		result = append(place(row, options), path);
	else
		result = set_string(place(row, options), path);
	free(path);
	return result;
}

static bool is_clean(const char *text)
{
	for (const char *c = text; *c; c++)
		if (iscntrl((unsigned char)*c))
			return false;
	return *text != '\0';
}

// A number of any kind, a boolean, or a word: whatever is stored without an allocation.
static bool set_scalar(const struct options_row *row, struct options *options, const char *text)
{
	uint64_t number = 0;
	int word;

	switch (row->type) {
	case OPTIONS_BOOLEAN:
		word = read_word("no|yes|false|true|off|on|0|1", text);
		*(bool *)place(row, options) = word % 2 == 1;
		return word >= 0;
	case OPTIONS_ENUM:
		word = read_word(row->range, text);
		*(int *)place(row, options) = word;
		return word >= 0;
	case OPTIONS_SIZE:
		if (!read_ranged(row, text, &number))
			return false;
		*(uint64_t *)place(row, options) = number;
		return true;
	case OPTIONS_DURATION:
		if (!read_ranged(row, text, &number))
			return false;
		*(int64_t *)place(row, options) = (int64_t)number;
		return true;
	default: // INTEGER, and WORKERS, whose `auto` is 0
		if (row->type == OPTIONS_WORKERS && strcasecmp(text, "auto") == 0)
			number = 0;
		else if (!read_ranged(row, text, &number))
			return false;
		*(int *)place(row, options) = (int)number;
		return true;
	}
}

static int refuse(const struct options_row *row, char reason[OPTIONS_REASON_SIZE])
{
	char what[OPTIONS_REASON_SIZE];

	options_row_describe(row, what);
	snprintf(reason, OPTIONS_REASON_SIZE, "must be %.200s", what);
	return OPTIONS_INVALID;
}

int options_row_set(const struct options_row *row, struct options *options, const char *text,
        char reason[OPTIONS_REASON_SIZE])
{
	struct listener_address address;
	const char *why;

	switch (row->type) {
	case OPTIONS_STRING:
		return is_clean(text) ? set_string(place(row, options), text) : refuse(row, reason);
	case OPTIONS_PATH:
	case OPTIONS_PATHS:
	case OPTIONS_CONFIG:
		return is_clean(text) ? set_path(row, options, text) : refuse(row, reason);
	case OPTIONS_CAPACITIES:
		return is_capacity(text) ? append(place(row, options), text) : refuse(row, reason);
	case OPTIONS_DROPS:
		return is_drop(text) ? append(place(row, options), text) : refuse(row, reason);
	case OPTIONS_HISTORIES:
		return is_history(text) ? append(place(row, options), text) : refuse(row, reason);
	case OPTIONS_ORIGINS:
		return is_origin(text) ? append(place(row, options), text) : refuse(row, reason);
	case OPTIONS_ADDRESSES:
		if (listener_parse(text, &address, &why))
			return append(place(row, options), text);
		snprintf(reason, OPTIONS_REASON_SIZE, "%s", why);
		return OPTIONS_INVALID;
	default:
		return set_scalar(row, options, text) ? 0 : refuse(row, reason);
	}
}

// Octets of a value that owns nothing.
static size_t scalar_size(const struct options_row *row)
{
	switch (row->type) {
	case OPTIONS_BOOLEAN:
		return sizeof(bool);
	case OPTIONS_SIZE:
		return sizeof(uint64_t);
	case OPTIONS_DURATION:
		return sizeof(int64_t);
	default:
		return sizeof(int);
	}
}

static bool equal_lists(const struct options_list *one, const struct options_list *other)
{
	if (one->count != other->count)
		return false;
	for (size_t i = 0; i < one->count; i++)
		if (strcmp(one->items[i], other->items[i]) != 0)
			return false;
	return true;
}

bool options_row_equal(
        const struct options_row *row, const struct options *one, const struct options *other)
{
	const void *a = place_const(row, one), *b = place_const(row, other);

	if (options_row_is_list(row))
		return equal_lists(a, b);
	if (is_string(row)) {
		const char *const *left = a, *const *right = b;

		return *left && *right ? strcmp(*left, *right) == 0 : *left == *right;
	}
	return memcmp(a, b, scalar_size(row)) == 0;
}

static int copy_list(struct options_list *to, const struct options_list *from)
{
	for (size_t i = 0; i < from->count; i++)
		if (append(to, from->items[i]) < 0)
			return -ENOMEM;
	return 0;
}

int options_row_copy(const struct options_row *row, struct options *to, const struct options *from)
{
	options_row_clear(row, to);
	if (options_row_is_list(row))
		return copy_list(place(row, to), place_const(row, from));
	if (is_string(row)) {
		const char *const *string = place_const(row, from);

		return *string ? set_string(place(row, to), *string) : 0;
	}
	memcpy(place(row, to), place_const(row, from), scalar_size(row));
	return 0;
}

void options_row_clear(const struct options_row *row, struct options *options)
{
	if (options_row_is_list(row)) {
		struct options_list *list = place(row, options);

		for (size_t i = 0; i < list->count; i++)
			free(list->items[i]);
		free(list->items);
		*list = (struct options_list){NULL, 0};
	} else if (is_string(row)) {
		char **string = place(row, options);

		free(*string);
		*string = NULL;
	} else {
		memset(place(row, options), 0, scalar_size(row));
	}
}
