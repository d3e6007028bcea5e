// SPDX-License-Identifier: MIT
// http_body.h - the body of a request: collected, or streamed to the consumer while it arrives.
#pragma once

#include <stdbool.h>

#include "server/http_session.h"

// A head has just been read: decides what becomes of the body, and sends the request if there is none
// or if it is streamed. What can't be accepted is answered.
void http_body_begin(struct http_session *session);

// Takes what has arrived. Returns whether the session went on to another step.
bool http_body_read(struct http_session *session);

// The time for the body is over.
void http_body_expire(struct http_session *session);
