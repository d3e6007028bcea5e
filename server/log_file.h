// SPDX-License-Identifier: MIT
// log_file.h - what a log is written to: a file, or a stream (pipe, socket or terminal), whose reader is never waited for.
//
// A descriptor that was inherited is shared with others, for whom it has to block as they expect: so O_NONBLOCK isn't
// set on it, but each write is one that doesn't wait. Linux does that from 6.4 on (RWF_NOWAIT). Before that, and for
// a terminal, a write follows a look whether there is room; there, somebody else could fill a pipe in between.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct log_file {
	int fd;
	bool is_stream; // others may write in between, and what it takes depends on who reads
};

// Opens PATH for appending, and makes it if need be. Returns a descriptor, nonblocking if it is a stream's, or a negative
// errno. A FIFO is opened at once, whether or not somebody reads it.
int log_file_open(const char *path);

// What FD, which stays the caller's, is.
struct log_file log_file_of(int fd);

// Writes at most LENGTH octets at TEXT, at most PIPE_BUF of them to a stream. Returns how many, or a negative errno:
// -EAGAIN if the stream takes nothing now.
ssize_t log_file_write(const struct log_file *file, const char *text, size_t length);
