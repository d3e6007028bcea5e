// SPDX-License-Identifier: MIT
// status.c - the answers to those who ask about the server; see status.h.
#include "server/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "server/http_answer.h"
#include "server/status_page.h"

// What every answer has: nobody is to keep it, guess at what it is, or show it as a part of something else.
#define COMMON                                                                                     \
	"Cache-Control: no-store\r\n"                                                              \
	"X-Content-Type-Options: nosniff\r\n"
#define POLICY(SOURCES)                                                                            \
	"Content-Security-Policy: default-src 'none'" SOURCES "; base-uri 'none'; "                \
	"form-action 'none'; frame-ancestors 'none'\r\n"
#define PLAIN "Content-Type: text/plain; charset=utf-8\r\n" COMMON POLICY("")

static void answer_text(
        struct http_session *session, int status, const char *fields, const char *text)
{
	http_answer_own(session, status, fields, text, strlen(text));
}

// ---------------------------------------------------------------------------------------------
// What is written in more than one way
// ---------------------------------------------------------------------------------------------

bool status_is_listed(const struct forebay_channel_stat *stat)
{
	return !stat->inbox && !strchr(stat->name, '?');
}

// ---------------------------------------------------------------------------------------------
// /healthz
// ---------------------------------------------------------------------------------------------

// Why the next request wouldn't be served; NULL if it would. That nobody receives just now is no reason as long as nothing
// waits: a consumer may be restarted at any time. Consumers that hang or are stopped still listen, so what tells is how
// long the first request has been waiting.
static const char *find_ailment(const struct http_server *server)
{
	struct forebay_channel_stat stat;

	if (server->ending)
		return "shutting down\n";
	if (forebay_stat_channel(server->layer, "http.request", &stat) != 0)
		return "the layer can't be read\n";
	if (stat.policy == FOREBAY_REFUSE && stat.pending >= stat.capacity)
		return "http.request is full\n";
	if (stat.pending > 0 && stat.listeners == 0)
		return "requests wait, and no consumer receives them\n";
	if (stat.pending > 0 && stat.oldest >= server->options->response_timeout / 2)
		return "requests have waited for half of the time that an answer may take\n";
	return NULL;
}

static void answer_health(struct http_session *session)
{
	const char *ailment = find_ailment(session->server);

	answer_text(session, ailment ? 503 : 200, PLAIN, ailment ? ailment : "ok\n");
}

// ---------------------------------------------------------------------------------------------
// /metrics
// ---------------------------------------------------------------------------------------------

static void answer_written(
        struct http_session *session, const char *fields, struct status_text *text)
{
	if (text->failed)
		answer_text(session, 503, PLAIN, "out of memory\n");
	else
		http_answer_own(session, 200, fields, text->data, text->length);
	status_text_fini(text);
}

bool status_look_is_fresh(const struct status_look *look, int64_t now)
{
	return look->cost > STATUS_LOOK_LEAST && now - look->at < look->cost * STATUS_LOOK_SHARE;
}

