// SPDX-License-Identifier: MIT
// options.h - the options of `forebay serve`: one table makes struct, command line, file and --help.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

// A list option: COUNT strings in the order given.
struct options_list {
	char **items;
	size_t count;
};

// The C type of each TYPE of options_table.h, and what its values look like.
#define OPTIONS_C_BOOLEAN    bool                // yes, no, true, false, on, off
#define OPTIONS_C_INTEGER    int                 // decimal
#define OPTIONS_C_WORKERS    int                 // decimal or `auto`, which is 0
#define OPTIONS_C_SIZE       uint64_t            // octets: decimal with K, M or G (powers of 1024)
#define OPTIONS_C_DURATION   int64_t             // milliseconds: decimal with ms, s, m, h or d
#define OPTIONS_C_STRING     char *              // NULL if there is none
#define OPTIONS_C_PATH       char *              // absolute; or "-", "off"; or NULL
#define OPTIONS_C_PATHS      struct options_list // files, absolute
#define OPTIONS_C_ENUM       int                 // which of the words of RANGE, from 0
#define OPTIONS_C_ADDRESSES  struct options_list // each accepted by listener_parse()
#define OPTIONS_C_CAPACITIES struct options_list // each "PATTERN=N"
#define OPTIONS_C_DROPS      struct options_list // each "PATTERN=PERCENT"
#define OPTIONS_C_HISTORIES  struct options_list // each "PATTERN=N/SIZE/TIME"
#define OPTIONS_C_ORIGINS    struct options_list // each "SCHEME://HOST[:PORT]" or "same"
#define OPTIONS_C_CONFIG     struct options_list // files, absolute

struct options {
#define OPTION_GROUP(TITLE)
#define OPTION(TYPE, FIELD, ...) OPTIONS_C_##TYPE FIELD;
#include "server/options_table.h"
#undef OPTION
#undef OPTION_GROUP
	char *directory; // that relative file names are relative to: the current one at the start
};

// Positive results of options_parse(): the options are not usable then.
enum options_outcome {
	OPTIONS_HELP = 1,    // --help was given: print it and exit 0
	OPTIONS_INVALID = 2, // the error text says in one sentence what and where
};

// Room for any error text, which is cut if a user gave a longer value.
#define OPTIONS_ERROR_SIZE 1024

// Reads the command line (argv[0] is skipped), then the configuration files that it names; what the
// command line says wins. Returns 0, or OPTIONS_HELP, or OPTIONS_INVALID, or a negative errno with
// the text too. Whatever it returns, the options must be ended with options_fini().
int options_parse(
        struct options *options, int argc, char *const *argv, char error[OPTIONS_ERROR_SIZE]);

// Reads the same command line and files again, for a running server. FRESH gets the new options,
// except for those that can only change at a restart: they keep CURRENT's value. REPORT (may be
// NULL) is called for each option that was changed. Returns as options_parse().
int options_reload(const struct options *current, int argc, char *const *argv,
        struct options *fresh, void (*report)(const char *name, bool needs_restart, void *context),
        void *context, char error[OPTIONS_ERROR_SIZE]);

// Frees what the options own. Accepts a zeroed struct, and a second call.
void options_fini(struct options *options);

// Prints all options, grouped and aligned, at most 100 columns wide.
void options_print_help(FILE *file);

// How many workers to start: options->workers, or one for each processor this process may use.
int options_worker_count(const struct options *options);

// Whether an address is to be served with TLS.
bool options_want_tls(const struct options *options);

// The capacities as forebay_open() takes them, the built-in ones last. To be freed by the caller;
// NULL when the heap is exhausted.
char *options_capacities(const struct options *options);

// What is dropped on purpose, likewise; "" if nothing.
char *options_drops(const struct options *options);
// Just so the histories of groups; "" if there are none.
char *options_histories(const struct options *options);
