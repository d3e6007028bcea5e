// SPDX-License-Identifier: MIT
// http_response.c - validation and framing of responses; see http_response.h.
#include "server/http_response.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <http_parser.h>

#include "server/http_octet.h"

// ---------------------------------------------------------------------------------------------
// A writer that stops at the end of the buffer
// ---------------------------------------------------------------------------------------------

struct out {
	char *at, *end;
	bool overflow;
};

static void put(struct out *out, const char *data, size_t length)
{
	if ((size_t)(out->end - out->at) < length) {
		out->overflow = true;
		return;
	}
	memcpy(out->at, data, length);
	out->at += length;
}

#define PUT(OUT, LITERAL) put(OUT, LITERAL, sizeof(LITERAL) - 1)

static void put_text(struct out *out, const char *text)
{
	put(out, text, strlen(text));
}

static void put_number(struct out *out, uint64_t number)
{
	char digits[20], *at = digits + sizeof(digits);

	do {
		*--at = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	put(out, at, (size_t)(digits + sizeof(digits) - at));
}

static void put_hex(struct out *out, uint64_t number)
{
	char digits[16], *at = digits + sizeof(digits);

	do {
		*--at = "0123456789abcdef"[number % 16];
		number /= 16;
	} while (number);
	put(out, at, (size_t)(digits + sizeof(digits) - at));
}

// ---------------------------------------------------------------------------------------------
// What a consumer may put into a head
// ---------------------------------------------------------------------------------------------

static bool is_token(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (!http_octet_is_token(text[i]))
			return false;
	}
	return length > 0;
}

// Writes UTF-8 as latin-1, if it consists of what a field value may contain (RFC 9110, 5.5).
static bool put_value(struct out *out, const char *text, size_t length)
{
	size_t i = 0;

	while (i < length) {
		unsigned char c = (unsigned char)text[i++];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
		if (c >= 0x80) {
			// Only U+0080 to U+00FF have two octets that begin with C2 or C3.
			if ((c & 0xfe) != 0xc2 || i == length)
				return false;
			c = (unsigned char)(c << 6 | ((unsigned char)text[i++] & 0x3f));
		}
		if (out->at == out->end) {
			out->overflow = true;
			return true;
		}
		*out->at++ = (char)c;
	}
	return true;
}

static bool is_name(const struct forebay_value *field, const char *name, size_t length)
{
	return field->key_length == length && strncasecmp(field->key, name, length) == 0;
}

#define IS_NAME(FIELD, LITERAL) is_name(FIELD, LITERAL, sizeof(LITERAL) - 1)

// Fields that belong to the connection, or that only we can know.
static bool is_ours(const struct forebay_value *field)
{
	switch (field->key_length) {
	case 4:
		return IS_NAME(field, "Date");
	case 6:
		return IS_NAME(field, "Server");
	case 7:
		return IS_NAME(field, "Upgrade") || IS_NAME(field, "Trailer");
	case 10:
		return IS_NAME(field, "Connection") || IS_NAME(field, "Keep-Alive");
	case 16:
		return IS_NAME(field, "Proxy-Connection");
	case 17:
		return IS_NAME(field, "Transfer-Encoding");
	default:
		return false;
	}
}

// Whether the list of options that is the value of a field Connection has `close` (RFC 9110, 7.6.1).
static bool asks_to_close(const struct forebay_value *value)
{
	const char *at = value->string, *end = at + value->length;

	while (at < end) {
		const char *option = at;

		while (at < end && http_octet_is_token(*at))
			at++;
		if (at - option == 5 && strncasecmp(option, "close", 5) == 0)
			return true;
		if (at < end)
			at++;
	}
	return false;
}

// Reads a Content-Length: digits only, below 2^63.
static bool read_length(const struct forebay_value *value, uint64_t *length)
{
	*length = 0;
	if (value->length == 0 || value->length > 18)
		return false;
	for (size_t i = 0; i < value->length; i++) {
		if (value->string[i] < '0' || value->string[i] > '9')
			return false;
		*length = *length * 10 + (uint64_t)(value->string[i] - '0');
	}
	return true;
}

// ---------------------------------------------------------------------------------------------
// A message's keys
// ---------------------------------------------------------------------------------------------

struct keys {
	const struct forebay_value *status, *content_type, *headers, *cookies, *content;
	bool more;
};

static bool is_key(const struct forebay_value *member, const char *key, size_t length)
{
	return member->key_length == length && memcmp(member->key, key, length) == 0;
}

