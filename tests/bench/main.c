// SPDX-License-Identifier: MIT
// One measurement of one transport: `bench_layer BENCHMARK --transport NAME ...`. It prints one line of
// JSON, or says on standard error why it can't. scripts/bench runs it, in alternating rounds, and makes tables.

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/bench/loops.h"
#include "tests/bench/transports.h"

const struct bench_transport *const bench_transports[] = {
        &bench_forebay,
        &bench_forebay_corked,
        &bench_forebay_spin,
        &bench_forebay_epoll,
        &bench_shm,
        &bench_line,
        &bench_futex,
        &bench_handover,
        &bench_pipe,
        &bench_pipe_spin,
        &bench_mq,
        &bench_mq_spin,
#ifdef HAVE_CK
        &bench_ck_spsc,
        &bench_ck_mpmc,
#endif
#ifdef HAVE_BOOST
        &bench_boost,
        &bench_boost_spin,
#endif
#ifdef HAVE_ZEROMQ
        &bench_zeromq,
#endif
#ifdef HAVE_REDIS
        &bench_redis,
        &bench_redis_pipelined,
#endif
        NULL,
};

static const struct benchmark {
	const char *name;
	void (*run)(const struct bench_run *run);
	int queues;
	bool needs_transport;
} benchmarks[] = {
        {"oneway", bench_oneway, 1, true},
        {"roundtrip", bench_roundtrip, 2, true},
        {"memory", bench_memory, 0, false},
        {"channels", bench_channels, 0, false},
        {"spread", bench_spread, 0, false},
        {"listened", bench_listened, 0, false},
        {"queued", bench_queued, 0, false},
        {"fanout", bench_fanout, 0, false},
        {"singly", bench_singly, 0, false},
};

static const char usage[] =
        "Usage: bench_layer oneway --transport NAME [--producers N] [--consumers N] [OPTION]...\n"
        "       bench_layer roundtrip --transport NAME [OPTION]...\n"
        "       bench_layer memory|channels|spread|listened|queued [--count N] [OPTION]...\n"
        "       bench_layer fanout|singly [--count N] [--consumers N] [OPTION]...\n"
        "       bench_layer list\n"
        "\n"
        "  --size OCTETS  of a message (8)\n"
        "  --seconds N    to measure, after a warm-up (1)\n"
        "  --count N      buffers, channels, messages or members\n"
        "  --directory D  an empty one, on a tmpfs: for the layer and for sockets (a new one)\n"
        "  --realtime     SCHED_FIFO for the measured processes; takes privileges\n";

static const struct option options[] = {
        {"transport", required_argument, NULL, 't'},
        {"size", required_argument, NULL, 's'},
        {"seconds", required_argument, NULL, 'd'},
        {"producers", required_argument, NULL, 'p'},
        {"consumers", required_argument, NULL, 'c'},
        {"count", required_argument, NULL, 'n'},
        {"directory", required_argument, NULL, 'D'},
        {"realtime", no_argument, NULL, 'r'},
        {"help", no_argument, NULL, 'h'},
        {0},
};

static const struct bench_transport *find_transport(const char *name)
{
	for (const struct bench_transport *const *at = bench_transports; *at; at++)
		if (strcmp((*at)->name, name) == 0)
			return *at;
	bench_die("%s: not built in", name);
}

static double number(const char *text, double least, double most)
{
	char *end;
	double value = strtod(text, &end);

	if (*end || end == text || !(value >= least && value <= most))
		bench_die("%s: not a number from %g to %g", text, least, most);
	return value;
}

static void parse(int argc, char **argv, struct bench_run *run)
{
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 't':
			run->transport = find_transport(optarg);
			break;
		case 's':
			run->size = (size_t)number(optarg, 8, BENCH_SIZE_MAX);
			break;
		case 'd':
			run->seconds = number(optarg, 0.01, 600);
			break;
		case 'p':
			run->producers = (int)number(optarg, 1, BENCH_PROCESSES);
			break;
		case 'c':
			run->consumers = (int)number(optarg, 1, BENCH_PROCESSES);
			break;
		case 'n':
			run->count = (long)number(optarg, 0, 1e7);
			break;
		case 'D':
			run->directory = optarg;
			break;
		case 'r':
			run->realtime = true;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(EXIT_SUCCESS);
		default:
			fputs(usage, stderr);
			exit(EXIT_FAILURE);
		}
	}
}

static int list(void)
{
	for (const struct bench_transport *const *at = bench_transports; *at; at++)
		puts((*at)->name);
	return EXIT_SUCCESS;
}

static char made[] = "/dev/shm/forebay-bench-XXXXXX";
static pid_t maker;

static void remove_directory(void)
{
	if (getpid() == maker)
		(void)rmdir(made);
}

static const char *make_directory(void)
{
	if (!mkdtemp(made))
		bench_die("cannot make a directory: %s", strerror(errno));
	maker = getpid();
	atexit(remove_directory);
	return made;
}

int main(int argc, char **argv)
{
	struct bench_run run = {.size = 8, .producers = 1, .consumers = 1, .seconds = 1};

	if (argc == 2 && strcmp(argv[1], "list") == 0)
		return list();
	parse(argc, argv, &run);
	if (optind != argc - 1) {
		fputs(usage, stderr);
		return EXIT_FAILURE;
	}
	for (size_t i = 0; i < sizeof benchmarks / sizeof *benchmarks; i++) {
		const struct benchmark *benchmark = &benchmarks[i];

		if (strcmp(argv[optind], benchmark->name) != 0)
			continue;
		if (benchmark->needs_transport && !run.transport)
			bench_die("--transport is missing; see `bench_layer list`");
		run.queues = benchmark->queues;
		run.crowded = run.producers + run.consumers > sysconf(_SC_NPROCESSORS_ONLN);
		if (!run.directory)
			run.directory = make_directory();
		benchmark->run(&run);
		return EXIT_SUCCESS;
	}
	bench_die("%s: not built in", argv[optind]);
}
