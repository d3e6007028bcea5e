// SPDX-License-Identifier: MIT
// demo_chat.c - a chat: what one says on /ws/chat, all there get.
//
// Who is there is a group of the layer, so any number of these processes serve one chat, and it goes on when they
// are restarted. Messages of these clients come through a channel of their own, since websocket.receive
// doesn't say by which path a client has come. It is moved by the answer to the connect: under
// --websocket-accept wait that is before the client can send anything.
#include "channel/examples/demo.h"

#include <stdio.h>
#include <string.h>

#define GROUP "demo.chat"

void demo_chat_join(struct demo *demo, const char *reply_channel)
{
	int result = forebay_group_add(demo->layer, GROUP, reply_channel);

	forebay_message_reset(demo->reply);
	forebay_put_boolean(demo->reply, "accept", result == 0);
	if (result == 0) {
		forebay_put_text(demo->reply, "receive_channel", DEMO_CHAT);
	} else {
		forebay_put_boolean(demo->reply, "close", true);
		forebay_put_integer(demo->reply, "code", 1013);
	}
	demo_socket_send(demo, reply_channel);
}

void demo_chat_receive(struct demo *demo, struct forebay_message *message)
{
	const char *reply_channel = forebay_message_reply_channel(message);
	size_t length;
	unsigned kind;
	const void *content = forebay_message_content(message, &length, &kind);
	int result;

	if (!reply_channel)
		return;
	if (!content) { // websocket.disconnect, which has moved too
		(void)forebay_group_discard(demo->layer, GROUP, reply_channel);
		return;
	}
	forebay_message_reset(demo->reply);
	forebay_set_content(demo->reply, content, length, kind);
	result = forebay_group_send(demo->layer, GROUP, demo->reply, NULL);
	if (result != 0)
		fprintf(stderr, "forebay-demo: can't send: %s\n", forebay_strerror(result));
}
