// SPDX-License-Identifier: MIT
// test.h - the whole unit test framework: named tests that register themselves, TAP on stdout.
//
//   TEST(an_empty_ring_yields_nothing)
//   {
//           EXPECT(shm_ring_pop(&ring) == SHM_NONE);
//   }
//
// A failed EXPECT says where and what on stderr, fails the test and returns from the test function. In
// helper functions use EXPECT too: they must return void, and the caller checks test_failed().
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct test_case {
	const char *name;
	void (*run)(void);
	struct test_case *next;
};

static struct test_case *test_first, **test_last = &test_first;
static bool test_bad;

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

// Runs all tests, or those whose name contains the first argument.
int main(int argc, char **argv)
{
	int number = 0, failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (struct test_case *test = test_first; test; test = test->next) {
		if (argc > 1 && !strstr(test->name, argv[1]))
			continue;
		test_bad = false;
		test->run();
		printf("%s %d - %s\n", test_bad ? "not ok" : "ok", ++number, test->name);
		failed += test_bad;
	}
	printf("1..%d\n", number);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
