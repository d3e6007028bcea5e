// SPDX-License-Identifier: MIT
// json_writer.c - messages to JSON text.
//
// The nesting and the punctuation are kept here. A string with anything to escape is yajl_gen's, through a
// print callback; the others, nearly all of a request's, are copied: yajl_gen looks at every octet and
// calls back five times a string, which was a third of what a worker spent on a request.
#include "channel/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "channel/buffer.h"
#include "channel/utf8.h"

// yajl_gen's handle, and a buffer's that isn't used, take a good half of this; what it writes takes nothing.
#define SCRATCH_SIZE 1024

_Static_assert(FOREBAY_DEPTH_MAX <= 64, "writer.lists has a bit for each level");

static int fail(struct channel_json_writer *writer, int error)
{
	if (!writer->error)
		writer->error = error;
	return writer->error;
}

// Makes room for LENGTH octets more and a final NUL. An error sticks.
static bool make_room(struct channel_json_writer *writer, size_t length)
{
	if (writer->error)
		return false;
	if (length > FOREBAY_MESSAGE_MAX - writer->length)
		writer->error = FOREBAY_TOO_LARGE;
	else
		writer->error = channel_buffer_reserve(&writer->json, &writer->size,
		        writer->length + length + 1, FOREBAY_MESSAGE_MAX + 1);
	return !writer->error;
}

// Appends, and is yajl_gen's print callback. The buffer is never larger than a message may be, so what
// fits into it needs no look at the limit; and after an error it does no harm to go on.
static void append(void *context, const char *text, size_t length)
{
	struct channel_json_writer *writer = context;

	if (length >= writer->size - writer->length && !make_room(writer, length))
		return;
	memcpy(writer->json + writer->length, text, length);
	writer->length += length;
}

static void append_octet(struct channel_json_writer *writer, char octet)
{
	if (writer->size - writer->length <= 1 && !make_room(writer, 1))
		return;
	writer->json[writer->length++] = octet;
}

static bool in_list(const struct channel_json_writer *writer)
{
	return writer->lists >> (writer->depth - 1) & 1;
}

// A comma, unless a bracket is right before: the octet in front tells, since strings end in a quote.
static void separate(struct channel_json_writer *writer)
{
	char last = writer->length > 0 ? writer->json[writer->length - 1] : '{';

	if (last != '{' && last != '[')
		append_octet(writer, ',');
}

// A whole string, with its quotes.
static void append_string(struct channel_json_writer *writer, const char *string, size_t length)
{
	if (length > FOREBAY_MESSAGE_MAX) {
		fail(writer, FOREBAY_TOO_LARGE);
	} else if (channel_json_is_plain(string, length)) {
		append_octet(writer, '"');
		append(writer, string, length);
		append_octet(writer, '"');
	} else {
		yajl_gen_reset(writer->gen, NULL);
		if (yajl_gen_string(writer->gen, (const unsigned char *)string, length) !=
		        yajl_gen_status_ok)
			fail(writer, FOREBAY_BAD_MESSAGE);
	}
}

// Whether a value may come now; takes the key that waits for it.
static int expect_value(struct channel_json_writer *writer)
{
	if (writer->error)
		return writer->error;
	if (writer->finished || in_list(writer) == writer->keyed)
		return fail(writer, FOREBAY_BAD_MESSAGE);
	if (!writer->keyed)
		separate(writer);
	writer->keyed = false;
	return 0;
}

int channel_json_writer_init(struct channel_json_writer *writer)
{
	yajl_alloc_funcs alloc = channel_json_scratch_functions(&writer->scratch);

	*writer = (struct channel_json_writer){
	        .scratch = {.octets = malloc(SCRATCH_SIZE), .size = SCRATCH_SIZE}};
	if (writer->scratch.octets)
		writer->gen = yajl_gen_alloc(&alloc);
	if (!writer->gen) {
		channel_json_writer_fini(writer);
		return -ENOMEM;
	}
	yajl_gen_config(writer->gen, yajl_gen_print_callback, append, writer);
	channel_json_writer_reset(writer);
	return 0;
}

