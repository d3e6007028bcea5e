// SPDX-License-Identifier: MIT
// websocket_message.c - a consumer's messages; see websocket_message.h.
#include "server/websocket_message.h"

#include <stdlib.h>
#include <string.h>

#include "channel/name.h"
#include "channel/utf8.h"

size_t websocket_message_header(char out[WEBSOCKET_HEADER_MAX], uint8_t first, uint64_t length)
{
	size_t size = length < 126 ? 0 : length <= UINT16_MAX ? 2 : 8;

	out[0] = (char)first;
	out[1] = (char)(size == 0 ? length : size == 2 ? 126 : 127);
	for (size_t i = 0; i < size; i++)
		out[2 + i] = (char)(length >> 8 * (size - 1 - i));
	return 2 + size;
}

// The keys that are known and of the right type; others are ignored.
struct keys {
	const struct forebay_value *content, *binary, *more, *continues, *close, *accept, *code,
	        *reason;
};

static const char *read_keys(
        const struct forebay_value *root, struct keys *keys, struct websocket_message *out)
{
	const struct {
		const char *name;
		const struct forebay_value **value;
		enum forebay_type type;
		const char *wrong;
	} known[] = {
	        {"content", &keys->content, FOREBAY_TYPE_STRING, "content is not a string"},
	        {"binary", &keys->binary, FOREBAY_TYPE_BOOLEAN, "binary is not a boolean"},
	        {"more_content", &keys->more, FOREBAY_TYPE_BOOLEAN,
	                "more_content is not a boolean"},
	        {"continues", &keys->continues, FOREBAY_TYPE_BOOLEAN, "continues is not a boolean"},
	        {"close", &keys->close, FOREBAY_TYPE_BOOLEAN, "close is not a boolean"},
	        {"accept", &keys->accept, FOREBAY_TYPE_BOOLEAN, "accept is not a boolean"},
	        {"code", &keys->code, FOREBAY_TYPE_INTEGER, "code is not an integer"},
	        {"reason", &keys->reason, FOREBAY_TYPE_STRING, "reason is not a string"},
	        {"receive_channel", &out->receive_channel, FOREBAY_TYPE_STRING,
	                "receive_channel is not a string"},
	        {"subprotocol", &out->subprotocol, FOREBAY_TYPE_STRING,
	                "subprotocol is not a string"},
	        {"headers", &out->headers, FOREBAY_TYPE_OBJECT, "headers is not an object"},
	        {"status", &out->status, FOREBAY_TYPE_INTEGER, "status is not an integer"},
	};

	for (const struct forebay_value *member = root->child; member; member = member->next) {
		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
			if (strcmp(member->key, known[i].name) != 0 ||
			        member->type == FOREBAY_TYPE_NULL)
				continue;
			if (member->type != known[i].type)
				return known[i].wrong;
			*known[i].value = member;
		}
	}
	return NULL;
}

// The content's parts, behind the one for the header. Text that isn't in the content segment is
// found in the envelope.
static void find_content(
        struct forebay_message *message, const struct keys *keys, struct websocket_message *out)
{
	int count = forebay_message_content_iov(message, out->parts + 1, FOREBAY_CONTENT_IOV);

	if (count <= 0 && keys->content) {
		out->parts[1] =
		        (struct iovec){(void *)keys->content->string, keys->content->length};
		count = 1;
	}
	out->count = count > 0 ? count + 1 : 1;
	for (int i = 1; i < out->count; i++)
		out->length += out->parts[i].iov_len;
}

static bool is_utf8(const struct websocket_message *out)
{
	struct channel_utf8 utf8 = {0};

	for (int i = 1; i < out->count; i++)
		if (!channel_utf8_feed(&utf8, out->parts[i].iov_base, out->parts[i].iov_len))
			return false;
	return channel_utf8_complete(&utf8);
}

// FIN, unless there is more, and the opcode: 0 for a continuation, 1 for text, 2 for binary.
static uint8_t first_octet(const struct websocket_message *out)
{
	return (uint8_t)((out->more ? 0 : 0x80) | (out->continues ? 0 : out->binary ? 2 : 1));
}

static const char *read_content(
        struct forebay_message *message, const struct keys *keys, struct websocket_message *out)
{
	unsigned kind;

	find_content(message, keys, out);
	kind = forebay_message_kind(message);
	out->has_content = kind != FOREBAY_NO_CONTENT || keys->content;
	out->binary = kind & FOREBAY_BINARY || (keys->binary && keys->binary->integer);
	out->more = keys->more && keys->more->integer;
	out->continues = keys->continues && keys->continues->integer;
	if (out->has_content && !out->binary && !is_utf8(out))
		return "text is not UTF-8";
	out->parts[0].iov_base = out->header;
	out->parts[0].iov_len =
	        websocket_message_header(out->header, first_octet(out), out->length);
	return NULL;
}

static const char *read_close(const struct keys *keys, struct websocket_message *out)
{
	out->close = keys->close && keys->close->integer;
	out->with.code = WEBSOCKET_NORMAL;
	if (keys->code && !websocket_gate_is_code(keys->code->integer))
		return "code is not a close code";
	if (keys->code)
		out->with.code = (uint16_t)keys->code->integer;
	if (!keys->reason)
		return NULL;
	if (keys->reason->length > sizeof(out->with.reason))
		return "reason is longer than 123 octets";
	out->with.reason_length = (uint8_t)keys->reason->length;
	memcpy(out->with.reason, keys->reason->string, keys->reason->length);
	return NULL;
}

const char *websocket_message_read(struct forebay_message *message, struct websocket_message *out)
{
	const struct forebay_value *root = forebay_message_root(message);
	struct keys keys = {0};
	const char *wrong;

	memset(out, 0, offsetof(struct websocket_message, parts));
	out->length = 0;
	if (!root)
		return "not an object";
	wrong = read_keys(root, &keys, out);
	if (!wrong)
		wrong = read_close(&keys, out);
	out->has_accept = keys.accept != NULL;
	out->accept = keys.accept && keys.accept->integer;
	return wrong ? wrong : read_content(message, &keys, out);
}

const char *websocket_message_move(const struct websocket_message *message, char **channel)
{
	const struct forebay_value *name = message->receive_channel;
	enum channel_kind kind;
	uint64_t id;
	char *copy;

	if (!name)
		return NULL;
	kind = channel_name_kind(name->string, &id);
	if (kind != CHANNEL_PLAIN && kind != CHANNEL_STREAM)
		return "receive_channel is not a channel";
	copy = strdup(name->string);
	if (!copy)
		return "out of memory";
	free(*channel);
	*channel = copy;
	return NULL;
}
