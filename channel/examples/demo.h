// SPDX-License-Identifier: MIT
// demo.h - what the files of the demo consumer share.
//
//   forebay-demo.c   start-up, the loop, and which path does what: start reading here
//   demo_reply.c     an answer in one message, which is what most consumers need
//   demo_socket.c    WebSockets
//   demo_chat.c      ... that talk with one another
//   demo_relay.c     ... and their large messages
//   demo_stream.c    answers in many messages, as fast as each client reads
//   demo_upload.c    request bodies, however large
//   demo_page.html   the page at /
//
// The only interface it uses is forebay.h (a program outside this tree writes <forebay.h>).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "channel/forebay.h"

#define DEMO_CHAT "demo.chat.receive" // channel of what is said in the chat

struct demo_relay;
struct demo_stream;
struct demo_upload;

struct demo {
	struct forebay *layer;
	struct forebay_message *reply; // built anew for every message that is sent
	struct demo_stream *streams;   // answers under way
	struct demo_upload *uploads;   // bodies under way
	struct demo_relay *relays;     // large messages of WebSockets under way
};

// Milliseconds of a clock that only goes forward.
int64_t demo_now(void);

// --- demo_reply.c ---

// Answers the request that REPLY_CHANNEL came with.
void demo_reply(struct demo *demo, const char *reply_channel, int status, const char *content_type,
        const void *content, size_t length);
// The same as text/plain.
void demo_reply_text(struct demo *demo, const char *reply_channel, int status, const char *text);
// Sends demo->reply. An error is shown on stderr, unless it only means that the client has left.
void demo_send_reply(struct demo *demo, const char *reply_channel);

// --- demo_socket.c ---

// A WebSocket was opened; a client's message has arrived on it.
void demo_socket_connect(
        struct demo *demo, struct forebay_message *message, const char *reply_channel);
void demo_socket_receive(
        struct demo *demo, struct forebay_message *message, const char *reply_channel);

// Sends demo->reply to a WebSocket. Returns false if it is gone, or doesn't take it in time.
bool demo_socket_send(struct demo *demo, const char *reply_channel);

// --- demo_chat.c ---

// A WebSocket was opened that is to take part.
void demo_chat_join(struct demo *demo, struct forebay_message *message, const char *reply_channel);
// Something was said, or somebody has left.
void demo_chat_receive(struct demo *demo, struct forebay_message *message);

// --- demo_relay.c ---

// Sends back the message that comes through CONTENT_CHANNEL.
void demo_relay_start(struct demo *demo, const char *reply_channel, const char *content_channel);
// Takes the next part of a message. Returns false if MESSAGE is not from a content channel.
bool demo_relay_continue(struct demo *demo, struct forebay_message *message);
// Drops the messages whose client has left without a word. To be called now and then.
void demo_relay_sweep(struct demo *demo);

// --- demo_stream.c ---

// Answers with BYTES octets of text in messages of CHUNK octets, DELAY milliseconds apart.
void demo_stream_lines(
        struct demo *demo, const char *reply_channel, uint64_t bytes, size_t chunk, unsigned delay);
// Answers with a text of any length, which is copied.
void demo_stream_text(struct demo *demo, const char *reply_channel, const char *content_type,
        const char *text, size_t length);
// Sends what can be sent now. Returns how many milliseconds may pass until the next call, if nothing
// happens before; 0: there is more to do at once; -1: no stream is left.
int demo_stream_continue(struct demo *demo);
void demo_stream_drop(struct demo *demo, const char *reply_channel); // the client has left

// --- demo_upload.c ---

// Answers with size and SHA-256 of the request's body, now or when it has arrived.
void demo_upload_start(
        struct demo *demo, struct forebay_message *request, const char *reply_channel);
// Takes the next part of a body. Returns false if MESSAGE is not from a body channel.
bool demo_upload_continue(struct demo *demo, struct forebay_message *message);
void demo_upload_drop(struct demo *demo, const char *reply_channel); // the client has left
// Drops the uploads whose client has left without a word. To be called now and then.
void demo_upload_sweep(struct demo *demo);
