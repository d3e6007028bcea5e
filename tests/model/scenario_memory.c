// SPDX-License-Identifier: MIT
// Blocks, zones, extents; slots and reapers that die too.

#include "tests/model/support.h"

static void send_and_trim(struct model_own *own)
{
	support_send_2(own);
	shm_pool_trim(&own->pool);
}

MODEL_SCENARIO(zones) = {
        .name = "memory/zones",
        .intent =
                "a zone that is given back while its block is sent: the next owner leaves it alone",
        .processes = 3,
        .channels = 1,
        .zones = 2,
        .zone = 1,
        .setup = support_open_2,
        .run = {send_and_trim, support_send_1, support_receive_2},
        .audit = support_audit_all,
};

static void settle_between(struct model_own *own)
{
	for (uint64_t number = 1; number <= 2; number++) {
		(void)support_send(own, &own->ring[0], MESSAGE(support_number(own), number));
		shm_pool_settle(&own->pool);
	}
}

static void settle_after(struct model_own *own)
{
	support_send_1(own);
	shm_pool_settle(&own->pool);
}

MODEL_SCENARIO(scarce_zones) = {
        .name = "memory/scarce_zones",
        .intent = "two who keep no zone between their messages: one may die with that of the other",
        .processes = 3,
        .killable = 1,
        .kills = 1,
        .channels = 1,
        .zones = 2,
        .zone = 1,
        .setup = support_open_2,
        .run = {settle_between, settle_after, support_receive_1},
        .audit = support_audit_all,
};

static void reap_and_send(struct model_own *own)
{
	support_reap(own);
	support_send_1(own);
}

MODEL_SCENARIO(reaped_zones) = {
        .name = "memory/reaped_zones",
        .intent = "a zone of the dead is reaped while others send, receive and look for memory",
        .processes = 3,
        .killable = 1,
        .kills = 1,
        .channels = 1,
        .zones = 1,
        .zone = 2,
        .setup = support_open_2,
        .run = {support_send_1, reap_and_send, support_receive_2},
        .audit = support_audit_all,
};

static void reap_second(struct model_own *own)
{
	model_await_deaths(2);
	shm_reaper_run(&own->table, &own->reaped);
}

MODEL_SCENARIO(killed_reaper) = {
        .name = "memory/killed_reaper",
        .intent = "a reaper dies over its work, and the next one finishes it",
        .processes = 3,
        .killable = 3,
        .kills = 2,
        .channels = 1,
        .zones = 2,
        .zone = 1,
        .setup = support_open_2,
        .run = {support_send_2, support_reap, reap_second},
        .audit = support_audit_all,
};

static void reap_and_receive(struct model_own *own)
{
	support_reap(own);
	support_receive_1(own);
}

MODEL_SCENARIO(two_reapers) = {
        .name = "memory/two_reapers",
        .intent = "two who support_reap at the same time don't mend the same twice",
        .processes = 3,
        .killable = 1,
        .kills = 1,
        .channels = 1,
        .zones = 1,
        .zone = 2,
        .setup = support_open_2,
        .run = {support_send_1, reap_and_send, reap_and_receive},
        .audit = support_audit_all,
};

// Holds a message while its slot is used for the next one.
static void receive_and_lap(struct model_own *own)
{
	uint64_t mine = SHM_OWN_HELD(own->self.uid);
	struct shm_block_mem *block;
	uint32_t handle;

	if (shm_ring_pop(&own->ring[0], &own->pool, &handle) != SHM_OK)
		return;
	support_send_2(own);
	block = shm_pool_block(&own->pool, handle);
	MODEL_ASSERT(load_relaxed(&block->own) == mine);
	own->received[own->received_count++] = model_read(block->data);
	shm_pool_free(&own->pool, handle);
}

MODEL_SCENARIO(lapped_reaper) = {
        .name = "memory/lapped_reaper",
        .intent = "a message is received, and its slot used again, while its dead sender is reaped",
        .processes = 3,
        .killable = 1,
        .kills = 1,
        .channels = 1,
        .zones = 2,
        .zone = 2,
        .setup = support_open_2,
        .run = {support_send_1, support_reap, receive_and_lap},
        .audit = support_audit_all,
};

// ---------------------------------------------------------------------------------------------
// Slots
// ---------------------------------------------------------------------------------------------

static void join_and_send(struct model_own *own)
{
	model_await_deaths(1);
	model_attach(own);
	support_send_1(own);
}

static void audit_slots(struct model_own *auditor)
{
	MODEL_ASSERT(!model_arena.own[2].self.mem ||
	             model_arena.own[2].self.slot != model_arena.own[1].self.slot);
	support_audit_all(auditor);
}

static void open_for_late(void)
{
	struct model_own *own = model_arena.own;

	support_open("a", 0, 2);
	own[2].ring[0] = own[0].ring[0];
}

MODEL_SCENARIO(inherited_slot) = {
        .name = "memory/inherited_slot",
        .intent = "whoever gets a dead process's slot mends it, with a reaper at the same slot",
        .processes = 3,
        .killable = 1,
        .kills = 1,
        .late = 4,
        .channels = 1,
        .zones = 1,
        .zone = 2,
        .setup = open_for_late,
        .run = {support_send_1, support_reap, join_and_send},
        .audit = audit_slots,
};

static void detach(struct model_own *own)
{
	support_send_1(own);
	model_detach(own);
	own->self.mem = NULL;
}

