// SPDX-License-Identifier: MIT
// cli_command.h - what the subcommands' files share: what the command line said, and how they speak.
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "channel/forebay.h"

enum exit_status { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_TIMED_OUT = 3 };

// What the command line said.
struct channel_cli_arguments {
	const char *layer; // NULL: $FOREBAY_LAYER, or "default"
	int timeout;       // milliseconds, or an interval; -1: for ever
	int after;         // milliseconds
	long count;        // messages, or looks; -1: no end; 0: as usual
	bool with_channel, gaps, peek, json, repair, batch;
	bool given[128];   // which options, by their letters
	const char *sort;  // NULL: as usual
	const char *since; // NULL, or EPOCH:OFFSET
	char **names;      // what is left: channels, or a channel and a message
	int name_count;
};

#define CHANNEL_CLI_LAYER_HELP                                                                     \
	"  -l, --layer NAME     the layer (default: $FOREBAY_LAYER, or \"default\")\n"
#define CHANNEL_CLI_TIME_HELP "TIME is in seconds, or has a unit: 1500ms, 2.5s, 10m, 1h, 2d.\n"
#define CHANNEL_CLI_HELP_HELP "  -h, --help           show this\n"

// A sentence on stderr, after the subcommand's name.
__attribute__((format(printf, 1, 2))) void channel_cli_complain(const char *format, ...);

// Whether only those options were given, by their letters, that WHAT (a verb, or an option that changes what others are
// for) has a use for; --layer always is of use. Complains if not.
bool channel_cli_takes(
        const struct channel_cli_arguments *arguments, const char *what, const char *letters);

// That nothing can be sent to CHANNEL, nor it be in a group.
void channel_cli_complain_of_channel(const char *channel);

// forebay_strerror(RESULT), but for what receives or looks into a channel: says of FOREBAY_BAD_NAME what isn't right then.
const char *channel_cli_reason(int result);

// Flushes stdout. What could not be written (a full disk, a reader that left) is a failure.
int channel_cli_flush(void);

// TEXT as a JSON string, on stdout. A layer's names come from other processes, so nothing is taken for
// granted about their octets: what isn't UTF-8 is escaped as if it were Latin-1.
void channel_cli_quote(const char *text);

// ms since some time or other.
int64_t channel_cli_now(void);

// The signal that asked us to end, of those that are caught, or 0.
extern volatile sig_atomic_t channel_cli_signal;
// From now on that signal, or SIGINT and SIGTERM, only end waiting.
void channel_cli_catch_signal(int number);
void channel_cli_catch_signals(void);

// JSON as one line, on stdout.
void channel_cli_print_line(const char *json, size_t length);

// The message on stdout, in an object with what else was asked for, if anything was. Returns an exit status.
int channel_cli_print_message(
        struct forebay_message *message, const struct channel_cli_arguments *arguments);

// A message from JSON, or, if that is "-", from stdin. NULL after complaining.
struct forebay_message *channel_cli_message(struct forebay *layer, const char *json);

// The subcommands. Each returns an exit status. What the command line said has been understood before, where there is such
// a function: it complains if not.
bool channel_cli_send_understands(const struct channel_cli_arguments *arguments);
int channel_cli_send(struct forebay *layer, const struct channel_cli_arguments *arguments);
bool channel_cli_receive_understands(const struct channel_cli_arguments *arguments);
int channel_cli_receive(struct forebay *layer, const struct channel_cli_arguments *arguments);
int channel_cli_peek(struct forebay *layer, const struct channel_cli_arguments *arguments);
int channel_cli_tail(struct forebay *layer, const struct channel_cli_arguments *arguments);
extern const char channel_cli_tail_help[];
int channel_cli_stat(struct forebay *layer, const struct channel_cli_arguments *arguments);
extern const char channel_cli_stat_help[];
bool channel_cli_group_understands(const struct channel_cli_arguments *arguments);
int channel_cli_group(struct forebay *layer, const struct channel_cli_arguments *arguments);
extern const char channel_cli_group_help[];

int channel_cli_top(const struct channel_cli_arguments *arguments);
extern const char channel_cli_top_help[];

int channel_cli_check(const struct channel_cli_arguments *arguments);
extern const char channel_cli_check_help[];
