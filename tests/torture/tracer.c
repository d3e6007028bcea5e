// SPDX-License-Identifier: MIT
#include "tests/torture/tracer.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define BREAKPOINT 0xccu
#define SYSCALL    0x050f // as a little-endian word
#define RIP        offsetof(struct user, regs.rip)
#define RAX        offsetof(struct user, regs.rax)

// Each is an int3 and a return, so that the tracer knows the addresses.
__asm__(".text\n"
        ".globl tracer_begin\n.type tracer_begin, @function\n"
        "tracer_begin:\n\tint3\n\tret\n.size tracer_begin, . - tracer_begin\n"
        ".globl tracer_end\n.type tracer_end, @function\n"
        "tracer_end:\n\tint3\n\tret\n.size tracer_end, . - tracer_end\n");

bool tracer_allow(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0;
}

// Waits for the child's next stop: its signal (SIGTRAP | 0x80 for a system call), or -1 if it has ended.
static int wait_stop(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, __WALL) < 0)
		if (errno != EINTR)
			return -1;
	return WIFSTOPPED(status) ? WSTOPSIG(status) : -1;
}

static uint64_t address_of(pid_t pid)
{
	return (uint64_t)ptrace(PTRACE_PEEKUSER, pid, RIP, NULL);
}

static bool at_end(uint64_t address)
{
	return address == (uint64_t)(uintptr_t)tracer_end;
}

bool tracer_meet(pid_t pid)
{
	return wait_stop(pid) == SIGTRAP &&
	       address_of(pid) == (uint64_t)(uintptr_t)tracer_begin + 1 &&
	       ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) == 0;
}

// One instruction. What isn't SIGTRAP is ours to lose: the child gets no signals.
static bool step(pid_t pid)
{
	return ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == 0 && wait_stop(pid) == SIGTRAP;
}

// ---------------------------------------------------------------------------------------------
// Recording
// ---------------------------------------------------------------------------------------------

static void grow(struct tracer_path *path)
{
	if (path->count + 1 < path->room)
		return;
	path->room = path->room ? path->room * 2 : 4096;
	path->address = realloc(path->address, path->room * sizeof *path->address);
	path->events = realloc(path->events, path->room);
	if (!path->address || !path->events)
		abort();
}

// Counts how often each address has been met before, in a table of the usual kind.
static void count_met(struct tracer_path *path)
{
	struct {
		uint64_t address;
		uint32_t met;
	} * table, *entry;
	uint32_t size = 64;

	while (size < 2 * path->count)
		size *= 2;
	table = calloc(size, sizeof *table);
	path->met = malloc((path->count + 1) * sizeof *path->met);
	if (!table || !path->met)
		abort();
	for (uint32_t i = 0; i <= path->count; i++) {
		uint64_t address = path->address[i];
		uint32_t at = (uint32_t)(address * 0x9e3779b97f4a7c15ull >> 32) & (size - 1);

		while (table[at].address && table[at].address != address)
			at = (at + 1) & (size - 1);
		entry = &table[at];
		entry->address = address;
		path->met[i] = entry->met++;
	}
	free(table);
}

bool tracer_record(pid_t pid, struct tracer_path *path, bool (*changed)(void), uint32_t limit)
{
	uint64_t address = address_of(pid);

	*path = (struct tracer_path){0};
	grow(path);
	path->address[0] = address;
	path->events[0] = 0;
	(void)changed();
	while (!at_end(address) && path->count < limit) {
		bool is_syscall = (ptrace(PTRACE_PEEKTEXT, pid, address, NULL) & 0xffff) == SYSCALL;

		if (is_syscall && ptrace(PTRACE_PEEKUSER, pid, RAX, NULL) == SYS_futex)
			break; // it is about to sleep
		if (!step(pid))
			return false;
		address = address_of(pid);
		path->count++;
		grow(path);
		path->address[path->count] = address;
		path->events[path->count] = (uint8_t)((is_syscall ? TRACER_SYSCALL : 0) |
		                                      (changed() ? TRACER_CHANGE : 0));
	}
	count_met(path);
	return true;
}

