// SPDX-License-Identifier: MIT
// Compaction of what somebody has scribbled over: a cell that becomes free may be another's at the next instruction, so
// it must be given back only once. Here the other one is always that fast.

#include "shm/cell.h"
#include "shm/compact.h"

static shm_atomic64 *owns; // of the cells
static uint32_t owns_count;
static uint64_t other_held; // the own word of those that the other process has
static uint32_t given, stolen;

static bool is_own(const shm_atomic64 *object)
{
	return owns && object >= owns && object < owns + owns_count;
}

static void take_if_free(shm_atomic64 *object, uint64_t value)
{
	if (!is_own(object) || value != SHM_FREE)
		return;
	given++;
	store_relaxed(object, other_held);
}

static void stored(shm_atomic64 *object, uint64_t value)
{
	stolen += is_own(object) && load_relaxed(object) == other_held;
	store_release(object, value);
	take_if_free(object, value);
}

static bool swapped(shm_atomic64 *object, uint64_t *expected, uint64_t value)
{
	if (!cas_acq_rel(object, expected, value))
		return false;
	take_if_free(object, value);
	return true;
}

#undef store_release
#undef cas_acq_rel
#define store_release(OBJECT, VALUE)         stored(OBJECT, VALUE)
#define cas_acq_rel(OBJECT, EXPECTED, VALUE) swapped(OBJECT, EXPECTED, VALUE)
#include "shm/compact.c"

#include "tests/shm/support.h"

// A name in a cell that isn't there: no member, and taken out by compaction only.
#define NONSENSE ((uint64_t)0xffffff << 40 | SHM_TAG_PLAIN)

static struct attachment a;
static struct shm_entry team;

static uint64_t group_word(void)
{
	return load_relaxed(shm_group_word(&a.segment, &team));
}

// Makes a group of COUNT members, each the STEPth endpoint after the one before.
static void begin(uint32_t count, uint32_t step, int64_t now)
{
	uint32_t scan = 0;

	attach(&a);
	while (shm_endpoint_take_zone(&a.segment, a.self.uid, &scan) != SHM_HANDLE_NONE)
		;
	EXPECT_INT(shm_table_make_group(&a.table, "g", &team), SHM_OK);
	for (uint32_t i = 0; i < count; i++) {
		struct shm_member member;

		shm_member_set_reply(&member, &a.segment, i * step,
		        shm_endpoint_open(&a.segment, i * step, 0, 1, 0));
		EXPECT_INT(shm_group_add(&a.table, &team, &member, now), SHM_OK);
	}
}

static void end(void)
{
	detach(&a);
	discard();
}

static void compact(int64_t now)
{
	owns = a.segment.cell_owns;
	owns_count = a.segment.geometry.cells;
	other_held = SHM_OWN_HELD(a.self.uid + SHM_PROCESSES);
	shm_compact_sweep(&a.table, now, 1000);
	owns = NULL;
	EXPECT(given > 0);
	EXPECT_INT(stolen, 0);
}

TEST(a_sound_tree_is_given_back_once)
{
	begin(40, 1, 0);
	compact(INT64_MAX / 2);
	end();
}

// The root's first slot is to be emptied, so it is replaced; the others lead back to it.
TEST(a_cell_that_leads_to_itself_is_given_back_once)
{
	uint32_t root;

	begin(1, 1, 0);
	root = SHM_GROUP_ROOT(group_word());
	for (int i = 0; i < SHM_CELL_WORDS; i++)
		store_relaxed(&a.segment.cells[root].word[i], i ? SHM_WORD_NODE(root) : NONSENSE);
	compact(0);
	end();
}

TEST(cells_that_lead_to_each_other_are_given_back_once)
{
	uint32_t root, below;

	begin(2, 16, 0);
	root = SHM_GROUP_ROOT(group_word());
	EXPECT(shm_cell_take(&a.table, false, &below));
	store_relaxed(&a.segment.cell_owns[below], SHM_OWN_USED(&team));
	for (int i = 0; i < SHM_CELL_WORDS; i++) {
		store_relaxed(&a.segment.cells[root].word[i], SHM_WORD_NODE(below));
		store_relaxed(&a.segment.cells[below].word[i], i ? SHM_WORD_NODE(root) : NONSENSE);
	}
	compact(0);
	end();
}
