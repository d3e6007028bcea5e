// SPDX-License-Identifier: MIT
// websocket_server.c - what all WebSockets of a worker share; see websocket_server.h.
#include "server/websocket_server.h"

#include <errno.h>
#include <string.h>

#include "server/log.h"
#include "server/websocket_content.h"
#include "server/websocket_farewell.h"
#include "server/websocket_input.h"
#include "server/websocket_session.h"

#define TRIES_MAX 16 // that fail, in one turn of the loop

int websocket_server_init(struct websocket_server *server, const struct options *options,
        struct forebay *layer, struct timer_wheel *wheel, struct metrics *metrics)
{
	int result;

	memset(server, 0, sizeof(*server));
	server->options = options;
	server->layer = layer;
	server->wheel = wheel;
	server->metrics = metrics;
	server->last = &server->farewells;
	server->blocked_last = &server->blocked;
	server->message = forebay_message_new(layer);
	result = server->message ? lws_loop_init(&server->loop) : -ENOMEM;
	if (result == -ENOSYS)
		log_error("libwebsockets doesn't read and write through this program");
	if (result < 0)
		websocket_server_fini(server);
	return result;
}

void websocket_server_fini(struct websocket_server *server)
{
	while (server->contents)
		websocket_content_free(server->contents);
	websocket_farewell_leave(server);
	lws_loop_fini(&server->loop);
	websocket_deflate_fini(&server->deflate);
	forebay_message_free(server->message);
	server->message = NULL;
}

void websocket_server_retry(struct websocket_server *server)
{
	if (server->farewells)
		websocket_farewell_retry(server);
	// Who fails again goes to the end of the list.
	for (int failures = 0; server->blocked && failures < TRIES_MAX;)
		if (!websocket_input_unblock(server->blocked))
			failures++;
}

struct broadcast {
	struct websocket_server *server;
	struct forebay_message *message;
	struct websocket_message frame;
};

static void write_to_member(void *owner, void *context)
{
	struct connection *connection = owner;
	struct broadcast *broadcast = context;

	if (!websocket_session_is(connection))
		log_limited(LOG_LEVEL_WARNING,
		        "a message to the group %s is none for an HTTP client",
		        forebay_message_group(broadcast->message));
	else if (!websocket_session_broadcast(
	                 (struct websocket_session *)connection, &broadcast->frame))
		metrics_count(broadcast->server->metrics, METRICS_WEBSOCKET_DROPPED_SLOW);
}

void websocket_server_broadcast(struct websocket_server *server, struct forebay_message *message)
{
	struct broadcast broadcast = {.server = server, .message = message};
	const char *wrong = websocket_message_read(message, &broadcast.frame);

	if (wrong) {
		metrics_count(server->metrics, METRICS_WEBSOCKET_DROPPED_MALFORMED);
		log_limited(LOG_LEVEL_WARNING, "malformed message to the group %s: %s",
		        forebay_message_group(message), wrong);
	} else {
		(void)forebay_message_recipients(message, write_to_member, &broadcast);
	}
	forebay_message_free(message);
}

void websocket_server_drain(struct websocket_server *server)
{
	struct websocket_session *next;

	server->draining = true;
	for (struct websocket_session *session = server->sessions; session; session = next) {
		next = session->next;
		websocket_session_close(session, WEBSOCKET_GOING_AWAY, "");
	}
}
