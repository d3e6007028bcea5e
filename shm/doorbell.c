// SPDX-License-Identifier: MIT
#include "shm/doorbell.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "shm/directory.h"

void shm_doorbell_init(
        struct shm_doorbell *bell, struct shm_segment *segment, struct shm_process *self)
{
	bell->segment = segment;
	bell->self = self;
	bell->fifo = -1;
	for (int i = 0; i < SHM_PROCESSES; i++)
		bell->others[i] = -1;
}

void shm_doorbell_fini(struct shm_doorbell *bell)
{
	if (!bell->segment)
		return;
	for (int i = 0; i < SHM_PROCESSES; i++)
		if (bell->others[i] >= 0)
			close(bell->others[i]);
	if (bell->fifo >= 0)
		close(bell->fifo);
	bell->segment = NULL;
}

int shm_doorbell_fd(struct shm_doorbell *bell)
{
	if (bell->fifo < 0) {
		int fd = shm_directory_fifo(bell->segment->directory, bell->self->slot, true);

		if (fd < 0)
			return fd;
		bell->fifo = fd;
		shm_doorbell_drain(bell);
	}
	return bell->fifo;
}

void shm_doorbell_drowse(struct shm_doorbell *bell, enum shm_sleep how)
{
	(void)exchange_seq_cst(&bell->self->mem->sleeping, how);
}

void shm_doorbell_awake(struct shm_doorbell *bell)
{
	store_relaxed(&bell->self->mem->sleeping, SHM_AWAKE);
}

int shm_doorbell_wait(struct shm_doorbell *bell, enum shm_sleep how, int timeout)
{
	int nap = timeout < 0 || timeout > SHM_NAP_MAX ? SHM_NAP_MAX : timeout;
	struct timespec limit = {.tv_nsec = nap * 1000000l};
	long result =
	        syscall(SYS_futex, &bell->self->mem->sleeping, FUTEX_WAIT, how, &limit, NULL, 0);
	int error = result < 0 ? errno : 0;

	shm_doorbell_awake(bell);
	return error == EINTR ? -EINTR : 0;
}

void shm_doorbell_ring_self(struct shm_doorbell *bell)
{
	if (bell->fifo >= 0)
		(void)!write(bell->fifo, "", 1);
}

void shm_doorbell_drain(struct shm_doorbell *bell)
{
	char bytes[256];

	while (bell->fifo >= 0 && read(bell->fifo, bytes, sizeof bytes) == sizeof bytes)
		;
}

static void ring_fifo(struct shm_doorbell *bell, uint32_t slot)
{
	if (bell->others[slot] < 0) {
		int fd = shm_directory_fifo(bell->segment->directory, slot, false);

		if (fd < 0)
			return; // its sleep is capped
		bell->others[slot] = fd;
	}
	// A full FIFO is one that has been rung.
	(void)!write(bell->others[slot], "", 1);
}

// Wakes the process if it sleeps, be it for what it may. True if it was reached in its sleep for messages.
static bool wake_any(struct shm_doorbell *bell, uint32_t slot)
{
	shm_atomic32 *sleeping = &bell->segment->processes[slot].sleeping;
	uint32_t how = exchange_seq_cst(sleeping, SHM_AWAKE);

	switch (how) {
	case SHM_ASLEEP_FUTEX:
	case SHM_ASLEEP_ROOM:
		// None is reached if it hasn't gone to sleep yet, and won't now, or has died in its sleep.
		return syscall(SYS_futex, sleeping, FUTEX_WAKE, 1, NULL, NULL, 0) > 0 &&
		       how == SHM_ASLEEP_FUTEX;
	case SHM_ASLEEP_FIFO:
		ring_fifo(bell, slot);
		return true;
	default:
		return false; // another waker was faster
	}
}

bool shm_doorbell_wake(struct shm_doorbell *bell, uint32_t slot)
{
	uint32_t how = load_seq_cst(&bell->segment->processes[slot].sleeping);

	return how != SHM_AWAKE && how != SHM_ASLEEP_ROOM && wake_any(bell, slot);
}

bool shm_doorbell_nudge(struct shm_doorbell *bell, uint32_t slot)
{
	(void)exchange_seq_cst(&bell->segment->processes[slot].nudged, SHM_NUDGED);
	return load_seq_cst(&bell->segment->processes[slot].sleeping) != SHM_AWAKE &&
	       wake_any(bell, slot);
}
