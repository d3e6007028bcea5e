// SPDX-License-Identifier: MIT
// log.h - the event log of a process: one line, written by one write(2), per event.
//
// A line of text is   2026-11-22T23:04:50.123+0000 warning worker 2: message
// and in JSON         {"time": "...", "level": "warning", "role": "worker 2", "pid": 7, "message": "..."}
// Who reads a pipe that the log goes to is never waited for: what finds no room there is dropped, and how much that was
// stands before the next event.
// Control characters in a message are escaped (\n, \x1b), so nothing that a client or a consumer sent
// can forge a line. Every function keeps errno as it was. Not for signal handlers.
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum log_level { // in the order of the option log-level
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

enum log_format { // in the order of the option log-format
	LOG_FORMAT_TEXT,
	LOG_FORMAT_JSON,
};

// The longest message, in octets before escaping; what is longer is cut and ends in "...".
#define LOG_MESSAGE_MAX 2000

// Opens the log. PATH is "-" for the standard error output. May be called again to change the
// settings: if it fails, with a negative errno, the former stay in force. Before the first call,
// everything up to LOG_LEVEL_INFO goes to the standard error output as text.
int log_init(const char *path, enum log_level level, enum log_format format);

// Names this process in every line from now on: log_set_role("worker %d", number). At most 31
// characters. Also forgets, after a fork, what the parent still had to say about repeats.
void log_set_role(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Opens the file anew, after a log rotation. If that fails, with a negative errno, the former stays.
int log_reopen(void);

// The file descriptor that is written to: for a child that should keep it, or the standard error.
int log_fd(void);

bool log_enabled(enum log_level level);

void log_event(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_event(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_event(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_event(LOG_LEVEL_INFO, __VA_ARGS__)
// The arguments aren't evaluated unless they will be logged.
#define log_debug(...)                                                                             \
	do {                                                                                       \
		if (log_enabled(LOG_LEVEL_DEBUG))                                                  \
			log_event(LOG_LEVEL_DEBUG, __VA_ARGS__);                                   \
	} while (0)

// What one call site has said lately. Zero it to start.
struct log_limit {
	int64_t until;          // ms of the monotonic clock: silent until then
	unsigned long repeats;  // events that were not written since
	enum log_level level;   // of the last of them
	char last[256];         // what it says, or how that begins
	struct log_limit *next; // in the list of those with repeats
	bool listed;
};

// Logs at most one event a second from this call site. What was left out is counted and reported
// by log_tick(), or with the next event, as "N more like this, the last: EVENT".
#define log_limited(LEVEL, ...)                                                                    \
	do {                                                                                       \
		static struct log_limit limit_;                                                    \
		log_event_limited(&limit_, LEVEL, __VA_ARGS__);                                    \
	} while (0)

void log_event_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

// Reports repeats whose second is over. To be called about once a second, and at exit with ALL true.
void log_tick(bool all);
