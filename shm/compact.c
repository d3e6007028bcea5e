// SPDX-License-Identifier: MIT
#include "shm/compact.h"

#include "shm/cell.h"

#define LEVELS   (64 / SHM_CELL_BITS)
#define RESTARTS 1000
#define GLANCE   16 // cells that are looked at after each discard

// The group at INDEX of the table as it is now. False if there is none.
static bool group_at(struct shm_table *table, uint32_t index, struct shm_entry *group)
{
	struct shm_channel_mem *channel = &table->segment->channel[index];

	// The generation first: if it becomes another's afterwards, what is done with it fails.
	*group = (struct shm_entry){index, load_acquire(&channel->ring.generation)};
	return load_acquire(&channel->owner) == SHM_CHANNEL_LIVE;
}

// ---------------------------------------------------------------------------------------------
// Building a smaller tree
// ---------------------------------------------------------------------------------------------

struct change {
	struct shm_table *table;
	const struct shm_entry *group;
	int64_t now;
	bool stocked;
	uint32_t stock[LEVELS]; // a cell for each level, so that one branch at least can be built
	uint32_t in_stock;      // bits: which of them are left
	uint32_t left;          // cells that may still be looked at, lest a damaged tree has no end
};

static shm_atomic64 *own_of(const struct change *change, uint32_t cell)
{
	return &change->table->segment->cell_owns[cell];
}

// Gives a cell, if it is HELD by us, the own word OWN. By CAS: a damaged tree may lead to one cell in several ways, and
// once it is free it may be another's.
static void give(struct change *change, uint32_t cell, uint64_t own)
{
	uint64_t held = SHM_OWN_HELD(change->table->self->uid);

	(void)cas_acq_rel(own_of(change, cell), &held, own);
}

// Gives all below WORD that is HELD by us the own word OWN. What isn't, and all below it, is shared.
static void settle(struct change *change, uint64_t word, unsigned shift, uint64_t own)
{
	uint32_t cell = SHM_WORD_CELL(word), second;
	uint64_t held = SHM_OWN_HELD(change->table->self->uid);

	if (SHM_WORD_TAG(word) != SHM_TAG_NODE && SHM_WORD_TAG(word) != SHM_TAG_PLAIN)
		return;
	if (!shm_cell_exists(change->table->segment, cell) ||
	        load_relaxed(own_of(change, cell)) != held)
		return;
	if (SHM_WORD_TAG(word) == SHM_TAG_NODE)
		for (int i = 0; shift < 64 && i < SHM_CELL_WORDS; i++)
			settle(change, load_acquire(&change->table->segment->cells[cell].word[i]),
			        shift + SHM_CELL_BITS, own);
	else if (shm_member_second(change->table->segment, cell, &second))
		give(change, second, own);
	// Last: what is below has to be found. In a circle this is done first at the greatest depth, and then all ways back
	// find it done: a damaged tree costs no more steps than cells times levels.
	give(change, cell, own);
}

// The change is given up: all below WORD that is HELD by us is the group's again. Whoever made us give up may have
// put a branch of his own between two cells that we hold, so this looks below other cells too.
static void put_back(struct change *change, uint64_t word, unsigned shift, uint32_t *left)
{
	uint32_t cell = SHM_WORD_CELL(word), second;

	if ((SHM_WORD_TAG(word) != SHM_TAG_NODE && SHM_WORD_TAG(word) != SHM_TAG_PLAIN) ||
	        !shm_cell_exists(change->table->segment, cell))
		return;
	give(change, cell, SHM_OWN_USED(change->group));
	if (SHM_WORD_TAG(word) == SHM_TAG_PLAIN) {
		if (shm_member_second(change->table->segment, cell, &second))
			give(change, second, SHM_OWN_USED(change->group));
		return;
	}
	if (shift >= 64 || *left == 0)
		return;
	--*left;
	for (int i = 0; i < SHM_CELL_WORDS; i++)
		put_back(change, load_acquire(&change->table->segment->cells[cell].word[i]),
		        shift + SHM_CELL_BITS, left);
}

