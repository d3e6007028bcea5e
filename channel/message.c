// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "channel/base64.h"
#include "channel/buffer.h"
#include "channel/layer.h"
#include "channel/spans.h"
#include "channel/utf8.h"

#define FREE_MESSAGES_MAX 256 // kept for reuse

_Static_assert(FOREBAY_CONTENT_IOV >= SHM_PARTS_MAX + 1, "content may lie in every extent");

// ---------------------------------------------------------------------------------------------
// Life
// ---------------------------------------------------------------------------------------------

struct forebay_message *channel_message_take(struct forebay *layer)
{
	struct forebay_message *message = layer->free_messages;

	if (message) {
		layer->free_messages = message->next;
		layer->free_message_count--;
	} else {
		message = calloc(1, sizeof *message);
		if (!message)
			return NULL;
		message->layer = layer;
	}
	message->next = NULL;
	message->copied = false;
	return message;
}

struct forebay_message *forebay_message_new(struct forebay *layer)
{
	struct forebay_message *message = channel_message_take(layer);

	if (!message)
		return NULL;
	message->received = false;
	if (!message->writer_ready && channel_json_writer_init(&message->writer) < 0) {
		forebay_message_free(message);
		return NULL;
	}
	message->writer_ready = true;
	forebay_message_reset(message);
	return message;
}

static void destroy(struct forebay_message *message)
{
	if (message->writer_ready)
		channel_json_writer_fini(&message->writer);
	if (message->reader_ready)
		channel_json_reader_fini(&message->reader);
	free(message->flat);
	free(message->text);
	free(message->copy);
	free(message);
}

void forebay_message_free(struct forebay_message *message)
{
	struct forebay *layer;

	if (!message)
		return;
	layer = message->layer;
	if (message->received && !message->synthetic && !message->copied && !layer->stale) {
		if (!message->unloaded)
			shm_pool_free(&layer->pool, message->buffer.handle);
		if (message->reply)
			channel_reply_freed(
			        layer, message->reply, message->generation, message->extents);
		if (message->prefix)
			channel_prefix_unuse(layer, message->prefix);
	}
	message->received = false;
	message->reply = NULL;
	message->prefix = NULL;
	message->content = NULL;
	channel_buffer_trim(&message->flat, &message->flat_size);
	channel_buffer_trim(&message->text, &message->text_size);
	channel_buffer_trim(&message->copy, &message->copy_size);
	if (layer->free_message_count >= FREE_MESSAGES_MAX) {
		destroy(message);
		return;
	}
	message->next = layer->free_messages;
	layer->free_messages = message;
	layer->free_message_count++;
}

void forebay_message_unload(struct forebay_message *message)
{
	if (!message->received || message->synthetic || message->copied || message->unloaded ||
	        message->layer->stale)
		return;
	shm_pool_free(&message->layer->pool, message->buffer.handle);
	message->unloaded = true;
	message->content = NULL;
	message->content_length = 0;
	message->envelope_length = 0;
	message->buffer.length = message->buffer.count = 0;
}

bool forebay_memory_is_short(const struct forebay *layer)
{
	return !layer->stale && shm_pool_is_short(&layer->pool);
}

void channel_message_pool_fini(struct forebay *layer)
{
	while (layer->free_messages) {
		struct forebay_message *message = layer->free_messages;

		layer->free_messages = message->next;
		destroy(message);
	}
}

// ---------------------------------------------------------------------------------------------
// Building
// ---------------------------------------------------------------------------------------------

void forebay_message_reset(struct forebay_message *message)
{
	channel_json_writer_reset(&message->writer);
	message->content = NULL;
	message->content_length = 0;
	message->kind = FOREBAY_NO_CONTENT;
}

static int put_key(struct forebay_message *message, const char *key)
{
	return key ? channel_json_writer_put_key(&message->writer, key, strlen(key)) : 0;
}

int forebay_put_key(struct forebay_message *message, const char *key, size_t length)
{
	return channel_json_writer_put_key(&message->writer, key, length);
}

