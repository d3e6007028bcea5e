// SPDX-License-Identifier: MIT
// What every Unix has. A message costs a system call on either side.
//
//   pipe  messages of one size without a head. A single receiver reads as much as there is.
//   mq    POSIX message queue. Without privileges it holds 10 messages of at most 8 KiB; and 10 of them too
//         if the memory that a user's queues may take isn't enough for more.
//
// With -spin the descriptors don't block, and both sides try again and again.

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mqueue.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/bench/transports.h"

static int pipes[2][2];
static mqd_t queues[2];

// The receiver's side of a queue: what it has read and not yet handed on.
static struct end {
	int descriptor;
	size_t size; // of a message
	size_t room; // of the buffer: how much to read at once
	size_t start, length;
	char *buffer;
} ends[2];

// Errors that mean "try again" end a turn of the loop; all others end the benchmark.
static void again(const char *what, unsigned *spins)
{
	if (errno != EAGAIN && errno != EINTR)
		bench_die("%s: %s", what, strerror(errno));
	bench_spin(spins);
}

static void allocate(struct end *end, size_t room)
{
	end->room = room;
	end->buffer = malloc(room);
	if (!end->buffer)
		bench_die("out of memory");
}

// ---------------------------------------------------------------------------------------------
// Pipe
// ---------------------------------------------------------------------------------------------

static void make_pipes(const struct bench_run *run, int flags)
{
	if (run->producers > 1 && run->size > PIPE_BUF)
		bench_die("not for several senders: writes of more than %d octets mix", PIPE_BUF);
	if (run->consumers > 1 && run->size > PIPE_BUF)
		bench_die("not for several receivers: a message is read in parts");
	for (int i = 0; i < run->queues; i++) {
		int size = (int)(BENCH_DEPTH * run->size);

		if (pipe2(pipes[i], flags) < 0)
			bench_die("pipe: %s", strerror(errno));
		// If it may not be so large, 1 MiB is what everybody may have.
		if (fcntl(pipes[i][1], F_SETPIPE_SZ, size) < 0 &&
		        fcntl(pipes[i][1], F_SETPIPE_SZ, 1 << 20) < 0)
			bench_die("F_SETPIPE_SZ: %s", strerror(errno));
	}
}

static void make_blocking_pipes(const struct bench_run *run)
{
	make_pipes(run, 0);
}

static void make_spinning_pipes(const struct bench_run *run)
{
	make_pipes(run, O_NONBLOCK);
}

static void close_pipes(const struct bench_run *run)
{
	for (int i = 0; i < run->queues; i++) {
		close(pipes[i][0]);
		close(pipes[i][1]);
	}
}

static void *open_pipe(const struct bench_run *run, int queue, enum bench_role role, int index)
{
	struct end *end = &ends[queue];

	(void)index;
	end->descriptor = pipes[queue][role == BENCH_SENDER];
	end->size = run->size;
	if (role == BENCH_RECEIVER) {
		size_t room = run->size;

		// Several receivers must not take parts of each other's messages.
		if (run->consumers == 1 && room < 65536)
			room = 65536;
		allocate(end, room);
	}
	return end;
}

static void write_pipe(void *opaque, const void *data, size_t size)
{
	struct end *end = opaque;
	const char *from = data;
	unsigned spins = 0;

	while (size > 0) {
		ssize_t written = write(end->descriptor, from, size);

		if (written < 0) {
			again("write", &spins);
			continue;
		}
		from += written;
		size -= (size_t)written;
	}
}

static void read_pipe(void *opaque, struct bench_reader *reader)
{
	struct end *end = opaque;
	unsigned spins = 0;

	while (reader->length < end->size) {
		size_t take = end->size - reader->length;

		if (end->length == 0) {
			ssize_t length = read(end->descriptor, end->buffer, end->room);

			if (length <= 0) {
				again("read", &spins);
				continue;
			}
			end->start = 0;
			end->length = (size_t)length;
		}
		take = take < end->length ? take : end->length;
		bench_read(reader, end->buffer + end->start, take);
		end->start += take;
		end->length -= take;
	}
}

