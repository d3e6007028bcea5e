// SPDX-License-Identifier: MIT
// Groups: members that come and go while their tree grows, is compacted, or ends.
//
// A cell has four slots here, two bits of a key each, the low ones first. Of an index of three bits the root tells
// the high one apart: members 0, 2 and 4, whose endpoints are low, meet in slot 0, where a node parts them, and 1
// and 3 in slot 2. A name's key is odd: slot 1 or 3.

#include <string.h>

#include "shm/cell.h"
#include "shm/compact.h"
#include "shm/group.h"
#include "tests/model/support.h"

#define NOW 1000000

enum {
	REPLIES = 5,
	ENDPOINTS = 6, // so that an index has three bits
	ROUNDS = 3,    // of making a group anew that ends again
	MEMBERS = 8,
};

// Members as bits: reply channels by their indices, the name, and one that wants the same slot of the root.
enum {
	NAME = 1 << REPLIES,
	NEIGHBOUR = NAME << 1,
};

static const char the_name[] = "n";
static const uint32_t endpoint_of[REPLIES] = {0, 4, 1, 5, 2};

static void set_neighbour(const struct shm_segment *segment, struct shm_member *member)
{
	struct shm_member other;
	char name[] = "a";

	shm_member_set_plain(&other, segment, the_name);
	do {
		shm_member_set_plain(member, segment, name);
	} while ((strcmp(name, the_name) == 0 || (member->key ^ other.key) % SHM_CELL_WORDS != 0) &&
	         name[0]++ < 'z');
}

static unsigned bit_of(uint32_t endpoint)
{
	unsigned i = 0;

	while (i < REPLIES && endpoint_of[i] != endpoint)
		i++;
	MODEL_ASSERT(i < REPLIES);
	return 1u << i;
}

static void member_of(struct model_own *own, int bit, struct shm_member *member)
{
	if (bit == NAME)
		shm_member_set_plain(member, &own->segment, the_name);
	else if (bit == NEIGHBOUR)
		set_neighbour(&own->segment, member);
	else
		shm_member_set_reply(
		        member, &own->segment, endpoint_of[__builtin_ctz((unsigned)bit)], 1);
}

static enum shm_result add(struct model_own *own, int bit)
{
	struct shm_member member;

	member_of(own, bit, &member);
	return shm_group_add(&own->table, &own->group, &member, NOW);
}

static enum shm_result discard(struct model_own *own, int bit)
{
	struct shm_member member;

	member_of(own, bit, &member);
	return shm_group_discard(&own->table, &own->group, &member, NOW);
}

// As channel/group.c does it: a group that has ended is made anew.
static void add_by_name(struct model_own *own, int bit)
{
	enum shm_result result = add(own, bit);

	for (int round = 0; round < ROUNDS && result == SHM_CLOSED; round++) {
		shm_table_unlink_group(&own->table, &own->group);
		if (shm_table_make_group(&own->table, "g", &own->group) == SHM_OK)
			result = add(own, bit);
	}
	own->note[0] = result;
}

static unsigned list(struct model_own *own)
{
	struct shm_member members[MEMBERS];
	struct shm_place place = {0};
	unsigned all = 0;
	uint32_t count = shm_group_list(&own->table, &own->group, NOW, &place, members, MEMBERS);

	for (uint32_t i = 0; i < count; i++) {
		unsigned bit = SHM_MEMBER_IS_REPLY(&members[i]) ? bit_of(members[i].endpoint)
		               : strcmp(members[i].name, the_name) == 0 ? NAME
		                                                        : NEIGHBOUR;
		struct shm_member known;

		member_of(own, (int)bit, &known);
		MODEL_ASSERT(strcmp(members[i].name, known.name) == 0);
		MODEL_ASSERT(!(all & bit)); // nobody twice
		all |= bit;
	}
	return all;
}

// ---------------------------------------------------------------------------------------------
// Setups
// ---------------------------------------------------------------------------------------------

