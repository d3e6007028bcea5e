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
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "server/escape.h"
#include "server/log.h"

#define BUFFER_SIZE 65536
#define TARGET_MAX  4096 // octets of a client's value that are logged; what is longer is cut
#define VALUE_MAX   1024
#define WORD_MAX    64
#define OWN_MAX     512  // octets of a line that aren't a client's
#define PATIENCE_MS 1000 // for a reader of a pipe that doesn't read

_Static_assert((TARGET_MAX + 2 * VALUE_MAX + 3 * WORD_MAX) * ESCAPE_FACTOR + OWN_MAX < BUFFER_SIZE,
        "the longest line fits into an empty buffer");

// One log in a process, like its event log; not for several threads.
static struct {
	int fd; // -1: none
	enum access_log_format format;
	bool is_stream; // a pipe, socket or terminal: others may write in between
	char *path;     // NULL for the standard output
	size_t used;
	time_t second; // that TIME is the text of
	char time[32];
	char buffer[BUFFER_SIZE];
} state = {.fd = -1};

int access_log_enabled(void)
{
	return state.fd >= 0;
}

static int open_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);

	return fd < 0 ? -errno : fd;
}

static void set_fd(int fd)
{
	struct stat status;

	if (state.fd >= 0 && state.fd != STDOUT_FILENO)
		close(state.fd);
	state.fd = fd;
	state.is_stream = fd >= 0 && (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode));
}

int access_log_open(const char *path, enum access_log_format format)
{
	char *copy = NULL;
	int fd = -1;

	if (path && strcmp(path, "-") == 0) {
		fd = STDOUT_FILENO;
	} else if (path && strcmp(path, "off") != 0) {
		fd = open_file(path);
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
	fd = open_file(state.path);
	if (fd < 0)
		return fd;
	set_fd(fd);
	return 0;
}

void access_log_close(void)
{
	access_log_flush();
	set_fd(-1);
	free(state.path);
	state.path = NULL;
}

// ---------------------------------------------------------------------------------------------
// Writing
// ---------------------------------------------------------------------------------------------

// Octets of the LENGTH at TEXT to write at a time: all, or for a stream whole lines that the kernel
// keeps together (at most PIPE_BUF), or else one line.
static size_t portion(const char *text, size_t length)
{
	size_t size = PIPE_BUF;

	if (!state.is_stream || length <= PIPE_BUF)
		return length;
	while (size && text[size - 1] != '\n')
		size--;
	if (size)
		return size;
	while (text[size] != '\n') // which every line ends in
		size++;
	return size + 1;
}

// Writes LENGTH octets, however many calls that takes. Returns 0 or a negative errno.
static int write_all(const char *text, size_t length)
{
	while (length) {
		ssize_t written = write(state.fd, text, length);
		struct pollfd ready = {.fd = state.fd, .events = POLLOUT};

		if (written >= 0) {
			text += written;
			length -= (size_t)written;
		} else if (errno == EAGAIN) {
			if (poll(&ready, 1, PATIENCE_MS) == 0)
				return -EAGAIN;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

void access_log_flush(void)
{
	size_t done = 0, size;
	int result = 0, error = errno;

	for (; done < state.used && result == 0; done += size) {
		size = portion(state.buffer + done, state.used - done);
		result = write_all(state.buffer + done, size);
	}
	if (result < 0)
		log_limited(LOG_LEVEL_ERROR, "access log: lines are lost: %s", strerror(-result));
	state.used = 0;
	errno = error;
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

	if (state.fd < 0)
		return;
	if (BUFFER_SIZE - state.used < line_size(entry))
		access_log_flush();
	start = at = state.buffer + state.used;
	at = state.format == ACCESS_LOG_JSON ? put_json(at, entry) : put_combined(at, entry);
	*at++ = '\n';
	state.used += (size_t)(at - start);
}
