// SPDX-License-Identifier: MIT
#include "shm/group.h"

#include "shm/cell.h"

#define RESTARTS 1000 // of one operation, because others changed the same slot
#define CELLS    20   // at most, for one new member: a branch of 16, a name of 2
#define COUNTS   3    // of one group, because it was compacted meanwhile

// The number of the slot where KEY belongs, in a cell at SHIFT.
static unsigned part_of(uint64_t key, unsigned shift)
{
	return key >> shift & (SHM_CELL_WORDS - 1);
}

static shm_atomic64 *slot_in(struct shm_table *table, uint32_t cell, uint64_t key, unsigned shift)
{
	return &table->segment->cells[cell].word[part_of(key, shift)];
}

// ---------------------------------------------------------------------------------------------
// Visiting
// ---------------------------------------------------------------------------------------------

// Steps 2 and 3 of a visit. False if the group has ended.
static bool look(struct shm_table *table, const struct shm_entry *group, uint64_t *word)
{
	shm_atomic64 *truth = shm_group_word(table->segment, group);

	*word = load_seq_cst(truth);
	// A CAS that fails means that a change was completed, or given up, or that another visitor came.
	for (int left = RESTARTS; left > 0; left--) {
		uint64_t open = SHM_GROUP_WORD(
		        SHM_GROUP_OPEN, SHM_GROUP_ROOT(*word), SHM_GROUP_TICKET(*word) + 1);

		// A word of a later use comes with a later generation.
		if (load_acquire(&table->segment->channel[group->index].ring.generation) !=
		        group->generation)
			return false;
		if (SHM_GROUP_PHASE(*word) == SHM_GROUP_OPEN)
			return true;
		if (SHM_GROUP_PHASE(*word) != SHM_GROUP_CHANGING)
			return false;
		if (cas_seq_cst(truth, word, open))
			*word = open;
	}
	return false;
}

bool shm_group_enter(struct shm_table *table, const struct shm_entry *group, uint64_t *word)
{
	(void)exchange_seq_cst(&table->self->mem->hazard, SHM_HAZARD(group));
	if (look(table, group, word))
		return true;
	shm_group_leave(table);
	return false;
}

void shm_group_leave(struct shm_table *table)
{
	store_release(&table->self->mem->hazard, 0);
}

// Descends to the slot where KEY belongs, whose *WORD is no node. NULL if the tree is damaged.
static shm_atomic64 *descend(
        struct shm_table *table, uint32_t cell, uint64_t key, unsigned *shift, uint64_t *word)
{
	for (*shift = 0; *shift < 64 && shm_cell_exists(table->segment, cell);
	        *shift += SHM_CELL_BITS) {
		shm_atomic64 *slot = slot_in(table, cell, key, *shift);

		// Acquire: pairs with the CAS that put a node or a name's cell there, filled before.
		*word = load_acquire(slot);
		if (SHM_WORD_TAG(*word) != SHM_TAG_NODE)
			return slot;
		cell = SHM_WORD_CELL(*word);
	}
	return NULL;
}

// ---------------------------------------------------------------------------------------------
// Adding
// ---------------------------------------------------------------------------------------------

// Cells taken for a new member, HELD by us.
struct draft {
	uint32_t count;
	uint32_t cells[CELLS];
	uint32_t names; // how many of them, at the beginning, are the name
};

static bool draw(struct shm_table *table, struct draft *draft)
{
	if (draft->count == CELLS || !shm_cell_take(table, false, &draft->cells[draft->count]))
		return false;
	draft->count++;
	return true;
}

static void throw_away(struct shm_table *table, struct draft *draft, uint32_t kept)
{
	while (draft->count > kept)
		store_release(&table->segment->cell_owns[draft->cells[--draft->count]], SHM_FREE);
}

