// SPDX-License-Identifier: MIT
// What the kernel does for shm; see kernel.h. A slot's lock is a word like others, taken with acquire and
// given back with release: a lock that its holder's death frees shows all that the dead had written.
#include "tests/model/kernel.h"

#include <linux/futex.h>
#include <stdarg.h>

#include "shm/directory.h"
#include "tests/model/engine.h"

#undef open
#undef close
#undef fcntl
#undef syscall
#undef calloc
#undef clock_gettime
#undef free

// A lock's word is 0 or the descriptor that holds it; no two descriptors are the same.
#define DESCRIPTOR(PROCESS, NUMBER) (1000 + (PROCESS) + MODEL_PROCESSES * (NUMBER))

static struct model_site take_lock = {.function = "kernel",
        .operation = "lock",
        .object = "slot",
        .order = MODEL_ACQUIRE | MODEL_RELEASE | MODEL_NEWEST};
static struct model_site give_lock = {.function = "kernel",
        .operation = "unlock",
        .object = "slot",
        .order = MODEL_ACQUIRE | MODEL_RELEASE | MODEL_NEWEST};
static struct model_site look_at_lock = {.function = "kernel",
        .operation = "look",
        .object = "slot",
        .order = MODEL_ACQUIRE | MODEL_NEWEST};
static struct model_site futex_wait = {
        .function = "kernel", .operation = "futex_wait", .object = "word", .order = MODEL_NEWEST};

// Each makes a file description of its own.
int model_open(const char *path, int flags, ...)
{
	(void)path;
	(void)flags;
	return DESCRIPTOR(engine.self, model_arena.own[engine.self].opened++);
}

static void give_back(int descriptor)
{
	for (int slot = 0; slot < SHM_PROCESSES; slot++) {
		shm_atomic64 *lock = &model_arena.locks[slot];
		uint64_t mine = (uint64_t)descriptor;

		if (engine_newest(lock, sizeof *lock) == mine)
			(void)model_cas(&give_lock, lock, sizeof *lock, &mine, 0);
	}
}

int model_close(int descriptor)
{
	if (descriptor >= DESCRIPTOR(0, 0))
		give_back(descriptor);
	return 0;
}

void engine_release_locks(int process)
{
	int before = engine.self;

	engine.self = process;
	engine.dying = true;
	for (int i = 0; i < model_arena.own[process].opened; i++)
		give_back(DESCRIPTOR(process, i));
	engine.dying = false;
	engine.self = before;
}

static int use_lock(int descriptor, int command, struct flock *lock)
{
	shm_atomic64 *word = &model_arena.locks[lock->l_start & 0xffff];
	uint64_t holder = 0;

	if (command == F_OFD_GETLK) {
		holder = model_load(&look_at_lock, word, sizeof *word);
		if (holder == 0 || holder == (uint64_t)descriptor)
			lock->l_type = F_UNLCK;
		return 0;
	}
	if (lock->l_type == F_UNLCK) {
		holder = (uint64_t)descriptor;
		(void)model_cas(&give_lock, word, sizeof *word, &holder, 0);
		return 0;
	}
	if (model_cas(&take_lock, word, sizeof *word, &holder, (uint64_t)descriptor) ||
	        holder == (uint64_t)descriptor)
		return 0;
	errno = EAGAIN;
	return -1;
}

// Only locks: none of the model's descriptors has to be lifted.
int model_fcntl(int descriptor, int command, ...)
{
	struct flock *lock;
	va_list arguments;

	va_start(arguments, command);
	lock = va_arg(arguments, struct flock *);
	va_end(arguments);
	return use_lock(descriptor, command, lock);
}

// Only the futex. A wake-up carries no view: what the woken one may rely on is in the words. The time-out
// fires when nothing else can happen any more, see explore.c.
long model_syscall(long number, void *word, int operation, ...)
{
	va_list arguments;
	uint32_t expected;
	long woken = 0;

	if (number != SYS_futex || engine.direct)
		return 0;
	va_start(arguments, operation);
	expected = va_arg(arguments, uint32_t);
	va_end(arguments);
	if (operation == FUTEX_WAIT) {
		if (model_load(&futex_wait, word, 4) != expected) {
			errno = EAGAIN;
			return -1;
		}
		if (!engine_sleep(word)) {
			errno = ETIMEDOUT;
			return -1;
		}
		return 0;
	}
	engine_point(word, 4, true);
	for (int i = 0; i < MODEL_PROCESSES && woken == 0; i++)
		woken += engine_wake(i, word);
	engine_learn((uint64_t)woken);
	return woken;
}

int model_clock_gettime(clockid_t clock, struct timespec *now)
{
	(void)clock;
	*now = (struct timespec){.tv_sec = 1000};
	return 0;
}

// From the process's own part of the arena, so that it is as it was when an execution starts again.
void *model_calloc(size_t count, size_t size)
{
	struct model_own *own = &model_arena.own[engine.self];
	void *memory = own->heap + own->heap_used;

	own->heap_used += (count * size + 15) / 16 * 16;
	return own->heap_used <= sizeof own->heap ? memory : NULL;
}

// The segment's file: it keeps its name, and there are no FIFOs in its directory.
bool shm_segment_is_gone(const struct shm_segment *segment)
{
	(void)segment;
	return false;
}

int shm_directory_fifo(int directory, uint32_t slot, bool make)
{
	(void)directory;
	(void)slot;
	(void)make;
	return -ENOENT;
}