int forebay_put_string(
        struct forebay_message *message, const char *key, const char *string, size_t length)
{
	put_key(message, key);
	return channel_json_writer_put_string(&message->writer, string, length);
}

int forebay_put_text(struct forebay_message *message, const char *key, const char *text)
{
	return forebay_put_string(message, key, text, strlen(text));
}

int forebay_put_latin1(
        struct forebay_message *message, const char *key, const char *string, size_t length)
{
	put_key(message, key);
	return channel_json_writer_put_latin1(&message->writer, string, length);
}

int forebay_put_integer(struct forebay_message *message, const char *key, int64_t integer)
{
	put_key(message, key);
	return channel_json_writer_put_integer(&message->writer, integer);
}

int forebay_put_boolean(struct forebay_message *message, const char *key, bool boolean)
{
	put_key(message, key);
	return channel_json_writer_put_boolean(&message->writer, boolean);
}

int forebay_put_null(struct forebay_message *message, const char *key)
{
	put_key(message, key);
	return channel_json_writer_put_null(&message->writer);
}

int forebay_begin_object(struct forebay_message *message, const char *key)
{
	put_key(message, key);
	return channel_json_writer_begin_object(&message->writer);
}

int forebay_begin_list(struct forebay_message *message, const char *key)
{
	put_key(message, key);
	return channel_json_writer_begin_list(&message->writer);
}

int forebay_end(struct forebay_message *message)
{
	return channel_json_writer_end(&message->writer);
}

void forebay_set_content(
        struct forebay_message *message, const void *data, size_t length, unsigned kind)
{
	message->content = data;
	message->content_length = length;
	message->kind = kind;
}

// A received message's writer holds whatever it wrote last.
int channel_message_finish(struct forebay_message *message, const char **json, size_t *length)
{
	return message->received ? FOREBAY_BAD_MESSAGE
	                         : channel_json_writer_finish(&message->writer, json, length);
}

static void ready_reader(struct forebay_message *message)
{
	if (!message->reader_ready)
		channel_json_reader_init(&message->reader);
	message->reader_ready = true;
}

// The content segment from its string in JSON: as it is, or decoded in place.
static bool take_content(struct forebay_message *message, const struct forebay_value *value,
        bool binary, unsigned body)
{
	char *data = (char *)value->string;
	size_t length = value->length;

	if (binary && !channel_base64_decode(data, &length, data, value->length))
		return false;
	forebay_set_content(message, data, length, (binary ? FOREBAY_BINARY : FOREBAY_TEXT) | body);
	return true;
}

int channel_message_parse(struct forebay_message *message, const char *json, size_t length,
        const struct forebay_value **root, const char **error)
{
	*error = NULL;
	forebay_message_reset(message);
	if (length > FOREBAY_MESSAGE_MAX)
		return FOREBAY_TOO_LARGE;
	if (channel_buffer_reserve(&message->text, &message->text_size, length + 1, SIZE_MAX) < 0)
		return -ENOMEM;
	memcpy(message->text, json, length);
	message->text[length] = '\0';
	ready_reader(message);
	*root = channel_json_read(&message->reader, message->text, length, error);
	return *root ? 0 : FOREBAY_BAD_MESSAGE;
}

// The string that becomes the content segment, or NULL.
static const struct forebay_value *find_content(const struct forebay_value *root)
{
	const struct forebay_value *content = forebay_get(root, "content");

	if (!content || content->type != FOREBAY_TYPE_STRING)
		content = forebay_get(root, "body");
	return content && content->type == FOREBAY_TYPE_STRING ? content : NULL;
}

int channel_message_set(
        struct forebay_message *message, const struct forebay_value *root, const char **error)
{
	const struct forebay_value *content = find_content(root);
	// Without content, it is a key like any other.
	const struct forebay_value *binary = content ? forebay_get(root, "binary") : NULL;

