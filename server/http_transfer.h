// SPDX-License-Identifier: MIT
// http_transfer.h - a request's body on its way to the consumer over a body_channel.
//
// Each message of the channel holds a piece of the body as `content` (binary) and, except for the
// last, `more_content: true`. For a multipart form the last one also has `post` and `files`, as
// http.request has them for a small form. If the client leaves before the end, the last message is
// `closed: true` instead. Memory is bounded: a piece is sent from the connection's input buffer, and
// while the channel has no room, the socket isn't read.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/http_server.h"

// Octets of content in one message: with its envelope it fits into one 64 KiB block of the layer.
#define HTTP_TRANSFER_PIECE 64000

// How long the messages of a client that has left stay for the consumer to be read, in ms.
#define HTTP_TRANSFER_GRACE 10000

struct http_transfer {
	struct http_server *server;
	struct http_session *session; // NULL: the client has left
	struct http_transfer *next,
	        **link;             // in server->blocked or server->left; link NULL: in none
	struct http_upload *upload; // of a multipart form, or NULL
	struct timer grace;
	int64_t blocked_at; // microseconds; while it is in server->blocked
	bool refused;       // the last send was: there was no room
	bool complete;      // the last message was sent
	bool told;          // ... or the one that says that the client has left
	char channel[FOREBAY_NAME_SIZE];
};

// Opens a body channel for SESSION, with a multipart parser if MULTIPART. Returns NULL, with a static
// *REASON, if there is no memory or no room for another channel.
struct http_transfer *http_transfer_new(struct http_server *server, struct http_session *session,
        bool multipart, const char **reason);

// Ends the channel at once; what nobody has received is dropped. Accepts NULL.
void http_transfer_free(struct http_transfer *transfer);

// The client has left, or its body was refused: tells the consumer, gives it a while to receive what is
// there, and frees the transfer.
void http_transfer_abandon(struct http_transfer *transfer);

// Sends one piece (at most HTTP_TRANSFER_PIECE octets); LAST: with it the body is complete. Returns as
// forebay_send(); after FOREBAY_FULL (also when the layer has no memory just now) the transfer is in
// the list of blocked ones.
int http_transfer_send(struct http_transfer *transfer, const char *data, size_t length, bool last);

// Takes the transfer out of the list of blocked ones. Returns for how many microseconds it was there.
int64_t http_transfer_unblock(struct http_transfer *transfer);

// Tries again to tell the consumers of clients that have left.
void http_transfer_retry_left(struct http_server *server);
