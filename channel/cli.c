// SPDX-License-Identifier: MIT
// cli.c - the command line, and the subcommands send, receive, stat and flush.
#include "channel/cli.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "channel/forebay.h"

enum exit_status { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_TIMED_OUT = 3 };

// What the command line said.
struct arguments {
	const char *layer; // NULL: $FOREBAY_LAYER, or "default"
	int timeout;       // milliseconds; -1: for ever
	long count;        // messages; -1: no end
	bool with_channel, json, repair;
	char **names; // what is left: channels, or a channel and a message
	int name_count;
};

struct command {
	const char *name;
	const char *letters; // of the options it takes, besides --layer and --help
	int names_min, names_max;
	struct arguments defaults;
	bool must_exist; // the layer: don't create it
	int (*run)(struct forebay *layer, const struct arguments *arguments);
	int (*run_unattached)(const struct arguments *arguments); // instead of run
	const char *help;
};

static const struct command *command; // the one that runs, for the messages of complain()

__attribute__((format(printf, 1, 2))) static void complain(const char *format, ...)
{
	va_list list;

	fprintf(stderr, "forebay %s: ", command->name);
	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	fputc('\n', stderr);
}

// Flushes stdout. What could not be written (a full disk, a reader that left) is a failure.
static int flush_output(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_DONE;
	complain("can't write the output: %s", strerror(errno));
	return EXIT_FAILED;
}

// TEXT as a JSON string. A layer's names come from other processes, so nothing is taken for granted
// about their octets: what isn't printable ASCII is escaped as if it were Latin-1.
void channel_cli_quote(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		unsigned char octet = (unsigned char)*text;

		if (octet == '"' || octet == '\\')
			printf("\\%c", octet);
		else if (octet < 0x20 || octet > 0x7e)
			printf("\\u%04x", octet);
		else
			putchar(octet);
	}
	putchar('"');
}

// ---------------------------------------------------------------------------------------------
// send
// ---------------------------------------------------------------------------------------------

// More than any message can need, even indented.
#define INPUT_MAX (4 * (size_t)FOREBAY_MESSAGE_MAX)

// Reads stdin to its end. Returns the text, to be freed, or NULL after complaining.
static char *read_input(size_t *length)
{
	char *text = malloc(INPUT_MAX + 1);

	if (!text) {
		complain("out of memory");
		return NULL;
	}
	*length = fread(text, 1, INPUT_MAX + 1, stdin);
	if (ferror(stdin))
		complain("can't read the message: %s", strerror(errno));
	else if (*length > INPUT_MAX)
		complain("the message is too large: a message has at most %d octets",
		        FOREBAY_MESSAGE_MAX);
	else
		return text;
	free(text);
	return NULL;
}

static int explain_send(const char *channel, int result)
{
	switch (result) {
	case 0:
		return EXIT_DONE;
	case FOREBAY_FULL:
		complain("channel %s is full: nobody reads it fast enough", channel);
		break;
	case FOREBAY_TIMEOUT:
		complain("channel %s is full, and no room came in time", channel);
		return EXIT_TIMED_OUT;
	case FOREBAY_GONE:
		complain("the connection of %s has ended", channel);
		break;
	case FOREBAY_TOO_LARGE:
		complain("the message is too large: encoded, a message has at most %d octets",
		        FOREBAY_MESSAGE_MAX);
		break;
	case FOREBAY_BAD_NAME:
		complain("'%s' is not a channel name (1 to %d printable ASCII characters), or a "
		         "reply channel that never was",
		        channel, FOREBAY_NAME_MAX);
		break;
	default:
		complain("can't send to %s: %s", channel, forebay_strerror(result));
	}
	return EXIT_FAILED;
}

static int send_text(
        struct forebay *layer, const struct arguments *arguments, const char *json, size_t length)
{
	struct forebay_message *message = forebay_message_new(layer);
	const char *channel = arguments->names[0], *error = NULL;
	int result, status;

	if (!message) {
		complain("out of memory");
		return EXIT_FAILED;
	}
	result = forebay_message_from_json(message, json, length, &error);
	if (result == FOREBAY_BAD_MESSAGE) {
		complain("not a message: %s", error ? error : forebay_strerror(result));
		status = EXIT_FAILED;
	} else {
		if (result == 0)
			result = forebay_send(layer, channel, message, arguments->timeout);
		status = explain_send(channel, result);
	}
	forebay_message_free(message);
	return status;
}

