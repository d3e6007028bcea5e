// SPDX-License-Identifier: MIT
// cli.c - the command line, and the subcommand flush.
#include "channel/cli.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "channel/cli_command.h"
#include "channel/quantity.h"
#include "channel/utf8.h"

struct command {
	const char *name;
	const char *letters; // of the options it takes, besides --layer and --help
	int names_min, names_max;
	struct channel_cli_arguments defaults;
	bool must_exist;                                           // the layer: don't create it
	bool observes;                                             // it, without attaching
	bool (*understands)(const struct channel_cli_arguments *); // what is left; may be NULL
	int (*run)(struct forebay *layer, const struct channel_cli_arguments *arguments);
	int (*run_unattached)(const struct channel_cli_arguments *arguments); // instead of run
	const char *help;
};

static const struct command
        *command; // the one that runs, for the messages of channel_cli_complain()

void channel_cli_complain(const char *format, ...)
{
	va_list list;

	fprintf(stderr, "forebay %s: ", command->name);
	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	fputc('\n', stderr);
}

static const struct option options[] = {
        {"layer", required_argument, NULL, 'l'},
        {"timeout", required_argument, NULL, 't'},
        {"after", required_argument, NULL, 'a'},
        {"count", required_argument, NULL, 'n'},
        {"follow", no_argument, NULL, 'f'},
        {"with-channel", no_argument, NULL, 'c'},
        {"gaps", no_argument, NULL, 'g'},
        {"peek", no_argument, NULL, 'p'},
        {"since", required_argument, NULL, 'S'},
        {"json", no_argument, NULL, 'j'},
        {"repair", no_argument, NULL, 'r'},
        {"interval", required_argument, NULL, 'i'},
        {"batch", no_argument, NULL, 'b'},
        {"sort", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
};

bool channel_cli_takes(
        const struct channel_cli_arguments *arguments, const char *what, const char *letters)
{
	for (const struct option *option = options; option->name; option++) {
		if (!arguments->given[option->val] || strchr(letters, option->val))
			continue;
		channel_cli_complain("%s takes no --%s", what, option->name);
		return false;
	}
	return true;
}

void channel_cli_complain_of_channel(const char *channel)
{
	channel_cli_complain(
	        "'%s' is not a channel's name (1 to %d printable ASCII characters), or a reply "
	        "channel that never was",
	        channel, FOREBAY_NAME_MAX);
}

const char *channel_cli_reason(int result)
{
	return result == FOREBAY_BAD_NAME ? "it isn't the name of a plain channel or a stream"
	                                  : forebay_strerror(result);
}

int channel_cli_flush(void)
{
	static bool told; // once is enough

	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_DONE;
	if (!told)
		channel_cli_complain("can't write the output: %s", strerror(errno));
	told = true;
	return EXIT_FAILED;
}

void channel_cli_quote(const char *text)
{
	bool utf8 = channel_utf8_valid(text, strlen(text));

	putchar('"');
	for (; *text; text++) {
		unsigned char octet = (unsigned char)*text;

		if (octet == '"' || octet == '\\')
			printf("\\%c", octet);
		else if (octet < 0x20 || octet == 0x7f || (octet > 0x7f && !utf8))
			printf("\\u%04x", octet);
		else
			putchar(octet);
	}
	putchar('"');
}

int64_t channel_cli_now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

volatile sig_atomic_t channel_cli_signal;

static void on_signal(int number)
{
	channel_cli_signal = number;
}

// Without SA_RESTART: a signal must end a wait.
void channel_cli_catch_signal(int number)
{
	const struct sigaction action = {.sa_handler = on_signal};

	sigaction(number, &action, NULL);
}

void channel_cli_catch_signals(void)
{
	channel_cli_catch_signal(SIGINT);
	channel_cli_catch_signal(SIGTERM);
}

// ---------------------------------------------------------------------------------------------
// flush
// ---------------------------------------------------------------------------------------------

static int run_flush(struct forebay *layer, const struct channel_cli_arguments *arguments)
{
	uint64_t count = 0;
	const char *channel = arguments->name_count > 0 ? arguments->names[0] : NULL;
	int result = forebay_flush(layer, channel, &count);

	if (result != 0) {
		channel_cli_complain("can't flush %s: %s", channel ? channel : "the layer",
		        channel_cli_reason(result));
		return EXIT_FAILED;
	}
	printf("%" PRIu64 " %s dropped\n", count, count == 1 ? "message" : "messages");
	return EXIT_DONE;
}

// ---------------------------------------------------------------------------------------------
// The command line
// ---------------------------------------------------------------------------------------------

const char channel_cli_summary[] =
        "  send CHANNEL [JSON|-]  send a message (from stdin by default)\n"
        "  receive CHANNEL...     wait for messages and print them, one a line\n"
        "  tail CHANNEL...        print messages as they pass, and leave them to their receivers\n"
        "  stat [CHANNEL...]      show counters, processes, channels and memory of a layer\n"
        "  top                    the same, live\n"
        "  group VERB ...         add, discard, list members of groups; send to all of one\n"
        "  flush [CHANNEL]        drop the messages that wait\n"
        "  check                  validate a layer's shared memory, and mend it\n";

#define LAYER_HELP CHANNEL_CLI_LAYER_HELP
#define HELP_HELP  CHANNEL_CLI_HELP_HELP
#define TIME_HELP  CHANNEL_CLI_TIME_HELP

static const struct command commands[] = {
        {
                .name = "send",
                .letters = "ta",
                .names_min = 1,
                .names_max = 2,
                .understands = channel_cli_send_understands,
                .run = channel_cli_send,
                .help = "Usage: forebay send [OPTIONS] CHANNEL [JSON|-]\n"
                        "\n"
                        "Sends one message, a JSON object, read from stdin unless it is given.\n"
                        "`content` may be text, or base64 with \"binary\": true.\n"
                        "\n" LAYER_HELP "  -t, --timeout TIME   wait so long if the channel is "
                        "full (default 0)\n"
                        "  -a, --after TIME     have it delivered so much later, by any process "
                        "that uses\n"
                        "                       the layer then: this one ends; without "
                        "--timeout\n" HELP_HELP "\n" TIME_HELP
                        "Exit status: 0 sent, 1 not sent (stderr says why), 2 wrong usage,\n"
                        "3 the channel stayed full.\n",
        },
        {
                .name = "receive",
                .letters = "tnfcgp",
                .names_min = 1,
                .names_max = INT32_MAX,
                .defaults = {.timeout = -1},
                .understands = channel_cli_receive_understands,
                .run = channel_cli_receive,
                .help = "Usage: forebay receive [OPTIONS] CHANNEL...\n"
                        "\n"
                        "Takes messages from the channels and prints each as one line of JSON; or, "
                        "with "
                        "--peek,\n"
                        "prints those that wait, and leaves them there.\n"
                        "\n" LAYER_HELP "  -n, --count N        end after N messages (default 1; "
                        "with --peek, all)\n"
                        "  -f, --follow         don't end; without --count\n"
                        "  -t, --timeout TIME   wait at most so long for each (default: for ever)\n"
                        "  -c, --with-channel   print {\"channel\": NAME, \"message\": "
                        "{...}}\n"
                        "  -g, --gaps           print {\"gap\": N, \"message\": {...}}, N being "
                        "how many of the\n"
                        "                       channel's messages didn't come here since the "
                        "last one that did\n"
                        "  -p, --peek           print what waits without taking it, and "
                        "end; without --timeout\n"
                        "                       and --follow\n" HELP_HELP "\n" TIME_HELP
                        "Exit status: 0 done, 1 failed, 2 wrong usage, 3 timed out.\n",
        },
        {
                .name = "tail",
                .letters = "tncg",
                .names_min = 1,
                .names_max = INT32_MAX,
                .defaults = {.timeout = -1, .count = -1},
                .observes = true,
                .run = channel_cli_tail,
                .help = channel_cli_tail_help,
        },
        {
                .name = "stat",
                .letters = "j",
                .names_max = INT32_MAX,
                .observes = true,
                .run = channel_cli_stat,
                .help = channel_cli_stat_help,
        },
        {
                .name = "top",
                .letters = "ibns",
                .defaults = {.timeout = 1000, .count = -1},
                .run_unattached = channel_cli_top,
                .help = channel_cli_top_help,
        },
        {
                .name = "group",
                .letters = "jS",
                .names_min = 1,
                .names_max = 3,
                .must_exist = true,
                .understands = channel_cli_group_understands,
                .run = channel_cli_group,
                .help = channel_cli_group_help,
        },
        {
                .name = "flush",
                .letters = "",
                .names_max = 1,
                .must_exist = true,
                .run = run_flush,
                .help = "Usage: forebay flush [OPTIONS] [CHANNEL]\n"
                        "\n"
                        "Drops the messages that wait in CHANNEL, or in all channels.\n"
                        "\n" LAYER_HELP HELP_HELP,
        },
        {
                .name = "check",
                .letters = "jr",
                .run_unattached = channel_cli_check,
                .help = channel_cli_check_help,
        },
};

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

bool channel_cli_knows(const char *name)
{
	return find_command(name) != NULL;
}

// A time, to milliseconds. Negative means for ever.
static bool parse_timeout(const char *text, int *timeout)
{
	bool forever = *text == '-';
	uint64_t time;

	text += forever;
	if (!channel_quantity_read(text, strlen(text), CHANNEL_TIME, INT32_MAX, &time))
		return false;
	*timeout = forever ? -1 : (int)time;
	return true;
}

static bool parse_after(const char *text, int *after)
{
	uint64_t time;

	if (!channel_quantity_read(text, strlen(text), CHANNEL_TIME, FOREBAY_DELAY_MAX, &time))
		return false;
	*after = (int)time;
	return true;
}

static bool parse_count(const char *text, long *count)
{
	uint64_t number;

	if (!channel_quantity_read(text, strlen(text), CHANNEL_NUMBER, LONG_MAX, &number))
		return false;
	*count = (long)number;
	return number > 0;
}

static const struct option *find_option(int letter)
{
	for (const struct option *option = options; option->name; option++)
		if (option->val == letter)
			return option;
	return NULL;
}

// Takes in one option. Returns false if its argument is wrong.
static bool take_option(int letter, const char *value, struct channel_cli_arguments *arguments)
{
	arguments->given[letter] = letter != 'l'; // which all have a use for
	switch (letter) {
	case 'l':
		arguments->layer = value;
		return true;
	case 't':
	case 'i':
		return parse_timeout(value, &arguments->timeout);
	case 'a':
		return parse_after(value, &arguments->after);
	case 'n':
		return parse_count(value, &arguments->count);
	case 'f':
		arguments->count = -1;
		return true;
	case 'c':
		return arguments->with_channel = true;
	case 'g':
		return arguments->gaps = true;
	case 'p':
		return arguments->peek = true;
	case 'S':
		return (arguments->since = value) != NULL;
	case 'j':
		return arguments->json = true;
	case 'r':
		return arguments->repair = true;
	case 'b':
		return arguments->batch = true;
	case 's':
		arguments->sort = value;
		return true;
	default:
		return false;
	}
}

// An option's argument that take_option() has refused.
static void complain_of_value(int letter, const char *value)
{
	channel_cli_complain("--%s: '%s' must be %s", find_option(letter)->name, value,
	        letter == 'n' ? "a number, 1 or more"
	                      : "a time (a number with ms, s, m, h or d), at most 24 days");
}

// What getopt_long() has answered LETTER to; WORD is the last that it has done with.
static void complain_of_option(int letter, const char *word)
{
	if (letter == ':')
		channel_cli_complain("%s needs a value", word);
	else if (optopt == 0) // a long one
		channel_cli_complain("no such option: %s", word);
	else if (find_option(optopt))
		channel_cli_complain("--%s takes no value", find_option(optopt)->name);
	else
		channel_cli_complain("no such option: -%c", optopt);
}

// Returns -1 if the command is to be run, else the exit status.
static int parse(int argc, char **argv, struct channel_cli_arguments *arguments)
{
	int letter;

	opterr = 0; // its messages would lack the program's name
	optind = 0; // starts over: main may have parsed options of its own
	while ((letter = getopt_long(argc, argv, ":l:t:a:n:fcgpS:jri:bs:h", options, NULL)) != -1) {
		if (letter == 'h') {
			fputs(command->help, stdout);
			return channel_cli_flush();
		}
		if (letter == ':' || letter == '?')
			complain_of_option(letter, argv[optind - 1]);
		else if (!take_option(letter, optarg, arguments))
			complain_of_value(letter, optarg);
		else if (channel_cli_takes(arguments, command->name, command->letters))
			continue;
		return EXIT_USAGE;
	}
	arguments->names = argv + optind;
	arguments->name_count = argc - optind;
	if (arguments->name_count >= command->names_min &&
	        arguments->name_count <= command->names_max)
		return !command->understands || command->understands(arguments) ? -1 : EXIT_USAGE;
	if (arguments->name_count < command->names_min)
		channel_cli_complain("too few arguments");
	else
		channel_cli_complain(
		        "too many arguments: %s", arguments->names[command->names_max]);
	return EXIT_USAGE;
}

static void point_to_help(void)
{
	fprintf(stderr, "See: forebay %s --help\n", command->name);
}

int channel_cli_main(int argc, char **argv)
{
	struct forebay_options layer_options = {.role = "cli"};
	struct channel_cli_arguments arguments;
	struct forebay *layer;
	int status;

	command = argc > 0 ? find_command(argv[0]) : NULL;
	if (!command)
		return EXIT_USAGE;
	signal(SIGPIPE, SIG_IGN); // a reader that left is an output error like any other
	arguments = command->defaults;
	status = parse(argc, argv, &arguments);
	if (status == EXIT_USAGE)
		point_to_help();
	if (status >= 0)
		return status;
	if (command->run_unattached) {
		status = command->run_unattached(&arguments);
		if (status == EXIT_USAGE)
			point_to_help();
		return channel_cli_flush() == EXIT_DONE ? status : EXIT_FAILED;
	}
	layer_options.must_exist = command->must_exist;
	layer_options.observe = command->observes || arguments.peek;
	if (forebay_open(arguments.layer, &layer_options, &layer) != 0) {
		channel_cli_complain("%s", forebay_error());
		return EXIT_FAILED;
	}
	// Who has mistyped a name would wait for ever there, and nobody would ever read what he sends.
	if (forebay_layer_origin(layer) == FOREBAY_MADE)
		channel_cli_complain(
		        "there was no layer %s, so it was made", forebay_layer_name(layer));
	status = command->run(layer, &arguments);
	forebay_close(layer);
	if (status == EXIT_USAGE)
		point_to_help();
	return status == EXIT_DONE ? channel_cli_flush() : status;
}
