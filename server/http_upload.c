// SPDX-License-Identifier: MIT
// http_upload.c - gathers what the multipart parser reports; see http_upload.h.
#include "server/http_upload.h"

#include <stdlib.h>
#include <string.h>

#define MEMORY_KEPT 131072 // octets

// A text, as an offset in upload->text, which moves when it grows.
struct text {
	size_t offset, length;
};

struct http_upload_file {
	struct text name, filename, content_type;
	uint64_t offset, length;
};

static struct http_upload *upload_of(struct http_multipart *multipart)
{
	return (struct http_upload *)((char *)multipart - offsetof(struct http_upload, parser));
}

static int refuse(struct http_upload *upload, int status, const char *reason)
{
	upload->reason = reason;
	return status;
}

static int refuse_field(struct http_upload *upload, int result)
{
	switch (result) {
	case 0:
		return 0;
	case HTTP_FORM_TOO_MANY:
		return refuse(upload, 413, "too many form fields");
	case HTTP_FORM_TOO_LARGE:
		return refuse(upload, 413, "form fields too large");
	default:
		return refuse(upload, 503, "out of memory");
	}
}

// Makes room for NEEDED items of SIZE octets. Returns the array, moved or not, or NULL.
static void *make_room(void *array, size_t *room, size_t needed, size_t size)
{
	size_t larger = *room ? *room : 16;

	while (larger < needed)
		larger *= 2;
	if (larger == *room)
		return array;
	array = realloc(array, larger * size);
	if (array)
		*room = larger;
	return array;
}

static bool add_text(
        struct http_upload *upload, struct text *text, const struct http_form_text *view)
{
	char *grown = make_room(
	        upload->text, &upload->text_size, upload->text_length + view->length + 1, 1);

	if (!grown)
		return false;
	upload->text = grown;
	*text = (struct text){.offset = upload->text_length, .length = view->length};
	if (view->length)
		memcpy(upload->text + upload->text_length, view->data, view->length);
	upload->text_length += view->length;
	return true;
}

static int add_file(struct http_upload *upload, const struct http_multipart_part *part)
{
	struct http_upload_file *file =
	        make_room(upload->files, &upload->file_size, upload->file_count + 1, sizeof(*file));

	if (!file)
		return refuse(upload, 503, "out of memory");
	upload->files = file;
	file += upload->file_count;
	file->offset = part->offset;
	file->length = 0;
	if (!add_text(upload, &file->name, &part->name) ||
	        !add_text(upload, &file->filename, &part->filename) ||
	        !add_text(upload, &file->content_type, &part->content_type))
		return refuse(upload, 503, "out of memory");
	upload->file_count++;
	return 0;
}

static int part_begin(struct http_multipart *multipart, const struct http_multipart_part *part)
{
	struct http_upload *upload = upload_of(multipart);

	upload->in_file = part->filename.data != NULL;
	if (upload->in_file)
		return add_file(upload, part);
	return refuse_field(
	        upload, http_form_open(&upload->post, part->name.data, part->name.length));
}

static int part_data(struct http_multipart *multipart, const char *data, size_t length)
{
	struct http_upload *upload = upload_of(multipart);

	if (upload->in_file)
		return 0;
	return refuse_field(upload, http_form_append(&upload->post, data, length));
}

static int part_end(struct http_multipart *multipart, uint64_t length)
{
	struct http_upload *upload = upload_of(multipart);

	if (!upload->in_file)
		return refuse_field(upload, http_form_close(&upload->post, upload->charset));
	upload->files[upload->file_count - 1].length = length;
	return 0;
}

static const struct http_multipart_callbacks callbacks = {
        .part_begin = part_begin,
        .part_data = part_data,
        .part_end = part_end,
};

// The parser gives its own reason, unless it was one of the callbacks that refused.
static int result_of(struct http_upload *upload, int result)
{
	if (result && !upload->reason)
		upload->reason = upload->parser.reason;
	return result;
}

void http_upload_init(struct http_upload *upload, uint32_t max_fields, uint32_t max_text)
{
	memset(upload, 0, sizeof(*upload));
	http_form_init(&upload->post, max_fields, max_text);
}

void http_upload_fini(struct http_upload *upload)
{
	http_form_fini(&upload->post);
	free(upload->files);
	free(upload->text);
	upload->files = NULL;
	upload->text = NULL;
	upload->file_count = upload->file_size = upload->text_length = upload->text_size = 0;
}

void http_upload_trim(struct http_upload *upload)
{
	size_t memory = http_form_memory(&upload->post) + upload->text_size +
	                upload->file_size * sizeof(*upload->files);
	uint32_t max_fields = upload->post.max_fields, max_text = upload->post.max_text;

	if (memory <= MEMORY_KEPT)
		return;
	http_upload_fini(upload);
	http_upload_init(upload, max_fields, max_text);
}

int http_upload_begin(struct http_upload *upload, const char *content_type, size_t length,
        enum http_form_charset charset, uint32_t max_parts)
{
	http_form_clear(&upload->post);
	upload->reason = NULL;
	upload->file_count = 0;
	upload->text_length = 0;
	upload->charset = charset;
	upload->in_file = false;
	return result_of(upload, http_multipart_init(&upload->parser, content_type, length, charset,
	                                 max_parts, &callbacks));
}

int http_upload_feed(struct http_upload *upload, const char *data, size_t length)
{
	return result_of(upload, http_multipart_feed(&upload->parser, data, length));
}

int http_upload_finish(struct http_upload *upload)
{
	return result_of(upload, http_multipart_finish(&upload->parser));
}

static void put_text(const struct http_upload *upload, struct forebay_message *message,
        const char *key, const struct text *text)
{
	forebay_put_string(message, key, upload->text + text->offset, text->length);
}

void http_upload_put_files(const struct http_upload *upload, struct forebay_message *message)
{
	forebay_begin_list(message, "files");
	for (size_t i = 0; i < upload->file_count; i++) {
		const struct http_upload_file *file = &upload->files[i];

		forebay_begin_object(message, NULL);
		put_text(upload, message, "name", &file->name);
		put_text(upload, message, "filename", &file->filename);
		put_text(upload, message, "content_type", &file->content_type);
		forebay_put_integer(message, "offset", (int64_t)file->offset);
		forebay_put_integer(message, "length", (int64_t)file->length);
		forebay_end(message);
	}
	forebay_end(message);
}