// The group, with MEMBERS, of which those in GONE have ended since.
static void open_group(unsigned members, unsigned gone)
{
	struct model_own *own = model_arena.own;
	int auditor = support_auditor();

	for (int i = auditor; i >= 0; i--) {
		model_act_for(i);
		MODEL_ASSERT(shm_table_make_group(&own[i].table, "g", &own[i].group) == SHM_OK);
		own[i].note[0] = SHM_EMPTY; // nothing done yet
	}
	model_act_for(auditor);
	for (uint32_t i = 0; i < own->segment.geometry.endpoints; i++)
		(void)shm_endpoint_open(&own[auditor].segment, i, 0, 1, 0);
	for (unsigned left = members; left; left &= left - 1)
		MODEL_ASSERT(add(&own[auditor], (int)(left & -left)) == SHM_OK);
	for (unsigned left = gone & (NAME - 1); left; left &= left - 1)
		(void)shm_endpoint_close(
		        &own[auditor].segment, endpoint_of[__builtin_ctz(left)], 1);
	if (gone & NAME)
		MODEL_ASSERT(discard(&own[auditor], NAME) == SHM_OK);
}

static void open_empty(void)
{
	open_group(0, 0);
}

static void open_0(void)
{
	open_group(1 << 0, 0);
}

// All have ended, so there is a root, and nobody in it.
static void open_ended(void)
{
	open_group(1 << 1, 1 << 1);
}

// The node for 0 and 2 can be done without.
static void open_sparse(void)
{
	open_group(1 << 0 | 1 << 1 | 1 << 2, 1 << 2);
}

// The name has left; its cell is there.
static void open_left(void)
{
	open_group(1 << 0 | NAME, NAME);
}

// ---------------------------------------------------------------------------------------------
// Processes
// ---------------------------------------------------------------------------------------------

static void add_0(struct model_own *own)
{
	add_by_name(own, 1 << 0);
}

static void add_1(struct model_own *own)
{
	add_by_name(own, 1 << 1);
}

static void add_2(struct model_own *own)
{
	add_by_name(own, 1 << 2);
}

static void add_4(struct model_own *own)
{
	add_by_name(own, 1 << 4);
}

static void add_name(struct model_own *own)
{
	add_by_name(own, NAME);
}

static void add_neighbour(struct model_own *own)
{
	add_by_name(own, NEIGHBOUR);
}

static void discard_0(struct model_own *own)
{
	own->note[0] = discard(own, 1 << 0);
}

static void compact(struct model_own *own)
{
	shm_compact_sweep(&own->table, NOW, 1);
}

static void end_if_empty(struct model_own *own)
{
	shm_compact_if_empty(&own->table, &own->group, NOW);
}

static void reap_and_add_4(struct model_own *own)
{
	support_reap(own);
	add_4(own);
}

static void reap_and_compact(struct model_own *own)
{
	support_reap(own);
	compact(own);
}

// Whoever is a member all the time is seen.
static void list_0_and_1(struct model_own *own)
{
	MODEL_ASSERT((list(own) & 3) == 3);
}

// ---------------------------------------------------------------------------------------------
// Audits
// ---------------------------------------------------------------------------------------------

// Every cell below WORD is the group's. Counts them.
static uint32_t audit_below(struct model_own *auditor, uint64_t word)
{
	const struct shm_segment *segment = &auditor->segment;
	uint32_t cell = SHM_WORD_CELL(word), count = 1;

	if (SHM_WORD_TAG(word) != SHM_TAG_NODE && SHM_WORD_TAG(word) != SHM_TAG_PLAIN)
		return 0;
	MODEL_ASSERT(cell < segment->geometry.cells);
	MODEL_ASSERT(load_relaxed(&segment->cell_owns[cell]) == SHM_OWN_USED(&auditor->group));
	for (int i = 0; SHM_WORD_TAG(word) == SHM_TAG_NODE && i < SHM_CELL_WORDS; i++)
		count += audit_below(auditor, load_relaxed(&segment->cells[cell].word[i]));
	return count;
}

