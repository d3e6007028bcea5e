// SPDX-License-Identifier: MIT
// lws_loop.h - libwebsockets in the worker's loop: one context, and connections through lws_seam.
//
// The library of Debian 12 has no libevent loop. It gets an event loop of ours, whose descriptors are
// all placeholders: "readable" is when we have octets for it, "writable" is always, and both are
// served right away, in lws_loop_feed(). So the library never waits, holds no octets of its own, and
// costs no system call. What it is used for: the answer to the handshake, the state machine of frames and
// unmasking, and PONGs. Requests are judged in websocket_handshake, frames in websocket_gate, and our own frames
// are written by websocket_session.
#pragma once

#include <stddef.h>

#include "server/lws_seam.h"

struct lws_context;

#define LWS_LOOP_KEY         25   // octets of a Sec-WebSocket-Key, with the NUL
#define LWS_LOOP_HEADERS_MAX 8192 // octets of additional header fields

struct lws_loop {
	struct lws_context *context;
	struct lws_vhost *vhost;
};

// Makes the context and tries the way through the seam once, there and back. The limit of open files
// decides how much memory the context takes (16 octets for each), and must not be raised later.
// Returns 0; -ENOSYS if the seam doesn't hold; or -ENOMEM.
int lws_loop_init(struct lws_loop *loop);

// Ends it. All connections must have been closed. Accepts a zeroed loop and a second call.
void lws_loop_fini(struct lws_loop *loop);

// Serves the library's own timers. To be called about once a second.
void lws_loop_tick(struct lws_loop *loop);

// Has the library accept a WebSocket whose client sent KEY: the answer, with HEADERS (whole lines) in
// it, comes through SIDE. Returns 0 or a negative errno (-EMFILE: out of descriptors).
int lws_loop_open(struct lws_loop *loop, struct lws_seam *seam, const struct lws_seam_side *side,
        const char key[LWS_LOOP_KEY], const char *headers, size_t headers_length);

// Has it take LENGTH octets, approved frames or parts of them. Returns 0; or -EPIPE, if the library has
// ended the connection: seam->wsi is NULL then.
int lws_loop_feed(struct lws_loop *loop, struct lws_seam *seam, const char *data, size_t length);

// Ends the library's side at once, without a word to the client. Not to be called from within
// lws_loop_open() or lws_loop_feed(). A second call does nothing.
void lws_loop_close(struct lws_loop *loop, struct lws_seam *seam);
