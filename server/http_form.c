// SPDX-License-Identifier: MIT
// http_form.c - forms and queries; see http_form.h.
#include "server/http_form.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "channel/utf8.h"
#include "server/http_octet.h"
#include "server/http_param.h"

#define TEXT_LIMIT    (64u << 20) // what max_text can be at most: with all room to decode, 32 bits
#define TEXT_KEPT     65536       // octets of text memory that clear() keeps
#define BUCKETS_LEAST 64

struct http_form_key {
	uint32_t text, length; // in form->text
	uint32_t hash;
	uint32_t chain;       // index + 1 of the next key in the bucket
	uint32_t first, last; // index + 1 of the first and last value; 0: none
};

struct http_form_value {
	uint32_t text, length;
	uint32_t next; // index + 1 of the next value of the same key
};

// ---------------------------------------------------------------------------------------------
// Memory
// ---------------------------------------------------------------------------------------------

void http_form_init(struct http_form *form, uint32_t max_fields, uint32_t max_text)
{
	*form = (struct http_form){
	        .max_fields = max_fields ? max_fields : HTTP_FORM_MAX_FIELDS,
	        .max_text = max_text ? max_text : HTTP_FORM_MAX_TEXT,
	};
	if (form->max_text > TEXT_LIMIT)
		form->max_text = TEXT_LIMIT;
	// Without entropy (which Linux has) an attacker could at worst make this slow.
	if (getrandom(form->seed, sizeof(form->seed), GRND_NONBLOCK) != sizeof(form->seed))
		form->seed[0] ^= (uintptr_t)form;
}

void http_form_fini(struct http_form *form)
{
	free(form->text);
	free(form->keys);
	free(form->values);
	free(form->buckets);
	*form = (struct http_form){0};
}

void http_form_clear(struct http_form *form)
{
	for (uint32_t i = 0; i < form->key_count; i++)
		form->buckets[form->keys[i].hash & (form->bucket_size - 1)] = 0;
	form->key_count = form->value_count = form->text_length = 0;
	if (form->text_size > TEXT_KEPT) {
		free(form->text);
		form->text = NULL;
		form->text_size = 0;
	}
}

size_t http_form_memory(const struct http_form *form)
{
	return form->text_size + form->key_size * sizeof(*form->keys) +
	       form->value_size * sizeof(*form->values) +
	       form->bucket_size * sizeof(*form->buckets);
}

// Makes room for EXTRA octets more of text.
static int reserve(struct http_form *form, size_t extra)
{
	// What is decoded has at least a third of the length it came from.
	if (extra / 9 > form->max_text)
		return HTTP_FORM_TOO_LARGE;

	size_t needed = form->text_length + extra;

	if (needed <= form->text_size && form->text)
		return 0;
	if (needed < 2 * (size_t)form->text_size)
		needed = 2 * (size_t)form->text_size;
	if (needed < 1024)
		needed = 1024;
	char *text = realloc(form->text, needed);
	if (!text)
		return -ENOMEM;
	form->text = text;
	form->text_size = (uint32_t)needed;
	return 0;
}

// Makes *ARRAY, of *SIZE elements of WIDTH octets, hold one more than COUNT.
static int grow(void **array, uint32_t *size, uint32_t count, size_t width)
{
	if (count < *size)
		return 0;

	uint32_t wanted = *size ? 2 * *size : 32;
	void *memory = realloc(*array, wanted * width);

	if (!memory)
		return -ENOMEM;
	*array = memory;
	*size = wanted;
	return 0;
}

// ---------------------------------------------------------------------------------------------
// Keys
// ---------------------------------------------------------------------------------------------

