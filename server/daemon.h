// SPDX-License-Identifier: MIT
// daemon.h - going to the background, and the pid file.
#pragma once

#include <stddef.h>

// A pid file, locked for as long as the process lives: the lock and not the number says whether it is
// in use, so one that a crash left behind is no obstacle.
struct daemon_pid_file {
	int fd; // -1: none
	char *path;
};

#define DAEMON_ERROR_SIZE 512

// Locks PATH, making it if it isn't there. Returns 0, or a negative errno and ERROR, a sentence:
// "forebay is already running: process 123 holds /run/forebay.pid". A child
// that doesn't exec must call daemon_pid_file_forget(), or it would hold the lock after its parent.
int daemon_pid_file_lock(
        struct daemon_pid_file *file, const char *path, char error[DAEMON_ERROR_SIZE]);

// Writes this process's number: after daemon_detach(), whose children are other processes.
int daemon_pid_file_write(struct daemon_pid_file *file, char error[DAEMON_ERROR_SIZE]);

// Closes it in a child, leaving the parent's lock and the file alone.
void daemon_pid_file_forget(struct daemon_pid_file *file);

// Removes the file and gives up the lock. Accepts one that was never locked, and a second call.
void daemon_pid_file_remove(struct daemon_pid_file *file);

// Detaches from the terminal: forks twice, begins a new session, and puts /dev/null in the place of
// the standard input. The parent stays until daemon_ready() or the end of the daemon: it then exits
// with 0 or 1, and the command that started the daemon returns. Returns, in the daemon only, a
// descriptor for daemon_ready(); or a negative errno, in the parent.
int daemon_detach(void);

// Lets the waiting parent exit with 0, and sends what the daemon and its children print from now on to
// OUTPUT_FD, the log, or to /dev/null if it is the standard error output itself.
void daemon_ready(int ready_fd, int output_fd);

// The second half of that alone: after the log was opened anew.
void daemon_redirect(int output_fd);