// Marks what is to be taken out of the tree: ours, and still linked.
static void hold_cell(struct change *change, uint32_t cell)
{
	uint64_t used = SHM_OWN_USED(change->group);

	(void)cas_acquire(own_of(change, cell), &used, SHM_OWN_HELD(change->table->self->uid));
}

static void hold_name(struct change *change, uint64_t word)
{
	uint32_t cell = SHM_WORD_CELL(word), second;

	if (SHM_WORD_TAG(word) != SHM_TAG_PLAIN || !shm_cell_exists(change->table->segment, cell))
		return;
	hold_cell(change, cell);
	if (shm_member_second(change->table->segment, cell, &second))
		hold_cell(change, second);
}

// From the root's level on, as far as there are cells.
static void fill_stock(struct change *change)
{
	change->stocked = true;
	for (unsigned level = 0; level < LEVELS; level++) {
		if (!shm_cell_take(change->table, true, &change->stock[level]))
			return;
		change->in_stock |= 1u << level;
	}
}

static void empty_stock(struct change *change)
{
	for (unsigned level = 0; level < LEVELS; level++)
		if (change->in_stock & 1u << level)
			give(change, change->stock[level], SHM_FREE);
}

static bool take_cell(struct change *change, unsigned shift, bool stock, uint32_t *cell)
{
	unsigned level = shift / SHM_CELL_BITS;

	if (!change->stocked)
		fill_stock(change);
	if (shm_cell_take(change->table, stock, cell))
		return true;
	if (!stock || !(change->in_stock & 1u << level))
		return false;
	*cell = change->stock[level];
	change->in_stock &= ~(1u << level);
	return true;
}

// A node as it is to become.
struct plan {
	uint64_t old[SHM_CELL_WORDS], new[SHM_CELL_WORDS];
	bool changed;
	int entries;
	uint64_t last; // of the new ones
};

static uint64_t prune(struct change *change, uint64_t node, unsigned shift);

static void plan_node(struct change *change, uint32_t cell, unsigned shift, struct plan *plan)
{
	plan->changed = false;
	plan->entries = 0;
	for (int i = 0; i < SHM_CELL_WORDS; i++) {
		uint64_t word = load_acquire(&change->table->segment->cells[cell].word[i]);

		plan->old[i] = plan->new[i] = word;
		if (SHM_WORD_TAG(word) == SHM_TAG_NODE) {
			plan->new[i] = prune(change, word, shift + SHM_CELL_BITS);
		} else if (word != 0 &&
		           !shm_member_valid(change->table->segment, word, change->now)) {
			hold_name(change, word);
			plan->new[i] = 0;
		}
		plan->changed |= plan->new[i] != word;
		if (plan->new[i] != 0) {
			plan->entries++;
			plan->last = plan->new[i];
		}
	}
}

// What NODE, whose slots lie at SHIFT, is to be replaced by: itself if nothing changes, a copy, its only member,
// or nothing. The root is replaced by nodes only, or nothing.
static uint64_t prune(struct change *change, uint64_t node, unsigned shift)
{
	uint32_t cell = SHM_WORD_CELL(node), copy;
	bool moves = cell < SHM_CELLS_RESERVED; // the reserve is to be free for the next time
	struct plan plan;
	uint64_t result;

	if (shift >= 64 || !shm_cell_exists(change->table->segment, cell) || change->left == 0)
		return node;
	change->left--;
	plan_node(change, cell, shift, &plan);
	if (plan.entries == 0) {
		result = 0;
	} else if (shift > 0 && plan.entries == 1 && SHM_WORD_TAG(plan.last) != SHM_TAG_NODE) {
		result = plan.last;
	} else if (!plan.changed && !moves) {
		return node;
	} else if (take_cell(change, shift, plan.changed, &copy)) {
		for (int i = 0; i < SHM_CELL_WORDS; i++)
			store_relaxed(&change->table->segment->cells[copy].word[i], plan.new[i]);
		result = SHM_WORD_NODE(copy);
	} else { // no memory: this part stays as it was
		uint32_t left = change->table->segment->geometry.cells;

		for (int i = 0; i < SHM_CELL_WORDS; i++) {
			if (plan.new[i] == plan.old[i])
				continue;
			settle(change, plan.new[i], shift + SHM_CELL_BITS, SHM_FREE);
			put_back(change, plan.old[i], shift + SHM_CELL_BITS, &left);
		}
		return node;
	}
	hold_cell(change, cell);
	return result;
}

