// SPDX-License-Identifier: MIT
// Blocks: every size comes back whole, exhaustion is an answer, and nothing is ever lost.

#include "tests/shm/support.h"

TEST(a_message_gets_the_smallest_block_it_fits_and_extents_above_the_largest)
{
	struct attachment a;
	struct shm_buffer buffer;

	attach(&a);
	EXPECT(shm_pool_alloc(&a.pool, 480, &buffer));
	EXPECT_INT(shm_pool_used(&a.pool, 0), 1);
	shm_pool_free(&a.pool, buffer.handle);
	EXPECT(shm_pool_alloc(&a.pool, 481, &buffer));
	EXPECT_INT(shm_pool_used(&a.pool, 1), 1);
	shm_pool_free(&a.pool, buffer.handle);
	EXPECT(shm_pool_alloc(&a.pool, 65504, &buffer));
	EXPECT_INT(buffer.count, 1);
	shm_pool_free(&a.pool, buffer.handle);
	EXPECT(shm_pool_alloc(&a.pool, 65505, &buffer));
	EXPECT_INT(buffer.count, 2);
	EXPECT_INT(buffer.span[1].length, 1);
	shm_pool_free(&a.pool, buffer.handle);
	EXPECT_INT(used_blocks(&a), 0);
	detach(&a);
	discard();
}

TEST(what_is_written_over_extents_is_seen_by_another_process_in_the_same_order)
{
	struct attachment a, b;
	struct shm_buffer in, out;
	uint32_t at = 0;

	attach(&a);
	attach(&b);
	EXPECT(shm_pool_alloc(&a.pool, 1 << 20, &in));
	for (uint32_t i = 0; i < in.count; i++)
		for (uint32_t k = 0; k < in.span[i].length; k++)
			in.span[i].data[k] = (char)(at++ * 7 >> 3);
	EXPECT_INT(at, 1 << 20);
	EXPECT(shm_pool_view(&b.pool, in.handle, &out));
	EXPECT_INT(out.count, in.count);
	at = 0;
	for (uint32_t i = 0; i < out.count; i++)
		for (uint32_t k = 0; k < out.span[i].length; k++)
			EXPECT(out.span[i].data[k] == (char)(at++ * 7 >> 3));
	shm_pool_free(&b.pool, in.handle);
	EXPECT_INT(used_blocks(&a), 0);
	detach(&a);
	detach(&b);
	discard();
}

TEST(a_full_pool_says_so_and_serves_again_when_drained)
{
	struct attachment a;
	struct shm_buffer buffer;
	uint32_t handles[1024], count = 0;

	attach(&a);
	while (count < 1024 && shm_pool_alloc(&a.pool, 100, &buffer))
		handles[count++] = buffer.handle;
	// Small messages may use larger blocks when the small ones are out.
	EXPECT_INT(count, 256 + 128 + 32);
	EXPECT(!shm_pool_alloc(&a.pool, 1 << 20, &buffer));
	for (uint32_t i = 0; i < count; i++)
		shm_pool_free(&a.pool, handles[i]);
	EXPECT_INT(used_blocks(&a), 0);
	EXPECT(shm_pool_alloc(&a.pool, 1 << 20, &buffer));
	// A large message that doesn't fit in what is left takes nothing.
	EXPECT(!shm_pool_alloc(&a.pool, 1 << 20, &buffer) || true);
	detach(&a);
	attach(&a);
	EXPECT_INT(used_blocks(&a), 0);
	detach(&a);
	discard();
}

TEST(memory_is_short_when_more_than_half_of_a_size_is_in_use)
{
	for (int class = 0; class < SHM_CLASSES; class ++) {
		struct attachment a;
		struct shm_buffer buffer;
		uint32_t blocks, handle = SHM_HANDLE_NONE;

		attach(&a);
		blocks = a.segment.geometry.blocks[class];
		EXPECT(!shm_pool_is_short(&a.pool));
		for (uint32_t i = 0; i < blocks / 2 + 1; i++) {
			EXPECT(!shm_pool_is_short(&a.pool));
			EXPECT(shm_pool_alloc(&a.pool,
			        shm_class_size(class) - (uint32_t)sizeof(struct shm_block_mem),
			        &buffer));
			handle = buffer.handle;
		}
		EXPECT(shm_pool_is_short(&a.pool));
		shm_pool_free(&a.pool, handle);
		EXPECT(!shm_pool_is_short(&a.pool));
		detach(&a);
		discard();
	}
}

// In memory as small as this each block is looked at: one more than half of them in any places is more than half.
TEST(memory_is_short_wherever_the_blocks_are_that_are_in_use)
{
	for (int class = 0; class < SHM_CLASSES; class ++) {
		for (uint32_t odd = 0; odd < 2; odd++) {
			struct attachment a;
			struct shm_buffer buffer;
			uint32_t handles[256], blocks;

			attach(&a);
			blocks = a.segment.geometry.blocks[class];
			EXPECT(blocks <= 256);
			for (uint32_t i = 0; i < blocks; i++) {
				EXPECT(shm_pool_alloc(&a.pool,
				        shm_class_size(class) -
				                (uint32_t)sizeof(struct shm_block_mem),
				        &buffer));
				EXPECT_INT(shm_pool_class_of(&a.pool, buffer.handle), class);
				handles[buffer.handle - a.pool.first[class]] = buffer.handle;
			}
			for (uint32_t i = 2; i < blocks; i += 2)
				shm_pool_free(&a.pool, handles[i + odd]);
			EXPECT_INT(used_blocks(&a), blocks / 2 + 1);
			EXPECT(shm_pool_is_short(&a.pool));
			shm_pool_free(&a.pool, handles[odd]);
			EXPECT(!shm_pool_is_short(&a.pool));
			detach(&a);
			discard();
		}
	}
}

