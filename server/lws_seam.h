// SPDX-License-Identifier: MIT
// lws_seam.h - where libwebsockets reads and writes: not at a socket, but here.
//
// libwebsockets speaks the protocol of one connection by calling recv() and send() on its descriptor.
// Our connection owns the socket, with its buffers, its TLS and its queue, and what is read passes a
// strict check first. So libwebsockets gets a *placeholder*, a descriptor of /dev/null, and this
// program defines recv() and send(): for a placeholder they serve what was approved and hand on what is
// written; for any other descriptor they are the system's.
//
//     socket -> connection -> websocket_gate -> [ approved octets ] -> recv() --+
//     socket <- connection <-------------------------------------------- send() <-+-- libwebsockets
//
// It fails closed: should libwebsockets ever get the system's recv() instead, /dev/null is no socket, and
// the connection ends. lws_loop_init() tries the whole way once, so that this is known at the start.
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct lws;
struct lws_seam;

// What becomes of a connection's octets. Both may be called only while libwebsockets is at work on it,
// that is, in lws_loop_open() and lws_loop_feed().
struct lws_seam_side {
	// Octets for the client: one or more whole frames, or the head of the handshake.
	void (*output)(struct lws_seam *seam, const void *data, size_t length);
	// The next octets of a message, unmasked. They are the library's, until the call returns.
	void (*payload)(struct lws_seam *seam, const char *data, size_t length);
};

struct lws_seam {
	const struct lws_seam_side *side;
	struct lws *wsi;   // the library's object; NULL before it is made and after it has ended
	const char *input; // what recv() serves
	size_t input_length;
	int fd;          // the placeholder
	bool muted;      // what the library writes is dropped
	bool want_write; // the library has something to write
};

// Makes a placeholder for SEAM, which must not move until its release. Returns 0 or a negative errno.
int lws_seam_claim(struct lws_seam *seam, const struct lws_seam_side *side);

// The placeholder is the library's no more. It has closed the descriptor, or does so in a moment.
void lws_seam_release(struct lws_seam *seam);

// The seam that FD is the placeholder of, or NULL.
struct lws_seam *lws_seam_find(int fd);

// Frees the table of placeholders; none may be claimed.
void lws_seam_fini(void);
