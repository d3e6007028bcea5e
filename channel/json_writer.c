// SPDX-License-Identifier: MIT
// json_writer.c - messages to JSON text: yajl_gen does the escaping and the punctuation, through a
// print callback; the nesting is kept here, since yajl_gen takes any string for a key.
#include "channel/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "channel/buffer.h"
#include "channel/utf8.h"

_Static_assert(FOREBAY_DEPTH_MAX <= 64, "writer.lists has a bit for each level");
_Static_assert(FOREBAY_DEPTH_MAX < YAJL_MAX_DEPTH, "yajl_gen must not be the one to refuse");

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

// yajl_gen's print callback: called some five times a string, mostly with one octet. The buffer is
// never larger than a message may be, so what fits into it needs no look at the limit; and after an
// error it does no harm to go on.
static void append(void *context, const char *text, size_t length)
{
	struct channel_json_writer *writer = context;

	if (length >= writer->size - writer->length && !make_room(writer, length))
		return;
	if (length == 1)
		writer->json[writer->length] = *text;
	else
		memcpy(writer->json + writer->length, text, length);
	writer->length += length;
}

// What yajl_gen did, and what append() met meanwhile.
static int result(struct channel_json_writer *writer, yajl_gen_status status)
{
	if (status != yajl_gen_status_ok)
		return fail(writer, FOREBAY_BAD_MESSAGE);
	return writer->error;
}

static bool in_list(const struct channel_json_writer *writer)
{
	return writer->lists >> (writer->depth - 1) & 1;
}

// Whether a value may come now; takes the key that waits for it.
static int expect_value(struct channel_json_writer *writer)
{
	if (writer->error)
		return writer->error;
	if (writer->finished || in_list(writer) == writer->keyed)
		return fail(writer, FOREBAY_BAD_MESSAGE);
	writer->keyed = false;
	return 0;
}

int channel_json_writer_init(struct channel_json_writer *writer)
{
	*writer = (struct channel_json_writer){.gen = yajl_gen_alloc(NULL)};
	if (!writer->gen)
		return -ENOMEM;
	yajl_gen_config(writer->gen, yajl_gen_print_callback, append, writer);
	channel_json_writer_reset(writer);
	return 0;
}

void channel_json_writer_fini(struct channel_json_writer *writer)
{
	if (writer->gen)
		yajl_gen_free(writer->gen);
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
	yajl_gen_reset(writer->gen, NULL);
	yajl_gen_map_open(writer->gen);
}

int channel_json_writer_put_key(struct channel_json_writer *writer, const char *key, size_t length)
{
	if (writer->error)
		return writer->error;
	if (writer->finished || writer->keyed || in_list(writer))
		return fail(writer, FOREBAY_BAD_MESSAGE);
	writer->keyed = true;
	return result(writer, yajl_gen_string(writer->gen, (const unsigned char *)key, length));
}

int channel_json_writer_put_string(
        struct channel_json_writer *writer, const char *string, size_t length)
{
	if (expect_value(writer))
		return writer->error;
	if (length > FOREBAY_MESSAGE_MAX)
		return fail(writer, FOREBAY_TOO_LARGE);
	return result(writer, yajl_gen_string(writer->gen, (const unsigned char *)string, length));
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
	if (is_ascii(string, length))
		return result(writer,
		        yajl_gen_string(writer->gen, (const unsigned char *)string, length));
	if (channel_buffer_reserve(
	            &writer->utf8, &writer->utf8_size, 2 * length, 2 * FOREBAY_MESSAGE_MAX))
		return fail(writer, -ENOMEM);
	end = latin1_to_utf8(writer->utf8, string, length);
	return result(writer, yajl_gen_string(writer->gen, (const unsigned char *)writer->utf8,
	                              (size_t)(end - writer->utf8)));
}

int channel_json_writer_put_integer(struct channel_json_writer *writer, int64_t integer)
{
	char text[24], *end = text + sizeof text, *at = end;
	uint64_t magnitude = integer < 0 ? -(uint64_t)integer : (uint64_t)integer;

	if (expect_value(writer))
		return writer->error;
	// yajl_gen_integer() takes sprintf(), which costs as much as the rest of a small reply.
	do
		*--at = (char)('0' + magnitude % 10);
	while (magnitude /= 10);
	if (integer < 0)
		*--at = '-';
	return result(writer, yajl_gen_number(writer->gen, at, (size_t)(end - at)));
}

int channel_json_writer_put_boolean(struct channel_json_writer *writer, bool boolean)
{
	if (expect_value(writer))
		return writer->error;
	return result(writer, yajl_gen_bool(writer->gen, boolean));
}

int channel_json_writer_put_null(struct channel_json_writer *writer)
{
	if (expect_value(writer))
		return writer->error;
	return result(writer, yajl_gen_null(writer->gen));
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
	return result(
	        writer, list ? yajl_gen_array_open(writer->gen) : yajl_gen_map_open(writer->gen));
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
	return result(
	        writer, list ? yajl_gen_array_close(writer->gen) : yajl_gen_map_close(writer->gen));
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
	return result(writer, yajl_gen_number(writer->gen, text, length));
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
		if (result(writer, yajl_gen_map_close(writer->gen)))
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
