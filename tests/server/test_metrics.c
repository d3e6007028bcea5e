// SPDX-License-Identifier: MIT
// test_metrics.c - what the server counts goes into the right series, also when there is no room for another.
#include "server/metrics.h"

#include "server/log.h"
#include "tests/channel/support.h"

static struct metrics metrics;

struct wanted {
	const char *name;
	double value;
};

static int look(const struct forebay_metric_stat *stat, void *context)
{
	struct wanted *wanted = context;

	if (strcmp(stat->name, wanted->name) == 0)
		wanted->value = stat->value;
	return 0;
}

// -1 if there is no such series.
static double value(struct forebay *layer, const char *name)
{
	struct wanted wanted = {name, -1};

	return forebay_stat_metrics(layer, look, &wanted) == 0 ? wanted.value : -2;
}

static struct forebay *start(void)
{
	struct forebay *layer = attach(NULL);

	log_init("/dev/null", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
	metrics_init(&metrics, layer);
	return layer;
}

// Leaves room for LEFT more series.
static void fill(struct forebay *layer, uint32_t left)
{
	struct forebay_layer_stat stat;
	struct forebay_metric metric;
	char name[32];

	for (int i = 0; forebay_stat(layer, &stat) == 0 && stat.metrics + left < stat.metrics_max;
	        i++) {
		snprintf(name, sizeof name, "filler%d", i);
		EXPECT_INT(
		        forebay_metric_open(layer, name, FOREBAY_METRIC_GAUGE, NULL, &metric), 0);
	}
}

TEST(every_row_is_a_series_that_counts)
{
	struct forebay *layer = start();
	struct forebay_layer_stat stat;

	EXPECT_INT(forebay_stat(layer, &stat), 0);
	EXPECT_INT(stat.metrics, METRICS_ROWS + METRICS_BUCKETS + 2);
	for (int row = 0; row < METRICS_ROWS; row++)
		EXPECT(metrics.rows[row].layer == layer);
	metrics_count(&metrics, METRICS_TLS_FAILED);
	metrics_add(&metrics, METRICS_HTTP_CONNECTIONS, 2);
	metrics_add(&metrics, METRICS_HTTP_CONNECTIONS, -1);
	EXPECT(value(layer, "forebay_tls_handshakes_total{result=\"failed\"}") == 1);
	EXPECT(value(layer, "forebay_tls_handshakes_total{result=\"ok\"}") == 0);
	EXPECT(value(layer, "forebay_http_connections") == 1);
	discard(layer);
}

TEST(a_status_has_a_series_if_it_has_a_name_and_else_its_class_has)
{
	struct forebay *layer = start();

	metrics_count_response(&metrics, 404, 0);
	metrics_count_response(&metrics, 404, 0);
	metrics_count_response(&metrics, 499, 0);
	metrics_count_response(&metrics, 498, 0);
	metrics_count_refusal(&metrics, 503);
	EXPECT(value(layer, "forebay_http_requests_total{code=\"404\"}") == 2);
	EXPECT(value(layer, "forebay_http_requests_total{code=\"499\"}") == -1);
	EXPECT(value(layer, "forebay_http_requests_total{code=\"4xx\"}") == 2);
	EXPECT(value(layer, "forebay_http_requests_refused_total{code=\"503\"}") == 1);
	discard(layer);
}

TEST(without_room_for_another_code_its_class_counts_it)
{
	struct forebay *layer = start();

	fill(layer, 1);
	EXPECT(!test_failed());
	metrics_count_response(&metrics, 299, 0); // takes it, for 2xx
	metrics_count_response(&metrics, 200, 0);
	metrics_count_response(&metrics, 200, 0);
	EXPECT(value(layer, "forebay_http_requests_total{code=\"2xx\"}") == 3);
	EXPECT(value(layer, "forebay_http_requests_total{code=\"200\"}") == -1);
	metrics_count_response(&metrics, 500, 0); // goes nowhere, and harms nobody
	metrics_count_close(&metrics, 1000);
	EXPECT(value(layer, "forebay_http_request_duration_seconds_count") == 4);
	discard(layer);
}

TEST(close_codes_have_series_or_classes)
{
	static const struct {
		unsigned code;
		const char *name;
	} codes[] = {{1000, "forebay_websocket_closed_total{code=\"1000\"}"},
	        {1015, "forebay_websocket_closed_total{code=\"1015\"}"},
	        {1016, "forebay_websocket_closed_total{code=\"1xxx\"}"},
	        {3000, "forebay_websocket_closed_total{code=\"3xxx\"}"},
	        {4999, "forebay_websocket_closed_total{code=\"4xxx\"}"}};
	struct forebay *layer = start();

	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		metrics_count_close(&metrics, codes[i].code);
		EXPECT(value(layer, codes[i].name) == 1);
	}
	metrics_count_close(&metrics, 65535); // of a code that can't be, too, it is in bounds
	discard(layer);
}

TEST(a_duration_is_in_each_bucket_that_it_fits_in)
{
	struct forebay *layer = start();

	metrics_count_response(&metrics, 200, 500);
	metrics_count_response(&metrics, 200, 501);
	metrics_count_response(&metrics, 200, 10000001);
	metrics_count_response(&metrics, 200, -5); // as if the clock went back
	EXPECT(value(layer, "forebay_http_request_duration_seconds_bucket{le=\"0.0005\"}") == 2);
	EXPECT(value(layer, "forebay_http_request_duration_seconds_bucket{le=\"0.001\"}") == 3);
	EXPECT(value(layer, "forebay_http_request_duration_seconds_bucket{le=\"10\"}") == 3);
	EXPECT(value(layer, "forebay_http_request_duration_seconds_bucket{le=\"+Inf\"}") == 4);
	EXPECT(value(layer, "forebay_http_request_duration_seconds_sum") > 10.001);
	EXPECT(value(layer, "forebay_http_request_duration_seconds_sum") < 10.0011);
	discard(layer);
}

TEST(zeroed_it_counts_nothing)
{
	memset(&metrics, 0, sizeof metrics);
	metrics_count(&metrics, METRICS_CONNECTIONS);
	metrics_count_response(&metrics, 200, 1);
	metrics_count_close(&metrics, 1000);
}
