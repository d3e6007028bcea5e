// SPDX-License-Identifier: MIT
// log_file.c - writing to a log without waiting for its reader; see log_file.h.
#include "server/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FLAGS (O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)

int log_file_open(const char *path)
{
	int fd = open(path, O_WRONLY | FLAGS, 0640);

	// A FIFO that nobody reads yet. With a reading end of our own it keeps what it has room for until somebody does.
	if (fd < 0 && errno == ENXIO)
		fd = open(path, O_RDWR | FLAGS, 0640);
	return fd < 0 ? -errno : fd;
}

struct log_file log_file_of(int fd)
{
	struct stat status;

	return (struct log_file){fd, fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)};
}

static ssize_t write_stream(int fd, const char *text, size_t length)
{
	struct iovec part = {(void *)text, length < PIPE_BUF ? length : PIPE_BUF};
	struct pollfd ready = {.fd = fd, .events = POLLOUT};
	ssize_t written = pwritev2(fd, &part, 1, -1, RWF_NOWAIT);

	if (written >= 0 || errno != EOPNOTSUPP)
		return written;
	// A pipe that is ready has room for PIPE_BUF octets.
	if (poll(&ready, 1, 0) == 0) {
		errno = EAGAIN;
		return -1;
	}
	return write(fd, text, part.iov_len);
}

ssize_t log_file_write(const struct log_file *file, const char *text, size_t length)
{
	ssize_t written;

	do
		written = file->is_stream ? write_stream(file->fd, text, length)
		                          : write(file->fd, text, length);
	while (written < 0 && errno == EINTR);
	return written < 0 ? -errno : written;
}