void channel_json_writer_fini(struct channel_json_writer *writer)
{
	if (writer->gen)
		yajl_gen_free(writer->gen);
	free(writer->scratch.octets);
	free(writer->json);
	free(writer->utf8);
	*writer = (struct channel_json_writer){0};
}

void channel_json_writer_reset(struct channel_json_writer *writer)
{
	channel_buffer_trim(&writer->json, &writer->size);
	channel_buffer_trim(&writer->utf8, &writer->utf8_size);
	writer->length = 0;
	writer->error = 0;
	writer->depth = 1;
	writer->lists = 0;
	writer->keyed = false;
	writer->finished = false;
	append_octet(writer, '{');
}

int channel_json_writer_put_key(struct channel_json_writer *writer, const char *key, size_t length)
{
	if (writer->error)
		return writer->error;
	if (writer->finished || writer->keyed || in_list(writer))
		return fail(writer, FOREBAY_BAD_MESSAGE);
	separate(writer);
	append_string(writer, key, length);
	append_octet(writer, ':');
	writer->keyed = true;
	return writer->error;
}

int channel_json_writer_put_string(
        struct channel_json_writer *writer, const char *string, size_t length)
{
	if (expect_value(writer))
		return writer->error;
	append_string(writer, string, length);
	return writer->error;
}

static bool is_ascii(const char *string, size_t length)
{
	uint64_t word;
	size_t at = 0;

	for (; length - at >= sizeof word; at += sizeof word) {
		memcpy(&word, string + at, sizeof word);
		if (word & UINT64_C(0x8080808080808080))
			return false;
	}
	for (; at < length; at++) {
		if (string[at] & 0x80)
			return false;
	}
	return true;
}

// OUT has room for 2 * LENGTH octets. Returns the end.
static char *latin1_to_utf8(char *out, const char *string, size_t length)
{
	for (size_t at = 0; at < length; at++) {
		unsigned char octet = (unsigned char)string[at];

		if (octet < 0x80) {
			*out++ = (char)octet;
		} else {
			*out++ = (char)(0xc0 | octet >> 6);
			*out++ = (char)(0x80 | (octet & 0x3f));
		}
	}
	return out;
}

int channel_json_writer_put_latin1(
        struct channel_json_writer *writer, const char *string, size_t length)
{
	char *end;

	if (expect_value(writer))
		return writer->error;
	if (length > FOREBAY_MESSAGE_MAX)
		return fail(writer, FOREBAY_TOO_LARGE);
	if (is_ascii(string, length)) {
		append_string(writer, string, length);
		return writer->error;
	}
	if (channel_buffer_reserve(
	            &writer->utf8, &writer->utf8_size, 2 * length, 2 * FOREBAY_MESSAGE_MAX))
		return fail(writer, -ENOMEM);
	end = latin1_to_utf8(writer->utf8, string, length);
	append_string(writer, writer->utf8, (size_t)(end - writer->utf8));
	return writer->error;
}

int channel_json_writer_put_integer(struct channel_json_writer *writer, int64_t integer)
{
	char text[24], *end = text + sizeof text, *at = end;
	uint64_t magnitude = integer < 0 ? -(uint64_t)integer : (uint64_t)integer;

	if (expect_value(writer))
		return writer->error;
	do
		*--at = (char)('0' + magnitude % 10);
	while (magnitude /= 10);
	if (integer < 0)
		*--at = '-';
	append(writer, at, (size_t)(end - at));
	return writer->error;
}

int channel_json_writer_put_boolean(struct channel_json_writer *writer, bool boolean)
{
	if (expect_value(writer))
		return writer->error;
	append(writer, boolean ? "true" : "false", boolean ? 4 : 5);
	return writer->error;
}

int channel_json_writer_put_null(struct channel_json_writer *writer)
{
	if (expect_value(writer))
		return writer->error;
	append(writer, "null", 4);
	return writer->error;
}

