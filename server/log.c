// SPDX-License-Identifier: MIT
// log.c - the event log of a process: one line, written by one write(2), per event.
#include "server/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "server/escape.h"
#include "server/log_file.h"

enum { SILENCE_MS = 1000 };

static const char *const level_names[] = {"error", "warning", "info", "debug"};

// The log belongs to the process, like its standard error output; it is not for several threads.
static struct {
	struct log_file file;
	enum log_level level;
	enum log_format format;
	char role[32];
	char *path;               // NULL for the standard error output
	unsigned long lost;       // events that couldn't be written, since the last one that could
	bool torn;                // one of them was written in part
	struct log_limit *limits; // call sites that have repeats to report
} state = {.file.fd = STDERR_FILENO, .level = LOG_LEVEL_INFO, .format = LOG_FORMAT_TEXT};

static int open_file(const char *path)
{
	int fd = log_file_open(path);

	// Applications may get it as their standard error output, which has to block as they expect.
	if (fd >= 0)
		(void)fcntl(fd, F_SETFL, O_APPEND);
	return fd;
}

static void replace_fd(int fd)
{
	if (state.file.fd != STDERR_FILENO)
		close(state.file.fd);
	state.file = log_file_of(fd);
}

int log_init(const char *path, enum log_level level, enum log_format format)
{
	char *copy = NULL;
	int fd = STDERR_FILENO;

	if (strcmp(path, "-") != 0) {
		fd = open_file(path);
		if (fd < 0)
			return fd;
		copy = strdup(path);
		if (!copy) {
			close(fd);
			return -ENOMEM;
		}
	}
	replace_fd(fd);
	free(state.path);
	state.path = copy;
	state.level = level;
	state.format = format;
	return 0;
}

void log_set_role(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(state.role, sizeof(state.role), format, arguments);
	va_end(arguments);
	for (struct log_limit *limit = state.limits; limit; limit = limit->next) {
		limit->repeats = 0;
		limit->listed = false;
	}
	state.limits = NULL;
	state.lost = 0;
	state.torn = false;
}

int log_reopen(void)
{
	int fd;

	if (!state.path)
		return 0;
	fd = open_file(state.path);
	if (fd < 0)
		return fd;
	replace_fd(fd);
	return 0;
}

int log_fd(void)
{
	return state.file.fd;
}

bool log_enabled(enum log_level level)
{
	return level <= state.level;
}

// Writes the local time, with milliseconds and the offset from UTC. Returns its length.
static size_t put_time(char *out, size_t size)
{
	struct timeval now;
	struct tm local;
	char seconds[32], zone[16];

	gettimeofday(&now, NULL);
	localtime_r(&now.tv_sec, &local);
	strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &local);
	strftime(zone, sizeof(zone), "%z", &local);
	return (size_t)snprintf(out, size, "%s.%03d%s", seconds, (int)(now.tv_usec / 1000), zone);
}

// The longest line: the message escaped, and what stands around it.
enum { LINE_SIZE = LOG_MESSAGE_MAX * ESCAPE_FACTOR + 512 };

enum { LOST_SIZE = 1024 }; // the most that is said of lost events

static size_t put_line(char *line, enum log_level level, const char *message, size_t length)
{
	bool json = state.format == LOG_FORMAT_JSON;
	char time[64];
	size_t at;

	put_time(time, sizeof(time));
	if (json)
		at = (size_t)snprintf(line, LINE_SIZE,
		        "{\"time\":\"%s\",\"level\":\"%s\",\"role\":\"%s\",\"pid\":%d,\"message\":"
		        "\"",
		        time, level_names[level], state.role, (int)getpid());
	else
		at = (size_t)snprintf(line, LINE_SIZE, "%s %s %s%s", time, level_names[level],
		        state.role, state.role[0] ? ": " : "");
	at += escape(line + at, json ? ESCAPE_JSON : ESCAPE_TEXT, message, length);
	if (json) {
		line[at++] = '"';
		line[at++] = '}';
	}
	line[at++] = '\n';
	return at;
}

// Writes what an event says to OUT, of SIZE octets, and shows it if that isn't enough. Returns the length.
__attribute__((format(printf, 3, 0))) static size_t put_message(
        char *out, size_t size, const char *format, va_list arguments)
{
	int length = vsnprintf(out, size, format, arguments);

	if (length < 0) {
		out[0] = '\0';
		return 0;
	}
	if ((size_t)length < size)
		return (size_t)length;
	memcpy(out + size - 4, "...", 4);
	return size - 1;
}

// Writes a line: whole, or in pieces if it is longer than what a pipe keeps together. Returns the octets written.
static size_t write_line(const char *line, size_t length)
{
	size_t done = 0;
	ssize_t written = 0;

	for (; done < length && written >= 0; done += written > 0 ? (size_t)written : 0)
		written = log_file_write(&state.file, line + done, length - done);
	return done;
}

// Writes on a line of its own how many events are missing before the next one. Returns its length.
static size_t put_lost(char *out)
{
	char message[80];
	int length = snprintf(message, sizeof(message),
	        "%lu events before this were lost: the log took nothing", state.lost);

	if (state.torn)
		*out = '\n';
	return state.torn + put_line(out + state.torn, LOG_LEVEL_WARNING, message, (size_t)length);
}

// What can't be written (nobody reads the pipe, the disk is full) has nowhere to be told of but where the log goes on.
__attribute__((format(printf, 2, 0))) static void put_event(
        enum log_level level, const char *format, va_list arguments)
{
	char message[LOG_MESSAGE_MAX + 1], line[LOST_SIZE + LINE_SIZE];
	int error = errno;
	size_t length = put_message(message, sizeof(message), format, arguments);
	size_t lost = state.lost ? put_lost(line) : 0;
	size_t size = lost + put_line(line + lost, level, message, length);
	size_t done = write_line(line, size);

	state.torn = done < size && (done > 0 || state.torn);
	state.lost = done < size ? state.lost + 1 : 0;
	errno = error;
}

void log_event(enum log_level level, const char *format, ...)
{
	va_list arguments;

	if (!log_enabled(level))
		return;
	va_start(arguments, format);
	put_event(level, format, arguments);
	va_end(arguments);
}

static int64_t monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void report_repeats(struct log_limit *limit)
{
	if (limit->repeats)
		log_event(limit->level, "%lu more like this, the last: %s", limit->repeats,
		        limit->last);
	limit->repeats = 0;
}

// Counts an event that isn't written, and lists its site for log_tick().
__attribute__((format(printf, 3, 0))) static void count_repeat(
        struct log_limit *limit, enum log_level level, const char *format, va_list arguments)
{
	limit->repeats++;
	limit->level = level;
	put_message(limit->last, sizeof(limit->last), format, arguments);
	if (limit->listed)
		return;
	limit->listed = true;
	limit->next = state.limits;
	state.limits = limit;
}

void log_event_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
{
	int64_t now;
	int error = errno;
	va_list arguments;

	if (!log_enabled(level))
		return;
	now = monotonic_ms();
	va_start(arguments, format);
	if (now < limit->until) {
		count_repeat(limit, level, format, arguments);
	} else {
		report_repeats(limit);
		limit->until = now + SILENCE_MS;
		put_event(level, format, arguments);
	}
	va_end(arguments);
	errno = error;
}

void log_tick(bool all)
{
	struct log_limit **link = &state.limits, *limit;
	int64_t now = monotonic_ms();

	while ((limit = *link)) {
		if (!all && now < limit->until) {
			link = &limit->next;
			continue;
		}
		*link = limit->next;
		limit->listed = false;
		report_repeats(limit);
	}
}