static bool is_visited(struct shm_table *table, const struct shm_entry *group)
{
	for (uint32_t slot = 0; slot < SHM_PROCESSES; slot++)
		if (slot != table->self->slot &&
		        load_seq_cst(&table->segment->processes[slot].hazard) == SHM_HAZARD(group))
			return true;
	return false;
}

// Steps C to E of a change; see group.h. WORD is the group's: CHANGING. Returns whether the group has ended.
static bool rebuild(struct change *change, uint64_t word)
{
	uint64_t ticket = SHM_GROUP_TICKET(word) + 1;
	uint64_t old = SHM_WORD_NODE(SHM_GROUP_ROOT(word)), new = 0, next;
	bool done;

	if (SHM_GROUP_ROOT(word) != SHM_ROOT_NONE)
		new = prune(change, old, 0);
	next = new == 0 ? SHM_GROUP_WORD(SHM_GROUP_CLOSED, SHM_ROOT_NONE, ticket)
	                : SHM_GROUP_WORD(SHM_GROUP_OPEN, SHM_WORD_CELL(new), ticket);
	// Death before this line or after it: cells HELD by us, and our hazard, so the reaper looks.
	done = cas_seq_cst(shm_group_word(change->table->segment, change->group), &word, next);
	if (new != old && done) {
		settle(change, old, 0, SHM_FREE);
		settle(change, new, 0, SHM_OWN_USED(change->group));
	} else if (new != old) {
		uint32_t left = change->table->segment->geometry.cells;

		settle(change, new, 0, SHM_FREE);
		put_back(change, old, 0, &left);
	}
	return done && new == 0;
}

// Ends the group or makes it smaller, if nobody is inside. Returns whether it has ended.
static bool change_group(struct shm_table *table, const struct shm_entry *group, int64_t now)
{
	struct change change = {
	        .table = table, .group = group, .now = now, .left = table->segment->geometry.cells};
	shm_atomic64 *truth = shm_group_word(table->segment, group);
	bool ended = false;
	uint64_t word, changing;

	if (!shm_table_hold(table, group))
		return false;
	// Ours too: should we die, it tells the reaper where our cells may be.
	(void)exchange_seq_cst(&table->self->mem->hazard, SHM_HAZARD(group));
	word = load_seq_cst(truth);
	changing = SHM_GROUP_WORD(
	        SHM_GROUP_CHANGING, SHM_GROUP_ROOT(word), SHM_GROUP_TICKET(word) + 1);
	if (cas_seq_cst(truth, &word, changing)) {
		if (!is_visited(table, group))
			ended = rebuild(&change, changing);
		// Given up, and nobody else has cancelled it.
		(void)cas_seq_cst(truth, &changing,
		        SHM_GROUP_WORD(SHM_GROUP_OPEN, SHM_GROUP_ROOT(changing),
		                SHM_GROUP_TICKET(changing) + 1));
	}
	empty_stock(&change);
	shm_group_leave(table);
	if (ended)
		shm_table_finish(table, group);
	else
		shm_table_release(table, group);
	return ended;
}

