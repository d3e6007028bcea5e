// SPDX-License-Identifier: MIT
// daemon.c - going to the background, and the pid file.
#include "server/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((format(printf, 3, 4))) static int fail(
        char *error, int result, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error, DAEMON_ERROR_SIZE, format, arguments);
	va_end(arguments);
	return result;
}

// ---------------------------------------------------------------------------------------------
// Pid file
// ---------------------------------------------------------------------------------------------

static int already_running(struct daemon_pid_file *file, const char *path, char *error)
{
	char number[16] = "";
	ssize_t length = pread(file->fd, number, sizeof(number) - 1, 0);

	number[length > 0 ? strspn(number, "0123456789") : 0] = '\0';
	return fail(error, -EBUSY, "forebay is already running: process %s holds %s",
	        number[0] ? number : "(unknown)", path);
}

// Whether PATH still names the file that was locked: its former owner may have removed it between
// our open() and our lock.
static bool is_current(int fd, const char *path)
{
	struct stat opened, named;

	return fstat(fd, &opened) == 0 && stat(path, &named) == 0 &&
	       opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

int daemon_pid_file_lock(
        struct daemon_pid_file *file, const char *path, char error[DAEMON_ERROR_SIZE])
{
	int result;

	*file = (struct daemon_pid_file){.fd = -1};
	do {
		if (file->fd >= 0)
			close(file->fd);
		file->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644);
		if (file->fd < 0)
			return fail(error, -errno, "cannot open %s: %s", path, strerror(errno));
		if (flock(file->fd, LOCK_EX | LOCK_NB) < 0) {
			result = errno == EWOULDBLOCK ? already_running(file, path, error)
			                              : fail(error, -errno, "cannot lock %s: %s",
			                                        path, strerror(errno));
			daemon_pid_file_forget(file);
			return result;
		}
	} while (!is_current(file->fd, path));
	file->path = strdup(path);
	if (!file->path) {
		daemon_pid_file_forget(file);
		return fail(error, -ENOMEM, "out of memory");
	}
	return 0;
}

// One write, then the cut: a reader sees the old number or the new one, and never a part of one.
int daemon_pid_file_write(struct daemon_pid_file *file, char error[DAEMON_ERROR_SIZE])
{
	char number[16];
	int length = snprintf(number, sizeof(number), "%d\n", (int)getpid());

	if (file->fd < 0)
		return 0;
	if (pwrite(file->fd, number, (size_t)length, 0) != length ||
	        ftruncate(file->fd, length) < 0)
		return fail(error, -errno, "cannot write %s: %s", file->path, strerror(errno));
	return 0;
}

void daemon_pid_file_forget(struct daemon_pid_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	free(file->path);
	*file = (struct daemon_pid_file){.fd = -1};
}

void daemon_pid_file_remove(struct daemon_pid_file *file)
{
	// Removed while locked: nobody else can have made a file of this name meanwhile.
	if (file->fd >= 0 && file->path)
		unlink(file->path);
	daemon_pid_file_forget(file);
}

// ---------------------------------------------------------------------------------------------
// Going to the background
// ---------------------------------------------------------------------------------------------

// The end of the command that started the daemon: with 0 as soon as that is ready.
static void wait_until_ready(pid_t child, int fd)
{
	char ready;
	ssize_t length;

	waitpid(child, NULL, 0);
	do
		length = read(fd, &ready, 1);
	while (length < 0 && errno == EINTR);
	_exit(length == 1 ? EXIT_SUCCESS : EXIT_FAILURE);
}

static void put_null(int fd, int flags)
{
	int null = open("/dev/null", flags | O_CLOEXEC);

	if (null >= 0) {
		dup2(null, fd);
		close(null);
	}
}

int daemon_detach(void)
{
	int ends[2];
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	child = fork();
	if (child < 0)
		return -errno;
	if (child > 0) {
		close(ends[1]);
		wait_until_ready(child, ends[0]);
	}
	setsid();
	child = fork();
	if (child < 0)
		_exit(EXIT_FAILURE); // which the first parent sees as the end of the pipe
	if (child > 0)
		_exit(EXIT_SUCCESS);
	close(ends[0]);
	put_null(STDIN_FILENO, O_RDONLY);
	return ends[1];
}

void daemon_redirect(int output_fd)
{
	if (output_fd == STDERR_FILENO) {
		put_null(STDOUT_FILENO, O_WRONLY);
		put_null(STDERR_FILENO, O_WRONLY);
	} else {
		dup2(output_fd, STDOUT_FILENO);
		dup2(output_fd, STDERR_FILENO);
	}
}

void daemon_ready(int ready_fd, int output_fd)
{
	daemon_redirect(output_fd);
	// If the command that waits was killed, nobody needs to know.
	if (write(ready_fd, "", 1) < 0)
		errno = 0;
	close(ready_fd);
}
