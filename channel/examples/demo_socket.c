// SPDX-License-Identifier: MIT
// demo_socket.c - WebSockets: an echo, and who is at the wrong address.
#include "channel/examples/demo.h"

#include <stdio.h>
#include <string.h>

#define SEND_PATIENCE 1000 // ms

// A client that doesn't read what it asked for is let go, so that it holds up nobody.
bool demo_socket_send(struct demo *demo, const char *reply_channel)
{
	int result = forebay_send(demo->layer, reply_channel, demo->reply, SEND_PATIENCE);

	if (result != 0 && result != FOREBAY_GONE)
		fprintf(stderr, "forebay-demo: can't send: %s\n", forebay_strerror(result));
	return result == 0;
}

void demo_socket_connect(
        struct demo *demo, struct forebay_message *message, const char *reply_channel)
{
	const char *path = forebay_get_string(message, "path", NULL);
	bool known = path && strcmp(path, "/ws/echo") == 0;

	if (path && strcmp(path, "/ws/chat") == 0) {
		demo_chat_join(demo, message, reply_channel);
		return;
	}
	// `accept` matters only under --websocket-accept wait; else it is open already, and has to be closed.
	forebay_message_reset(demo->reply);
	forebay_put_boolean(demo->reply, "accept", known);
	if (!known) {
		forebay_put_boolean(demo->reply, "close", true);
		forebay_put_integer(demo->reply, "code", 4404);
		forebay_put_text(demo->reply, "reason", "no such path");
	}
	demo_socket_send(demo, reply_channel);
}

void demo_socket_receive(
        struct demo *demo, struct forebay_message *message, const char *reply_channel)
{
	size_t length;
	unsigned kind;
	const void *content = forebay_message_content(message, &length, &kind);
	const char *content_channel = forebay_get_string(message, "content_channel", NULL);

	if (content_channel)
		demo_relay_start(demo, reply_channel, content_channel);
	if (!content)
		return;
	forebay_message_reset(demo->reply);
	forebay_set_content(demo->reply, content, length, kind);
	demo_socket_send(demo, reply_channel);
}
