// SPDX-License-Identifier: MIT
// options.c - the options of `forebay serve`: the command line, the configuration files, --help.
#include "server/options.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channel/forebay.h"
#include "server/config_file.h"
#include "server/listener.h"
#include "server/options_row.h"

enum { HELP_COLUMNS = 100, HELP_INDENT = 33, WORKERS_MAX = 128 };

// The state of one reading: where each value came from, so that the stronger source wins.
enum source {
	SOURCE_DEFAULT,
	SOURCE_FILE,
	SOURCE_COMMAND_LINE,
};

struct reading {
	struct options *options;
	enum source *sources; // of each row
	const char *file;     // the configuration file being read
	char *error;          // OPTIONS_ERROR_SIZE octets
};

__attribute__((format(printf, 2, 3))) static int fail(
        struct reading *reading, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reading->error, OPTIONS_ERROR_SIZE, format, arguments);
	va_end(arguments);
	return OPTIONS_INVALID;
}

static int no_memory(struct reading *reading)
{
	fail(reading, "out of memory");
	return -ENOMEM;
}

// Sets ROW from SOURCE. If the command line has set it already, VALUE is checked and dropped.
static int set(struct reading *reading, const struct options_row *row, enum source source,
        const char *value, char reason[OPTIONS_REASON_SIZE])
{
	enum source *current = &reading->sources[row - options_rows];

	if (*current > source) {
		struct options unused = {.directory = reading->options->directory};
		int result = options_row_set(row, &unused, value, reason);

		options_row_clear(row, &unused);
		return result;
	}
	*current = source;
	return options_row_set(row, reading->options, value, reason);
}

// ---------------------------------------------------------------------------------------------
// Command line
// ---------------------------------------------------------------------------------------------

static int unknown_option(struct reading *reading, const char *argument, size_t length)
{
	const struct options_row *closest = options_row_closest(argument + 2, length - 2);
	char name[OPTIONS_NAME_SIZE];

	if (!closest)
		return fail(reading, "unknown option %.*s; `forebay serve --help` lists all",
		        (int)length, argument);
	options_row_name(closest, name);
	return fail(
	        reading, "unknown option %.*s; did you mean --%s?", (int)length, argument, name);
}

static int missing_value(struct reading *reading, const struct options_row *row)
{
	char name[OPTIONS_NAME_SIZE], what[OPTIONS_REASON_SIZE];

	options_row_name(row, name);
	options_row_describe(row, what);
	return fail(reading, "--%s needs a value: %s", name, what);
}

static int set_from_command_line(
        struct reading *reading, const struct options_row *row, const char *value)
{
	char name[OPTIONS_NAME_SIZE], reason[OPTIONS_REASON_SIZE];
	int result = set(reading, row, SOURCE_COMMAND_LINE, value, reason);

	if (result < 0)
		return no_memory(reading);
	options_row_name(row, name);
	return result ? fail(reading, "--%s: '%s' %s", name, value, reason) : 0;
}

// Reads `--no-NAME`. LENGTH octets of ARGUMENT are before any `=`.
static int read_negated(struct reading *reading, const char *argument, size_t length)
{
	const struct options_row *row = options_row_find(argument + 5, length - 5);

	if (!row)
		return unknown_option(reading, argument, length);
	if (row->type != OPTIONS_BOOLEAN)
		return fail(reading, "%.*s: only a yes-or-no option can be negated", (int)length,
		        argument);
	if (argument[length] == '=')
		return fail(reading, "%.*s takes no value", (int)length, argument);
	return set_from_command_line(reading, row, "no");
}

// Reads the option at ARGV[*AT], and its value, which may be the next argument.
static int read_option(struct reading *reading, int argc, char *const *argv, int *at)
{
	const char *argument = argv[*at];
	size_t length = strcspn(argument, "=");
	const struct options_row *row;

	if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0)
		return OPTIONS_HELP;
	if (argument[0] != '-')
		return fail(reading, "'%s' is not an option; all of them begin with --", argument);
	if (strncmp(argument, "--", 2) != 0 || length < 3)
		return fail(
		        reading, "unknown option %s; `forebay serve --help` lists all", argument);
	row = options_row_find(argument + 2, length - 2);
	if (!row)
		return strncmp(argument, "--no-", 5) == 0 && length > 5
		               ? read_negated(reading, argument, length)
		               : unknown_option(reading, argument, length);
	if (argument[length] == '=')
		return set_from_command_line(reading, row, argument + length + 1);
	if (row->type == OPTIONS_BOOLEAN)
		return set_from_command_line(reading, row, "yes");
	if (*at + 1 >= argc)
		return missing_value(reading, row);
	return set_from_command_line(reading, row, argv[++*at]);
}

