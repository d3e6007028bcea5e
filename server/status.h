// SPDX-License-Identifier: MIT
// status.h - what --status-bind answers: is the server well, what has it counted, what does the layer look like.
//
//   /healthz   200 "ok", or 503 and why the next request couldn't be served
//   /metrics   text format 0.0.4 of Prometheus
//   /status    JSON, or, for who would rather have text/html, a page that shows it and asks again each second
//
// Requests come the same way as all others, so they are as strictly judged, logged and timed; but here they end.
// No message is sent for them and no consumer is needed. Whichever worker has accepted the connection answers: what it
// says is about all of them. A body is never read: the connection ends with the answer.
#pragma once

#include <stdint.h>

#include "channel/forebay.h"
#include "server/status_text.h"

struct http_session;

enum {
	STATUS_CHANNELS_MAX = 1000, // that are listed; of more, some
	STATUS_GROUPS_MAX = 100,
	STATUS_LOOK_LEAST = 10000, // microseconds
	STATUS_LOOK_SHARE = 20,
};

// Answers the request whose head has just been read.
void status_answer(struct http_session *session);

// A look at the layer as a whole, which takes the longer the larger it is. Nobody else is served meanwhile, so where it
// takes longer than STATUS_LOOK_LEAST an earlier one does, as long as looks take more than a STATUS_LOOK_SHARE-th of the time.
struct status_look {
	struct forebay_layer_stat stat;
	int64_t at;   // microseconds of http_server_clock()
	int64_t cost; // microseconds of processor time; 0: there was none
};

// Whether it will do at NOW.
bool status_look_is_fresh(const struct status_look *look, int64_t now);

// What is written of LAYER, with STAT as the look at it. ENDING: the server is shutting down.
void status_write_metrics(
        struct status_text *text, struct forebay *layer, const struct forebay_layer_stat *stat);
void status_write_json(struct status_text *text, struct forebay *layer,
        const struct forebay_layer_stat *stat, bool ending);

// Whether a channel is one that is listed: of those made for one transfer, or one process, there may be any number.
bool status_is_listed(const struct forebay_channel_stat *stat);