#define IS_KEY(MEMBER, LITERAL) is_key(MEMBER, LITERAL, sizeof(LITERAL) - 1)

// Notes the known keys and checks their types; others are ignored. Returns NULL, or what is wrong.
static const char *read_keys(struct forebay_message *message, struct keys *keys)
{
	const struct forebay_value *root = forebay_message_root(message);

	*keys = (struct keys){0};
	if (!root)
		return "not an object";
	for (const struct forebay_value *member = root->child; member; member = member->next) {
		if (IS_KEY(member, "status"))
			keys->status = member;
		else if (IS_KEY(member, "content_type"))
			keys->content_type = member;
		else if (IS_KEY(member, "headers"))
			keys->headers = member;
		else if (IS_KEY(member, "cookies"))
			keys->cookies = member;
		else if (IS_KEY(member, "content"))
			keys->content = member;
		else if (!IS_KEY(member, "more_content"))
			continue;
		else if (member->type != FOREBAY_TYPE_BOOLEAN)
			return "more_content is not a boolean";
		else
			keys->more = member->integer != 0;
	}
	if (keys->status && keys->status->type != FOREBAY_TYPE_INTEGER)
		return "status is not an integer";
	if (keys->content_type && keys->content_type->type != FOREBAY_TYPE_STRING)
		return "content_type is not a string";
	if (keys->headers && keys->headers->type != FOREBAY_TYPE_OBJECT)
		return "headers is not an object";
	if (keys->cookies && keys->cookies->type != FOREBAY_TYPE_LIST)
		return "cookies is not a list";
	if (keys->content && keys->content->type != FOREBAY_TYPE_STRING)
		return "content is not a string";
	return NULL;
}

// The content's parts, where they lie. Returns how many; *LENGTH gets the octets in all.
static int content_parts(struct forebay_message *message, const struct keys *keys,
        struct iovec parts[FOREBAY_CONTENT_IOV], uint64_t *length)
{
	int count = forebay_message_content_iov(message, parts, FOREBAY_CONTENT_IOV);

	*length = 0;
	if (count <= 0 && keys->content) {
		// Put into the envelope like any other string.
		parts[0] = (struct iovec){(void *)keys->content->string, keys->content->length};
		count = 1;
	}
	if (count > FOREBAY_CONTENT_IOV)
		count = FOREBAY_CONTENT_IOV;
	for (int i = 0; i < count; i++)
		*length += parts[i].iov_len;
	return count > 0 ? count : 0;
}

// ---------------------------------------------------------------------------------------------
// The head
// ---------------------------------------------------------------------------------------------

const char *http_response_reason(int status)
{
	const char *reason = http_status_str((enum http_status)status);

	return reason[0] == '<' ? "" : reason; // "<unknown>"
}

