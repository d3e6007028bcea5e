// SPDX-License-Identifier: MIT
#include "tests/torture/traffic.h"

#include <stdlib.h>
#include <string.h>

static _Alignas(64) unsigned char table[2 * TRAFFIC_MAX];

void traffic_init(void)
{
	uint64_t state = 88172645463325252ull;

	for (size_t i = 0; i < sizeof table; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		table[i] = (unsigned char)state;
	}
}

// Where in the table a message's octets begin.
static const unsigned char *octets_of(const struct traffic_stamp *stamp)
{
	uint64_t hash =
	        (stamp->sender * 0x9e3779b97f4a7c15ull) ^ (stamp->number * 0xc2b2ae3d27d4eb4full);

	// From a line's beginning on, so that comparing takes the same way each time.
	return table + (hash >> 24) % TRAFFIC_MAX / 64 * 64;
}

static uint32_t hash_of(const char *name)
{
	uint32_t hash = 2166136261u;

	while (*name)
		hash = (hash ^ (unsigned char)*name++) * 16777619u;
	return hash;
}

struct forebay_message *traffic_build(struct forebay *layer, const char *channel, uint64_t sender,
        uint64_t number, uint32_t length, const char *reply_channel)
{
	static unsigned char content[TRAFFIC_MAX];
	struct forebay_message *message = forebay_message_new(layer);
	struct traffic_stamp stamp = {
	        sender, number, (uint32_t)(sizeof stamp + length), hash_of(channel)};

	if (!message || stamp.length > sizeof content)
		abort();
	memcpy(content, &stamp, sizeof stamp);
	memcpy(content + sizeof stamp, octets_of(&stamp), length);
	forebay_set_content(message, content, stamp.length, FOREBAY_BINARY);
	if (reply_channel)
		forebay_put_text(message, "reply_channel", reply_channel);
	return message;
}

int traffic_send(struct forebay *layer, const char *channel, uint64_t sender, uint64_t number,
        uint32_t length, int timeout)
{
	struct forebay_message *message =
	        traffic_build(layer, channel, sender, number, length, NULL);
	int result = forebay_send(layer, channel, message, timeout);

	forebay_message_free(message);
	return result;
}

bool traffic_read(struct forebay_message *message, struct traffic_stamp *stamp)
{
	size_t length;
	unsigned kind;
	const unsigned char *content = forebay_message_content(message, &length, &kind);

	if (!content || kind != FOREBAY_BINARY || length < sizeof *stamp || length > TRAFFIC_MAX)
		return false;
	memcpy(stamp, content, sizeof *stamp);
	return stamp->length == length &&
	       stamp->channel == hash_of(forebay_message_channel(message)) &&
	       memcmp(content + sizeof *stamp, octets_of(stamp), length - sizeof *stamp) == 0;
}
