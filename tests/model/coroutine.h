// SPDX-License-Identifier: MIT
// coroutine.h - processes of the model: each has a stack, one runs at a time.
#pragma once

struct coroutine {
	void *stack_pointer;
	void *context; // where there is no switch for this processor
	char *stack;
};

// Makes the next switch to COROUTINE call RUN, which must not return. Its stack is made at first, and kept.
void coroutine_init(struct coroutine *coroutine, void (*run)(void));

// Goes on in TO where it had stopped; comes back when somebody switches to FROM.
void coroutine_switch(struct coroutine *from, struct coroutine *to);
