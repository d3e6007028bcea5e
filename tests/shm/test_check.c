// SPDX-License-Identifier: MIT
// Each kind of damage is found, and nothing else; what can be mended is, and then nothing is left to be found.

#include <fcntl.h>

#include "shm/cell.h"
#include "shm/compact.h"
#include "shm/directory.h"
#include "shm/link.h"
#include "shm/metric.h"
#include "shm/prefix.h"
#include "shm/will.h"
#include "tests/shm/support_check.h"

#define NOBODY SHM_UID(200, 5)

// A segment in use, to be damaged.
struct scene {
	struct attachment a; // who uses it
	struct shm_ring alpha, beta, stream, inbox;
	uint32_t endpoint;
	struct shm_entry group; // of the endpoint and some names
};

static void make_scene(struct scene *scene)
{
	static const struct shm_metric metric = {.name = "metric"};
	struct attachment *a = &scene->a;
	uint32_t scan = 0, index;
	uint64_t value;

	attach(a);
	EXPECT_INT(shm_table_make(&a->table, "alpha", 100, 0, &scene->alpha), SHM_OK);
	EXPECT_INT(shm_table_make(&a->table, "beta", 1000, 0, &scene->beta), SHM_OK);
	EXPECT_INT(shm_table_make(&a->table, "stream", 10, a->self.uid, &scene->stream), SHM_OK);
	EXPECT_INT(shm_table_make_inbox(&a->table, "inbox", 10, &scene->inbox), SHM_OK);
	for (uint64_t i = 1; i <= 5; i++)
		EXPECT_INT(push_number(a, &scene->alpha, i), SHM_OK);
	for (uint64_t i = 1; i <= 2; i++)
		EXPECT_INT(pop_number(a, &scene->alpha, &value), SHM_OK);
	for (uint64_t i = 1; i <= 150; i++)
		EXPECT_INT(push_number(a, &scene->beta, i), SHM_OK);
	EXPECT_INT(push_number(a, &scene->inbox, 1), SHM_OK);
	shm_table_listen(&a->table, &scene->alpha, a->self.slot);
	EXPECT_INT(shm_endpoint_take_zone(&a->segment, a->self.uid, &scan), 0);
	scene->endpoint = 3;
	EXPECT_INT(shm_table_make_group(&a->table, "group", &scene->group), SHM_OK);
	for (int i = 0; i < 20; i++) {
		struct shm_member member;
		char name[SHM_NAME_SIZE];

		snprintf(name, sizeof name, "%d%0*d", i, i * 9 + 1, 0);
		shm_member_set_plain(&member, &a->segment, name);
		EXPECT_INT(shm_group_add(&a->table, &scene->group, &member, 0), SHM_OK);
	}
	shm_endpoint_open(
	        &a->segment, 3, (uint64_t)scene->inbox.generation << 32 | scene->inbox.id, 5, 0);
	close(shm_directory_fifo(a->segment.directory, a->self.slot, true));
	EXPECT_INT(
	        shm_metric_enter(&a->segment, a->self.uid, &metric, NULL, &index), SHM_METRIC_OK);
}

static struct shm_channel_mem *channel(struct scene *scene, const struct shm_ring *ring)
{
	return &scene->a.segment.channel[ring->id];
}

static shm_atomic64 *bucket_of(struct scene *scene, const char *name)
{
	return &scene->a.segment.buckets[shm_table_hash(name) & scene->a.segment.bucket_mask];
}

// A block that is free, in a zone of the smallest class that nobody owns.
static struct shm_block_mem *free_block(struct scene *scene)
{
	for (uint32_t zone = 0; zone < 4; zone++)
		if (load_relaxed(&scene->a.segment.zones[zone]) == 0)
			return shm_pool_block(&scene->a.pool, zone * shm_class_zone(0) + 7);
	abort();
}

static void holes(struct scene *scene)
{
	(void)fallocate(scene->a.segment.file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	        (off_t)scene->a.segment.size - 8192, 8192);
}

static void take_memory(struct attachment *child)
{
	struct shm_buffer buffer;

	(void)shm_pool_alloc(&child->pool, 300000, &buffer);
}

static void dead(struct scene *scene)
{
	struct attachment before;

	(void)scene;
	attach(&before); // in the slot that a repair attaches in
	EXPECT(run_and_kill(take_memory));
	detach(&before);
}