	if (binary && binary->type != FOREBAY_TYPE_BOOLEAN && binary->type != FOREBAY_TYPE_NULL) {
		*error = "binary is not a boolean";
		return FOREBAY_BAD_MESSAGE;
	}
	for (const struct forebay_value *member = root->child; member; member = member->next) {
		if (member == content || member == binary)
			continue;
		channel_json_writer_put_key(&message->writer, member->key, member->key_length);
		channel_json_writer_put_value(&message->writer, member);
	}
	if (content && !take_content(message, content, binary && binary->integer,
	                       strcmp(content->key, "body") == 0 ? FOREBAY_BODY : 0)) {
		*error = "the content is marked as binary but is not base64";
		return FOREBAY_BAD_MESSAGE;
	}
	return 0;
}

int forebay_message_from_json(
        struct forebay_message *message, const char *json, size_t length, const char **error)
{
	const struct forebay_value *root;
	const char *ignored;
	int result;

	error = error ? error : &ignored;
	result = channel_message_parse(message, json, length, &root, error);
	return result == 0 ? channel_message_set(message, root, error) : result;
}

// ---------------------------------------------------------------------------------------------
// Reading
// ---------------------------------------------------------------------------------------------

bool channel_message_is_sound(const struct channel_message_mem *head, uint32_t length)
{
	unsigned content = head->kind & ~(unsigned)FOREBAY_BODY;

	if (head->to_group & CHANNEL_IN_HISTORY) {
		if (length < sizeof(struct channel_history_mem))
			return false;
		length -= (uint32_t)sizeof(struct channel_history_mem);
	}
	return length >= sizeof *head && head->envelope <= length - sizeof *head &&
	       head->content == length - sizeof *head - head->envelope &&
	       (content == FOREBAY_TEXT || content == FOREBAY_BINARY ||
	               (head->kind == FOREBAY_NO_CONTENT && head->content == 0));
}

void channel_message_open(struct forebay_message *message, const struct channel_message_mem *head,
        const struct shm_buffer *buffer, int64_t sent_at)
{
	message->received = true;
	message->synthetic = message->copied = message->parsed = message->unloaded = false;
	message->extents = buffer->count;
	// Most have one span of seventeen.
	memcpy(&message->buffer, buffer,
	        offsetof(struct shm_buffer, span) + buffer->count * sizeof buffer->span[0]);
	message->envelope_length = head->envelope;
	message->content = NULL;
	message->content_length = head->content;
	message->kind = head->kind;
	message->reply = NULL;
	message->prefix = NULL;
	message->generation = head->generation;
	message->to_group = false;
	message->sent_at = sent_at;
	message->gap = 0;
	message->history = (struct channel_history_mem){0};
	if (head->to_group & CHANNEL_IN_HISTORY)
		channel_message_copy(buffer, buffer->length - (uint32_t)sizeof message->history,
		        &message->history, sizeof message->history);
	message->channel[0] = '\0';
}

bool forebay_message_history(
        const struct forebay_message *message, uint64_t *epoch, uint64_t *offset)
{
	if (!message->received || message->history.epoch == 0)
		return false;
	if (epoch)
		*epoch = message->history.epoch;
	if (offset)
		*offset = message->history.offset;
	return true;
}

// A private copy of the envelope: what is parsed can't change under the parser.
static bool copy_envelope(struct forebay_message *message)
{
	if (message->synthetic)
		return true;
	if (channel_buffer_reserve(&message->text, &message->text_size,
	            message->envelope_length + 1, SIZE_MAX) < 0)
		return false;
	channel_message_copy(&message->buffer, sizeof(struct channel_message_mem), message->text,
	        message->envelope_length);
	message->text[message->envelope_length] = '\0';
	return true;
}

// Begins to parse the envelope, at the first call. False if there is none, or no memory.
static bool begin_reading(struct forebay_message *message)
{
	if (!message->received)
		return false;
	if (message->parsed)
		return true;
	ready_reader(message);
	if (!copy_envelope(message))
		return false;
	channel_json_begin(&message->reader, message->text, message->envelope_length);
	message->parsed = true;
	return true;
}

