// SPDX-License-Identifier: MIT
// http_param.c - parameters of header fields; see http_param.h.
#include "server/http_param.h"

#include <string.h>

#include "server/http_octet.h"

struct http_form_text http_param_strip(struct http_form_text text)
{
	while (text.length > 0 && http_octet_is_space(text.data[0]))
		text.data++, text.length--;
	while (text.length > 0 && http_octet_is_space(text.data[text.length - 1]))
		text.length--;
	return text;
}

// Takes what stands before the next ';' outside quotes off the front of REST, with that ';'.
static struct http_form_text take(struct http_form_text *rest)
{
	struct http_form_text part = {rest->data, 0};
	bool quoted = false;

	for (; part.length < rest->length; part.length++) {
		char octet = rest->data[part.length];

		if (octet == ';' && !quoted)
			break;
		quoted ^= octet == '"';
	}
	rest->data += part.length + (part.length < rest->length);
	rest->length -= part.length + (part.length < rest->length);
	return http_param_strip(part);
}

void http_param_init(
        struct http_param *param, const char *value, size_t length, struct http_form_text *main)
{
	param->rest = (struct http_form_text){value, length};

	struct http_form_text first = take(&param->rest);

	if (main)
		*main = first;
}

bool http_param_next(
        struct http_param *param, struct http_form_text *name, struct http_form_text *value)
{
	while (param->rest.length > 0) {
		struct http_form_text part = take(&param->rest);
		const char *equals = memchr(part.data, '=', part.length);

		if (!equals)
			continue;

		size_t length = (size_t)(equals - part.data);

		*name = http_param_strip((struct http_form_text){part.data, length});
		*value = http_param_strip(
		        (struct http_form_text){equals + 1, part.length - length - 1});
		return true;
	}
	return false;
}

// Replaces each pair of a backslash and OCTET by OCTET.
static size_t unescape(char *text, size_t length, char octet)
{
	size_t size = 0;

	for (size_t at = 0; at < length; at++) {
		if (text[at] == '\\' && at + 1 < length && text[at + 1] == octet)
			at++;
		text[size++] = text[at];
	}
	return size;
}

size_t http_param_unquote(char *out, struct http_form_text value)
{
	bool quoted =
	        value.length >= 2 && value.data[0] == '"' && value.data[value.length - 1] == '"';

	if (quoted) {
		value.data++;
		value.length -= 2;
	}
	memmove(out, value.data, value.length);
	if (!quoted)
		return value.length;
	// One after the other, as Python does it: in `\\"` both are undone.
	return unescape(out, unescape(out, value.length, '\\'), '"');
}

bool http_param_is(struct http_form_text text, const char *literal)
{
	if (text.length != strlen(literal))
		return false;
	for (size_t i = 0; i < text.length; i++)
		if (http_octet_lower(text.data[i]) != literal[i])
			return false;
	return true;
}
