// SPDX-License-Identifier: MIT
#include "tests/model/coroutine.h"

#include <stdint.h>
#include <stdlib.h>
#include <ucontext.h>

#define STACK (64 * 1024)

static void make_stack(struct coroutine *coroutine)
{
	if (!coroutine->stack)
		coroutine->stack = malloc(STACK);
	if (!coroutine->stack)
		abort();
}

#ifdef __x86_64__

// Millions of switches a second; swapcontext() would make two system calls for each.
void switch_stacks(void **from, void *to);
__asm__(".text\n"
        ".type switch_stacks, @function\n"
        "switch_stacks:\n"
        "	push %rbp\n"
        "	push %rbx\n"
        "	push %r12\n"
        "	push %r13\n"
        "	push %r14\n"
        "	push %r15\n"
        "	mov %rsp, (%rdi)\n"
        "	mov %rsi, %rsp\n"
        "	pop %r15\n"
        "	pop %r14\n"
        "	pop %r13\n"
        "	pop %r12\n"
        "	pop %rbx\n"
        "	pop %rbp\n"
        "	ret\n"
        ".size switch_stacks, . - switch_stacks\n");

void coroutine_init(struct coroutine *coroutine, void (*run)(void))
{
	uint64_t *top;

	make_stack(coroutine);
	// As if run() had been called: the return address is at 8 modulo 16.
	top = (uint64_t *)(((uintptr_t)coroutine->stack + STACK) & ~(uintptr_t)15) - 1;
	*--top = (uint64_t)(uintptr_t)run;
	for (int i = 0; i < 6; i++)
		*--top = 0;
	coroutine->stack_pointer = top;
}

void coroutine_switch(struct coroutine *from, struct coroutine *to)
{
	switch_stacks(&from->stack_pointer, to->stack_pointer);
}

#else

static ucontext_t *context_of(struct coroutine *coroutine)
{
	if (!coroutine->context)
		coroutine->context = calloc(1, sizeof(ucontext_t));
	if (!coroutine->context)
		abort();
	return coroutine->context;
}

void coroutine_init(struct coroutine *coroutine, void (*run)(void))
{
	ucontext_t *context = context_of(coroutine);

	make_stack(coroutine);
	getcontext(context);
	context->uc_stack.ss_sp = coroutine->stack;
	context->uc_stack.ss_size = STACK;
	context->uc_link = NULL;
	makecontext(context, run, 0);
}

void coroutine_switch(struct coroutine *from, struct coroutine *to)
{
	swapcontext(context_of(from), context_of(to));
}

#endif
