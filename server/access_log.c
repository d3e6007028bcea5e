// SPDX-License-Identifier: MIT
// access_log.c - one line per request, buffered per worker.
#include "server/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server/escape.h"
#include "server/log.h"
#include "server/log_file.h"

#define BUFFER_SIZE 65536
#define TARGET_MAX  4096 // octets of a client's value that are logged; what is longer is cut
#define VALUE_MAX   1024
#define WORD_MAX    64
#define OWN_MAX     512 // octets of a line that aren't a client's
#define PIPE_SIZE   (1 << 20)
#define PATIENCE_MS 250 // at the end, for a reader that doesn't read

_Static_assert((TARGET_MAX + 2 * VALUE_MAX + 3 * WORD_MAX) * ESCAPE_FACTOR + OWN_MAX < BUFFER_SIZE,
        "the longest line fits into an empty buffer");

// One log in a process, like its event log; not for several threads.
static struct {
	struct log_file file; // fd -1: none
	enum access_log_format format;
	char *path; // NULL for the standard output
	size_t used;
	uint64_t lost; // lines since the last report
	int why;       // errno of the last of them
	time_t second; // that TIME is the text of
	char time[32];
	char buffer[BUFFER_SIZE];
} state = {.file.fd = -1};

int access_log_enabled(void)
{
	return state.file.fd >= 0;
}

static void set_fd(int fd)
{
	int size = fcntl(fd, F_GETPIPE_SZ); // -1: no pipe

	if (state.file.fd >= 0 && state.file.fd != STDOUT_FILENO)
		close(state.file.fd);
	state.file = log_file_of(fd);
	// Room for the lines of the moments in which its reader has no processor; a pipe's own is little.
	if (size > 0 && size < PIPE_SIZE)
		(void)fcntl(fd, F_SETPIPE_SZ, PIPE_SIZE);
}

int access_log_open(const char *path, enum access_log_format format)
{
	char *copy = NULL;
	int fd = -1;

	if (path && strcmp(path, "-") == 0) {
		fd = STDOUT_FILENO;
	} else if (path && strcmp(path, "off") != 0) {
		fd = log_file_open(path);
		if (fd < 0)
			return fd;
		copy = strdup(path);
		if (!copy) {
			close(fd);
			return -ENOMEM;
		}
	}
	access_log_flush();
	set_fd(fd);
	free(state.path);
	state.path = copy;
	state.format = format;
	return 0;
}

int access_log_reopen(void)
{
	int fd;

	access_log_flush();
	if (!state.path)
		return 0;
	fd = log_file_open(state.path);
	if (fd < 0)
		return fd;
	set_fd(fd);
	return 0;
}

// ---------------------------------------------------------------------------------------------
// Writing
// ---------------------------------------------------------------------------------------------

// Octets of the LENGTH at TEXT to write at a time: all, or for a stream whole lines that the kernel
// keeps together (at most PIPE_BUF), or else a part of one.
static size_t portion(const char *text, size_t length)
{
	size_t size = PIPE_BUF;

	if (!state.file.is_stream || length <= PIPE_BUF)
		return length;
	while (size && text[size - 1] != '\n')
		size--;
	return size ? size : PIPE_BUF;
}

static void lose(uint64_t lines, int why)
{
	state.lost += lines;
	state.why = why;
}

static uint64_t count_lines(const char *text, size_t length)
{
	uint64_t lines = 0;

	for (size_t i = 0; i < length; i++)
		lines += text[i] == '\n';
	return lines;
}

// What a stream has no room for stays in the buffer, so no line is torn. What can't be written for another reason is lost.
void access_log_flush(void)
{
	ssize_t written = 0;
	size_t done = 0;
	int error = errno;

	for (; done < state.used && written >= 0; done += written > 0 ? (size_t)written : 0)
		written = log_file_write(&state.file, state.buffer + done,
		        portion(state.buffer + done, state.used - done));
	if (written < 0 && written != -EAGAIN) {
		lose(count_lines(state.buffer + done, state.used - done), (int)-written);
		done = state.used;
	}
	state.used -= done;
	if (done)
		memmove(state.buffer, state.buffer + done, state.used);
	errno = error;
}

uint64_t access_log_report(void)
{
	uint64_t lost = state.lost;

	if (lost)
		log_error("access log: %" PRIu64 " lines were lost: %s", lost,
		        state.why == EAGAIN ? "nobody reads them" : strerror(state.why));
	state.lost = 0;
	return lost;
}

// Nothing else is to be done now, so a reader gets time to make room.
static void finish_writing(void)
{
	struct pollfd ready = {.fd = state.file.fd, .events = POLLOUT};

	access_log_flush();
	while (state.used && poll(&ready, 1, PATIENCE_MS) > 0)
		access_log_flush();
	lose(count_lines(state.buffer, state.used), EAGAIN);
	state.used = 0;
	(void)access_log_report();
}

void access_log_close(void)
{
	finish_writing();
	set_fd(-1);
	free(state.path);
	state.path = NULL;
}

