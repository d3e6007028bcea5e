// SPDX-License-Identifier: MIT
// check_group.c - groups: their words, the trees of their members, and the cells these are made of.
#include "shm/cell.h"
#include "shm/check_region.h"
#include "shm/compact.h"
#include "shm/prefix.h"

static uint32_t count_groups(struct examination *examination)
{
	return examination->segment->geometry.groups;
}

static struct shm_entry entry_at(const struct examination *examination, uint32_t index)
{
	return (struct shm_entry){
	        index, load_acquire(&examination->segment->channel[index].ring.generation)};
}

// ---------------------------------------------------------------------------------------------
// Trees
// ---------------------------------------------------------------------------------------------

// Notes that the walk has met CELL. False if it is none, was met before, or isn't one of the group's.
static bool meet(struct examination *examination, const struct shm_entry *group, uint32_t cell)
{
	uint64_t own;

	if (cell >= examination->segment->geometry.cells ||
	        examination->cells[cell] == examination->walks)
		return false;
	examination->cells[cell] = examination->walks;
	examination->met[cell] = group->index + 1;
	own = load_acquire(&examination->segment->cell_owns[cell]);
	// HELD: on its way into the tree, or out of it.
	return own == SHM_OWN_USED(group) || SHM_OWN_STATE(own) == SHM_HELD;
}

// A slot of a tree: the keys of all that belongs there end in the SHIFT bits of PATH, and then 4 more.
struct place {
	uint32_t cell, slot;
	unsigned shift;
	uint64_t path;
};

static bool belongs(const struct examination *examination, const struct place *at, uint64_t word)
{
	uint64_t key;

	return shm_member_key(examination->segment, word, &key) &&
	       (key ^ (at->path | (uint64_t)at->slot << at->shift)) << (60 - at->shift) == 0;
}

// Meets all that hangs on WORD. False if it makes no sense there.
static bool meet_word(struct examination *examination, const struct shm_entry *group,
        const struct place *at, uint64_t word)
{
	uint32_t cell = SHM_WORD_CELL(word), second;

	switch (SHM_WORD_TAG(word)) {
	case SHM_TAG_NODE:
		return at->shift + SHM_CELL_BITS < 64 && meet(examination, group, cell);
	case SHM_TAG_PLAIN:
		return meet(examination, group, cell) &&
		       (!shm_member_second(examination->segment, cell, &second) ||
		               meet(examination, group, second)) &&
		       belongs(examination, at, word);
	case SHM_TAG_REPLY:
		return cell < examination->segment->geometry.endpoints &&
		       belongs(examination, at, word);
	default:
		return word == 0;
	}
}

// Walks the tree from the cell AT on. True if a word of it is bad: then AT is where, and *BAD the word.
static bool find_bad(struct examination *examination, const struct shm_entry *group,
        struct place *at, uint64_t *bad)
{
	struct place here = *at;

	for (here.slot = 0; here.slot < SHM_CELL_WORDS; here.slot++) {
		uint64_t word =
		        load_acquire(&examination->segment->cells[here.cell].word[here.slot]);

		*at = here;
		*bad = word;
		if (!meet_word(examination, group, at, word))
			return true;
		if (SHM_WORD_TAG(word) != SHM_TAG_NODE)
			continue;
		*at = (struct place){.cell = SHM_WORD_CELL(word),
		        .shift = here.shift + SHM_CELL_BITS,
		        .path = here.path | (uint64_t)here.slot << here.shift};
		if (find_bad(examination, group, at, bad))
			return true;
	}
	return false;
}

static bool look_at_tree(
        struct examination *examination, const struct shm_entry *group, struct suspicion *found)
{
	uint64_t word = load_acquire(shm_group_word(examination->segment, group));
	struct place at = {.cell = SHM_GROUP_ROOT(word)};
	bool empty = at.cell == SHM_ROOT_NONE;
	char text[SHM_WHERE_SIZE];

