// SPDX-License-Identifier: MIT
// connection_queue.c - output that waits; see connection_queue.h.
#include "server/connection_queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SPARE_SEGMENTS 256

// One connection_write() that could not be done at once.
struct connection_segment {
	struct connection_segment *next;
	struct forebay_message *message;
	char *copy;      // of the first part, if it doesn't fit into `small`, or of all
	size_t unloaded; // octets of it that were in the message
	int first, count;
	char small[16]; // for a frame's header
	struct iovec parts[CONNECTION_IOV];
};

static struct connection_segment *take_segment(struct connection_pool *pool)
{
	struct connection_segment *segment = pool->spare_segments;

	if (!segment)
		return malloc(sizeof(*segment));
	pool->spare_segments = segment->next;
	pool->spare_segment_count--;
	return segment;
}

// Whether it keeps a message's memory.
static bool is_loaded(const struct connection_segment *segment)
{
	return segment->message && segment->unloaded == 0;
}

static void free_segment(struct connection_pool *pool, struct connection_segment *segment)
{
	pool->loaded -= is_loaded(segment);
	forebay_message_free(segment->message);
	free(segment->copy);
	pool->unloaded -= segment->unloaded;
	if (pool->spare_segment_count >= SPARE_SEGMENTS) {
		free(segment);
		return;
	}
	segment->next = pool->spare_segments;
	pool->spare_segments = segment;
	pool->spare_segment_count++;
}

// Takes LENGTH written octets off the parts from FIRST on. Returns the first part that isn't done.
static int advance(struct iovec *parts, int first, int count, size_t *length)
{
	while (first < count && *length >= parts[first].iov_len)
		*length -= parts[first++].iov_len;
	if (first < count) {
		parts[first].iov_base = (char *)parts[first].iov_base + *length;
		parts[first].iov_len -= *length;
		*length = 0;
	}
	return first;
}

// Appends a segment without parts.
static struct connection_segment *append(
        struct connection *connection, int first, int count, struct forebay_message *message)
{
	struct connection_segment *segment = take_segment(connection->pool);

	if (!segment) {
		forebay_message_free(message);
		return NULL;
	}
	segment->next = NULL;
	segment->message = message;
	segment->copy = NULL;
	segment->unloaded = 0;
	segment->first = first;
	segment->count = count;
	connection->pool->loaded += is_loaded(segment);
	*connection->output_end = segment;
	connection->output_end = &segment->next;
	return segment;
}

// Nothing of the segment is in its message any more: LENGTH octets are a copy.
static void let_go(struct connection_pool *pool, struct connection_segment *segment, size_t length)
{
	segment->unloaded = length;
	pool->unloaded += length;
	pool->loaded--;
	forebay_message_unload(segment->message);
}

int connection_queue_add(struct connection *connection, const struct iovec *parts, int count,
        size_t skip, struct forebay_message *message)
{
	struct connection_segment *segment = append(connection, 0, count, message);
	struct iovec *head;

	if (!segment)
		return -ENOMEM;
	memcpy(segment->parts, parts, (size_t)count * sizeof(*parts));
	segment->first = advance(segment->parts, 0, count, &skip);
	head = &segment->parts[0];
	if (segment->first > 0 || head->iov_len == 0)
		return 0;
	if (head->iov_len > sizeof(segment->small)) {
		segment->copy = malloc(head->iov_len);
		if (!segment->copy)
			return -ENOMEM;
	}
	head->iov_base = memcpy(
	        segment->copy ? segment->copy : segment->small, head->iov_base, head->iov_len);
	if (count == 1 && message)
		let_go(connection->pool, segment, head->iov_len);
	return 0;
}

int connection_queue_add_copy(
        struct connection *connection, const struct iovec *parts, int count, size_t skip)
{
	struct connection_segment *segment = append(connection, 0, 1, NULL);
	size_t length = 0;
	char *end;

	if (!segment)
		return -ENOMEM;
	for (int i = 0; i < count; i++)
		length += parts[i].iov_len;
	length -= skip;
	end = segment->copy = malloc(length);
	segment->parts[0] = (struct iovec){segment->copy, end ? length : 0};
	if (!end)
		return -ENOMEM;
	for (int i = 0; i < count; i++) {
		size_t here = skip < parts[i].iov_len ? skip : parts[i].iov_len;

		end = mempcpy(end, (const char *)parts[i].iov_base + here, parts[i].iov_len - here);
		skip -= here;
	}
	return 0;
}

// Makes one part of all that is left of the segment. Returns false if that isn't to be had.
static bool unload(struct connection_pool *pool, struct connection_segment *segment)
{
	size_t length = 0;
	char *copy, *end;

	for (int i = segment->first; i < segment->count; i++)
		length += segment->parts[i].iov_len;
	if (length == 0)
		return true;
	if (pool->unloaded + length > pool->unloaded_max)
		return false;
	end = copy = malloc(length);
	if (!copy)
		return false;
	for (int i = segment->first; i < segment->count; i++)
		end = mempcpy(end, segment->parts[i].iov_base, segment->parts[i].iov_len);
	free(segment->copy);
	segment->copy = copy;
	segment->parts[0] = (struct iovec){copy, length};
	segment->first = 0;
	segment->count = 1;
	let_go(pool, segment, length);
	return true;
}

void connection_queue_unload(struct connection *connection)
{
	for (struct connection_segment *segment = connection->output; segment;
	        segment = segment->next)
		if (is_loaded(segment) && !unload(connection->pool, segment))
			return;
}

bool connection_queue_has_messages(const struct connection *connection)
{
	const struct connection_segment *segment = connection->output;

	while (segment && !segment->message)
		segment = segment->next;
	return segment != NULL;
}

int connection_queue_gather(
        const struct connection *connection, struct iovec parts[CONNECTION_QUEUE_IOV])
{
	int count = 0;

	for (struct connection_segment *segment = connection->output; segment;
	        segment = segment->next) {
		int left = segment->count - segment->first;

		if (count + left > CONNECTION_QUEUE_IOV)
			break;
		memcpy(parts + count, segment->parts + segment->first,
		        (size_t)left * sizeof(*parts));
		count += left;
	}
	return count;
}

void connection_queue_advance(struct connection *connection, size_t length)
{
	struct connection_segment *segment;

	while ((segment = connection->output)) {
		segment->first = advance(segment->parts, segment->first, segment->count, &length);
		if (segment->first < segment->count)
			return;
		connection->output = segment->next;
		if (!connection->output)
			connection->output_end = &connection->output;
		free_segment(connection->pool, segment);
	}
}

void connection_queue_clear(struct connection *connection)
{
	while (connection->output) {
		struct connection_segment *segment = connection->output;

		connection->output = segment->next;
		free_segment(connection->pool, segment);
	}
	connection->output_end = &connection->output;
}

void connection_queue_pool_fini(struct connection_pool *pool)
{
	while (pool->spare_segments) {
		struct connection_segment *segment = pool->spare_segments;

		pool->spare_segments = segment->next;
		free(segment);
	}
}