const struct forebay_value *forebay_message_root(struct forebay_message *message)
{
	return begin_reading(message) ? channel_json_finish(&message->reader, NULL) : NULL;
}

static const struct forebay_value *find_member(struct forebay_message *message, const char *key)
{
	return begin_reading(message) ? channel_json_find(&message->reader, key) : NULL;
}

const char *forebay_get_string(struct forebay_message *message, const char *key, size_t *length)
{
	const struct forebay_value *value = find_member(message, key);

	if (!value || value->type != FOREBAY_TYPE_STRING)
		return NULL;
	if (length)
		*length = value->length;
	return value->string;
}

int64_t forebay_get_integer(struct forebay_message *message, const char *key, int64_t otherwise)
{
	const struct forebay_value *value = find_member(message, key);

	return value && value->type == FOREBAY_TYPE_INTEGER ? value->integer : otherwise;
}

bool forebay_get_boolean(struct forebay_message *message, const char *key, bool otherwise)
{
	const struct forebay_value *value = find_member(message, key);

	return value && value->type == FOREBAY_TYPE_BOOLEAN ? value->integer != 0 : otherwise;
}

const char *forebay_message_channel(const struct forebay_message *message)
{
	struct forebay_message *mutable = (struct forebay_message *)message;

	if (!message->channel[0] && message->reply)
		channel_reply_name(message->prefix, message->reply->index, message->generation,
		        mutable->channel);
	return message->channel;
}

const char *forebay_message_reply_channel(struct forebay_message *message)
{
	return forebay_get_string(message, "reply_channel", NULL);
}

void *forebay_message_owner(const struct forebay_message *message)
{
	if (!message->reply || message->reply->generation != message->generation)
		return NULL;
	return message->reply->owner;
}

int forebay_message_content_iov(struct forebay_message *message, struct iovec *iov, int max)
{
	uint32_t offset = sizeof(struct channel_message_mem) + message->envelope_length;
	size_t left = message->content_length; // something may follow
	int count = 0;

	if (!message->received || message->synthetic || message->kind == FOREBAY_NO_CONTENT)
		return 0;
	for (uint32_t i = 0; i < message->buffer.count && left > 0; i++) {
		uint32_t here = message->buffer.span[i].length;
		size_t length;

		if (offset >= here) {
			offset -= here;
			continue;
		}
		length = here - offset < left ? here - offset : left;
		if (count < max) {
			iov[count].iov_base = message->buffer.span[i].data + offset;
			iov[count].iov_len = length;
		}
		left -= length;
		count++;
		offset = 0;
	}
	return count;
}

const void *forebay_message_content(struct forebay_message *message, size_t *length, unsigned *kind)
{
	struct iovec iov[FOREBAY_CONTENT_IOV];
	int count;

	*length = message->content_length;
	if (kind)
		*kind = message->kind;
	if (message->kind == FOREBAY_NO_CONTENT)
		return NULL;
	if (!message->received)
		return message->content;
	count = forebay_message_content_iov(message, iov, FOREBAY_CONTENT_IOV);
	if (count == 0)
		return "";
	if (count == 1)
		return iov[0].iov_base;
	if (message->content)
		return message->content;
	if (channel_buffer_reserve(
	            &message->flat, &message->flat_size, message->content_length, SIZE_MAX) < 0)
		return NULL;
	channel_message_copy(&message->buffer,
	        sizeof(struct channel_message_mem) + message->envelope_length, message->flat,
	        (uint32_t)message->content_length);
	message->content = message->flat;
	return message->content;
}

unsigned forebay_message_kind(const struct forebay_message *message)
{
	return message->kind;
}

int64_t forebay_message_age(const struct forebay_message *message)
{
	return message->received ? channel_age(message->sent_at) : 0;
}

uint64_t forebay_message_gap(const struct forebay_message *message)
{
	return message->received ? message->gap : 0;
}

// ---------------------------------------------------------------------------------------------
// Printing
// ---------------------------------------------------------------------------------------------

