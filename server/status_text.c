// SPDX-License-Identifier: MIT
// status_text.c - a text that grows; see status_text.h.
#include "server/status_text.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/escape.h"

#define LEAST 16384

// Makes room for ROOM more octets. Returns where they begin, or NULL.
static char *reserve(struct status_text *text, size_t room)
{
	size_t size = text->size ? text->size : LEAST;
	char *grown;

	if (text->failed)
		return NULL;
	while (size - text->length < room)
		size *= 2;
	if (size != text->size) {
		grown = realloc(text->data, size);
		if (!grown) {
			text->failed = true;
			return NULL;
		}
		text->data = grown;
		text->size = size;
	}
	return text->data + text->length;
}

static void put(struct status_text *text, const char *data, size_t length)
{
	char *at = reserve(text, length);

	if (!at)
		return;
	memcpy(at, data, length);
	text->length += length;
}

void status_text_append(struct status_text *text, const struct status_text *other)
{
	if (other->length > 0)
		put(text, other->data, other->length);
	text->failed |= other->failed;
}

void status_text_print(struct status_text *text, const char *format, ...)
{
	char small[512];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(small, sizeof(small), format, arguments);
	va_end(arguments);
	if (length >= 0 && (size_t)length < sizeof(small)) {
		put(text, small, (size_t)length);
	} else if (length >= 0 && reserve(text, (size_t)length + 1)) {
		va_start(arguments, format);
		vsnprintf(text->data + text->length, (size_t)length + 1, format, arguments);
		va_end(arguments);
		text->length += (size_t)length;
	}
}

// Newlines and backslashes, and QUOTE if it isn't NUL, are escaped.
static void put_escaped(struct status_text *text, const char *string, char quote)
{
	for (const char *at = string; *at; at++) {
		if (*at == '\n')
			put(text, "\\n", 2);
		else if (*at == '\\' || *at == quote)
			put(text, (const char[]){'\\', *at}, 2);
		else
			put(text, at, 1);
	}
}

void status_text_label(struct status_text *text, const char *string)
{
	put(text, "\"", 1);
	put_escaped(text, string, '"');
	put(text, "\"", 1);
}

void status_text_help(struct status_text *text, const char *string)
{
	put_escaped(text, string, '\0');
}

void status_text_json(struct status_text *text, const char *string)
{
	size_t length = strlen(string);
	char *at = reserve(text, ESCAPE_FACTOR * length + 2);

	if (!at)
		return;
	*at++ = '"';
	at += escape(at, ESCAPE_JSON, string, length);
	*at++ = '"';
	text->length = (size_t)(at - text->data);
}

// As few digits as tell it apart from all others.
static void put_finite(struct status_text *text, double number)
{
	char digits[40];

	// Nearly all are whole, and so cheaper. From 16 digits on it takes a look at how many are needed.
	if (number > -1e15 && number < 1e15 && number == (double)(int64_t)number) {
		status_text_print(text, "%lld", (long long)number);
		return;
	}
	for (int precision = 15; precision <= 17; precision++) {
		snprintf(digits, sizeof(digits), "%.*g", precision, number);
		if (strtod(digits, NULL) == number)
			break;
	}
	put(text, digits, strlen(digits));
}

void status_text_number(struct status_text *text, double number)
{
	if (isfinite(number))
		put_finite(text, number);
	else
		status_text_print(text, "%s", isnan(number) ? "NaN" : number > 0 ? "+Inf" : "-Inf");
}

void status_text_json_number(struct status_text *text, double number)
{
	if (isfinite(number))
		put_finite(text, number);
	else
		status_text_print(text, "null");
}

void status_text_fini(struct status_text *text)
{
	free(text->data);
	*text = (struct status_text){0};
}
