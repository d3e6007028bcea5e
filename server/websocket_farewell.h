// SPDX-License-Identifier: MIT
// websocket_farewell.h - websocket.disconnect, exactly once for every websocket.connect.
//
// A message that finds no room stays here and is tried again. If the worker ends before, or dies, the
// layer knows of it: the connection's reply channel has a will (forebay_reply_will()), which
// is executed by whoever clears up behind the worker, and void as soon as the message was sent.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "server/websocket_gate.h"
#include "server/websocket_server.h"

#define WEBSOCKET_CONNECT    "websocket.connect"
#define WEBSOCKET_RECEIVE    "websocket.receive"
#define WEBSOCKET_DISCONNECT "websocket.disconnect"

// Sends server->message, which is that of a connection with REPLY_CHANNEL, to websocket.connect: from then
// on a disconnect is owed. Returns as forebay_send().
int websocket_farewell_owe(struct websocket_server *server, const char *reply_channel);

// Ends REPLY_CHANNEL and sends the disconnect, to CHANNEL (NULL: websocket.disconnect).
void websocket_farewell_send(struct websocket_server *server, const char *reply_channel,
        const char *channel, uint64_t order, const struct websocket_close *close);

// Tries again those that found no room.
void websocket_farewell_retry(struct websocket_server *server);

// Forgets them, leaving them to the will.
void websocket_farewell_leave(struct websocket_server *server);
