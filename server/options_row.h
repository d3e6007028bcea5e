// SPDX-License-Identifier: MIT
// options_row.h - one row of the table of options: reading, copying and comparing its value.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "server/options.h"

enum options_type {
	OPTIONS_BOOLEAN,
	OPTIONS_INTEGER,
	OPTIONS_WORKERS,
	OPTIONS_SIZE,
	OPTIONS_DURATION,
	OPTIONS_STRING,
	OPTIONS_PATH,
	OPTIONS_PATHS,
	OPTIONS_ENUM,
	OPTIONS_ADDRESSES,
	OPTIONS_CAPACITIES,
	OPTIONS_DROPS,
	OPTIONS_HISTORIES,
	OPTIONS_ORIGINS,
	OPTIONS_CONFIG,
};

enum options_effect {
	OPTIONS_RELOAD,
	OPTIONS_RESTART,
};

struct options_row {
	enum options_type type;
	const char *field;
	size_t offset; // of the value in struct options
	const char *initial, *range, *value, *help;
	enum options_effect effect;
	const char *heading; // of --help; such a row is no option, all else in it is zero
};

// How many rows there are, headings among them.
enum {
	OPTIONS_ROWS = 0
#define OPTION_GROUP(TITLE) +1
#define OPTION(...)         +1
#include "server/options_table.h"
#undef OPTION
#undef OPTION_GROUP
};

// In the order of the table. OPTIONS_EACH visits the options only.
extern const struct options_row options_rows[OPTIONS_ROWS];
#define OPTIONS_EACH(ROW)                                                                          \
	for (const struct options_row *ROW = options_rows; ROW < options_rows + OPTIONS_ROWS;      \
	        ROW++)                                                                             \
		if (ROW->field)

// An option's name, as on the command line but without the dashes.
#define OPTIONS_NAME_SIZE 48
void options_row_name(const struct options_row *row, char name[OPTIONS_NAME_SIZE]);

// The row whose name is the LENGTH octets at NAME, or NULL.
const struct options_row *options_row_find(const char *name, size_t length);

// The row whose name is most like the LENGTH octets at NAME, or NULL if none is alike.
const struct options_row *options_row_closest(const char *name, size_t length);

bool options_row_is_list(const struct options_row *row);

// Sets the value of ROW in OPTIONS from TEXT; a list gets one item more. OPTIONS->directory is what
// a relative path is made absolute with. Returns 0, -ENOMEM, or OPTIONS_INVALID and then, in REASON,
// what the value must be: "must be a number, 1..128".
#define OPTIONS_REASON_SIZE 256
int options_row_set(const struct options_row *row, struct options *options, const char *text,
        char reason[OPTIONS_REASON_SIZE]);

// What a value must be, as in options_row_set(), but without "must be".
void options_row_describe(const struct options_row *row, char text[OPTIONS_REASON_SIZE]);

bool options_row_equal(
        const struct options_row *row, const struct options *one, const struct options *other);

// Replaces the value in TO by a copy of that in FROM. Returns 0 or -ENOMEM.
int options_row_copy(const struct options_row *row, struct options *to, const struct options *from);

// Frees what the value owns and zeroes it.
void options_row_clear(const struct options_row *row, struct options *options);
