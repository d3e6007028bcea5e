// SPDX-License-Identifier: MIT
// websocket_message.h - what a consumer sent to a WebSocket's reply channel, and frames for clients.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "channel/forebay.h"
#include "server/connection.h"
#include "server/websocket_gate.h"

#define WEBSOCKET_HEADER_MAX 10 // octets before the payload of a frame that isn't masked

// A message, mostly as views into it. The frame that carries its content is parts[0 .. count - 1].
struct websocket_message {
	bool has_content;
	bool binary;
	bool more;      // the next part of the same WebSocket message follows
	bool continues; // this isn't its first part
	bool close;
	bool accept, has_accept;
	struct websocket_close with;
	const struct forebay_value *receive_channel, *subprotocol, *headers; // NULL: none
	const struct forebay_value *status; // it is an HTTP response

	struct iovec parts[CONNECTION_IOV];
	int count;
	size_t length; // octets of content
	char header[WEBSOCKET_HEADER_MAX];
};

// Reads MESSAGE, which must stay as long as OUT is used. Text is checked to be UTF-8, whoever
// wrote it. Returns NULL, or what is wrong with it (static): it is to be dropped as a whole.
const char *websocket_message_read(struct forebay_message *message, struct websocket_message *out);

// Puts a copy of MESSAGE's receive_channel, if it has one, in the place of *CHANNEL, which is the heap's or NULL. Returns
// NULL, or what is wrong (static), and *CHANNEL stays.
const char *websocket_message_move(const struct websocket_message *message, char **channel);

// Writes the header of a frame: FIRST is its first octet. Returns its size.
size_t websocket_message_header(char out[WEBSOCKET_HEADER_MAX], uint8_t first, uint64_t length);