// ---------------------------------------------------------------------------------------------
// POSIX message queue
// ---------------------------------------------------------------------------------------------

// A queue's limits are a namespace's: in one of our own, which takes privileges, they can be raised without
// changing the machine's. The memory that a user's queues may take remains.
static void raise_limits(void)
{
	static const struct {
		const char *path, *value;
	} limits[] = {
	        {"/proc/sys/fs/mqueue/msg_max", "1024"},
	        {"/proc/sys/fs/mqueue/msgsize_max", "1048576"},
	};
	struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};

	(void)setrlimit(RLIMIT_MSGQUEUE, &unlimited);
	if (unshare(CLONE_NEWIPC) < 0)
		return;
	for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
		int file = open(limits[i].path, O_WRONLY | O_CLOEXEC);

		if (file < 0)
			continue;
		(void)!write(file, limits[i].value, strlen(limits[i].value));
		close(file);
	}
}

// Opened before the processes are forked and unlinked at once, so that nothing can stay behind.
static void make_queues(const struct bench_run *run, int flags)
{
	raise_limits();
	flags |= O_RDWR | O_CREAT | O_EXCL;
	for (int i = 0; i < run->queues; i++) {
		struct mq_attr attributes = {
		        .mq_maxmsg = BENCH_DEPTH, .mq_msgsize = (long)run->size};
		char name[64];

		snprintf(name, sizeof name, "/forebay-bench.%d.%d", (int)getpid(), i);
		queues[i] = mq_open(name, flags, 0600, &attributes);
		if (queues[i] < 0) {
			attributes.mq_maxmsg = 10;
			queues[i] = mq_open(name, flags, 0600, &attributes);
		}
		if (queues[i] < 0)
			bench_die("a message queue for %zu octets: %s", run->size, strerror(errno));
		mq_unlink(name);
	}
}

static void make_blocking_queues(const struct bench_run *run)
{
	make_queues(run, 0);
}

static void make_spinning_queues(const struct bench_run *run)
{
	make_queues(run, O_NONBLOCK);
}

static void close_queues(const struct bench_run *run)
{
	for (int i = 0; i < run->queues; i++)
		mq_close(queues[i]);
}

static void *open_queue(const struct bench_run *run, int queue, enum bench_role role, int index)
{
	struct end *end = &ends[queue];

	(void)index;
	end->descriptor = queues[queue];
	if (role == BENCH_RECEIVER)
		allocate(end, run->size);
	return end;
}

static void send_queue(void *opaque, const void *data, size_t size)
{
	struct end *end = opaque;
	unsigned spins = 0;

	while (mq_send(end->descriptor, data, size, 0) < 0)
		again("mq_send", &spins);
}

static void receive_queue(void *opaque, struct bench_reader *reader)
{
	struct end *end = opaque;
	unsigned spins = 0;
	ssize_t length;

	while ((length = mq_receive(end->descriptor, end->buffer, end->room, NULL)) < 0)
		again("mq_receive", &spins);
	bench_read(reader, end->buffer, (size_t)length);
}

const struct bench_transport bench_pipe = {
        "pipe", make_blocking_pipes, close_pipes, open_pipe, write_pipe, NULL, read_pipe};
const struct bench_transport bench_pipe_spin = {
        "pipe-spin", make_spinning_pipes, close_pipes, open_pipe, write_pipe, NULL, read_pipe};
const struct bench_transport bench_mq = {
        "mq", make_blocking_queues, close_queues, open_queue, send_queue, NULL, receive_queue};
const struct bench_transport bench_mq_spin = {
        "mq-spin", make_spinning_queues, close_queues, open_queue, send_queue, NULL, receive_queue};
