// SPDX-License-Identifier: MIT
// descriptor.h - which numbers the layer's open files may have.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

// Moves FD, which may be -1, to a number above those of standard input, output and error, and returns
// it; or -1 with errno. A process may have been started with those closed: the segment would get such
// a number, and what the program prints would be written over the layer's header.
static inline int shm_descriptor_lift(int fd)
{
	int lifted, error;

	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	lifted = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	error = errno;
	close(fd);
	errno = error;
	return lifted;
}
