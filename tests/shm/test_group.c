// SPDX-License-Identifier: MIT
// Groups: the tree agrees with a model, whatever is added, removed, closed, expired or compacted; who is inside a
// group keeps it; every walk has an end.

#include "shm/cell.h"
#include "tests/shm/support_group.h"

enum {
	NAMES = 48,
	HOUR = 3600000,
};

static struct attachment b;

// ---------------------------------------------------------------------------------------------
// One process
// ---------------------------------------------------------------------------------------------

TEST(a_new_group_has_no_cell_and_a_first_member_makes_it_one)
{
	begin();
	EXPECT_INT(count(0), 0);
	EXPECT_INT(shm_cell_used(&a.segment), 0);
	EXPECT_INT(drop(plain("a"), 0), SHM_EMPTY);
	EXPECT_INT(add(open_reply(&a, 5), 0), SHM_OK);
	EXPECT_INT(count(0), 1);
	EXPECT_INT(shm_cell_used(&a.segment), 1);
	end();
}

TEST(dense_reply_channels_take_eight_octets_each)
{
	begin();
	for (uint32_t i = 0; i < ENDPOINTS; i++)
		EXPECT_INT(add(open_reply(&a, i), 0), SHM_OK);
	EXPECT_INT(count(0), ENDPOINTS);
	EXPECT_INT(shm_cell_used(&a.segment), 1 + ENDPOINTS / 16);
	end();
}

TEST(keys_that_agree_in_all_but_the_last_bits_make_a_long_branch)
{
	struct shm_member first = plain("first"), second = plain("second"), third = plain("third");

	begin();
	second.key = first.key ^ 1ull << 60;
	third.key = first.key ^ 1ull << 59;
	EXPECT_INT(add(first, 0), SHM_OK);
	EXPECT_INT(add(second, 0), SHM_OK);
	EXPECT_INT(shm_cell_used(&a.segment), 2 + 16);
	EXPECT_INT(add(third, 0), SHM_OK);
	EXPECT_INT(count(0), 3);
	EXPECT(holds(&first, 0) && holds(&second, 0) && holds(&third, 0));
	EXPECT_INT(drop(first, 0), SHM_OK);
	EXPECT_INT(drop(third, 0), SHM_OK);
	EXPECT(holds(&second, 0));
	// Alone, it stands in the root again: one cell, and one for its name.
	shm_compact_sweep(&a.table, 0, 1000);
	EXPECT(holds(&second, 0));
	EXPECT_INT(shm_cell_used(&a.segment), 2);
	end();
}

TEST(two_names_with_one_key_are_not_confused)
{
	struct shm_member first, second;

	begin();
	first = plain("first");
	second = plain("second");
	second.key = first.key;
	EXPECT_INT(add(first, 0), SHM_OK);
	EXPECT_INT(add(second, 0), SHM_CLASH);
	EXPECT_INT(drop(second, 0), SHM_CLASH);
	EXPECT_INT(count(0), 1);
	EXPECT(holds(&first, 0));
	EXPECT_INT(shm_cell_used(&a.segment), 2);
	end();
}

TEST(names_of_every_length_come_back)
{
	char name[SHM_NAME_SIZE];

	begin();
	for (size_t length = 1; length <= 200; length++) {
		struct shm_member member;

		memset(name, 'a' + (int)length % 26, length);
		name[length] = '\0';
		member = plain(name);
		EXPECT_INT(add(member, 0), SHM_OK);
		EXPECT(holds(&member, 0));
		EXPECT_INT(drop(member, 0), SHM_OK);
		shm_compact_if_empty(&a.table, &group, 0);
		shm_compact_sweep(&a.table, 0, 1000);
		EXPECT_INT(shm_cell_used(&a.segment), 0);
		EXPECT_INT(shm_table_make_group(&a.table, "g", &group), SHM_OK);
	}
	end();
}

