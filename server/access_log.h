// SPDX-License-Identifier: MIT
// access_log.h - one line per request, buffered per worker.
//
// Combined:  ADDRESS - - [22/Nov/2026:23:04:50 +0000] "GET / HTTP/1.1" 200 12 "REFERER" "AGENT" 0.000123
//            0.000045
// JSON:      one object a line, with the same facts and the numbers of connection and request.
// What came from the client is escaped: as nginx does, \xXX, in combined, read as latin-1 in JSON.
// Lines are written whole, many at a time, with O_APPEND, so that workers can share a file. To a
// pipe at most PIPE_BUF octets go at a time, so that only a line longer than that can be torn.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum access_log_format { // in the order of the option access-log-format
	ACCESS_LOG_COMBINED,
	ACCESS_LOG_JSON,
};

// Octets that are somewhere else; DATA may be NULL if LENGTH is 0, and is logged as "-" then.
struct access_log_view {
	const char *data;
	size_t length;
};

struct access_log_entry {
	struct access_log_view remote; // address of the client, "unix:" for a unix socket
	struct access_log_view method; // of the request line, as received
	struct access_log_view target; // raw
	struct access_log_view protocol;
	struct access_log_view referer;
	struct access_log_view user_agent;
	int status;     // 0 if nothing was answered; logged as 000
	uint64_t bytes; // sent, body only as received by the client (after chunking is taken off)
	int64_t request_us; // microseconds from the first byte of the head to the last of the answer
	int64_t consumer_us; // from sending the message to its first answer; -1: never sent, or none
	uint64_t connection; // number of the connection in this worker
	uint64_t request;    // number of the request in its connection, from 1
};

// Opens the log of this process: PATH is "-" for the standard output, "off" (or NULL) for none. May
// be called again to change it. Returns 0 or a negative errno; what was open before stays then.
int access_log_open(const char *path, enum access_log_format format);

// Whether an entry would be written: lets a caller not gather it.
int access_log_enabled(void);

// Adds a line to the buffer, and writes the buffer when it is full. Never fails, and never waits for who reads the
// log: what a pipe has no room for stays in the buffer, and while that is full lines are dropped, and counted.
void access_log_write(const struct access_log_entry *entry);

// Writes the buffer. To be called by a timer, about once a second.
void access_log_flush(void);

// Says in the event log how many lines were lost since the last report, if any. Returns their number.
uint64_t access_log_report(void);

// Writes the buffer and opens the file anew, after a log rotation. If that fails, with a negative
// errno, the former file stays.
int access_log_reopen(void);

// Writes the buffer, reports, and closes. To be called before a graceful end; a second call does nothing. A reader that
// has left no room is waited for here, a moment.
void access_log_close(void);
