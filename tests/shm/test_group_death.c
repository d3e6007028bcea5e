// SPDX-License-Identifier: MIT
// Groups that somebody died in: what the dead held comes back.

#include "shm/cell.h"
#include "tests/shm/support_group.h"

// Runs WORK in a child with an attachment of its own that is killed afterwards, and reaps it.
static void run_and_reap(void (*work)(struct attachment *child))
{
	struct shm_reaped reaped = {0};

	EXPECT(run_and_kill(work));
	shm_reaper_run(&a.table, &reaped);
	EXPECT_INT(reaped.processes, 1);
}

// Inside, with two cells: one linked as a node below the root (with the member that was there in it), one not.
static void die_inside(struct attachment *child)
{
	uint32_t linked, loose, root;
	uint64_t word, member;
	shm_atomic64 *slot;

	if (!shm_group_enter(&child->table, &group, &word) ||
	        !shm_cell_take(&child->table, false, &linked) ||
	        !shm_cell_take(&child->table, false, &loose))
		abort();
	root = SHM_GROUP_ROOT(word);
	slot = &child->segment.cells[root].word[0];
	member = load_acquire(slot);
	store_relaxed(&child->segment.cells[linked].word[0], member);
	if (!cas_acq_rel(slot, &member, SHM_WORD_NODE(linked)))
		abort();
}

TEST(cells_that_a_dead_visitor_had_linked_stay_and_the_others_come_back)
{
	struct shm_member member;

	begin();
	member = open_reply(&a, 0);
	EXPECT_INT(add(member, 0), SHM_OK);
	EXPECT_INT(add(plain("a"), 0), SHM_OK);
	EXPECT_INT(shm_cell_used(&a.segment), 2);
	run_and_reap(die_inside);
	EXPECT(!test_failed());
	EXPECT_INT(shm_cell_used(&a.segment), 3);
	for (uint32_t i = 0; i < a.segment.geometry.cells; i++) {
		uint64_t own = load_relaxed(&a.segment.cell_owns[i]);

		EXPECT(own == SHM_FREE || own == SHM_OWN_USED(&group));
	}
	EXPECT_INT(count(0), 2);
	EXPECT(holds(&member, 0));
	EXPECT_INT(drop(plain("a"), 0), SHM_OK);
	EXPECT_INT(drop(member, 0), SHM_OK);
	shm_compact_sweep(&a.table, 0, 1000);
	EXPECT_INT(shm_cell_used(&a.segment), 0);
	end();
}

// In the middle of a change, with a private copy of the root; and the old root is HELD already.
static void die_changing(struct attachment *child)
{
	shm_atomic64 *truth = &child->segment.channel[group.index].group;
	uint64_t word = load_acquire(truth);
	uint32_t copy;

	if (!shm_table_hold(&child->table, &group))
		abort();
	store_relaxed(&child->self.mem->hazard, SHM_HAZARD(&group));
	store_relaxed(truth, SHM_GROUP_WORD(SHM_GROUP_CHANGING, SHM_GROUP_ROOT(word),
	                             SHM_GROUP_TICKET(word) + 1));
	if (!shm_cell_take(&child->table, true, &copy))
		abort();
	store_relaxed(
	        &child->segment.cell_owns[SHM_GROUP_ROOT(word)], SHM_OWN_HELD(child->self.uid));
}

// The same, and the copy has become the root.
static void die_changed(struct attachment *child)
{
	shm_atomic64 *truth = &child->segment.channel[group.index].group;
	uint64_t word = load_acquire(truth);
	uint32_t copy, root = SHM_GROUP_ROOT(word);

	if (!shm_table_hold(&child->table, &group))
		abort();
	store_relaxed(&child->self.mem->hazard, SHM_HAZARD(&group));
	if (!shm_cell_take(&child->table, true, &copy))
		abort();
	for (int i = 0; i < SHM_CELL_WORDS; i++)
		store_relaxed(&child->segment.cells[copy].word[i],
		        load_relaxed(&child->segment.cells[root].word[i]));
	store_relaxed(&child->segment.cell_owns[root], SHM_OWN_HELD(child->self.uid));
	store_relaxed(truth, SHM_GROUP_WORD(SHM_GROUP_OPEN, copy, SHM_GROUP_TICKET(word) + 1));
}