static int read_command_line(struct reading *reading, int argc, char *const *argv)
{
	for (int at = 1; at < argc; at++) {
		int result = read_option(reading, argc, argv, &at);

		if (result)
			return result;
	}
	return 0;
}

// ---------------------------------------------------------------------------------------------
// Configuration files and defaults
// ---------------------------------------------------------------------------------------------

static int set_from_file(const char *name, const char *value, int line, void *context)
{
	struct reading *reading = context;
	const struct options_row *row = options_row_find(name, strlen(name));
	char reason[OPTIONS_REASON_SIZE], known[OPTIONS_NAME_SIZE];
	int result;

	if (!row) {
		row = options_row_closest(name, strlen(name));
		if (!row)
			return fail(reading, "%s:%d: unknown option %s", reading->file, line, name);
		options_row_name(row, known);
		return fail(reading, "%s:%d: unknown option %s; did you mean %s?", reading->file,
		        line, name, known);
	}
	if (row->type == OPTIONS_CONFIG)
		return fail(reading, "%s:%d: a configuration file can't name another",
		        reading->file, line);
	result = set(reading, row, SOURCE_FILE, value, reason);
	if (result < 0)
		return no_memory(reading);
	return result ? fail(reading, "%s:%d: %s: '%s' %s", reading->file, line, name, value,
	                        reason)
	              : 0;
}

static int read_files(struct reading *reading)
{
	const struct options_list *files = &reading->options->config;

	for (size_t i = 0; i < files->count; i++) {
		const char *reason = NULL;
		int line, result;

		reading->file = files->items[i];
		result = config_file_read(reading->file, set_from_file, reading, &line, &reason);
		if (result < 0 && result != -ENOMEM)
			return fail(
			        reading, "cannot read %s: %s", reading->file, strerror(-result));
		if (result == CONFIG_FILE_INVALID && reason)
			return fail(reading, "%s:%d: %s", reading->file, line, reason);
		if (result)
			return result;
	}
	return 0;
}

static int set_defaults(struct reading *reading)
{
	char reason[OPTIONS_REASON_SIZE];

	OPTIONS_EACH(row)
	{
		if (!row->initial || reading->sources[row - options_rows] != SOURCE_DEFAULT)
			continue;
		if (options_row_set(row, reading->options, row->initial, reason) < 0)
			return no_memory(reading);
	}
	return 0;
}

// ---------------------------------------------------------------------------------------------
// The whole
// ---------------------------------------------------------------------------------------------

// Reads everything; takes over DIRECTORY (NULL if there was no memory for it).
static int parse(struct options *options, char *directory, int argc, char *const *argv, char *error)
{
	enum source sources[OPTIONS_ROWS] = {SOURCE_DEFAULT};
	struct reading reading = {.options = options, .sources = sources, .error = error};
	int result;

	*options = (struct options){.directory = directory};
	error[0] = '\0';
	if (!directory)
		return no_memory(&reading);
	result = read_command_line(&reading, argc, argv);
	if (result == 0)
		result = read_files(&reading);
	if (result == 0)
		result = set_defaults(&reading);
	return result;
}

int options_parse(
        struct options *options, int argc, char *const *argv, char error[OPTIONS_ERROR_SIZE])
{
	return parse(options, get_current_dir_name(), argc, argv, error);
}

// Makes FRESH keep CURRENT's value of an option that can't change now, and reports the change.
static int settle(const struct options_row *row, const struct options *current,
        struct options *fresh, void (*report)(const char *, bool, void *), void *context)
{
	bool needs_restart = row->effect == OPTIONS_RESTART;
	char name[OPTIONS_NAME_SIZE];

	if (options_row_equal(row, current, fresh))
		return 0;
	options_row_name(row, name);
	if (report)
		report(name, needs_restart, context);
	return needs_restart ? options_row_copy(row, fresh, current) : 0;
}

int options_reload(const struct options *current, int argc, char *const *argv,
        struct options *fresh, void (*report)(const char *name, bool needs_restart, void *context),
        void *context, char error[OPTIONS_ERROR_SIZE])
{
	int result = parse(fresh, strdup(current->directory), argc, argv, error);

	if (result)
		return result;
	OPTIONS_EACH(row)
	{
		result = settle(row, current, fresh, report, context);
		if (result) {
			snprintf(error, OPTIONS_ERROR_SIZE, "out of memory");
			return result;
		}
	}
	return 0;
}

void options_fini(struct options *options)
{
	OPTIONS_EACH(row)
	options_row_clear(row, options);
	free(options->directory);
	options->directory = NULL;
}

