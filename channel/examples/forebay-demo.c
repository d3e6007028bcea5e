// SPDX-License-Identifier: MIT
// forebay-demo.c - the demo consumer: a small web application on the public interface.
//
//   /hello                     "Hello, world!"
//   /echo                      the request as the message that it arrived as
//   /stream?bytes=N&chunk=M    N octets in messages of M octets; &delay=T sends one every T ms
//   /upload                    size and SHA-256 of the body
//   /status/NNN                an answer with that status
//   /ws/echo                   a WebSocket that echoes messages
//   /ws/chat                   ... on which each gets what anybody says
//   /                          a page to try them on
//
// Run it as `forebay serve --app forebay-demo`, or by itself with FOREBAY_LAYER set. It is one
// thread. Any number of such processes may run; the requests are shared out among them.
#include "channel/examples/demo.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "demo_page.h" // made from demo_page.html: the array demo_page and its demo_page_size

// What the page has where its own request is to be shown.
#define PAGE_MARK "<!--REQUEST-->"

// Messages handled before the streams get their turn.
#define BURST 64

int64_t demo_now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

// ---------------------------------------------------------------------------------------------
// Paths
// ---------------------------------------------------------------------------------------------

// Answers with JSON or HTML of any length. What one message can't hold is sent in several; escaped
// as a JSON string, which is what the limit counts, a text is at most six times as long.
static void reply_large(struct demo *demo, const char *reply_channel, const char *content_type,
        const char *text, size_t length)
{
	if (length < FOREBAY_MESSAGE_MAX / 8)
		demo_reply(demo, reply_channel, 200, content_type, text, length);
	else
		demo_stream_text(demo, reply_channel, content_type, text, length);
}

static void answer_echo(
        struct demo *demo, struct forebay_message *request, const char *reply_channel)
{
	size_t length;
	const char *json = forebay_message_json(request, &length);

	if (json)
		reply_large(demo, reply_channel, "application/json", json, length);
	else
		demo_reply_text(demo, reply_channel, 503, "Out of memory\n");
}

// Copies TEXT as HTML. OUT must have room for 5 * LENGTH octets. Returns the end.
static char *escape_html(char *out, const char *text, size_t length)
{
	for (size_t at = 0; at < length; at++) {
		if (text[at] == '&')
			out = stpcpy(out, "&amp;");
		else if (text[at] == '<')
			out = stpcpy(out, "&lt;");
		else if (text[at] == '>')
			out = stpcpy(out, "&gt;");
		else
			*out++ = text[at];
	}
	return out;
}

// The page, with the request in the place that is marked for it.
static void answer_page(
        struct demo *demo, struct forebay_message *request, const char *reply_channel)
{
	const char *mark = memmem(demo_page, demo_page_size, PAGE_MARK, strlen(PAGE_MARK));
	size_t before = mark ? (size_t)(mark - demo_page) : demo_page_size, length = 0;
	const char *json = forebay_message_json(request, &length);
	char *page = malloc(demo_page_size + 5 * length), *end;

	if (!json || !page) {
		demo_reply_text(demo, reply_channel, 503, "Out of memory\n");
	} else {
		end = mempcpy(page, demo_page, before);
		end = escape_html(end, json, length);
		end = mempcpy(end, demo_page + before, demo_page_size - before);
		reply_large(demo, reply_channel, "text/html; charset=utf-8", page,
		        (size_t)(end - page));
	}
	free(page);
}

// The number in the query string under KEY, or OTHERWISE if there is none. Returns false for what is
// no number, or above MOST.
static bool query_number(struct forebay_message *request, const char *key, uint64_t otherwise,
        uint64_t most, uint64_t *number)
{
	// `get` is an object of lists: ?a=1&a=2 is {"a": ["1", "2"]}.
	const struct forebay_value *get = forebay_get(forebay_message_root(request), "get");
	const struct forebay_value *list = forebay_get(get, key);
	const char *text = list && list->child ? list->child->string : NULL;
	char *end;

	*number = otherwise;
	if (!text)
		return true;
	errno = 0;
	*number = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && errno == 0 && *number <= most;
}

static void answer_stream(
        struct demo *demo, struct forebay_message *request, const char *reply_channel)
{
	uint64_t bytes, chunk, delay;
	bool ten_lines;

	if (!query_number(request, "bytes", 0, UINT64_MAX / 2, &bytes) ||
	        !query_number(request, "chunk", 0, UINT32_MAX, &chunk) ||
	        !query_number(request, "delay", 0, 60000, &delay)) {
		demo_reply_text(demo, reply_channel, 400, "bytes, chunk and delay are numbers\n");
		return;
	}
	ten_lines = !forebay_get(forebay_get(forebay_message_root(request), "get"), "bytes");
	if (ten_lines)
		bytes = 640;
	if (chunk == 0)
		chunk = ten_lines ? 64 : 65536;
	demo_stream_lines(demo, reply_channel, bytes, (size_t)chunk, (unsigned)delay);
}

static void answer_status(struct demo *demo, const char *path, const char *reply_channel)
{
	char *end, text[32];
	long status = strtol(path + strlen("/status/"), &end, 10);

	if (*end || status < 200 || status > 599) {
		demo_reply_text(demo, reply_channel, 404, "A status is 200 to 599\n");
		return;
	}
	snprintf(text, sizeof text, "Status %ld\n", status);
	demo_reply_text(
	        demo, reply_channel, (int)status, status == 204 || status == 304 ? "" : text);
}

