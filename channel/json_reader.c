// SPDX-License-Identifier: MIT
// json_reader.c - messages from JSON text, over yajl's streaming parser (its tree builder recurses).
//
// yajl is given the whole text at once, so it reports strings without escapes where they stand,
// and its allocations come from one block that is sized beforehand: it doesn't check what its
// allocator returns. What yajl 2.1 is too lenient about is refused before it sees the text.
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
	size_t needed = scratch_needed(text_length);

	reader->scratch_used = 0;
	if (reader->scratch_size < needed ||
	        (reader->scratch_size > KEEP_SIZE && needed <= KEEP_SIZE)) {
		size_t size = 4 * SCRATCH_FIXED;

		while (size < needed)
			size += size / 2;
		free(reader->scratch);
		reader->memory -= reader->scratch_size;
		reader->scratch_size = 0;
		reader->scratch = malloc(size);
		if (!reader->scratch)
			return false;
		reader->scratch_size = size;
		account(reader, size);
	}
	return true;
}

// In front of every allocation of yajl's; keeps what follows aligned for anything.
struct allocation {
	_Alignas(max_align_t) size_t size;
};

static size_t aligned(size_t size)
{
	return (size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
}

static void *scratch_malloc(void *context, size_t size)
{
	struct channel_json_reader *reader = context;
	struct allocation *allocation;

	if (reader->scratch_size - reader->scratch_used < sizeof *allocation + aligned(size))
		return NULL;
	allocation = (struct allocation *)(reader->scratch + reader->scratch_used);
	allocation->size = aligned(size);
	reader->scratch_used += sizeof *allocation + allocation->size;
	return allocation + 1;
}

static void scratch_free(void *context, void *memory)
{
	(void)context; // the block is emptied as a whole
	(void)memory;
}

// The newest allocation grows in place, as the two buffers do when they are the newest.
static void *scratch_realloc(void *context, void *memory, size_t size)
{
	struct channel_json_reader *reader = context;
	struct allocation *allocation = memory;
	void *moved;

	if (!memory)
		return scratch_malloc(context, size);
	allocation--;
	if (size <= allocation->size)
		return memory;
	if ((char *)memory + allocation->size == reader->scratch + reader->scratch_used) {
		reader->scratch_used -= sizeof *allocation + allocation->size;
		return scratch_malloc(context, size);
	}
	moved = scratch_malloc(context, size);
	if (moved)
		memcpy(moved, memory, allocation->size);
	return moved;
}

void channel_json_reader_init(struct channel_json_reader *reader)
{
	*reader = (struct channel_json_reader){0};
}

void channel_json_reader_fini(struct channel_json_reader *reader)
{
	while (reader->chunks)
		drop_chunk(reader);
	free(reader->scratch);
	*reader = (struct channel_json_reader){0};
}

// ---------------------------------------------------------------------------------------------
// Values
// ---------------------------------------------------------------------------------------------

struct parse {
	struct channel_json_reader *reader;
	yajl_handle yajl;
	char *text;
	size_t length;
	size_t values; // built so far
	struct forebay_value *root;
	const char *key; // of the value to come
	uint32_t key_length;
	unsigned depth;
	struct {
		struct forebay_value *container, *last;
	} open[FOREBAY_DEPTH_MAX];
	const char *error;
};

static int refuse(struct parse *parse, const char *error)
{
	parse->error = error;
	return 0; // yajl: cancel
}

// A value takes two octets of text at least, but for the brackets still to be closed: so the
// chunks, each twice as large as the one before, don't outgrow what the text can need.
static struct forebay_value *take(struct parse *parse)
{
	struct channel_json_reader *reader = parse->reader;
	struct channel_json_chunk *chunk = reader->chunks;

	if (!chunk || chunk->used == chunk->count) {
		size_t most = parse->length / 2 + FOREBAY_DEPTH_MAX;
		size_t left = most > parse->values ? most - parse->values : FIRST_CHUNK;
		size_t count = chunk ? 2 * chunk->count : FIRST_CHUNK;

		if (!add_chunk(reader, chunk && left < count ? left : count))
			return NULL;
		chunk = reader->chunks;
	}
	parse->values++;
	return &chunk->values[chunk->used++];
}

// Adds a value to the innermost container, or makes it the root. NULL after refuse().
static struct forebay_value *add(struct parse *parse, enum forebay_type type)
{
	struct forebay_value *value, *container;

	if (parse->depth == 0 && type != FOREBAY_TYPE_OBJECT) {
		refuse(parse, "not a JSON object");
		return NULL;
	}
	value = take(parse);
	if (!value) {
		refuse(parse, "out of memory");
		return NULL;
	}
	*value = (struct forebay_value){
	        .type = type, .key = parse->key, .key_length = parse->key_length};
	parse->key = NULL;
	parse->key_length = 0;
	if (parse->depth == 0) {
		parse->root = value;
		return value;
	}
	container = parse->open[parse->depth - 1].container;
	if (container->length++ == 0)
		container->child = value;
	else
		parse->open[parse->depth - 1].last->next = value;
	parse->open[parse->depth - 1].last = value;
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
static char *locate(const struct parse *parse, const char *octets, size_t length)
{
	uintptr_t start = (uintptr_t)parse->text, at = (uintptr_t)octets;

	if (at < start || at - start >= parse->length || length >= parse->length - (at - start))
		return NULL;
	return parse->text + (at - start);
}

// The octet before a number is a bracket, colon, comma or white space that yajl is done with, but
// the one behind it is not: so the number moves down by one octet to make room for its NUL.
static int on_number(void *context, const char *text, size_t length)
{
	struct parse *parse = context;
	char *place = locate(parse, text, length);
	struct forebay_value *value;
	int64_t integer;

	if (!place || place == parse->text) // at the end of a text that breaks off, or as the root
		return refuse(parse, "not a JSON object");
	if (read_integer(text, length, &integer)) {
		value = add(parse, FOREBAY_TYPE_INTEGER);
		if (value)
			value->integer = integer;
		return value != NULL;
	}
	value = add(parse, FOREBAY_TYPE_NUMBER);
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
static const char *settle(struct parse *parse, const unsigned char *string, size_t length)
{
	char *place = locate(parse, (const char *)string, length);

	if (!place) {
		size_t consumed = yajl_get_bytes_consumed(parse->yajl);

		if (consumed > parse->length || consumed < length + 1)
			return NULL;
		place = parse->text + consumed - 1 - length;
		memcpy(place, string, length);
	}
	place[length] = '\0';
	return place;
}

static int on_string(void *context, const unsigned char *string, size_t length)
{
	struct parse *parse = context;
	const char *settled = settle(parse, string, length);
	struct forebay_value *value;

	if (!settled)
		return refuse(parse, "malformed JSON");
	value = add(parse, FOREBAY_TYPE_STRING);
	if (!value)
		return 0;
	value->string = settled;
	value->length = length;
	return 1;
}

static int on_key(void *context, const unsigned char *key, size_t length)
{
	struct parse *parse = context;

	parse->key = settle(parse, key, length);
	parse->key_length = (uint32_t)length;
	return parse->key ? 1 : refuse(parse, "malformed JSON");
}

static int open_container(struct parse *parse, enum forebay_type type)
{
	struct forebay_value *container;

	if (parse->depth == FOREBAY_DEPTH_MAX)
		return refuse(parse, "nested too deep");
	container = add(parse, type);
	if (!container)
		return 0;
	parse->open[parse->depth].container = container;
	parse->open[parse->depth].last = NULL;
	parse->depth++;
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
	struct parse *parse = context;

	parse->depth--;
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

static bool run_yajl(struct parse *parse)
{
	yajl_alloc_funcs alloc = {.malloc = scratch_malloc,
	        .realloc = scratch_realloc,
	        .free = scratch_free,
	        .ctx = parse->reader};
	yajl_status status;

	parse->yajl = yajl_alloc(&callbacks, &alloc, parse);
	if (!parse->yajl)
		return false;
	yajl_config(parse->yajl, yajl_dont_validate_strings, 1); // it was done, and better
	status = yajl_parse(parse->yajl, (const unsigned char *)parse->text, parse->length);
	if (status == yajl_status_ok)
		status = yajl_complete_parse(parse->yajl);
	yajl_free(parse->yajl);
	return status == yajl_status_ok && parse->root && parse->depth == 0;
}

const struct forebay_value *channel_json_read(
        struct channel_json_reader *reader, char *text, size_t length, const char **error)
{
	struct parse parse = {.reader = reader, .text = text, .length = length};

	reset_chunks(reader);
	if (length > FOREBAY_MESSAGE_MAX)
		parse.error = "larger than a message may be";
	else if (!channel_utf8_valid(text, length))
		parse.error = "invalid UTF-8";
	else if (!surrogates_paired(text, length))
		parse.error = "escaped surrogate without its other half";
	else if (!reserve_scratch(reader, length))
		parse.error = "out of memory";
	else if (run_yajl(&parse))
		return parse.root;
	if (error)
		*error = parse.error ? parse.error : "malformed JSON";
	return NULL;
}

const struct forebay_value *forebay_get(const struct forebay_value *object, const char *key)
{
	const struct forebay_value *found = NULL;
	size_t length = strlen(key);

	if (!object || object->type != FOREBAY_TYPE_OBJECT)
		return NULL;
	for (const struct forebay_value *at = object->child; at; at = at->next) {
		if (at->key_length == length && memcmp(at->key, key, length) == 0)
			found = at;
	}
	return found;
}