TEST(a_glance_ends_a_small_group_that_its_last_member_has_left)
{
	struct shm_member first = plain("first"), second = plain("second");

	begin();
	second.key = first.key ^ 1ull << 20; // six cells deep
	EXPECT_INT(add(first, 0), SHM_OK);
	EXPECT_INT(add(second, 0), SHM_OK);
	EXPECT_INT(drop(first, 0), SHM_OK);
	shm_compact_if_empty(&a.table, &group, 0);
	EXPECT_INT(count(0), 1);
	EXPECT_INT(drop(second, 0), SHM_OK);
	shm_compact_if_empty(&a.table, &group, 0);
	EXPECT_INT(groups_in_use(), 0);
	EXPECT_INT(shm_cell_used(&a.segment), 0);
	end();
}

// What should be in the group, and since when.
struct model {
	struct shm_member member;
	bool in;
};

static struct model model[ENDPOINTS + NAMES];

static void make_model(void)
{
	for (uint32_t i = 0; i < ENDPOINTS; i++)
		model[i] = (struct model){.member = open_reply(&a, i)};
	for (int i = 0; i < NAMES; i++) {
		char name[SHM_NAME_SIZE];
		struct shm_member *member = &model[ENDPOINTS + i].member;

		snprintf(name, sizeof name, "%d%.*s", i, i % 2 ? 150 : 0,
		        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		        "x"
		        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		        "x");
		shm_member_set_plain(member, &a.segment, name);
		model[ENDPOINTS + i].in = false;
		// Some that part late.
		if (i % 4 == 3)
			member->key = model[ENDPOINTS + i - 1].member.key ^ 1ull << (i % 60 + 1);
	}
}

static void compare(int64_t now)
{
	struct shm_place place = {0};
	struct shm_member member;
	uint32_t found = 0, expected = 0;

	while (shm_group_list(&a.table, &group, now, &place, &member, 1) > 0) {
		bool known = false;

		for (int i = 0; i < ENDPOINTS + NAMES && !known; i++)
			known = model[i].in && model[i].member.key == member.key &&
			        model[i].member.generation == member.generation &&
			        strcmp(model[i].member.name, member.name) == 0;
		EXPECT(known);
		found++;
	}
	for (int i = 0; i < ENDPOINTS + NAMES; i++)
		expected += model[i].in;
	EXPECT_INT(found, expected);
	EXPECT_INT(count(now), expected);
}

static void change_one(struct model *one, unsigned choice)
{
	bool reply = SHM_MEMBER_IS_REPLY(&one->member);

	if (choice < 6) {
		EXPECT_INT(add(one->member, 0), SHM_OK);
		one->in = true;
	} else if (choice < 9 || !reply) {
		EXPECT_INT(drop(one->member, 0), one->in ? SHM_OK : SHM_EMPTY);
		one->in = false;
	} else { // another connection
		(void)shm_endpoint_close(&a.segment, one->member.endpoint, one->member.generation);
		one->member = open_reply(&a, one->member.endpoint);
		one->in = false;
	}
}

TEST(a_long_random_life_agrees_with_the_model)
{
	unsigned seed = 7;

	begin();
	make_model();
	for (int i = 0; i < 60000; i++) {
		// The share of members swings, so that trees grow and shrink.
		unsigned bias = i / 3000 % 2 ? 0 : 5;

		change_one(&model[(unsigned)rand_r(&seed) % (ENDPOINTS + NAMES)],
		        (unsigned)rand_r(&seed) % (15 - bias) + bias);
		if (i % 97 == 0)
			compare(0);
		if (i % 251 == 0)
			shm_compact_sweep(&a.table, 0, 1);
		if (i % 1009 == 0)
			(void)shm_compact_all(&a.table, 0);
		EXPECT(!test_failed());
		if (SHM_GROUP_PHASE(group_word()) == SHM_GROUP_CLOSED)
			EXPECT_INT(shm_table_make_group(&a.table, "g", &group), SHM_OK);
	}
	for (int i = 0; i < ENDPOINTS + NAMES; i++)
		(void)drop(model[i].member, 0);
	shm_compact_sweep(&a.table, 0, 1000);
	EXPECT_INT(shm_cell_used(&a.segment), 0);
	EXPECT_INT(groups_in_use(), 0);
	end();
}

