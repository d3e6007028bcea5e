// SPDX-License-Identifier: MIT
// lws_seam.c - recv() and send() of this program; see lws_seam.h.
//
// Everything in the process that calls recv() or send() comes here, also from other libraries and from
// signal handlers. So the way of a descriptor that is none of ours is short: one comparison, one load.
#include "server/lws_seam.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// By descriptor. Written by the one thread that runs the library.
static struct lws_seam **seams;
static int seam_count;
static int null_fd = -1; // what all placeholders are copies of

struct lws_seam *lws_seam_find(int fd)
{
	return fd >= 0 && fd < seam_count ? seams[fd] : NULL;
}

static int make_room(int fd)
{
	int count = seam_count ? seam_count : 64;
	struct lws_seam **grown;

	if (fd < seam_count)
		return 0;
	while (count <= fd)
		count *= 2;
	grown = realloc(seams, (size_t)count * sizeof(struct lws_seam *));
	if (!grown)
		return -ENOMEM;
	memset(grown + seam_count, 0, (size_t)(count - seam_count) * sizeof(struct lws_seam *));
	seams = grown;
	seam_count = count;
	return 0;
}

int lws_seam_claim(struct lws_seam *seam, const struct lws_seam_side *side)
{
	int fd, result;

	if (null_fd < 0)
		null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	fd = fcntl(null_fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	result = make_room(fd);
	if (result < 0) {
		close(fd);
		return result;
	}
	*seam = (struct lws_seam){.side = side, .fd = fd};
	seams[fd] = seam;
	return 0;
}

void lws_seam_release(struct lws_seam *seam)
{
	if (lws_seam_find(seam->fd) == seam)
		seams[seam->fd] = NULL;
	seam->fd = -1;
	seam->wsi = NULL;
	seam->want_write = false;
}

void lws_seam_fini(void)
{
	free(seams);
	seams = NULL;
	seam_count = 0;
	if (null_fd >= 0)
		close(null_fd);
	null_fd = -1;
}

// The library finds these instead of libc's. (A program is searched before the libraries it needs.)
__attribute__((visibility("default"))) ssize_t recv(int fd, void *buffer, size_t size, int flags)
{
	struct lws_seam *seam = lws_seam_find(fd);

	if (!seam)
		return recvfrom(fd, buffer, size, flags, NULL, NULL);
	if (seam->input_length == 0) {
		errno = EAGAIN;
		return -1;
	}
	if (size > seam->input_length)
		size = seam->input_length;
	memcpy(buffer, seam->input, size);
	seam->input += size;
	seam->input_length -= size;
	return (ssize_t)size;
}

__attribute__((visibility("default"))) ssize_t send(
        int fd, const void *buffer, size_t size, int flags)
{
	struct lws_seam *seam = lws_seam_find(fd);

	if (!seam)
		return sendto(fd, buffer, size, flags, NULL, 0);
	// Always all of it, so that the library never has half a frame to keep.
	if (!seam->muted)
		seam->side->output(seam, buffer, size);
	return (ssize_t)size;
}
