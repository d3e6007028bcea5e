// SPDX-License-Identifier: MIT
// test_options.c - the table of options as command line, configuration file, reload and --help.
#include "server/options.h"

#include <unistd.h>

#include "channel/forebay.h"
#include "server/config_file.h"
#include "server/options_row.h"

#include "tests/test.h"

enum { MAX_ARGUMENTS = 16 };

static struct options options;
static char error[OPTIONS_ERROR_SIZE];

// Parses `forebay serve` with these arguments, which end with NULL.
static int parse(const char *const *arguments)
{
	const char *argv[MAX_ARGUMENTS + 2] = {"serve"};
	int argc = 1;

	while (*arguments)
		argv[argc++] = *arguments++;
	options_fini(&options);
	return options_parse(&options, argc, (char *const *)argv, error);
}
#define PARSE(...) parse((const char *[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

// The file that the tests write their configuration to.
static char path[64];

static void write_config(const char *text)
{
	FILE *file;

	snprintf(path, sizeof(path), "%s/config", test_directory);
	file = fopen(path, "w");
	EXPECT(file);
	fputs(text, file);
	fclose(file);
}

static int parse_config(const char *text)
{
	int result;

	write_config(text);
	result = PARSE("--config", path);
	unlink(path);
	return result;
}

TEST(every_row_is_sound)
{
	char reason[OPTIONS_REASON_SIZE];

	OPTIONS_EACH(row)
	{
		char directory[] = "/tmp";
		struct options scratch = {.directory = directory};

		EXPECT(strlen(row->field) < OPTIONS_NAME_SIZE);
		EXPECT(row->help[strlen(row->help) - 1] != '.');
		EXPECT(row->type == OPTIONS_BOOLEAN || row->value);
		if (row->initial)
			EXPECT_INT(options_row_set(row, &scratch, row->initial, reason), 0);
		options_row_clear(row, &scratch);
	}
}

TEST(nothing_given_gives_the_defaults)
{
	EXPECT_INT(PARSE(), 0);
	EXPECT_INT(options.bind.count, 1);
	EXPECT_STRING(options.bind.items[0], "127.0.0.1:8000");
	EXPECT_INT(options.workers, 0);
	EXPECT(options_worker_count(&options) >= 1);
	EXPECT_INT(options.layer_size, 48 << 20);
	EXPECT_INT(options.expiry, 60000);
	EXPECT_INT(options.half_close_timeout, 100);
	EXPECT_STRING(options.log_file, "-");
	EXPECT_STRING(options.access_log, "off");
	EXPECT_INT(options.timeout_status, 504);
	EXPECT_INT(options.request_timeout, 0);
	EXPECT(!options.daemon);
	EXPECT(!options.app);
}

TEST(a_value_follows_a_space_or_an_equals_sign)
{
	EXPECT_INT(PARSE("--workers", "3", "--layer=shop", "--app", "run --it=1"), 0);
	EXPECT_INT(options.workers, 3);
	EXPECT_INT(options_worker_count(&options), 3);
	EXPECT_STRING(options.layer, "shop");
	EXPECT_STRING(options.app, "run --it=1");
}

TEST(booleans_are_turned_on_and_off)
{
	EXPECT_INT(PARSE("--daemon"), 0);
	EXPECT(options.daemon);
	EXPECT_INT(PARSE("--daemon", "--no-daemon"), 0);
	EXPECT(!options.daemon);
	EXPECT_INT(PARSE("--daemon=off"), 0);
	EXPECT(!options.daemon);
	EXPECT_INT(PARSE("--no-workers"), OPTIONS_INVALID);
	EXPECT_STRING(error, "--no-workers: only a yes-or-no option can be negated");
	EXPECT_INT(PARSE("--no-daemon=yes"), OPTIONS_INVALID);
}

