// SPDX-License-Identifier: MIT
// json_reader.c - messages from JSON text, over yajl's streaming parser (its tree builder recurses).
//
// yajl is given the text in pieces that end behind a quote, as far as it is asked for, so numbers and
// words are always whole. What yajl 2.1 is too lenient about is refused before it sees the text.
#include "channel/json.h"

#include <stdlib.h>
#include <string.h>

#include <yajl/yajl_parse.h>

#include "channel/utf8.h"

// A buffer or chunk that grew above this is given back at the next message.
#define KEEP_SIZE (256u * 1024)

// ---------------------------------------------------------------------------------------------
// Memory
// ---------------------------------------------------------------------------------------------

// Values of one message. They are linked by pointers, so a chunk never moves.
struct channel_json_chunk {
	struct channel_json_chunk *older;
	size_t used, count;
	struct forebay_value values[];
};

#define FIRST_CHUNK 256 // values; a usual request has 40

static size_t chunk_size(size_t count)
{
	return sizeof(struct channel_json_chunk) + count * sizeof(struct forebay_value);
}

static void account(struct channel_json_reader *reader, size_t size)
{
	reader->memory += size;
	if (reader->memory > reader->peak)
		reader->peak = reader->memory;
}

static void drop_chunk(struct channel_json_reader *reader)
{
	struct channel_json_chunk *chunk = reader->chunks;

	reader->chunks = chunk->older;
	reader->memory -= chunk_size(chunk->count);
	free(chunk);
}

static bool add_chunk(struct channel_json_reader *reader, size_t count)
{
	struct channel_json_chunk *chunk = malloc(chunk_size(count));

	if (!chunk)
		return false;
	*chunk = (struct channel_json_chunk){.older = reader->chunks, .count = count};
	reader->chunks = chunk;
	account(reader, chunk_size(count));
	return true;
}

// Empties the newest chunk and drops the older ones: the newest has room for the usual message.
static void reset_chunks(struct channel_json_reader *reader)
{
	struct channel_json_chunk *newest = reader->chunks;

	if (!newest)
		return;
	reader->chunks = newest->older;
	while (reader->chunks)
		drop_chunk(reader);
	reader->chunks = newest;
	newest->older = NULL;
	newest->used = 0;
	if (chunk_size(newest->count) > KEEP_SIZE)
		drop_chunk(reader);
}

// yajl allocates its handle, the lexer and a stack of states (with the depth that we allow, it
// never grows), which together take less than this;
#define SCRATCH_FIXED 4096
// and two buffers that start at 2048 octets and double: one for a string with escapes, one for a
// token that the text breaks off in. Both together never hold more than the text.
#define SCRATCH_BUFFERS (2 * 2048)

static size_t scratch_needed(size_t text_length)
{
	return SCRATCH_FIXED + SCRATCH_BUFFERS + 2 * text_length;
}

static bool reserve_scratch(struct channel_json_reader *reader, size_t text_length)
{
	struct channel_json_scratch *scratch = &reader->scratch;
	size_t needed = scratch_needed(text_length);

	scratch->used = 0;
	if (scratch->size < needed || (scratch->size > KEEP_SIZE && needed <= KEEP_SIZE)) {
		size_t size = 4 * SCRATCH_FIXED;

		while (size < needed)
			size += size / 2;
		free(scratch->octets);
		reader->memory -= scratch->size;
		scratch->size = 0;
		scratch->octets = malloc(size);
		if (!scratch->octets)
			return false;
		scratch->size = size;
		account(reader, size);
	}
	return true;
}

void channel_json_reader_init(struct channel_json_reader *reader)
{
	*reader = (struct channel_json_reader){0};
}

void channel_json_reader_fini(struct channel_json_reader *reader)
{
	while (reader->chunks)
		drop_chunk(reader);
	free(reader->scratch.octets);
	*reader = (struct channel_json_reader){0};
}

// ---------------------------------------------------------------------------------------------
// Values
// ---------------------------------------------------------------------------------------------

