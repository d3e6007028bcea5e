// SPDX-License-Identifier: MIT
// http_request.c - http-parser's view of a head, and the message made from it; see http_request.h.
#include "server/http_request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/http_cookie.h"
#include "server/http_octet.h"
#include "server/http_path.h"

static int refuse(struct http_request *request, int status, const char *reason)
{
	request->reason = reason;
	return status;
}

// ---------------------------------------------------------------------------------------------
// Reading the head
// ---------------------------------------------------------------------------------------------

static bool same_name(const char *a, const char *b, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (http_octet_lower(a[i]) != http_octet_lower(b[i]))
			return false;
	return true;
}

// FNV-1a of the name in lower case. Collisions cost little: fields are few.
static uint32_t hash_name(const char *name, size_t length)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (unsigned char)http_octet_lower(name[i])) * 16777619u;
	return hash;
}

static struct http_request_field *find(
        const struct http_request *request, const char *name, size_t length, uint32_t hash)
{
	uint32_t i = request->buckets[hash % HTTP_REQUEST_BUCKETS];

	while (i) {
		struct http_request_field *field = &request->fields[i - 1];

		if (field->hash == hash && field->name_length == length &&
		        same_name(field->name, name, length))
			return field;
		i = field->chain;
	}
	return NULL;
}

const struct http_request_field *http_request_find(
        const struct http_request *request, const char *name, size_t length)
{
	return find(request, name, length, hash_name(name, length));
}

// Enters the field that was read last into the table: at the end of the list of its name if there
// is one, else as the first of a new one.
static void enter_field(struct http_request *request)
{
	struct http_request_field *field = &request->fields[request->count - 1];
	struct http_request_field *first;
	uint32_t *bucket;

	while (field->value_length && (field->value[field->value_length - 1] == ' ' ||
	                                      field->value[field->value_length - 1] == '\t'))
		field->value_length--;
	field->hash = hash_name(field->name, field->name_length);
	first = find(request, field->name, field->name_length, field->hash);
	field->repeated = first != NULL;
	if (first) {
		while (first->same)
			first = &request->fields[first->same - 1];
		first->same = request->count;
		return;
	}
	bucket = &request->buckets[field->hash % HTTP_REQUEST_BUCKETS];
	field->chain = *bucket;
	*bucket = request->count;
}

static int on_url(http_parser *parser, const char *data, size_t length)
{
	struct http_request *request = parser->data;

	if (request->target)
		return -1;
	request->target = data;
	request->target_length = length;
	return 0;
}

static int on_header_field(http_parser *parser, const char *data, size_t length)
{
	struct http_request *request = parser->data;

	if (request->count > 0)
		enter_field(request);
	if (request->count == request->max_fields)
		return -1;
	request->fields[request->count++] = (struct http_request_field){
	        .name = data, .value = "", .name_length = (uint32_t)length};
	return 0;
}

static int on_header_value(http_parser *parser, const char *data, size_t length)
{
	struct http_request *request = parser->data;
	struct http_request_field *field;

	if (request->count == 0)
		return -1;
	field = &request->fields[request->count - 1];
	if (field->value_length)
		return -1;
	field->value = data;
	field->value_length = (uint32_t)length;
	return 0;
}

static int on_headers_complete(http_parser *parser)
{
	struct http_request *request = parser->data;

	if (request->count > 0)
		enter_field(request);
	// Else http-parser would stop at the head of a request that asks for an upgrade.
	parser->upgrade = 0;
	return 0;
}

static const http_parser_settings settings = {
        .on_url = on_url,
        .on_header_field = on_header_field,
        .on_header_value = on_header_value,
        .on_headers_complete = on_headers_complete,
};

static bool same_text(
        const char *data, struct http_strict_span span, const char *text, size_t length)
{
	return span.length == length && memcmp(data + span.offset, text, length) == 0;
}

