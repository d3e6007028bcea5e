// SPDX-License-Identifier: MIT
// Endpoints: credit is exact, an old generation is gone for ever.

#include "tests/shm/support.h"

TEST(a_sender_may_take_its_window_and_no_more)
{
	struct attachment a;
	uint64_t generation;
	uint32_t sequence = 99;

	attach(&a);
	generation = shm_endpoint_open(&a.segment, 5, 0, 3, 0);
	for (uint32_t i = 0; i < 3; i++) {
		EXPECT_INT(shm_endpoint_take(&a.segment, 5, generation, &sequence), SHM_OK);
		EXPECT_INT(sequence, i);
	}
	EXPECT_INT(shm_endpoint_look(&a.segment, 5, generation), SHM_FULL);
	EXPECT_INT(shm_endpoint_take(&a.segment, 5, generation, &sequence), SHM_FULL);
	shm_endpoint_wait(&a.segment, 5, 7);
	EXPECT_INT(shm_endpoint_grant(&a.segment, 5, 4), 1 << 7);
	EXPECT_INT(shm_endpoint_grant(&a.segment, 5, 4), 0);
	EXPECT_INT(shm_endpoint_take(&a.segment, 5, generation, &sequence), SHM_OK);
	shm_endpoint_untake(&a.segment, 5, generation, sequence);
	EXPECT_INT(shm_endpoint_next(&a.segment, 5), 3);
	detach(&a);
	discard();
}

TEST(a_closed_endpoint_is_gone_and_its_next_generation_does_not_answer_to_the_old_name)
{
	struct attachment a;
	uint64_t first, second;
	uint32_t sequence;

	attach(&a);
	first = shm_endpoint_open(&a.segment, 5, 0, 3, 0);
	shm_endpoint_close(&a.segment, 5, first);
	EXPECT_INT(shm_endpoint_look(&a.segment, 5, first), SHM_CLOSED);
	EXPECT_INT(shm_endpoint_look(&a.segment, 5, first + 1), SHM_CLOSED);
	second = shm_endpoint_open(&a.segment, 5, 0, 3, 0);
	EXPECT(second != first);
	EXPECT_INT(shm_endpoint_take(&a.segment, 5, first, &sequence), SHM_CLOSED);
	EXPECT_INT(shm_endpoint_look(&a.segment, 5, second), SHM_OK);
	shm_endpoint_close(&a.segment, 5, first);
	EXPECT_INT(shm_endpoint_look(&a.segment, 5, second), SHM_OK);
	EXPECT_INT(shm_endpoint_look(&a.segment, 1 << 30, second), SHM_CORRUPT);
	detach(&a);
	discard();
}

TEST(sequence_numbers_wrap)
{
	struct attachment a;
	uint64_t generation;
	uint32_t sequence, limit = 3;

	attach(&a);
	generation = shm_endpoint_open(&a.segment, 0, 0, 3, 0);
	for (uint32_t i = 0; i < (1 << 24) + 1000; i += 3) {
		for (int k = 0; k < 3; k++)
			EXPECT_INT(shm_endpoint_take(&a.segment, 0, generation, &sequence), SHM_OK);
		EXPECT_INT(shm_endpoint_look(&a.segment, 0, generation), SHM_FULL);
		limit += 3;
		shm_endpoint_grant(&a.segment, 0, limit);
	}
	EXPECT_INT(SHM_ENDPOINT_GENERATION(load_relaxed(&a.segment.endpoint[0].state)), generation);
	detach(&a);
	discard();
}