// The group, if there is one: its members, each found there, and no cell but theirs is in use.
static unsigned audit_tree(struct model_own *auditor, const char *name)
{
	struct shm_segment *segment = &auditor->segment;
	uint64_t word;

	if (shm_table_find_group(&auditor->table, name, &auditor->group) != SHM_OK) {
		MODEL_ASSERT(shm_cell_used(segment) == 0);
		return 0;
	}
	word = load_relaxed(&segment->channel[auditor->group.index].group);
	if (SHM_GROUP_ROOT(word) == SHM_ROOT_NONE)
		MODEL_ASSERT(shm_cell_used(segment) == 0);
	else
		MODEL_ASSERT(shm_cell_used(segment) ==
		             audit_below(auditor, SHM_WORD_NODE(SHM_GROUP_ROOT(word))));
	return list(auditor);
}

// Members are all in MUST and some in MAY. Without them the group ends, and gives everything back.
static void audit_named(struct model_own *auditor, const char *name, unsigned must, unsigned may)
{
	struct shm_segment *segment = &auditor->segment;
	unsigned members;

	support_settle(auditor);
	members = audit_tree(auditor, name);
	MODEL_ASSERT((members & must) == must);
	MODEL_ASSERT((members & ~(must | may)) == 0);
	for (uint32_t i = 0; i < segment->geometry.endpoints; i++)
		(void)shm_endpoint_close(segment, i, 1);
	(void)discard(auditor, NAME);
	(void)discard(auditor, NEIGHBOUR);
	(void)shm_compact_all(&auditor->table, NOW);
	MODEL_ASSERT(shm_cell_used(segment) == 0);
	for (uint32_t i = segment->channels; i < segment->entries; i++)
		MODEL_ASSERT(load_relaxed(&segment->channel[i].owner) == SHM_CHANNEL_FREE);
	for (uint32_t slot = 0; slot < SHM_PROCESSES; slot++)
		MODEL_ASSERT(load_relaxed(&segment->processes[slot].hazard) == 0);
	support_audit_all(auditor);
}

static void audit_members(struct model_own *auditor, unsigned must, unsigned may)
{
	audit_named(auditor, "g", must, may);
}

// The member, if PROCESS has added it. It may have found no cell free, or have had no death to wait for; a
// dead one's is looked at by the caller.
static unsigned joined(unsigned bit, int process)
{
	uint64_t result = model_arena.own[process].note[0];

	if (model_is_dead(process))
		return 0;
	MODEL_ASSERT(result == SHM_OK || result == SHM_FULL || result == SHM_EMPTY);
	return result == SHM_OK ? bit : 0;
}

// ---------------------------------------------------------------------------------------------
// Joining and leaving
// ---------------------------------------------------------------------------------------------

static void audit_0_1_2(struct model_own *auditor)
{
	audit_members(auditor, joined(1 << 0, 0) | joined(1 << 2, 1) | joined(1 << 1, 2), 0);
}

MODEL_SCENARIO(add_and_add) = {
        .name = "group/add_and_add",
        .intent = "who joins at the same time is a member, though all want the root, two one slot",
        .processes = 3,
        .groups = 1,
        .cells = 7,
        .endpoint_zones = ENDPOINTS,
        .zones = 1,
        .zone = 1,
        .stale = 1,
        .setup = open_empty,
        .run = {add_0, add_2, add_1},
        .audit = audit_0_1_2,
};

static void audit_0_and_name(struct model_own *auditor)
{
	audit_members(auditor, joined(NAME, 0) | joined(NAME, 1) | 1 << 0, 0);
}

MODEL_SCENARIO(add_twice) = {
        .name = "group/add_twice",
        .intent = "a name that two add is a member once",
        .processes = 2,
        .groups = 1,
        .cells = 6,
        .endpoint_zones = 1,
        .zones = 1,
        .zone = 1,
        .setup = open_0,
        .run = {add_name, add_name},
        .audit = audit_0_and_name,
};

