// SPDX-License-Identifier: MIT
// http_form.h - keys with lists of values, as Django 3.2's QueryDict makes them from a query or form.
//
// A form is filled from application/x-www-form-urlencoded text (http_form_parse()), or field by
// field (multipart, cookies), and then read key by key in the order of first appearance, each with
// its values in order. All texts in it are valid UTF-8. It lives as long as its owner, a worker:
// memory is kept from one use to the next, so that no request in the steady state allocates. Keys are
// found by a hash with a random seed: thousands of distinct keys cost no more each than a few.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What the filling functions return besides 0 and -ENOMEM.
enum http_form_outcome {
	HTTP_FORM_TOO_MANY = 1,  // more fields than the limit: 413
	HTTP_FORM_TOO_LARGE = 2, // more text than the limit: 413
};

// The encodings that are told apart; any other is taken for UTF-8.
enum http_form_charset {
	HTTP_FORM_UTF_8,
	HTTP_FORM_LATIN_1,
	HTTP_FORM_ASCII,
};

enum http_form_kind {
	HTTP_FORM_NONE, // any other media type, or none
	HTTP_FORM_URLENCODED,
	HTTP_FORM_MULTIPART,
};

// Reads a Content-Type: which kind of form it announces (letter case does not matter) and the
// encoding of its parameter charset. Django decodes the query with this encoding as well.
enum http_form_kind http_form_content_type(
        const char *value, size_t length, enum http_form_charset *charset);

// The encoding called NAME ("utf-8", "latin1", "US-ASCII", ...); UTF-8 if it is not known.
enum http_form_charset http_form_charset(const char *name, size_t length);

// Converts LENGTH octets of DATA from CHARSET to UTF-8 at OUT, with U+FFFD for what is broken. OUT has
// room for 3 * LENGTH octets; DATA may be the last LENGTH of these. Returns the octets written.
size_t http_form_decode(char *out, const char *data, size_t length, enum http_form_charset charset);

struct http_form {
	uint32_t max_fields; // values in all
	uint32_t max_text;   // octets of keys and values in all, after decoding

	// Private to http_form.c; indices, because the arrays move when they grow.
	uint64_t seed[2];
	char *text;
	uint32_t text_length, text_size;
	struct http_form_key *keys;
	uint32_t key_count, key_size;
	struct http_form_value *values;
	uint32_t value_count, value_size;
	uint32_t *buckets; // index + 1 of the first key of each chain; a power of two of them
	uint32_t bucket_size;
	uint32_t open_key, open_start; // of the value between open() and close()
};

#define HTTP_FORM_MAX_FIELDS 1000            // Django's DATA_UPLOAD_MAX_NUMBER_FIELDS
#define HTTP_FORM_MAX_TEXT   (4u * 1048576u) // a form that fits into a message is smaller

// Allocates nothing yet. Limits of 0 mean the defaults above.
void http_form_init(struct http_form *form, uint32_t max_fields, uint32_t max_text);

// Frees all memory; accepts a zeroed form and a second call.
void http_form_fini(struct http_form *form);

// Empties the form for its next use and keeps its memory, up to about 64 KiB of text.
void http_form_clear(struct http_form *form);

// Octets of the memory that it keeps.
size_t http_form_memory(const struct http_form *form);

// Adds the fields of urlencoded text (a query without '?', or a body), as QueryDict does: fields are
// separated by '&' only, blank values are kept, '+' is a space, a bad escape stays as it is, what
// is not in CHARSET becomes U+FFFD; raw octets that are not in CHARSET make all raw octets be taken for
// latin-1. Returns 0, -ENOMEM, HTTP_FORM_TOO_MANY (Django counts empty fields too) or
// HTTP_FORM_TOO_LARGE; after a failure the form holds some of the fields: clear it.
int http_form_parse(
        struct http_form *form, const char *text, size_t length, enum http_form_charset charset);

// Appends one value to the list of KEY. Both must be valid UTF-8 and not lie in the form.
int http_form_add(struct http_form *form, const char *key, size_t key_length, const char *value,
        size_t value_length);

// Like add, but KEY keeps one value only, the last that was set.
int http_form_set(struct http_form *form, const char *key, size_t key_length, const char *value,
        size_t value_length);

// A value of KEY (valid UTF-8) that arrives in pieces: open, append raw octets as often as needed,
// close: then it is decoded from CHARSET (U+FFFD for what is broken) and counts. No other filling
// function may be called in between.
int http_form_open(struct http_form *form, const char *key, size_t key_length);
int http_form_append(struct http_form *form, const char *data, size_t length);
int http_form_close(struct http_form *form, enum http_form_charset charset);

// A text in a form; valid until the form is next filled, cleared or freed. Not NUL-terminated.
struct http_form_text {
	const char *data;
	size_t length;
};

// A walk over a form; starts zeroed:
//
//	struct http_form_cursor cursor = {0};
//	struct http_form_text key, value;
//	while (http_form_next_key(form, &cursor, &key))
//		while (http_form_next_value(form, &cursor, &value))
//			...
struct http_form_cursor {
	uint32_t key;   // keys walked so far
	uint32_t value; // index + 1 of the next value of the key in hand; 0: no more
};

bool http_form_next_key(
        const struct http_form *form, struct http_form_cursor *cursor, struct http_form_text *key);
bool http_form_next_value(const struct http_form *form, struct http_form_cursor *cursor,
        struct http_form_text *value);
