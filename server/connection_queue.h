// SPDX-License-Identifier: MIT
// connection_queue.h - what a connection has yet to write: segments, each one write's parts and the message they lie in.
//
// For connection.c only.
#pragma once

#include <stddef.h>
#include <sys/uio.h>

#include "server/connection.h"

#define CONNECTION_QUEUE_IOV 64 // parts of several segments that one writev() takes

// Appends the COUNT parts but for their first SKIP octets. The first part is copied, the others lie in MESSAGE,
// or are static. Takes over MESSAGE. Returns 0 or -ENOMEM.
int connection_queue_add(struct connection *connection, const struct iovec *parts, int count,
        size_t skip, struct forebay_message *message);

// The same, and copies all of the parts.
int connection_queue_add_copy(
        struct connection *connection, const struct iovec *parts, int count, size_t skip);

// Fills PARTS with the first parts of the queue. Returns how many.
int connection_queue_gather(
        const struct connection *connection, struct iovec parts[CONNECTION_QUEUE_IOV]);

// See connection_unload().
void connection_queue_unload(struct connection *connection);

// Whether there is something of messages in it, be it copied or not.
bool connection_queue_has_messages(const struct connection *connection);

// Takes LENGTH written octets off the queue.
void connection_queue_advance(struct connection *connection, size_t length);

// Drops all of it.
void connection_queue_clear(struct connection *connection);

// Frees the pool's spare segments.
void connection_queue_pool_fini(struct connection_pool *pool);
