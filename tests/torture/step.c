// SPDX-License-Identifier: MIT
// step - kills and stops a process at the instructions of each operation on a layer, and looks at what that does
// to the others. Tests in TAP, one an operation and way of disturbing it; see --help.
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/torture/pair.h"
#include "tests/torture/trial.h"

enum {
	HANG = 60,          // s for one trial: only a hang takes that long
	STEPS_MAX = 500000, // instructions of one operation
	STOPS_SAMPLED = 40, // of each operation, unless every one is wanted
	CHOICES = 100,      // operations, more than there are
};

enum disturbance {
	KILL,
	STOP,
};

static const char help[] =
        "Usage: step [OPTION]...\n"
        "\n"
        "Kills, and stops, a process at the instructions of each operation on a layer, one after "
        "the\n"
        "other, and checks that the others go on and that everything comes back.\n"
        "\n"
        "  --every        at every instruction; otherwise it kills only where a death leaves "
        "something\n"
        "                 else behind than one instruction before (another image of everything but "
        "the\n"
        "                 contents of messages, or a system call done), and stops at a sample\n"
        "  --only TEXT    operations whose name contains TEXT\n"
        "  --pairs N      two processes at a time, each at some instruction of some operation, in "
        "N "
        "ways\n"
        "  --seed N       of these; way M of seed N is the first way of seed N + M (default: the "
        "time)\n"
        "  --first        ends at the first violation\n"
        "  --help\n";

static struct world world;
static bool every, first_only;
static uint64_t pairs, seed; // 0 pairs: one victim at a time
static uint64_t trials;
static uint32_t astray; // trials whose victim took another way than the recorded one

// ---------------------------------------------------------------------------------------------
// What a death leaves behind
// ---------------------------------------------------------------------------------------------

// All of the segment except for the contents of messages: what comes before the blocks, and their headers.
struct image {
	size_t size;
	char *fixed;
	struct shm_block_mem *headers;
};

static struct image image;

static void image_init(void)
{
	image.size = (size_t)(world.a->segment.blocks[0] - (char *)world.a->segment.base);
	image.fixed = calloc(1, image.size);
	image.headers = calloc(world.a->pool.first[SHM_CLASSES], sizeof *image.headers);
	if (!image.fixed || !image.headers)
		abort();
}

// Whether the segment has changed since the last call.
static bool image_changed(void)
{
	bool changed = memcmp(image.fixed, world.a->segment.base, image.size) != 0;

	if (changed)
		memcpy(image.fixed, world.a->segment.base, image.size);
	for (uint32_t handle = 0; handle < world.a->pool.first[SHM_CLASSES]; handle++) {
		struct shm_block_mem *block = shm_pool_block(&world.a->pool, handle);

		if (memcmp(&image.headers[handle], block, sizeof *block) == 0)
			continue;
		memcpy(&image.headers[handle], block, sizeof *block);
		changed = true;
	}
	return changed;
}

// ---------------------------------------------------------------------------------------------
// One trial
// ---------------------------------------------------------------------------------------------

static pid_t start(const struct operation *operation)
{
	pid_t pid = trial_start(&world, operation);

	if (operation->meet)
		operation->meet(&world);
	return pid;
}

// Kills the victim where it stands.
static void end_by_kill(const struct operation *operation, pid_t pid)
{
	trial_kill(pid);
	world_others_go_on(&world, world.instruction % 2);
	trial_enter(&world);
	world_drain(&world);
	(void)forebay_reap(world.a);
	if (operation->after)
		operation->after(&world);
	world_settle(&world, operation->losses);
	if (operation->clean)
		operation->clean();
}

// Leaves it standing there until the others have gone on, then lets it complete.
static void end_by_itself(const struct operation *operation, pid_t pid)
{
	world_others_go_on(&world, true);
	if (operation->meanwhile)
		operation->meanwhile(&world);
	trial_finish(&world, operation, pid);
	trial_enter(&world);
	if (operation->after)
		operation->after(&world);
	world_settle(&world, 0);
	if (operation->clean)
		operation->clean();
}

static void disturb(const struct operation *operation, const struct tracer_path *path,
        enum disturbance disturbance, uint32_t instruction)
{
	static char what[128];
	pid_t pid;