TEST(sizes_and_times_have_units)
{
	EXPECT_INT(PARSE("--layer-size=64m", "--max-head", "2K", "--max-body=5000000000"), 0);
	EXPECT_INT(options.layer_size, 64 << 20);
	EXPECT_INT(options.max_head, 2048);
	EXPECT_INT(options.max_body, 5000000000);
	EXPECT_INT(PARSE("--idle-timeout=1500ms", "--head-timeout=2m", "--body-timeout=7"), 0);
	EXPECT_INT(options.idle_timeout, 1500);
	EXPECT_INT(options.head_timeout, 120000);
	EXPECT_INT(options.body_timeout, 7000);
	EXPECT_INT(PARSE("--layer-size=4.5M", "--idle-timeout=.25S", "--expiry=1d"), 0);
	EXPECT_INT(options.layer_size, 9 << 19);
	EXPECT_INT(options.idle_timeout, 250);
	EXPECT_INT(options.expiry, 86400000);
}

TEST(what_is_no_value_of_the_type_or_out_of_range_is_refused)
{
	EXPECT_INT(PARSE("--workers=0"), OPTIONS_INVALID);
	EXPECT_STRING(error, "--workers: '0' must be auto or a number, 1..128");
	EXPECT_INT(PARSE("--workers", "129"), OPTIONS_INVALID);
	EXPECT_INT(PARSE("--workers", "-1"), OPTIONS_INVALID);
	EXPECT_INT(PARSE("--workers", "2x"), OPTIONS_INVALID);
	EXPECT_INT(PARSE("--workers", "1.5"), OPTIONS_INVALID);
	EXPECT_INT(PARSE("--workers="), OPTIONS_INVALID);
	EXPECT_INT(PARSE("--max-body=99999999999999999999"), OPTIONS_INVALID);
	EXPECT_INT(PARSE("--max-body=18014398509481984K"), OPTIONS_INVALID);
	EXPECT_INT(PARSE("--idle-timeout=3d"), OPTIONS_INVALID);
	EXPECT_INT(PARSE("--log-level=loud"), OPTIONS_INVALID);
	EXPECT_STRING(error, "--log-level: 'loud' must be one of error|warning|info|debug");
	EXPECT_INT(PARSE("--bind=nowhere"), OPTIONS_INVALID);
	EXPECT_INT(PARSE("--layer="), OPTIONS_INVALID);
	EXPECT_INT(PARSE("--app=a\nb"), OPTIONS_INVALID);
}

TEST(an_unknown_option_is_refused_and_the_closest_named)
{
	EXPECT_INT(PARSE("--worker=3"), OPTIONS_INVALID);
	EXPECT_STRING(error, "unknown option --worker; did you mean --workers?");
	EXPECT_INT(PARSE("--idle-timout", "3"), OPTIONS_INVALID);
	EXPECT_STRING(error, "unknown option --idle-timout; did you mean --idle-timeout?");
	EXPECT_INT(PARSE("--qqqqqq"), OPTIONS_INVALID);
	EXPECT_STRING(error, "unknown option --qqqqqq; `forebay serve --help` lists all");
	EXPECT_INT(PARSE("8000"), OPTIONS_INVALID);
	EXPECT_INT(PARSE("-p"), OPTIONS_INVALID);
	EXPECT_INT(PARSE("--"), OPTIONS_INVALID);
	EXPECT_INT(PARSE("--no-"), OPTIONS_INVALID);
	EXPECT_INT(PARSE("--no-such"), OPTIONS_INVALID);
	EXPECT_INT(PARSE("--workers"), OPTIONS_INVALID);
	EXPECT_STRING(error, "--workers needs a value: auto or a number, 1..128");
}

TEST(lists_keep_their_order_and_replace_the_default)
{
	EXPECT_INT(PARSE("--bind=*:1", "--bind", "[::1]:2", "--bind=unix:/s"), 0);
	EXPECT_INT(options.bind.count, 3);
	EXPECT_STRING(options.bind.items[1], "[::1]:2");
}

TEST(capacities_end_with_the_built_in_ones)
{
	char *text;

	EXPECT_INT(PARSE("--capacity", "a.*=5", "--capacity=b=c=7"), 0);
	text = options_capacities(&options);
	EXPECT_STRING(text, "a.*=5,b=c=7," FOREBAY_CAPACITIES);
	free(text);
	EXPECT_INT(PARSE("--workers=1"), 0);
	text = options_capacities(&options);
	EXPECT_STRING(text, FOREBAY_CAPACITIES);
	free(text);
	EXPECT_INT(PARSE("--capacity=a=0"), OPTIONS_INVALID);
	EXPECT_INT(PARSE("--capacity==3"), OPTIONS_INVALID);
	EXPECT_INT(PARSE("--capacity=a=1,b=2"), OPTIONS_INVALID);
	EXPECT_INT(PARSE("--capacity=a b=1"), OPTIONS_INVALID);
	EXPECT_INT(PARSE("--capacity="), OPTIONS_INVALID);
	EXPECT_INT(PARSE("--capacity=a=8193"), OPTIONS_INVALID);
}

