// SPDX-License-Identifier: MIT
// json.h - messages to and from JSON text, over yajl: a writer that appends (json_writer.c), a
// reader that builds the values of forebay.h (json_reader.c), lengths (json_string.c), and memory for yajl
// (json_scratch.c).
//
// Both are meant to be kept: after the first few messages neither calls malloc. What they let
// through is stricter than yajl: UTF-8 without overlong forms, surrogates or code points above
// U+10FFFF, no escaped lone surrogate, at most FOREBAY_DEPTH_MAX levels, and an object at the root.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <yajl/yajl_gen.h>

#include "channel/forebay.h"

// ---------------------------------------------------------------------------------------------
// Memory for yajl
// ---------------------------------------------------------------------------------------------

// One block, sized beforehand for all that yajl may ask for: it doesn't check what its allocator returns.
struct channel_json_scratch {
	char *octets;
	size_t used, size;
};

// An allocator that takes from SCRATCH and gives nothing back: it is emptied as a whole, by `used`.
yajl_alloc_funcs channel_json_scratch_functions(struct channel_json_scratch *scratch);

// ---------------------------------------------------------------------------------------------
// Writer
// ---------------------------------------------------------------------------------------------

// Writes one JSON object of at most FOREBAY_MESSAGE_MAX octets. The root object is open from the
// start (it is depth 1) and closed by finish.
//
// The first error sticks: every later call returns it and appends nothing, and so does finish. Invalid UTF-8 is found
// by finish. Errors are FOREBAY_BAD_MESSAGE (invalid UTF-8, nesting, a key in a list, a value without a key in an
// object, a key without a value, an end too many or too few, a put after finish), FOREBAY_TOO_LARGE and -ENOMEM.
struct channel_json_writer {
	yajl_gen gen;
	struct channel_json_scratch scratch;
	char *json; // the text so far; kept between messages
	size_t length, size;
	char *utf8; // where put_latin1 converts to; kept between messages
	size_t utf8_size;
	int error;
	unsigned depth; // containers open, the root among them
	uint64_t lists; // bit N: the container at depth N + 1 is a list
	bool keyed;     // a key was put and waits for its value
	bool finished;
};

// Returns 0 or -ENOMEM. The writer must stay at its address until fini.
int channel_json_writer_init(struct channel_json_writer *writer);
void channel_json_writer_fini(struct channel_json_writer *writer); // accepts a zeroed one
// Starts the next message; buffers stay, unless an exceptionally large message made them grow.
void channel_json_writer_reset(struct channel_json_writer *writer);

// A key must be followed by its value: a put without key, or a begin.
int channel_json_writer_put_key(
        struct channel_json_writer *writer, const char *key, size_t length); // UTF-8
int channel_json_writer_put_string(
        struct channel_json_writer *writer, const char *string, size_t length); // UTF-8
int channel_json_writer_put_latin1(
        struct channel_json_writer *writer, const char *string, size_t length);
int channel_json_writer_put_integer(struct channel_json_writer *writer, int64_t integer);
int channel_json_writer_put_boolean(struct channel_json_writer *writer, bool boolean);
int channel_json_writer_put_null(struct channel_json_writer *writer);
int channel_json_writer_begin_object(struct channel_json_writer *writer);
int channel_json_writer_begin_list(struct channel_json_writer *writer);
int channel_json_writer_end(struct channel_json_writer *writer); // never of the root
// VALUE with all that is below it, without its key. It must come from a reader (numbers are
// written as they were read).
int channel_json_writer_put_value(
        struct channel_json_writer *writer, const struct forebay_value *value);

// Closes the root. On 0, *JSON is NUL-terminated and, like *LENGTH, good until the next reset.
// A second call gives the same again.
int channel_json_writer_finish(
        struct channel_json_writer *writer, const char **json, size_t *length);

// ---------------------------------------------------------------------------------------------
// Reader
// ---------------------------------------------------------------------------------------------

// The most memory a reader takes, whatever the text of FOREBAY_MESSAGE_MAX octets: a value can be as
// short as two octets (`0,`) and costs sizeof(struct forebay_value), which makes 28 MiB; yajl's own
// buffers are at most twice the text. After such a text the reader gives it back.
#define CHANNEL_JSON_READER_MAX (32u << 20)

struct channel_json_chunk;

struct channel_json_reader {
	struct channel_json_chunk *chunks; // of values; the newest, also the largest, first
	struct channel_json_scratch scratch;
	size_t memory, peak; // octets held now, and the most ever held, for tests and statistics

	// The text being read.
	struct yajl_handle_t *yajl; // NULL when it has been read to its end
	char *text;
	size_t length;
	size_t fed;      // octets that yajl was given
	size_t consumed; // octets of that before the piece it has now
	size_t values;   // built so far
	struct forebay_value *root;
	const char *key; // of the value to come
	uint32_t key_length;
	unsigned depth;
	struct {
		struct forebay_value *container, *last;
	} open[FOREBAY_DEPTH_MAX];
	const char *error; // static; NULL as long as all is well
};

void channel_json_reader_init(struct channel_json_reader *reader);
void channel_json_reader_fini(struct channel_json_reader *reader); // accepts a zeroed one

// Begins with TEXT, one JSON object. TEXT must be private memory and is written to: strings and keys of the
// result lie in it, unescaped and NUL-terminated in place. Values are good as long as TEXT is and until
// the next begin or fini. Nothing is parsed yet; errors are those of the next two.
void channel_json_begin(struct channel_json_reader *reader, char *text, size_t length);

// The first member KEY of the object, reading not much further than that needs: what is asked for most stands
// at the front of a message. NULL if there is none, or the text is malformed up to there. Takes no more time than is
// linear in the length.
const struct forebay_value *channel_json_find(struct channel_json_reader *reader, const char *key);

// The whole object, read to its end. NULL if it is malformed, breaks a limit, or the heap is
// exhausted, with a static sentence in *ERROR (which may be NULL). Takes no time or stack beyond what is
// linear in the length, whatever the text.
const struct forebay_value *channel_json_finish(
        struct channel_json_reader *reader, const char **error);

// Begin and finish in one.
const struct forebay_value *channel_json_read(
        struct channel_json_reader *reader, char *text, size_t length, const char **error);

// ---------------------------------------------------------------------------------------------
// Strings
// ---------------------------------------------------------------------------------------------

// Whether the text stands inside a JSON string as it is, with nothing to escape.
bool channel_json_is_plain(const char *text, size_t length);

// Octets that LENGTH octets of UTF-8 take inside a JSON string, quotes not counted, as the writer
// escapes them.
size_t channel_json_escaped_length(const char *utf8, size_t length);