	examination->walks++;
	describe_channel(examination, group->index, text, sizeof text);
	if (SHM_GROUP_PHASE(word) == SHM_GROUP_CLOSED ||
	        SHM_GROUP_PHASE(word) > SHM_GROUP_CHANGING ||
	        (!empty && !meet(examination, group, at.cell)))
		return suspect(found, SHM_FINDING_BAD_GROUP, word, "%s", text);
	if (empty || !find_bad(examination, group, &at, &word))
		return false;
	found->detail = at.cell * SHM_CELL_WORDS + at.slot;
	return suspect(found, SHM_FINDING_BAD_MEMBER, word, "word %u of cell %u, of %s", at.slot,
	        at.cell, text);
}

static bool look_at_group(struct examination *examination, uint32_t index, struct suspicion *found)
{
	struct shm_entry group = entry_at(examination, examination->segment->channels + index);
	uint64_t owner = load_acquire(&examination->segment->channel[group.index].owner);
	char text[SHM_WHERE_SIZE];

	if (owner == SHM_CHANNEL_FREE)
		return false;
	examination->check->summary.groups += examination->counting;
	if (owner == SHM_CHANNEL_LIVE)
		return look_at_tree(examination, &group, found);
	describe_channel(examination, group.index, text, sizeof text);
	if (SHM_OWN_STATE(owner) != SHM_HELD)
		return suspect(found, SHM_FINDING_BAD_OWNER, owner, "%s", text);
	return holder_of(examination, SHM_OWN_UID(owner)) == HOLDER_GONE &&
	       suspect(found, SHM_FINDING_ORPHAN_CHANNEL, owner, "%s", text);
}

static bool mend_group(struct examination *examination, const struct suspicion *found)
{
	struct shm_table *table = examination->check->table;
	struct shm_entry group = entry_at(examination, table->segment->channels + found->index);
	shm_atomic64 *owner = &table->segment->channel[group.index].owner;
	uint64_t word = found->word;

	// A walk doesn't hold up who is in the group or changes it: a tree is mended when nobody can be.
	if ((found->kind == SHM_FINDING_BAD_GROUP || found->kind == SHM_FINDING_BAD_MEMBER) &&
	        !is_alone(examination))
		return false;
	switch (found->kind) {
	case SHM_FINDING_BAD_GROUP: // what it had in cells is found as lost
		return cas_seq_cst(shm_group_word(examination->segment, &group), &word,
		        SHM_GROUP_WORD(SHM_GROUP_OPEN, SHM_ROOT_NONE, SHM_GROUP_TICKET(word) + 1));
	case SHM_FINDING_BAD_MEMBER:
		return cas_acq_rel(&table->segment->cells[found->detail / SHM_CELL_WORDS]
		                            .word[found->detail % SHM_CELL_WORDS],
		        &word, 0);
	case SHM_FINDING_ORPHAN_CHANNEL:
		shm_compact_recover(table, group.index, SHM_UID_SLOT(SHM_OWN_UID(word)));
		return load_acquire(owner) != found->word;
	case SHM_FINDING_BAD_OWNER: // without members, it ends by itself
		return cas_acq_rel(owner, &word, SHM_CHANNEL_LIVE);
	default:
		return false;
	}
}

const struct region region_groups = {count_groups, look_at_group, mend_group};

// ---------------------------------------------------------------------------------------------
// Cells
// ---------------------------------------------------------------------------------------------

static uint32_t count_cells(struct examination *examination)
{
	return examination->segment->geometry.cells;
}

// Whether the group that OWN names has the cell: in its tree, or perhaps, since somebody is at it.
static bool is_of_group(struct examination *examination, uint32_t cell, uint64_t own)
{
	struct shm_entry group = {(uint32_t)(own >> 32) & 0x1fffff, (uint32_t)own};
	struct suspicion ignored = {0};
	uint64_t owner;

	if (group.index < examination->segment->channels ||
	        group.index >= examination->segment->entries || own != SHM_OWN_USED(&group))
		return false;
	owner = load_acquire(&examination->segment->channel[group.index].owner);
	if (entry_at(examination, group.index).generation != group.generation)
		return false;
	if (owner != SHM_CHANNEL_LIVE)
		return owner != SHM_CHANNEL_FREE;
	// As it was met a moment ago, or else by looking again.
	if (examination->met[cell] == group.index + 1)
		return true;
	return look_at_tree(examination, &group, &ignored) ||
	       examination->cells[cell] == examination->walks;
}

