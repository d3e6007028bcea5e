// SPDX-License-Identifier: MIT
#include "shm/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// The locks lie beyond any segment's end, where no data can be.
#define LOCK_BASE (1ll << 40)

static struct flock lock_of(uint32_t slot, short type)
{
	return (struct flock){
	        .l_type = type,
	        .l_whence = SEEK_SET,
	        .l_start = LOCK_BASE + slot,
	        .l_len = 1,
	};
}

bool shm_process_lock(const struct shm_process *self, uint32_t slot)
{
	struct flock lock = lock_of(slot, F_WRLCK);

	return fcntl(self->lock, F_OFD_SETLK, &lock) == 0;
}

void shm_process_unlock(const struct shm_process *self, uint32_t slot)
{
	struct flock lock = lock_of(slot, F_UNLCK);

	(void)fcntl(self->lock, F_OFD_SETLK, &lock);
}

bool shm_process_alive(const struct shm_process *self, uint32_t slot)
{
	struct flock lock = lock_of(slot, F_WRLCK);

	if (slot == self->slot)
		return true;
	return fcntl(self->lock, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

int shm_process_join(struct shm_process *self, struct shm_segment *segment, const char *role)
{
	char path[64];
	uint64_t incarnation;

	*self = (struct shm_process){.lock = -1};
	// A file description of our own: locks belong to it, and end with its last descriptor.
	snprintf(path, sizeof path, "/proc/self/fd/%d", segment->file);
	self->lock = open(path, O_RDWR | O_CLOEXEC);
	if (self->lock < 0)
		return -errno;
	self->slot = SHM_PROCESSES; // none yet
	for (uint32_t slot = 0; slot < SHM_PROCESSES && self->slot == SHM_PROCESSES; slot++)
		if (shm_process_lock(self, slot))
			self->slot = slot;
	if (self->slot == SHM_PROCESSES) {
		close(self->lock);
		self->lock = -1;
		return -EUSERS;
	}
	self->mem = &segment->processes[self->slot];
	incarnation = load_relaxed(&self->mem->incarnation) + 1;
	store_relaxed(&self->mem->incarnation, incarnation);
	self->uid = SHM_UID(self->slot, incarnation);
	if ((self->uid & SHM_UID(0, UINT64_MAX)) == 0) // scribbled over, or it would be nobody's
		self->uid = SHM_UID(self->slot, 1);
	store_relaxed(&self->mem->pid, (uint32_t)getpid());
	strncpy(self->mem->role, role, SHM_ROLE_SIZE - 1);
	self->mem->role[SHM_ROLE_SIZE - 1] = '\0';
	store_relaxed(&self->mem->nudged, 0);
	store_relaxed(&self->mem->sleeping, SHM_AWAKE);
	store_release(&self->mem->uid, self->uid);
	return 0;
}

void shm_process_leave(struct shm_process *self)
{
	if (!self->mem)
		return;
	store_release(&self->mem->uid, 0);
	close(self->lock);
	*self = (struct shm_process){.lock = -1};
}