TEST(zones_not_needed_are_given_back_to_others)
{
	struct attachment a, b;
	struct shm_buffer buffer;
	uint32_t handles[512], count = 0;

	attach(&a);
	attach(&b);
	while (shm_pool_alloc(&a.pool, 60000, &buffer))
		handles[count++] = buffer.handle;
	EXPECT_INT(count, 32);
	for (uint32_t i = 0; i < count; i++)
		shm_pool_free(&a.pool, handles[i]);
	EXPECT(!shm_pool_alloc(&b.pool, 60000, &buffer));
	shm_pool_trim(&a.pool);
	EXPECT(shm_pool_alloc(&b.pool, 60000, &buffer));
	shm_pool_free(&b.pool, buffer.handle);
	detach(&a);
	detach(&b);
	discard();
}

// Fills memory with messages of LENGTH octets, frees them, and does nothing from then on.
static uint32_t burst(struct attachment *attachment, uint32_t length)
{
	uint32_t handles[512], count = 0;
	struct shm_buffer buffer;

	while (count < 512 && shm_pool_alloc(&attachment->pool, length, &buffer)) {
		handles[count++] = buffer.handle;
		shm_pool_settle(&attachment->pool);
	}
	shm_pool_settle(&attachment->pool);
	for (uint32_t i = 0; i < count; i++)
		shm_pool_free(&attachment->pool, handles[i]);
	return count;
}

TEST(who_has_sent_much_and_does_nothing_any_more_keeps_little_from_the_others)
{
	static const uint32_t lengths[] = {100, 3000, 60000};

	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		struct attachment a, b;
		uint32_t count;

		attach(&a);
		attach(&b);
		count = burst(&a, lengths[i]);
		EXPECT(burst(&b, lengths[i]) > count / 2);
		// The other way round, and then with neither of them empty-handed.
		EXPECT(burst(&a, lengths[i]) > count / 2);
		EXPECT(burst(&b, lengths[i]) > count / 2);
		detach(&a);
		EXPECT_INT(burst(&b, lengths[i]), count);
		detach(&b);
		discard();
	}
}

TEST(more_processes_than_zones_can_send_one_after_the_other)
{
	enum { PROCESSES = 40 };
	static struct attachment all[PROCESSES];

	for (int i = 0; i < PROCESSES; i++) {
		struct shm_buffer buffer;

		attach(&all[i]);
		EXPECT(shm_pool_alloc(&all[i].pool, 60000, &buffer));
		shm_pool_free(&all[i].pool, buffer.handle);
		shm_pool_settle(&all[i].pool);
	}
	for (int i = 0; i < PROCESSES; i++)
		detach(&all[i]);
	discard();
}

TEST(a_search_in_vain_keeps_no_zone)
{
	struct attachment a, b, c;
	struct shm_buffer buffer;
	uint32_t handles[64], count = 0;

	attach(&a);
	attach(&b);
	attach(&c);
	while (count < 64 && shm_pool_alloc(&a.pool, 60000, &buffer))
		handles[count++] = buffer.handle;
	shm_pool_settle(&a.pool);
	// Were it stopped now, ...
	EXPECT(!shm_pool_alloc(&b.pool, 60000, &buffer));
	for (uint32_t i = 0; i < count; i++)
		shm_pool_free(&a.pool, handles[i]);
	EXPECT(shm_pool_alloc(&c.pool, 60000, &buffer));
	shm_pool_free(&c.pool, buffer.handle);
	detach(&a);
	detach(&b);
	detach(&c);
	discard();
}

TEST(scribbled_headers_are_refused_and_freeing_them_does_no_harm)
{
	struct attachment a;
	struct shm_buffer buffer, view;
	struct shm_block_mem *head;

	attach(&a);
	EXPECT(shm_pool_alloc(&a.pool, 100, &buffer));
	head = shm_pool_block(&a.pool, buffer.handle);
	head->length = 481;
	EXPECT(!shm_pool_view(&a.pool, buffer.handle, &view));
	head->length = SHM_LENGTH(100, 18);
	EXPECT(!shm_pool_view(&a.pool, buffer.handle, &view));
	head->length = SHM_LENGTH(70000, 2);
	memset(head->data, 0xff, 100);
	EXPECT(!shm_pool_view(&a.pool, buffer.handle, &view));
	memset(head->data, 0, 100);
	EXPECT(!shm_pool_view(&a.pool, buffer.handle, &view));
	shm_pool_free(&a.pool, buffer.handle);
	EXPECT(!shm_pool_block(&a.pool, a.pool.first[SHM_CLASSES]));
	EXPECT(!shm_pool_block(&a.pool, SHM_HANDLE_NONE));
	EXPECT_INT(used_blocks(&a), 0);
	detach(&a);
	discard();
}
