// SPDX-License-Identifier: MIT
// cli_message.c - the subcommands send and receive.
#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel/cli_command.h"

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
		channel_cli_complain("out of memory");
		return NULL;
	}
	*length = fread(text, 1, INPUT_MAX + 1, stdin);
	if (ferror(stdin))
		channel_cli_complain("can't read the message: %s", strerror(errno));
	else if (*length > INPUT_MAX)
		channel_cli_complain("the message is too large: a message has at most %d octets",
		        FOREBAY_MESSAGE_MAX);
	else
		return text;
	free(text);
	return NULL;
}

static void complain_of_size(void)
{
	channel_cli_complain("the message is too large: encoded, a message has at most %d octets",
	        FOREBAY_MESSAGE_MAX);
}

static struct forebay_message *parse_message(struct forebay *layer, const char *json, size_t length)
{
	struct forebay_message *message = forebay_message_new(layer);
	const char *error = NULL;
	int result;

	if (!message) {
		channel_cli_complain("out of memory");
		return NULL;
	}
	result = forebay_message_from_json(message, json, length, &error);
	if (result == 0)
		return message;
	if (result == FOREBAY_TOO_LARGE)
		complain_of_size();
	else
		channel_cli_complain("not a message: %s", error ? error : forebay_strerror(result));
	forebay_message_free(message);
	return NULL;
}

struct forebay_message *channel_cli_message(struct forebay *layer, const char *json)
{
	struct forebay_message *message;
	size_t length;
	char *text;

	if (strcmp(json, "-") != 0)
		return parse_message(layer, json, strlen(json));
	text = read_input(&length);
	if (!text)
		return NULL;
	message = parse_message(layer, text, length);
	free(text);
	return message;
}

static bool is_delay(const char *channel)
{
	return strcmp(channel, "asgi.delay") == 0;
}

// What forebay_send() to asgi.delay may say besides.
static bool explain_delay(const char *channel, int result)
{
	if (!is_delay(channel))
		return false;
	if (result == FOREBAY_BAD_MESSAGE)
		channel_cli_complain(
		        "a message to asgi.delay has a `channel`, a `delay` of 1 to %d "
		        "milliseconds and, as its `content`, the message to be sent, an object",
		        FOREBAY_DELAY_MAX);
	else if (result == FOREBAY_BAD_NAME)
		channel_cli_complain("a delayed message can't be sent to that `channel`");
	else if (result == FOREBAY_GONE)
		channel_cli_complain("the connection that is its `channel` has ended");
	else
		return false;
	return true;
}

static int explain_send(const char *channel, int result)
{
	if (explain_delay(channel, result))
		return EXIT_FAILED;
	switch (result) {
	case 0:
		return EXIT_DONE;
	case FOREBAY_FULL:
		channel_cli_complain("channel %s is full: %s", channel,
		        is_delay(channel) ? "too many messages wait to be delivered later"
		                          : "nobody reads it fast enough");
		break;
	case FOREBAY_TIMEOUT:
		channel_cli_complain("channel %s is full, and no room came in time", channel);
		return EXIT_TIMED_OUT;
	case FOREBAY_GONE:
		channel_cli_complain("the connection of %s has ended", channel);
		break;
	case FOREBAY_TOO_LARGE:
		complain_of_size();
		break;
	case FOREBAY_BAD_NAME:
		channel_cli_complain_of_channel(channel);
		break;
	default:
		channel_cli_complain("can't send to %s: %s", channel, forebay_strerror(result));
	}
	return EXIT_FAILED;
}

static int send_message(struct forebay *layer, struct forebay_message *message,
        const struct channel_cli_arguments *arguments)
{
	const char *channel = arguments->names[0];

	if (arguments->after == 0)
		return forebay_send(layer, channel, message, arguments->timeout);
	return forebay_send_after(layer, channel, message, arguments->after);
}

bool channel_cli_send_understands(const struct channel_cli_arguments *arguments)
{
	// It never waits then.
	return !arguments->given['a'] || channel_cli_takes(arguments, "--after", "a");
}

int channel_cli_send(struct forebay *layer, const struct channel_cli_arguments *arguments)
{
	const char *channel = arguments->names[0];
	struct forebay_message *message;
	int result, status;

	message = channel_cli_message(layer, arguments->name_count > 1 ? arguments->names[1] : "-");
	if (!message)
		return EXIT_FAILED;
	result = send_message(layer, message, arguments);
	// What is full then is the channel where it would wait.
	status = explain_send(
	        arguments->after != 0 && result == FOREBAY_FULL ? "asgi.delay" : channel, result);
	forebay_message_free(message);
	return status;
}

