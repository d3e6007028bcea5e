// SPDX-License-Identifier: MIT
// A layer in full use has nothing wrong with it.

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "shm/compact.h"
#include "shm/will.h"
#include "tests/shm/support_check.h"

enum {
	USERS = 4,
	LOOKS = 30,
};

// Announces the reply channel, or executes its will, into the ring, which may be full.
static void say(
        struct attachment *own, uint32_t endpoint, struct shm_ring *ring, enum shm_will_state state)
{
	struct shm_buffer buffer;
	bool sent;

	if (!shm_pool_alloc(&own->pool, 8, &buffer))
		return;
	shm_will_claim(&own->segment, endpoint, state, own->self.slot, buffer.handle);
	sent = shm_ring_push(ring, &own->pool, buffer.handle,
	               shm_pool_block(&own->pool, buffer.handle)) == SHM_OK;
	shm_will_settle(&own->segment, endpoint, sent);
	if (!sent)
		shm_pool_free(&own->pool, buffer.handle);
}

// Sends, receives, makes and ends channels and reply channels as fast as it can, until it is killed.
_Noreturn static void use(uint32_t number)
{
	static struct attachment own;
	struct shm_ring ring, stream, inbox;
	struct shm_buffer buffer;
	uint64_t value, generation, seed = number + 1, dropped;
	uint32_t zone, scan = 0, handle, ready = 0;
	struct shm_entry group;
	struct shm_member member;
	char name[32];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	attach(&own);
	if (shm_table_make_inbox(&own.table, "inbox", 10, &inbox) != SHM_OK)
		abort();
	zone = shm_endpoint_take_zone(&own.segment, own.self.uid, &scan);
	for (;;) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		snprintf(name, sizeof name, "shared %u", (unsigned)(seed >> 60));
		if (shm_table_make(&own.table, name, seed >> 40 & 1 ? 50 : 500, 0, &ring) ==
		        SHM_OK) {
			for (int i = 0; i < 20; i++)
				(void)push_number(&own, &ring, seed);
			for (int i = 0; i < 22; i++)
				(void)pop_number(&own, &ring, &value);
			(void)shm_table_listen(&own.table, &ring, own.self.slot);
			shm_table_ignore(&own.table, &ring, own.self.slot);
		}
		// A message of extents, held for a moment, sent and received.
		if (shm_table_find(&own.table, name, &ring) == SHM_OK &&
		        shm_pool_alloc(&own.pool, 150000, &buffer) &&
		        shm_ring_push(&ring, &own.pool, buffer.handle,
		                shm_pool_block(&own.pool, buffer.handle)) != SHM_OK)
			shm_pool_free(&own.pool, buffer.handle);
		if (shm_ring_pop(&ring, &own.pool, &handle) == SHM_OK)
			shm_pool_free(&own.pool, handle);
		(void)shm_table_end(&own.table, &ring, false, &dropped);
		snprintf(name, sizeof name, "stream %u %u", number, (unsigned)(seed >> 58));
		if (shm_table_make(&own.table, name, 10, own.self.uid, &stream) == SHM_OK)
			(void)shm_table_end(&own.table, &stream, true, &dropped);
		snprintf(name, sizeof name, "%u", (unsigned)(seed >> 58));
		shm_member_set_plain(&member, &own.segment, name);
		if (shm_table_make_group(&own.table, "group", &group) == SHM_OK &&
		        shm_group_add(&own.table, &group, &member, 0) == SHM_OK && seed >> 50 & 1)
			(void)shm_group_discard(&own.table, &group, &member, 0);
		(void)(seed >> 45 & 1 ? shm_compact_all(&own.table, 0)
		                      : shm_compact_all(&own.table, 1ll << 31));
		// There are fewer zones than users.
		if (zone != SHM_HANDLE_NONE) {
			uint32_t endpoint = zone * SHM_ENDPOINT_ZONE + 5;

			generation = shm_endpoint_open(&own.segment, endpoint,
			        (uint64_t)inbox.generation << 32 | inbox.id, 5, 0);
			if (shm_will_state(&own.segment, endpoint) == SHM_WILL_NONE)
				say(&own, endpoint, &ring, SHM_WILL_SETTING);
			(void)shm_endpoint_close(&own.segment, endpoint, generation);
			if (shm_will_state(&own.segment, endpoint) == SHM_WILL_SET)
				say(&own, endpoint, &ring, SHM_WILL_EXECUTING);
		}
		shm_pool_trim(&own.pool);
		if (!ready++)
			store_release(&own.self.mem->counters[0], 1);
	}
}

TEST(a_layer_in_full_use_has_nothing_wrong_and_a_repair_takes_nothing_from_it)
{
	struct attachment a;
	pid_t users[USERS];

	attach(&a);
	for (uint32_t i = 0; i < USERS; i++) {
		users[i] = fork();
		if (users[i] == 0)
			use(i);
	}
	for (uint32_t i = 0; i < USERS; i++)
		while (load_acquire(&a.segment.processes[i + 1].counters[0]) == 0) {
			EXPECT_INT(waitpid(-1, NULL, WNOHANG), 0); // none has ended
			sched_yield();
		}
	for (int i = 0; i < LOOKS && !test_failed(); i++) {
		struct report report = i % 2 ? repair() : look();

		if (report.total > 0) {
			for (int kind = 0; kind < SHM_FINDINGS; kind++)
				if (report.found[kind])
					printf("# round %d, %u of kind %d\n", i, report.found[kind],
					        kind);
			test_bad = true;
		}
	}
	for (uint32_t i = 0; i < USERS; i++) {
		kill(users[i], SIGKILL);
		waitpid(users[i], NULL, 0);
	}
	EXPECT(!test_failed());
	EXPECT(look().found[SHM_FINDING_DEAD] == USERS);
	EXPECT(repair().found[SHM_FINDING_DEAD] <= USERS);
	EXPECT_INT(look().total, 0);
	detach(&a);
	discard();
}