TEST(a_list_in_pieces_has_each_once_although_the_tree_changes_in_between)
{
	struct shm_place place = {0};
	struct shm_member member;
	uint32_t seen[ENDPOINTS] = {0};

	begin();
	make_model();
	for (uint32_t i = 0; i < ENDPOINTS; i += 2)
		EXPECT_INT(add(model[i].member, 0), SHM_OK);
	for (uint32_t step = 0; shm_group_list(&a.table, &group, 0, &place, &member, 1) > 0;
	        step++) {
		uint32_t other = (step * 37 % ENDPOINTS) | 1;

		EXPECT(member.endpoint < ENDPOINTS);
		seen[member.endpoint]++;
		(void)(step % 3 ? add(model[other].member, 0) : drop(model[other].member, 0));
		if (step % 5 == 0)
			(void)shm_compact_all(&a.table, 0);
	}
	for (uint32_t i = 0; i < ENDPOINTS; i++)
		EXPECT(i % 2 ? seen[i] <= 1 : seen[i] == 1);
	end();
}

TEST(members_expire_by_the_clock_and_adding_renews_them)
{
	const int64_t day = 24 * HOUR, start = 1000ll * day + 12345;
	struct shm_member reply, name;

	begin();
	reply = open_reply(&a, 3);
	name = plain("name");
	EXPECT_INT(add(reply, start), SHM_OK);
	EXPECT_INT(add(name, start), SHM_OK);
	EXPECT_INT(count(start + day), 2);
	EXPECT_INT(count(start + day + day / 32), 0);
	// A clock that is a little behind finds them too.
	EXPECT_INT(count(start - 5000), 2);
	EXPECT_INT(add(reply, start + day), SHM_OK);
	EXPECT_INT(count(start + day + day / 32), 1);
	EXPECT_INT(add(name, start + 2 * day), SHM_OK);
	EXPECT_INT(count(start + 2 * day), 2);
	shm_compact_sweep(&a.table, start + 3 * day + day / 32, 1000);
	EXPECT_INT(groups_in_use(), 0);
	EXPECT_INT(shm_cell_used(&a.segment), 0);
	end();
}

TEST(a_name_that_left_comes_back_without_a_new_cell)
{
	begin();
	EXPECT_INT(add(plain("a"), 0), SHM_OK);
	EXPECT_INT(add(plain("b"), 0), SHM_OK);
	for (int i = 0; i < 1000; i++) {
		EXPECT_INT(drop(plain("a"), i), SHM_OK);
		EXPECT_INT(drop(plain("a"), i), SHM_EMPTY);
		EXPECT_INT(count(i), 1);
		EXPECT_INT(add(plain("a"), i), SHM_OK);
	}
	EXPECT(shm_cell_used(&a.segment) <= 4);
	end();
}

TEST(a_member_of_an_earlier_connection_neither_displaces_nor_removes_the_present_one)
{
	struct shm_member old, new;

	begin();
	old = open_reply(&a, 9);
	(void)shm_endpoint_close(&a.segment, 9, old.generation);
	new = open_reply(&a, 9);
	EXPECT_INT(add(new, 0), SHM_OK);
	EXPECT_INT(add(old, 0), SHM_OK);
	EXPECT(holds(&new, 0));
	EXPECT_INT(drop(old, 0), SHM_EMPTY);
	EXPECT(holds(&new, 0));
	EXPECT_INT(count(0), 1);
	end();
}

// ---------------------------------------------------------------------------------------------
// Memory
// ---------------------------------------------------------------------------------------------