// Prints TEXT from the column HELP_INDENT on, where the line stands, broken between words.
static void print_wrapped(FILE *file, const char *text)
{
	size_t column = HELP_INDENT;

	while (*text) {
		size_t word = strcspn(text, " ");

		if (column > HELP_INDENT && column + 1 + word > HELP_COLUMNS) {
			fprintf(file, "\n%*s", HELP_INDENT, "");
			column = HELP_INDENT;
		} else if (column > HELP_INDENT) {
			fputc(' ', file);
			column++;
		}
		fwrite(text, 1, word, file);
		column += word;
		text += word;
		text += strspn(text, " ");
	}
	fputc('\n', file);
}

static void print_row(FILE *file, const struct options_row *row)
{
	char name[OPTIONS_NAME_SIZE], left[2 * OPTIONS_NAME_SIZE], right[1024];
	int length;

	options_row_name(row, name);
	snprintf(left, sizeof(left), "  --%s%s%s", name, row->value ? " " : "",
	        row->value ? row->value : "");
	length = snprintf(right, sizeof(right), "%s", row->help);
	if (row->type == OPTIONS_ENUM)
		length += snprintf(
		        right + length, sizeof(right) - (size_t)length, ": %s", row->range);
	else if (row->range)
		length += snprintf(right + length, sizeof(right) - (size_t)length, "; %s%s",
		        row->type == OPTIONS_WORKERS ? "auto or " : "", row->range);
	if (row->initial && row->type != OPTIONS_BOOLEAN)
		length += snprintf(right + length, sizeof(right) - (size_t)length, " (default %s)",
		        row->initial);
	if (options_row_is_list(row))
		snprintf(right + length, sizeof(right) - (size_t)length, " (repeatable)");
	fprintf(file, "%-*s", HELP_INDENT, left);
	print_wrapped(file, right);
}

void options_print_help(FILE *file)
{
	fputs("Usage: forebay serve [OPTION]...\n\n"
	      "Serves HTTP to clients and hands the requests to consumers over a channel layer.\n\n"
	      "--NAME VALUE and --NAME=VALUE are the same; --no-NAME turns a yes-or-no option "
	      "off.\n"
	      "SIZE is a number of octets, with K, M or G for powers of 1024. TIME is a number "
	      "with "
	      "ms, s, m,\nh or d, or of seconds. Both may have a fraction: 1.5M, 0.5s. A relative "
	      "file name is relative to\nthe current "
	      "directory.\n\n"
	      "SIGHUP reloads options and restarts workers without losing a request, SIGUSR1 "
	      "reopens "
	      "the logs,\nSIGTERM stops gracefully, and so does SIGINT once; twice stops at "
	      "once.\n",
	        file);
	for (const struct options_row *row = options_rows; row < options_rows + OPTIONS_ROWS; row++)
		if (row->field)
			print_row(file, row);
		else
			fprintf(file, "\n%s:\n", row->heading);
	fputs("\nOther:\n", file);
	fprintf(file, "%-*sprint this and exit\n", HELP_INDENT, "  --help");
}

int options_worker_count(const struct options *options)
{
	cpu_set_t set;
	int count = 1;

	if (options->workers > 0)
		return options->workers;
	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		count = CPU_COUNT(&set);
	return count > WORKERS_MAX ? WORKERS_MAX : count;
}

static bool has_secure(const struct options_list *addresses)
{
	struct listener_address address;
	const char *unused;

	for (size_t i = 0; i < addresses->count; i++)
		if (listener_parse(addresses->items[i], &address, &unused) && address.secure)
			return true;
	return false;
}

bool options_want_tls(const struct options *options)
{
	return has_secure(&options->bind) || has_secure(&options->status_bind);
}

// The items and LAST, separated by commas. NULL if the heap is exhausted.
static char *join(const struct options_list *list, const char *last)
{
	size_t size = strlen(last) + 1;
	char *text, *end;

	for (size_t i = 0; i < list->count; i++)
		size += strlen(list->items[i]) + 1;
	end = text = malloc(size);
	if (!text)
		return NULL;
	for (size_t i = 0; i < list->count; i++) {
		end = stpcpy(end, list->items[i]);
		if (i + 1 < list->count || *last)
			*end++ = ',';
	}
	strcpy(end, last);
	return text;
}

char *options_capacities(const struct options *options)
{
	return join(&options->capacity, FOREBAY_CAPACITIES);
}

char *options_drops(const struct options *options)
{
	return join(&options->drop, "");
}

char *options_histories(const struct options *options)
{
	return join(&options->group_history, "");
}
