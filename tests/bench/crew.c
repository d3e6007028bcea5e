// SPDX-License-Identifier: MIT
#include "tests/bench/crew.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 10  // s, for what takes a moment
#define WARM_UP  0.1 // s

bool bench_crowded;

// The parent's, so that bench_die() there leaves no process behind.
static struct bench_crew *current;

static void kill_all(struct bench_crew *crew)
{
	for (int i = 0; i < crew->count; i++)
		if (crew->pids[i] > 0)
			kill(crew->pids[i], SIGKILL);
	for (int i = 0; i < crew->count; i++)
		if (crew->pids[i] > 0)
			waitpid(crew->pids[i], NULL, 0);
	crew->count = 0;
}

void bench_die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	if (current) {
		struct bench_crew *crew = current;

		current = NULL;
		kill_all(crew);
		if (crew->run->transport && crew->run->transport->teardown)
			crew->run->transport->teardown(crew->run);
	}
	exit(EXIT_FAILURE);
}

void *bench_shared(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
	        MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (memory == MAP_FAILED)
		bench_die("mmap: %s", strerror(errno));
	return memory;
}

int64_t bench_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static void pin(int wanted)
{
	cpu_set_t allowed, one;
	int count;

	if (sched_getaffinity(0, sizeof allowed, &allowed) < 0)
		bench_die("sched_getaffinity: %s", strerror(errno));
	count = CPU_COUNT(&allowed);
	wanted %= count;
	CPU_ZERO(&one);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed) && wanted-- == 0)
			CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof one, &one) < 0)
		bench_die("sched_setaffinity: %s", strerror(errno));
}

static void set_realtime(int priority)
{
	struct sched_param parameters = {.sched_priority = priority};

	if (sched_setscheduler(0, SCHED_FIFO, &parameters) < 0)
		bench_die("cannot use SCHED_FIFO: %s", strerror(errno));
}

void bench_crew_init(struct bench_crew *crew, const struct bench_run *run)
{
	*crew = (struct bench_crew){.run = run};
	crew->control = bench_shared(sizeof *crew->control);
	bench_crowded = run->crowded;
	// Above the measured processes, or it couldn't stop them.
	if (run->realtime)
		set_realtime(2);
	current = crew;
}

void bench_crew_add(struct bench_crew *crew, int cpu,
        void (*work)(struct bench_crew *crew, int index), int index)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		bench_die("fork: %s", strerror(errno));
	if (pid == 0) {
		current = NULL;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(EXIT_FAILURE);
		pin(cpu);
		if (crew->run->realtime)
			set_realtime(1);
		work(crew, index);
		exit(EXIT_SUCCESS);
	}
	crew->pids[crew->count++] = pid;
}

void bench_crew_ready(struct bench_crew *crew)
{
	atomic_fetch_add(&crew->control->ready, 1);
	while (!atomic_load(&crew->control->go))
		sched_yield();
}

// Ends the benchmark if a process has failed; forgets those that have ended well.
static void look_after(struct bench_crew *crew)
{
	for (int i = 0; i < crew->count; i++) {
		int status;

		if (crew->pids[i] == 0 || waitpid(crew->pids[i], &status, WNOHANG) <= 0)
			continue;
		crew->pids[i] = 0;
		if (WIFSIGNALED(status))
			bench_die("a process was killed by signal %d", WTERMSIG(status));
		if (WEXITSTATUS(status) != 0)
			bench_die("a process failed");
	}
}

void bench_nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

void bench_crew_go(struct bench_crew *crew)
{
	int64_t limit = bench_now() + PATIENCE * 1000000000ll;

	while (atomic_load(&crew->control->ready) < (uint32_t)crew->count) {
		look_after(crew);
		if (bench_now() > limit)
			bench_die("the processes don't become ready");
		bench_nap();
	}
	atomic_store(&crew->control->go, 1);
}

static void sleep_seconds(struct bench_crew *crew, double seconds)
{
	int64_t nanoseconds = (int64_t)(seconds * 1e9);

	nanosleep(&(struct timespec){.tv_sec = nanoseconds / 1000000000,
	                  .tv_nsec = nanoseconds % 1000000000},
	        NULL);
	look_after(crew);
}

void bench_crew_warm_up(struct bench_crew *crew)
{
	sleep_seconds(crew, WARM_UP);
	atomic_store(&crew->control->warm, 1);
}

double bench_crew_measure(struct bench_crew *crew)
{
	int64_t start = bench_now();
	uint64_t ticks = bench_ticks();

	sleep_seconds(crew, crew->run->seconds);
	return (double)(bench_now() - start) / (double)(bench_ticks() - ticks);
}

void bench_crew_stop(struct bench_crew *crew, bool (*done)(const struct bench_crew *crew))
{
	int64_t limit = bench_now() + PATIENCE * 1000000000ll;

	atomic_store(&crew->control->stop, 1);

	while (!done(crew)) {
		look_after(crew);
		if (bench_now() > limit)
			bench_die("messages have been lost: the last ones don't arrive");
		bench_nap();
	}
	kill_all(crew);
	current = NULL;
}

uint64_t bench_crew_sum(const struct bench_counter *counters)
{
	uint64_t sum = 0;

	for (int i = 0; i < BENCH_PROCESSES; i++)
		sum += atomic_load_explicit(&counters[i].value, memory_order_relaxed);
	return sum;
}

void bench_crew_print_rate(struct bench_crew *crew, bool (*done)(const struct bench_crew *crew))
{
	const struct bench_transport *transport = crew->run->transport;
	uint64_t before, after;
	int64_t start, end;

	bench_crew_go(crew);
	bench_crew_warm_up(crew);
	start = bench_now();
	before = bench_crew_sum(crew->control->received);
	bench_crew_measure(crew);
	end = bench_now();
	after = bench_crew_sum(crew->control->received);
	bench_crew_stop(crew, done);
	if (transport && transport->teardown)
		transport->teardown(crew->run);
	if (after == before)
		bench_die("nothing was received in %g s", crew->run->seconds);
	printf("{\"rate\": %.1f, \"messages\": %llu}\n",
	        (double)(after - before) * 1e9 / (double)(end - start),
	        (unsigned long long)bench_crew_sum(crew->control->received));
}