TEST(histories_of_groups_are_one_text)
{
	char *text;

	EXPECT_INT(PARSE("--group-history", "chat.*=100/1M/1h", "--group-history=a=b=7"), 0);
	text = options_histories(&options);
	EXPECT_STRING(text, "chat.*=100/1M/1h,a=b=7");
	free(text);
	EXPECT_INT(PARSE("--workers=1"), 0);
	text = options_histories(&options);
	EXPECT_STRING(text, "");
	free(text);
	EXPECT_INT(PARSE("--group-history=a"), OPTIONS_INVALID);
	EXPECT_INT(PARSE("--group-history=a=1/1M/1w"), OPTIONS_INVALID);
	EXPECT_INT(PARSE("--group-history=a=1,b=2"), OPTIONS_INVALID);
}

TEST(a_capacity_may_come_with_a_policy)
{
	char *text;

	EXPECT_INT(PARSE("--capacity", "ticks.*=1/drop-oldest", "--capacity=a=2/keep-latest"), 0);
	text = options_capacities(&options);
	EXPECT(strncmp(text, "ticks.*=1/drop-oldest,a=2/keep-latest," FOREBAY_CAPACITIES, 60) == 0);
	free(text);
	EXPECT_INT(PARSE("--capacity=a=1/"), OPTIONS_INVALID);
	EXPECT_INT(PARSE("--capacity=a=1/newest"), OPTIONS_INVALID);
	EXPECT_INT(PARSE("--capacity=websocket.send!*=1/drop-oldest"), OPTIONS_INVALID);
}

TEST(what_is_dropped_on_purpose_is_a_list)
{
	char *text;

	EXPECT_INT(PARSE("--workers=1"), 0);
	text = options_drops(&options);
	EXPECT_STRING(text, "");
	free(text);
	EXPECT_INT(PARSE("--drop", "a.*=5", "--drop=b!*=0.1"), 0);
	text = options_drops(&options);
	EXPECT_STRING(text, "a.*=5,b!*=0.1");
	free(text);
	EXPECT_INT(PARSE("--drop=a=101"), OPTIONS_INVALID);
	EXPECT_INT(PARSE("--drop=a=1,b=2"), OPTIONS_INVALID);
	EXPECT_INT(PARSE("--drop=a"), OPTIONS_INVALID);
	EXPECT_INT(PARSE("--drop="), OPTIONS_INVALID);
}

TEST(relative_file_names_become_absolute)
{
	char expected[4200], directory[4096];

	EXPECT(getcwd(directory, sizeof(directory)));
	snprintf(expected, sizeof(expected), "%s/run/pid", directory);
	EXPECT_INT(PARSE("--pid-file=run/pid", "--log-file=/var/log/x", "--access-log=-"), 0);
	EXPECT_STRING(options.pid_file, expected);
	EXPECT_STRING(options.log_file, "/var/log/x");
	EXPECT_STRING(options.access_log, "-");
}

TEST(a_file_sets_what_the_command_line_does_not)
{
	write_config("# a comment\n"
	             "\n"
	             "  workers=5   # behind a value\n"
	             "bind = 127.0.0.1:1\r\n"
	             "bind = 127.0.0.1:2\n"
	             "app = \"echo # \\\"no comment\\\" \\\\\"  # one\n"
	             "log-file = /a#b\n"
	             "daemon = yes");
	EXPECT_INT(PARSE("--config", path, "--workers=2"), 0);
	EXPECT_INT(options.workers, 2);
	EXPECT_INT(options.bind.count, 2);
	EXPECT_STRING(options.bind.items[1], "127.0.0.1:2");
	EXPECT_STRING(options.app, "echo # \"no comment\" \\");
	EXPECT_STRING(options.log_file, "/a#b");
	EXPECT(options.daemon);
	EXPECT_INT(PARSE("--no-daemon", "--bind=*:9", "--config", path), 0);
	EXPECT(!options.daemon);
	EXPECT_INT(options.bind.count, 1);
	unlink(path);
}

