// SPDX-License-Identifier: MIT
// Redis lists over a Unix socket: a server of our own, without persistence, that nobody else reaches.
//
//   redis            RPUSH and BLPOP, each awaited
//   redis-pipelined  RPUSH in batches whose replies are awaited together; LPOP with a count
//
// A list has no limit, so the sender looks at the length that RPUSH answers, and waits while it is above the depth.

#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/crew.h"
#include "tests/bench/transports.h"

#define BATCH 64

static pid_t server;

// A process's connection; all its ends share it.
static struct {
	redisContext *redis;
	int unanswered;     // RPUSHs of a batch
	redisReply *popped; // messages received at once
	size_t next;        // of them
} self;

struct end {
	char list[16];
};

static void path_of(const struct bench_run *run, char path[512])
{
	snprintf(path, 512, "%s/redis", run->directory);
}

static void serve(const struct bench_run *run)
{
	struct sched_param parameters = {.sched_priority = 1};
	int null = open("/dev/null", O_RDWR);
	char path[512];

	path_of(run, path);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	// As urgent as its clients, or they would keep it from running.
	if (run->realtime)
		(void)sched_setscheduler(0, SCHED_FIFO, &parameters);
	execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", path, "--save", "",
	        "--appendonly", "no", "--dir", run->directory, (char *)NULL);
	_exit(127);
}

static void setup(const struct bench_run *run)
{
	char path[512];

	path_of(run, path);
	server = fork();
	if (server < 0)
		bench_die("fork: %s", strerror(errno));
	if (server == 0)
		serve(run);
	for (int tries = 5000; access(path, F_OK) < 0; tries--) {
		if (tries == 0 || waitpid(server, NULL, WNOHANG) != 0)
			bench_die("redis-server doesn't start; is it installed?");
		bench_nap();
	}
}

static void teardown(const struct bench_run *run)
{
	char path[512];

	path_of(run, path);
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	(void)unlink(path);
}

static void *open_end(const struct bench_run *run, int queue, enum bench_role role, int index)
{
	struct end *end = calloc(1, sizeof *end);
	char path[512];

	(void)role;
	(void)index;
	path_of(run, path);
	if (!self.redis)
		self.redis = redisConnectUnix(path);
	if (!self.redis || self.redis->err)
		bench_die("cannot connect to redis-server");
	snprintf(end->list, sizeof end->list, "bench.%d", queue);
	return end;
}

static redisReply *get_reply(void)
{
	void *reply = NULL;

	if (redisGetReply(self.redis, &reply) != REDIS_OK || !reply)
		bench_die("redis: %s", self.redis->errstr);
	if (((redisReply *)reply)->type == REDIS_REPLY_ERROR)
		bench_die("redis: %s", ((redisReply *)reply)->str);
	return reply;
}

// Sends a command of up to three words; its reply is to come.
static void append(const char *command, const char *list, const void *argument, size_t size)
{
	const char *words[] = {command, list, argument};
	size_t sizes[] = {strlen(command), strlen(list), size};

	redisAppendCommandArgv(self.redis, argument ? 3 : 2, words, sizes);
}

static long long get_length(void)
{
	redisReply *reply = get_reply();
	long long length = reply->integer;

	freeReplyObject(reply);
	return length;
}

static void wait_for_room(const struct end *end, long long length)
{
	while (length > BENCH_DEPTH) {
		sched_yield();
		append("LLEN", end->list, NULL, 0);
		length = get_length();
	}
}

static void send_message(void *opaque, const void *data, size_t size)
{
	struct end *end = opaque;

	append("RPUSH", end->list, data, size);
	wait_for_room(end, get_length());
}

static void flush(void *opaque)
{
	long long length = 0;

	for (; self.unanswered > 0; self.unanswered--)
		length = get_length();
	wait_for_room(opaque, length);
}

static void send_pipelined(void *opaque, const void *data, size_t size)
{
	struct end *end = opaque;

	append("RPUSH", end->list, data, size);
	if (++self.unanswered == BATCH)
		flush(end);
}

static void receive_message(void *opaque, struct bench_reader *reader)
{
	struct end *end = opaque;
	redisReply *reply;

	append("BLPOP", end->list, "0", 1);
	reply = get_reply();
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2)
		bench_die("redis: a strange answer to BLPOP");
	bench_read(reader, reply->element[1]->str, (size_t)reply->element[1]->len);
	freeReplyObject(reply);
}

static void receive_pipelined(void *opaque, struct bench_reader *reader)
{
	struct end *end = opaque;
	redisReply *message;

	if (!self.popped) {
		append("LPOP", end->list, "64", 2);
		self.popped = get_reply();
		self.next = 0;
		if (self.popped->type != REDIS_REPLY_ARRAY || self.popped->elements == 0) {
			freeReplyObject(self.popped);
			self.popped = NULL;
			receive_message(end, reader);
			return;
		}
	}
	message = self.popped->element[self.next++];
	bench_read(reader, message->str, (size_t)message->len);
	if (self.next == self.popped->elements) {
		freeReplyObject(self.popped);
		self.popped = NULL;
	}
}

const struct bench_transport bench_redis = {
        "redis", setup, teardown, open_end, send_message, NULL, receive_message};
const struct bench_transport bench_redis_pipelined = {
        "redis-pipelined", setup, teardown, open_end, send_pipelined, flush, receive_pipelined};
