// SPDX-License-Identifier: MIT
// cli_look.c - looking at messages without receiving them: receive --peek, and the subcommand tail.
#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "channel/cli_command.h"

struct show {
	const struct channel_cli_arguments *arguments;
	long count; // shown
	int status;
};

static bool shows_enough(const struct show *show)
{
	return show->count > 0 && show->count == show->arguments->count;
}

// Ends the walk by returning other than 0.
static int show(struct forebay_message *message, void *context)
{
	struct show *show = context;
	uint64_t gap = forebay_message_gap(message);

	if (gap > 0 && !show->arguments->gaps)
		channel_cli_complain("%" PRIu64 " %s of %s passed unseen", gap,
		        gap == 1 ? "message" : "messages", forebay_message_channel(message));
	show->status = channel_cli_print_message(message, show->arguments);
	show->count++;
	return show->status != EXIT_DONE || shows_enough(show);
}

static int explain_look(const char *channel, int result)
{
	if (result >= 0 && result != FOREBAY_BAD_NAME)
		return EXIT_DONE;
	channel_cli_complain("can't look into %s: %s", channel, channel_cli_reason(result));
	return EXIT_FAILED;
}

int channel_cli_peek(struct forebay *layer, const struct channel_cli_arguments *arguments)
{
	struct show state = {.arguments = arguments};
	int status = EXIT_DONE;

	for (int i = 0; i < arguments->name_count && status == EXIT_DONE && !shows_enough(&state);
	        i++) {
		const char *channel = arguments->names[i];

		status = explain_look(channel, forebay_peek(layer, channel, show, &state));
		if (status == EXIT_DONE)
			status = state.status;
	}
	return status;
}

const char channel_cli_tail_help[] =
        "Usage: forebay tail [OPTIONS] CHANNEL...\n"
        "\n"
        "Prints the messages that pass through the channels from now on, each as one line of JSON, "
        "and\n"
        "leaves them to their receivers, who don't notice. A message can be seen until its memory "
        "is\n"
        "used again; how many passed unseen is told on stderr, or with --gaps in the line of the "
        "next.\n"
        "\n" CHANNEL_CLI_LAYER_HELP
        "  -n, --count N        end after N messages (default: don't end)\n"
        "  -t, --timeout TIME   end when none has passed for so long (default: don't)\n"
        "  -c, --with-channel   print {\"channel\": NAME, \"message\": {...}}\n"
        "  -g, --gaps           print {\"gap\": N, \"message\": {...}}\n" CHANNEL_CLI_HELP_HELP
        "\n" CHANNEL_CLI_TIME_HELP "Exit status: 0 done, 1 failed, 2 wrong usage, 3 timed out.\n";

// Prints what has passed since the last round.
static int watch_all(struct forebay *layer, const struct channel_cli_arguments *arguments,
        struct forebay_watch *watches, struct show *state)
{
	int status = EXIT_DONE;

	for (int i = 0; i < arguments->name_count && status == EXIT_DONE && !shows_enough(state);
	        i++) {
		const char *channel = arguments->names[i];

		status = explain_look(
		        channel, forebay_watch(layer, channel, &watches[i], show, state));
		if (status == EXIT_DONE)
			status = state->status;
	}
	return status;
}

static int follow(struct forebay *layer, const struct channel_cli_arguments *arguments,
        struct forebay_watch *watches)
{
	const struct timespec nap = {.tv_nsec = 5000000};
	struct show state = {.arguments = arguments};
	int64_t last = channel_cli_now();
	int status = EXIT_DONE;

	while (status == EXIT_DONE && !channel_cli_signal && !shows_enough(&state)) {
		long before = state.count;

		status = watch_all(layer, arguments, watches, &state);
		if (state.count > before)
			last = channel_cli_now();
		else if (arguments->timeout >= 0 && channel_cli_now() - last >= arguments->timeout)
			return EXIT_TIMED_OUT;
		else
			(void)nanosleep(&nap, NULL);
	}
	return status;
}

int channel_cli_tail(struct forebay *layer, const struct channel_cli_arguments *arguments)
{
	struct forebay_watch *watches = calloc((size_t)arguments->name_count, sizeof *watches);
	int status;

	if (!watches) {
		channel_cli_complain("out of memory");
		return EXIT_FAILED;
	}
	channel_cli_catch_signals();
	status = follow(layer, arguments, watches);
	free(watches);
	return status;
}