static void expect_survival(void (*death)(struct attachment *child))
{
	begin();
	EXPECT_INT(add(plain("a"), 0), SHM_OK);
	EXPECT_INT(add(open_reply(&a, 1), 0), SHM_OK);
	EXPECT_INT(shm_cell_used(&a.segment), 2);
	run_and_reap(death);
	EXPECT(!test_failed());
	EXPECT_INT(shm_cell_used(&a.segment), 2);
	EXPECT_INT(SHM_GROUP_PHASE(group_word()), SHM_GROUP_OPEN);
	EXPECT_INT(load_relaxed(&a.segment.channel[group.index].owner), SHM_CHANNEL_LIVE);
	EXPECT_INT(load_relaxed(&a.segment.cell_owns[SHM_GROUP_ROOT(group_word())]),
	        SHM_OWN_USED(&group));
	EXPECT_INT(count(0), 2);
	EXPECT_INT(drop(plain("a"), 0), SHM_OK);
	shm_compact_sweep(&a.table, 0, 1000);
	EXPECT_INT(count(0), 1);
	end();
}

TEST(a_change_that_its_maker_did_not_live_to_complete_is_undone)
{
	expect_survival(die_changing);
}

TEST(a_change_that_its_maker_had_just_completed_stays)
{
	expect_survival(die_changed);
}

// Ending a group: after its word was CLOSED, before a cell was freed or the entry.
static void die_ending(struct attachment *child)
{
	shm_atomic64 *truth = &child->segment.channel[group.index].group;
	uint64_t word = load_acquire(truth);

	if (!shm_table_hold(&child->table, &group))
		abort();
	store_relaxed(&child->self.mem->hazard, SHM_HAZARD(&group));
	store_relaxed(
	        &child->segment.cell_owns[SHM_GROUP_ROOT(word)], SHM_OWN_HELD(child->self.uid));
	store_relaxed(
	        truth, SHM_GROUP_WORD(SHM_GROUP_CLOSED, SHM_ROOT_NONE, SHM_GROUP_TICKET(word) + 1));
}

TEST(an_end_that_its_maker_had_begun_is_completed)
{
	struct shm_entry again;

	begin();
	EXPECT_INT(add(open_reply(&a, 1), 0), SHM_OK);
	run_and_reap(die_ending);
	EXPECT(!test_failed());
	EXPECT_INT(groups_in_use(), 0);
	EXPECT_INT(shm_cell_used(&a.segment), 0);
	EXPECT_INT(shm_table_find_group(&a.table, "g", &again), SHM_EMPTY);
	EXPECT_INT(shm_table_make_group(&a.table, "g", &again), SHM_OK);
	end();
}

static void die_making(struct attachment *child)
{
	uint64_t free = SHM_CHANNEL_FREE;
	struct shm_entry made;

	// One in the table, HELD still; one taken, no more.
	if (shm_table_make_group(&child->table, "new", &made) != SHM_OK ||
	        !shm_table_hold(&child->table, &made))
		abort();
	for (uint32_t i = child->segment.channels; i < child->segment.entries; i++)
		if (cas_acquire(
		            &child->segment.channel[i].owner, &free, SHM_OWN_HELD(child->self.uid)))
			break;
		else
			free = SHM_CHANNEL_FREE;
}

TEST(groups_that_were_being_made_by_the_dead_are_gone)
{
	begin();
	EXPECT_INT(add(plain("a"), 0), SHM_OK);
	run_and_reap(die_making);
	EXPECT(!test_failed());
	EXPECT_INT(groups_in_use(), 1);
	EXPECT_INT(count(0), 1);
	end();
}

static void own_members(struct attachment *child)
{
	take_endpoints(child);
	for (uint32_t i = 0; i < ENDPOINTS; i++) {
		struct shm_member member = open_reply(child, i);

		if (shm_group_add(&child->table, &group, &member, 0) != SHM_OK)
			abort();
	}
}

TEST(the_members_of_a_dead_owner_are_gone_with_it)
{
	attach(&a);
	EXPECT_INT(shm_table_make_group(&a.table, "g", &group), SHM_OK);
	EXPECT_INT(add(plain("a"), 0), SHM_OK);
	run_and_reap(own_members);
	EXPECT(!test_failed());
	EXPECT_INT(count(0), 1);
	shm_compact_sweep(&a.table, 0, 1000);
	EXPECT_INT(shm_cell_used(&a.segment), 2);
	end();
}