static const char *date_text(struct http_response_date *date)
{
	time_t now = time(NULL);
	struct tm tm;

	if (now != date->second) {
		date->second = now;
		gmtime_r(&now, &tm);
		// The server never sets a locale, so the names are English as they must be.
		strftime(date->text, sizeof(date->text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	}
	return date->text;
}

static void put_start(struct out *out, int status, struct http_response_date *date)
{
	if (status == 200) {
		PUT(out, "HTTP/1.1 200 OK");
	} else {
		PUT(out, "HTTP/1.1 ");
		put_number(out, (uint64_t)status);
		PUT(out, " ");
		put_text(out, http_response_reason(status));
	}
	PUT(out, "\r\nServer: forebay\r\nDate: ");
	put_text(out, date_text(date));
	PUT(out, "\r\n");
}

static void put_connection(
        struct out *out, const struct http_response_request *request, bool keep_alive)
{
	if (!keep_alive)
		PUT(out, "Connection: close\r\n");
	else if (request->minor == 0)
		PUT(out, "Connection: keep-alive\r\n");
}

// What is wrong with the name or the type of one of the consumer's header fields, or NULL.
static const char *judge_field(const struct forebay_value *field)
{
	if (!is_token(field->key, field->key_length))
		return "bad name of a header";
	return field->type == FOREBAY_TYPE_STRING ? NULL : "a header is not a string";
}

static const char *put_field(struct out *out, const struct forebay_value *field)
{
	put(out, field->key, field->key_length);
	PUT(out, ": ");
	if (!put_value(out, field->string, field->length))
		return "bad value of a header";
	PUT(out, "\r\n");
	return NULL;
}

// Writes the consumer's header fields. ANNOUNCED gets its Content-Length, or stays; CLOSE becomes true if it wants
// the connection to end.
static const char *put_headers(struct out *out, const struct keys *keys,
        const struct forebay_value **announced, bool *close)
{
	for (const struct forebay_value *field = keys->headers->child; field; field = field->next) {
		const char *wrong = judge_field(field);

		if (wrong)
			return wrong;
		if (IS_NAME(field, "Content-Length")) {
			*announced = field;
			continue;
		}
		if (IS_NAME(field, "Connection") && asks_to_close(field))
			*close = true;
		if (is_ours(field) || (keys->content_type && IS_NAME(field, "Content-Type")))
			continue;
		wrong = put_field(out, field);
		if (wrong)
			return wrong;
	}
	return NULL;
}

int http_response_fields(
        const struct forebay_value *headers, char *buffer, size_t size, const char **reason)
{
	struct out out = {buffer, buffer + size, false};

	for (const struct forebay_value *field = headers->child; field; field = field->next) {
		*reason = judge_field(field);
		if (*reason)
			return -1;
		if (is_ours(field) || IS_NAME(field, "Content-Length") ||
		        strncasecmp(field->key, "Sec-WebSocket-", 14) == 0)
			continue;
		*reason = put_field(&out, field);
		if (*reason)
			return -1;
	}
	*reason = "headers are too large";
	return out.overflow ? -1 : (int)(out.at - buffer);
}

static const char *put_cookies(struct out *out, const struct forebay_value *cookies)
{
	for (const struct forebay_value *cookie = cookies->child; cookie; cookie = cookie->next) {
		if (cookie->type != FOREBAY_TYPE_STRING)
			return "a cookie is not a string";
		PUT(out, "Set-Cookie: ");
		if (!put_value(out, cookie->string, cookie->length))
			return "bad cookie";
		PUT(out, "\r\n");
	}
	return NULL;
}

// Decides how the body is delimited, and says so in the head. CONTENT is the length of the first
// message's content, HAS_CONTENT whether it has any.
static const char *put_framing(struct out *out, struct http_response *response,
        const struct http_response_request *request, const struct forebay_value *announced,
        uint64_t content, bool has_content)
{
	bool has_length = !response->more && (has_content || !request->head);

	response->length = content;
	if (announced && (response->more || request->head || response->status == 304)) {
		if (!read_length(announced, &response->length))
			return "bad Content-Length";
		has_length = true;
	}
	if (response->status == 204 || (response->status == 304 && !announced))
		has_length = false;
	if (response->status ==
	        205) { // without content too (RFC 9110, 15.3.6), but clients don't know
		response->length = 0;
		has_length = true;
	}
	if (request->head || response->status == 204 || response->status == 205 ||
	        response->status == 304)
		response->framing = HTTP_RESPONSE_NO_BODY;
	else if (has_length)
		response->framing = HTTP_RESPONSE_LENGTH;
	else
		response->framing =
		        request->minor > 0 ? HTTP_RESPONSE_CHUNKED : HTTP_RESPONSE_UNTIL_CLOSE;
	if (has_length) {
		PUT(out, "Content-Length: ");
		put_number(out, response->length);
		PUT(out, "\r\n");
	} else if (response->framing == HTTP_RESPONSE_CHUNKED) {
		PUT(out, "Transfer-Encoding: chunked\r\n");
	}
	if (response->framing == HTTP_RESPONSE_UNTIL_CLOSE)
		response->keep_alive = false;
	return NULL;
}

static const char *put_head(struct out *out, struct http_response *response,
        const struct http_response_request *request, const struct keys *keys, uint64_t content,
        bool has_content, struct http_response_date *date)
{
	const struct forebay_value *announced = NULL;
	const char *reason = NULL;
	bool close = !request->keep_alive;

	response->status = 200;
	if (keys->status) {
		if (keys->status->integer < 200 || keys->status->integer > 599)
			return "status out of range";
		response->status = (int)keys->status->integer;
	}
	put_start(out, response->status, date);
	if (keys->content_type) {
		PUT(out, "Content-Type: ");
		if (!put_value(out, keys->content_type->string, keys->content_type->length))
			return "bad content_type";
		PUT(out, "\r\n");
	}
	if (keys->headers)
		reason = put_headers(out, keys, &announced, &close);
	if (!reason && keys->cookies)
		reason = put_cookies(out, keys->cookies);
	response->keep_alive = !close;
	if (!reason)
		reason = put_framing(out, response, request, announced, content, has_content);
	put_connection(out, request, response->keep_alive);
	PUT(out, "\r\n");
	response->started = true;
	return reason;
}

// ---------------------------------------------------------------------------------------------
// Messages
// ---------------------------------------------------------------------------------------------

static int malformed(struct http_response *response, const char *reason)
{
	response->reason = reason;
	response->more = false;
	response->keep_alive = false;
	return -1;
}

// Whether the content keeps to the length that was announced.
static const char *check_length(const struct http_response *response)
{
	if (response->framing != HTTP_RESPONSE_LENGTH)
		return NULL;
	if (response->sent > response->length)
		return "more content than Content-Length says";
	if (!response->more && response->sent < response->length)
		return "less content than Content-Length says";
	return NULL;
}

// Adds what delimits a part of a chunked body: before it to OUT, behind it as the result.
static const char *frame_chunk(
        struct out *out, const struct http_response *response, uint64_t content)
{
	if (response->framing != HTTP_RESPONSE_CHUNKED)
		return "";
	if (content > 0) {
		put_hex(out, content);
		PUT(out, "\r\n");
		return response->more ? "\r\n" : "\r\n0\r\n\r\n";
	}
	return response->more ? "" : "0\r\n\r\n";
}

int http_response_next(struct http_response *response, const struct http_response_request *request,
        struct forebay_message *message, struct http_response_buffer *buffer,
        struct iovec parts[HTTP_RESPONSE_PARTS])
{
	struct out out = {buffer->octets, buffer->octets + sizeof(buffer->octets), false};
	struct keys keys;
	const char *reason = read_keys(message, &keys), *tail;
	bool first = !response->started;
	uint64_t content;
	int count;

	if (reason)
		return malformed(response, reason);
	response->more = keys.more;
	count = content_parts(message, &keys, parts + 1, &content);
	if (first)
		reason =
		        put_head(&out, response, request, &keys, content, count > 0, &buffer->date);
	else if (keys.status || keys.content_type || keys.headers || keys.cookies)
		reason = "status, content_type, headers or cookies in a later part";
	response->sent += response->framing == HTTP_RESPONSE_NO_BODY ? 0 : content;
	if (!reason)
		reason = check_length(response);
	tail = frame_chunk(&out, response, content);
	if (!reason && out.overflow)
		reason = "head too large";
	if (reason) {
		response->started = !first;
		return malformed(response, reason);
	}
	if (response->framing == HTTP_RESPONSE_NO_BODY)
		count = 0;
	parts[0] = (struct iovec){buffer->octets, (size_t)(out.at - buffer->octets)};
	if (*tail)
		parts[++count] = (struct iovec){(void *)tail, strlen(tail)};
	return parts[0].iov_len || (content && count) || *tail ? count + 1 : 0;
}

size_t http_response_error(int status, const struct http_response_request *request, int retry_after,
        struct http_response_buffer *buffer)
{
	struct out out = {buffer->octets, buffer->octets + sizeof(buffer->octets), false};
	const char *reason = http_response_reason(status);

	put_start(&out, status, &buffer->date);
	PUT(&out, "Content-Type: text/plain; charset=utf-8\r\n");
	if (retry_after >= 0) {
		PUT(&out, "Retry-After: ");
		put_number(&out, (uint64_t)retry_after);
		PUT(&out, "\r\n");
	}
	if (status == 426) // RFC 9110, 15.5.22, and RFC 6455, 4.4
		PUT(&out, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
		          "Connection: Upgrade, close\r\n");
	PUT(&out, "Content-Length: ");
	put_number(&out, strlen(reason) + 5); // "NNN " and the line end
	PUT(&out, "\r\n");
	if (status != 426)
		put_connection(&out, request, request->keep_alive);
	PUT(&out, "\r\n");
	if (!request->head) {
		put_number(&out, (uint64_t)status);
		PUT(&out, " ");
		put_text(&out, reason);
		PUT(&out, "\n");
	}
	return (size_t)(out.at - buffer->octets);
}

size_t http_response_own(int status, const struct http_response_request *request,
        const char *fields, size_t length, struct http_response_buffer *buffer)
{
	struct out out = {buffer->octets, buffer->octets + sizeof(buffer->octets), false};

	put_start(&out, status, &buffer->date);
	put_text(&out, fields);
	PUT(&out, "Content-Length: ");
	put_number(&out, length);
	PUT(&out, "\r\n");
	put_connection(&out, request, request->keep_alive);
	PUT(&out, "\r\n");
	return (size_t)(out.at - buffer->octets);
}
