// SPDX-License-Identifier: MIT
// connection.h - one client's socket with its input buffer and its output queue.
//
// A connection moves octets and knows no protocol: it reads into one contiguous buffer, tells its
// protocol, and writes what it is given. The protocol can be exchanged (an upgrade) at any time. With
// connection_secure() all octets pass through TLS, which the protocol doesn't notice.
//
//            read(2)                                      writev(2)
//   socket ----------> [ input buffer ] -> protocol -> [ segment ]..[ segment ] ----------> socket
//                        begin .. end                  a few octets + a message in shared memory
//
// Memory: a connection that has nothing to read or write holds no buffer. What can't be written at
// once stays where it is, in shared memory, unless others need that, and keeps its sender's credit: the window of
// the reply channel bounds the queue.
//
// Lifetime: connection_close() takes effect at once for the socket, but the object itself stays valid
// until connection_pool_sweep(), at the end of the loop's turn. So every function that may meet an
// error can be called anywhere, and its caller looks at connection->closed when it matters.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "channel/forebay.h"
#include "server/metrics.h"
#include "server/timer.h"

#define CONNECTION_BUFFER        16384 // octets of an input buffer, unless it must grow
#define CONNECTION_IOV           (FOREBAY_CONTENT_IOV + 2) // parts of one connection_write()
#define CONNECTION_LINGER        2000   // ms to go on reading after the last octet
#define CONNECTION_LINGER_OCTETS 262144 // at most that much is read then

struct connection;
struct connection_segment;
struct connection_tls;
struct tls;

// What a connection tells the protocol on top of it. All may close the connection.
struct connection_protocol {
	void (*on_data)(struct connection *connection);    // octets were added to the input
	void (*on_eof)(struct connection *connection);     // the client will send no more
	void (*on_drained)(struct connection *connection); // all that was queued has been written
	// What connection_write_later() was given couldn't all be written at once. NULL: it isn't used.
	void (*on_backlog)(struct connection *connection);
	// A message has arrived on the connection's reply channel; takes it over.
	void (*on_message)(struct connection *connection, struct forebay_message *message);
	// The socket is closed: let go of all that belongs to this client. Called once.
	void (*on_closed)(struct connection *connection);
};

// What the connections of one worker share. Memory goes to free lists of bounded length.
struct connection_pool {
	struct event_base *base;
	struct timer_wheel *wheel;
	int64_t write_timeout; // ms for a client to take something
	size_t object_size;    // of the object that a connection is the first member of
	struct connection *closed;
	struct connection *spare;
	struct connection_segment *spare_segments;
	struct connection_buffer *spare_buffers;
	struct connection *corked; // have something to write at the next connection_pool_flush()
	struct connection_tls *pending; // have octets that no event will tell of
	unsigned spare_count, spare_segment_count, spare_buffer_count;
	size_t loaded; // messages that wait to be written and still have their memory in the layer
	size_t unloaded, unloaded_max; // octets that connection_unload() has copied, and may
	unsigned live;                 // open connections
	struct metrics *metrics;
};

struct connection {
	const struct connection_protocol *protocol;
	struct connection_pool *pool;
	struct connection_tls *tls; // NULL: octets go over the socket as they are
	char *input;                // NULL if there is none
	size_t input_size;
	size_t input_begin, input_end; // what was read and not consumed
	size_t input_limit;            // to which size the buffer may grow by itself
	struct connection_segment *output, **output_end;
	struct connection *next;                       // on one of the pool's lists
	struct connection *corked_next, **corked_link; // in pool->corked; link NULL: not there
	struct timer timer;                            // the client takes nothing; end of lingering
	struct event read_event, write_event;
	uint32_t lingered; // octets read and discarded
	int untaken;       // octets in the socket when the timer was armed for writing
	int fd;
	bool reading;   // read_event is on
	bool writing;   // write_event is on
	bool eof;       // the client has ended its side
	bool finishing; // to be closed when everything is written
	bool linger;    // ... but not before the client could read it
	bool lingering; // everything is written and our side is shut down
	bool closed;
};

// OBJECT_SIZE is that of the struct whose first member is the struct connection.
void connection_pool_init(struct connection_pool *pool, struct event_base *base,
        struct timer_wheel *wheel, int64_t write_timeout, size_t unloaded_max, size_t object_size,
        struct metrics *metrics);
