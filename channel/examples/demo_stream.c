// SPDX-License-Identifier: MIT
// demo_stream.c - answers in many messages, as fast as each client reads.
//
// A reply channel holds a few messages. When the client is slower than we are, forebay_send()
// answers FOREBAY_FULL: then the stream simply keeps its place and the others go on. So a slow
// client costs neither memory nor anybody else's time.
#include "channel/examples/demo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE      "0123456789 ABCDEFGHIJKLMNOPQRSTUVWXYZ abcdefghijklmnopqrstuvwxy\n"
#define LINE_SIZE (sizeof LINE - 1)

_Static_assert(LINE_SIZE == 64, "clients may check a stream by its 64-octet lines");

// Of one message. JSON needs two octets for a line feed, binary content counts as base64: both
// stay well below FOREBAY_MESSAGE_MAX.
#define CHUNK_MAX (512u * 1024)

// Messages sent for one stream before it is the next one's turn.
#define BURST 8

struct demo_stream {
	struct demo_stream *next;
	char reply_channel[FOREBAY_NAME_SIZE];
	const char *content_type;
	char *text; // what to send, owned; NULL: lines
	uint64_t offset, length;
	size_t chunk;
	unsigned delay; // milliseconds between two messages
	int64_t due;    // when the next one is to be sent, after demo_now()
};

static void add(struct demo *demo, const char *reply_channel, const struct demo_stream *initial)
{
	struct demo_stream *stream = malloc(sizeof *stream);

	if (!stream) {
		free(initial->text);
		demo_reply_text(demo, reply_channel, 503, "Out of memory\n");
		return;
	}
	*stream = *initial;
	snprintf(stream->reply_channel, sizeof stream->reply_channel, "%s", reply_channel);
	stream->next = demo->streams;
	demo->streams = stream;
}

// Unlinks and frees the stream that *LINK points to.
static void end(struct demo_stream **link)
{
	struct demo_stream *stream = *link;

	*link = stream->next;
	free(stream->text);
	free(stream);
}

void demo_stream_lines(
        struct demo *demo, const char *reply_channel, uint64_t bytes, size_t chunk, unsigned delay)
{
	struct demo_stream stream = {.content_type = "text/plain",
	        .length = bytes,
	        .chunk = chunk < CHUNK_MAX ? chunk : CHUNK_MAX,
	        .delay = delay};

	add(demo, reply_channel, &stream);
}

void demo_stream_text(struct demo *demo, const char *reply_channel, const char *content_type,
        const char *text, size_t length)
{
	struct demo_stream stream = {.content_type = content_type,
	        .text = malloc(length ? length : 1),
	        .length = length,
	        .chunk = CHUNK_MAX};

	if (!stream.text) {
		demo_reply_text(demo, reply_channel, 503, "Out of memory\n");
		return;
	}
	memcpy(stream.text, text, length);
	add(demo, reply_channel, &stream);
}

// The lines from OFFSET on, at least CHUNK_MAX octets: a window on text that repeats.
static const char *lines_at(uint64_t offset)
{
	static char lines[CHUNK_MAX + LINE_SIZE];

	if (!lines[0]) {
		for (size_t at = 0; at < sizeof lines; at += LINE_SIZE)
			memcpy(lines + at, LINE, LINE_SIZE);
	}
	return lines + offset % LINE_SIZE;
}

// Sends the next message of a stream. Returns what forebay_send() returned.
static int send_next(struct demo *demo, struct demo_stream *stream)
{
	struct forebay_message *reply = demo->reply;
	uint64_t left = stream->length - stream->offset;
	size_t size = left < stream->chunk ? (size_t)left : stream->chunk;
	int result;

	forebay_message_reset(reply);
	if (stream->offset == 0) { // status, type and headers are the first message's
		forebay_put_integer(reply, "status", 200);
		forebay_put_text(reply, "content_type", stream->content_type);
	}
	if (size < left)
		forebay_put_boolean(reply, "more_content", true);
	if (stream->text) // cut anywhere, a part of a text need not be valid UTF-8
		forebay_set_content(reply, stream->text + stream->offset, size, FOREBAY_BINARY);
	else
		forebay_set_content(reply, lines_at(stream->offset), size, FOREBAY_TEXT);
	result = forebay_send(demo->layer, stream->reply_channel, reply, 0);
	if (result == 0)
		stream->offset += size;
	return result;
}

// Whether to come back to a stream, and when.
enum progress { READY, WAITING, DELAYED, ENDED };

static enum progress advance(struct demo *demo, struct demo_stream *stream, int64_t now)
{
	for (int sent = 0; sent < BURST; sent++) {
		int result;

		if (now < stream->due)
			return DELAYED;
		result = send_next(demo, stream);
		if (result == FOREBAY_FULL || result == FOREBAY_NO_MEMORY)
			return WAITING;
		if (result != 0 || stream->offset == stream->length)
			return ENDED; // sent, or FOREBAY_GONE: the client has left
		stream->due = stream->delay ? now + stream->delay : 0;
	}
	return READY;
}

int demo_stream_continue(struct demo *demo)
{
	const int longest = 100;
	int64_t now = demo_now();
	int wait = -1;

	for (struct demo_stream **link = &demo->streams; *link;) {
		struct demo_stream *stream = *link;
		enum progress progress = advance(demo, stream, now);
		int own = longest;

		if (progress == ENDED) {
			end(link);
			continue;
		}
		if (progress == READY)
			own = 0;
		else if (progress == DELAYED && stream->due - now < longest)
			own = (int)(stream->due - now);
		if (wait < 0 || own < wait)
			wait = own;
		link = &stream->next;
	}
	return wait;
}

void demo_stream_drop(struct demo *demo, const char *reply_channel)
{
	for (struct demo_stream **link = &demo->streams; *link; link = &(*link)->next) {
		if (strcmp((*link)->reply_channel, reply_channel) == 0) {
			end(link);
			return;
		}
	}
}
