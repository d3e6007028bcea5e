// SPDX-License-Identifier: MIT
// test_supervisor.c - when a child that died is started again, by a clock that the tests set.
#include "server/supervisor.h"

#include "tests/test.h"

// The delay after a child that started at NOW and lived for LIFE.
static int64_t after_life(struct supervisor *supervisor, int64_t *now, int64_t life)
{
	supervisor_started(supervisor, *now);
	*now += life;
	return supervisor_ended(supervisor, *now);
}

TEST(one_accident_costs_no_time)
{
	struct supervisor supervisor = {0};
	int64_t now = 1000000;

	EXPECT_INT(after_life(&supervisor, &now, 10), 0);
}

TEST(a_child_that_keeps_dying_early_is_started_ever_later)
{
	static const int64_t delays[] = {0, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000};
	struct supervisor supervisor = {0};
	int64_t now = 5;

	for (size_t i = 0; i < sizeof(delays) / sizeof(delays[0]); i++)
		EXPECT_INT(after_life(&supervisor, &now, SUPERVISOR_HEALTHY_MS - 1), delays[i]);
}

TEST(however_often_it_dies_the_delay_stays_at_its_most)
{
	struct supervisor supervisor = {.early = UINT32_MAX - 2};
	int64_t now = 0;

	EXPECT_INT(after_life(&supervisor, &now, 0), SUPERVISOR_LAST_MS);
}

TEST(a_child_that_lived_long_enough_wipes_the_slate)
{
	struct supervisor supervisor = {0};
	int64_t now = 0;

	for (int i = 0; i < 5; i++)
		after_life(&supervisor, &now, 1);
	EXPECT_INT(after_life(&supervisor, &now, SUPERVISOR_HEALTHY_MS), 0);
	EXPECT_INT(after_life(&supervisor, &now, 1), 0);
	EXPECT_INT(after_life(&supervisor, &now, 1), 100);
}