// ---------------------------------------------------------------------------------------------
// Sweeping
// ---------------------------------------------------------------------------------------------

struct survey {
	struct shm_table *table;
	int64_t now;
	uint32_t cells, members;
	uint32_t waste; // cells that a smaller tree would not need
	bool reserve;   // some are of the reserve
	uint32_t left;
};

enum content { EMPTY, ONE_MEMBER, MORE };

// Takes a word that stands for no member any more out of its slot; a name's cell stays linked.
static void drop(struct survey *survey, shm_atomic64 *slot, uint64_t word)
{
	if (SHM_WORD_TAG(word) == SHM_TAG_PLAIN) {
		survey->cells++;
		survey->waste++;
	} else {
		(void)cas_acq_rel(slot, &word, 0);
	}
}

// Looks at a cell and all below it, and drops what is stale.
static enum content survey_cell(struct survey *survey, uint32_t cell, unsigned shift)
{
	int entries = 0, nodes = 0;

	if (shift >= 64 || survey->left == 0 || !shm_cell_exists(survey->table->segment, cell))
		return MORE;
	survey->left--;
	survey->cells++;
	survey->reserve |= cell < SHM_CELLS_RESERVED;
	for (int i = 0; i < SHM_CELL_WORDS; i++) {
		shm_atomic64 *slot = &survey->table->segment->cells[cell].word[i];
		uint64_t word = load_acquire(slot);
		enum content content = ONE_MEMBER;

		if (word == 0)
			continue;
		if (SHM_WORD_TAG(word) == SHM_TAG_NODE) {
			content = survey_cell(survey, SHM_WORD_CELL(word), shift + SHM_CELL_BITS);
		} else if (shm_member_valid(survey->table->segment, word, survey->now)) {
			survey->members++;
			survey->cells += SHM_WORD_TAG(word) == SHM_TAG_PLAIN;
		} else {
			drop(survey, slot, word);
			continue;
		}
		entries += content != EMPTY;
		nodes += content == MORE;
	}
	if (entries > 1 || nodes > 0)
		return MORE;
	survey->waste += shift > 0;
	return entries == 0 ? EMPTY : ONE_MEMBER;
}

// Drops what is stale in the group. False if it has ended.
static bool survey_group(
        struct shm_table *table, const struct shm_entry *group, int64_t now, struct survey *survey)
{
	uint64_t word;

	*survey =
	        (struct survey){.table = table, .now = now, .left = table->segment->geometry.cells};
	if (!shm_group_enter(table, group, &word))
		return false;
	if (SHM_GROUP_ROOT(word) != SHM_ROOT_NONE)
		(void)survey_cell(survey, SHM_GROUP_ROOT(word), 0);
	shm_group_leave(table);
	return true;
}

// Sweeps one group. Returns the number of cells looked at.
static uint32_t sweep_group(struct shm_table *table, const struct shm_entry *group, int64_t now)
{
	struct survey survey;

	if (survey_group(table, group, now, &survey) &&
	        (survey.members == 0 || survey.reserve || survey.waste * 4 >= survey.cells))
		(void)change_group(table, group, now);
	return survey.cells + 1;
}

// The same when a cell less is worth the trouble. What one change frees may be what the next one needs.
static void press_group(struct shm_table *table, const struct shm_entry *group, int64_t now)
{
	uint32_t before = UINT32_MAX;
	struct survey survey;

	while (survey_group(table, group, now, &survey) &&
	        (survey.members == 0 || survey.waste > 0) && survey.cells < before) {
		before = survey.cells;
		if (change_group(table, group, now))
			return;
	}
}

