// SPDX-License-Identifier: MIT
// Wake-ups: none while awake, one when asleep, none lost.

#include <poll.h>
#include <pthread.h>

#include "tests/shm/support.h"

static bool readable(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	return poll(&poll_fd, 1, 0) == 1;
}

TEST(who_is_awake_is_not_rung_and_who_sleeps_is_rung_once)
{
	struct attachment a, b;
	struct shm_doorbell mine, theirs;
	int fd;

	attach(&a);
	attach(&b);
	shm_doorbell_init(&mine, &a.segment, &a.self);
	shm_doorbell_init(&theirs, &b.segment, &b.self);
	fd = shm_doorbell_fd(&mine);
	EXPECT(fd >= 0);
	EXPECT(!shm_doorbell_wake(&theirs, a.self.slot));
	EXPECT(!readable(fd));
	shm_doorbell_drowse(&mine, SHM_ASLEEP_FIFO);
	EXPECT(shm_doorbell_wake(&theirs, a.self.slot));
	EXPECT(!shm_doorbell_wake(&theirs, a.self.slot));
	EXPECT(readable(fd));
	shm_doorbell_drain(&mine);
	EXPECT(!readable(fd));
	shm_doorbell_fini(&mine);
	shm_doorbell_fini(&theirs);
	detach(&a);
	detach(&b);
	discard();
}

static struct attachment a;
static _Atomic uint64_t posted;

enum { TURNS = 20000 };

static void *post(void *argument)
{
	uint32_t slot = *(uint32_t *)argument;
	struct shm_doorbell bell;
	struct attachment mine;

	attach_thread(&mine, &a);
	shm_doorbell_init(&bell, &mine.segment, &mine.self);
	for (uint64_t i = 1; i <= TURNS; i++) {
		atomic_store(&posted, i);
		shm_doorbell_wake(&bell, slot);
	}
	shm_doorbell_fini(&bell);
	leave(&mine);
	return NULL;
}

TEST(no_wake_up_is_lost_between_looking_and_sleeping)
{
	struct shm_doorbell bell;
	pthread_t thread;
	uint64_t last = 0;

	attach(&a);
	shm_doorbell_init(&bell, &a.segment, &a.self);
	EXPECT(pthread_create(&thread, NULL, post, &a.self.slot) == 0);
	while (last < TURNS) {
		shm_doorbell_drowse(&bell, SHM_ASLEEP_FUTEX);
		if (atomic_load(&posted) == last)
			EXPECT_INT(shm_doorbell_wait(&bell, SHM_ASLEEP_FUTEX, -1), 0);
		else
			shm_doorbell_awake(&bell);
		last = atomic_load(&posted);
	}
	pthread_join(thread, NULL);
	shm_doorbell_fini(&bell);
	detach(&a);
	discard();
}
