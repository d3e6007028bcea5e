// SPDX-License-Identifier: MIT
// What is owed for a reply channel: "it is open", and then "it is over", both or neither, whoever dies.

#include "shm/will.h"
#include "tests/model/support.h"

#define CONNECT    MESSAGE(0, 1) // in ring 0
#define DISCONNECT MESSAGE(0, 2) // in ring 1, whoever sends it

// As send_ring() does in channel/send.c. Whether it was published.
static bool send_will(struct model_own *own, int which, enum shm_will_state state, uint64_t value)
{
	struct shm_buffer buffer;
	enum shm_result result;

	if (!shm_pool_alloc(&own->pool, sizeof value, &buffer))
		return false;
	model_write(buffer.span[0].data, value);
	shm_will_claim(&own->segment, 0, state, own->self.slot, buffer.handle);
	result = shm_ring_push(&own->ring[which], &own->pool, buffer.handle,
	        shm_pool_block(&own->pool, buffer.handle));
	shm_will_settle(&own->segment, 0, result == SHM_OK);
	if (result != SHM_OK)
		shm_pool_free(&own->pool, buffer.handle);
	return result == SHM_OK;
}

// Process 0 has endpoint 0 open.
static void open_reply(uint32_t room)
{
	struct model_own *own = model_arena.own;
	uint32_t scan = 0;

	support_open("c", 0, 2);
	support_open("d", 1, room);
	model_act_for(0);
	MODEL_ASSERT(shm_endpoint_take_zone(&own->segment, own->self.uid, &scan) == 0);
	own->note[3] = shm_endpoint_open(&own->segment, 0, 0, 1, 0);
	model_act_for(support_auditor());
}

static void open_quiet(void)
{
	open_reply(2);
}

// And has said so.
static void open_announced(void)
{
	open_reply(2);
	model_act_for(0);
	MODEL_ASSERT(send_will(model_arena.own, 0, SHM_WILL_SETTING, CONNECT));
	model_act_for(support_auditor());
}

// There is no room for what is owed, until the auditor's message is received.
static void open_full(void)
{
	struct model_own *auditor = &model_arena.own[support_auditor()];

	open_reply(1);
	model_act_for(0);
	MODEL_ASSERT(send_will(model_arena.own, 0, SHM_WILL_SETTING, CONNECT));
	model_act_for(support_auditor());
	MODEL_ASSERT(support_send(auditor, &auditor->ring[1], MESSAGE(3, 1)) == SHM_OK);
}

static void announce(struct model_own *own)
{
	(void)send_will(own, 0, SHM_WILL_SETTING, CONNECT);
}

static void farewell(struct model_own *own)
{
	(void)shm_endpoint_close(&own->segment, 0, own->note[3]);
	(void)send_will(own, 1, SHM_WILL_EXECUTING, DISCONNECT);
}

// As channel_wills_execute() does in channel/reply.c.
static void execute(struct model_own *own)
{
	uint32_t zone = shm_will_adopt(&own->segment, own->self.uid);

	if (zone == SHM_HANDLE_NONE)
		return;
	if (shm_will_state(&own->segment, 0) == SHM_WILL_SET)
		(void)send_will(own, 1, SHM_WILL_EXECUTING, DISCONNECT);
	shm_will_release(&own->segment, zone);
}

static void inherit(struct model_own *own)
{
	support_reap(own);
	execute(own);
}

static void receive_farewell(struct model_own *own)
{
	(void)support_receive(own, &own->ring[1]);
}

static uint32_t times(const struct model_own *auditor, uint64_t value)
{
	uint32_t count = 0;

	for (const struct model_own *own = model_arena.own; own <= auditor; own++)
		for (uint32_t i = 0; i < own->received_count; i++)
			count += own->received[i] == value;
	return count;
}

// All have ended, and whoever is left has executed what is owed.
static void audit(struct model_own *auditor)
{
	shm_reaper_run(&auditor->table, &auditor->reaped);
	support_drain(auditor, &auditor->ring[0]);
	support_drain(auditor, &auditor->ring[1]);
	support_settle(auditor);
	execute(auditor);
	support_drain(auditor, &auditor->ring[1]);
	MODEL_ASSERT(shm_will_state(&auditor->segment, 0) == SHM_WILL_NONE);
	MODEL_ASSERT(times(auditor, CONNECT) <= 1);
	MODEL_ASSERT(times(auditor, DISCONNECT) == times(auditor, CONNECT));
	support_audit_all(auditor);
}

MODEL_SCENARIO(will_announce) = {
        .name = "will/announce",
        .intent = "an announcement is followed by the end, or never was, if both its maker and the "
                  "heir die",
        .processes = 2,
        .killable = 3,
        .kills = 2,
        .channels = 2,
        .endpoint_zones = 1,
        .zones = 3,
        .zone = 2,
        .setup = open_quiet,
        .run = {announce, inherit},
        .audit = audit,
};

MODEL_SCENARIO(will_received) = {
        .name = "will/received",
        .intent = "the same, while the announcement is received and its memory freed",
        .processes = 3,
        .killable = 3,
        .kills = 2,
        .channels = 2,
        .endpoint_zones = 1,
        .zones = 3,
        .zone = 2,
        .stale = 1,
        .setup = open_quiet,
        .run = {announce, inherit, support_receive_1},
        .audit = audit,
};

MODEL_SCENARIO(will_farewell) = {
        .name = "will/farewell",
        .intent = "an end is told once, though who tells it dies, and the heir",
        .processes = 2,
        .killable = 3,
        .kills = 2,
        .channels = 2,
        .endpoint_zones = 1,
        .zones = 3,
        .zone = 2,
        .setup = open_announced,
        .run = {farewell, inherit},
        .audit = audit,
};

MODEL_SCENARIO(will_two_heirs) = {
        .name = "will/two_heirs",
        .intent = "the same with two heirs at a time",
        .processes = 3,
        .killable = 1,
        .kills = 1,
        .channels = 2,
        .endpoint_zones = 1,
        .zones = 4,
        .zone = 2,
        .stale = 1,
        .setup = open_announced,
        .run = {farewell, inherit, inherit},
        .audit = audit,
};

// A receiver may die with the message in its hands, so it isn't killed here.
MODEL_SCENARIO(will_no_room) = {
        .name = "will/no_room",
        .intent = "what finds no room is owed until it does",
        .processes = 3,
        .killable = 3,
        .kills = 2,
        .channels = 2,
        .endpoint_zones = 1,
        .zones = 4,
        .zone = 2,
        .stale = 1,
        .setup = open_full,
        .run = {farewell, inherit, receive_farewell},
        .audit = audit,
};