static void silent(struct scene *scene)
{
	store_relaxed(&scene->a.self.mem->uid, 0);
}

static void bad_uid(struct scene *scene)
{
	store_relaxed(&scene->a.segment.processes[9].uid, NOBODY);
}

static void bad_sleep(struct scene *scene)
{
	store_relaxed(&scene->a.self.mem->sleeping, 77);
}

static void orphan_zone(struct scene *scene)
{
	for (uint32_t zone = 0;; zone++) {
		if (load_relaxed(&scene->a.segment.zones[zone]) == 0) {
			store_relaxed(&scene->a.segment.zones[zone], NOBODY);
			// And a block in it that was never sent.
			store_relaxed(
			        &shm_pool_block(&scene->a.pool, zone * shm_class_zone(0))->own,
			        SHM_OWN_SENT(scene->alpha.id, 4));
			return;
		}
	}
}

static void orphan_block(struct scene *scene)
{
	store_relaxed(&free_block(scene)->own, SHM_OWN_HELD(NOBODY));
}

static void block_of_a_slot_that_is_none(struct scene *scene)
{
	store_relaxed(&free_block(scene)->own, SHM_OWN_HELD(SHM_UID(4000, 5)));
}

static void dangling(struct scene *scene)
{
	store_relaxed(&free_block(scene)->own, SHM_OWN_SENT(scene->alpha.id, 1000000));
}

static void dangling_part(struct scene *scene)
{
	uint32_t handle = scene->a.pool.first[SHM_CLASSES] - 1;

	store_relaxed(&shm_pool_block(&scene->a.pool, handle)->own, SHM_OWN_PART(3, 0));
}

static void unfinished(struct scene *scene)
{
	struct shm_buffer buffer;

	if (!shm_pool_alloc(&scene->a.pool, 8, &buffer))
		abort();
	store_relaxed(&shm_pool_block(&scene->a.pool, buffer.handle)->own,
	        SHM_OWN_SENT(scene->alpha.id, load_relaxed(&scene->alpha.mem->tail)));
}

static void garbage_block(struct scene *scene)
{
	store_relaxed(&free_block(scene)->own, SHM_OWN_SENT(0xfffff, 3));
}

static void stranded(struct scene *scene)
{
	store_relaxed(&channel(scene, &scene->inbox)->owner, SHM_CHANNEL_FREE);
}

static void malformed(struct scene *scene)
{
	uint64_t pos = load_relaxed(&scene->alpha.mem->tail) - 1;
	uint64_t word = load_relaxed(shm_ring_slot(&scene->alpha, pos));

	shm_pool_block(&scene->a.pool, (uint32_t)word)->length = SHM_LENGTH(8, 99);
}

static void orphan_endpoints(struct scene *scene)
{
	store_relaxed(&scene->a.segment.endpoint_zones[1], NOBODY);
	shm_endpoint_open(&scene->a.segment, 70, 0, 5, 0);
}

static void open_endpoint(struct scene *scene)
{
	shm_endpoint_open(&scene->a.segment, 70, 0, 5, 0);
}

static void no_inbox(struct scene *scene)
{
	store_relaxed(&scene->a.segment.endpoint[3].ring, UINT32_MAX);
}

static void bad_credit(struct scene *scene)
{
	store_relaxed(&scene->a.segment.endpoint[3].limit, 0x400000);
}

static void scribble_will(struct scene *scene, uint32_t endpoint, uint64_t will)
{
	store_relaxed(&scene->a.segment.wills[endpoint], will);
}

static void will_with_a_slot(struct scene *scene)
{
	scribble_will(scene, scene->endpoint, SHM_WILL(SHM_WILL_SET, 7, 0));
}

static void no_will_with_a_block(struct scene *scene)
{
	scribble_will(scene, scene->endpoint, SHM_WILL(SHM_WILL_NONE, 0, 3));
}

static void claim_with_more(struct scene *scene)
{
	scribble_will(scene, scene->endpoint,
	        SHM_WILL(SHM_WILL_SETTING, SHM_UID_SLOT(NOBODY), 3) | 1 << 20);
}

static void will_of_no_reply_channel(struct scene *scene)
{
	scribble_will(scene, 100, SHM_WILL_SET);
}

static void claim_of_a_slot_that_is_none(struct scene *scene)
{
	scribble_will(scene, scene->endpoint, SHM_WILL(SHM_WILL_SETTING, 4000, 3));
}