// The first of the name's cells, written when first asked for. False if no cell is free.
static bool draw_name(struct shm_table *table, struct draft *draft, const struct shm_member *member,
        uint32_t *name)
{
	int count = SHM_MEMBER_IS_REPLY(member) ? 0 : shm_member_cells(member);

	while ((int)draft->names < count) {
		if (!draw(table, draft))
			return false;
		draft->names++;
	}
	*name = draft->cells[0];
	if (count > 0)
		shm_member_write(table->segment, member, draft->cells);
	return true;
}

// A branch with OLD and NEW, whose keys agree up to and with SHIFT: as many cells as they agree in, and one.
static enum shm_result draw_branch(struct shm_table *table, struct draft *draft, uint64_t old,
        uint64_t old_key, uint64_t new, uint64_t key, unsigned shift, uint64_t *node)
{
	shm_atomic64 *above = NULL;

	for (shift += SHM_CELL_BITS; shift < 64; shift += SHM_CELL_BITS) {
		uint32_t cell;

		if (!draw(table, draft))
			return SHM_FULL;
		cell = draft->cells[draft->count - 1];
		if (above)
			store_relaxed(above, SHM_WORD_NODE(cell));
		else
			*node = SHM_WORD_NODE(cell);
		above = slot_in(table, cell, key, shift);
		if (part_of(old_key, shift) != part_of(key, shift)) {
			store_relaxed(slot_in(table, cell, old_key, shift), old);
			store_relaxed(above, new);
			return SHM_OK;
		}
	}
	return SHM_CORRUPT; // the old one had no business in that slot
}

// The first member: a root, published by the group's word.
static enum shm_result plant(struct shm_table *table, const struct shm_entry *group,
        struct draft *draft, const struct shm_member *member, uint64_t new, uint64_t *word)
{
	uint32_t root;

	if (!draw(table, draft))
		return SHM_FULL;
	root = draft->cells[draft->count - 1];
	store_relaxed(slot_in(table, root, member->key, 0), new);
	if (cas_seq_cst(shm_group_word(table->segment, group), word,
	            SHM_GROUP_WORD(SHM_GROUP_OPEN, root, SHM_GROUP_TICKET(*word) + 1)))
		return SHM_OK;
	return look(table, group, word) ? SHM_EMPTY : SHM_CLOSED;
}

// Puts MEMBER's word where the word OLD is now, in the slot at SHIFT. SHM_EMPTY if OLD isn't there any more.
static enum shm_result replace(struct shm_table *table, struct draft *draft, shm_atomic64 *slot,
        uint64_t old, unsigned shift, const struct shm_member *member, int64_t now)
{
	enum shm_result match = shm_member_match(table->segment, old, member);
	uint64_t old_key, new;
	uint32_t name;

	if (match == SHM_CLASH)
		return SHM_CLASH;
	if (match == SHM_CLOSED && shm_member_valid(table->segment, old, now))
		return SHM_OK; // ours ended before it could join: the endpoint is another reply channel now
	if (match != SHM_EMPTY) { // renewed, or back again
		new = shm_member_word(table->segment, member, SHM_WORD_CELL(old), now);
		throw_away(table, draft, 0); // another process has brought the name
		draft->names = 0;
		return new == old || cas_acq_rel(slot, &old, new) ? SHM_OK : SHM_EMPTY;
	}
	if (!draw_name(table, draft, member, &name))
		return SHM_FULL;
	new = shm_member_word(table->segment, member, name, now);
	// A reply channel that is no member any more makes room; a name's cell must stay in the tree.
	if (old != 0 && (SHM_WORD_TAG(old) != SHM_TAG_REPLY ||
	                        shm_member_valid(table->segment, old, now))) {
		enum shm_result result = SHM_CORRUPT;

		if (shm_member_key(table->segment, old, &old_key))
			result = draw_branch(
			        table, draft, old, old_key, new, member->key, shift, &new);
		if (result != SHM_OK)
			return result;
	}
	return cas_acq_rel(slot, &old, new) ? SHM_OK : SHM_EMPTY;
}