static int refuse(struct channel_json_reader *reader, const char *error)
{
	reader->error = error;
	return 0; // yajl: cancel
}

// A value takes two octets of text at least, but for the brackets still to be closed: so the
// chunks, each twice as large as the one before, don't outgrow what the text can need.
static struct forebay_value *take(struct channel_json_reader *reader)
{
	struct channel_json_chunk *chunk = reader->chunks;

	if (!chunk || chunk->used == chunk->count) {
		size_t most = reader->length / 2 + FOREBAY_DEPTH_MAX;
		size_t left = most > reader->values ? most - reader->values : FIRST_CHUNK;
		size_t count = chunk ? 2 * chunk->count : FIRST_CHUNK;

		if (!add_chunk(reader, chunk && left < count ? left : count))
			return NULL;
		chunk = reader->chunks;
	}
	reader->values++;
	return &chunk->values[chunk->used++];
}

// Adds a value to the innermost container, or makes it the root. NULL after refuse().
static struct forebay_value *add(struct channel_json_reader *reader, enum forebay_type type)
{
	struct forebay_value *value, *container;

	if (reader->depth == 0 && type != FOREBAY_TYPE_OBJECT) {
		refuse(reader, "not a JSON object");
		return NULL;
	}
	value = take(reader);
	if (!value) {
		refuse(reader, "out of memory");
		return NULL;
	}
	*value = (struct forebay_value){
	        .type = type, .key = reader->key, .key_length = reader->key_length};
	reader->key = NULL;
	reader->key_length = 0;
	if (reader->depth == 0) {
		reader->root = value;
		return value;
	}
	container = reader->open[reader->depth - 1].container;
	if (container->length++ == 0)
		container->child = value;
	else
		reader->open[reader->depth - 1].last->next = value;
	reader->open[reader->depth - 1].last = value;
	return value;
}

static int on_null(void *context)
{
	return add(context, FOREBAY_TYPE_NULL) != NULL;
}

static int on_boolean(void *context, int boolean)
{
	struct forebay_value *value = add(context, FOREBAY_TYPE_BOOLEAN);

	if (value)
		value->integer = boolean != 0;
	return value != NULL;
}

// Whether TEXT, a JSON number, is an integer that fits; then it is in *INTEGER.
static bool read_integer(const char *text, size_t length, int64_t *integer)
{
	bool negative = text[0] == '-';
	uint64_t most = (uint64_t)INT64_MAX + negative, magnitude = 0;

	for (size_t at = negative; at < length; at++) {
		unsigned digit = (unsigned)(text[at] - '0');

		if (digit > 9 || magnitude > (most - digit) / 10)
			return false;
		magnitude = magnitude * 10 + digit;
	}
	*integer = (int64_t)(negative ? -magnitude : magnitude);
	return true;
}

// Where OCTETS, which yajl reported, lie in the text, with an octet behind them; NULL if they don't.
static char *locate(const struct channel_json_reader *reader, const char *octets, size_t length)
{
	uintptr_t start = (uintptr_t)reader->text, at = (uintptr_t)octets;

	if (at < start || at - start >= reader->length || length >= reader->length - (at - start))
		return NULL;
	return reader->text + (at - start);
}

// The octet before a number is a bracket, colon, comma or white space that yajl is done with, but
// the one behind it is not: so the number moves down by one octet to make room for its NUL.
static int on_number(void *context, const char *text, size_t length)
{
	struct channel_json_reader *reader = context;
	char *place = locate(reader, text, length);
	struct forebay_value *value;
	int64_t integer;

	if (!place || place == reader->text) // at the end of a text that breaks off, or as the root
		return refuse(reader, "not a JSON object");
	if (read_integer(text, length, &integer)) {
		value = add(reader, FOREBAY_TYPE_INTEGER);
		if (value)
			value->integer = integer;
		return value != NULL;
	}
	value = add(reader, FOREBAY_TYPE_NUMBER);
	if (!value)
		return 0;
	value->string = memmove(place - 1, place, length);
	value->length = length;
	place[length - 1] = '\0';
	return 1;
}

