// SPDX-License-Identifier: MIT
// tls_stream.h - TLS on one nonblocking socket, with the manners of recv() and writev().
//
// It owns neither the socket nor its events: it says, after each call, whether what could not be done
// waits for the socket to be readable or writable. That need not be what the call's name suggests: a
// handshake writes too, and so does reading when the peer asks for new keys.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "server/tls.h"

#define TLS_STREAM_RECORD 16384 // octets of content in a record, at most

struct tls_stream {
	SSL *ssl;
	int fd;
	bool greeted;          // the client's first octet was that of a TLS record
	bool established;      // the handshake is over
	bool broken;           // an error, after which nothing can be sent
	bool read_needs_write; // handshake or reading waits until the socket is writable
	bool drained;          // the last read has looked at all that there is
	bool write_needs_read; // writing waits until the socket is readable
};

enum tls_stream_outcome {
	TLS_STREAM_WAIT = 1,   // the handshake goes on when the socket is ready
	TLS_STREAM_FAILED = 2, // it has failed; the client was told why, if it can be told
	TLS_STREAM_ENDED = 3,  // the client left before it said anything
	TLS_STREAM_NOT_TLS =
	        4, // it began with a letter, as HTTP without TLS does; nothing was read
};

// Returns 0 or -ENOMEM. FD stays the caller's.
int tls_stream_init(struct tls_stream *stream, const struct tls *tls, int fd);

// Says nothing to the peer: without a tls_stream_finish() before, it knows that something is missing.
// Accepts a second call.
void tls_stream_fini(struct tls_stream *stream);

// Goes on with the handshake. Returns 0 when it is over, or a tls_stream_outcome. For
// TLS_STREAM_FAILED, *WHY is a static text that says why.
int tls_stream_handshake(struct tls_stream *stream, const char **why);

// As recv(): octets read; 0 when the peer has ended its side; -1 and errno, EAGAIN among others.
ssize_t tls_stream_read(struct tls_stream *stream, void *buffer, size_t size);

// As writev(). Parts that are smaller than a record are copied together into one. What was refused with
// EAGAIN must come first in the next call, with the same octets, wherever they are by then.
ssize_t tls_stream_write(struct tls_stream *stream, const struct iovec *parts, int count);

// Whether octets were taken from the socket that tls_stream_read() has yet to look at: no event will
// tell. The beginning of a record doesn't count once it was found that the rest isn't there.
bool tls_stream_pending(const struct tls_stream *stream);

// Tells the peer that nothing more will come (close_notify). Returns 0, also if it can't be told any
// more, or -EAGAIN: to be called again when the socket is writable.
int tls_stream_finish(struct tls_stream *stream);