// One try: SHM_EMPTY if another process was faster somewhere.
static enum shm_result put(struct shm_table *table, const struct shm_entry *group, uint64_t *word,
        struct draft *draft, const struct shm_member *member, int64_t now)
{
	shm_atomic64 *slot;
	uint64_t old;
	unsigned shift;
	uint32_t name;

	if (SHM_GROUP_ROOT(*word) == SHM_ROOT_NONE) {
		if (!draw_name(table, draft, member, &name))
			return SHM_FULL;
		return plant(table, group, draft, member,
		        shm_member_word(table->segment, member, name, now), word);
	}
	slot = descend(table, SHM_GROUP_ROOT(*word), member->key, &shift, &old);
	return slot ? replace(table, draft, slot, old, shift, member, now) : SHM_CORRUPT;
}

enum shm_result shm_group_add(struct shm_table *table, const struct shm_entry *group,
        const struct shm_member *member, int64_t now)
{
	enum shm_result result = SHM_EMPTY;
	struct draft draft = {0};
	uint64_t word;

	if (!shm_group_enter(table, group, &word))
		return SHM_CLOSED;
	for (int left = RESTARTS; left > 0 && result == SHM_EMPTY; left--) {
		result = put(table, group, &word, &draft, member, now);
		// Death in here: HELD cells, linked by the CAS or not; the reaper looks.
		if (result != SHM_OK)
			throw_away(table, &draft, result == SHM_EMPTY ? draft.names : 0);
	}
	throw_away(table, &draft, result == SHM_OK ? draft.count : 0);
	for (uint32_t i = 0; i < draft.count; i++)
		store_release(&table->segment->cell_owns[draft.cells[i]], SHM_OWN_USED(group));
	shm_group_leave(table);
	return result == SHM_EMPTY ? SHM_CORRUPT : result;
}

enum shm_result shm_group_discard(struct shm_table *table, const struct shm_entry *group,
        const struct shm_member *member, int64_t now)
{
	enum shm_result result = SHM_EMPTY;
	shm_atomic64 *slot = NULL;
	uint64_t group_word, word;
	int left = RESTARTS;
	unsigned shift;

	if (!shm_group_enter(table, group, &group_word))
		return SHM_CLOSED;
	for (; left > 0; left--) {
		if (SHM_GROUP_ROOT(group_word) == SHM_ROOT_NONE)
			break;
		slot = descend(table, SHM_GROUP_ROOT(group_word), member->key, &shift, &word);
		result = slot ? shm_member_match(table->segment, word, member) : SHM_CORRUPT;
		if (result == SHM_CLOSED ||
		        (result == SHM_OK && !shm_member_valid(table->segment, word, now)))
			result = SHM_EMPTY;
		if (result != SHM_OK ||
		        cas_acq_rel(slot, &word,
		                SHM_MEMBER_IS_REPLY(member) ? 0 : shm_member_left(word)))
			break;
	}
	shm_group_leave(table);
	return left > 0 ? result : SHM_CORRUPT;
}

// ---------------------------------------------------------------------------------------------
// Listing
// ---------------------------------------------------------------------------------------------

struct listing {
	struct shm_table *table;
	int64_t now;
	struct shm_place *place;
	struct shm_member *members;
	uint32_t count, room;
	uint32_t left; // cells that may still be looked at, lest a damaged tree has no end
};

// A walk meets keys in this order: the first four bits looked at weigh most.
static uint64_t order_of(uint64_t key)
{
	key = __builtin_bswap64(key);
	return (key & 0x0f0f0f0f0f0f0f0full) << 4 | (key >> 4 & 0x0f0f0f0f0f0f0f0full);
}

// Takes the member WORD, if it is one, its key belongs below PREFIX, and it wasn't listed before. False when
// there is no room for it.
static bool take(struct listing *listing, uint64_t word, uint64_t prefix, unsigned shift)
{
	struct shm_member *member = &listing->members[listing->count];
	uint64_t key, order;

	if (!shm_member_key(listing->table->segment, word, &key))
		return true;
	order = order_of(key);
	if (order < listing->place->next || (order ^ prefix) >> (64 - SHM_CELL_BITS - shift) != 0)
		return true;
	if (listing->count == listing->room) {
		listing->place->next = order;
		return false;
	}
	if (shm_member_read(listing->table->segment, word, listing->now, member))
		listing->count++;
	return true;
}