// ---------------------------------------------------------------------------------------------
// Lines
// ---------------------------------------------------------------------------------------------

static const char *current_time(void)
{
	struct timespec now;
	struct tm local;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	if (now.tv_sec != state.second) {
		state.second = now.tv_sec;
		localtime_r(&now.tv_sec, &local);
		strftime(state.time, sizeof(state.time),
		        state.format == ACCESS_LOG_JSON ? "%Y-%m-%dT%H:%M:%S%z"
		                                        : "%d/%b/%Y:%H:%M:%S %z",
		        &local);
	}
	return state.time;
}

// Appends what the client sent: at most MAX octets of it, escaped.
static char *put_view(char *at, struct access_log_view view, size_t max, enum escape_style style)
{
	bool cut = view.length > max;

	if (view.length == 0)
		return style == ESCAPE_COMBINED ? stpcpy(at, "-") : at;
	at += escape(at, style, view.data, cut ? max : view.length);
	return cut ? stpcpy(at, "...") : at;
}

// Appends microseconds as seconds, or "-".
static char *put_seconds(char *at, int64_t us, const char *none)
{
	if (us < 0)
		return stpcpy(at, none);
	return at + sprintf(at, "%" PRId64 ".%06d", us / 1000000, (int)(us % 1000000));
}

static char *put_combined(char *at, const struct access_log_entry *entry)
{
	const enum escape_style style = ESCAPE_COMBINED;

	at = put_view(at, entry->remote, WORD_MAX, style);
	at += sprintf(at, " - - [%s] \"", current_time());
	if (entry->method.length) { // else no request line was understood: "-"
		at = put_view(at, entry->method, WORD_MAX, style);
		*at++ = ' ';
	}
	at = put_view(at, entry->target, TARGET_MAX, style);
	if (entry->protocol.length) {
		*at++ = ' ';
		at = put_view(at, entry->protocol, WORD_MAX, style);
	}
	at += sprintf(at, "\" %03d %" PRIu64 " \"", entry->status, entry->bytes);
	at = put_view(at, entry->referer, VALUE_MAX, style);
	at = stpcpy(at, "\" \"");
	at = put_view(at, entry->user_agent, VALUE_MAX, style);
	at = stpcpy(at, "\" ");
	at = put_seconds(at, entry->request_us, "-");
	*at++ = ' ';
	return put_seconds(at, entry->consumer_us, "-");
}

static char *put_member(char *at, const char *key, struct access_log_view view, size_t max)
{
	at += sprintf(at, ",\"%s\":\"", key);
	at = put_view(at, view, max, ESCAPE_JSON_LATIN1);
	*at++ = '"';
	return at;
}

static char *put_json(char *at, const struct access_log_entry *entry)
{
	at += sprintf(at, "{\"time\":\"%s\"", current_time());
	at = put_member(at, "remote", entry->remote, WORD_MAX);
	at = put_member(at, "method", entry->method, WORD_MAX);
	at = put_member(at, "target", entry->target, TARGET_MAX);
	at = put_member(at, "protocol", entry->protocol, WORD_MAX);
	at += sprintf(at, ",\"status\":%d,\"bytes\":%" PRIu64, entry->status, entry->bytes);
	at = put_member(at, "referer", entry->referer, VALUE_MAX);
	at = put_member(at, "user_agent", entry->user_agent, VALUE_MAX);
	at = stpcpy(at, ",\"request_time\":");
	at = put_seconds(at, entry->request_us, "null");
	at = stpcpy(at, ",\"consumer_time\":");
	at = put_seconds(at, entry->consumer_us, "null");
	return at + sprintf(at, ",\"connection\":%" PRIu64 ",\"request\":%" PRIu64 "}",
	                    entry->connection, entry->request);
}

static size_t view_size(struct access_log_view view, size_t max)
{
	return view.length < max ? view.length : max;
}

// The most octets that the line can have.
static size_t line_size(const struct access_log_entry *entry)
{
	size_t values =
	        view_size(entry->remote, WORD_MAX) + view_size(entry->method, WORD_MAX) +
	        view_size(entry->target, TARGET_MAX) + view_size(entry->protocol, WORD_MAX) +
	        view_size(entry->referer, VALUE_MAX) + view_size(entry->user_agent, VALUE_MAX);

	return values * ESCAPE_FACTOR + OWN_MAX;
}

void access_log_write(const struct access_log_entry *entry)
{
	char *start, *at;

	if (state.file.fd < 0)
		return;
	if (BUFFER_SIZE - state.used < line_size(entry))
		access_log_flush();
	if (BUFFER_SIZE - state.used < line_size(entry)) {
		lose(1, EAGAIN);
		return;
	}
	start = at = state.buffer + state.used;
	at = state.format == ACCESS_LOG_JSON ? put_json(at, entry) : put_combined(at, entry);
	*at++ = '\n';
	state.used += (size_t)(at - start);
}