static int64_t processor_time(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

static const struct forebay_layer_stat *look_at_layer(struct http_server *server)
{
	struct status_look *look = &server->look;
	int64_t now = http_server_clock(), begun = processor_time();

	if (status_look_is_fresh(look, now))
		return &look->stat;
	(void)forebay_stat(server->layer, &look->stat); // which fails in a forked child only
	look->at = now;
	look->cost = processor_time() - begun;
	return &look->stat;
}

static void answer_metrics(struct http_session *session)
{
	static const char fields[] =
	        "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n" COMMON POLICY("");
	struct status_text text = {0};

	status_write_metrics(&text, session->server->layer, look_at_layer(session->server));
	answer_written(session, fields, &text);
}

// ---------------------------------------------------------------------------------------------
// /status
// ---------------------------------------------------------------------------------------------

// One element of a field Accept: "text/html; level=1; q=0.5".
struct range {
	const char *type; // the media range
	size_t type_length, length;
};

// Takes the next element from *VALUE, of which *LENGTH octets are left. False if there is none.
static bool next_range(const char **value, size_t *length, struct range *range)
{
	while (*length > 0 && strchr(", \t", **value)) {
		++*value;
		--*length;
	}
	*range = (struct range){.type = *value};
	while (range->length < *length && (*value)[range->length] != ',')
		range->length++;
	while (range->type_length < range->length &&
	        !strchr("; \t", range->type[range->type_length]))
		range->type_length++;
	*value += range->length;
	*length -= range->length;
	return range->length > 0;
}

// Its weight in thousandths (RFC 9110, 12.4.2). What isn't a weight is 0.
static int weight_of(const struct range *range)
{
	const char *end = range->type + range->length;
	int weight = 0, unit = 100;

	for (const char *at = range->type + range->type_length; at < end; at++) {
		if (*at != ';')
			continue;
		while (at + 1 < end && (at[1] == ' ' || at[1] == '\t'))
			at++;
		if (end - at < 4 || strncasecmp(at + 1, "q=", 2) != 0)
			continue;
		if (at[3] == '1')
			return 1000;
		for (at += 5; at < end && *at >= '0' && *at <= '9' && unit > 0; at++, unit /= 10)
			weight += (*at - '0') * unit;
		return weight;
	}
	return 1000;
}

// How closely it names the media type TYPE, whose first MAJOR octets are "text/": 0 is not at all.
static int closeness(const struct range *range, const char *type, size_t major)
{
	if (range->type_length == strlen(type) && strncasecmp(range->type, type, strlen(type)) == 0)
		return 3;
	if (range->type_length == major + 1 && range->type[major] == '*' &&
	        strncasecmp(range->type, type, major) == 0)
		return 2;
	return range->type_length == 3 && memcmp(range->type, "*/*", 3) == 0;
}

// The weight that ACCEPT gives TYPE: that of the range which names it most closely.
static int weight_in(const struct http_request_field *accept, const char *type)
{
	const char *value = accept->value;
	size_t length = accept->value_length, major = strcspn(type, "/") + 1;
	struct range range;
	int weight = 0, best = 0;

	while (next_range(&value, &length, &range)) {
		int close = closeness(&range, type, major);

		if (close > best) {
			best = close;
			weight = weight_of(&range);
		}
	}
	return weight;
}

// Whether the client would rather have a page: those who don't say so are programs.
static bool wants_page(const struct http_session *session)
{
	const struct http_request_field *accept =
	        http_request_find(&session->server->request, "accept", 6);

	if (!accept)
		return false;
	return weight_in(accept, "text/html") > weight_in(accept, "application/json");
}

static void answer_status(struct http_session *session)
{
	static const char page_fields[] =
	        "Content-Type: text/html; charset=utf-8\r\nVary: Accept\r\n"
	        "Referrer-Policy: no-referrer\r\n" COMMON POLICY(
	                "; script-src " status_page_script "; style-src " status_page_style
	                "; connect-src 'self'; img-src data:");
	static const char json_fields[] =
	        "Content-Type: application/json\r\nVary: Accept\r\n" COMMON POLICY("");
	struct http_server *server = session->server;
	struct status_text text = {0};

	if (wants_page(session)) {
		http_answer_own(session, 200, page_fields, status_page, status_page_size);
		return;
	}
	status_write_json(&text, server->layer, look_at_layer(server), server->ending);
	answer_written(session, json_fields, &text);
}

// ---------------------------------------------------------------------------------------------
// Which is asked for
// ---------------------------------------------------------------------------------------------

static const struct {
	const char *path;
	void (*answer)(struct http_session *session);
} resources[] = {
        {"/healthz", answer_health},
        {"/metrics", answer_metrics},
        {"/status", answer_status},
};

static bool is(const struct http_session *session, struct http_strict_span span, const char *text)
{
	return span.length == strlen(text) &&
	       memcmp(connection_input(&session->connection) + span.offset, text, span.length) == 0;
}

void status_answer(struct http_session *session)
{
	const struct http_strict_head *head = &session->head;
	bool reads = is(session, head->method, "GET") || is(session, head->method, "HEAD");

	session->body =
	        (struct http_session_body){.complete = !head->chunked && head->content_length <= 0};
	session->step = HTTP_SESSION_ANSWER;
	for (size_t i = 0; i < sizeof(resources) / sizeof(resources[0]); i++) {
		if (!is(session, head->path, resources[i].path))
			continue;
		if (reads)
			resources[i].answer(session);
		else
			answer_text(session, 405, "Allow: GET, HEAD\r\n" PLAIN,
			        "405 Method Not Allowed\n");
		return;
	}
	answer_text(session, 404, PLAIN, "404 Not Found\n");
}
