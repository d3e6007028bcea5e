// SPDX-License-Identifier: MIT
// http_server.c - what all HTTP sessions of a worker share; see http_server.h.
#include "server/http_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/access_log.h"
#include "server/http_session.h"
#include "server/http_transfer.h"

int64_t http_server_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int http_server_init(struct http_server *server, const struct options *options,
        struct forebay *layer, struct timer_wheel *wheel, struct connection_pool *pool,
        struct metrics *metrics)
{
	memset(server, 0, sizeof(*server));
	server->options = options;
	server->layer = layer;
	server->wheel = wheel;
	server->pool = pool;
	server->metrics = metrics;
	server->access_log = access_log_enabled();
	http_upload_init(
	        &server->upload, (uint32_t)options->max_form_fields, (uint32_t)options->max_form);
	// The strict grammar has a limit of its own, which must be met first.
	http_parser_set_max_header_size((uint32_t)options->max_head + 4096);
	server->message = forebay_message_new(layer);
	server->buffer = calloc(1, sizeof(*server->buffer));
	if (server->message && server->buffer &&
	        http_request_init(&server->request, (uint32_t)options->max_headers,
	                options->max_head, options->max_target, (uint32_t)options->max_form_fields,
	                (uint32_t)options->max_form) == 0)
		return 0;
	http_server_fini(server);
	return -ENOMEM;
}

void http_server_fini(struct http_server *server)
{
	while (server->left)
		http_transfer_free(server->left);
	http_request_fini(&server->request);
	http_upload_fini(&server->upload);
	forebay_message_free(server->message);
	server->message = NULL;
	free(server->buffer);
	server->buffer = NULL;
}

void http_server_retry(struct http_server *server)
{
	struct http_transfer *blocked = server->blocked;

	// Those that are refused again return to server->blocked, so this is a list of its own.
	server->blocked = NULL;
	if (blocked)
		blocked->link = &blocked;
	while (blocked) {
		struct http_session *session = blocked->session;

		session->body.began += http_transfer_unblock(blocked);
		http_session_advance(session);
	}
	if (server->left)
		http_transfer_retry_left(server);
}

void http_server_drain(struct http_server *server)
{
	struct http_session *next;

	server->draining = true;
	for (struct http_session *session = server->sessions; session; session = next) {
		next = session->next;
		if (session->step == HTTP_SESSION_HEAD)
			http_session_advance(session);
	}
}

void http_server_dismiss(struct http_server *server)
{
	for (struct http_session *session = server->sessions; session; session = session->next)
		if (session->local->status && session->step == HTTP_SESSION_HEAD)
			timer_arm(server->wheel, &session->timer, HTTP_SERVER_MOMENT);
}
