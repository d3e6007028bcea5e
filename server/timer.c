// SPDX-License-Identifier: MIT
// timer.c - a hashed timing wheel with lazy re-filing; see timer.h.
#include "server/timer.h"

#include <string.h>

void timer_wheel_init(struct timer_wheel *wheel, int64_t now)
{
	memset(wheel, 0, sizeof(*wheel));
	wheel->tick = 1;
	wheel->origin = now - TIMER_TICK;
}

void timer_init(struct timer *timer, void (*fire)(struct timer *timer))
{
	*timer = (struct timer){.fire = fire};
}

static void unfile(struct timer *timer)
{
	*timer->link = timer->next;
	if (timer->next)
		timer->next->link = timer->link;
	timer->link = NULL;
}

// Files the timer under its due tick, or as far ahead as the wheel reaches.
static void file(struct timer_wheel *wheel, struct timer *timer)
{
	uint64_t farthest = wheel->tick + TIMER_SLOTS - 1;
	struct timer **slot;

	timer->filed = timer->due < farthest ? timer->due : farthest;
	slot = &wheel->slots[timer->filed % TIMER_SLOTS];
	timer->next = *slot;
	timer->link = slot;
	if (timer->next)
		timer->next->link = &timer->next;
	*slot = timer;
}

void timer_arm(struct timer_wheel *wheel, struct timer *timer, int64_t delay)
{
	uint64_t ticks = delay > 0 ? ((uint64_t)delay + TIMER_TICK - 1) / TIMER_TICK : 0;

	// One more, because the current tick may be all but over.
	timer->due = wheel->tick + ticks + 1;
	if (timer->link && timer->filed <= timer->due)
		return;
	if (timer->link)
		unfile(timer);
	file(wheel, timer);
}

void timer_fini(struct timer *timer)
{
	timer->due = 0;
	if (timer->link)
		unfile(timer);
}

// Deals with all timers filed under the current tick. They are moved to a list of their own first,
// since callbacks may file others in the same slot (for a later round), and may end any of these.
static void turn(struct timer_wheel *wheel)
{
	struct timer **slot = &wheel->slots[wheel->tick % TIMER_SLOTS];
	struct timer *list = *slot, *timer;

	*slot = NULL;
	if (list)
		list->link = &list;
	while ((timer = list)) {
		unfile(timer);
		if (timer->due > wheel->tick) {
			file(wheel, timer);
		} else if (timer->due) {
			timer->due = 0;
			timer->fire(timer);
		}
	}
}

void timer_wheel_advance(struct timer_wheel *wheel, int64_t now)
{
	uint64_t target = now > wheel->origin ? (uint64_t)(now - wheel->origin) / TIMER_TICK : 0;

	while (wheel->tick < target) {
		wheel->tick++;
		turn(wheel);
	}
}
