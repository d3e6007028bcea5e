// SPDX-License-Identifier: MIT
#include "shm/due.h"

#define TRIES                                                                                      \
	1000 // others write it too: more only if somebody scribbles, and then the next round looks

void shm_due_lower(struct shm_housekeeping_mem *housekeeping, uint64_t time)
{
	uint64_t due = load_relaxed(&housekeeping->due);

	// Release: who takes the duty after us sees what we have published. The word is written also if it says
	// something earlier already; see above.
	for (int left = TRIES; left > 0; left--)
		if (cas_acq_rel(&housekeeping->due, &due, time < due ? time : due))
			return;
}

bool shm_due_take(struct shm_housekeeping_mem *housekeeping, int64_t now, bool anyhow)
{
	uint64_t due = load_relaxed(&housekeeping->due);

	for (int left = TRIES; left > 0 && (anyhow || due <= (uint64_t)now); left--)
		if (cas_acq_rel(&housekeeping->due, &due, SHM_DUE_NEVER))
			return true;
	return false;
}

int shm_due_left(const struct shm_housekeeping_mem *housekeeping, int64_t now, int max)
{
	uint64_t due = load_relaxed(&housekeeping->due);

	if (due <= (uint64_t)now)
		return 1;
	return due - (uint64_t)now < (uint64_t)max ? (int)(due - (uint64_t)now) : max;
}