TEST(without_cells_it_says_so_and_goes_on_when_some_have_come_back)
{
	char name[32];
	int added = 0, again = 0;

	begin();
	for (enum shm_result result = SHM_OK; result != SHM_FULL; added += result == SHM_OK) {
		snprintf(name, sizeof name, "name-%d", added);
		result = add(plain(name), 0);
		EXPECT(result == SHM_OK || result == SHM_FULL);
	}
	EXPECT(added > 100);
	EXPECT_INT(count(0), added);
	// The reserve isn't for members. The last one may have needed more cells than one.
	EXPECT(shm_cell_used(&a.segment) <= a.segment.geometry.cells - SHM_CELLS_RESERVED);
	EXPECT(shm_cell_used(&a.segment) + 3 > a.segment.geometry.cells - SHM_CELLS_RESERVED);
	EXPECT(!shm_compact_all(&a.table, 0));
	for (int i = 0; i < added; i += 2) {
		snprintf(name, sizeof name, "name-%d", i);
		EXPECT_INT(drop(plain(name), 0), SHM_OK);
	}
	EXPECT(shm_compact_all(&a.table, 0));
	EXPECT_INT(count(0), added / 2);
	for (enum shm_result result = SHM_OK; result != SHM_FULL; again += result == SHM_OK) {
		snprintf(name, sizeof name, "again-%d", again);
		result = add(plain(name), 0);
	}
	EXPECT(again > added / 4);
	EXPECT_INT(count(0), added / 2 + again);
	end();
}

TEST(compaction_gives_its_reserve_back_and_works_time_after_time)
{
	char name[32];
	int next = 0, in = 0;

	begin();
	// Always full, always another member: each round takes compaction.
	for (int round = 0; round < 300; round++) {
		enum shm_result result = SHM_OK;

		while (result == SHM_OK) {
			snprintf(name, sizeof name, "name-%d", next);
			result = add(plain(name), 0);
			next += result == SHM_OK;
		}
		EXPECT_INT(result, SHM_FULL);
		in = (int)count(0);
		EXPECT(in > 100);
		for (int i = 0; i < 10; i++) {
			snprintf(name, sizeof name, "name-%d", next - in + i);
			EXPECT_INT(drop(plain(name), 0), SHM_OK);
		}
		EXPECT(shm_compact_all(&a.table, 0));
		EXPECT_INT(count(0), in - 10);
	}
	end();
}

TEST(groups_without_members_end_and_make_room_for_others)
{
	char name[32];

	begin();
	for (int i = 0; i < 1000; i++) {
		struct shm_entry other;

		snprintf(name, sizeof name, "group-%d", i);
		if (shm_table_make_group(&a.table, name, &other) != SHM_OK) {
			EXPECT(shm_compact_all(&a.table, 0));
			EXPECT_INT(shm_table_make_group(&a.table, name, &other), SHM_OK);
		}
		EXPECT_INT(shm_group_add(&a.table, &other,
		                   &(struct shm_member){.key = 1, .name = "x"}, 0),
		        SHM_OK);
		EXPECT_INT(shm_group_discard(&a.table, &other,
		                   &(struct shm_member){.key = 1, .name = "x"}, 0),
		        SHM_OK);
	}
	(void)shm_compact_all(&a.table, 0);
	EXPECT_INT(groups_in_use(), 0);
	EXPECT_INT(shm_cell_used(&a.segment), 0);
	end();
}

// ---------------------------------------------------------------------------------------------
// Two processes, step by step
// ---------------------------------------------------------------------------------------------

TEST(a_group_is_not_ended_while_somebody_is_inside)
{
	uint64_t word;

	begin();
	attach(&b);
	EXPECT_INT(add(plain("a"), 0), SHM_OK);
	EXPECT_INT(drop(plain("a"), 0), SHM_OK);
	EXPECT(shm_group_enter(&b.table, &group, &word));
	shm_compact_sweep(&a.table, 0, 1000);
	EXPECT_INT(groups_in_use(), 1);
	EXPECT_INT(SHM_GROUP_PHASE(group_word()), SHM_GROUP_OPEN);
	EXPECT_INT(SHM_GROUP_ROOT(group_word()), SHM_GROUP_ROOT(word));
	shm_group_leave(&b.table);
	shm_compact_sweep(&a.table, 0, 1000);
	EXPECT_INT(groups_in_use(), 0);
	EXPECT_INT(shm_cell_used(&a.segment), 0);
	EXPECT(!shm_group_enter(&b.table, &group, &word));
	EXPECT_INT(add(plain("a"), 0), SHM_CLOSED);
	EXPECT_INT(load_relaxed(&b.self.mem->hazard), 0);
	detach(&b);
	end();
}