void connection_pool_fini(struct connection_pool *pool);

// Ends the objects of connections that were closed. Not to be called from a callback.
void connection_pool_sweep(struct connection_pool *pool);

// Takes over the nonblocking socket FD and starts to read. The object around the connection is
// uninitialized but for it. Returns NULL if the heap is exhausted; FD is the caller's then.
struct connection *connection_open(
        struct connection_pool *pool, int fd, const struct connection_protocol *protocol);

// Speaks TLS with the client from here on, as its server: to be called before anything else is done with
// a connection that was opened. Until the handshake is over, for which there are TIMEOUT ms, nothing
// is read, and what is written waits. A client that speaks HTTP instead is told so and sent away. TLS must
// outlive the connection. Returns 0 or -ENOMEM.
int connection_secure(struct connection *connection, const struct tls *tls, int64_t timeout);

// Whether the handshake of TLS isn't over, so that the client couldn't have said anything yet.
bool connection_is_shaking(const struct connection *connection);

// Goes on reading where TLS has octets that it took from the socket earlier. To be called on each turn
// of the loop, which must not sleep while pool->pending isn't NULL.
void connection_pool_resume(struct connection_pool *pool);

// Closes at once. A second call does nothing. With TLS, the client sees that something is missing.
void connection_close(struct connection *connection);

// Closes as soon as everything is written, and TLS was ended as it should be. With LINGER, ends our side first and goes on reading for a
// while, because octets that arrive at a closed socket make the kernel send a reset, which can
// destroy an answer that the client has not read yet.
void connection_finish(struct connection *connection, bool linger);

static inline char *connection_input(const struct connection *connection)
{
	return connection->input + connection->input_begin;
}

static inline size_t connection_input_length(const struct connection *connection)
{
	return connection->input_end - connection->input_begin;
}

// Drops the first LENGTH octets of the input; when none are left, the buffer goes back to the pool.
void connection_consume(struct connection *connection, size_t length);

// Drops LENGTH octets of the input from OFFSET on, moving what follows.
void connection_cut(struct connection *connection, size_t offset, size_t length);

// Makes room for ROOM octets behind the input, which may move. Returns 0 or -ENOMEM.
int connection_reserve(struct connection *connection, size_t room);

// Reads once more, now, although no event said so. Returns whether octets were added; the protocol
// isn't told. An end or an error is left for the next event.
bool connection_poll(struct connection *connection);

// Whether the client has broken the connection off (RST), which no event tells of while nothing is read or written. An
// ordinary end (FIN, or close() of a unix socket) is none: what came before it can still be read.
bool connection_is_reset(const struct connection *connection);

// Whether to go on reading. The connection stops by itself when its buffer is full and may not grow.
void connection_want_read(struct connection *connection, bool want);

// Writes COUNT parts (at most CONNECTION_IOV, some may be empty) after what is queued, as far as
// possible at once. What the first part points to is copied if it has to wait; the others must be in
// MESSAGE, or static. MESSAGE, which may be NULL, is freed as soon as it is written, whatever happens.
void connection_write(struct connection *connection, const struct iovec *parts, int count,
        struct forebay_message *message);

// The same, but at the next connection_pool_flush(), together with all else that is written until then.
void connection_write_later(struct connection *connection, const struct iovec *parts, int count,
        struct forebay_message *message);

// The same as connection_write(), but what has to wait is copied: for what many connections are given.
void connection_write_copy(struct connection *connection, const struct iovec *parts, int count);

// Writes what the connection was given for later now, as far as possible. It may be closed then.
void connection_flush(struct connection *connection);

// Writes what the connections were given for later. To be called before the loop sleeps.
void connection_pool_flush(struct connection_pool *pool);

// Copies what waits to be written out of the messages that it is in, whose memory others need, as far as unloaded_max
// allows. The messages' senders don't get their credit before it is written, so the queue doesn't become longer by that.
void connection_unload(struct connection *connection);

// Closes the connection if parts of messages wait in it of which the client has taken nothing for PATIENCE ms. Returns whether it did.
bool connection_press(struct connection *connection, int64_t patience);

// Whether something waits to be written, other than for connection_pool_flush().
static inline bool connection_backlogged(const struct connection *connection)
{
	return connection->output && !connection->corked_link;
}