static void audit_2_and_4(struct model_own *auditor)
{
	MODEL_ASSERT(model_arena.own[0].note[0] == SHM_OK);
	audit_members(auditor, joined(1 << 2, 1) | joined(1 << 4, 2), 0);
}

MODEL_SCENARIO(discard_and_add) = {
        .name = "group/discard_and_add",
        .intent = "who leaves has left, though its slot becomes a node meanwhile",
        .processes = 3,
        .groups = 1,
        .cells = 6,
        .endpoint_zones = ENDPOINTS,
        .zones = 1,
        .zone = 1,
        .stale = 1,
        .setup = open_0,
        .run = {discard_0, add_2, add_4},
        .audit = audit_2_and_4,
};

// ---------------------------------------------------------------------------------------------
// Compacting
// ---------------------------------------------------------------------------------------------

static void audit_0_1_4(struct model_own *auditor)
{
	audit_members(auditor, 3 | joined(1 << 4, 1), 0);
}

MODEL_SCENARIO(compact_and_add) = {
        .name = "group/compact_and_add",
        .intent = "who joins while the tree is built anew is in the new one",
        .processes = 2,
        .groups = 1,
        .cells = 6,
        .endpoint_zones = ENDPOINTS,
        .zones = 1,
        .zone = 1,
        .stale = 1,
        .setup = open_sparse,
        .run = {compact, add_4},
        .audit = audit_0_1_4,
};

static void audit_0_and_neighbour(struct model_own *auditor)
{
	audit_members(auditor, 1 << 0 | joined(NEIGHBOUR, 1), 0);
}

MODEL_SCENARIO(compact_beside) = {
        .name = "group/compact_beside",
        .intent = "what was to be taken out and has moved below a new node is the group's again",
        .processes = 2,
        .groups = 1,
        .cells = 9,
        .endpoint_zones = 1,
        .zones = 1,
        .zone = 1,
        .stale = 1,
        .setup = open_left,
        .run = {compact, add_neighbour},
        .audit = audit_0_and_neighbour,
};

static void audit_0_1(struct model_own *auditor)
{
	audit_members(auditor, 3, 0);
}

MODEL_SCENARIO(compact_and_list) = {
        .name = "group/compact_and_list",
        .intent = "who walks the tree while it is built anew sees all who are members",
        .processes = 2,
        .groups = 1,
        .cells = 6,
        .endpoint_zones = ENDPOINTS,
        .zones = 1,
        .zone = 1,
        .stale = 1,
        .setup = open_sparse,
        .run = {compact, list_0_and_1},
        .audit = audit_0_1,
};

MODEL_SCENARIO(compact_and_compact) = {
        .name = "group/compact_and_compact",
        .intent = "of two who build a tree anew one does, and nothing is lost",
        .processes = 2,
        .groups = 1,
        .cells = 6,
        .endpoint_zones = ENDPOINTS,
        .zones = 1,
        .zone = 1,
        .stale = 1,
        .setup = open_sparse,
        .run = {compact, compact},
        .audit = audit_0_1,
};

static void audit_0_and_returned(struct model_own *auditor)
{
	audit_members(auditor, joined(NAME, 0) | 1 << 0, 0);
}

MODEL_SCENARIO(sweep_and_return) = {
        .name = "group/sweep_and_return",
        .intent = "a name that comes back while its cells are swept out is a member",
        .processes = 2,
        .groups = 1,
        .cells = 5,
        .endpoint_zones = 1,
        .zones = 1,
        .zone = 1,
        .setup = open_left,
        .run = {add_name, compact},
        .audit = audit_0_and_returned,
};

// ---------------------------------------------------------------------------------------------
// Ending
// ---------------------------------------------------------------------------------------------