TEST(a_visitor_cancels_a_change_that_was_begun)
{
	uint64_t word, changing;

	begin();
	attach(&b);
	EXPECT_INT(add(plain("a"), 0), SHM_OK);
	EXPECT(shm_table_hold(&b.table, &group)); // as who changes does
	word = group_word();
	changing = SHM_GROUP_WORD(
	        SHM_GROUP_CHANGING, SHM_GROUP_ROOT(word), SHM_GROUP_TICKET(word) + 1);
	store_relaxed(&a.segment.channel[group.index].group, changing);
	EXPECT_INT(add(plain("b"), 0), SHM_OK);
	EXPECT_INT(SHM_GROUP_PHASE(group_word()), SHM_GROUP_OPEN);
	EXPECT_INT(SHM_GROUP_TICKET(group_word()), SHM_GROUP_TICKET(changing) + 1);
	// Held, it is changed by nobody else.
	EXPECT_INT(drop(plain("a"), 0), SHM_OK);
	EXPECT_INT(drop(plain("b"), 0), SHM_OK);
	shm_compact_sweep(&a.table, 0, 1000);
	EXPECT_INT(groups_in_use(), 1);
	shm_table_release(&b.table, &group);
	shm_compact_sweep(&a.table, 0, 1000);
	EXPECT_INT(groups_in_use(), 0);
	detach(&b);
	end();
}

// ---------------------------------------------------------------------------------------------
// Damage
// ---------------------------------------------------------------------------------------------

TEST(a_tree_full_of_nonsense_has_an_end)
{
	unsigned seed = 3;

	begin();
	make_model();
	for (int round = 0; round < 200; round++) {
		uint32_t cells = a.segment.geometry.cells;

		EXPECT_INT(shm_table_make_group(&a.table, "g", &group), SHM_OK);
		(void)add(model[round % ENDPOINTS].member, 0);
		for (uint32_t i = 0; i < cells; i++)
			for (int k = 0; k < SHM_CELL_WORDS; k++)
				store_relaxed(&a.segment.cells[i].word[k],
				        (uint64_t)((unsigned)rand_r(&seed) % (cells + cells / 8))
				                        << 40 |
				                (uint64_t)rand_r(&seed) << 2 |
				                (unsigned)(rand_r(&seed) >> 8) % 4);
		for (int i = 0; i < ENDPOINTS + NAMES; i++) {
			(void)add(model[i].member, 0);
			(void)drop(model[i].member, 0);
		}
		EXPECT(count(0) <= cells * SHM_CELL_WORDS);
		shm_compact_sweep(&a.table, 0, 1000);
		(void)shm_compact_all(&a.table, 0);
	}
	end();
}

TEST(a_tree_that_goes_round_in_circles_has_an_end)
{
	uint32_t root;

	begin();
	EXPECT_INT(add(open_reply(&a, 0), 0), SHM_OK);
	root = SHM_GROUP_ROOT(group_word());
	for (int i = 0; i < SHM_CELL_WORDS; i++)
		store_relaxed(&a.segment.cells[root].word[i], SHM_WORD_NODE(root));
	EXPECT_INT(count(0), 0);
	EXPECT_INT(add(open_reply(&a, 0), 0), SHM_CORRUPT);
	EXPECT_INT(drop(open_reply(&a, 0), 0), SHM_CORRUPT);
	shm_compact_sweep(&a.table, 0, 1000);
	(void)shm_compact_all(&a.table, 0);
	end();
}