MODEL_SCENARIO(killed_detacher) = {
        .name = "memory/killed_detacher",
        .intent = "a process may be killed while it detaches",
        .processes = 3,
        .killable = 1,
        .kills = 1,
        .channels = 1,
        .zones = 1,
        .zone = 2,
        .setup = support_open_2,
        .run = {detach, support_reap, support_receive_1},
        .audit = support_audit_all,
};

// ---------------------------------------------------------------------------------------------
// Extents
// ---------------------------------------------------------------------------------------------

#define EXTENT (65536 - (uint32_t)sizeof(struct shm_block_mem))

// A message of two extents; only their first words are written and read.
static void send_large(struct model_own *own)
{
	struct shm_buffer buffer;

	if (!shm_pool_alloc(&own->pool, EXTENT + 8, &buffer))
		return;
	for (uint32_t i = 0; i < buffer.count; i++)
		model_write(buffer.span[i].data, MESSAGE(support_number(own), 1));
	if (shm_ring_push(&own->ring[0], &own->pool, buffer.handle,
	            shm_pool_block(&own->pool, buffer.handle)) != SHM_OK)
		shm_pool_free(&own->pool, buffer.handle);
}

static void receive_large(struct model_own *own)
{
	struct shm_buffer buffer;
	uint32_t handle;

	if (shm_ring_pop(&own->ring[0], &own->pool, &handle) != SHM_OK)
		return;
	MODEL_ASSERT(shm_pool_view(&own->pool, handle, &buffer));
	MODEL_ASSERT(buffer.count == 2);
	MODEL_ASSERT(model_read(buffer.span[0].data) == model_read(buffer.span[1].data));
	shm_pool_free(&own->pool, handle);
}

static void send_2_large(struct model_own *own)
{
	send_large(own);
	send_large(own);
}

static void reap_and_send_large(struct model_own *own)
{
	support_reap(own);
	send_large(own);
}

static void audit_large(struct model_own *auditor)
{
	struct shm_ring *ring = &auditor->ring[0];
	struct shm_buffer buffer;
	uint32_t handle;

	while (shm_ring_pop(ring, &auditor->pool, &handle) == SHM_OK) {
		MODEL_ASSERT(shm_pool_view(&auditor->pool, handle, &buffer));
		MODEL_ASSERT(buffer.count == 2);
		MODEL_ASSERT(model_read(buffer.span[0].data) == model_read(buffer.span[1].data));
		shm_pool_free(&auditor->pool, handle);
	}
	shm_reaper_run(&auditor->table, &auditor->reaped);
	support_audit_all(auditor);
	MODEL_ASSERT(shm_pool_alloc(&auditor->pool, EXTENT + 8, &buffer));
}

MODEL_SCENARIO(killed_large_sender) = {
        .name = "memory/killed_large_sender",
        .intent = "extents of a dead sender come back once, or arrive whole",
        .processes = 3,
        .killable = 1,
        .kills = 1,
        .channels = 1,
        .zones = 2,
        .zone = 1,
        .large = 2,
        .setup = support_open_2,
        .run = {send_large, reap_and_send_large, receive_large},
        .audit = audit_large,
};

MODEL_SCENARIO(killed_large_receiver) = {
        .name = "memory/killed_large_receiver",
        .intent = "extents that a dead receiver held or was freeing come back once",
        .processes = 3,
        .killable = 4,
        .kills = 1,
        .consumers = 4,
        .channels = 1,
        .zones = 2,
        .zone = 2,
        .large = 2,
        .setup = support_open_2,
        .run = {send_2_large, support_reap, receive_large},
        .audit = audit_large,
};

// ---------------------------------------------------------------------------------------------
// Expiry
// ---------------------------------------------------------------------------------------------

static void send_dated(struct model_own *own)
{
	for (uint64_t i = 1; i <= 2; i++) {
		struct shm_buffer buffer;
		struct shm_block_mem *block;

		if (!shm_pool_alloc(&own->pool, 8, &buffer))
			return;
		block = shm_pool_block(&own->pool, buffer.handle);
		store_relaxed(&block->sent_at, i * 100);
		model_write(buffer.span[0].data, MESSAGE(support_number(own), i));
		if (shm_ring_push(&own->ring[0], &own->pool, buffer.handle, block) == SHM_OK)
			own->sent[own->sent_count++] = MESSAGE(support_number(own), i);
	}
}

// Nobody else receives, so only what is old enough may go.
static void expire(struct model_own *own)
{
	own->note[0] = shm_reaper_expire(&own->table, 150);
	MODEL_ASSERT(own->note[0] <= 1);
}

static void audit_expiry(struct model_own *auditor)
{
	uint32_t sent = model_arena.own[0].sent_count;

	model_arena.own[0].sent_count = 0;
	support_drain(auditor, &auditor->ring[0]);
	MODEL_ASSERT(auditor->received_count + model_arena.own[1].note[0] == sent);
	MODEL_ASSERT(auditor->received[auditor->received_count - 1] == MESSAGE(0, 2));
	support_audit_all(auditor);
}

MODEL_SCENARIO(expiry) = {
        .name = "memory/expiry",
        .intent = "a message that is old enough goes, a younger one stays",
        .processes = 2,
        .channels = 1,
        .zones = 1,
        .zone = 2,
        .setup = support_open_2,
        .run = {send_dated, expire},
        .audit = audit_expiry,
};
