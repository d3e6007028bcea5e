// SPDX-License-Identifier: MIT
// metrics.h - what a worker counts: series of the layer (see forebay_metric_open()), so that the sums over all
// workers, also those that have ended, are whoever asks gets.
//
// Each row of a table (metrics.c) is a series. Those with a label `code` are opened when the code is met first:
// most of them never are. When the layer has no room for more series, a code is counted with its class ("4xx"),
// and if that has no room either, not at all. Counting is some loads and stores; only a new code costs more.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "channel/forebay.h"

enum metrics_row {
	METRICS_CONNECTIONS,
	METRICS_HTTP_CONNECTIONS,
	METRICS_HTTP_WAITING,
	METRICS_HTTP_ABORTED,
	METRICS_HTTP_REQUEST_BYTES,
	METRICS_HTTP_RESPONSE_BYTES,
	METRICS_HTTP_MALFORMED,
	METRICS_HTTP_DISCONNECTS,
	METRICS_HTTP_DISCONNECTS_DROPPED,
	METRICS_WEBSOCKET_CONNECTIONS,
	METRICS_WEBSOCKET_OPENED,
	METRICS_WEBSOCKET_REFUSED,
	METRICS_WEBSOCKET_RECEIVED,
	METRICS_WEBSOCKET_SENT,
	METRICS_WEBSOCKET_BLOCKED,
	METRICS_WEBSOCKET_DROPPED_FULL,
	METRICS_WEBSOCKET_DROPPED_SLOW,
	METRICS_WEBSOCKET_DROPPED_MALFORMED,
	METRICS_WEBSOCKET_FAILED,
	METRICS_WEBSOCKET_DISCONNECTS_DELAYED,
	METRICS_TLS_OK,
	METRICS_TLS_FAILED,
	METRICS_ACCESS_LOG_DROPPED,
	METRICS_ROWS
};

enum {
	METRICS_BUCKETS = 15, // of a request's duration, the last being infinity
	METRICS_STATUSES = 600,
	METRICS_CLOSES = 32,
};

// A series that is opened when it is needed.
struct metrics_series {
	struct forebay_metric metric;
	bool sought;
};

// Those of one process. Zeroed, it counts nothing.
struct metrics {
	struct forebay *layer;
	struct forebay_metric rows[METRICS_ROWS];
	struct forebay_metric buckets[METRICS_BUCKETS], seconds, durations;
	// By status; those below 10 are classes.
	struct metrics_series responses[METRICS_STATUSES], refusals[METRICS_STATUSES];
	struct metrics_series closes[METRICS_CLOSES]; // by code less 1000; behind these, classes
};

// Opens the series of LAYER, which must outlive it. One that can't be opened isn't counted; the log says so once.
void metrics_init(struct metrics *metrics, struct forebay *layer);

static inline void metrics_add(const struct metrics *metrics, enum metrics_row row, double amount)
{
	forebay_metric_add(&metrics->rows[row], amount);
}

static inline void metrics_count(const struct metrics *metrics, enum metrics_row row)
{
	metrics_add(metrics, row, 1);
}

// Counts a response with STATUS that was complete DURATION microseconds after its request began.
void metrics_count_response(struct metrics *metrics, int status, int64_t duration);

// Counts a request that the server answers by itself.
void metrics_count_refusal(struct metrics *metrics, int status);

// Counts the end of a WebSocket, with the code that its consumer is told.
void metrics_count_close(struct metrics *metrics, unsigned code);
