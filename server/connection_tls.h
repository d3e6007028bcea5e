// SPDX-License-Identifier: MIT
// connection_tls.h - what a connection with TLS does differently: between connection.c and
// connection_tls.c only. How others come to it is connection_secure().
#pragma once

#include "server/connection.h"
#include "server/tls_stream.h"

struct connection_tls {
	struct tls_stream stream;
	struct connection *connection;
	struct connection_tls *next, **link; // in pool->pending; link is NULL when it isn't there
	bool awaits_read, awaits_write;      // the events that are on
};

// Makes the events those that the connection waits for, which aren't always the ones that reading and
// writing suggest, and has connection_pool_resume() read what no event will tell of.
void connection_tls_watch(struct connection *connection);

// Only the latter.
void connection_tls_list(struct connection *connection);

// The handshake has taken too long.
void connection_tls_expire(struct connection *connection);

// From here on the socket carries octets as they are. A no-op without TLS.
void connection_tls_drop(struct connection *connection);

// Read, or write, as far as possible at once; either may close the connection. Of connection.c.
void connection_read_more(struct connection *connection);
void connection_write_more(struct connection *connection);

// Gives the client the write time-out to take something of what was written. Of connection.c.
void connection_await_taking(struct connection *connection);
