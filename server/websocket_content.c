// SPDX-License-Identifier: MIT
// websocket_content.c - large messages, part by part; see websocket_content.h.
#include "server/websocket_content.h"

#include <stdlib.h>

// Octets of a part: with its envelope it fits into one 64 KiB block of the layer.
#define PART_MAX 64000

// Milliseconds that a consumer has for the parts that were sent, once the last one was; and how often it is
// looked whether it has them.
#define GRACE 10000
#define LOOK  100

static void on_timer(struct timer *timer)
{
	struct websocket_content *content =
	        (struct websocket_content *)((char *)timer -
	                                     offsetof(struct websocket_content, timer));
	struct websocket_server *server = content->server;

	if ((server->wheel->tick - content->left) * TIMER_TICK >= GRACE ||
	        forebay_stream_finish(server->layer, content->channel) != FOREBAY_FULL)
		websocket_content_free(content);
	else
		timer_arm(server->wheel, timer, LOOK);
}

struct websocket_content *websocket_content_new(struct websocket_server *server, bool binary)
{
	struct websocket_content *content = calloc(1, sizeof(*content));

	if (!content)
		return NULL;
	if (forebay_stream_open(server->layer, "websocket.receive.content", content->channel)) {
		free(content);
		return NULL;
	}
	content->server = server;
	content->binary = binary;
	timer_init(&content->timer, on_timer);
	content->next = server->contents;
	content->link = &server->contents;
	if (content->next)
		content->next->link = &content->next;
	server->contents = content;
	return content;
}

void websocket_content_free(struct websocket_content *content)
{
	*content->link = content->next;
	if (content->next)
		content->next->link = content->link;
	timer_fini(&content->timer);
	(void)forebay_stream_close(content->server->layer, content->channel);
	free(content);
}

// Octets of the next part. A text, which is UTF-8, isn't cut within a character.
static size_t next_part(const struct websocket_content *content, const char *data, size_t length)
{
	size_t size = length - content->sent;

	if (size <= PART_MAX)
		return size;
	size = PART_MAX;
	while (!content->binary && (data[content->sent + size] & 0xc0) == 0x80)
		size--;
	return size;
}

static int send_part(struct websocket_content *content, const char *data, size_t size, bool last)
{
	struct forebay_message *message = content->server->message;
	int result;

	forebay_message_reset(message);
	if (!last)
		forebay_put_boolean(message, "more_content", true);
	forebay_set_content(message, data, size, content->binary ? FOREBAY_BINARY : FOREBAY_TEXT);
	result = content->refused
	                 ? forebay_send_again(content->server->layer, content->channel, message)
	                 : forebay_send(content->server->layer, content->channel, message, 0);
	content->refused = result == FOREBAY_FULL || result == FOREBAY_NO_MEMORY;
	// Others will free some: no reason to fail.
	return result == FOREBAY_NO_MEMORY ? FOREBAY_FULL : result;
}

int websocket_content_send(struct websocket_content *content, const char *data, size_t length)
{
	while (!content->complete) {
		size_t size = next_part(content, data, length);
		bool last = content->sent + size == length;
		int result = send_part(content, data + content->sent, size, last);

		if (result)
			return result;
		content->sent += size;
		content->complete = last;
	}
	return 0;
}

void websocket_content_leave(struct websocket_content *content)
{
	if (!content)
		return;
	if (!content->announced) {
		websocket_content_free(content);
		return;
	}
	if (!content->complete) {
		forebay_message_reset(content->server->message);
		forebay_put_boolean(content->server->message, "closed", true);
		// If there is no room, the end of the channel tells.
		(void)forebay_send(
		        content->server->layer, content->channel, content->server->message, 0);
	}
	content->left = content->server->wheel->tick;
	timer_arm(content->server->wheel, &content->timer, LOOK);
}
