// SPDX-License-Identifier: MIT
// metrics.c - what a worker counts; see metrics.h.
#include "server/metrics.h"

#include <stdio.h>
#include <string.h>

#include "server/http_response.h"
#include "server/log.h"

struct row {
	const char *name;
	enum forebay_metric_kind kind;
	const char *help;
};

#define WEBSOCKET_DROPPED "forebay_websocket_messages_dropped_total"

static const struct row rows[METRICS_ROWS] = {
        [METRICS_CONNECTIONS] = {"forebay_connections_total", FOREBAY_METRIC_COUNTER,
                "Connections of clients that were accepted"},
        [METRICS_HTTP_CONNECTIONS] = {"forebay_http_connections", FOREBAY_METRIC_GAUGE,
                "Connections that speak HTTP, idle ones among them"},
        [METRICS_HTTP_WAITING] = {"forebay_http_requests_waiting", FOREBAY_METRIC_GAUGE,
                "Requests that were sent to consumers and await the response, or the rest of it"},
        [METRICS_HTTP_ABORTED] = {"forebay_http_requests_aborted_total", FOREBAY_METRIC_COUNTER,
                "Requests whose connection ended before their response was complete"},
        [METRICS_HTTP_REQUEST_BYTES] = {"forebay_http_request_bytes_total", FOREBAY_METRIC_COUNTER,
                "Octets of requests: heads, and content without framing"},
        [METRICS_HTTP_RESPONSE_BYTES] = {"forebay_http_response_bytes_total",
                FOREBAY_METRIC_COUNTER, "Octets of content of consumers' responses"},
        [METRICS_HTTP_MALFORMED] = {"forebay_http_responses_malformed_total",
                FOREBAY_METRIC_COUNTER, "Responses of consumers that couldn't be sent"},
        [METRICS_HTTP_DISCONNECTS] = {"forebay_http_disconnects_total", FOREBAY_METRIC_COUNTER,
                "Requests of which http.disconnect told the consumers that nobody waits any more"},
        [METRICS_HTTP_DISCONNECTS_DROPPED] = {"forebay_http_disconnects_dropped_total",
                FOREBAY_METRIC_COUNTER, "Messages to http.disconnect that found no room"},
        [METRICS_WEBSOCKET_CONNECTIONS] = {"forebay_websocket_connections", FOREBAY_METRIC_GAUGE,
                "WebSockets that are open"},
        [METRICS_WEBSOCKET_OPENED] = {"forebay_websocket_connections_total", FOREBAY_METRIC_COUNTER,
                "WebSockets that were opened"},
        [METRICS_WEBSOCKET_REFUSED] = {"forebay_websocket_refused_total", FOREBAY_METRIC_COUNTER,
                "WebSockets that the consumer refused"},
        [METRICS_WEBSOCKET_RECEIVED] = {"forebay_websocket_messages_total{direction=\"received\"}",
                FOREBAY_METRIC_COUNTER,
                "Messages of clients given to consumers, and of consumers to clients"},
        [METRICS_WEBSOCKET_SENT] = {"forebay_websocket_messages_total{direction=\"sent\"}",
                FOREBAY_METRIC_COUNTER,
                "Messages of clients given to consumers, and of consumers to clients"},
        [METRICS_WEBSOCKET_BLOCKED] = {"forebay_websocket_messages_blocked_total",
                FOREBAY_METRIC_COUNTER, "Messages of clients that found no room at first"},
        [METRICS_WEBSOCKET_DROPPED_FULL] = {WEBSOCKET_DROPPED "{reason=\"full\"}",
                FOREBAY_METRIC_COUNTER, "Messages that were not delivered"},
        [METRICS_WEBSOCKET_DROPPED_SLOW] = {WEBSOCKET_DROPPED "{reason=\"slow\"}",
                FOREBAY_METRIC_COUNTER, "Messages that were not delivered"},
        [METRICS_WEBSOCKET_DROPPED_MALFORMED] = {WEBSOCKET_DROPPED "{reason=\"malformed\"}",
                FOREBAY_METRIC_COUNTER, "Messages that were not delivered"},
        [METRICS_WEBSOCKET_FAILED] = {"forebay_websocket_failed_total", FOREBAY_METRIC_COUNTER,
                "WebSockets that were ended for breaking the protocol, a limit or a time-out"},
        [METRICS_WEBSOCKET_DISCONNECTS_DELAYED] = {"forebay_websocket_disconnects_delayed_total",
                FOREBAY_METRIC_COUNTER,
                "Messages of a WebSocket's end that found no room at first"},
        [METRICS_TLS_OK] = {"forebay_tls_handshakes_total{result=\"ok\"}", FOREBAY_METRIC_COUNTER,
                "TLS handshakes that were completed, or failed"},
        [METRICS_TLS_FAILED] = {"forebay_tls_handshakes_total{result=\"failed\"}",
                FOREBAY_METRIC_COUNTER, "TLS handshakes that were completed, or failed"},
        [METRICS_ACCESS_LOG_DROPPED] = {"forebay_access_log_lines_dropped_total",
                FOREBAY_METRIC_COUNTER, "Lines of the access log that couldn't be written"},
};

static const struct row responses = {"forebay_http_requests_total", FOREBAY_METRIC_COUNTER,
        "Requests that were answered, by status"};