static void claim_of_nobody(struct scene *scene)
{
	scribble_will(scene, scene->endpoint,
	        SHM_WILL(SHM_WILL_EXECUTING, SHM_UID_SLOT(NOBODY), UINT32_MAX));
}

static void claim_of_the_living(struct scene *scene)
{
	scribble_will(scene, scene->endpoint, SHM_WILL(SHM_WILL_EXECUTING, scene->a.self.slot, 3));
}

static void lost_will(struct scene *scene)
{
	struct shm_segment *segment = &scene->a.segment;

	(void)shm_endpoint_close(segment, 70, shm_endpoint_open(segment, 70, 0, 5, 0));
	scribble_will(scene, 70, SHM_WILL_SET);
}

static void orphan_channel(struct scene *scene)
{
	store_relaxed(&channel(scene, &scene->alpha)->owner, SHM_OWN_HELD(NOBODY));
}

static void orphan_stream(struct scene *scene)
{
	store_relaxed(&channel(scene, &scene->stream)->maker, NOBODY);
}

static void bad_owner(struct scene *scene)
{
	store_relaxed(&channel(scene, &scene->alpha)->owner, 12345);
}

static void bad_owner_of_an_inbox(struct scene *scene)
{
	store_relaxed(&channel(scene, &scene->inbox)->owner, 12345);
	store_relaxed(&scene->a.segment.endpoint[3].state, 0); // which leads there
}

static void no_capacity(struct scene *scene)
{
	store_relaxed(&scene->alpha.mem->capacity, 0);
}

static void too_much_capacity(struct scene *scene)
{
	store_relaxed(&scene->alpha.mem->capacity, 1u << 30);
}

static void stale_listener(struct scene *scene)
{
	(void)fetch_or_seq_cst(&channel(scene, &scene->alpha)->receivers[3], 1ull << 40);
}

static void slot_of_another_age(struct scene *scene)
{
	store_relaxed(shm_ring_slot(&scene->alpha, 100), 0x1234567800000003);
}

static void scribbled_slots(struct scene *scene)
{
	for (uint32_t i = 1000; i < 1050; i++)
		store_relaxed(shm_ring_slot(&scene->beta, i), 0x9e3779b97f4a7c15ull * i);
}

static void hole(struct scene *scene)
{
	uint64_t pos = load_relaxed(&scene->alpha.mem->tail) - 2;

	store_relaxed(shm_ring_slot(&scene->alpha, pos), 0);
}

static void head_ahead(struct scene *scene)
{
	store_relaxed(&scene->alpha.mem->head, load_relaxed(&scene->alpha.mem->tail));
}

static void head_far_ahead(struct scene *scene)
{
	store_relaxed(&scene->alpha.mem->head, 0x7000000000000000);
}

static void head_lost(struct scene *scene)
{
	store_relaxed(&scene->alpha.mem->head, 0x9000000000000000);
}

static void tail_ahead(struct scene *scene)
{
	store_relaxed(&scene->alpha.mem->tail, load_relaxed(&scene->alpha.mem->tail) + 3);
}

static void tail_lost(struct scene *scene)
{
	store_relaxed(&scene->alpha.mem->tail, 0x9000000000000000);
}

static void link_out_of_bounds(struct scene *scene)
{
	store_relaxed(bucket_of(scene, "no channel of this list"), link_to(99999, 1));
}

static void link_to_another_use(struct scene *scene)
{
	store_relaxed(
	        bucket_of(scene, "alpha"), link_to(scene->alpha.id, scene->alpha.generation + 7));
}

static void circle(struct scene *scene)
{
	store_relaxed(&channel(scene, &scene->alpha)->link,
	        link_to(scene->alpha.id, scene->alpha.generation));
}

static void bad_hash(struct scene *scene)
{
	store_relaxed(&channel(scene, &scene->alpha)->hash, 1);
}

static void bad_name(struct scene *scene)
{
	store_relaxed(&channel(scene, &scene->stream)->name[0], 0x4142434445464748);
}

