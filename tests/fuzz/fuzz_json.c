// SPDX-License-Identifier: MIT
// fuzz_json.c - the JSON reader on any octets; what it takes is written again, read again, and must
// come out the same.
#include "channel/json.h"

#include <stdlib.h>
#include <string.h>

#include "channel/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void check_string(const char *string, size_t length)
{
	require(channel_utf8_valid(string, length));
	require(string[length] == '\0');
}

// Touches every octet of the tree, and finds each container as long as it says.
static void check(const struct forebay_value *value, unsigned depth)
{
	bool container = value->type == FOREBAY_TYPE_LIST || value->type == FOREBAY_TYPE_OBJECT;
	size_t members = 0;

	require(depth <= FOREBAY_DEPTH_MAX + (container ? 0U : 1U));
	if (value->key)
		check_string(value->key, value->key_length);
	if (value->type == FOREBAY_TYPE_STRING || value->type == FOREBAY_TYPE_NUMBER)
		check_string(value->string, value->length);
	for (const struct forebay_value *at = value->child; at; at = at->next) {
		require((at->key != NULL) == (value->type == FOREBAY_TYPE_OBJECT));
		check(at, depth + 1);
		members++;
	}
	if (container)
		require(members == value->length);
}

// The members of ROOT as the writer writes them; NULL if that is more than a message may have.
static const char *write_again(
        struct channel_json_writer *writer, const struct forebay_value *root, size_t *length)
{
	const char *json;

	channel_json_writer_reset(writer);
	for (const struct forebay_value *at = root->child; at; at = at->next) {
		channel_json_writer_put_key(writer, at->key, at->key_length);
		channel_json_writer_put_value(writer, at);
	}
	if (channel_json_writer_finish(writer, &json, length) != 0) {
		require(writer->error == FOREBAY_TOO_LARGE);
		return NULL;
	}
	return json;
}

static char *copy_of(const void *data, size_t size)
{
	char *copy = malloc(size ? size : 1);

	require(copy);
	if (size > 0)
		memcpy(copy, data, size);
	return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct channel_json_reader reader;
	static struct channel_json_writer writer;
	char *text = copy_of(data, size), *first = NULL, *again = NULL;
	const struct forebay_value *root;
	const char *json, *error = NULL;
	size_t length, first_length;

	if (!writer.gen)
		require(channel_json_writer_init(&writer) == 0);
	root = channel_json_read(&reader, text, size, &error);
	require(root || error);
	require(reader.peak <= CHANNEL_JSON_READER_MAX);
	if (!root)
		goto out;
	check(root, 1);
	json = write_again(&writer, root, &first_length);
	if (!json)
		goto out;
	first = copy_of(json, first_length);
	again = copy_of(json, first_length);
	// The second time in pieces.
	channel_json_begin(&reader, again, first_length);
	(void)channel_json_find(&reader, "\x01");
	root = channel_json_finish(&reader, NULL);
	require(root);
	json = write_again(&writer, root, &length);
	require(json && length == first_length && memcmp(json, first, length) == 0);
out:
	free(text);
	free(first);
	free(again);
	return 0;
}
