// SPDX-License-Identifier: MIT
// http_cookie.c - Cookie as django.http.cookie.parse_cookie has it; see http_cookie.h.
#include "server/http_cookie.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "channel/utf8.h"

// The code point of the character of two or three octets at TEXT, which is valid UTF-8.
static uint32_t code_point(const uint8_t *text, size_t length)
{
	return length == 2 ? (uint32_t)(text[0] & 0x1F) << 6 | (text[1] & 0x3Fu)
	                   : (uint32_t)(text[0] & 0x0F) << 12 | (text[1] & 0x3Fu) << 6 |
	                             (text[2] & 0x3Fu);
}

// The characters above ASCII for which Python's str.isspace() is true.
static bool is_wide_space(uint32_t character)
{
	return character == 0x85 || character == 0xA0 || character == 0x1680 ||
	       (character >= 0x2000 && character <= 0x200A) || character == 0x2028 ||
	       character == 0x2029 || character == 0x202F || character == 0x205F ||
	       character == 0x3000;
}

static bool is_narrow_space(char octet)
{
	return octet == ' ' || (octet >= '\t' && octet <= '\r') || (octet >= 0x1C && octet <= 0x1F);
}

// The length of the white space character at the start of TEXT, or 0.
static size_t leading_space(struct http_form_text text)
{
	const uint8_t *octets = (const uint8_t *)text.data;

	if (text.length == 0)
		return 0;
	if (octets[0] < 0x80)
		return is_narrow_space(text.data[0]);

	size_t length = octets[0] < 0xE0 ? 2 : octets[0] < 0xF0 ? 3 : 4;

	return length < 4 && is_wide_space(code_point(octets, length)) ? length : 0;
}

// The length of the white space character at the end of TEXT, or 0.
static size_t trailing_space(struct http_form_text text)
{
	size_t length = 1;

	if (text.length == 0)
		return 0;
	while (((uint8_t)text.data[text.length - length] & 0xC0) == 0x80)
		length++;

	struct http_form_text last = {text.data + text.length - length, length};

	return leading_space(last) == length ? length : 0;
}

// str.strip()
static struct http_form_text strip(struct http_form_text text)
{
	for (size_t space; (space = leading_space(text)) > 0;) {
		text.data += space;
		text.length -= space;
	}
	for (size_t space; (space = trailing_space(text)) > 0;)
		text.length -= space;
	return text;
}

static bool is_octal(char octet)
{
	return octet >= '0' && octet <= '7';
}

// Undoes the escape behind a backslash: \ooo is a code point up to U+00FF, \c is c unless c is
// a line feed. Returns the octets of TEXT taken, which are not fewer than those written to *OUT.
static size_t unescape(const char *text, size_t length, char **out)
{
	if (length > 3 && text[1] >= '0' && text[1] <= '3' && is_octal(text[2]) &&
	        is_octal(text[3])) {
		*out += channel_utf8_encode(*out,
		        (uint32_t)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0')));
		return 4;
	}
	if (length > 1 && text[1] != '\n') {
		// The rest of a character of several octets follows as ordinary text.
		*(*out)++ = text[1];
		return 2;
	}
	*(*out)++ = text[0];
	return 1;
}

// http.cookies._unquote(), to OUT, which has room for text.length octets.
static struct http_form_text unquote(struct http_form_text text, char *out)
{
	if (text.length < 2 || text.data[0] != '"' || text.data[text.length - 1] != '"')
		return text;

	char *start = out;
	const char *end = text.data + text.length - 1;

	for (const char *at = text.data + 1; at < end;) {
		if (*at == '\\')
			at += unescape(at, (size_t)(end - at), &out);
		else
			*out++ = *at++;
	}
	return (struct http_form_text){start, (size_t)(out - start)};
}

// One field between semicolons. SCRATCH has room for field.length octets.
static int add_cookie(struct http_form *cookies, struct http_form_text field, char *scratch)
{
	const char *equals = memchr(field.data, '=', field.length);
	struct http_form_text name = {field.data, 0}, value = field;

	if (equals) {
		name.length = (size_t)(equals - field.data);
		value.data = equals + 1;
		value.length = field.length - name.length - 1;
	}
	name = strip(name);
	value = strip(value);
	if (name.length == 0 && value.length == 0)
		return 0;
	value = unquote(value, scratch);
	return http_form_set(cookies, name.data, name.length, value.data, value.length);
}

// TEXT is valid UTF-8. SCRATCH has room for as many octets.
static int add_cookies(struct http_form *cookies, struct http_form_text text, char *scratch)
{
	int result = 0;

	while (result == 0 && text.length > 0) {
		const char *semicolon = memchr(text.data, ';', text.length);
		size_t length = semicolon ? (size_t)(semicolon - text.data) : text.length;

		result = add_cookie(cookies, (struct http_form_text){text.data, length}, scratch);
		text.data += length + (semicolon != NULL);
		text.length -= length + (semicolon != NULL);
	}
	return result;
}

#define STACK_MAX 4096

// Nearly all Cookie fields fit into the stack buffer; only a long one costs a malloc.
int http_cookie_parse(struct http_form *cookies, const char *text, size_t length)
{
	bool valid = channel_utf8_valid(text, length);
	size_t size = valid ? length : 6 * length; // the replaced text, and scratch for as much
	char stack[STACK_MAX];
	char *heap = size > sizeof(stack) ? malloc(size) : NULL;
	char *scratch = heap ? heap : stack;
	struct http_form_text fields = {text, length};

	if (size > sizeof(stack) && !heap)
		return -ENOMEM;
	if (!valid) {
		fields.data = scratch;
		fields.length = channel_utf8_replace(scratch, text, length);
		scratch += 3 * length;
	}

	int result = add_cookies(cookies, fields, scratch);

	free(heap);
	return result;
}