static int run_send(struct forebay *layer, const struct arguments *arguments)
{
	const char *given = arguments->name_count > 1 ? arguments->names[1] : "-";
	size_t length;
	char *text;
	int status;

	if (strcmp(given, "-") != 0)
		return send_text(layer, arguments, given, strlen(given));
	text = read_input(&length);
	if (!text)
		return EXIT_FAILED;
	status = send_text(layer, arguments, text, length);
	free(text);
	return status;
}

// ---------------------------------------------------------------------------------------------
// receive
// ---------------------------------------------------------------------------------------------

static volatile sig_atomic_t interrupted; // the signal that came, or 0

static void on_signal(int number)
{
	interrupted = number;
}

// Without SA_RESTART: a signal must end a wait.
static void catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

static int64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

// As forebay_receive(), and -EINTR once a signal has come. It waits in slices: a signal that comes
// between the look at `interrupted` and the wait would not end the wait.
static int receive_or_interrupt(
        struct forebay *layer, int timeout, struct forebay_message **message)
{
	const int64_t slice = 500, deadline = now() + timeout;

	while (!interrupted) {
		int64_t left = timeout < 0 ? slice : deadline - now();
		int64_t wait = left < 0 ? 0 : left < slice ? left : slice;
		int result = forebay_receive(layer, (int)wait, message);

		if (result == FOREBAY_TIMEOUT && (timeout < 0 || left > wait))
			continue;
		if (result != -EINTR)
			return result;
	}
	return -EINTR;
}

// Prints JSON as one line: a raw line feed can only stand between two tokens.
static void print_line(const char *json, size_t length)
{
	const char *end = json + length, *feed;

	while ((feed = memchr(json, '\n', (size_t)(end - json)))) {
		fwrite(json, 1, (size_t)(feed - json), stdout);
		putchar(' ');
		json = feed + 1;
	}
	fwrite(json, 1, (size_t)(end - json), stdout);
}

static int print_message(struct forebay_message *message, bool with_channel)
{
	size_t length;
	const char *json = forebay_message_json(message, &length);

	if (!json) {
		complain("dropped a malformed message of %s", forebay_message_channel(message));
		return EXIT_DONE;
	}
	if (with_channel) {
		fputs("{\"channel\": ", stdout);
		channel_cli_quote(forebay_message_channel(message));
		fputs(", \"message\": ", stdout);
	}
	print_line(json, length);
	fputs(with_channel ? "}\n" : "\n", stdout);
	return flush_output();
}

