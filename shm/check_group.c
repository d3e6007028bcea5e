// SPDX-License-Identifier: MIT
// check_group.c - groups: their words, their trees, and the cells that these are made of.
//
// Cells of a tree are freed only after the group's word has changed, and a word never comes back (its ticket
// grows). So if the word is the same after a walk as before it, all that the walk met was part of the tree all
// the time, whatever was added meanwhile, and what is wrong then is wrong.
#include "shm/cell.h"
#include "shm/check_region.h"
#include "shm/compact.h"

#define TRIES 8          // of a walk, until the group's word stands still
#define ROOT  UINT32_MAX // a place: the group's word; else cell * SHM_CELL_WORDS + slot

static uint32_t count_groups(struct examination *examination)
{
	return examination->segment->geometry.groups;
}

static struct shm_channel_mem *entry_at(const struct examination *examination, uint32_t group)
{
	return &examination->segment->channel[examination->segment->channels + group];
}

static struct shm_entry entry_of(const struct examination *examination, uint32_t group)
{
	return (struct shm_entry){examination->segment->channels + group,
	        load_acquire(&entry_at(examination, group)->ring.generation)};
}

static void describe_group(
        const struct examination *examination, uint32_t group, char text[SHM_WHERE_SIZE])
{
	describe_channel(examination, examination->segment->channels + group, text, SHM_WHERE_SIZE);
}

// ---------------------------------------------------------------------------------------------
// Their owners and words
// ---------------------------------------------------------------------------------------------

static bool look_at_group(struct examination *examination, uint32_t group, struct suspicion *found)
{
	const struct shm_channel_mem *entry = entry_at(examination, group);
	uint64_t owner = load_acquire(&entry->owner), word = load_acquire(&entry->group);
	enum shm_phase phase = SHM_GROUP_PHASE(word);
	char text[SHM_WHERE_SIZE];

	if (owner == SHM_CHANNEL_FREE)
		return false;
	examination->check->summary.groups += examination->counting;
	describe_group(examination, group, text);
	if (owner == SHM_CHANNEL_LIVE) // CHANGING does no harm: the next visitor cancels it
		return phase != SHM_GROUP_OPEN && phase != SHM_GROUP_CHANGING &&
		       suspect(found, SHM_FINDING_BAD_GROUP, word, "%s", text);
	if (SHM_OWN_STATE(owner) != SHM_HELD)
		return suspect(found, SHM_FINDING_BAD_OWNER, owner, "%s", text);
	return holder_of(examination, owner & ~SHM_OWN_HELD(0)) == HOLDER_GONE &&
	       suspect(found, SHM_FINDING_ORPHAN_CHANNEL, owner, "%s", text);
}

// Opens it again if its root is still its own; else ends it. Nobody is inside: such a group lets nobody in.
static bool mend_word(struct shm_table *table, const struct shm_entry *entry, uint64_t word)
{
	const struct shm_segment *segment = table->segment;
	uint32_t root = SHM_GROUP_ROOT(word);
	bool alive = root < segment->geometry.cells &&
	             load_acquire(&segment->cell_owns[root]) == SHM_OWN_USED(entry);
	bool mended;

	if (!shm_table_hold(table, entry))
		return false;
	mended = cas_seq_cst(&segment->channel[entry->index].group, &word,
	        SHM_GROUP_WORD(alive ? SHM_GROUP_OPEN : SHM_GROUP_CLOSED,
	                alive ? root : SHM_ROOT_NONE, SHM_GROUP_TICKET(word) + 1));
	if (mended && !alive)
		shm_table_finish(table, entry);
	else
		shm_table_release(table, entry);
	return mended;
}

static bool is_in_table(struct shm_table *table, uint32_t index)
{
	char name[SHM_NAME_SIZE];
	struct shm_entry found;

	shm_table_name(table, index, name);
	return name[0] && shm_table_find_group(table, name + 1, &found) == SHM_OK &&
	       found.index == index;
}

static bool mend_group(struct examination *examination, const struct suspicion *found)
{
	struct shm_table *table = examination->check->table;
	struct shm_entry entry = entry_of(examination, found->index);
	shm_atomic64 *truth = &table->segment->channel[entry.index].owner;
	uint64_t owner = found->word;

	switch (found->kind) {
	case SHM_FINDING_BAD_GROUP:
		return mend_word(table, &entry, found->word);
	case SHM_FINDING_BAD_OWNER:
		if (is_in_table(table, entry.index))
			return cas_acq_rel(truth, &owner, SHM_CHANNEL_LIVE);
		if (!is_alone(examination))
			return false;
		break;
	case SHM_FINDING_ORPHAN_CHANNEL:
		break;
	default:
		return false;
	}
	if (!cas_acquire(truth, &owner, SHM_OWN_HELD(table->self->uid)))
		return false;
	shm_compact_recover(table, entry.index, table->self->slot);
	return true;
}

const struct region region_groups = {count_groups, look_at_group, mend_group};

// ---------------------------------------------------------------------------------------------
// Their trees
// ---------------------------------------------------------------------------------------------

