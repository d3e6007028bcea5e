// SPDX-License-Identifier: MIT
// websocket_handshake.h - whether a request is one to open a WebSocket, and a good one (RFC 6455, 4.2.1).
//
// Pure: looks at the head that was read last and decides.
#pragma once

#include <stdbool.h>

#include "server/http_request.h"
#include "server/options.h"

#define WEBSOCKET_KEY_SIZE 25 // octets of a key in base64, with the NUL

struct websocket_handshake {
	const char *reason; // once a status was returned: why. Static.
	char key[WEBSOCKET_KEY_SIZE];
};

// Whether the client means to open a WebSocket, however badly: then the request is judged by the
// function below, and never served as an ordinary one.
bool websocket_handshake_wanted(
        const struct http_request *request, const struct http_strict_head *head);

// Judges a request with the head at DATA. ORIGINS are those that may connect; empty: all.
// Returns 0 and fills HANDSHAKE; or a status and handshake->reason: 400, 403 (origin), 426 (version).
int websocket_handshake_judge(struct websocket_handshake *handshake,
        const struct http_request *request, const struct http_strict_head *head, const char *data,
        const struct options_list *origins);