// Whether http-parser has understood the head as the strict grammar did, in all that decides where
// this message ends and what it means.
static bool agrees(const struct http_request *request, const struct http_strict_head *head,
        const http_parser *parser, const char *data)
{
	const char *method = http_method_str((enum http_method)parser->method);
	bool chunked = parser->flags & F_CHUNKED, length = parser->flags & F_CONTENTLENGTH;

	if (!request->target || request->count != head->headers)
		return false;
	if (parser->http_major != 1 || (parser->http_minor > 0) != (head->minor > 0))
		return false;
	if (!same_text(data, head->method, method, strlen(method)) ||
	        !same_text(data, head->target, request->target, request->target_length))
		return false;
	return chunked == head->chunked && length == (head->content_length >= 0) &&
	       (head->content_length <= 0 ||
	               parser->content_length == (uint64_t)head->content_length);
}

int http_request_read(struct http_request *request, const struct http_strict_head *head,
        http_parser *parser, const char *data)
{
	size_t length = head->length - head->start;

	request->count = 0;
	request->target = NULL;
	memset(request->buckets, 0, sizeof(request->buckets));
	http_parser_init(parser, HTTP_REQUEST);
	parser->data = request;
	if (http_parser_execute(parser, &settings, data + head->start, length) != length ||
	        HTTP_PARSER_ERRNO(parser) != HPE_OK) {
		if (HTTP_PARSER_ERRNO(parser) == HPE_INVALID_METHOD)
			return refuse(request, 501, "unknown method");
		return refuse(request, 400, "not understood by http-parser");
	}
	if (!agrees(request, head, parser, data))
		return refuse(request, 400, "ambiguous head");
	return 0;
}

// ---------------------------------------------------------------------------------------------
// The message
// ---------------------------------------------------------------------------------------------

void http_request_put_form(
        struct forebay_message *message, const char *key, const struct http_form *form)
{
	struct http_form_cursor cursor = {0};
	struct http_form_text name, value;

	forebay_begin_object(message, key);
	while (http_form_next_key(form, &cursor, &name)) {
		forebay_put_key(message, name.data, name.length);
		forebay_begin_list(message, NULL);
		while (http_form_next_value(form, &cursor, &value))
			forebay_put_string(message, NULL, value.data, value.length);
		forebay_end(message);
	}
	forebay_end(message);
}

static void put_empty(struct forebay_message *message, const char *key)
{
	forebay_begin_object(message, key);
	forebay_end(message);
}

static int form_status(struct http_request *request, int result)
{
	switch (result) {
	case 0:
		return 0;
	case HTTP_FORM_TOO_MANY:
		return refuse(request, 413, "too many form fields");
	case HTTP_FORM_TOO_LARGE:
		return refuse(request, 413, "form too large");
	default:
		return refuse(request, 503, "out of memory");
	}
}

static int put_get(struct http_request *request, const struct http_strict_head *head,
        const char *data, enum http_form_charset charset, struct forebay_message *message)
{
	int result;

	if (head->query.length == 0) {
		put_empty(message, "get");
		return 0;
	}
	http_form_clear(&request->get);
	result = http_form_parse(
	        &request->get, data + head->query.offset, head->query.length, charset);
	http_request_put_form(message, "get", &request->get);
	return form_status(request, result);
}

static int put_post(struct http_request *request, const struct http_request_body *body,
        struct forebay_message *message)
{
	int result;

	if (body->upload) {
		http_request_put_form(message, "post", &body->upload->post);
		return 0;
	}
	if (body->form_length == 0) {
		put_empty(message, "post");
		return 0;
	}
	http_form_clear(&request->post);
	result = http_form_parse(&request->post, body->form, body->form_length, body->charset);
	http_request_put_form(message, "post", &request->post);
	return form_status(request, result);
}

// The values of all fields of one name, joined, in the scratch memory or, if there is only one,
// where it is. The scratch memory has room for the whole head, and a separator (at most 2 octets) is
// shorter than the field name, colon and line end that it stands for.
static struct http_form_text join(
        const struct http_request *request, const struct http_request_field *field, char *scratch)
{
	const char *separator = same_name(field->name, "cookie", field->name_length) ? "; " : ",";
	size_t length = 0;

	if (!field->same)
		return (struct http_form_text){field->value, field->value_length};
	for (;;) {
		memcpy(scratch + length, field->value, field->value_length);
		length += field->value_length;
		if (!field->same)
			return (struct http_form_text){scratch, length};
		memcpy(scratch + length, separator, strlen(separator));
		length += strlen(separator);
		field = &request->fields[field->same - 1];
	}
}

