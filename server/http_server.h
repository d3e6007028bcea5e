// SPDX-License-Identifier: MIT
// http_server.h - what all HTTP sessions of a worker share: layer, options, scratch memory, metrics.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "channel/forebay.h"
#include "server/connection.h"
#include "server/http_request.h"
#include "server/http_response.h"
#include "server/http_upload.h"
#include "server/metrics.h"
#include "server/options.h"
#include "server/status.h"
#include "server/timer.h"

struct http_session;
struct http_transfer;
struct websocket_server;

enum {
	HTTP_SERVER_ASKERS_MAX = 32, // connections that ask for the status, beside all others
	HTTP_SERVER_MOMENT = 250,    // ms that who holds others up without asking has left
};

struct http_server {
	const struct options *options;
	struct forebay *layer;
	struct timer_wheel *wheel;
	struct connection_pool *pool;
	struct websocket_server
	        *websocket; // what upgraded connections go to; NULL: nobody may upgrade
	struct forebay_message *message;     // the one being built; used again and again
	struct http_request request;         // the head that was read last
	struct http_response_buffer *buffer; // for heads
	struct http_upload upload;           // for multipart bodies that are all there
	struct http_session *sessions;       // all of them
	struct http_transfer *blocked;       // body channels that had no room
	struct http_transfer *left;          // whose clients have left
	struct metrics *metrics;
	uint64_t connections;     // that were accepted
	unsigned status_sessions; // that are told the status
	struct status_look look;  // the last one that they were told of
	bool access_log;
	bool draining; // every response is the last of its connection
	bool ending;   // and no other worker goes on
};

// Returns 0 or -ENOMEM. What is given must outlive the server.
int http_server_init(struct http_server *server, const struct options *options,
        struct forebay *layer, struct timer_wheel *wheel, struct connection_pool *pool,
        struct metrics *metrics);

// To be called when all sessions have ended.
void http_server_fini(struct http_server *server);

// Tries again to send what body channels had no room for. To be called on each turn of the loop.
void http_server_retry(struct http_server *server);

// The next response of each connection is its last; idle connections are closed after a short grace.
void http_server_drain(struct http_server *server);

// Whether no more can be accepted of those who ask for the status.
static inline bool http_server_is_crowded(const struct http_server *server)
{
	return server->status_sessions >= HTTP_SERVER_ASKERS_MAX;
}

// Leaves those of them who have no whole request yet only a moment for it.
void http_server_dismiss(struct http_server *server);

// Microseconds of the monotonic clock.
int64_t http_server_clock(void);
