// SPDX-License-Identifier: MIT
// http_upload.h - a multipart form as a consumer gets it: text fields, and where the files lie.
//
// The text fields become the request's `post`. Files stay where they are, in the body; the list
// `files` says of each: name, filename, content_type, and offset and length in the body.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "channel/forebay.h"
#include "server/http_form.h"
#include "server/http_multipart.h"

struct http_upload_file;

struct http_upload {
	struct http_multipart parser;
	struct http_form post;
	const char *reason; // once a function has returned a status: why. Static.

	// Private to http_upload.c.
	struct http_upload_file *files;
	size_t file_count, file_size;
	char *text; // names of the files
	size_t text_length, text_size;
	enum http_form_charset charset;
	bool in_file;
};

// Limits of 0 mean the defaults of http_form.h. Allocates nothing yet.
void http_upload_init(struct http_upload *upload, uint32_t max_fields, uint32_t max_text);

// Frees all memory; accepts a zeroed object and a second call.
void http_upload_fini(struct http_upload *upload);

// Gives the memory back if it is much; what was gathered may be lost. To be called now and then, between two bodies.
void http_upload_trim(struct http_upload *upload);

// Prepares for the next body; memory is kept. Returns 0, or 400.
int http_upload_begin(struct http_upload *upload, const char *content_type, size_t length,
        enum http_form_charset charset, uint32_t max_parts);

// Parses the next octets of the body, and its end. Return 0, 400, 413 or, out of memory, 503.
int http_upload_feed(struct http_upload *upload, const char *data, size_t length);
int http_upload_finish(struct http_upload *upload);

// Whether there are parts other than text fields.
static inline bool http_upload_has_files(const struct http_upload *upload)
{
	return upload->file_count > 0;
}

// Appends the key `files` to MESSAGE. (`post` is put by http_request_put_form().)
void http_upload_put_files(const struct http_upload *upload, struct forebay_message *message);
