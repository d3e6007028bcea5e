// SPDX-License-Identifier: MIT
// ZeroMQ, PUSH to PULL over ipc. Each receiver binds an address of its own, each sender connects to all, and
// ZeroMQ deals messages out in turn. The high-water marks, half of the depth each, bound what is under way, not
// counting what the sockets between hold. Its threads may run on any processor, so there's no spinning variant:
// on two processors it would keep them from running.

#include <errno.h>
#include <stdlib.h>
#include <zmq.h>

#include "tests/bench/transports.h"

static void *context;

static void check(int result, const char *what)
{
	if (result < 0)
		bench_die("%s: %s", what, zmq_strerror(zmq_errno()));
}

static void make_context(void)
{
	if (context)
		return;
	context = zmq_ctx_new();
	for (int cpu = 0; cpu < 2; cpu++)
		check(zmq_ctx_set(context, ZMQ_THREAD_AFFINITY_CPU_ADD, cpu), "zmq_ctx_set");
}

static void address_of(const struct bench_run *run, int queue, int index, char address[512])
{
	snprintf(address, 512, "ipc://%s/zeromq.%d.%d", run->directory, queue, index);
}

static void *open_socket(const struct bench_run *run, int queue, enum bench_role role, int index)
{
	int mark = BENCH_DEPTH / 2;
	char address[512];
	void *socket;

	make_context();
	socket = zmq_socket(context, role == BENCH_SENDER ? ZMQ_PUSH : ZMQ_PULL);
	if (!socket)
		bench_die("zmq_socket: %s", zmq_strerror(zmq_errno()));
	check(zmq_setsockopt(socket, ZMQ_SNDHWM, &mark, sizeof mark), "ZMQ_SNDHWM");
	check(zmq_setsockopt(socket, ZMQ_RCVHWM, &mark, sizeof mark), "ZMQ_RCVHWM");
	if (role == BENCH_RECEIVER) {
		address_of(run, queue, index, address);
		check(zmq_bind(socket, address), "zmq_bind");
		return socket;
	}
	for (int i = 0; i < run->consumers; i++) {
		address_of(run, queue, i, address);
		check(zmq_connect(socket, address), "zmq_connect");
	}
	return socket;
}

static void teardown(const struct bench_run *run)
{
	char address[512];

	for (int queue = 0; queue < run->queues; queue++) {
		for (int i = 0; i < run->consumers; i++) {
			address_of(run, queue, i, address);
			(void)remove(address + strlen("ipc://"));
		}
	}
}

static void send_message(void *end, const void *data, size_t size)
{
	check(zmq_send(end, data, size, 0), "zmq_send");
}

static void receive_message(void *end, struct bench_reader *reader)
{
	zmq_msg_t message;

	zmq_msg_init(&message);
	check(zmq_msg_recv(&message, end, 0), "zmq_msg_recv");
	bench_read(reader, zmq_msg_data(&message), zmq_msg_size(&message));
	zmq_msg_close(&message);
}

const struct bench_transport bench_zeromq = {
        "zeromq", NULL, teardown, open_socket, send_message, NULL, receive_message};
