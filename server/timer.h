// SPDX-License-Identifier: MIT
// timer.h - coarse timers on a wheel: O(1) to arm, to move and to stop, and no system call.
//
// A server with tens of thousands of connections moves a deadline several times per request and
// almost never reaches one. So moving a timer to a later time is one store: the timer stays filed
// where it is and is filed anew when the wheel comes by. Precision is one or two ticks (100 ms);
// a timer never fires early.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define TIMER_TICK  100 // milliseconds
#define TIMER_SLOTS 512 // ticks that the wheel looks ahead; later timers pass by more than once

struct timer {
	struct timer *next;
	struct timer **link; // what points to this timer; NULL while it isn't on the wheel
	uint64_t due;        // the tick to fire at; 0 if it is not to fire
	uint64_t filed;      // the tick under which it is on the wheel, never later than `due`
	void (*fire)(struct timer *timer);
};

struct timer_wheel {
	uint64_t tick;  // ticks that have been dealt with; starts at 1, so that `due` is never 0
	int64_t origin; // milliseconds on the caller's clock at tick 0
	struct timer *slots[TIMER_SLOTS];
};

// NOW is in milliseconds on any clock that doesn't go backwards; the same for _advance().
void timer_wheel_init(struct timer_wheel *wheel, int64_t now);

// Fires what is due. A callback may arm, stop and end any timer, and free the object around it.
void timer_wheel_advance(struct timer_wheel *wheel, int64_t now);

void timer_init(struct timer *timer, void (*fire)(struct timer *timer));

// Makes the timer fire DELAY milliseconds after the wheel's time, or up to two ticks later,
// whatever it was set to before.
void timer_arm(struct timer_wheel *wheel, struct timer *timer, int64_t delay);

// Stops the timer without taking it off the wheel: as cheap as can be, for a timer soon armed again.
static inline void timer_stop(struct timer *timer)
{
	timer->due = 0;
}

static inline bool timer_armed(const struct timer *timer)
{
	return timer->due != 0;
}

// Milliseconds until it fires, in whole ticks; it must be armed.
static inline int64_t timer_left(const struct timer_wheel *wheel, const struct timer *timer)
{
	return (int64_t)(timer->due - wheel->tick) * TIMER_TICK;
}

// Takes the timer off the wheel; its memory may be freed then.
void timer_fini(struct timer *timer);