static int put_cookies(struct http_request *request, struct forebay_message *message)
{
	const struct http_request_field *field = http_request_find(request, "cookie", 6);
	struct http_form_cursor cursor = {0};
	struct http_form_text name, value, text;
	int result;

	if (!field) {
		put_empty(message, "cookies");
		return 0;
	}
	text = join(request, field, request->scratch);
	http_form_clear(&request->cookies);
	result = http_cookie_parse(&request->cookies, text.data, text.length);
	forebay_begin_object(message, "cookies");
	while (http_form_next_key(&request->cookies, &cursor, &name)) {
		if (!http_form_next_value(&request->cookies, &cursor, &value))
			continue;
		forebay_put_key(message, name.data, name.length);
		forebay_put_string(message, NULL, value.data, value.length);
	}
	forebay_end(message);
	return form_status(request, result);
}

// The key in `meta` of a header field, NUL-terminated at OUT. Returns its size, or 0 if the field is
// left out: its name contains '_', which would collide with '-'.
static size_t meta_key(const struct http_request_field *field, char *out)
{
	bool plain = (field->name_length == 12 && same_name(field->name, "content-type", 12)) ||
	             (field->name_length == 14 && same_name(field->name, "content-length", 14));
	size_t prefix = plain ? 0 : 5;

	memcpy(out, "HTTP_", prefix);
	for (size_t i = 0; i < field->name_length; i++) {
		char c = field->name[i];

		if (c == '_')
			return 0;
		if (c >= 'a' && c <= 'z')
			c = (char)(c & ~0x20);
		out[prefix + i] = c == '-' ? '_' : c;
	}
	out[prefix + field->name_length] = '\0';
	return prefix + field->name_length + 1;
}

// All header fields. An absolute target's authority takes the place of the field Host.
static void put_fields(struct http_request *request, const struct http_strict_head *head,
        const char *data, struct forebay_message *message)
{
	bool absolute = head->form == HTTP_STRICT_ABSOLUTE;

	if (absolute)
		forebay_put_latin1(
		        message, "HTTP_HOST", data + head->host.offset, head->host.length);
	for (uint32_t i = 0; i < request->count; i++) {
		const struct http_request_field *field = &request->fields[i];
		struct http_form_text value;
		size_t size;

		if (field->repeated)
			continue;
		if (absolute && field->name_length == 4 && same_name(field->name, "host", 4))
			continue;
		size = meta_key(field, request->scratch);
		if (size == 0)
			continue;
		value = join(request, field, request->scratch + size);
		forebay_put_latin1(message, request->scratch, value.data, value.length);
	}
}

// The name that the client calls us by, without the port.
static struct http_form_text host_name(const struct http_strict_head *head, const char *data)
{
	const char *host = data + head->host.offset;
	size_t length = head->host.length;
	const char *end;

	if (length == 0)
		return (struct http_form_text){"localhost", 9};
	end = memchr(host, *host == '[' ? ']' : ':', length);
	if (end)
		length = (size_t)(end - host) + (*host == '[');
	return (struct http_form_text){host, length};
}

static void put_span(struct forebay_message *message, const char *key, const char *data,
        struct http_strict_span span)
{
	forebay_put_latin1(message, key, data + span.offset, span.length);
}

static void put_meta(struct http_request *request, const struct http_strict_head *head,
        const char *data, const struct http_request_peer *peer, size_t path_length,
        struct forebay_message *message)
{
	struct http_form_text name = host_name(head, data);