// Two of one list, of which the second gets the name of the first.
static void name_twice(struct scene *scene)
{
	uint32_t mask = scene->a.segment.bucket_mask;
	char name[32];
	struct shm_ring ring;
	uint32_t i = 0;

	do
		snprintf(name, sizeof name, "name %u", i++);
	while (((shm_table_hash(name) ^ shm_table_hash("alpha")) & mask) != 0);
	if (shm_table_make(&scene->a.table, name, 10, 0, &ring) != SHM_OK)
		abort();
	// The later one comes first in the list: alpha, behind it, isn't found any more. Its messages go.
	for (int word = 0; word < SHM_NAME_SIZE / 8; word++)
		store_relaxed(&channel(scene, &ring)->name[word],
		        load_relaxed(&channel(scene, &scene->alpha)->name[word]));
	store_relaxed(&channel(scene, &ring)->hash, shm_table_hash("alpha"));
}

static void unreachable(struct scene *scene)
{
	store_relaxed(bucket_of(scene, "alpha"), 0);
}

// By one who couldn't have the entry, which is then left to be taken.
static void shut(struct scene *scene)
{
	store_relaxed(&channel(scene, &scene->beta)->owner, SHM_OWN_HELD(scene->a.self.uid + 1));
	EXPECT_INT(shm_table_shut(&scene->a.table, &scene->beta), SHM_OK);
	store_relaxed(&channel(scene, &scene->beta)->owner, SHM_CHANNEL_LIVE);
}

static shm_atomic64 *group_word(struct scene *scene)
{
	return &scene->a.segment.channel[scene->group.index].group;
}

// A slot of the group's root, for WORD.
static void scribble_root(struct scene *scene, uint64_t word)
{
	uint32_t root = SHM_GROUP_ROOT(load_relaxed(group_word(scene)));

	store_relaxed(&scene->a.segment.cells[root].word[6], word);
}

static void no_phase(struct scene *scene)
{
	store_relaxed(group_word(scene), load_relaxed(group_word(scene)) | 3ull << 62);
}

static void root_out_of_bounds(struct scene *scene)
{
	store_relaxed(group_word(scene), SHM_GROUP_WORD(SHM_GROUP_OPEN, 99999, 7));
}

static void bad_owner_of_a_group(struct scene *scene)
{
	store_relaxed(&scene->a.segment.channel[scene->group.index].owner, 12345);
}

static void orphan_group(struct scene *scene)
{
	store_relaxed(&scene->a.segment.channel[scene->group.index].owner, SHM_OWN_HELD(NOBODY));
}

static void node_out_of_bounds(struct scene *scene)
{
	scribble_root(scene, SHM_WORD_NODE(99999));
}

static void node_of_nobody(struct scene *scene)
{
	scribble_root(scene, SHM_WORD_NODE(200));
}

static void node_in_a_circle(struct scene *scene)
{
	scribble_root(scene, SHM_WORD_NODE(SHM_GROUP_ROOT(load_relaxed(group_word(scene)))));
}

static void member_in_a_wrong_slot(struct scene *scene)
{
	scribble_root(scene, (uint64_t)(scene->endpoint + 1) << 40 | SHM_TAG_REPLY);
}

static void orphan_cell(struct scene *scene)
{
	store_relaxed(&scene->a.segment.cell_owns[200], SHM_OWN_HELD(NOBODY));
}

static void orphan_cell_of_a_tree(struct scene *scene)
{
	uint32_t root = SHM_GROUP_ROOT(load_relaxed(group_word(scene)));

	store_relaxed(&scene->a.segment.cell_owns[root], SHM_OWN_HELD(NOBODY));
}

static void lost_cell(struct scene *scene)
{
	store_relaxed(&scene->a.segment.cell_owns[200], SHM_OWN_USED(&scene->group));
}

static void cell_of_an_ended_group(struct scene *scene)
{
	struct shm_entry other = {scene->group.index, scene->group.generation + 5};

	store_relaxed(&scene->a.segment.cell_owns[200], SHM_OWN_USED(&other));
}

static void garbage_cell(struct scene *scene)
{
	store_relaxed(&scene->a.segment.cell_owns[200], 77);
}

static void stale_hazard(struct scene *scene)
{
	store_relaxed(&scene->a.segment.processes[9].hazard, SHM_HAZARD(&scene->group));
}

static void orphan_prefix(struct scene *scene)
{
	store_relaxed(&scene->a.segment.prefixes[7].own, SHM_OWN_HELD(NOBODY));
}

