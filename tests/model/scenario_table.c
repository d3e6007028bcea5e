// SPDX-License-Identifier: MIT
// Names: channels made, found and ended at the same time. There are two buckets: "a", "c" and "e" are in one, "b" is in
// the other.

#include "tests/model/support.h"

static void open_nothing(void)
{
}

static void make(struct model_own *own, const char *name)
{
	own->note[0] = shm_table_make(&own->table, name, 2, 0, &own->ring[0]);
}

static void make_a(struct model_own *own)
{
	make(own, "a");
}

static void make_c(struct model_own *own)
{
	make(own, "c");
}

static void make_and_find_a(struct model_own *own)
{
	struct shm_ring ring;

	make(own, "a");
	if (own->note[0] != SHM_OK)
		return;
	MODEL_ASSERT(shm_table_find(&own->table, "a", &ring) == SHM_OK);
	MODEL_ASSERT(ring.id == own->ring[0].id && ring.generation == own->ring[0].generation);
}

static void find_a(struct model_own *own)
{
	own->note[0] = shm_table_find(&own->table, "a", &own->ring[0]);
	if (own->note[0] == SHM_OK)
		(void)support_send(own, &own->ring[0], MESSAGE(own - model_arena.own, 1));
}

static void end_ring(struct model_own *own)
{
	own->note[0] = shm_table_end(&own->table, &own->ring[0], false, NULL);
}

static void end_second_ring(struct model_own *own)
{
	own->note[0] = shm_table_end(&own->table, &own->ring[1], false, NULL);
}

// All who found or made it have the same one, and who made another in vain has let go of it.
static void audit_same(struct model_own *auditor)
{
	const struct shm_ring *known = NULL;

	for (uint32_t index = 0; index < auditor->segment.channels; index++)
		MODEL_ASSERT(
		        load_relaxed(&auditor->segment.channel[index].owner) <= SHM_CHANNEL_LIVE);

	for (const struct model_own *own = model_arena.own; own < auditor; own++) {
		if (!own->ring[0].mem || own->note[0] != SHM_OK)
			continue;
		MODEL_ASSERT(!known || (known->id == own->ring[0].id &&
		                               known->generation == own->ring[0].generation));
		known = &own->ring[0];
	}
	support_audit_all(auditor);
}

static void open_a_and_c(void)
{
	support_open("a", 0, 2);
	support_open("c", 1, 2);
}

MODEL_SCENARIO(make_and_make) = {
        .name = "table/make_and_make",
        .intent = "a name is there once, however many make it",
        .processes = 3,
        .channels = 3,
        .zones = 1,
        .zone = 1,
        .setup = open_nothing,
        .run = {make_and_find_a, make_a, find_a},
        .audit = audit_same,
};

MODEL_SCENARIO(make_two) = {
        .name = "table/make_two",
        .intent = "two names at the head of one bucket: neither is lost",
        .processes = 3,
        .channels = 3,
        .zones = 1,
        .zone = 1,
        .setup = open_nothing,
        .run = {make_and_find_a, make_c, find_a},
        .audit = support_audit_all,
};

MODEL_SCENARIO(end_neighbours) = {
        .name = "table/end_neighbours",
        .intent = "neighbours in a list end at the same time as a third is looked for and made",
        .processes = 3,
        .channels = 3,
        .zones = 1,
        .zone = 1,
        .setup = open_a_and_c,
        .run = {end_ring, end_second_ring, make_a},
        .audit = support_audit_all,
};

MODEL_SCENARIO(end_and_make) = {
        .name = "table/end_and_make",
        .intent = "a name that ends while it is made is there once, or not at all",
        .processes = 3,
        .channels = 2,
        .zones = 1,
        .zone = 1,
        .setup = support_open_2,
        .run = {end_ring, make_a, make_c},
        .audit = support_audit_all,
};

static void open_three(void)
{
	open_a_and_c();
	support_open("e", 1, 2);
	support_open("c", 1, 2); // for ring[1], as it was
}

static void must_find_a(struct model_own *own)
{
	MODEL_ASSERT(shm_table_find(&own->table, "a", &own->ring[0]) == SHM_OK);
}

static void replace_c_by_b(struct model_own *own)
{
	if (shm_table_end(&own->table, &own->ring[1], false, NULL) == SHM_OK)
		MODEL_ASSERT(shm_table_make(&own->table, "b", 2, 0, &own->ring[1]) == SHM_OK);
}

MODEL_SCENARIO(reused_neighbour) = {
        .name = "table/reused_neighbour",
        .intent = "a name behind one that goes to another bucket meanwhile is found",
        .processes = 2,
        .channels = 3,
        .zones = 1,
        .zone = 1,
        .setup = open_three,
        .run = {must_find_a, replace_c_by_b},
        .audit = support_audit_all,
};

MODEL_SCENARIO(killed_maker) = {
        .name = "table/killed_maker",
        .intent = "a channel that its maker died over is live or free",
        .processes = 3,
        .killable = 1,
        .kills = 1,
        .channels = 2,
        .zones = 1,
        .zone = 1,
        .setup = open_nothing,
        .run = {make_a, make_a, support_reap},
        .audit = support_audit_all,
};

// ---------------------------------------------------------------------------------------------
// Waiter bits
// ---------------------------------------------------------------------------------------------

static void listen_to_a(struct model_own *own)
{
	own->note[0] = shm_table_listen(&own->table, &own->ring[0], own->self.slot);
}

static void replace_a_by_b(struct model_own *own)
{
	if (shm_table_end(&own->table, &own->ring[0], false, NULL) == SHM_OK)
		own->note[0] = shm_table_make(&own->table, "b", 2, 0, &own->ring[1]) == SHM_OK;
}

static void audit_bits(struct model_own *auditor)
{
	const struct model_own *listener = &model_arena.own[0];
	uint64_t bits = load_relaxed(&auditor->segment.channel[0].receivers[0]);

	MODEL_ASSERT(!(bits >> listener->self.slot & 1) || listener->note[0]);
	MODEL_ASSERT(!(bits >> listener->self.slot & 1) || !model_arena.own[1].note[0]);
	support_audit_all(auditor);
}

MODEL_SCENARIO(listen_and_end) = {
        .name = "table/listen_and_end",
        .intent = "a listener's bit doesn't get into the channel that comes next",
        .processes = 2,
        .channels = 1,
        .zones = 1,
        .zone = 1,
        .setup = support_open_2,
        .run = {listen_to_a, replace_a_by_b},
        .audit = audit_bits,
};