static const struct row refusals = {"forebay_http_requests_refused_total", FOREBAY_METRIC_COUNTER,
        "Of these, those that the server answered by itself"};
static const struct row closes = {"forebay_websocket_closed_total", FOREBAY_METRIC_COUNTER,
        "WebSockets that have ended, by the close code"};

#define DURATION "forebay_http_request_duration_seconds"

static const char duration_help[] =
        "From a request's first octet until its response was complete, in seconds";

static const struct {
	const char *text; // of the label `le`
	int64_t most;     // microseconds
} bounds[METRICS_BUCKETS] = {
        {"0.0005", 500},
        {"0.001", 1000},
        {"0.0025", 2500},
        {"0.005", 5000},
        {"0.01", 10000},
        {"0.025", 25000},
        {"0.05", 50000},
        {"0.1", 100000},
        {"0.25", 250000},
        {"0.5", 500000},
        {"1", 1000000},
        {"2.5", 2500000},
        {"5", 5000000},
        {"10", 10000000},
        {"+Inf", INT64_MAX},
};

// ---------------------------------------------------------------------------------------------
// Opening
// ---------------------------------------------------------------------------------------------

static int open_series(struct metrics *metrics, const char *name, enum forebay_metric_kind kind,
        const char *help, struct forebay_metric *metric)
{
	int result = forebay_metric_open(metrics->layer, name, kind, help, metric);

	if (result)
		log_limited(LOG_LEVEL_WARNING, "%s isn't counted: %s", name,
		        result == FOREBAY_NO_CHANNEL
		                ? "the layer has its number of metrics; a larger one has more"
		                : forebay_strerror(result));
	return result;
}

void metrics_init(struct metrics *metrics, struct forebay *layer)
{
	char name[FOREBAY_METRIC_NAME_MAX + 1];

	memset(metrics, 0, sizeof(*metrics));
	metrics->layer = layer;
	for (int i = 0; i < METRICS_ROWS; i++)
		(void)open_series(
		        metrics, rows[i].name, rows[i].kind, rows[i].help, &metrics->rows[i]);
	for (int i = 0; i < METRICS_BUCKETS; i++) {
		snprintf(name, sizeof(name), DURATION "_bucket{le=\"%s\"}", bounds[i].text);
		(void)open_series(metrics, name, FOREBAY_METRIC_HISTOGRAM, duration_help,
		        &metrics->buckets[i]);
	}
	(void)open_series(metrics, DURATION "_sum", FOREBAY_METRIC_HISTOGRAM, duration_help,
	        &metrics->seconds);
	(void)open_series(metrics, DURATION "_count", FOREBAY_METRIC_HISTOGRAM, duration_help,
	        &metrics->durations);
}

// Whether SERIES, which counts the code NUMBER, or (with x for the last DIGITS digits) its class, can be used.
static bool seek(struct metrics *metrics, const struct row *row, struct metrics_series *series,
        unsigned number, const char *rest)
{
	char name[FOREBAY_METRIC_NAME_MAX + 1];

	if (!series->sought && metrics->layer) {
		series->sought = true;
		snprintf(name, sizeof(name), "%s{code=\"%u%s\"}", row->name, number, rest);
		(void)open_series(metrics, name, row->kind, row->help, &series->metric);
	}
	return series->metric.layer != NULL;
}

// ---------------------------------------------------------------------------------------------
// Counting
// ---------------------------------------------------------------------------------------------

static void count_status(struct metrics *metrics, const struct row *row,
        struct metrics_series series[METRICS_STATUSES], unsigned status)
{
	struct metrics_series *own = &series[status % METRICS_STATUSES];

	// Consumers may invent any; those that have a name are few enough.
	if (!own->metric.layer &&
	        (!*http_response_reason((int)status) || !seek(metrics, row, own, status, ""))) {
		own = &series[status / 100 % 10];
		(void)seek(metrics, row, own, status / 100, "xx");
	}
	forebay_metric_add(&own->metric, 1);
}

// Larger buckets first: who reads smaller ones first finds none that has more than a larger one.
static void count_duration(const struct metrics *metrics, int64_t duration)
{
	forebay_metric_add(&metrics->durations, 1);
	forebay_metric_add(&metrics->seconds, (double)duration / 1e6);
	for (int i = METRICS_BUCKETS - 1; i >= 0 && duration <= bounds[i].most; i--)
		forebay_metric_add(&metrics->buckets[i], 1);
}

void metrics_count_response(struct metrics *metrics, int status, int64_t duration)
{
	count_status(metrics, &responses, metrics->responses, (unsigned)status);
	count_duration(metrics, duration > 0 ? duration : 0);
}

void metrics_count_refusal(struct metrics *metrics, int status)
{
	count_status(metrics, &refusals, metrics->refusals, (unsigned)status);
}

void metrics_count_close(struct metrics *metrics, unsigned code)
{
	const unsigned named = 16; // 1000 to 1015
	struct metrics_series *series = metrics->closes + named + code / 1000 % named;

	if (code < 1000 + named && code >= 1000 &&
	        seek(metrics, &closes, &metrics->closes[code - 1000], code, ""))
		series = &metrics->closes[code - 1000];
	else
		(void)seek(metrics, &closes, series, code / 1000, "xxx");
	forebay_metric_add(&series->metric, 1);
}