static void orphan_metric(struct scene *scene)
{
	store_relaxed(&scene->a.segment.metric_cells[5].own, SHM_OWN_HELD(NOBODY));
}

static void orphan_metric_in_the_directory(struct scene *scene)
{
	store_relaxed(&scene->a.segment.metric_cells[0].own, SHM_OWN_HELD(NOBODY));
}

static void garbage_metric(struct scene *scene)
{
	store_relaxed(&scene->a.segment.metric_cells[5].own, 77);
}

static void lost_metric(struct scene *scene)
{
	store_relaxed(&scene->a.segment.metric_cells[5].own, SHM_METRIC_LIVE);
}

static void metric_that_is_free(struct scene *scene)
{
	store_relaxed(&scene->a.segment.metric_cells[0].own, SHM_METRIC_FREE);
}

static void metric_out_of_bounds(struct scene *scene)
{
	store_relaxed(&scene->a.segment.metrics[3], 1000000);
}

static void metric_of_no_kind(struct scene *scene)
{
	store_relaxed(&scene->a.segment.metric_cells[0].kind, SHM_METRIC_KINDS);
}

static void unreachable_group(struct scene *scene)
{
	store_relaxed(bucket_of(scene, "\x01group"), 0);
}

static void fifo_with_a_wrong_mode(struct scene *scene)
{
	(void)fchmodat(scene->a.segment.directory, "bell.0", 0622, 0);
}

static void file_in_place_of_a_fifo(struct scene *scene)
{
	close(openat(scene->a.segment.directory, "bell.20", O_CREAT | O_WRONLY, 0600));
}

static void leftover(struct scene *scene)
{
	(void)mkfifoat(scene->a.segment.directory, "new-bell.9", 0600);
}

static void stranger(struct scene *scene)
{
	close(openat(scene->a.segment.directory, "core", O_CREAT | O_WRONLY, 0600));
}

enum {
	KEPT = 0,      // can't be mended while the process that uses it lives
	MENDED = 1,    // and nothing is lost
	ENDED = 2,     // mended, but alpha has lost messages
	IF_ALONE = 4,  // mended, if nobody else is attached
	NOT_ALONE = 8, // other findings come of it
	ATTACHED = 16, // whoever attaches mends it
};