static void audit_0(struct model_own *auditor)
{
	audit_members(auditor, joined(1 << 0, 1), 0);
}

MODEL_SCENARIO(end_and_add) = {
        .name = "group/end_and_add",
        .intent = "who joins a group that ends is a member of it, or of the next one of that name",
        .processes = 2,
        .groups = 2,
        .cells = 6,
        .endpoint_zones = ENDPOINTS,
        .zones = 1,
        .zone = 1,
        .stale = 1,
        .setup = open_ended,
        .run = {end_if_empty, add_0},
        .audit = audit_0,
};

// The only entry, reused.
static void replace_g_by_h(struct model_own *own)
{
	struct shm_entry old = own->group;

	shm_compact_if_empty(&own->table, &own->group, NOW);
	if (shm_table_make_group(&own->table, "h", &own->group) != SHM_OK)
		return;
	MODEL_ASSERT(old.generation != own->group.generation);
	own->note[1] = add(own, 1 << 1) == SHM_OK;
	MODEL_ASSERT(own->note[1] && list(own) == 1 << 1);
}

static void add_0_by_the_old_handle(struct model_own *own)
{
	own->note[0] = add(own, 1 << 0);
}

static void discard_1_by_the_old_handle(struct model_own *own)
{
	own->note[0] = discard(own, 1 << 1);
}

static void audit_h(struct model_own *auditor)
{
	struct model_own *own = model_arena.own;

	if (!own[0].note[1]) {
		audit_members(auditor, own[1].note[0] == SHM_OK ? 1 << 0 : 0, 0);
		return;
	}
	MODEL_ASSERT(own[1].note[0] == SHM_CLOSED);
	MODEL_ASSERT(own[2].note[0] == SHM_CLOSED || own[2].note[0] == SHM_EMPTY);
	audit_named(auditor, "h", 1 << 1, 0);
}

MODEL_SCENARIO(old_handle) = {
        .name = "group/old_handle",
        .intent = "who still has the old handle changes nothing in the new group",
        .processes = 3,
        .groups = 1,
        .cells = 5,
        .endpoint_zones = ENDPOINTS,
        .zones = 1,
        .zone = 1,
        .stale = 1,
        .setup = open_empty,
        .run = {replace_g_by_h, add_0_by_the_old_handle, discard_1_by_the_old_handle},
        .audit = audit_h,
};

// ---------------------------------------------------------------------------------------------
// Killed
// ---------------------------------------------------------------------------------------------

static void audit_2_and_maybe_0(struct model_own *auditor)
{
	audit_members(auditor, joined(1 << 0, 0) | joined(1 << 2, 1), 1 << 0);
}

MODEL_SCENARIO(killed_adder) = {
        .name = "group/killed_adder",
        .intent = "a killed adder's cells are its group's if they are in the tree, or free",
        .processes = 3,
        .killable = 1,
        .kills = 1,
        .groups = 1,
        .cells = 6,
        .endpoint_zones = ENDPOINTS,
        .zones = 1,
        .zone = 1,
        .stale = 1,
        .setup = open_empty,
        .run = {add_0, add_2, support_reap},
        .audit = audit_2_and_maybe_0,
};

static void audit_0_and_maybe_name(struct model_own *auditor)
{
	audit_members(auditor, 1 << 0 | joined(NAME, 0) | joined(NAME, 1), NAME);
}

MODEL_SCENARIO(killed_name) = {
        .name = "group/killed_name",
        .intent = "so is a name's cell, whoever else brings the same name",
        .processes = 3,
        .killable = 1,
        .kills = 1,
        .groups = 1,
        .cells = 6,
        .endpoint_zones = 1,
        .zones = 1,
        .zone = 1,
        .stale = 1,
        .setup = open_0,
        .run = {add_name, add_name, support_reap},
        .audit = audit_0_and_maybe_name,
};