static bool look_at_cell(struct examination *examination, uint32_t cell, struct suspicion *found)
{
	uint64_t own = load_acquire(&examination->segment->cell_owns[cell]);

	examination->check->summary.cells += examination->counting && own != SHM_FREE;
	if (own == SHM_FREE)
		return false;
	if (SHM_OWN_STATE(own) == SHM_HELD)
		return holder_of(examination, SHM_OWN_UID(own)) == HOLDER_GONE &&
		       suspect(found, SHM_FINDING_ORPHAN_CELL, own, "cell %u", cell);
	return !is_of_group(examination, cell, own) &&
	       suspect(found, SHM_FINDING_LOST_CELL, own, "cell %u", cell);
}

// The group that has the cell in its tree. False if none has.
static bool find_group(struct examination *examination, uint32_t cell, struct shm_entry *group)
{
	for (uint32_t i = 0; i < examination->segment->geometry.groups; i++) {
		struct suspicion ignored = {0};

		*group = entry_at(examination, examination->segment->channels + i);
		if (load_acquire(&examination->segment->channel[group->index].owner) ==
		        SHM_CHANNEL_FREE)
			continue;
		(void)look_at_tree(examination, group, &ignored);
		if (examination->cells[cell] == examination->walks)
			return true;
	}
	return false;
}

static bool mend_cell(struct examination *examination, const struct suspicion *found)
{
	shm_atomic64 *word = &examination->segment->cell_owns[found->index];
	uint64_t own = found->word;
	struct shm_entry group;

	if (!is_alone(examination)) // as above
		return false;
	if (find_group(examination, found->index, &group))
		return cas_acq_rel(word, &own, SHM_OWN_USED(&group));
	return cas_acq_rel(word, &own, SHM_FREE);
}

const struct region region_cells = {count_cells, look_at_cell, mend_cell};

// ---------------------------------------------------------------------------------------------
// Hazards, and prefixes of names
// ---------------------------------------------------------------------------------------------

static uint32_t count_hazards(struct examination *examination)
{
	(void)examination;
	return SHM_PROCESSES;
}

static bool look_at_hazard(struct examination *examination, uint32_t slot, struct suspicion *found)
{
	const struct shm_process_mem *process = &examination->segment->processes[slot];
	uint64_t hazard = load_acquire(&process->hazard);

	return hazard != 0 && !examination->locked[slot] && load_acquire(&process->uid) == 0 &&
	       suspect(found, SHM_FINDING_STALE_HAZARD, hazard, "slot %u", slot);
}

static bool mend_hazard(struct examination *examination, const struct suspicion *found)
{
	struct shm_table *table = examination->check->table;
	struct shm_process_mem *process = &table->segment->processes[found->index];
	uint64_t hazard = found->word;
	bool mended;

	// Under the slot's lock: a process that takes the slot meanwhile has a hazard of its own.
	if (!shm_process_lock(table->self, found->index))
		return false;
	mended = load_acquire(&process->uid) == 0 && cas_acq_rel(&process->hazard, &hazard, 0);
	shm_process_unlock(table->self, found->index);
	return mended;
}

const struct region region_hazards = {count_hazards, look_at_hazard, mend_hazard};

static uint32_t count_prefixes(struct examination *examination)
{
	(void)examination;
	return SHM_PREFIXES;
}

static bool look_at_prefix(struct examination *examination, uint32_t index, struct suspicion *found)
{
	uint64_t own = load_acquire(&examination->segment->prefixes[index].own);

	if (own == SHM_PREFIX_FREE || own == SHM_PREFIX_LIVE)
		return false;
	return (SHM_OWN_STATE(own) != SHM_HELD ||
	               holder_of(examination, SHM_OWN_UID(own)) == HOLDER_GONE) &&
	       suspect(found, SHM_FINDING_ORPHAN_PREFIX, own, "prefix %u", index + 1);
}

static bool mend_prefix(struct examination *examination, const struct suspicion *found)
{
	uint64_t own = found->word;

	return cas_acq_rel(
	        &examination->segment->prefixes[found->index].own, &own, SHM_PREFIX_FREE);
}

const struct region region_prefixes = {count_prefixes, look_at_prefix, mend_prefix};