void shm_compact_sweep(struct shm_table *table, int64_t now, uint32_t cells)
{
	shm_atomic32 *cursor = &table->segment->housekeeping->sweep;
	uint32_t groups = table->segment->geometry.groups, looked = 0;
	uint32_t index = load_relaxed(cursor) % groups;

	if (cells < SHM_SWEEP_LEAST)
		cells = SHM_SWEEP_LEAST;
	for (uint32_t left = groups; left > 0 && looked < cells; left--) {
		struct shm_entry group;
		bool there = group_at(table, table->segment->channels + index, &group);

		index = index + 1 == groups ? 0 : index + 1;
		// Before the work, so that a group which kills who sweeps it isn't the first one again. A hint: two who
		// sweep the same group do no harm.
		store_relaxed(cursor, index);
		looked += there ? sweep_group(table, &group, now) : 1;
	}
}

bool shm_compact_all(struct shm_table *table, int64_t now)
{
	uint32_t before = shm_cell_used(table->segment), ended = 0;

	for (uint32_t i = table->segment->channels; i < table->segment->entries; i++) {
		struct shm_entry group;

		if (!group_at(table, i, &group))
			continue;
		press_group(table, &group, now);
		ended += load_relaxed(&table->segment->channel[i].owner) == SHM_CHANNEL_FREE;
	}
	return ended > 0 || shm_cell_used(table->segment) < before;
}

// Whether a member is below CELL, or there is more than can be looked at in LEFT cells.
static bool may_have_member(
        struct shm_table *table, uint32_t cell, unsigned shift, int64_t now, uint32_t *left)
{
	if (shift >= 64 || !shm_cell_exists(table->segment, cell) || *left == 0)
		return true;
	--*left;
	for (int i = 0; i < SHM_CELL_WORDS; i++) {
		uint64_t word = load_acquire(&table->segment->cells[cell].word[i]);

		if (SHM_WORD_TAG(word) == SHM_TAG_NODE
		                ? may_have_member(table, SHM_WORD_CELL(word), shift + SHM_CELL_BITS,
		                          now, left)
		                : shm_member_valid(table->segment, word, now))
			return true;
	}
	return false;
}

void shm_compact_if_empty(struct shm_table *table, const struct shm_entry *group, int64_t now)
{
	uint32_t left = GLANCE;
	uint64_t word;
	bool any;

	if (!shm_group_enter(table, group, &word))
		return;
	any = SHM_GROUP_ROOT(word) != SHM_ROOT_NONE &&
	      may_have_member(table, SHM_GROUP_ROOT(word), 0, now, &left);
	shm_group_leave(table);
	if (!any)
		(void)change_group(table, group, now);
}

// ---------------------------------------------------------------------------------------------
// What the dead held
// ---------------------------------------------------------------------------------------------

enum { WINDOW = 32768 }; // cells that are looked at together

struct search {
	struct shm_table *table;
	uint32_t first;              // of the window
	uint64_t bits[WINDOW / 64];  // cells HELD by the dead
	uint64_t found[WINDOW / 64]; // those that are part of the tree
	uint32_t left;
};

static void find_cell(struct search *search, uint32_t cell)
{
	uint32_t i = cell - search->first;

	if (cell >= search->first && i < WINDOW)
		search->found[i / 64] |= 1ull << i % 64;
}

static void find_below(struct search *search, uint64_t word, unsigned shift)
{
	uint32_t cell = SHM_WORD_CELL(word), second;

	if (!shm_cell_exists(search->table->segment, cell))
		return;
	if (SHM_WORD_TAG(word) == SHM_TAG_PLAIN) {
		find_cell(search, cell);
		if (shm_member_second(search->table->segment, cell, &second))
			find_cell(search, second);
	} else if (SHM_WORD_TAG(word) == SHM_TAG_NODE && shift < 64 && search->left > 0) {
		search->left--;
		find_cell(search, cell);
		for (int i = 0; i < SHM_CELL_WORDS; i++)
			find_below(search,
			        load_acquire(&search->table->segment->cells[cell].word[i]),
			        shift + SHM_CELL_BITS);
	}
}

