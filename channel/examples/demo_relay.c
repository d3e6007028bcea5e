// SPDX-License-Identifier: MIT
// demo_relay.c - messages of WebSockets that are larger than one of the layer's, sent back.
//
// Such a message comes in parts, on the channel that websocket.receive names in `content_channel`, and goes
// back in parts: `more_content` in all but the last, `continues` in all but the first. Nothing is
// collected here, so a message may be of any size.
#include "channel/examples/demo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct demo_relay {
	struct demo_relay *next;
	char reply_channel[FOREBAY_NAME_SIZE];
	char content_channel[FOREBAY_NAME_SIZE];
	bool begun;    // the first part was sent
	int64_t heard; // when the last part came, by demo_now()
};

// Unlinks and frees the relay that *LINK points to, and stops listening for it.
static void end(struct demo *demo, struct demo_relay **link)
{
	struct demo_relay *relay = *link;

	forebay_ignore(demo->layer, relay->content_channel);
	*link = relay->next;
	free(relay);
}

// The client has got a part and won't get the others: that can't be mended.
static void give_up(struct demo *demo, struct demo_relay **link)
{
	forebay_message_reset(demo->reply);
	forebay_put_boolean(demo->reply, "close", true);
	forebay_put_integer(demo->reply, "code", 1011);
	demo_socket_send(demo, (*link)->reply_channel);
	end(demo, link);
}

void demo_relay_start(struct demo *demo, const char *reply_channel, const char *content_channel)
{
	struct demo_relay *relay;

	if (forebay_listen(demo->layer, content_channel) != 0)
		return; // the client has left already
	relay = calloc(1, sizeof *relay);
	if (!relay) {
		forebay_ignore(demo->layer, content_channel);
		return;
	}
	snprintf(relay->reply_channel, sizeof relay->reply_channel, "%s", reply_channel);
	snprintf(relay->content_channel, sizeof relay->content_channel, "%s", content_channel);
	relay->heard = demo_now();
	relay->next = demo->relays;
	demo->relays = relay;
}

bool demo_relay_continue(struct demo *demo, struct forebay_message *message)
{
	const char *channel = forebay_message_channel(message);
	struct demo_relay **link = &demo->relays;
	size_t length;
	unsigned kind;
	const void *content = forebay_message_content(message, &length, &kind);
	bool more = forebay_get_boolean(message, "more_content", false);

	while (*link && strcmp((*link)->content_channel, channel) != 0)
		link = &(*link)->next;
	if (!*link)
		return false;
	if (!content) { // closed: the client has left
		end(demo, link);
		return true;
	}
	forebay_message_reset(demo->reply);
	forebay_put_boolean(demo->reply, "more_content", more);
	forebay_put_boolean(demo->reply, "continues", (*link)->begun);
	forebay_set_content(demo->reply, content, length, kind);
	(*link)->begun = true;
	(*link)->heard = demo_now();
	if (!demo_socket_send(demo, (*link)->reply_channel))
		give_up(demo, link);
	else if (!more)
		end(demo, link);
	return true;
}

void demo_relay_sweep(struct demo *demo)
{
	const int64_t quiet = 1000;
	int64_t now = demo_now();

	for (struct demo_relay **link = &demo->relays; *link;) {
		// Listening again changes nothing, but tells whether the channel has ended.
		if (now - (*link)->heard > quiet &&
		        forebay_listen(demo->layer, (*link)->content_channel) != 0)
			give_up(demo, link);
		else
			link = &(*link)->next;
	}
}
