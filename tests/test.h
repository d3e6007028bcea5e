// SPDX-License-Identifier: MIT
// test.h - the whole unit test framework: named tests that register themselves, TAP on stdout.
//
// The tests of a program run in a child process with a directory of its own, test_directory. One that fails, or
// crashes, ends the child: whatever it has left there or started goes with it, and the next test begins in a
// new child and a new directory.
//
//   TEST(an_empty_ring_yields_nothing)
//   {
//           EXPECT(shm_ring_pop(&ring) == SHM_NONE);
//   }
//
// A failed EXPECT says where and what on stderr, fails the test and returns from the test function. In
// helper functions use EXPECT too: they must return void, and the caller checks test_failed().
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct test_case {
	const char *name;
	void (*run)(void);
	struct test_case *next;
};

static struct test_case *test_first, **test_last = &test_first;
static bool test_bad;

// Of this child alone, and empty when it begins.
static char test_directory[48];

#define TEST(NAME)                                                                                 \
	static void test_##NAME(void);                                                             \
	static struct test_case test_case_##NAME = {#NAME, test_##NAME, NULL};                     \
	__attribute__((constructor)) static void test_register_##NAME(void)                        \
	{                                                                                          \
		*test_last = &test_case_##NAME;                                                    \
		test_last = &test_case_##NAME.next;                                                \
	}                                                                                          \
	static void test_##NAME(void)

#define EXPECT(CONDITION)                                                                          \
	do {                                                                                       \
		if (!(CONDITION)) {                                                                \
			fprintf(stderr, "# %s:%d: expected %s\n", __FILE__, __LINE__, #CONDITION); \
			test_bad = true;                                                           \
			return;                                                                    \
		}                                                                                  \
	} while (0)

#define EXPECT_INT(ACTUAL, EXPECTED)                                                               \
	do {                                                                                       \
		long long actual_ = (long long)(ACTUAL), expected_ = (long long)(EXPECTED);        \
		if (actual_ != expected_) {                                                        \
			fprintf(stderr, "# %s:%d: %s is %lld, expected %lld\n", __FILE__,          \
			        __LINE__, #ACTUAL, actual_, expected_);                            \
			test_bad = true;                                                           \
			return;                                                                    \
		}                                                                                  \
	} while (0)

#define EXPECT_STRING(ACTUAL, EXPECTED)                                                            \
	do {                                                                                       \
		const char *actual_ = (ACTUAL), *expected_ = (EXPECTED);                           \
		if (!actual_ || strcmp(actual_, expected_) != 0) {                                 \
			fprintf(stderr, "# %s:%d: %s is \"%s\", expected \"%s\"\n", __FILE__,      \
			        __LINE__, #ACTUAL, actual_ ? actual_ : "(null)", expected_);       \
			test_bad = true;                                                           \
			return;                                                                    \
		}                                                                                  \
	} while (0)

__attribute__((unused)) static bool test_failed(void)
{
	return test_bad;
}

// How far a child has come; in memory that it shares with its parent.
struct test_progress {
	int begun, reported; // tests
};

static struct test_case *test_selected(struct test_case *test, const char *pattern)
{
	while (test && pattern && !strstr(test->name, pattern))
		test = test->next;
	return test;
}

static void test_report(bool good, int number, const struct test_case *test)
{
	printf("%s %d - %s\n", good ? "ok" : "not ok", number, test->name);
	fflush(stdout);
}

// The child: runs TEST and those behind it, up to the first that fails.
__attribute__((noreturn)) static void test_run(
        struct test_case *test, const char *pattern, struct test_progress *progress)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (; test; test = test_selected(test->next, pattern)) {
		progress->begun++;
		test->run();
		test_report(!test_bad, progress->begun, test);
		progress->reported++;
		if (test_bad)
			_exit(EXIT_FAILURE); // not exit(): what it hasn't freed is no leak
	}
	exit(EXIT_SUCCESS);
}

static bool test_make_directory(void)
{
	snprintf(test_directory, sizeof(test_directory), "%s/forebay-test.XXXXXX",
	        access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	return mkdtemp(test_directory) != NULL;
}

static int test_remove(const char *path, const struct stat *stat, int kind, struct FTW *walk)
{
	(void)stat;
	(void)kind;
	(void)walk;
	return remove(path);
}

// Ends the processes that a child which has ended left: they are ours now. Removes its files.
static void test_clean_up(void)
{
	char path[64];
	bool found = true;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	while (found) {
		FILE *children = fopen(path, "r");
		int pid;

		found = children && fscanf(children, "%d", &pid) == 1;
		if (children)
			fclose(children);
		if (found) {
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
		}
	}
	(void)nftw(test_directory, test_remove, 8, FTW_DEPTH | FTW_PHYS);
}

// Runs TEST and some behind it in a child. Returns the first that hasn't begun. FAILED is set if one failed, or the
// child did at its end.
static struct test_case *test_run_some(
        struct test_case *test, const char *pattern, struct test_progress *progress, bool *failed)
{
	struct test_case *last = NULL;
	int before = progress->begun, status;
	pid_t pid;

	if (!test_make_directory() || (pid = fork()) < 0) {
		printf("Bail out! %s\n", strerror(errno));
		exit(EXIT_FAILURE);
	}
	if (pid == 0)
		test_run(test, pattern, progress);
	waitpid(pid, &status, 0);
	test_clean_up();
	*failed |= status != 0;
	for (int i = before; i < progress->begun; i++) {
		last = test;
		test = test_selected(test->next, pattern);
	}
	if (progress->reported < progress->begun) {
		bool killed = WIFSIGNALED(status);

		fprintf(stderr, "# %s: its process ended with %s %d\n", last->name,
		        killed ? "signal" : "status",
		        killed ? WTERMSIG(status) : WEXITSTATUS(status));
		test_report(false, ++progress->reported, last);
		*failed = true;
	}
	return test;
}

// Runs all tests, or those whose name contains the first argument.
int main(int argc, char **argv)
{
	const char *pattern = argc > 1 ? argv[1] : NULL;
	struct test_case *test = test_selected(test_first, pattern);
	struct test_progress *progress = mmap(
	        NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	bool failed = false;

	setvbuf(stdout, NULL, _IOLBF, 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	while (test)
		test = test_run_some(test, pattern, progress, &failed);
	printf("1..%d\n", progress->reported);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