static const struct {
	const char *name;
	void (*damage)(struct scene *scene);
	enum shm_finding_kind kind;
	int outcome;
} damages[] = {
        {"holes", holes, SHM_FINDING_HOLES, MENDED | ATTACHED},
        {"dead", dead, SHM_FINDING_DEAD, MENDED},
        {"silent", silent, SHM_FINDING_SILENT, KEPT},
        {"bad_uid", bad_uid, SHM_FINDING_BAD_UID, MENDED},
        {"bad_sleep", bad_sleep, SHM_FINDING_BAD_SLEEP, MENDED},
        {"orphan_zone", orphan_zone, SHM_FINDING_ORPHAN_ZONE, MENDED | NOT_ALONE},
        {"orphan_block", orphan_block, SHM_FINDING_ORPHAN_BLOCK, MENDED},
        {"no_slot", block_of_a_slot_that_is_none, SHM_FINDING_ORPHAN_BLOCK, MENDED},
        {"dangling", dangling, SHM_FINDING_DANGLING, MENDED},
        {"dangling_part", dangling_part, SHM_FINDING_DANGLING, MENDED},
        {"unfinished", unfinished, SHM_FINDING_UNFINISHED, KEPT},
        {"garbage_block", garbage_block, SHM_FINDING_GARBAGE_BLOCK, IF_ALONE},
        {"stranded", stranded, SHM_FINDING_STRANDED, MENDED | NOT_ALONE},
        {"malformed", malformed, SHM_FINDING_MALFORMED, KEPT},
        {"orphan_endpoints", orphan_endpoints, SHM_FINDING_ORPHAN_ENDPOINTS, MENDED},
        {"open_endpoint", open_endpoint, SHM_FINDING_OPEN_ENDPOINT, MENDED},
        {"no_inbox", no_inbox, SHM_FINDING_NO_INBOX, KEPT},
        {"bad_credit", bad_credit, SHM_FINDING_BAD_CREDIT, KEPT},
        {"will_with_a_slot", will_with_a_slot, SHM_FINDING_BAD_WILL, MENDED},
        {"no_will_with_a_block", no_will_with_a_block, SHM_FINDING_BAD_WILL, MENDED},
        {"claim_with_more", claim_with_more, SHM_FINDING_BAD_WILL, MENDED},
        {"never_open", will_of_no_reply_channel, SHM_FINDING_BAD_WILL, MENDED},
        {"claim_of_no_slot", claim_of_a_slot_that_is_none, SHM_FINDING_ORPHAN_WILL, MENDED},
        {"claim_of_nobody", claim_of_nobody, SHM_FINDING_ORPHAN_WILL, MENDED},
        {"claim_of_the_living", claim_of_the_living, SHM_FINDING_UNSETTLED_WILL, KEPT},
        {"lost_will", lost_will, SHM_FINDING_LOST_WILL, MENDED},
        {"orphan_channel", orphan_channel, SHM_FINDING_ORPHAN_CHANNEL, MENDED},
        {"orphan_stream", orphan_stream, SHM_FINDING_ORPHAN_STREAM, MENDED},
        {"bad_owner", bad_owner, SHM_FINDING_BAD_OWNER, MENDED},
        {"bad_inbox", bad_owner_of_an_inbox, SHM_FINDING_BAD_OWNER, IF_ALONE},
        {"no_capacity", no_capacity, SHM_FINDING_BAD_CAPACITY, MENDED},
        {"too_much_capacity", too_much_capacity, SHM_FINDING_BAD_CAPACITY, MENDED},
        {"stale_listener", stale_listener, SHM_FINDING_STALE_LISTENER, MENDED},
        {"slot", slot_of_another_age, SHM_FINDING_BAD_SLOT, MENDED},
        {"slots", scribbled_slots, SHM_FINDING_BAD_SLOT, MENDED},
        {"hole", hole, SHM_FINDING_BAD_SLOT, IF_ALONE | ENDED | NOT_ALONE},
        {"head_ahead", head_ahead, SHM_FINDING_HEAD_AHEAD, MENDED},
        {"head_far_ahead", head_far_ahead, SHM_FINDING_HEAD_AHEAD, MENDED},
        {"head_lost", head_lost, SHM_FINDING_HEAD_AHEAD, MENDED},
        {"tail_ahead", tail_ahead, SHM_FINDING_TAIL_AHEAD, MENDED},
        {"tail_lost", tail_lost, SHM_FINDING_TAIL_AHEAD, MENDED},
        {"link_out_of_bounds", link_out_of_bounds, SHM_FINDING_BAD_LINK, MENDED},
        {"link_to_another_use", link_to_another_use, SHM_FINDING_BAD_LINK, MENDED | NOT_ALONE},
        {"circle", circle, SHM_FINDING_BAD_LINK, MENDED},
        {"bad_hash", bad_hash, SHM_FINDING_BAD_HASH, MENDED},
        {"bad_name", bad_name, SHM_FINDING_BAD_NAME, MENDED | NOT_ALONE},
        {"name_twice", name_twice, SHM_FINDING_TWICE, MENDED | ENDED},
        {"unreachable", unreachable, SHM_FINDING_UNREACHABLE, MENDED},
        {"shut", shut, SHM_FINDING_UNREACHABLE, MENDED},
        {"no_phase", no_phase, SHM_FINDING_BAD_GROUP, IF_ALONE | NOT_ALONE},
        {"no_root", root_out_of_bounds, SHM_FINDING_BAD_GROUP, IF_ALONE | NOT_ALONE},
        {"group_owner", bad_owner_of_a_group, SHM_FINDING_BAD_OWNER, MENDED},
        {"orphan_group", orphan_group, SHM_FINDING_ORPHAN_CHANNEL, MENDED},
        {"no_cell", node_out_of_bounds, SHM_FINDING_BAD_MEMBER, IF_ALONE | NOT_ALONE},
        {"free_cell", node_of_nobody, SHM_FINDING_BAD_MEMBER, IF_ALONE | NOT_ALONE},
        {"tree_circle", node_in_a_circle, SHM_FINDING_BAD_MEMBER, IF_ALONE | NOT_ALONE},
        {"wrong_slot", member_in_a_wrong_slot, SHM_FINDING_BAD_MEMBER, IF_ALONE | NOT_ALONE},
        {"orphan_cell", orphan_cell, SHM_FINDING_ORPHAN_CELL, IF_ALONE},
        {"orphan_root", orphan_cell_of_a_tree, SHM_FINDING_ORPHAN_CELL, IF_ALONE},
        {"lost_cell", lost_cell, SHM_FINDING_LOST_CELL, IF_ALONE},
        {"ended_group", cell_of_an_ended_group, SHM_FINDING_LOST_CELL, IF_ALONE},
        {"garbage_cell", garbage_cell, SHM_FINDING_LOST_CELL, IF_ALONE},
        {"stale_hazard", stale_hazard, SHM_FINDING_STALE_HAZARD, MENDED},
        {"orphan_prefix", orphan_prefix, SHM_FINDING_ORPHAN_PREFIX, MENDED},
        {"orphan_metric", orphan_metric, SHM_FINDING_ORPHAN_METRIC, MENDED},
        {"orphan_listed", orphan_metric_in_the_directory, SHM_FINDING_ORPHAN_METRIC, MENDED},
        {"garbage_metric", garbage_metric, SHM_FINDING_ORPHAN_METRIC, MENDED},
        {"lost_metric", lost_metric, SHM_FINDING_LOST_METRIC, MENDED},
        {"free_metric", metric_that_is_free, SHM_FINDING_BAD_METRIC, MENDED},
        {"no_metric", metric_out_of_bounds, SHM_FINDING_BAD_METRIC, KEPT},
        {"no_kind", metric_of_no_kind, SHM_FINDING_BAD_METRIC, KEPT},
        {"unreachable_group", unreachable_group, SHM_FINDING_UNREACHABLE, MENDED},
        {"fifo_mode", fifo_with_a_wrong_mode, SHM_FINDING_BAD_FIFO, MENDED},
        {"no_fifo", file_in_place_of_a_fifo, SHM_FINDING_BAD_FIFO, MENDED},
        {"leftover", leftover, SHM_FINDING_LEFTOVER, MENDED},
        {"stranger", stranger, SHM_FINDING_STRANGER, KEPT},
};