// Opens a container as the next value.
static int begin(struct channel_json_writer *writer, bool list)
{
	uint64_t bit;

	if (expect_value(writer))
		return writer->error;
	if (writer->depth == FOREBAY_DEPTH_MAX)
		return fail(writer, FOREBAY_BAD_MESSAGE);
	bit = UINT64_C(1) << writer->depth++;
	writer->lists = list ? writer->lists | bit : writer->lists & ~bit;
	append_octet(writer, list ? '[' : '{');
	return writer->error;
}

int channel_json_writer_begin_object(struct channel_json_writer *writer)
{
	return begin(writer, false);
}

int channel_json_writer_begin_list(struct channel_json_writer *writer)
{
	return begin(writer, true);
}

int channel_json_writer_end(struct channel_json_writer *writer)
{
	bool list;

	if (writer->error)
		return writer->error;
	if (writer->finished || writer->keyed || writer->depth == 1)
		return fail(writer, FOREBAY_BAD_MESSAGE);
	list = in_list(writer);
	writer->depth--;
	append_octet(writer, list ? ']' : '}');
	return writer->error;
}

static bool is_container(const struct forebay_value *value)
{
	return value->type == FOREBAY_TYPE_LIST || value->type == FOREBAY_TYPE_OBJECT;
}

// A number that has no int64_t, as it was read. The reader takes nothing but a JSON number for one.
static int put_number(struct channel_json_writer *writer, const char *text, size_t length)
{
	if (expect_value(writer))
		return writer->error;
	append(writer, text, length);
	return writer->error;
}

// Writes VALUE, or opens it if it is a list or object.
static int put_one(struct channel_json_writer *writer, const struct forebay_value *value)
{
	switch (value->type) {
	case FOREBAY_TYPE_NULL:
		return channel_json_writer_put_null(writer);
	case FOREBAY_TYPE_BOOLEAN:
		return channel_json_writer_put_boolean(writer, value->integer != 0);
	case FOREBAY_TYPE_INTEGER:
		return channel_json_writer_put_integer(writer, value->integer);
	case FOREBAY_TYPE_NUMBER:
		return put_number(writer, value->string, value->length);
	case FOREBAY_TYPE_STRING:
		return channel_json_writer_put_string(writer, value->string, value->length);
	case FOREBAY_TYPE_LIST:
		return begin(writer, true);
	case FOREBAY_TYPE_OBJECT:
		return begin(writer, false);
	}
	return fail(writer, FOREBAY_BAD_MESSAGE);
}

int channel_json_writer_put_value(
        struct channel_json_writer *writer, const struct forebay_value *value)
{
	// The containers open below and including VALUE. begin() refuses before this overflows.
	const struct forebay_value *open[FOREBAY_DEPTH_MAX];
	const struct forebay_value *at = value;
	unsigned depth = 0;

	if (put_one(writer, at))
		return writer->error;
	if (!is_container(at))
		return 0;
	open[depth++] = at;
	at = at->child;
	while (depth > 0) {
		if (!at) {
			channel_json_writer_end(writer);
			at = open[--depth]->next;
			continue;
		}
		if (at->key)
			channel_json_writer_put_key(writer, at->key, at->key_length);
		if (put_one(writer, at))
			return writer->error;
		if (is_container(at)) {
			open[depth++] = at;
			at = at->child;
		} else {
			at = at->next;
		}
	}
	return writer->error;
}

int channel_json_writer_finish(
        struct channel_json_writer *writer, const char **json, size_t *length)
{
	if (writer->error)
		return writer->error;
	if (!writer->finished) {
		if (writer->depth != 1 || writer->keyed)
			return fail(writer, FOREBAY_BAD_MESSAGE);
		append_octet(writer, '}');
		if (writer->error)
			return writer->error;
		// All strings at once: a broken character can't become whole across the quotes between them.
		if (!channel_utf8_valid(writer->json, writer->length))
			return fail(writer, FOREBAY_BAD_MESSAGE);
		writer->json[writer->length] = '\0';
		writer->finished = true;
	}
	*json = writer->json;
	*length = writer->length;
	return 0;
}
