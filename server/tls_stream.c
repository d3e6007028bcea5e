// SPDX-License-Identifier: MIT
// tls_stream.c - TLS on one nonblocking socket; see tls_stream.h.
#include "server/tls_stream.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>

#define RECORD_HANDSHAKE 22 // the first octet of a record with a ClientHello

int tls_stream_init(struct tls_stream *stream, const struct tls *tls, int fd)
{
	*stream = (struct tls_stream){.ssl = tls_accept(tls), .fd = fd};
	if (stream->ssl && SSL_set_fd(stream->ssl, fd) == 1)
		return 0;
	tls_stream_fini(stream);
	ERR_clear_error();
	return -ENOMEM;
}

void tls_stream_fini(struct tls_stream *stream)
{
	SSL_free(stream->ssl);
	stream->ssl = NULL;
}

// Makes an errno of what an operation that returned RESULT came to. Every operation begins with an
// empty queue of errors, since SSL_get_error() looks there, and leaves one, since others do the same.
static int take_error(struct tls_stream *stream, int result)
{
	int error = errno;

	switch (SSL_get_error(stream->ssl, result)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return EAGAIN;
	case SSL_ERROR_SYSCALL:
		stream->broken = true;
		return error && error != EAGAIN ? error : ECONNRESET;
	default:
		stream->broken = true;
		return EPROTO;
	}
}

// ---------------------------------------------------------------------------------------------
// Handshake
// ---------------------------------------------------------------------------------------------

// Looks at the first octet, and leaves it to OpenSSL.
static int greet(struct tls_stream *stream)
{
	unsigned char first;
	ssize_t count = recv(stream->fd, &first, 1, MSG_PEEK);

	if (count < 0 && (errno == EAGAIN || errno == EINTR))
		return TLS_STREAM_WAIT;
	if (count <= 0)
		return TLS_STREAM_ENDED;
	if (isalpha(first))
		return TLS_STREAM_NOT_TLS;
	stream->greeted = true;
	return 0;
}

static const char *failure(int error)
{
	const char *why = ERR_reason_error_string(ERR_peek_error());

	if (why)
		return why;
	return error == EPROTO ? "the client ended it" : strerrordesc_np(error);
}

int tls_stream_handshake(struct tls_stream *stream, const char **why)
{
	int result = stream->greeted ? 0 : greet(stream);

	if (result)
		return result;
	ERR_clear_error();
	errno = 0;
	result = SSL_do_handshake(stream->ssl);
	stream->established = result == 1;
	stream->read_needs_write = SSL_want_write(stream->ssl);
	if (stream->established)
		return 0;
	result = take_error(stream, result);
	if (result == EAGAIN)
		return TLS_STREAM_WAIT;
	*why = failure(result);
	ERR_clear_error();
	return TLS_STREAM_FAILED;
}

// ---------------------------------------------------------------------------------------------
// Content
// ---------------------------------------------------------------------------------------------

// What read() and write() return when the operation that returned RESULT moved nothing.
static ssize_t fail(struct tls_stream *stream, int result)
{
	int error = take_error(stream, result);

	ERR_clear_error();
	errno = error;
	return -1;
}

ssize_t tls_stream_read(struct tls_stream *stream, void *buffer, size_t size)
{
	size_t count = 0;
	int result;

	ERR_clear_error();
	errno = 0;
	result = SSL_read_ex(stream->ssl, buffer, size, &count);
	stream->read_needs_write = result != 1 && SSL_want_write(stream->ssl);
	stream->drained = result != 1 && SSL_want_read(stream->ssl);
	if (result == 1)
		return (ssize_t)count;
	if (SSL_get_error(stream->ssl, result) == SSL_ERROR_ZERO_RETURN)
		return 0;
	return fail(stream, result);
}

// One record, or a part of one. Returns as write().
static ssize_t write_record(struct tls_stream *stream, const void *data, size_t size)
{
	size_t count = 0;
	int result;

	ERR_clear_error();
	errno = 0;
	result = SSL_write_ex(stream->ssl, data, size, &count);
	stream->write_needs_read = result != 1 && SSL_want_read(stream->ssl);
	if (result == 1)
		return (ssize_t)count;
	return fail(stream, result);
}

// Where writing has come to in its parts.
struct cursor {
	const struct iovec *part, *end;
	size_t offset; // in the part
};

static void skip(struct cursor *cursor, size_t length)
{
	cursor->offset += length;
	while (cursor->part < cursor->end && cursor->offset >= cursor->part->iov_len) {
		cursor->offset -= cursor->part->iov_len;
		cursor->part++;
	}
}

// Yields the content of the next record: from where it is if one part fills it, else copied together.
static size_t gather(const struct cursor *cursor, const void **data)
{
	static char record[TLS_STREAM_RECORD]; // a worker has one thread
	const char *start = (const char *)cursor->part->iov_base + cursor->offset;
	size_t length = cursor->part->iov_len - cursor->offset, used;

	*data = start;
	if (length >= sizeof(record))
		return sizeof(record);
	if (cursor->part + 1 == cursor->end)
		return length;
	*data = record;
	memcpy(record, start, length);
	used = length;
	for (const struct iovec *part = cursor->part + 1;
	        part < cursor->end && used < sizeof(record); part++) {
		length = sizeof(record) - used;
		if (length > part->iov_len)
			length = part->iov_len;
		memcpy(record + used, part->iov_base, length);
		used += length;
	}
	return used;
}

ssize_t tls_stream_write(struct tls_stream *stream, const struct iovec *parts, int count)
{
	struct cursor cursor = {.part = parts, .end = parts + count};
	ssize_t sum = 0;

	if (!stream->established) {
		errno = EAGAIN;
		return -1;
	}
	skip(&cursor, 0);
	while (cursor.part < cursor.end) {
		const void *data;
		size_t length = gather(&cursor, &data);
		ssize_t written = write_record(stream, data, length);

		if (written < 0)
			return sum > 0 ? sum : -1;
		sum += written;
		skip(&cursor, (size_t)written);
	}
	return sum;
}

bool tls_stream_pending(const struct tls_stream *stream)
{
	return stream->established && !stream->drained && SSL_has_pending(stream->ssl);
}

int tls_stream_finish(struct tls_stream *stream)
{
	int result;

	if (!stream->established || stream->broken)
		return 0;
	ERR_clear_error();
	errno = 0;
	result = SSL_shutdown(stream->ssl);
	if (result < 0)
		result = take_error(stream, result);
	ERR_clear_error();
	return result == EAGAIN ? -EAGAIN : 0;
}