// Alpha is found by its name, has its messages in order, and takes more.
static void expect_alpha_works(struct scene *scene, bool lossless)
{
	struct shm_ring ring;
	uint64_t value;

	EXPECT_INT(shm_table_make(&scene->a.table, "alpha", 100, 0, &ring), SHM_OK);
	for (uint64_t i = 3; lossless && i <= 5; i++) {
		EXPECT_INT(pop_number(&scene->a, &ring, &value), SHM_OK);
		EXPECT_INT(value, i);
	}
	while (pop_number(&scene->a, &ring, &value) == SHM_OK)
		;
	for (uint64_t i = 0; i < 300; i++) {
		EXPECT_INT(push_number(&scene->a, &ring, i), SHM_OK);
		EXPECT_INT(pop_number(&scene->a, &ring, &value), SHM_OK);
		EXPECT_INT(value, i);
	}
}

static void expect_found(unsigned i)
{
	struct report report = look();

	EXPECT_INT(report.found[damages[i].kind], 1);
	if (!(damages[i].outcome & NOT_ALONE))
		EXPECT_INT(report.total, 1);
}

static void expect_mended(struct scene *scene, unsigned i)
{
	struct report report = repair();
	int outcome = damages[i].outcome;

	EXPECT_INT(report.found[damages[i].kind], outcome & ATTACHED ? 0 : 1);
	if (!(outcome & MENDED)) {
		EXPECT(look().found[damages[i].kind] == 1 || outcome & ENDED);
		return;
	}
	EXPECT_INT(look().total, outcome & NOT_ALONE ? look().total : 0);
	EXPECT_INT(look().found[damages[i].kind], 0);
	EXPECT_INT(repair().found[damages[i].kind], 0);
	expect_alpha_works(scene, !(outcome & ENDED));
}

static void run_damage(unsigned i)
{
	struct scene scene;

	make_scene(&scene);
	EXPECT(!test_failed());
	EXPECT_INT(look().total, 0);
	damages[i].damage(&scene);
	expect_found(i);
	if (!test_failed())
		expect_mended(&scene, i);
	if (damages[i].kind == SHM_FINDING_SILENT)
		store_relaxed(&scene.a.self.mem->uid, scene.a.self.uid);
	detach(&scene.a);
	if (test_failed())
		return;
	if (damages[i].outcome & IF_ALONE) {
		for (int round = 0; round < 4 && look().total > 0;
		        round++) // one may uncover another
			(void)repair();
		EXPECT_INT(look().total, 0);
	}
	(void)unlinkat(AT_FDCWD, support_directory(), 0);
}