	forebay_begin_object(message, "meta");
	put_span(message, "REQUEST_METHOD", data, head->method);
	put_span(message, "REQUEST_URI", data, head->target);
	forebay_put_text(message, "SCRIPT_NAME", "");
	forebay_put_string(message, "PATH_INFO", request->path, path_length);
	put_span(message, "QUERY_STRING", data, head->query);
	forebay_put_text(message, "SERVER_PROTOCOL", head->minor > 0 ? "HTTP/1.1" : "HTTP/1.0");
	if (peer->server_name)
		forebay_put_text(message, "SERVER_NAME", peer->server_name);
	else
		forebay_put_latin1(message, "SERVER_NAME", name.data, name.length);
	forebay_put_text(message, "SERVER_PORT", peer->server_port);
	forebay_put_text(message, "REMOTE_ADDR", peer->remote_address);
	if (*peer->remote_port)
		forebay_put_text(message, "REMOTE_PORT", peer->remote_port);
	forebay_put_text(message, "wsgi.url_scheme", peer->secure ? "https" : "http");
	put_fields(request, head, data, message);
	forebay_end(message);
}

// The decoded path, in request->path. "*" (OPTIONS only) stays as it is.
static int decode_path(struct http_request *request, const struct http_strict_head *head,
        const char *data, size_t *length)
{
	const char *reason = NULL;
	int status;

	if (head->form == HTTP_STRICT_ASTERISK) {
		request->path[0] = '*';
		*length = 1;
		return 0;
	}
	status = http_path_decode(
	        data + head->path.offset, head->path.length, request->path, length, &reason);
	return status ? refuse(request, status, reason) : 0;
}

static void put_body(const struct http_request_body *body, struct forebay_message *message)
{
	if (body->channel)
		forebay_put_text(message, "body_channel", body->channel);
	if (body->upload && http_upload_has_files(body->upload))
		http_upload_put_files(body->upload, message);
	if (body->content_kind)
		forebay_set_content(message, body->content, body->content_length,
		        body->content_kind | FOREBAY_BODY);
}

int http_request_fill(struct http_request *request, const struct http_strict_head *head,
        const char *data, const struct http_request_peer *peer,
        const struct http_request_body *body, const char *reply_channel,
        struct forebay_message *message)
{
	size_t path_length;
	int status = decode_path(request, head, data, &path_length);

	if (status)
		return status;
	forebay_put_text(message, "reply_channel", reply_channel);
	if (body)
		put_span(message, "method", data, head->method);
	forebay_put_string(message, "path", request->path, path_length);
	status = put_get(request, head, data, body ? body->charset : HTTP_FORM_UTF_8, message);
	if (!status && body)
		status = put_post(request, body, message);
	if (!status)
		status = put_cookies(request, message);
	if (status)
		return status;
	put_meta(request, head, data, peer, path_length, message);
	if (body)
		put_body(body, message);
	return 0;
}

// ---------------------------------------------------------------------------------------------
// Lifetime
// ---------------------------------------------------------------------------------------------

int http_request_init(struct http_request *request, uint32_t max_fields, size_t max_head,
        size_t max_target, uint32_t max_form_fields, uint32_t max_form)
{
	memset(request, 0, sizeof(*request));
	request->max_fields = max_fields;
	request->fields = calloc(max_fields, sizeof(*request->fields));
	request->path = malloc(HTTP_PATH_SIZE(max_target < max_head ? max_target : max_head));
	// A name as a key ("HTTP_" and a NUL more), and behind it all values of that name.
	request->scratch = malloc(max_head + 16);
	http_form_init(&request->get, max_form_fields, 0);
	http_form_init(&request->post, max_form_fields, max_form);
	// Cookies are bounded by the head; Django has no limit of its own.
	http_form_init(&request->cookies, UINT32_MAX, 0);
	if (request->fields && request->path && request->scratch)
		return 0;
	http_request_fini(request);
	return -ENOMEM;
}

void http_request_fini(struct http_request *request)
{
	free(request->fields);
	free(request->path);
	free(request->scratch);
	request->fields = NULL;
	request->path = request->scratch = NULL;
	http_form_fini(&request->get);
	http_form_fini(&request->post);
	http_form_fini(&request->cookies);
}
