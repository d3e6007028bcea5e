// SPDX-License-Identifier: MIT
// websocket_server.h - what all WebSockets of a worker share: layer, options, library, metrics.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "channel/forebay.h"
#include "server/lws_loop.h"
#include "server/metrics.h"
#include "server/options.h"
#include "server/timer.h"
#include "server/websocket_deflate.h"

struct websocket_session;
struct websocket_content;
struct websocket_farewell;

struct websocket_server {
	const struct options *options;
	struct forebay *layer;
	struct timer_wheel *wheel;
	struct lws_loop loop;
	struct websocket_deflate deflate;
	struct forebay_message *message;    // the one being built; used again and again
	struct websocket_session *sessions; // all of them
	struct websocket_session *blocked, **blocked_last; // whose client's message finds no room
	struct websocket_farewell *farewells,
	        **last;                     // disconnects that found no room, oldest first
	struct websocket_content *contents; // of large messages
	struct metrics *metrics;
	bool draining; // all are told to come again: 1001
};

// Returns 0 or a negative errno, as lws_loop_init(). What is given must outlive the server.
int websocket_server_init(struct websocket_server *server, const struct options *options,
        struct forebay *layer, struct timer_wheel *wheel, struct metrics *metrics);

// To be called when all sessions have ended. What is still to be told of them is left to whoever
// finds that this process has detached. Accepts a zeroed server.
void websocket_server_fini(struct websocket_server *server);

// Tries again to send what found no room. To be called on each turn of the loop.
void websocket_server_retry(struct websocket_server *server);

// Writes a message that was sent to a group to each member in this worker. Takes over MESSAGE.
void websocket_server_broadcast(struct websocket_server *server, struct forebay_message *message);

// Closes all WebSockets, with 1001.
void websocket_server_drain(struct websocket_server *server);
