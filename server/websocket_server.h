// SPDX-License-Identifier: MIT
// websocket_server.h - what all WebSockets of a worker share: layer, options, library, counters.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "channel/forebay.h"
#include "server/lws_loop.h"
#include "server/options.h"
#include "server/timer.h"
#include "server/websocket_deflate.h"

struct websocket_session;
struct websocket_content;
struct websocket_farewell;

// Counters of one worker, written by it alone, never decreasing.
struct websocket_stats {
	uint64_t opened;   // handshakes that were accepted
	uint64_t closed;   // of these, ended
	uint64_t refused;  // websocket.connect was sent, but the consumer, or time, said no
	uint64_t received; // messages of clients that were sent to consumers
	uint64_t sent;     // messages of consumers that were written
	uint64_t blocked;  // messages for which there was no room at first
	uint64_t
	        dropped; // messages of clients that no consumer got, since there was no room in time
	uint64_t skipped;   // messages to groups that a slow member didn't get
	uint64_t malformed; // messages of consumers that were not written
	uint64_t failed;    // connections ended for breaking the protocol or a limit
	uint64_t late;      // websocket.disconnect messages that found no room at first
};

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
	struct websocket_stats stats;
	bool draining; // there will be no others
};

// Returns 0 or a negative errno, as lws_loop_init(). OPTIONS, LAYER and WHEEL must outlive the server.
int websocket_server_init(struct websocket_server *server, const struct options *options,
        struct forebay *layer, struct timer_wheel *wheel);

// To be called when all sessions have ended. What is still to be told of them is left to whoever
// finds that this process has detached. Accepts a zeroed server.
void websocket_server_fini(struct websocket_server *server);

// Tries again to send what found no room. To be called on each turn of the loop.
void websocket_server_retry(struct websocket_server *server);

// Writes a message that was sent to a group to each member in this worker. Takes over MESSAGE.
void websocket_server_broadcast(struct websocket_server *server, struct forebay_message *message);

// Closes all WebSockets, with 1001.
void websocket_server_drain(struct websocket_server *server);
