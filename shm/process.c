// SPDX-License-Identifier: MIT
#include "shm/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shm/descriptor.h"
#include "shm/metric.h"

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

// A file description of its own: locks belong to it, and end with its last descriptor.
static int open_again(const struct shm_segment *segment, int mode)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/self/fd/%d", segment->file);
	return shm_descriptor_lift(open(path, mode | O_CLOEXEC));
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

bool shm_process_is_locked(const struct shm_segment *segment, uint32_t slot)
{
	struct flock lock = lock_of(slot, F_WRLCK);

	return fcntl(segment->file, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

int shm_process_lock_all(const struct shm_segment *segment)
{
	struct flock lock = lock_of(0, F_WRLCK);
	int file = open_again(segment, O_RDWR);

	lock.l_len = SHM_PROCESSES;
	if (file >= 0 && fcntl(file, F_OFD_SETLK, &lock) < 0) {
		close(file);
		file = -1;
	}
	return file;
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
	uint64_t incarnation;

	*self = (struct shm_process){.lock = -1};
	self->lock = open_again(segment, O_RDWR);
	if (self->lock < 0)
		return -errno;
	self->slot = SHM_PROCESSES; // none yet
	for (uint32_t slot = 0; slot < SHM_PROCESSES && self->slot == SHM_PROCESSES; slot++)
		if (shm_process_lock(self, slot))
			self->slot = slot;
	// Who removes a segment that nobody is attached to does it before he gives back our lock.
	if (self->slot == SHM_PROCESSES || shm_segment_is_gone(segment)) {
		close(self->lock);
		self->lock = -1;
		return self->slot == SHM_PROCESSES ? -EUSERS : -ESTALE;
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
	shm_metric_clear(segment, self->slot);
	store_relaxed(&self->mem->nudged, 0);
	store_relaxed(&self->mem->sleeping, SHM_AWAKE);
	store_release(&self->mem->uid, self->uid);
	return 0;
}

int shm_process_observe(struct shm_process *self, const struct shm_segment *segment)
{
	*self = (struct shm_process){.slot = SHM_PROCESSES, .lock = open_again(segment, O_RDONLY)};
	return self->lock < 0 ? -errno : 0;
}

void shm_process_look_away(struct shm_process *self)
{
	if (self->lock >= 0)
		close(self->lock);
	*self = (struct shm_process){.lock = -1};
}

void shm_process_leave(struct shm_process *self)
{
	if (!self->mem)
		return;
	store_release(&self->mem->uid, 0);
	close(self->lock);
	*self = (struct shm_process){.lock = -1};
}