// False when there is no room for more.
static bool list_cell(struct listing *listing, uint32_t cell, uint64_t prefix, unsigned shift)
{
	uint64_t next = listing->place->next;

	if (shift >= 64 || listing->left == 0 || !shm_cell_exists(listing->table->segment, cell))
		return true;
	listing->left--;
	for (uint64_t i = 0; i < SHM_CELL_WORDS; i++) {
		uint64_t below = prefix | i << (64 - SHM_CELL_BITS - shift), word;

		if (next > below && (next ^ below) >> (64 - SHM_CELL_BITS - shift) != 0)
			continue; // all of it comes before the place
		word = load_acquire(&listing->table->segment->cells[cell].word[i]);
		if (SHM_WORD_TAG(word) == SHM_TAG_NODE
		                ? !list_cell(listing, SHM_WORD_CELL(word), below,
		                          shift + SHM_CELL_BITS)
		                : word != 0 && !take(listing, word, below, shift))
			return false;
	}
	return true;
}

uint32_t shm_group_list(struct shm_table *table, const struct shm_entry *group, int64_t now,
        struct shm_place *place, struct shm_member *members, uint32_t room)
{
	struct listing listing = {.table = table,
	        .now = now,
	        .place = place,
	        .members = members,
	        .room = room,
	        .left = table->segment->geometry.cells};
	uint64_t word;

	if (place->done || !shm_group_enter(table, group, &word)) {
		place->done = true;
		return 0;
	}
	place->done = list_cell(&listing, SHM_GROUP_ROOT(word), 0, 0);
	shm_group_leave(table);
	return listing.count;
}

// ---------------------------------------------------------------------------------------------
// Counting
// ---------------------------------------------------------------------------------------------

// LEFT: cells that may still be looked at. What is in a cell that is another's by now makes the count wrong, not the
// walk endless.
static uint64_t count_cell(const struct shm_segment *segment, uint32_t cell, unsigned shift,
        int64_t now, uint32_t *left)
{
	uint64_t count = 0;

	if (shift >= 64 || *left == 0 || !shm_cell_exists(segment, cell))
		return 0;
	--*left;
	for (int i = 0; i < SHM_CELL_WORDS; i++) {
		uint64_t word = load_acquire(&segment->cells[cell].word[i]);

		if (SHM_WORD_TAG(word) == SHM_TAG_NODE)
			count += count_cell(
			        segment, SHM_WORD_CELL(word), shift + SHM_CELL_BITS, now, left);
		else
			count += word != 0 && shm_member_valid(segment, word, now);
	}
	return count;
}

uint64_t shm_group_count(
        const struct shm_segment *segment, const struct shm_entry *group, int64_t now)
{
	shm_atomic64 *truth = shm_group_word(segment, group);
	const struct shm_channel_mem *entry = &segment->channel[group->index];
	uint64_t count = 0;

	for (int tries = 0; tries < COUNTS; tries++) {
		uint32_t left = segment->geometry.cells;
		uint64_t word = load_acquire(truth), after;

		if (load_acquire(&entry->ring.generation) != group->generation ||
		        SHM_GROUP_PHASE(word) == SHM_GROUP_CLOSED)
			return 0;
		count = count_cell(segment, SHM_GROUP_ROOT(word), 0, now, &left);
		// The same ticket and root: no cell of the tree has been freed.
		after = load_acquire(truth);
		if (SHM_GROUP_ROOT(after) == SHM_GROUP_ROOT(word) &&
		        SHM_GROUP_TICKET(after) == SHM_GROUP_TICKET(word))
			break;
	}
	return count;
}