struct tree {
	struct examination *examination;
	struct shm_entry entry;
	struct suspicion *found;
	uint32_t walk;
	char text[SHM_WHERE_SIZE]; // the group, for people
};

// Whether the cell's own word allows it to be part of the tree. What the dead hold is their reaper's.
static bool is_fit(const struct tree *tree, uint64_t own)
{
	return own == SHM_OWN_USED(&tree->entry) ||
	       (SHM_OWN_STATE(own) == SHM_HELD &&
	               holder_of(tree->examination, own & ~SHM_OWN_HELD(0)) != HOLDER_GONE);
}

// Looks at the cell that the word in PLACE leads to. True if something is wrong with that.
static bool meet(struct tree *tree, uint32_t cell, uint64_t word, uint32_t place)
{
	struct examination *examination = tree->examination;
	uint64_t own;

	tree->found->detail = place;
	if (cell >= examination->segment->geometry.cells ||
	        examination->cell_walk[cell] == tree->walk)
		return suspect(
		        tree->found, SHM_FINDING_BAD_NODE, word, "cell %u in %s", cell, tree->text);
	own = load_acquire(&examination->segment->cell_owns[cell]);
	tree->found->other = cell;
	if (!is_fit(tree, own))
		return suspect(tree->found, SHM_FINDING_STRAY_CELL, own, "cell %u in %s", cell,
		        tree->text);
	examination->cell_walk[cell] = tree->walk;
	return false;
}

// PATH has the bits of the key that led to PLACE, SHIFT + 4 of them.
static bool look_at_leaf(
        struct tree *tree, uint64_t word, uint32_t place, uint64_t path, unsigned shift)
{
	const struct shm_segment *segment = tree->examination->segment;
	uint32_t second;
	uint64_t key;

	if (!shm_member_makes_sense(segment, word, &key) || (key ^ path) << (60 - shift) != 0) {
		tree->found->detail = place;
		return suspect(tree->found, SHM_FINDING_BAD_MEMBER, word,
		        "slot %u of cell %u in %s", place % SHM_CELL_WORDS, place / SHM_CELL_WORDS,
		        tree->text);
	}
	return SHM_WORD_TAG(word) == SHM_TAG_PLAIN &&
	       (meet(tree, SHM_WORD_CELL(word), word, place) ||
	               (shm_member_second(segment, SHM_WORD_CELL(word), &second) &&
	                       meet(tree, second, word, place)));
}

// Every step meets a cell that this walk hasn't met, so it ends.
static bool look_at_node(
        struct tree *tree, uint64_t node, uint32_t place, uint64_t path, unsigned shift)
{
	uint32_t cell = SHM_WORD_CELL(node);

	if (meet(tree, cell, node, place))
		return true;
	for (uint32_t i = 0; i < SHM_CELL_WORDS; i++) {
		uint64_t word = load_acquire(&tree->examination->segment->cells[cell].word[i]);
		uint64_t below = path | (uint64_t)i << shift;
		uint32_t here = cell * SHM_CELL_WORDS + i;

		if (word == 0)
			continue;
		if (SHM_WORD_TAG(word) == SHM_TAG_NODE && shift < 60
		                ? look_at_node(tree, word, here, below, shift + 4)
		                : look_at_leaf(tree, word, here, below, shift))
			return true;
	}
	return false;
}

// Walks the group's tree. Notes whether it could be walked whole.
static bool look_at_tree(struct examination *examination, uint32_t group, struct suspicion *found)
{
	const struct shm_channel_mem *entry = entry_at(examination, group);
	struct tree tree = {.examination = examination, .found = found};
	uint64_t word = load_acquire(&entry->group), before;
	int tries = 0;
	bool wrong;

	describe_group(examination, group, tree.text);
	do {
		tree.walk = ++examination->cell_walks;
		tree.entry = entry_of(examination, group);
		before = word;
		wrong = load_acquire(&entry->owner) != SHM_CHANNEL_FREE &&
		        SHM_GROUP_PHASE(word) != SHM_GROUP_CLOSED &&
		        SHM_GROUP_ROOT(word) != SHM_ROOT_NONE &&
		        look_at_node(&tree, SHM_WORD_NODE(SHM_GROUP_ROOT(word)), ROOT, 0, 0);
		word = load_acquire(&entry->group);
	} while (word != before && ++tries < TRIES);
	examination->trees[group] = (struct tree_look){
	        .look = examination->look,
	        .walk = tree.walk,
	        .whole = !wrong && word == before,
	};
	return wrong && word == before;
}

// Takes the word out of its slot, and with it all that it led to.
static bool cut(struct shm_table *table, const struct shm_entry *entry,
        const struct suspicion *found, uint64_t word)
{
	const struct shm_segment *segment = table->segment;
	shm_atomic64 *truth = &segment->channel[entry->index].group;
	shm_atomic64 *slot;
	uint64_t link;

	if (found->detail == ROOT)
		return cas_seq_cst(truth, &word,
		        SHM_GROUP_WORD(SHM_GROUP_OPEN, SHM_ROOT_NONE, SHM_GROUP_TICKET(word) + 1));
	slot = &segment->cells[found->detail / SHM_CELL_WORDS].word[found->detail % SHM_CELL_WORDS];
	link = load_acquire(slot);
	return (found->kind == SHM_FINDING_STRAY_CELL || link == found->word) &&
	       cas_acq_rel(slot, &link, 0);
}

