// SPDX-License-Identifier: MIT
// websocket_upgrade.h - from a request on an HTTP session to a WebSocket, or to an answer that says no.
//
//   request -> judged -> websocket.connect -> [ the consumer's verdict ] -> websocket_session
//                \-> 400, 403, 426   \-> 503      \-> 403, any answer, 504
//
// By default there is no verdict: the WebSocket is open as soon as websocket.connect has been sent. With
// --websocket-accept wait the http_session waits like for any other answer, until a message says `accept`.
#pragma once

#include <stdbool.h>

#include "server/http_session.h"

struct websocket_upgrade;

// A head has just been read that websocket_handshake_wanted(). Answers it or makes the WebSocket.
void websocket_upgrade_begin(struct http_session *session);

// A message for a session that waits for the verdict. Takes it over.
void websocket_upgrade_reply(struct http_session *session, struct forebay_message *message);

// The session gives up before there was a WebSocket: the consumer gets its websocket.disconnect, and the
// reply channel ends.
void websocket_upgrade_forget(struct http_session *session);