// NUL-terminates a string in the text, over its closing quote. One that had escapes is somewhere
// else, and shorter than it was in the text: it goes right before the quote, which yajl has just
// consumed.
static const char *settle(
        struct channel_json_reader *reader, const unsigned char *string, size_t length)
{
	char *place = locate(reader, (const char *)string, length);

	if (!place) {
		size_t consumed = reader->consumed + yajl_get_bytes_consumed(reader->yajl);

		if (consumed > reader->length || consumed < length + 1)
			return NULL;
		place = reader->text + consumed - 1 - length;
		memcpy(place, string, length);
	}
	place[length] = '\0';
	return place;
}

static int on_string(void *context, const unsigned char *string, size_t length)
{
	struct channel_json_reader *reader = context;
	const char *settled = settle(reader, string, length);
	struct forebay_value *value;

	if (!settled)
		return refuse(reader, "malformed JSON");
	value = add(reader, FOREBAY_TYPE_STRING);
	if (!value)
		return 0;
	value->string = settled;
	value->length = length;
	return 1;
}

static int on_key(void *context, const unsigned char *key, size_t length)
{
	struct channel_json_reader *reader = context;

	reader->key = settle(reader, key, length);
	reader->key_length = (uint32_t)length;
	return reader->key ? 1 : refuse(reader, "malformed JSON");
}

static int open_container(struct channel_json_reader *reader, enum forebay_type type)
{
	struct forebay_value *container;

	if (reader->depth == FOREBAY_DEPTH_MAX)
		return refuse(reader, "nested too deep");
	container = add(reader, type);
	if (!container)
		return 0;
	reader->open[reader->depth].container = container;
	reader->open[reader->depth].last = NULL;
	reader->depth++;
	return 1;
}

static int on_start_object(void *context)
{
	return open_container(context, FOREBAY_TYPE_OBJECT);
}

static int on_start_list(void *context)
{
	return open_container(context, FOREBAY_TYPE_LIST);
}

static int on_end(void *context)
{
	struct channel_json_reader *reader = context;

	reader->depth--;
	return 1;
}

static const yajl_callbacks callbacks = {
        .yajl_null = on_null,
        .yajl_boolean = on_boolean,
        .yajl_number = on_number,
        .yajl_string = on_string,
        .yajl_start_map = on_start_object,
        .yajl_map_key = on_key,
        .yajl_end_map = on_end,
        .yajl_start_array = on_start_list,
        .yajl_end_array = on_end,
};

// ---------------------------------------------------------------------------------------------
// The whole text
// ---------------------------------------------------------------------------------------------

// The code unit of the escape \uXXXX at AT; -1 if there is none.
static int read_unit(const char *at, const char *end)
{
	int unit = 0;

	if (end - at < 6 || at[0] != '\\' || at[1] != 'u')
		return -1;
	for (int i = 2; i < 6; i++) {
		int digit = at[i] >= '0' && at[i] <= '9'   ? at[i] - '0'
		            : at[i] >= 'a' && at[i] <= 'f' ? at[i] - 'a' + 10
		            : at[i] >= 'A' && at[i] <= 'F' ? at[i] - 'A' + 10
		                                           : -1;
		if (digit < 0)
			return -1;
		unit = unit << 4 | digit;
	}
	return unit;
}

// Whether every escaped surrogate has its other half. (A backslash outside strings is yajl's to
// refuse, as is any other wrong escape.)
static bool surrogates_paired(const char *text, size_t length)
{
	const char *at = text, *end = text + length;

	while ((at = memchr(at, '\\', (size_t)(end - at)))) {
		int unit = read_unit(at, end);

		if (unit < 0xd800 || unit > 0xdfff) {
			at += end - at < 2 ? 1 : 2;
			continue;
		}
		if (unit > 0xdbff || (read_unit(at + 6, end) & ~0x3ff) != 0xdc00)
			return false;
		at += 12;
	}
	return true;
}