void tracer_path_fini(struct tracer_path *path)
{
	free(path->address);
	free(path->events);
	free(path->met);
	*path = (struct tracer_path){0};
}

// ---------------------------------------------------------------------------------------------
// Running
// ---------------------------------------------------------------------------------------------

static bool is_sleeping(pid_t pid)
{
	return ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user, regs.orig_rax), NULL) ==
	       SYS_futex;
}

// Runs to a trap. False if it would go to sleep instead, and stands there, or has ended.
static bool run_to_trap(pid_t pid)
{
	int signal;

	do {
		if (ptrace(PTRACE_SYSCALL, pid, NULL, NULL) != 0)
			return false;
		signal = wait_stop(pid);
	} while (signal == (SIGTRAP | 0x80) && !is_sleeping(pid));
	return signal == SIGTRAP;
}

// Runs until it stands at ADDRESS after having passed it MET times. The breakpoint is in the child's private copy
// of the page. False if it can't be set, or if the child came to the end or would sleep before.
static bool run_to(pid_t pid, uint64_t address, uint32_t met)
{
	long code = ptrace(PTRACE_PEEKTEXT, pid, address, NULL);
	long with_breakpoint = (code & ~0xffl) | BREAKPOINT;
	uint64_t now;

	for (;; met--) {
		if (ptrace(PTRACE_POKETEXT, pid, address, with_breakpoint) != 0)
			return false;
		if (!run_to_trap(pid)) {
			(void)ptrace(PTRACE_POKETEXT, pid, address, code);
			return false;
		}
		now = address_of(pid) - 1;
		(void)ptrace(PTRACE_POKETEXT, pid, address, code);
		(void)ptrace(PTRACE_POKEUSER, pid, RIP, now);
		if (now != address)
			return false;
		if (met == 0)
			return true;
		if (!step(pid))
			return false;
	}
}

// From where on to step, so that the fewest stops are needed: one for an instruction, two for a breakpoint.
static uint32_t find_start(const struct tracer_path *path, uint32_t instruction)
{
	uint32_t best = 0, fewest = instruction;

	for (uint32_t i = instruction; i > 1 && instruction - i < fewest; i--) {
		uint32_t stops = instruction - i + 2 * (path->met[i] + 1);

		if (stops < fewest) {
			fewest = stops;
			best = i;
		}
	}
	return best;
}

bool tracer_go(pid_t pid, const struct tracer_path *path, uint32_t instruction)
{
	uint32_t from = find_start(path, instruction);

	if (from > 0 && !run_to(pid, path->address[from], path->met[from]))
		return false;
	for (uint32_t i = from; i < instruction; i++)
		if (at_end(address_of(pid)) || !step(pid))
			return false;
	return address_of(pid) == path->address[instruction];
}

static void watch_futex(pid_t pid, void (*sleeps)(uint32_t value))
{
	struct user_regs_struct registers;

	if (ptrace(PTRACE_GETREGS, pid, NULL, &registers) == 0 && registers.orig_rax == SYS_futex &&
	        (registers.rsi & FUTEX_CMD_MASK) == FUTEX_WAIT &&
	        registers.rax == (unsigned long long)-ENOSYS) // the entry
		sleeps((uint32_t)registers.rdx);
}

bool tracer_finish(pid_t pid, void (*sleeps)(uint32_t value))
{
	// It may stand on the first of the end's octets already.
	for (;;) {
		int signal;

		if (ptrace(PTRACE_SYSCALL, pid, NULL, NULL) != 0)
			return false;
		signal = wait_stop(pid);
		if (signal == (SIGTRAP | 0x80))
			watch_futex(pid, sleeps);
		else if (signal == SIGTRAP && at_end(address_of(pid) - 1))
			return true;
		else if (signal != SIGTRAP)
			return false;
	}
}

void tracer_release(pid_t pid)
{
	(void)ptrace(PTRACE_DETACH, pid, NULL, NULL);
}
