// SPDX-License-Identifier: MIT
// http_transfer.c - pieces of a body as messages; see http_transfer.h.
#include "server/http_transfer.h"

#include <stdlib.h>

static void enlist(struct http_transfer *transfer, struct http_transfer **list)
{
	transfer->next = *list;
	transfer->link = list;
	if (transfer->next)
		transfer->next->link = &transfer->next;
	*list = transfer;
}

static void delist(struct http_transfer *transfer)
{
	if (!transfer->link)
		return;
	*transfer->link = transfer->next;
	if (transfer->next)
		transfer->next->link = transfer->link;
	transfer->link = NULL;
}

static void on_grace(struct timer *timer)
{
	http_transfer_free(
	        (struct http_transfer *)((char *)timer - offsetof(struct http_transfer, grace)));
}

static struct http_upload *new_upload(const struct options *options)
{
	struct http_upload *upload = malloc(sizeof(*upload));

	if (upload)
		http_upload_init(
		        upload, (uint32_t)options->max_form_fields, (uint32_t)options->max_form);
	return upload;
}

struct http_transfer *http_transfer_new(struct http_server *server, struct http_session *session,
        bool multipart, const char **reason)
{
	struct http_transfer *transfer = calloc(1, sizeof(*transfer));
	int result;

	*reason = "out of memory";
	if (!transfer)
		return NULL;
	transfer->server = server;
	transfer->session = session;
	timer_init(&transfer->grace, on_grace);
	if (multipart) {
		transfer->upload = new_upload(server->options);
		if (!transfer->upload) {
			free(transfer);
			return NULL;
		}
	}
	result = forebay_stream_open(server->layer, "http.request.body", transfer->channel);
	if (result) {
		*reason = forebay_strerror(result);
		transfer->channel[0] = '\0';
		http_transfer_free(transfer);
		return NULL;
	}
	return transfer;
}

void http_transfer_free(struct http_transfer *transfer)
{
	if (!transfer)
		return;
	delist(transfer);
	timer_fini(&transfer->grace);
	if (transfer->channel[0])
		forebay_stream_close(transfer->server->layer, transfer->channel);
	if (transfer->upload)
		http_upload_fini(transfer->upload);
	free(transfer->upload);
	free(transfer);
}

static int send_message(struct http_transfer *transfer)
{
	struct http_server *server = transfer->server;
	// What was refused is tried on each turn of the loop, for as many clients as have slow consumers.
	int result = transfer->refused
	                     ? forebay_send_again(server->layer, transfer->channel, server->message)
	                     : forebay_send(server->layer, transfer->channel, server->message, 0);

	transfer->refused = result == FOREBAY_FULL || result == FOREBAY_NO_MEMORY;
	return result;
}

static int send_piece(struct http_transfer *transfer, const char *data, size_t length, bool last)
{
	struct forebay_message *message = transfer->server->message;

	forebay_message_reset(message);
	if (!last)
		forebay_put_boolean(message, "more_content", true);
	if (last && transfer->upload) {
		http_request_put_form(message, "post", &transfer->upload->post);
		http_upload_put_files(transfer->upload, message);
	}
	forebay_set_content(message, data, length, FOREBAY_BINARY);
	return send_message(transfer);
}

int http_transfer_send(struct http_transfer *transfer, const char *data, size_t length, bool last)
{
	int result = send_piece(transfer, data, length, last);

	if (result == FOREBAY_NO_MEMORY)
		result = FOREBAY_FULL; // others will free some: no reason to fail an upload
	if (result == 0) {
		transfer->complete = last;
	} else if (result == FOREBAY_FULL && !transfer->link) {
		transfer->blocked_at = http_server_clock();
		enlist(transfer, &transfer->server->blocked);
	}
	return result;
}

int64_t http_transfer_unblock(struct http_transfer *transfer)
{
	if (!transfer->link)
		return 0;
	delist(transfer);
	return http_server_clock() - transfer->blocked_at;
}

// Tells the consumer that there will be no more, unless there is no room for that now.
static void tell_closed(struct http_transfer *transfer)
{
	struct forebay_message *message = transfer->server->message;
	int result;

	forebay_message_reset(message);
	forebay_put_boolean(message, "closed", true);
	result = send_message(transfer);
	transfer->told = result != FOREBAY_FULL && result != FOREBAY_NO_MEMORY;
}

void http_transfer_abandon(struct http_transfer *transfer)
{
	struct http_server *server = transfer->server;

	delist(transfer);
	transfer->session = NULL;
	enlist(transfer, &server->left);
	if (!transfer->complete)
		tell_closed(transfer);
	timer_arm(server->wheel, &transfer->grace, HTTP_TRANSFER_GRACE);
}

void http_transfer_retry_left(struct http_server *server)
{
	for (struct http_transfer *transfer = server->left; transfer; transfer = transfer->next)
		if (!transfer->complete && !transfer->told)
			tell_closed(transfer);
}