// Whether an own word is that of a group that is there.
static bool is_some_groups(const struct examination *examination, uint64_t own)
{
	uint32_t index = SHM_USED_INDEX(own), group = index - examination->segment->channels;

	return SHM_OWN_STATE(own) == SHM_USED && index >= examination->segment->channels &&
	       index < examination->segment->entries &&
	       load_acquire(&entry_at(examination, group)->owner) != SHM_CHANNEL_FREE &&
	       own == SHM_OWN_USED(&(
	                      (struct shm_entry){index, entry_of(examination, group).generation}));
}

// As a visitor of the group, so that its tree isn't changed meanwhile.
static bool mend_tree(struct examination *examination, const struct suspicion *found)
{
	struct shm_table *table = examination->check->table;
	struct shm_entry entry = entry_of(examination, found->index);
	struct suspicion now = *found;
	uint64_t word, own = found->word;
	bool mended = false;

	if (!shm_group_enter(table, &entry, &word))
		return false;
	if (look_at_tree(examination, found->index, &now) && now.kind == found->kind &&
	        now.word == found->word && now.detail == found->detail)
		mended = found->kind == SHM_FINDING_STRAY_CELL && !is_some_groups(examination, own)
		                 ? cas_acq_rel(&table->segment->cell_owns[now.other], &own,
		                           SHM_OWN_USED(&entry))
		                 : cut(table, &entry, found, word);
	shm_group_leave(table);
	return mended;
}

const struct region region_trees = {count_groups, look_at_tree, mend_tree};

// ---------------------------------------------------------------------------------------------
// Cells that are in no tree
// ---------------------------------------------------------------------------------------------

static uint32_t count_cells(struct examination *examination)
{
	return examination->segment->geometry.cells;
}

// Walks the group's tree, once in a look at all cells. False if it can't be walked whole.
static bool know_tree(struct examination *examination, uint32_t group)
{
	struct suspicion ignored;

	if (examination->trees[group].look != examination->look)
		(void)look_at_tree(examination, group, &ignored);
	return examination->trees[group].whole;
}

// Whether it is certain that CELL, HELD by nobody any more, is in no tree.
static bool is_in_no_tree(struct examination *examination, uint32_t cell)
{
	for (uint32_t group = 0; group < examination->segment->geometry.groups; group++)
		if (!know_tree(examination, group) ||
		        examination->cell_walk[cell] == examination->trees[group].walk)
			return false;
	return true;
}

static bool look_at_cell(struct examination *examination, uint32_t cell, struct suspicion *found)
{
	uint64_t own = load_acquire(&examination->segment->cell_owns[cell]);
	uint32_t group = SHM_USED_INDEX(own) - examination->segment->channels;

	examination->check->summary.cells += examination->counting && own != SHM_FREE;
	if (own == SHM_FREE)
		return false;
	switch (SHM_OWN_STATE(own)) {
	case SHM_HELD:
		return holder_of(examination, own & ~SHM_OWN_HELD(0)) == HOLDER_GONE &&
		       is_in_no_tree(examination, cell) &&
		       suspect(found, SHM_FINDING_ORPHAN_CELL, own, "cell %u", cell);
	case SHM_USED:
		// One that is part of another group's tree all the same was met there as a stray.
		if (is_some_groups(examination, own)
		                ? !know_tree(examination, group) ||
		                          examination->cell_walk[cell] ==
		                                  examination->trees[group].walk
		                : !is_in_no_tree(examination, cell))
			return false;
		return suspect(found, SHM_FINDING_ORPHAN_CELL, own, "cell %u", cell);
	default:
		return is_in_no_tree(examination, cell) &&
		       suspect(found, SHM_FINDING_GARBAGE_CELL, own, "cell %u", cell);
	}
}

// Whether somebody is inside the group that an own word names, and may have come to the cell before it was
// cut off.
static bool is_visited(const struct examination *examination, uint64_t own)
{
	struct shm_entry entry = {SHM_USED_INDEX(own), (uint32_t)own};

	for (uint32_t slot = 0; slot < SHM_PROCESSES; slot++)
		if (load_seq_cst(&examination->segment->processes[slot].hazard) ==
		        SHM_HAZARD(&entry))
			return true;
	return false;
}

static bool mend_cell(struct examination *examination, const struct suspicion *found)
{
	uint64_t own = found->word;

	if (found->kind == SHM_FINDING_GARBAGE_CELL
	                ? !is_alone(examination)
	                : SHM_OWN_STATE(own) == SHM_USED && is_visited(examination, own))
		return false;
	return cas_acq_rel(&examination->segment->cell_owns[found->index], &own, SHM_FREE);
}

const struct region region_cells = {count_cells, look_at_cell, mend_cell};
