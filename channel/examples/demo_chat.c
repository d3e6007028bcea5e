// SPDX-License-Identifier: MIT
// demo_chat.c - a chat: what one says on /ws/chat, all there get.
//
// Who is there is a group of the layer, so any number of these processes serve one chat, and it goes on when they
// are restarted. Messages of these clients come through a channel of their own, since websocket.receive
// doesn't say by which path a client has come. It is moved by the answer to the connect: under
// --websocket-accept wait that is before the client can send anything.
//
// If the group has a history (--group-history), a client may ask for what it has missed: with ?since=EPOCH:OFFSET in its
// path for all that came after that message, and with ?since= for all that is kept. Behind that it gets
// {"since": "EPOCH:OFFSET", "complete": ...}: what to ask with the next time, and whether nothing is missing. It joins
// first, so that nothing falls in between, and may get a message both ways: the page gives each an id, and shows it once.
#include "channel/examples/demo.h"

#include <inttypes.h>
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

// What the client says it has: true if it asks for what came then. Nonsense is a history that is no more.
static bool read_since(struct forebay_message *message, struct forebay_history *since)
{
	const struct forebay_value *get = forebay_get(forebay_message_root(message), "get");
	const struct forebay_value *list = forebay_get(get, "since");
	const char *text = list && list->child ? list->child->string : NULL;

	if (!text)
		return false;
	if (sscanf(text, "%" SCNx64 ":%" SCNu64, &since->epoch, &since->offset) != 2)
		*since = (struct forebay_history){0};
	return true;
}

static void send_missed(struct demo *demo, const char *reply_channel, struct forebay_history *since)
{
	struct joining joining = {demo, reply_channel};
	char position[48] = "", text[96];
	int length;

	if (forebay_group_history(demo->layer, GROUP, since, send_kept, &joining) != 0)
		return;
	if (since->epoch) // else nothing has been kept yet
		snprintf(position, sizeof position, "%016" PRIx64 ":%" PRIu64, since->epoch,
		        since->offset);
	length = snprintf(text, sizeof text, "{\"since\": \"%s\", \"complete\": %s}", position,
	        since->complete ? "true" : "false");
	forebay_message_reset(demo->reply);
	forebay_set_content(demo->reply, text, (size_t)length, FOREBAY_TEXT);
	(void)demo_socket_send(demo, reply_channel);
}

void demo_chat_join(struct demo *demo, struct forebay_message *message, const char *reply_channel)
{
	struct forebay_history since = {0};
	int result = forebay_group_add(demo->layer, GROUP, reply_channel);

	forebay_message_reset(demo->reply);
	forebay_put_boolean(demo->reply, "accept", result == 0);
	if (result == 0) {
		forebay_put_text(demo->reply, "receive_channel", DEMO_CHAT);
	} else {
		forebay_put_boolean(demo->reply, "close", true);
		forebay_put_integer(demo->reply, "code", 1013);
	}
	if (demo_socket_send(demo, reply_channel) && result == 0 && read_since(message, &since))
		send_missed(demo, reply_channel, &since);
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
