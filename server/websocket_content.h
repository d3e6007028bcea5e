// SPDX-License-Identifier: MIT
// websocket_content.h - a client's message that is larger than one of the layer's.
//
// It is announced in websocket.receive, with the name of a content_channel instead of `content`. The
// messages of that channel hold a part of it each as `content`, text cut between characters, and,
// but for the last, `more_content: true`. If the WebSocket ends before all of it could be sent, the last one
// is `closed: true` instead. The channel ends when everything was received, or a while later.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "channel/forebay.h"
#include "server/timer.h"
#include "server/websocket_server.h"

struct websocket_content {
	struct websocket_server *server;
	struct websocket_content *next, **link; // in server->contents
	struct timer timer;
	size_t sent;   // octets that are in the channel, or have been
	uint64_t left; // the tick at which it was left
	bool binary;
	bool announced; // the caller's: websocket.receive was sent
	bool refused;   // the next part was: there was no room
	bool complete;  // all was sent
	char channel[FOREBAY_NAME_SIZE];
};

// Opens a content channel. Returns NULL if there is no memory or no room for another channel.
struct websocket_content *websocket_content_new(struct websocket_server *server, bool binary);

// Sends what fits of what hasn't been sent yet, of LENGTH octets at DATA: the whole message, each time. Returns 0
// if that was all, FOREBAY_FULL if there is more, or another error of forebay_send().
int websocket_content_send(struct websocket_content *content, const char *data, size_t length);

// The caller is done with it, whether or not all was sent. It stays until all was received, for some
// seconds at most. Accepts NULL.
void websocket_content_leave(struct websocket_content *content);

// Ends the channel at once; what nobody has received is dropped.
void websocket_content_free(struct websocket_content *content);