TEST(each_damage_is_found_and_mended_if_it_can_be)
{
	for (unsigned i = 0; i < sizeof damages / sizeof damages[0]; i++) {
		char core[512];

		run_damage(i);
		snprintf(core, sizeof core, "%s/core", support_directory());
		(void)unlink(core);
		if (test_failed())
			printf("# with the damage \"%s\"\n", damages[i].name);
		discard();
		EXPECT(!test_failed());
	}
}

// What a repair makes of a claim of nobody's on the scene's endpoint, whose block was SENT or not.
static void expect_settled(enum shm_will_state claim, bool sent, enum shm_will_state expected)
{
	uint32_t slot = SHM_UID_SLOT(NOBODY), handle = 7;
	struct scene scene;

	make_scene(&scene);
	if (sent)
		(void)shm_ring_look(&scene.alpha, shm_ring_tail(&scene.alpha) - 1, &handle);
	else
		store_relaxed(&shm_pool_block(&scene.a.pool, handle)->own, SHM_OWN_HELD(NOBODY));
	scribble_will(&scene, scene.endpoint, SHM_WILL(claim, slot, handle));
	EXPECT_INT(look().found[SHM_FINDING_ORPHAN_WILL], 1);
	(void)repair();
	EXPECT_INT(look().total, 0);
	EXPECT_INT(load_relaxed(&scene.a.segment.wills[scene.endpoint]), expected);
	detach(&scene.a);
	discard();
}

TEST(a_claim_of_nobody_is_settled_by_what_was_sent)
{
	expect_settled(SHM_WILL_SETTING, true, SHM_WILL_SET);
	expect_settled(SHM_WILL_SETTING, false, SHM_WILL_NONE);
	expect_settled(SHM_WILL_EXECUTING, true, SHM_WILL_NONE);
	expect_settled(SHM_WILL_EXECUTING, false, SHM_WILL_SET);
}

TEST(what_is_owed_by_nobody_is_left_to_be_adopted)
{
	struct scene scene;

	make_scene(&scene);
	lost_will(&scene);
	EXPECT_INT(shm_will_adopt(&scene.a.segment, scene.a.self.uid), SHM_HANDLE_NONE);
	EXPECT_INT(repair().repaired, 1);
	EXPECT_INT(shm_will_adopt(&scene.a.segment, scene.a.self.uid), 1);
	EXPECT_INT(shm_will_state(&scene.a.segment, 70), SHM_WILL_SET);
	detach(&scene.a);
	discard();
}

// ---------------------------------------------------------------------------------------------
// Wholly scribbled
// ---------------------------------------------------------------------------------------------

TEST(a_look_at_a_scribbled_segment_ends_and_a_repair_leaves_little)
{
	enum { SEEDS = 40, WORDS = 60, ROUNDS = 6 };

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct scene scene;
		uint64_t random = seed * 0x9e3779b97f4a7c15ull;
		struct report report;

		make_scene(&scene);
		EXPECT(!test_failed());
		for (int i = 0; i < WORDS; i++) {
			// Everything but the header; the messages' blocks are most of it.
			size_t end = i % 3 ? (size_t)(scene.a.segment.blocks[0] -
			                              (char *)scene.a.segment.base)
			                   : scene.a.segment.size;
			shm_atomic64 *word;

			random = random * 6364136223846793005ull + 1442695040888963407ull;
			word = (shm_atomic64 *)((char *)scene.a.segment.base +
			                        (4096 + (random >> 16) % (end - 4096)) / 8 * 8);
			// Words of another place are the likeliest to be mistaken for good ones.
			store_relaxed(word, i % 2 ? random : load_relaxed(word + (random & 7)));
		}
		leave(&scene.a);
		shm_segment_fini(&scene.a.segment);
		(void)look();
		for (int round = 0; round < ROUNDS; round++)
			(void)repair();
		report = look();
		// The rest is what only a receiver drops.
		EXPECT_INT(report.total, report.found[SHM_FINDING_MALFORMED]);
		EXPECT(!test_failed());
		attach(&scene.a);
		expect_alpha_works(&scene, false);
		detach(&scene.a);
		discard();
		EXPECT(!test_failed());
	}
}