// Multiplies to 128 bits and folds: with a secret factor, who doesn't know it can't choose keys
// that collide.
static uint64_t mix(uint64_t a, uint64_t b)
{
	__uint128_t product = (__uint128_t)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint32_t hash_key(const struct http_form *form, const char *key, size_t length)
{
	const uint64_t odd = 0x9E3779B97F4A7C15u;
	uint64_t hash = form->seed[0] ^ length, word;

	for (; length >= sizeof(word); key += sizeof(word), length -= sizeof(word)) {
		memcpy(&word, key, sizeof(word));
		hash = mix(hash ^ word ^ odd, form->seed[1] | 1);
	}
	word = 0;
	memcpy(&word, key, length);
	return (uint32_t)mix(mix(hash ^ word ^ odd, form->seed[1] | 1), odd);
}

static int rehash(struct http_form *form)
{
	uint32_t size = form->bucket_size ? 2 * form->bucket_size : BUCKETS_LEAST;
	uint32_t *buckets = calloc(size, sizeof(*buckets));

	if (!buckets)
		return -ENOMEM;
	free(form->buckets);
	form->buckets = buckets;
	form->bucket_size = size;
	for (uint32_t i = 0; i < form->key_count; i++) {
		uint32_t *bucket = &buckets[form->keys[i].hash & (size - 1)];

		form->keys[i].chain = *bucket;
		*bucket = i + 1;
	}
	return 0;
}

// The index + 1 of a key, or 0.
static uint32_t find_key(
        const struct http_form *form, const char *key, size_t length, uint32_t hash)
{
	if (form->key_count == 0)
		return 0;

	uint32_t found = form->buckets[hash & (form->bucket_size - 1)];

	while (found) {
		const struct http_form_key *candidate = &form->keys[found - 1];

		if (candidate->hash == hash && candidate->length == length &&
		        memcmp(form->text + candidate->text, key, length) == 0)
			break;
		found = candidate->chain;
	}
	return found;
}

// The last LENGTH octets of the text are a key: keeps them if it is new, takes them away if it is
// known. *INDEX gets its place.
static int intern_key(struct http_form *form, uint32_t length, uint32_t *index)
{
	uint32_t start = form->text_length - length;
	uint32_t hash = hash_key(form, form->text + start, length);
	uint32_t found = find_key(form, form->text + start, length, hash);

	if (found) {
		form->text_length = start;
		*index = found - 1;
		return 0;
	}

	int result = grow((void **)&form->keys, &form->key_size, form->key_count,
	        sizeof(struct http_form_key));

	if (result == 0 && form->key_count >= form->bucket_size / 2)
		result = rehash(form);
	if (result)
		return result;

	uint32_t *bucket = &form->buckets[hash & (form->bucket_size - 1)];

	form->keys[form->key_count] = (struct http_form_key){
	        .text = start, .length = length, .hash = hash, .chain = *bucket};
	*index = form->key_count++;
	*bucket = form->key_count;
	return 0;
}

// The last LENGTH octets of the text are the next value of the key.
static int append_value(struct http_form *form, uint32_t index, uint32_t length)
{
	struct http_form_key *key = &form->keys[index];
	int result = grow((void **)&form->values, &form->value_size, form->value_count,
	        sizeof(struct http_form_value));

	if (result)
		return result;
	form->values[form->value_count++] =
	        (struct http_form_value){.text = form->text_length - length, .length = length};
	if (key->last)
		form->values[key->last - 1].next = form->value_count;
	else
		key->first = form->value_count;
	key->last = form->value_count;
	return 0;
}

// ---------------------------------------------------------------------------------------------
// Decoding
// ---------------------------------------------------------------------------------------------

size_t http_form_decode(char *out, const char *data, size_t length, enum http_form_charset charset)
{
	char *start = out;

	if (charset == HTTP_FORM_UTF_8)
		return channel_utf8_replace(out, data, length);
	for (size_t i = 0; i < length; i++) {
		uint8_t octet = (uint8_t)data[i];

		out += channel_utf8_encode(
		        out, charset == HTTP_FORM_ASCII && octet >= 0x80 ? 0xFFFD : octet);
	}
	return (size_t)(out - start);
}

// The length of the run of octets at the start of TEXT that are all ASCII, or all not.
static size_t run_length(const char *text, size_t length)
{
	size_t run = 1;

	while (run < length && (text[run] & 0x80) == (text[0] & 0x80))
		run++;
	return run;
}

// Appends a key or value of urlencoded text, decoded. Python decodes the octets of each run of
// ASCII by themselves, and leaves raw characters beyond ASCII (decoded before, from RAW) alone:
// an escape and a raw octet never join into one character.
static int append_decoded(struct http_form *form, const char *text, size_t length,
        enum http_form_charset charset, enum http_form_charset raw)
{
	int result = reserve(form, 3 * length);

	if (result)
		return result;

	char *out = form->text + form->text_length;

	while (length > 0) {
		size_t run = run_length(text, length);

		if (*text & 0x80) {
			out += http_form_decode(out, text, run, raw);
		} else {
			size_t size = http_octet_unescape(out, text, run, '+');
			char *tail = out + 2 * size;

			if (charset == HTTP_FORM_UTF_8 && channel_utf8_valid(out, size)) {
				out += size;
			} else {
				memmove(tail, out, size);
				out += http_form_decode(out, tail, size, charset);
			}
		}
		text += run;
		length -= run;
	}
	if ((size_t)(out - form->text) > form->max_text)
		return HTTP_FORM_TOO_LARGE;
	form->text_length = (uint32_t)(out - form->text);
	return 0;
}

static int append_plain(struct http_form *form, const char *text, size_t length)
{
	if (length > form->max_text - form->text_length)
		return HTTP_FORM_TOO_LARGE;

	int result = reserve(form, length);

	if (result == 0 && length > 0)
		memcpy(form->text + form->text_length, text, length);
	if (result == 0)
		form->text_length += (uint32_t)length;
	return result;
}

// ---------------------------------------------------------------------------------------------
// Filling
// ---------------------------------------------------------------------------------------------

static int parse_field(struct http_form *form, const char *text, size_t length,
        enum http_form_charset charset, enum http_form_charset raw)
{
	const char *equals = memchr(text, '=', length);
	size_t key_length = equals ? (size_t)(equals - text) : length;
	uint32_t start = form->text_length, key = 0;
	int result = append_decoded(form, text, key_length, charset, raw);

	if (result == 0)
		result = intern_key(form, form->text_length - start, &key);
	start = form->text_length;
	if (result == 0 && equals)
		result = append_decoded(form, equals + 1, length - key_length - 1, charset, raw);
	return result ? result : append_value(form, key, form->text_length - start);
}

// Whether TEXT has more fields, empty ones included, than the form may still take.
static bool has_too_many(const struct http_form *form, const char *text, size_t length)
{
	size_t fields = form->value_count;

	for (const char *at = text, *end = text + length; at; fields++) {
		at = memchr(at, '&', (size_t)(end - at));
		at = at ? at + 1 : NULL;
		if (fields >= form->max_fields)
			return true;
	}
	return false;
}

int http_form_parse(
        struct http_form *form, const char *text, size_t length, enum http_form_charset charset)
{
	enum http_form_charset raw = charset;
	int result = 0;

	if (length == 0)
		return 0;
	if (has_too_many(form, text, length))
		return HTTP_FORM_TOO_MANY;
	if (charset == HTTP_FORM_ASCII || !channel_utf8_valid(text, length))
		raw = HTTP_FORM_LATIN_1;
	while (result == 0 && length > 0) {
		const char *and = memchr(text, '&', length);
		size_t field = and? (size_t)(and-text) : length;

		if (field > 0)
			result = parse_field(form, text, field, charset, raw);
		text += field + (and != NULL);
		length -= field + (and != NULL);
	}
	return result;
}

int http_form_add(struct http_form *form, const char *key, size_t key_length, const char *value,
        size_t value_length)
{
	int result = http_form_open(form, key, key_length);

	if (result == 0)
		result = http_form_append(form, value, value_length);
	return result ? result : http_form_close(form, HTTP_FORM_UTF_8);
}

int http_form_set(struct http_form *form, const char *key, size_t key_length, const char *value,
        size_t value_length)
{
	uint32_t hash = hash_key(form, key, key_length);
	uint32_t found = find_key(form, key, key_length, hash);

	if (!found || !form->keys[found - 1].first)
		return http_form_add(form, key, key_length, value, value_length);

	int result = append_plain(form, value, value_length);

	if (result)
		return result;
	form->values[form->keys[found - 1].first - 1] = (struct http_form_value){
	        .text = form->text_length - (uint32_t)value_length,
	        .length = (uint32_t)value_length,
	};
	form->keys[found - 1].last = form->keys[found - 1].first;
	return 0;
}

int http_form_open(struct http_form *form, const char *key, size_t key_length)
{
	if (form->value_count >= form->max_fields)
		return HTTP_FORM_TOO_MANY;

	int result = append_plain(form, key, key_length);

	if (result == 0)
		result = intern_key(form, (uint32_t)key_length, &form->open_key);
	form->open_start = form->text_length;
	return result;
}

int http_form_append(struct http_form *form, const char *data, size_t length)
{
	return append_plain(form, data, length);
}

int http_form_close(struct http_form *form, enum http_form_charset charset)
{
	uint32_t length = form->text_length - form->open_start;

	if (charset != HTTP_FORM_UTF_8 ||
	        !channel_utf8_valid(form->text + form->open_start, length)) {
		int result = reserve(form, 2 * (size_t)length);

		if (result)
			return result;

		char *start = form->text + form->open_start;

		memmove(start + 2 * length, start, length);
		length = (uint32_t)http_form_decode(start, start + 2 * length, length, charset);
		form->text_length = form->open_start;
		if (length > form->max_text - form->text_length)
			return HTTP_FORM_TOO_LARGE;
		form->text_length += length;
	}
	return append_value(form, form->open_key, length);
}

// ---------------------------------------------------------------------------------------------
// Reading
// ---------------------------------------------------------------------------------------------

static struct http_form_text text_at(const struct http_form *form, uint32_t text, uint32_t length)
{
	return (struct http_form_text){form->text + text, length};
}

bool http_form_next_key(
        const struct http_form *form, struct http_form_cursor *cursor, struct http_form_text *key)
{
	if (cursor->key >= form->key_count)
		return false;

	const struct http_form_key *next = &form->keys[cursor->key++];

	cursor->value = next->first;
	*key = text_at(form, next->text, next->length);
	return true;
}

bool http_form_next_value(
        const struct http_form *form, struct http_form_cursor *cursor, struct http_form_text *value)
{
	if (cursor->value == 0)
		return false;

	const struct http_form_value *next = &form->values[cursor->value - 1];

	cursor->value = next->next;
	*value = text_at(form, next->text, next->length);
	return true;
}

// ---------------------------------------------------------------------------------------------
// Content-Type
// ---------------------------------------------------------------------------------------------

#define CHARSET_MAX 32

// As Python's codecs.lookup(), hyphens, underscores, spaces and letter case don't matter.
enum http_form_charset http_form_charset(const char *name, size_t length)
{
	static const struct {
		const char *name;
		enum http_form_charset charset;
	} known[] = {
	        {"iso88591", HTTP_FORM_LATIN_1},
	        {"latin1", HTTP_FORM_LATIN_1},
	        {"latin", HTTP_FORM_LATIN_1},
	        {"l1", HTTP_FORM_LATIN_1},
	        {"8859", HTTP_FORM_LATIN_1},
	        {"cp819", HTTP_FORM_LATIN_1},
	        {"usascii", HTTP_FORM_ASCII},
	        {"ascii", HTTP_FORM_ASCII},
	        {"646", HTTP_FORM_ASCII},
	};
	char plain[CHARSET_MAX];
	size_t size = 0;

	for (size_t i = 0; i < length && size < sizeof(plain); i++)
		if (name[i] != '-' && name[i] != '_' && name[i] != ' ')
			plain[size++] = name[i];
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (http_param_is((struct http_form_text){plain, size}, known[i].name))
			return known[i].charset;
	return HTTP_FORM_UTF_8;
}

enum http_form_kind http_form_content_type(
        const char *value, size_t length, enum http_form_charset *charset)
{
	struct http_form_text main, name, text;
	struct http_param param;

	*charset = HTTP_FORM_UTF_8;
	http_param_init(&param, value, length, &main);
	while (http_param_next(&param, &name, &text)) {
		char plain[2 * CHARSET_MAX];

		if (http_param_is(name, "charset") && text.length <= sizeof(plain))
			*charset = http_form_charset(plain, http_param_unquote(plain, text));
	}
	if (http_param_is(main, "application/x-www-form-urlencoded"))
		return HTTP_FORM_URLENCODED;
	return http_param_is(main, "multipart/form-data") ? HTTP_FORM_MULTIPART : HTTP_FORM_NONE;
}