	snprintf(what, sizeof what, "%s, %s, instruction %u", operation->name,
	        disturbance == KILL ? "killed" : "stopped", instruction);
	world_begin(&world, what, instruction);
	trials = world.trial;
	pid = start(operation);
	astray += !tracer_go(pid, path, instruction);
	if (disturbance == KILL)
		end_by_kill(operation, pid);
	else
		end_by_itself(operation, pid);
	if (first_only && world.complaints) {
		printf("not ok 1 - %s\n1..1\n", what);
		exit(EXIT_FAILURE);
	}
}

// ---------------------------------------------------------------------------------------------
// One operation
// ---------------------------------------------------------------------------------------------

static void record(const struct operation *operation, struct tracer_path *path)
{
	pid_t pid;

	// Once undisturbed, so that files, channels and caches are there.
	for (int i = 0; i < 2; i++) {
		world_begin(&world, operation->name, 0);
		pid = start(operation);
		end_by_itself(operation, pid);
	}
	world_begin(&world, operation->name, 0);
	pid = start(operation);
	if (!tracer_record(pid, path, image_changed, STEPS_MAX)) {
		printf("Bail out! %s: it can't be stepped\n", operation->name);
		exit(EXIT_FAILURE);
	}
	end_by_itself(operation, pid);
}

// Whether to disturb the operation when INSTRUCTION instructions are done.
static bool is_chosen(
        const struct tracer_path *path, enum disturbance disturbance, uint32_t instruction)
{
	uint32_t stride = path->count / STOPS_SAMPLED + 1;

	if (every || instruction == 0 || instruction == path->count || path->events[instruction])
		return true;
	// Of stops, also those before something happens: what has been looked at may not hold any more.
	return disturbance == STOP &&
	       (path->events[instruction + 1] || instruction % stride == stride / 2);
}

static int number; // of tests so far

static void begin_test(void)
{
	memset(world.violations, 0, sizeof world.violations);
	world.complaints = 0;
}

// Says what was violated, as the end of a line, and the result.
static bool end_test(const char *name)
{
	uint64_t bad = 0;

	for (int i = 0; i < WORLD_VIOLATIONS; i++) {
		printf(" %llu %s", (unsigned long long)world.violations[i],
		        world_violation_names[i]);
		bad += world.violations[i];
	}
	printf("\n%s %d - %s\n", bad ? "not ok" : "ok", ++number, name);
	return bad == 0;
}

static bool test(
        const struct operation *operation, const struct tracer_path *path, enum disturbance way)
{
	uint32_t one_in = way == KILL ? operation->one_kill_in : operation->one_stop_in;
	uint32_t chosen = 0, disturbed = 0;
	char name[128];

	begin_test();
	astray = 0;
	for (uint32_t i = 0; i <= path->count; i++) {
		if (!is_chosen(path, way, i))
			continue;
		if (!every && one_in > 0 && chosen++ % one_in != 0)
			continue;
		alarm(HANG);
		disturb(operation, path, way, i);
		disturbed++;
	}
	alarm(0);
	printf("# %s: %u instructions, %s at %u of them (%u elsewhere):", operation->name,
	        path->count, way == KILL ? "killed" : "stopped", disturbed, astray);
	snprintf(name, sizeof name, "%s, %s", operation->name, way == KILL ? "killed" : "stopped");
	return end_test(name);
}

// Those of the COUNT operations whose names contain ONLY. Returns how many tests failed.
static int test_all(const struct operation *table, uint32_t count, const char *only)
{
	int failed = 0;

	for (uint32_t i = 0; i < count; i++) {
		struct tracer_path path;

		if (!strstr(table[i].name, only))
			continue;
		record(&table[i], &path);
		for (enum disturbance way = KILL; way <= STOP; way++)
			if (way == STOP || !table[i].stop_only)
				failed += !test(&table[i], &path, way);
		tracer_path_fini(&path);
	}
	return failed;
}

static const struct {
	const struct operation *table;
	const uint32_t *count;
} tables[] = {
        {operations, &operation_count},
        {group_operations, &group_operation_count},
        {will_operations, &will_operation_count},
        {history_operations, &history_operation_count},
};

