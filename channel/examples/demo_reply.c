// SPDX-License-Identifier: MIT
// demo_reply.c - an answer in one message.
#include "channel/examples/demo.h"

#include <stdio.h>
#include <string.h>

#define SEND_PATIENCE 1000 // ms

void demo_send_reply(struct demo *demo, const char *reply_channel)
{
	// Waits a moment in the rare case that all memory for messages is in use.
	int result = forebay_send(demo->layer, reply_channel, demo->reply, SEND_PATIENCE);

	if (result != 0 && result != FOREBAY_GONE)
		fprintf(stderr, "forebay-demo: can't answer: %s\n", forebay_strerror(result));
}

void demo_reply(struct demo *demo, const char *reply_channel, int status, const char *content_type,
        const void *content, size_t length)
{
	struct forebay_message *reply = demo->reply;

	// The puts need no checks of their own: the first that fails makes the send fail.
	forebay_message_reset(reply);
	forebay_put_integer(reply, "status", status);
	forebay_put_text(reply, "content_type", content_type);
	forebay_set_content(reply, content, length, FOREBAY_TEXT);
	demo_send_reply(demo, reply_channel);
}

void demo_reply_text(struct demo *demo, const char *reply_channel, int status, const char *text)
{
	demo_reply(demo, reply_channel, status, "text/plain", text, strlen(text));
}