// ---------------------------------------------------------------------------------------------
// receive
// ---------------------------------------------------------------------------------------------

// As forebay_receive(), and -EINTR once a signal has come. It waits in slices: a signal that comes
// between the look at `channel_cli_signal` and the wait would not end the wait.
static int receive_or_interrupt(
        struct forebay *layer, int timeout, struct forebay_message **message)
{
	const int64_t slice = 500, deadline = channel_cli_now() + timeout;

	while (!channel_cli_signal) {
		int64_t left = timeout < 0 ? slice : deadline - channel_cli_now();
		int64_t wait = left < 0 ? 0 : left < slice ? left : slice;
		int result = forebay_receive(layer, (int)wait, message);

		if (result == FOREBAY_TIMEOUT && (timeout < 0 || left > wait))
			continue;
		if (result != -EINTR)
			return result;
	}
	return -EINTR;
}

// A raw line feed can only stand between two tokens.
void channel_cli_print_line(const char *json, size_t length)
{
	const char *end = json + length, *feed;

	while ((feed = memchr(json, '\n', (size_t)(end - json)))) {
		fwrite(json, 1, (size_t)(feed - json), stdout);
		putchar(' ');
		json = feed + 1;
	}
	fwrite(json, 1, (size_t)(end - json), stdout);
}

int channel_cli_print_message(
        struct forebay_message *message, const struct channel_cli_arguments *arguments)
{
	size_t length;
	const char *json = forebay_message_json(message, &length);
	bool wrapped = arguments->with_channel || arguments->gaps;

	if (!json) {
		channel_cli_complain(
		        "dropped a malformed message of %s", forebay_message_channel(message));
		return EXIT_DONE;
	}
	if (wrapped)
		putchar('{');
	if (arguments->with_channel) {
		fputs("\"channel\": ", stdout);
		channel_cli_quote(forebay_message_channel(message));
		fputs(", ", stdout);
	}
	if (arguments->gaps)
		printf("\"gap\": %" PRIu64 ", ", forebay_message_gap(message));
	if (wrapped)
		fputs("\"message\": ", stdout);
	channel_cli_print_line(json, length);
	fputs(wrapped ? "}\n" : "\n", stdout);
	return channel_cli_flush();
}

// Why forebay_listen() answered RESULT.
static const char *listen_reason(const char *channel, int result)
{
	return result == FOREBAY_BAD_NAME && is_delay(channel)
	               ? "messages wait there for their time; --peek shows them"
	               : channel_cli_reason(result);
}

static int listen_to_all(struct forebay *layer, const struct channel_cli_arguments *arguments)
{
	for (int i = 0; i < arguments->name_count; i++) {
		int result = forebay_listen(layer, arguments->names[i]);

		if (result == 0)
			continue;
		channel_cli_complain("can't listen to %s: %s", arguments->names[i],
		        listen_reason(arguments->names[i], result));
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}

bool channel_cli_receive_understands(const struct channel_cli_arguments *arguments)
{
	if (arguments->given['p'])
		return channel_cli_takes(arguments, "--peek", "pncg");
	return !arguments->given['f'] || channel_cli_takes(arguments, "--follow", "ftcg");
}

int channel_cli_receive(struct forebay *layer, const struct channel_cli_arguments *arguments)
{
	long wanted = arguments->count != 0 ? arguments->count : 1;
	int status;

	if (arguments->peek)
		return channel_cli_peek(layer, arguments);
	status = listen_to_all(layer, arguments);
	channel_cli_catch_signals();
	for (long count = 0; status == EXIT_DONE && count != wanted; count++) {
		struct forebay_message *message;
		int result = receive_or_interrupt(layer, arguments->timeout, &message);

		if (result == -EINTR)
			return wanted < 0 ? EXIT_DONE : 128 + channel_cli_signal;
		if (result == FOREBAY_TIMEOUT)
			return EXIT_TIMED_OUT;
		if (result != 0) {
			channel_cli_complain("can't receive: %s", forebay_strerror(result));
			return EXIT_FAILED;
		}
		status = channel_cli_print_message(message, arguments);
		forebay_message_free(message);
	}
	return status;
}
