// SPDX-License-Identifier: MIT
// demo_chat.c - a chat: what one says on /ws/chat, all there get.
//
// Who is there is a group of the layer, so any number of these processes serve one chat, and it goes on when they
// are restarted. Messages of these clients come through a channel of their own, since websocket.receive
// doesn't say by which path a client has come. It is moved by the answer to the connect: under
// --websocket-accept wait that is before the client can send anything.
//
// If the group has a history (--group-history), who joins gets what it keeps: a newcomer the last few messages, and who
// was away what he missed. He joins first, so that nothing falls in between, and may get a message both ways:
// the page gives each an id, and shows it once.
#include "channel/examples/demo.h"

#include <stdio.h>
#include <string.h>

#define GROUP "demo.chat"

struct joining {
	struct demo *demo;
	const char *reply_channel;
};

// Ends the walk when the client has gone, or doesn't read.
static int send_kept(struct forebay_message *message, void *context)
{
	struct joining *joining = context;
	size_t length;
	unsigned kind;
	const void *content = forebay_message_content(message, &length, &kind);

	if (!content)
		return 0;
	forebay_message_reset(joining->demo->reply);
	forebay_set_content(joining->demo->reply, content, length, kind);
	return !demo_socket_send(joining->demo, joining->reply_channel);
}

void demo_chat_join(struct demo *demo, const char *reply_channel)
{
	struct joining joining = {demo, reply_channel};
	struct forebay_history all = {0};
	int result = forebay_group_add(demo->layer, GROUP, reply_channel);

	forebay_message_reset(demo->reply);
	forebay_put_boolean(demo->reply, "accept", result == 0);
	if (result == 0) {
		forebay_put_text(demo->reply, "receive_channel", DEMO_CHAT);
	} else {
		forebay_put_boolean(demo->reply, "close", true);
		forebay_put_integer(demo->reply, "code", 1013);
	}
	if (demo_socket_send(demo, reply_channel) && result == 0)
		(void)forebay_group_history(demo->layer, GROUP, &all, send_kept, &joining);
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
