// SPDX-License-Identifier: MIT
// test_timer.c - the wheel fires everything once, never early, and survives what callbacks do.
#include "server/timer.h"

#include "tests/test.h"

static struct timer_wheel wheel;
static struct timer first, second;
static int fired;

static void count(struct timer *timer)
{
	(void)timer;
	fired++;
}

static void setup(void)
{
	fired = 0;
	timer_wheel_init(&wheel, 5000);
	timer_init(&first, count);
	timer_init(&second, count);
}

TEST(a_timer_fires_once_within_two_ticks_and_never_early)
{
	setup();
	timer_arm(&wheel, &first, 1000);
	EXPECT(timer_armed(&first));
	timer_wheel_advance(&wheel, 5999);
	EXPECT_INT(fired, 0);
	timer_wheel_advance(&wheel, 6000 + 2 * TIMER_TICK);
	EXPECT_INT(fired, 1);
	EXPECT(!timer_armed(&first));
	timer_wheel_advance(&wheel, 600000);
	EXPECT_INT(fired, 1);
}

TEST(a_timer_that_is_moved_fires_at_the_last_time_it_was_given)
{
	setup();
	timer_arm(&wheel, &first, 1000);
	timer_arm(&wheel, &first, 3000); // later: only a store
	timer_wheel_advance(&wheel, 7900);
	EXPECT_INT(fired, 0);
	timer_arm(&wheel, &first, 200); // earlier: filed anew
	timer_wheel_advance(&wheel, 7900 + 200 + 2 * TIMER_TICK);
	EXPECT_INT(fired, 1);
}

TEST(a_time_beyond_the_wheels_reach_is_waited_for)
{
	const int64_t hour = 3600 * 1000;

	setup();
	timer_arm(&wheel, &first, hour);
	timer_wheel_advance(&wheel, 5000 + hour - 1);
	EXPECT_INT(fired, 0);
	timer_wheel_advance(&wheel, 5000 + hour + 2 * TIMER_TICK);
	EXPECT_INT(fired, 1);
}

TEST(a_stopped_timer_does_not_fire_and_can_be_armed_again)
{
	setup();
	timer_arm(&wheel, &first, 500);
	timer_stop(&first);
	timer_wheel_advance(&wheel, 10000);
	EXPECT_INT(fired, 0);
	timer_arm(&wheel, &first, 500);
	timer_wheel_advance(&wheel, 11000);
	EXPECT_INT(fired, 1);
	timer_fini(&first);
	timer_fini(&first);
}

static void end_both(struct timer *timer)
{
	(void)timer;
	fired++;
	timer_fini(&first);
	timer_fini(&second);
}

TEST(a_callback_may_end_another_timer_of_the_same_tick)
{
	setup();
	timer_init(&first, end_both);
	timer_init(&second, end_both);
	timer_arm(&wheel, &first, 500);
	timer_arm(&wheel, &second, 500);
	timer_wheel_advance(&wheel, 10000);
	EXPECT_INT(fired, 1);
}

static void arm_again(struct timer *timer)
{
	fired++;
	timer_arm(&wheel, timer, 0);
}

TEST(a_callback_may_arm_its_own_timer)
{
	setup();
	timer_init(&first, arm_again);
	timer_arm(&wheel, &first, 0);
	timer_wheel_advance(&wheel, 5000 + 10 * TIMER_TICK);
	EXPECT(fired >= 5);
	EXPECT(fired <= 10);
}

TEST(many_timers_each_fire_exactly_once)
{
	static struct timer many[5000];

	setup();
	for (int i = 0; i < 5000; i++) {
		timer_init(&many[i], count);
		timer_arm(&wheel, &many[i], (int64_t)i * 37);
	}
	for (int64_t now = 5000; now < 5000 + 5000 * 37 + 1000; now += 70)
		timer_wheel_advance(&wheel, now);
	EXPECT_INT(fired, 5000);
}