// The operations whose names contain ONLY, each recorded by itself.
static uint32_t record_all(struct pair_choice choices[CHOICES], const char *only)
{
	uint32_t count = 0;

	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
		for (uint32_t k = 0; k < *tables[i].count; k++) {
			struct pair_choice *choice = &choices[count];

			if (!strstr(tables[i].table[k].name, only))
				continue;
			if (++count == CHOICES)
				abort();
			choice->operation = &tables[i].table[k];
			choice->table = tables[i].table;
			record(choice->operation, &choice->path);
		}
	}
	return count;
}

static int test_pairs(const char *only)
{
	static struct pair_choice choices[CHOICES];
	uint32_t count = record_all(choices, only);

	begin_test();
	pair_test(&world, choices, count, pairs, seed, first_only);
	trials = world.trial;
	printf("# %llu pairs of %u operations, seed %llu:", (unsigned long long)pairs, count,
	        (unsigned long long)seed);
	for (uint32_t i = 0; i < count; i++)
		tracer_path_fini(&choices[i].path);
	return !end_test("two at a time");
}

static void hung(int signal)
{
	static const char text[] = "\nBail out! blocked: a trial took a minute\n";

	(void)signal;
	(void)!write(STDOUT_FILENO, text, sizeof text - 1);
	(void)forebay_remove(NULL);
	_exit(EXIT_FAILURE); // which ends the victim too, as its tracer
}

// Whether processes may trace their children here. Many containers don't let them.
static bool can_trace(void)
{
	pid_t pid = fork();
	bool can;

	if (pid == 0) {
		if (!tracer_allow())
			_exit(EXIT_FAILURE);
		tracer_begin();
		tracer_end();
		_exit(EXIT_SUCCESS);
	}
	can = pid > 0 && tracer_meet(pid);
	if (can)
		(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, __WALL);
	return can;
}

// A string instruction is stepped once an octet; have the C library copy and fill in another way.
static void avoid_string_instructions(char **argv)
{
	static const char tunables[] = "glibc.cpu.x86_rep_movsb_threshold=1073741824:"
	                               "glibc.cpu.x86_rep_stosb_threshold=1073741824";

	char path[4096];
	ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);

	if (getenv("GLIBC_TUNABLES") || length < 0)
		return;
	path[length] = '\0'; // by its name, so that it is found in a list of processes
	(void)setenv("GLIBC_TUNABLES", tunables, 1);
	(void)execv(path, argv);
}

static void parse(int argc, char **argv, const char **only)
{
	static const struct option options[] = {
	        {"every", no_argument, NULL, 'e'},
	        {"only", required_argument, NULL, 'o'},
	        {"pairs", required_argument, NULL, 'p'},
	        {"seed", required_argument, NULL, 's'},
	        {"first", no_argument, NULL, 'f'},
	        {"help", no_argument, NULL, 'h'},
	        {0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'e':
			every = true;
			break;
		case 'o':
			*only = optarg;
			break;
		case 'p':
			pairs = strtoull(optarg, NULL, 10);
			break;
		case 's':
			seed = strtoull(optarg, NULL, 10);
			break;
		case 'f':
			first_only = true;
			break;
		case 'h':
			fputs(help, stdout);
			exit(EXIT_SUCCESS);
		default:
			exit(2);
		}
	}
}

static bool is_any(const char *only)
{
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
		for (uint32_t k = 0; k < *tables[i].count; k++)
			if (strstr(tables[i].table[k].name, only))
				return true;
	return false;
}

int main(int argc, char **argv)
{
	const char *only = "";
	int failed = 0;

	seed = (uint64_t)time(NULL);
	parse(argc, argv, &only);
	if (!is_any(only)) {
		fprintf(stderr, "torture_step: no operation's name contains \"%s\"\n", only);
		return 2;
	}
	avoid_string_instructions(argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!can_trace()) {
		printf("1..0 # SKIP this system doesn't let a process trace its child (ptrace)\n");
		return EXIT_SUCCESS;
	}
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	signal(SIGALRM, hung);
	traffic_init();
	victim_init();
	world_init(&world, pairs > 0 ? VICTIMS : 1);
	image_init();
	if (pairs > 0) {
		failed = test_pairs(only);
	} else {
		for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
			failed += test_all(tables[i].table, *tables[i].count, only);
	}
	printf("# %llu trials\n1..%d\n", (unsigned long long)trials, number);
	world_fini(&world);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