#define PIECE 64 // octets that are read at least, when more is needed

static yajl_handle make_yajl(struct channel_json_reader *reader)
{
	yajl_alloc_funcs alloc = channel_json_scratch_functions(&reader->scratch);
	yajl_handle yajl = yajl_alloc(&callbacks, &alloc, reader);

	if (yajl)
		yajl_config(yajl, yajl_dont_validate_strings, 1); // it was done, and better
	return yajl;
}

void channel_json_begin(struct channel_json_reader *reader, char *text, size_t length)
{
	reset_chunks(reader);
	reader->yajl = NULL;
	reader->text = text;
	reader->length = length;
	reader->fed = reader->consumed = reader->values = 0;
	reader->root = NULL;
	reader->key = NULL;
	reader->key_length = 0;
	reader->depth = 0;
	reader->error = NULL;
	if (length > FOREBAY_MESSAGE_MAX)
		reader->error = "larger than a message may be";
	else if (!channel_utf8_valid(text, length))
		reader->error = "invalid UTF-8";
	else if (!surrogates_paired(text, length))
		reader->error = "escaped surrogate without its other half";
	else if (!reserve_scratch(reader, length) || !(reader->yajl = make_yajl(reader)))
		reader->error = "out of memory";
}

// Gives yajl the text up to END; at the end of the text, has it check that the object is complete.
static void feed(struct channel_json_reader *reader, size_t end)
{
	yajl_status status;

	reader->consumed = reader->fed;
	reader->fed = end;
	status = yajl_parse(reader->yajl, (unsigned char *)reader->text + reader->consumed,
	        end - reader->consumed);
	if (status == yajl_status_ok && end == reader->length)
		status = yajl_complete_parse(reader->yajl);
	if (status != yajl_status_ok && !reader->error)
		reader->error = "malformed JSON";
	if (reader->error || end == reader->length) {
		yajl_free(reader->yajl);
		reader->yajl = NULL;
	}
	if (!reader->error && end == reader->length && (!reader->root || reader->depth > 0))
		reader->error = "malformed JSON";
}

// At least a quarter of what was read before: who looks over the members after each piece, as find() does, then takes, in
// all, no more than some times as long as reading them took.
static void feed_piece(struct channel_json_reader *reader)
{
	size_t left = reader->length - reader->fed;
	size_t least = reader->fed / 4 > PIECE ? reader->fed / 4 : PIECE;
	const char *quote = NULL;

	if (left > least)
		quote = memchr(reader->text + reader->fed + least, '"', left - least);
	feed(reader, quote ? (size_t)(quote - reader->text) + 1 : reader->length);
}

// Whether VALUE, a member of the root, is complete: the last one may be a container still open.
static bool is_complete(const struct channel_json_reader *reader, const struct forebay_value *value)
{
	return reader->depth <= 1 || value->next;
}

const struct forebay_value *channel_json_find(struct channel_json_reader *reader, const char *key)
{
	for (;;) {
		const struct forebay_value *found = forebay_get(reader->root, key);

		if (found && is_complete(reader, found))
			return found;
		if (!reader->yajl)
			return NULL;
		feed_piece(reader);
	}
}

const struct forebay_value *channel_json_finish(
        struct channel_json_reader *reader, const char **error)
{
	if (reader->yajl)
		feed(reader, reader->length);
	if (error)
		*error = reader->error;
	return reader->error ? NULL : reader->root;
}

const struct forebay_value *channel_json_read(
        struct channel_json_reader *reader, char *text, size_t length, const char **error)
{
	channel_json_begin(reader, text, length);
	return channel_json_finish(reader, error);
}

const struct forebay_value *forebay_get(const struct forebay_value *object, const char *key)
{
	size_t length = strlen(key);

	if (!object || object->type != FOREBAY_TYPE_OBJECT)
		return NULL;
	for (const struct forebay_value *at = object->child; at; at = at->next)
		if (at->key_length == length && memcmp(at->key, key, length) == 0)
			return at;
	return NULL;
}