static void put_members(struct channel_json_writer *writer, const struct forebay_value *root)
{
	for (const struct forebay_value *member = root->child; member; member = member->next) {
		channel_json_writer_put_key(writer, member->key, member->key_length);
		channel_json_writer_put_value(writer, member);
	}
}

static void put_binary(struct channel_json_writer *writer, const void *data, size_t length)
{
	size_t encoded = channel_base64_encoded_length(length);
	char *text = malloc(encoded + 1);

	if (!text) {
		writer->error = -ENOMEM;
		return;
	}
	channel_base64_encode(text, data, length);
	channel_json_writer_put_string(writer, text, encoded);
	free(text);
	channel_json_writer_put_key(writer, "binary", strlen("binary"));
	channel_json_writer_put_boolean(writer, true);
}

// The content as it is at this moment: in shared memory it could change between the check and the copy.
static const void *private_content(struct forebay_message *message, size_t *length)
{
	const void *data = forebay_message_content(message, length, NULL);

	if (!data || data == message->flat || *length == 0)
		return data;
	if (channel_buffer_reserve(&message->flat, &message->flat_size, *length, SIZE_MAX) < 0)
		return NULL;
	return memcpy(message->flat, data, *length);
}

static void put_content(struct forebay_message *message)
{
	struct channel_json_writer *writer = &message->writer;
	const char *key = message->kind & FOREBAY_BODY ? "body" : "content";
	size_t length;
	const void *data;

	if (message->kind == FOREBAY_NO_CONTENT)
		return;
	data = private_content(message, &length);
	if (!data) {
		writer->error = -ENOMEM;
		return;
	}
	channel_json_writer_put_key(writer, key, strlen(key));
	// Text was checked when it was sent; if it isn't any more, somebody scribbled, and it is shown as octets.
	if ((message->kind & FOREBAY_TEXT) && channel_utf8_valid(data, length))
		channel_json_writer_put_string(writer, data, length);
	else
		put_binary(writer, data, length);
}

static const char *print(struct forebay_message *message, bool content, size_t *length)
{
	const struct forebay_value *root = forebay_message_root(message);
	const char *json;
	size_t ignored;

	if (!root)
		return NULL;
	if (!message->writer_ready && channel_json_writer_init(&message->writer) < 0)
		return NULL;
	message->writer_ready = true;
	channel_json_writer_reset(&message->writer);
	put_members(&message->writer, root);
	if (content)
		put_content(message);
	if (channel_json_writer_finish(&message->writer, &json, length ? length : &ignored) != 0)
		return NULL;
	return json;
}

const char *forebay_message_envelope(struct forebay_message *message, size_t *length)
{
	const char *json;

	if (message->received)
		return print(message, false, length);
	return channel_message_finish(message, &json, length) == 0 ? json : NULL;
}

const char *forebay_message_json(struct forebay_message *message, size_t *length)
{
	return message->received ? print(message, true, length) : NULL;
}

// ---------------------------------------------------------------------------------------------
// A message of the library's own
// ---------------------------------------------------------------------------------------------

struct forebay_message *channel_message_closed(struct forebay *layer, const char *channel)
{
	static const char envelope[] = "{\"closed\":true}";
	struct forebay_message *message = channel_message_take(layer);

	if (!message)
		return NULL;
	if (channel_buffer_reserve(&message->text, &message->text_size, sizeof envelope, SIZE_MAX) <
	        0) {
		forebay_message_free(message);
		return NULL;
	}
	memcpy(message->text, envelope, sizeof envelope);
	message->envelope_length = sizeof envelope - 1;
	message->received = message->synthetic = true;
	message->parsed = false;
	message->reply = NULL;
	message->to_group = false;
	message->gap = 0;
	message->history = (struct channel_history_mem){0};
	message->kind = FOREBAY_NO_CONTENT;
	message->content_length = 0;
	message->sent_at = channel_now();
	strcpy(message->channel, channel);
	return message;
}
