// SPDX-License-Identifier: MIT
// websocket_farewell.c - telling consumers that a client has left; see websocket_farewell.h.
#include "server/websocket_farewell.h"

#include <stdlib.h>
#include <string.h>

#include "server/log.h"

#define TRIES_MAX 16 // that fail, in one turn of the loop

struct websocket_farewell {
	struct websocket_farewell *next;
	uint64_t order;
	struct websocket_close close;
	char reply_channel[40];
	char channel[]; // "" for the usual one
};

static bool is_no_room(int result)
{
	return result == FOREBAY_FULL || result == FOREBAY_NO_MEMORY ||
	       result == FOREBAY_NO_CHANNEL;
}

int websocket_farewell_owe(struct websocket_server *server, const char *reply_channel)
{
	return forebay_reply_announce(
	        server->layer, reply_channel, WEBSOCKET_CONNECT, server->message);
}

static int say(struct websocket_server *server, const char *reply_channel, const char *channel,
        uint64_t order, const struct websocket_close *close)
{
	struct forebay_message *message = server->message;

	forebay_message_reset(message);
	forebay_put_text(message, "reply_channel", reply_channel);
	forebay_put_integer(message, "order", (int64_t)order);
	forebay_put_integer(message, "code", close->code);
	forebay_put_string(message, "reason", close->reason, close->reason_length);
	return forebay_reply_farewell(server->layer, reply_channel, channel, message);
}

// To the consumer that asked for it, or, if its channel is no more, to whoever listens.
static int tell(struct websocket_server *server, const char *reply_channel, const char *channel,
        uint64_t order, const struct websocket_close *close)
{
	int result = FOREBAY_GONE;

	if (channel && *channel)
		result = say(server, reply_channel, channel, order, close);
	if (result == FOREBAY_GONE || result == FOREBAY_BAD_NAME)
		result = say(server, reply_channel, WEBSOCKET_DISCONNECT, order, close);
	if (result && !is_no_room(result))
		log_limited(LOG_LEVEL_ERROR, "cannot send websocket.disconnect: %s",
		        forebay_strerror(result));
	return result;
}

static void append(struct websocket_server *server, struct websocket_farewell *farewell)
{
	farewell->next = NULL;
	*server->last = farewell;
	server->last = &farewell->next;
}

void websocket_farewell_send(struct websocket_server *server, const char *reply_channel,
        const char *channel, uint64_t order, const struct websocket_close *close)
{
	size_t length = channel ? strlen(channel) : 0;
	struct websocket_farewell *farewell;

	if (!is_no_room(tell(server, reply_channel, channel, order, close)))
		return;
	metrics_count(server->metrics, METRICS_WEBSOCKET_DISCONNECTS_DELAYED);
	log_limited(LOG_LEVEL_WARNING, "no room for websocket.disconnect, will try again");
	farewell = malloc(sizeof(*farewell) + length + 1);
	if (!farewell)
		return; // the will says it when this process ends
	farewell->order = order;
	farewell->close = *close;
	strcpy(farewell->reply_channel, reply_channel);
	memcpy(farewell->channel, length ? channel : "", length + 1);
	append(server, farewell);
}

void websocket_farewell_retry(struct websocket_server *server)
{
	struct websocket_farewell *list = server->farewells, *farewell, **last = server->last;
	int failures = 0;

	server->farewells = NULL;
	server->last = &server->farewells;
	while (list && failures < TRIES_MAX) {
		farewell = list;
		list = farewell->next;
		if (is_no_room(tell(server, farewell->reply_channel, farewell->channel,
		            farewell->order, &farewell->close))) {
			failures++;
			append(server, farewell);
		} else {
			free(farewell);
		}
	}
	if (list) {
		*server->last = list;
		server->last = last;
	}
}

void websocket_farewell_leave(struct websocket_server *server)
{
	struct websocket_farewell *farewell;

	while ((farewell = server->farewells)) {
		server->farewells = farewell->next;
		free(farewell);
	}
	server->last = &server->farewells;
}