// Notes the cells of the window that users of SLOT hold. False if there are none.
static bool find_held(struct search *search, uint32_t slot, uint32_t count)
{
	bool any = false;

	for (uint32_t i = 0; i < WINDOW / 64; i++)
		search->bits[i] = search->found[i] = 0;
	for (uint32_t i = 0; i < count; i++) {
		if (!shm_own_is_held_by(
		            load_acquire(&search->table->segment->cell_owns[search->first + i]),
		            slot))
			continue;
		search->bits[i / 64] |= 1ull << i % 64;
		any = true;
	}
	return any;
}

// Whether HAZARD names a group that is there; it can't become another's as long as the hazard stands.
static bool hazard_group(struct shm_table *table, uint64_t hazard, struct shm_entry *group)
{
	*group = (struct shm_entry){(uint32_t)(hazard >> 32) - 1, (uint32_t)hazard};
	return group->index >= table->segment->channels && group->index < table->segment->entries &&
	       load_acquire(&table->segment->channel[group->index].ring.generation) ==
	               group->generation;
}

static void mend_cell(struct search *search, uint32_t i, uint32_t slot, uint64_t used)
{
	shm_atomic64 *word = &search->table->segment->cell_owns[search->first + i];
	uint64_t own = load_acquire(word);
	bool found = search->found[i / 64] >> i % 64 & 1;

	if (shm_own_is_held_by(own, slot))
		(void)cas_acq_rel(word, &own, found ? used : SHM_FREE);
}

static void release_cells(struct shm_table *table, uint32_t slot)
{
	uint64_t hazard = load_acquire(&table->segment->processes[slot].hazard);
	uint32_t cells = table->segment->geometry.cells;
	struct search search = {.table = table};
	struct shm_entry group;
	bool inside = hazard_group(table, hazard, &group);

	for (; search.first < cells; search.first += WINDOW) {
		uint32_t count = cells - search.first < WINDOW ? cells - search.first : WINDOW;
		uint64_t word;

		if (!find_held(&search, slot, count))
			continue;
		search.left = cells;
		word = inside ? load_acquire(shm_group_word(table->segment, &group)) : 0;
		if (inside && SHM_GROUP_ROOT(word) != SHM_ROOT_NONE)
			find_below(&search, SHM_WORD_NODE(SHM_GROUP_ROOT(word)), 0);
		for (uint32_t i = 0; i < count; i++)
			if (search.bits[i / 64] >> i % 64 & 1)
				mend_cell(&search, i, slot, SHM_OWN_USED(&group));
	}
}

void shm_compact_recover(struct shm_table *table, uint32_t index, uint32_t slot)
{
	struct shm_entry group;
	uint64_t word;

	if (!shm_table_seize(table, index, slot, &group))
		return;
	word = load_seq_cst(shm_group_word(table->segment, &group));
	for (int left = RESTARTS; left > 0; left--) {
		// Without a root there is nothing in it that anyone could be inside of: closing it takes no more
		// than a CAS, which fails if somebody joins.
		bool none = SHM_GROUP_ROOT(word) == SHM_ROOT_NONE;
		enum shm_phase phase = none ? SHM_GROUP_CLOSED : SHM_GROUP_OPEN;

		if (SHM_GROUP_PHASE(word) == phase ||
		        cas_seq_cst(shm_group_word(table->segment, &group), &word,
		                SHM_GROUP_WORD(
		                        phase, SHM_GROUP_ROOT(word), SHM_GROUP_TICKET(word) + 1))) {
			if (none)
				shm_table_finish(table, &group);
			else
				shm_table_release(table, &group);
			return;
		}
	}
	shm_table_release(table, &group);
}

void shm_compact_release(struct shm_table *table, uint32_t slot)
{
	release_cells(table, slot);
	for (uint32_t i = table->segment->channels; i < table->segment->entries; i++)
		shm_compact_recover(table, i, slot);
	store_release(&table->segment->processes[slot].hazard, 0);
}
