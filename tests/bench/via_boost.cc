// SPDX-License-Identifier: MIT
// Boost.Interprocess's message_queue: a heap of messages under a mutex in shared memory. The message is copied
// in and copied out. With -spin both sides try again and again.

#include <boost/interprocess/ipc/message_queue.hpp>
#include <unistd.h>

#include "tests/bench/transports.h"

using boost::interprocess::message_queue;

namespace
{

struct end {
	message_queue queue;
	char *buffer;
	size_t size;
};

void name_of(const bench_run *run, int queue, char name[64])
{
	// The parent's process id, in a name that parent and children agree on.
	snprintf(name, 64, "%s.%d", strrchr(run->directory, '/') + 1, queue);
}

void setup(const bench_run *run)
{
	for (int i = 0; i < run->queues; i++) {
		char name[64];

		name_of(run, i, name);
		try {
			message_queue made(boost::interprocess::create_only, name, BENCH_DEPTH,
			        run->size, boost::interprocess::permissions(0600));
		} catch (const boost::interprocess::interprocess_exception &error) {
			bench_die("message_queue: %s", error.what());
		}
	}
}

void teardown(const bench_run *run)
{
	for (int i = 0; i < run->queues; i++) {
		char name[64];

		name_of(run, i, name);
		message_queue::remove(name);
	}
}

void *open_end(const bench_run *run, int queue, bench_role, int)
{
	char name[64];

	name_of(run, queue, name);
	return new end{message_queue(boost::interprocess::open_only, name), new char[run->size],
	        run->size};
}

void send_message(void *opaque, const void *data, size_t size)
{
	static_cast<end *>(opaque)->queue.send(data, size, 0);
}

void send_spinning(void *opaque, const void *data, size_t size)
{
	unsigned spins = 0;

	while (!static_cast<end *>(opaque)->queue.try_send(data, size, 0))
		bench_spin(&spins);
}

void receive_message(void *opaque, bench_reader *reader)
{
	auto *from = static_cast<end *>(opaque);
	message_queue::size_type length;
	unsigned priority;

	from->queue.receive(from->buffer, from->size, length, priority);
	bench_read(reader, from->buffer, length);
}

void receive_spinning(void *opaque, bench_reader *reader)
{
	auto *from = static_cast<end *>(opaque);
	message_queue::size_type length;
	unsigned priority, spins = 0;

	while (!from->queue.try_receive(from->buffer, from->size, length, priority))
		bench_spin(&spins);
	bench_read(reader, from->buffer, length);
}

} // namespace

const struct bench_transport bench_boost = {
        "boost", setup, teardown, open_end, send_message, nullptr, receive_message};
const struct bench_transport bench_boost_spin = {
        "boost-spin", setup, teardown, open_end, send_spinning, nullptr, receive_spinning};