MODEL_SCENARIO(killed_compactor) = {
        .name = "group/killed_compactor",
        .intent = "one of two trees is the group's when a killed process has built one anew",
        .processes = 2,
        .killable = 1,
        .kills = 1,
        .groups = 1,
        .cells = 6,
        .endpoint_zones = ENDPOINTS,
        .zones = 1,
        .zone = 1,
        .stale = 1,
        .setup = open_sparse,
        .run = {compact, reap_and_add_4},
        .audit = audit_0_1_4,
};

static void audit_0_1_and_maybe_4(struct model_own *auditor)
{
	audit_members(auditor, 3 | joined(1 << 4, 0), 1 << 4);
}

MODEL_SCENARIO(killed_visitor) = {
        .name = "group/killed_visitor",
        .intent = "a group that a visitor died in is left as it is until the reaper has been there",
        .processes = 2,
        .killable = 1,
        .kills = 1,
        .groups = 1,
        .cells = 6,
        .endpoint_zones = ENDPOINTS,
        .zones = 1,
        .zone = 1,
        .stale = 1,
        .setup = open_sparse,
        .run = {add_4, reap_and_compact},
        .audit = audit_0_1_and_maybe_4,
};

MODEL_SCENARIO(killed_ender) = {
        .name = "group/killed_ender",
        .intent = "a group that a killed process had begun to end is ended or open, and works",
        .processes = 3,
        .killable = 1,
        .kills = 1,
        .groups = 2,
        .cells = 5,
        .endpoint_zones = ENDPOINTS,
        .zones = 1,
        .zone = 1,
        .stale = 1,
        .setup = open_ended,
        .run = {end_if_empty, add_0, support_reap},
        .audit = audit_0,
};

// ---------------------------------------------------------------------------------------------
// Killed, and then who reaps: the auditor is the second to reap
// ---------------------------------------------------------------------------------------------

#define KILLED_REAPER                                                                              \
	.processes = 2, .killable = 3, .kills = 2, .groups = 1, .cells = 6,                        \
	.endpoint_zones = ENDPOINTS, .zones = 1, .zone = 1

// Member 0, perhaps.
static void audit_maybe_0(struct model_own *auditor)
{
	audit_members(auditor, joined(1 << 0, 0), 1 << 0);
}

MODEL_SCENARIO(killed_adders_reaper) = {
        .name = "group/killed_adders_reaper",
        .intent = "what a killed adder's reaper leaves, since it is killed too, another completes",
        KILLED_REAPER,
        .setup = open_empty,
        .run = {add_0, support_reap},
        .audit = audit_maybe_0,
};

static void audit_0_and_1(struct model_own *auditor)
{
	audit_members(auditor, 3, 0);
}

MODEL_SCENARIO(killed_compactors_reaper) = {
        .name = "group/killed_compactors_reaper",
        .intent = "so with two trees, of which one is the group's",
        KILLED_REAPER,
        .setup = open_sparse,
        .run = {compact, support_reap},
        .audit = audit_0_and_1,
};

static void audit_nobody(struct model_own *auditor)
{
	audit_members(auditor, 0, 0);
}

MODEL_SCENARIO(killed_enders_reaper) = {
        .name = "group/killed_enders_reaper",
        .intent = "so with a group that was about to end",
        KILLED_REAPER,
        .setup = open_ended,
        .run = {end_if_empty, support_reap},
        .audit = audit_nobody,
};

// A visitor changes the tree while the second to reap is at it.
MODEL_SCENARIO(killed_reapers_heir) = {
        .name = "group/killed_reapers_heir",
        .intent = "a killed adder's cells are its group's or free, while others join, and the "
                  "reaper dies",
        .processes = 3,
        .killable = 5,
        .kills = 2,
        .groups = 1,
        .cells = 6,
        .endpoint_zones = ENDPOINTS,
        .zones = 1,
        .zone = 1,
        .stale = 1,
        .setup = open_empty,
        .run = {add_0, add_2, support_reap},
        .audit = audit_2_and_maybe_0,
};