static void answer_request(struct demo *demo, struct forebay_message *request)
{
	const char *path = forebay_get_string(request, "path", NULL);
	const char *reply_channel = forebay_message_reply_channel(request);

	if (!path || !reply_channel)
		return; // not a request: anybody may send anything
	if (strcmp(path, "/hello") == 0)
		demo_reply_text(demo, reply_channel, 200, "Hello, world!");
	else if (strcmp(path, "/") == 0)
		answer_page(demo, request, reply_channel);
	else if (strcmp(path, "/echo") == 0)
		answer_echo(demo, request, reply_channel);
	else if (strcmp(path, "/stream") == 0)
		answer_stream(demo, request, reply_channel);
	else if (strcmp(path, "/upload") == 0)
		demo_upload_start(demo, request, reply_channel);
	else if (strncmp(path, "/status/", strlen("/status/")) == 0)
		answer_status(demo, path, reply_channel);
	else
		demo_reply_text(demo, reply_channel, 404, "Not found\n");
}

// ---------------------------------------------------------------------------------------------
// The loop
// ---------------------------------------------------------------------------------------------

static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
	(void)number;
	stopping = 1;
}

// A message of a WebSocket. Returns whether it is one.
static bool handle_socket(struct demo *demo, struct forebay_message *message)
{
	const char *channel = forebay_message_channel(message);
	const char *reply_channel = forebay_message_reply_channel(message);

	if (strcmp(channel, "websocket.disconnect") == 0)
		return true; // nothing is kept of a connection
	if (!reply_channel || strncmp(channel, "websocket.", strlen("websocket.")) != 0)
		return false;
	if (strcmp(channel, "websocket.receive") == 0)
		demo_socket_receive(demo, message, reply_channel);
	else if (strcmp(channel, "websocket.connect") == 0)
		demo_socket_connect(demo, message, reply_channel);
	return true;
}

static void handle(struct demo *demo, struct forebay_message *message)
{
	const char *channel = forebay_message_channel(message);

	if (handle_socket(demo, message))
		return;
	if (strcmp(channel, DEMO_CHAT) == 0) {
		demo_chat_receive(demo, message);
	} else if (strcmp(channel, "http.request") == 0) {
		answer_request(demo, message);
	} else if (strcmp(channel, "http.disconnect") == 0) {
		// A hint, and not only ours: another process may be told of a client of ours. That
		// harms nobody, since a send to a client that has left answers FOREBAY_GONE.
		const char *reply_channel = forebay_message_reply_channel(message);

		if (reply_channel) {
			demo_stream_drop(demo, reply_channel);
			demo_upload_drop(demo, reply_channel);
		}
	} else {
		(void)(demo_upload_continue(demo, message) || demo_relay_continue(demo, message));
	}
}

// Handles what has arrived, waiting at most TIMEOUT milliseconds for the first. The servers' workers are
// woken once for all the answers. Returns how many messages, or a negative errno.
static int handle_arrived(struct demo *demo, int timeout)
{
	int count, result = 0;

	for (count = 0; count < BURST; count++) {
		struct forebay_message *message;

		result = forebay_receive(demo->layer, count == 0 ? timeout : 0, &message);
		if (result != 0)
			break;
		forebay_cork(demo->layer);
		handle(demo, message);
		forebay_message_free(message);
	}
	forebay_uncork(demo->layer);
	return result < 0 && result != -EINTR ? result : count;
}

// One turn of the loop. While answers are being streamed it waits on the descriptor, which also
// tells when there is room again for the next part; else forebay_receive() is the cheaper way to
// wait. Returns 0 or a negative errno.
static int turn(struct demo *demo)
{
	int count = handle_arrived(demo, demo->streams ? 0 : 1000);
	int wait = demo_stream_continue(demo);

	if (count < 0)
		return count;
	if (count == 0 && wait > 0) {
		struct pollfd descriptor = {.fd = forebay_fd(demo->layer), .events = POLLIN};

		poll(&descriptor, 1, wait);
	}
	if (count == 0) {
		demo_upload_sweep(demo);
		demo_relay_sweep(demo);
	}
	return 0;
}

static const char *const channels[] = {"http.request", "http.disconnect", "websocket.connect",
        "websocket.receive", "websocket.disconnect", DEMO_CHAT};

// Until told to stop; then finishes what has begun. Returns 0 or a negative errno.
static int run(struct demo *demo)
{
	bool listening = true;
	int result = 0;

	while (result == 0 && (listening || demo->streams || demo->uploads || demo->relays)) {
		if (stopping && listening) {
			for (size_t i = 0; i < sizeof channels / sizeof *channels; i++)
				if (strcmp(channels[i], "http.disconnect") != 0)
					forebay_ignore(demo->layer, channels[i]);
			listening = false;
		} else
			result = turn(demo);
	}
	return result;
}

// Without SA_RESTART, so that a signal ends the wait for messages.
static void catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
}

// Attaches to the layer that FOREBAY_LAYER names, makes it if the server hasn't yet, and listens.
static int start(struct demo *demo)
{
	struct forebay_options options = {.role = "demo"};
	int result = forebay_open(NULL, &options, &demo->layer);

	if (result != 0) {
		fprintf(stderr, "forebay-demo: %s\n", forebay_error());
		return result;
	}
	demo->reply = forebay_message_new(demo->layer);
	if (!demo->reply)
		return -ENOMEM;
	for (size_t i = 0; result == 0 && i < sizeof channels / sizeof *channels; i++)
		result = forebay_listen(demo->layer, channels[i]);
	return result;
}

int main(void)
{
	struct demo demo = {0};
	int result;

	catch_signals();
	result = start(&demo);
	if (result == 0)
		result = run(&demo);
	if (result != 0)
		fprintf(stderr, "forebay-demo: %s\n", forebay_strerror(result));
	forebay_message_free(demo.reply);
	forebay_close(demo.layer);
	return result == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
