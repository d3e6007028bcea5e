// SPDX-License-Identifier: MIT
// tracer.h - running another process one instruction at a time (ptrace, x86-64).
//
// The tracee calls tracer_begin() and tracer_end() around what is to be stepped; between the two it stands
// still after each instruction. One recorded run (struct tracer_path) makes later ones cheap: they run at
// full speed to a breakpoint shortly before, at an address that hasn't been met often until then, and are stepped
// only from there on.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// In the tracee, a forked child. tracer_allow() first; it returns false if ptrace is refused here.
bool tracer_allow(void);
void tracer_begin(void);
void tracer_end(void);

// A recorded run. Instruction I (from 1) leads from address[I - 1] to address[I].
struct tracer_path {
	uint32_t count; // of instructions
	uint32_t room;
	uint64_t *address;
	uint32_t *met;   // how often the address of each position has been met before
	uint8_t *events; // of instruction I: see below
};

enum tracer_event {
	TRACER_SYSCALL = 1, // it was a system call
	TRACER_CHANGE = 2,  // CHANGED() said so after it
};

void tracer_path_fini(struct tracer_path *path);

// Waits until the child PID stands at tracer_begin(). False if it ended before.
bool tracer_meet(pid_t pid);

// Steps the child from begin to end, or to where it would sleep, and records it; CHANGED, asked after each instruction, tells whether
// something outside the child has changed. At most LIMIT instructions. False if the child ended before.
bool tracer_record(pid_t pid, struct tracer_path *path, bool (*changed)(void), uint32_t limit);

// Runs the child, at begin, to where it has executed INSTRUCTION instructions of PATH. True if it stands there; false
// if it took another way, and stands at tracer_end() or wherever its last step has led.
bool tracer_go(pid_t pid, const struct tracer_path *path, uint32_t instruction);

// Lets the child run on to tracer_end(). At the entry of each futex wait SLEEPS is asked, with the word's value
// that it would sleep on. False if it ended in another way.
bool tracer_finish(pid_t pid, void (*sleeps)(uint32_t value));

// Lets the child go.
void tracer_release(pid_t pid);
