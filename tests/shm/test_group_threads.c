// SPDX-License-Identifier: MIT
// Groups that several threads, each attached by itself, change at the same time.

#include <pthread.h>

#include "shm/cell.h"
#include "tests/shm/support_group.h"

enum {
	THREADS = 4,
	ROUNDS = 3000,
	SHARED = 3,
};

static const char *const shared[SHARED] = {"one", "two", "three"};

// Each thread has members of its own in the same groups; others look after the groups all the time.
static void *live(void *argument)
{
	uint32_t me = (uint32_t)(uintptr_t)argument;
	unsigned seed = me + 1;
	struct attachment mine;

	attach_thread(&mine, &a);
	for (int i = 0; i < ROUNDS; i++) {
		const char *name = shared[(unsigned)rand_r(&seed) % SHARED];
		struct shm_member member, listed[5];
		struct shm_place place = {0};
		struct shm_entry entry;
		char own[32];

		snprintf(own, sizeof own, "%u-%u", me, (unsigned)rand_r(&seed) % 8);
		shm_member_set_plain(&member, &a.segment, own);
		if (shm_table_make_group(&mine.table, name, &entry) != SHM_OK)
			continue;
		if (rand_r(&seed) % 2)
			(void)shm_group_add(&mine.table, &entry, &member, 0);
		else
			(void)shm_group_discard(&mine.table, &entry, &member, 0);
		switch (rand_r(&seed) % 8) {
		case 0:
			while (shm_group_list(&mine.table, &entry, 0, &place, listed, 5) > 0)
				;
			break;
		case 1:
			shm_compact_sweep(&mine.table, 0, 1);
			break;
		case 2:
			shm_compact_if_empty(&mine.table, &entry, 0);
			break;
		default:
			break;
		}
	}
	// At the end exactly these are in, in each group.
	for (int i = 0; i < SHARED; i++) {
		for (unsigned k = 0; k < 8; k++) {
			enum shm_result result = SHM_CLOSED;
			struct shm_member member;
			struct shm_entry entry;
			char own[32];

			snprintf(own, sizeof own, "%u-%u", me, k);
			shm_member_set_plain(&member, &a.segment, own);
			while (result == SHM_CLOSED) {
				if (shm_table_make_group(&mine.table, shared[i], &entry) != SHM_OK)
					break;
				result = k < 4 ? shm_group_add(&mine.table, &entry, &member, 0)
				               : shm_group_discard(&mine.table, &entry, &member, 0);
				if (result == SHM_CLOSED)
					shm_table_unlink_group(&mine.table, &entry);
			}
			if (k < 4 && result != SHM_OK)
				printf("# thread %u: adding %s to %s failed: %d\n", me, own,
				        shared[i], result);
		}
	}
	leave(&mine);
	return NULL;
}

TEST(threads_that_add_discard_list_and_end_the_same_groups_agree_at_the_end)
{
	pthread_t threads[THREADS];

	attach(&a);
	for (uintptr_t i = 0; i < THREADS; i++)
		EXPECT(pthread_create(&threads[i], NULL, live, (void *)i) == 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < SHARED; i++) {
		EXPECT_INT(shm_table_find_group(&a.table, shared[i], &group), SHM_OK);
		EXPECT_INT(count(0), THREADS * 4);
	}
	EXPECT_INT(groups_in_use(), SHARED);
	for (int i = 0; i < SHARED; i++) {
		EXPECT_INT(shm_table_find_group(&a.table, shared[i], &group), SHM_OK);
		for (unsigned k = 0; k < THREADS * 8; k++) {
			char own[32];

			snprintf(own, sizeof own, "%u-%u", k / 8, k % 8);
			EXPECT_INT(drop(plain(own), 0), k % 8 < 4 ? SHM_OK : SHM_EMPTY);
		}
	}
	shm_compact_sweep(&a.table, 0, 1000);
	EXPECT_INT(groups_in_use(), 0);
	EXPECT_INT(shm_cell_used(&a.segment), 0);
	end();
}

// Members that come and go with their endpoints, which are closed and opened anew under the groups' feet.
static void *reconnect(void *argument)
{
	uint32_t me = (uint32_t)(uintptr_t)argument;
	struct attachment mine;
	uint32_t first, scan = 0;

	attach_thread(&mine, &a);
	first = shm_endpoint_take_zone(&mine.segment, mine.self.uid, &scan) * SHM_ENDPOINT_ZONE;
	for (uint32_t i = 0; i < ROUNDS; i++) {
		struct shm_member member = open_reply(&mine, first + i % SHM_ENDPOINT_ZONE);
		enum shm_result result = SHM_CLOSED;
		struct shm_entry entry;

		while (result == SHM_CLOSED) {
			if (shm_table_make_group(&mine.table, "room", &entry) != SHM_OK)
				break;
			result = shm_group_add(&mine.table, &entry, &member, 0);
			if (result == SHM_CLOSED)
				shm_table_unlink_group(&mine.table, &entry);
		}
		if (i + 10 < ROUNDS)
			(void)shm_endpoint_close(&mine.segment, member.endpoint, member.generation);
		if (i % 16 == me)
			shm_compact_sweep(&mine.table, 0, 1);
		if (i % 128 == me)
			(void)shm_compact_all(&mine.table, 0);
	}
	shm_pool_fini(&mine.pool);
	return NULL; // in its slot still, so its last endpoints are open
}

TEST(reply_channels_that_are_opened_and_closed_all_the_time_are_counted_exactly)
{
	pthread_t threads[2];

	attach(&a);
	for (uintptr_t i = 0; i < 2; i++)
		EXPECT(pthread_create(&threads[i], NULL, reconnect, (void *)i) == 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	EXPECT_INT(shm_table_find_group(&a.table, "room", &group), SHM_OK);
	EXPECT_INT(count(0), 2 * 10);
	end();
}