// What is said about a bad file, without the path it begins with.
static const char *complaint(const char *text)
{
	if (parse_config(text) != OPTIONS_INVALID || strncmp(error, path, strlen(path)) != 0)
		return "(none)";
	return error + strlen(path);
}

TEST(errors_in_a_file_name_the_line)
{
	EXPECT_STRING(complaint("\nworkers = many\n"),
	        ":2: workers: 'many' must be auto or a number, 1..128");
	EXPECT_STRING(
	        complaint("worker = 1\n"), ":1: unknown option worker; did you mean workers?");
	EXPECT_STRING(complaint("qqqqqqqq = 1\n"), ":1: unknown option qqqqqqqq");
	EXPECT_STRING(complaint("workers\n"), ":1: expected `name = value`");
	EXPECT_STRING(complaint("= 3\n"), ":1: expected `name = value`");
	EXPECT_STRING(complaint("app = \"x\n"), ":1: the closing quote is missing");
	EXPECT_STRING(
	        complaint("app = \"x\" y\n"), ":1: there is something behind the closing quote");
	EXPECT_STRING(complaint("config = x\n"), ":1: a configuration file can't name another");
	EXPECT_STRING(complaint("app =\n"),
	        ":1: app: '' must be text, not empty and without control characters");
	EXPECT_INT(PARSE("--config=/nonexistent/file"), OPTIONS_INVALID);
	EXPECT_STRING(error, "cannot read /nonexistent/file: No such file or directory");
	EXPECT_INT(PARSE("--config=/"), OPTIONS_INVALID);
}

TEST(a_value_in_a_file_is_checked_even_if_the_command_line_wins)
{
	write_config("workers = many\n");
	EXPECT_INT(PARSE("--workers=2", "--config", path), OPTIONS_INVALID);
	unlink(path);
}

// Gathers the names that a reload reports; those that need a restart with a `!`.
static void gather(const char *name, bool needs_restart, void *context)
{
	char *names = context;

	strcat(strcat(strcat(names, name), needs_restart ? "!" : ""), " ");
}

TEST(a_reload_reports_changes_and_keeps_what_needs_a_restart)
{
	const char *const arguments[] = {"serve", "--config", path, "--max-headers=7"};
	char *const *argv = (char *const *)arguments;
	char names[256] = "";
	struct options fresh;

	options_fini(&options);
	write_config("workers = 1\nlayer = a\ncapacity = x=1\nuser = u\n");
	EXPECT_INT(options_parse(&options, 4, argv, error), 0);
	write_config("workers = 2\nlayer = b\ncapacity = x=2\nmax-headers = 9\n");
	EXPECT_INT(options_reload(&options, 4, argv, &fresh, gather, names, error), 0);
	EXPECT_STRING(names, "workers layer! capacity! user! ");
	EXPECT_INT(fresh.workers, 2);
	EXPECT_INT(fresh.max_headers, 7);
	EXPECT_STRING(fresh.layer, "a");
	EXPECT_STRING(fresh.user, "u");
	EXPECT_STRING(fresh.capacity.items[0], "x=1");
	options_fini(&fresh);
	write_config("workers = none\n");
	EXPECT_INT(options_reload(&options, 4, argv, &fresh, NULL, NULL, error), OPTIONS_INVALID);
	options_fini(&fresh);
	unlink(path);
}

TEST(help_lists_every_option_in_at_most_100_columns)
{
	char *text = NULL, name[OPTIONS_NAME_SIZE], flag[OPTIONS_NAME_SIZE + 8];
	size_t size = 0;
	FILE *file = open_memstream(&text, &size);

	EXPECT_INT(PARSE("--workers=3", "--help"), OPTIONS_HELP);
	options_print_help(file);
	fclose(file);
	OPTIONS_EACH(row)
	{
		options_row_name(row, name);
		snprintf(flag, sizeof(flag), "\n  --%s ", name);
		EXPECT(strstr(text, flag));
	}
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		EXPECT(strlen(line) <= 100);
	free(text);
	options_fini(&options);
	options_fini(&options);
}