static int listen_to_all(struct forebay *layer, const struct arguments *arguments)
{
	for (int i = 0; i < arguments->name_count; i++) {
		int result = forebay_listen(layer, arguments->names[i]);

		if (result == 0)
			continue;
		complain("can't listen to %s: %s", arguments->names[i], forebay_strerror(result));
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}

static int run_receive(struct forebay *layer, const struct arguments *arguments)
{
	int status = listen_to_all(layer, arguments);

	catch_signals();
	for (long count = 0; status == EXIT_DONE && count != arguments->count; count++) {
		struct forebay_message *message;
		int result = receive_or_interrupt(layer, arguments->timeout, &message);

		if (result == -EINTR)
			return arguments->count < 0 ? EXIT_DONE : 128 + interrupted;
		if (result == FOREBAY_TIMEOUT)
			return EXIT_TIMED_OUT;
		if (result != 0) {
			complain("can't receive: %s", forebay_strerror(result));
			return EXIT_FAILED;
		}
		status = print_message(message, arguments->with_channel);
		forebay_message_free(message);
	}
	return status;
}

// ---------------------------------------------------------------------------------------------
// stat, for people
// ---------------------------------------------------------------------------------------------

enum {
	BLOCK_CLASSES = sizeof((struct forebay_layer_stat *)NULL)->blocks /
	                sizeof((struct forebay_layer_stat *)NULL)->blocks[0]
};

// The counters in the processes' table; the layer's own table has all.
static const enum forebay_counter process_counters[] = {FOREBAY_COUNT_SENT, FOREBAY_COUNT_RECEIVED,
        FOREBAY_COUNT_FULL, FOREBAY_COUNT_GONE, FOREBAY_COUNT_WAKEUPS};

static int show_process(const struct forebay_process_stat *stat, void *context)
{
	(void)context;
	printf("%6" PRIu32 " %8" PRId32 "  %-15s  %-5s", stat->slot, stat->pid, stat->role,
	        stat->alive ? "alive" : "dead");
	for (size_t i = 0; i < sizeof process_counters / sizeof process_counters[0]; i++)
		printf(" %12" PRIu64, stat->counters[process_counters[i]]);
	putchar('\n');
	return 0;
}

static int show_channel(const struct forebay_channel_stat *stat, void *context)
{
	(void)context;
	printf("%8" PRIu64 " %8" PRIu32 " %12" PRIu64 " %12" PRIu64 " %10" PRIu64, stat->pending,
	        stat->capacity, stat->sent, stat->received, stat->full);
	if (stat->oldest < 0)
		printf(" %10s", "-");
	else
		printf(" %8.1f s", (double)stat->oldest / 1000);
	printf(" %9" PRIu32 "  %s\n", stat->listeners, stat->name); // the longest last
	return 0;
}

static void show_counters(const struct forebay_layer_stat *stat)
{
	for (int i = 0; i < FOREBAY_COUNTERS; i++)
		printf("  %-12s %14" PRIu64 "%s", forebay_counter_name((enum forebay_counter)i),
		        stat->counters[i], i % 3 == 2 || i + 1 == FOREBAY_COUNTERS ? "\n" : "   ");
}

static void show_blocks(const struct forebay_layer_stat *stat)
{
	printf("\n%10s %10s %10s %7s\n", "block size", "blocks", "in use", "");
	for (size_t i = 0; i < BLOCK_CLASSES; i++) {
		uint32_t total = stat->blocks[i].total, used = stat->blocks[i].used;

		printf("%10" PRIu32 " %10" PRIu32 " %10" PRIu32 " %5.1f %%\n", stat->blocks[i].size,
		        total, used, total ? 100.0 * used / total : 0);
	}
}

static int show_stat(struct forebay *layer, const struct forebay_layer_stat *stat)
{
	int result;

	printf("Layer %s: %.1f MiB, %" PRIu32 " of %" PRIu32 " processes, %" PRIu32 " of %" PRIu32
	       " channels\n\n",
	        forebay_layer_name(layer), (double)stat->size / (1 << 20), stat->processes,
	        stat->processes_max, stat->channels, stat->channels_max);
	show_counters(stat);
	printf("\n%6s %8s  %-15s  %-5s", "slot", "pid", "role", "state");
	for (size_t i = 0; i < sizeof process_counters / sizeof process_counters[0]; i++)
		printf(" %12s", forebay_counter_name(process_counters[i]));
	putchar('\n');
	result = forebay_stat_processes(layer, show_process, NULL);
	if (result != 0)
		return result;
	printf("\n%8s %8s %12s %12s %10s %10s %9s  %s\n", "pending", "capacity", "sent", "received",
	        "full", "oldest", "listeners", "channel");
	result = forebay_stat_channels(layer, show_channel, NULL);
	show_blocks(stat);
	return result;
}

// ---------------------------------------------------------------------------------------------
// stat, for programs
// ---------------------------------------------------------------------------------------------

static void print_counters(const uint64_t counters[FOREBAY_COUNTERS])
{
	fputs("\"counters\": {", stdout);
	for (int i = 0; i < FOREBAY_COUNTERS; i++)
		printf("%s\"%s\": %" PRIu64, i ? ", " : "",
		        forebay_counter_name((enum forebay_counter)i), counters[i]);
	putchar('}');
}

// CONTEXT is what separates this member of the list from the one before.
static void separate(const char **separator)
{
	fputs(*separator, stdout);
	*separator = ", ";
}

static int print_process(const struct forebay_process_stat *stat, void *context)
{
	separate(context);
	printf("{\"slot\": %" PRIu32 ", \"pid\": %" PRId32 ", \"role\": ", stat->slot, stat->pid);
	channel_cli_quote(stat->role);
	printf(", \"alive\": %s, ", stat->alive ? "true" : "false");
	print_counters(stat->counters);
	putchar('}');
	return 0;
}

static int print_channel(const struct forebay_channel_stat *stat, void *context)
{
	separate(context);
	fputs("{\"name\": ", stdout);
	channel_cli_quote(stat->name);
	printf(", \"capacity\": %" PRIu32 ", \"pending\": %" PRIu64 ", \"sent\": %" PRIu64
	       ", \"received\": %" PRIu64 ", \"full\": %" PRIu64 ", \"listeners\": %" PRIu32,
	        stat->capacity, stat->pending, stat->sent, stat->received, stat->full,
	        stat->listeners);
	if (stat->oldest < 0)
		fputs(", \"oldest_ms\": null}", stdout);
	else
		printf(", \"oldest_ms\": %" PRId64 "}", stat->oldest);
	return 0;
}

static void print_blocks(const struct forebay_layer_stat *stat)
{
	fputs("], \"blocks\": [", stdout);
	for (size_t i = 0; i < BLOCK_CLASSES; i++)
		printf("%s{\"size\": %" PRIu32 ", \"total\": %" PRIu32 ", \"used\": %" PRIu32 "}",
		        i ? ", " : "", stat->blocks[i].size, stat->blocks[i].total,
		        stat->blocks[i].used);
	fputs("]}\n", stdout);
}

static int print_stat(struct forebay *layer, const struct forebay_layer_stat *stat)
{
	const char *separator = "";
	int result;

	fputs("{\"layer\": ", stdout);
	channel_cli_quote(forebay_layer_name(layer));
	printf(", \"size\": %" PRIu64 ", \"channels_max\": %" PRIu32
	       ", \"reply_channels_max\": %" PRIu32 ", \"processes_max\": %" PRIu32 ", ",
	        stat->size, stat->channels_max, stat->reply_channels_max, stat->processes_max);
	print_counters(stat->counters);
	fputs(", \"processes\": [", stdout);
	result = forebay_stat_processes(layer, print_process, &separator);
	if (result != 0)
		return result;
	fputs("], \"channels\": [", stdout);
	separator = "";
	result = forebay_stat_channels(layer, print_channel, &separator);
	print_blocks(stat);
	return result;
}

static int run_stat(struct forebay *layer, const struct arguments *arguments)
{
	struct forebay_layer_stat stat;
	int result = forebay_stat(layer, &stat);

	if (result == 0)
		result = arguments->json ? print_stat(layer, &stat) : show_stat(layer, &stat);
	if (result != 0) {
		complain("can't read the statistics: %s", forebay_strerror(result));
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}

// ---------------------------------------------------------------------------------------------
// flush
// ---------------------------------------------------------------------------------------------

static int run_flush(struct forebay *layer, const struct arguments *arguments)
{
	uint64_t count = 0;
	int result = forebay_flush(
	        layer, arguments->name_count > 0 ? arguments->names[0] : NULL, &count);

	if (result != 0) {
		complain("can't flush: %s", forebay_strerror(result));
		return EXIT_FAILED;
	}
	printf("%" PRIu64 " %s dropped\n", count, count == 1 ? "message" : "messages");
	return EXIT_DONE;
}

// ---------------------------------------------------------------------------------------------
// check
// ---------------------------------------------------------------------------------------------

static int run_check(const struct arguments *arguments)
{
	return channel_cli_check(arguments->layer, arguments->repair, arguments->json);
}

// ---------------------------------------------------------------------------------------------
// The command line
// ---------------------------------------------------------------------------------------------

const char channel_cli_summary[] =
        "  send CHANNEL [JSON|-]  send a message (from stdin by default)\n"
        "  receive CHANNEL...     wait for messages and print them, one a line\n"
        "  stat                   show counters, processes, channels and memory of a layer\n"
        "  flush [CHANNEL]        drop the messages that wait\n"
        "  check                  validate a layer's shared memory, and mend it\n";

#define LAYER_HELP "  -l, --layer NAME     the layer (default: $FOREBAY_LAYER, or \"default\")\n"
#define HELP_HELP  "  -h, --help           show this\n"

static const struct command commands[] = {
        {
                .name = "send",
                .letters = "t",
                .names_min = 1,
                .names_max = 2,
                .run = run_send,
                .help = "Usage: forebay send [OPTIONS] CHANNEL [JSON|-]\n"
                        "\n"
                        "Sends one message, a JSON object, read from stdin unless it is given.\n"
                        "`content` may be text, or base64 with \"binary\": true.\n"
                        "\n" LAYER_HELP "  -t, --timeout SEC    wait so long if the channel is "
                        "full (default 0)\n" HELP_HELP "\n"
                        "Exit status: 0 sent, 1 not sent (stderr says why), 2 wrong usage,\n"
                        "3 the channel stayed full.\n",
        },
        {
                .name = "receive",
                .letters = "tnfc",
                .names_min = 1,
                .names_max = INT32_MAX,
                .defaults = {.timeout = -1, .count = 1},
                .run = run_receive,
                .help = "Usage: forebay receive [OPTIONS] CHANNEL...\n"
                        "\n"
                        "Takes messages from the channels and prints each as one line of JSON.\n"
                        "\n" LAYER_HELP "  -n, --count N        end after N messages (default 1)\n"
                        "  -f, --follow         don't end\n"
                        "  -t, --timeout SEC    wait at most so long for each (default: for ever)\n"
                        "  -c, --with-channel   print {\"channel\": NAME, \"message\": "
                        "{...}}\n" HELP_HELP "\n"
                        "Exit status: 0 done, 1 failed, 2 wrong usage, 3 timed out.\n",
        },
        {
                .name = "stat",
                .letters = "j",
                .must_exist = true,
                .run = run_stat,
                .help = "Usage: forebay stat [OPTIONS]\n"
                        "\n"
                        "Shows what happens in a layer, without disturbing it.\n"
                        "\n" LAYER_HELP
                        "  -j, --json           one JSON object, for programs\n" HELP_HELP,
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
                .run_unattached = run_check,
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

static const struct option options[] = {
        {"layer", required_argument, NULL, 'l'},
        {"timeout", required_argument, NULL, 't'},
        {"count", required_argument, NULL, 'n'},
        {"follow", no_argument, NULL, 'f'},
        {"with-channel", no_argument, NULL, 'c'},
        {"json", no_argument, NULL, 'j'},
        {"repair", no_argument, NULL, 'r'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
};

// Seconds, with a fraction if need be, to milliseconds; a negative number is for ever.
static bool parse_timeout(const char *text, int *timeout)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !(seconds <= 1e6))
		return false;
	*timeout = seconds < 0 ? -1 : (int)(seconds * 1000 + 0.5);
	return true;
}

static bool parse_count(const char *text, long *count)
{
	char *end;

	errno = 0;
	*count = strtol(text, &end, 10);
	return end != text && !*end && errno == 0 && *count > 0;
}

// Takes in one option. Returns false if its argument is wrong.
static bool take_option(int letter, const char *value, struct arguments *arguments)
{
	switch (letter) {
	case 'l':
		arguments->layer = value;
		return true;
	case 't':
		return parse_timeout(value, &arguments->timeout);
	case 'n':
		return parse_count(value, &arguments->count);
	case 'f':
		arguments->count = -1;
		return true;
	case 'c':
		return arguments->with_channel = true;
	case 'j':
		return arguments->json = true;
	case 'r':
		return arguments->repair = true;
	default:
		return false;
	}
}

// Returns -1 if the command is to be run, else the exit status.
static int parse(int argc, char **argv, struct arguments *arguments)
{
	int letter;

	opterr = 0; // its messages would lack the program's name
	optind = 0; // starts over: main may have parsed options of its own
	while ((letter = getopt_long(argc, argv, ":l:t:n:fcjrh", options, NULL)) != -1) {
		if (letter == 'h') {
			fputs(command->help, stdout);
			return flush_output();
		}
		if (letter == ':')
			complain("%s needs a value", argv[optind - 1]);
		else if (letter == '?' || (letter != 'l' && !strchr(command->letters, letter)))
			complain("no such option: %s", argv[optind - 1]);
		else if (!take_option(letter, optarg, arguments))
			complain("not a good value: %s", optarg);
		else
			continue;
		return EXIT_USAGE;
	}
	arguments->names = argv + optind;
	arguments->name_count = argc - optind;
	if (arguments->name_count >= command->names_min &&
	        arguments->name_count <= command->names_max)
		return -1;
	if (arguments->name_count < command->names_min)
		complain("which channel?");
	else
		complain("too many arguments: %s", arguments->names[command->names_max]);
	return EXIT_USAGE;
}

int channel_cli_main(int argc, char **argv)
{
	struct forebay_options layer_options = {.role = "cli"};
	struct arguments arguments;
	struct forebay *layer;
	int status;

	command = argc > 0 ? find_command(argv[0]) : NULL;
	if (!command)
		return EXIT_USAGE;
	signal(SIGPIPE, SIG_IGN); // a reader that left is an output error like any other
	arguments = command->defaults;
	status = parse(argc, argv, &arguments);
	if (status == EXIT_USAGE)
		fprintf(stderr, "See: forebay %s --help\n", command->name);
	if (status >= 0)
		return status;
	if (command->run_unattached) {
		status = command->run_unattached(&arguments);
		return flush_output() == EXIT_DONE ? status : EXIT_FAILED;
	}
	layer_options.must_exist = command->must_exist;
	if (forebay_open(arguments.layer, &layer_options, &layer) != 0) {
		complain("%s", forebay_error());
		return EXIT_FAILED;
	}
	status = command->run(layer, &arguments);
	forebay_close(layer);
	return status == EXIT_DONE ? flush_output() : status;
}
