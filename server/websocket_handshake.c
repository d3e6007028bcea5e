// SPDX-License-Identifier: MIT
// websocket_handshake.c - judging the request for an upgrade; see websocket_handshake.h.
#include "server/websocket_handshake.h"

#include <string.h>
#include <strings.h>

#define FIND(REQUEST, LITERAL) http_request_find(REQUEST, LITERAL, sizeof(LITERAL) - 1)

static int refuse(struct websocket_handshake *handshake, int status, const char *reason)
{
	handshake->reason = reason;
	return status;
}

static bool equals(const struct http_request_field *field, const char *text)
{
	return field->value_length == strlen(text) &&
	       memcmp(field->value, text, field->value_length) == 0;
}

bool websocket_handshake_wanted(
        const struct http_request *request, const struct http_strict_head *head)
{
	return head->upgrade_websocket || FIND(request, "sec-websocket-key") ||
	       FIND(request, "sec-websocket-version");
}

static bool is_base64(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '+' || c == '/';
}

// 16 octets in base64: 22 characters, of which the last has 4 bits that must be 0, and "==".
static bool is_key(const struct http_request_field *field)
{
	if (field->value_length != WEBSOCKET_KEY_SIZE - 1)
		return false;
	for (size_t i = 0; i < 22; i++)
		if (!is_base64(field->value[i]))
			return false;
	return strchr("AQgw", field->value[21]) && field->value[22] == '=' &&
	       field->value[23] == '=';
}

// The origin is a page of the host that the request names: their authorities are the same, but for
// a port that the scheme implies.
static bool is_same(const struct http_request_field *origin, const struct http_strict_head *head,
        const char *data)
{
	const char *host = memmem(origin->value, origin->value_length, "://", 3);
	const char *own = data + head->host.offset;
	size_t length = head->host.length, rest;

	if (!host || length == 0)
		return false;
	host += 3;
	rest = origin->value_length - (size_t)(host - origin->value);
	if (rest < length && length - rest <= 4) {
		// "example.com" and "example.com:443"
		const char *port = own + rest;

		if ((length - rest == 3 && memcmp(port, ":80", 3) == 0) ||
		        (length - rest == 4 && memcmp(port, ":443", 4) == 0))
			length = rest;
	}
	return rest == length && strncasecmp(host, own, length) == 0;
}

static bool is_allowed(const struct http_request_field *origin, const struct http_strict_head *head,
        const char *data, const struct options_list *origins)
{
	if (origins->count == 0)
		return true;
	if (!origin || origin->same)
		return false;
	for (size_t i = 0; i < origins->count; i++) {
		const char *allowed = origins->items[i];

		if (strcmp(allowed, "same") == 0 ? is_same(origin, head, data)
		                                 : equals(origin, allowed))
			return true;
	}
	return false;
}

int websocket_handshake_judge(struct websocket_handshake *handshake,
        const struct http_request *request, const struct http_strict_head *head, const char *data,
        const struct options_list *origins)
{
	const struct http_request_field *version = FIND(request, "sec-websocket-version");
	const struct http_request_field *key = FIND(request, "sec-websocket-key");

	*handshake = (struct websocket_handshake){0};
	if (head->minor == 0)
		return refuse(handshake, 400, "WebSocket on HTTP/1.0");
	if (head->method.length != 3 || memcmp(data + head->method.offset, "GET", 3) != 0)
		return refuse(handshake, 400, "WebSocket by another method than GET");
	if (!head->upgrade_websocket)
		return refuse(handshake, 400, "WebSocket without Upgrade and Connection");
	if (head->chunked || head->content_length > 0)
		return refuse(handshake, 400, "WebSocket upgrade with a body");
	if (!version || version->same)
		return refuse(handshake, 400, "no Sec-WebSocket-Version, or several");
	if (!equals(version, "13"))
		return refuse(handshake, 426, "another version of WebSocket");
	if (!key || key->same || !is_key(key))
		return refuse(handshake, 400, "no Sec-WebSocket-Key, a bad one, or several");
	if (!is_allowed(FIND(request, "origin"), head, data, origins))
		return refuse(handshake, 403, "origin not allowed");
	memcpy(handshake->key, key->value, WEBSOCKET_KEY_SIZE - 1);
	return 0;
}
