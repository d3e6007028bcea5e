// SPDX-License-Identifier: MIT
// http_answer.h - the writing side of a session: what consumers answer, and what we answer ourselves.
#pragma once

#include <stdbool.h>

#include "server/http_session.h"

// Writes the next part of the consumer's response. Takes over MESSAGE.
void http_answer_message(struct http_session *session, struct forebay_message *message);

// Answers the current request with STATUS by ourselves. REASON (static) goes to the log; NULL if it has
// been logged. CLOSE: and ends the connection, as after anything that leaves the rest of the input in
// doubt. If the consumer's response has begun already, the connection is cut off: the client sees
// that it is incomplete.
void http_answer_error(struct http_session *session, int status, const char *reason, bool close);

// Answers it with STATUS, the header fields FIELDS (whole lines, at most 4 KiB) and LENGTH octets of CONTENT, which is copied if
// it has to wait. What of the request's body hasn't been received is never looked at: then the connection ends.
void http_answer_own(struct http_session *session, int status, const char *fields,
        const char *content, size_t length);

// Sends the interim response that makes the client send its body.
void http_answer_continue(struct http_session *session);

// All that was queued has been written.
void http_answer_drained(struct http_session *session);
