// SPDX-License-Identifier: MIT
// websocket_input.h - what a WebSocket's client sends: through the gate and libwebsockets, to the consumers.
#pragma once

#include <stdbool.h>

#include "server/lws_seam.h"
#include "server/websocket_session.h"

// What becomes of what libwebsockets reads and writes for a session.
extern const struct lws_seam_side websocket_input_side;

// Deals with what has arrived, as far as it can: until a message finds no room (the session is in server->blocked then), or the
// connection ends, which may happen here.
void websocket_input_read(struct websocket_session *session);

// Tries again to send the message that found no room, and goes on. Returns false if it finds none yet.
bool websocket_input_unblock(struct websocket_session *session);

// Drops what has come of a message.
void websocket_input_drop(struct websocket_session *session);
