// SPDX-License-Identifier: MIT
// A channel ends, and its index serves another one, under the feet of who uses it.

#include "tests/model/support.h"

enum {
	ROUNDS = 3, // of making a channel anew that ends again
	FIRST = 0,
	SECOND = 1,
};

// As channel/send.c does it: a channel that has ended is made anew.
static void send_by_name(struct model_own *own, const char *name, uint64_t value)
{
	struct shm_ring *ring = &own->ring[0];
	enum shm_result result = support_send(own, ring, value);

	for (int round = 0; round < ROUNDS && result == SHM_CLOSED; round++) {
		shm_table_unlink(&own->table, ring);
		if (shm_table_make(&own->table, name, 2, 0, ring) == SHM_OK)
			result = support_send(own, ring, value);
	}
	MODEL_ASSERT(result != SHM_CORRUPT);
}

static void send_to_a(struct model_own *own)
{
	send_by_name(own, "a", MESSAGE(support_number(own), 1));
}

static void send_2_to_a(struct model_own *own)
{
	send_by_name(own, "a", MESSAGE(support_number(own), 1));
	send_by_name(own, "a", MESSAGE(support_number(own), 2));
}

static void receive_from_a(struct model_own *own)
{
	struct shm_ring *ring = &own->ring[0];

	for (int tries = 0; tries < 2; tries++) {
		if (support_receive(own, ring) != SHM_CLOSED)
			continue;
		shm_table_unlink(&own->table, ring);
		if (shm_table_make(&own->table, "a", 2, 0, ring) != SHM_OK)
			break;
	}
}

static void end_a(struct model_own *own)
{
	own->note[0] = shm_table_end(&own->table, &own->ring[0], false, NULL);
}

MODEL_SCENARIO(end_against_send) = {
        .name = "close/end_against_send",
        .intent = "a message sent while its idle channel ends is in the old one or in the new",
        .processes = 3,
        .channels = 2,
        .zones = 1,
        .zone = 2,
        .setup = support_open_2,
        .run = {send_2_to_a, end_a, receive_from_a},
        .audit = support_audit_all,
};

MODEL_SCENARIO(end_against_end) = {
        .name = "close/end_against_end",
        .intent = "a channel ends once, whoever ends it, and a sender makes it anew",
        .processes = 3,
        .channels = 2,
        .zones = 1,
        .zone = 1,
        .setup = support_open_2,
        .run = {end_a, end_a, send_to_a},
        .audit = support_audit_all,
};

MODEL_SCENARIO(killed_ender) = {
        .name = "close/killed_ender",
        .intent = "what a killed process had begun to end is ended or live, and works",
        .processes = 3,
        .killable = 1,
        .kills = 1,
        .channels = 2,
        .zones = 1,
        .zone = 1,
        .setup = support_open_2,
        .run = {end_a, send_to_a, support_reap},
        .audit = support_audit_all,
};

// ---------------------------------------------------------------------------------------------
// The only index, reused
// ---------------------------------------------------------------------------------------------

// Ends "a", makes "b" of the same ring, and fills it: all slots are of a later cycle.
static void replace_a_by_b(struct model_own *own)
{
	struct shm_ring ring;

	if (shm_table_end(&own->table, &own->ring[0], false, NULL) != SHM_OK)
		return;
	if (shm_table_make(&own->table, "b", 2, 0, &ring) != SHM_OK)
		return;
	own->note[0] = 1;
	MODEL_ASSERT(support_send(own, &ring, MESSAGE(0, 1)) == SHM_OK);
	MODEL_ASSERT(support_send(own, &ring, MESSAGE(0, 2)) == SHM_OK);
	MODEL_ASSERT(support_receive(own, &ring) == SHM_OK);
	MODEL_ASSERT(own->received[0] == MESSAGE(0, 1));
}

static void send_through_the_old_handle(struct model_own *own)
{
	(void)support_send(own, &own->ring[0], MESSAGE(support_number(own), 1));
}

static void receive_through_the_old_handle(struct model_own *own)
{
	(void)support_receive(own, &own->ring[0]);
	for (uint32_t i = 0; i < own->received_count; i++)
		MODEL_ASSERT(own->received[i] >> 8 != 1);
}

// What is in "b" was sent to "b".
static void audit_b(struct model_own *auditor)
{
	struct shm_ring ring;

	if (shm_table_find(&auditor->table, "b", &ring) == SHM_OK) {
		support_drain(auditor, &ring);
		for (uint32_t i = 0; i < auditor->received_count; i++)
			MODEL_ASSERT(auditor->received[i] >> 8 == 1);
	}
	support_audit_all(auditor);
}

MODEL_SCENARIO(old_producer) = {
        .name = "close/old_producer",
        .intent = "a producer that still has the old handle publishes nothing in the new channel",
        .processes = 2,
        .channels = 1,
        .zones = 2,
        .zone = 3,
        .setup = support_open_2,
        .run = {replace_a_by_b, send_through_the_old_handle},
        .audit = audit_b,
};

MODEL_SCENARIO(old_consumer) = {
        .name = "close/old_consumer",
        .intent = "a consumer that still has the old handle takes nothing from the new channel",
        .processes = 3,
        .channels = 1,
        .zones = 2,
        .zone = 3,
        .setup = support_open_2,
        .run = {replace_a_by_b, send_through_the_old_handle, receive_through_the_old_handle},
        .audit = audit_b,
};

// ---------------------------------------------------------------------------------------------
// Streams
// ---------------------------------------------------------------------------------------------

static void open_stream(void)
{
	struct model_own *own = model_arena.own;
	int auditor = 3;

	for (int i = 0; i < 2; i++) {
		model_act_for(i);
		MODEL_ASSERT(shm_table_make(&own[i].table, "s", 2, own[0].self.uid,
		                     &own[i].ring[0]) == SHM_OK);
	}
	model_act_for(auditor);
}

static void end_stream(struct model_own *own)
{
	uint64_t dropped = 0;

	MODEL_ASSERT(shm_table_end(&own->table, &own->ring[0], true, &dropped) == SHM_OK);
	own->note[0] = dropped;
}

static void audit_stream(struct model_own *auditor)
{
	struct shm_ring ring;

	// What it drops isn't lost by the ring.
	model_arena.own[1].sent_count = 0;
	support_settle(auditor);
	MODEL_ASSERT(shm_table_find(&auditor->table, "s", &ring) == SHM_EMPTY);
	support_audit_all(auditor);
}

MODEL_SCENARIO(killed_maker) = {
        .name = "close/killed_maker",
        .intent = "a stream ends with its maker, whether he ends it or is killed",
        .processes = 3,
        .killable = 1,
        .kills = 1,
        .channels = 1,
        .zones = 1,
        .zone = 1,
        .setup = open_stream,
        .run = {end_stream, send_through_the_old_handle, support_reap},
        .audit = audit_stream,
};
