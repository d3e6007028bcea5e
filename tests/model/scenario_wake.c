// SPDX-License-Identifier: MIT
// Sleeping and waking, in the order of channel/receive.c (sleep_once) and channel/send.c: no sleep here
// ends by itself unless somebody has died, so who is asleep at the end has been forgotten.

#include "tests/model/support.h"

enum {
	TRIES = 12, // naps; each ends with a wake-up, so there are few
};

static void ring_listeners(struct model_own *own)
{
	uint64_t bits = load_seq_cst(&own->segment.channel[own->ring[0].id].receivers[0]);

	for (int messages = 1; bits && messages > 0; bits &= bits - 1)
		messages -= shm_doorbell_wake(&own->bell, (uint32_t)__builtin_ctzll(bits));
}

static enum shm_result receive_one(struct model_own *own)
{
	shm_atomic64 *senders = &own->segment.channel[own->ring[0].id].senders;
	enum shm_result result = support_receive(own, &own->ring[0]);

	if (result == SHM_OK && load_seq_cst(senders) != 0)
		support_nudge(own, exchange_seq_cst(senders, 0));
	return result;
}

// Receives one message, asleep while there is none.
static void receive_asleep(struct model_own *own)
{
	for (int tries = 0; receive_one(own) != SHM_OK; tries++) {
		MODEL_ASSERT(tries < TRIES);
		shm_doorbell_drowse(&own->bell, SHM_ASLEEP_FUTEX);
		if (support_was_nudged(own)) {
			shm_doorbell_awake(&own->bell);
			continue;
		}
		if (receive_one(own) == SHM_OK) {
			shm_doorbell_awake(&own->bell);
			return;
		}
		(void)shm_doorbell_wait(&own->bell, SHM_ASLEEP_FUTEX, -1);
		(void)support_was_nudged(own);
	}
}

// Only where it is known that somebody sends. After a death, only what has come.
static void listen_and_receive_1(struct model_own *own)
{
	MODEL_ASSERT(shm_table_listen(&own->table, &own->ring[0], own->self.slot));
	receive_asleep(own);
}

static void listen_and_receive_2(struct model_own *own)
{
	listen_and_receive_1(own);
	receive_asleep(own);
}

static void send_and_wake(struct model_own *own, uint64_t n)
{
	if (support_send(own, &own->ring[0], MESSAGE(support_number(own), n)) == SHM_OK)
		ring_listeners(own);
}

static void send_1(struct model_own *own)
{
	send_and_wake(own, 1);
}

static void send_2(struct model_own *own)
{
	send_and_wake(own, 1);
	send_and_wake(own, 2);
}

MODEL_SCENARIO(one_receiver) = {
        .name = "wake/one_receiver",
        .intent = "a receiver that sleeps is woken for each of two messages",
        .processes = 2,
        .channels = 1,
        .zones = 1,
        .zone = 2,
        .setup = support_open_2,
        .run = {send_2, listen_and_receive_2},
        .audit = support_audit_awake,
};

MODEL_SCENARIO(two_senders) = {
        .name = "wake/two_senders",
        .intent = "two senders and a receiver of both messages: it is woken for each",
        .processes = 3,
        .channels = 1,
        .zones = 2,
        .zone = 1,
        .setup = support_open_2,
        .run = {send_1, send_1, listen_and_receive_2},
        .audit = support_audit_awake,
};

MODEL_SCENARIO(two_receivers) = {
        .name = "wake/two_receivers",
        .intent = "two messages wake two sleepers, whoever is woken first",
        .processes = 3,
        .channels = 1,
        .zones = 1,
        .zone = 2,
        .setup = support_open_2,
        .run = {send_2, listen_and_receive_1, listen_and_receive_1},
        .audit = support_audit_awake,
};

// ---------------------------------------------------------------------------------------------
// Room
// ---------------------------------------------------------------------------------------------

// Sends, asleep while the channel is full. As send_ring() and send_waiting() do it.
static void send_asleep(struct model_own *own, uint64_t n)
{
	uint64_t value = MESSAGE(support_number(own), n);

	for (int tries = 0;; tries++) {
		enum shm_result result = support_send(own, &own->ring[0], value);

		MODEL_ASSERT(tries < TRIES);
		if (result == SHM_FULL) {
			(void)fetch_or_seq_cst(&own->segment.channel[own->ring[0].id].senders,
			        1ull << own->self.slot % 64);
			result = support_send(own, &own->ring[0], value);
		}
		if (result == SHM_OK) {
			ring_listeners(own);
			return;
		}
		support_sleep_for_room(own);
	}
}

static void send_1_asleep(struct model_own *own)
{
	send_asleep(own, 1);
}

static void send_2_asleep(struct model_own *own)
{
	send_asleep(own, 1);
	send_asleep(own, 2);
}

static void receive_1_awake(struct model_own *own)
{
	(void)receive_one(own);
}

static void open_full(void)
{
	struct model_own *own = model_arena.own;

	support_open("a", 0, 1);
	model_act_for(2);
	MODEL_ASSERT(support_send(&own[2], &own[2].ring[0], MESSAGE(2, 1)) == SHM_OK);
}

MODEL_SCENARIO(room) = {
        .name = "wake/room",
        .intent = "a sender that sleeps before a full channel learns of the room that comes",
        .processes = 2,
        .channels = 1,
        .zones = 2,
        .zone = 2,
        .setup = open_full,
        .run = {send_1_asleep, receive_1_awake},
        .audit = support_audit_awake,
};

MODEL_SCENARIO(room_for_two) = {
        .name = "wake/room_for_two",
        .intent = "two senders sleep before a channel of one message, and both get through",
        .processes = 3,
        .channels = 1,
        .zones = 2,
        .zone = 2,
        .setup = support_open_1,
        .run = {send_1_asleep, send_1_asleep, listen_and_receive_2},
        .audit = support_audit_awake,
};

MODEL_SCENARIO(both_asleep) = {
        .name = "wake/both_asleep",
        .intent =
                "a sender before a full channel and a receiver before an empty one wake each other",
        .processes = 2,
        .channels = 1,
        .zones = 1,
        .zone = 2,
        .setup = support_open_1,
        .run = {send_2_asleep, listen_and_receive_2},
        .audit = support_audit_awake,
};

// ---------------------------------------------------------------------------------------------
// Death of who would wake
// ---------------------------------------------------------------------------------------------

// Receives what there is; wakes up once too often when nothing comes any more.
static void receive_what_comes(struct model_own *own)
{
	MODEL_ASSERT(shm_table_listen(&own->table, &own->ring[0], own->self.slot));
	for (int naps = 0; naps < 2 && own->received_count < 2; naps++) {
		if (receive_one(own) == SHM_OK)
			continue;
		shm_doorbell_drowse(&own->bell, SHM_ASLEEP_FUTEX);
		if (receive_one(own) == SHM_OK) {
			shm_doorbell_awake(&own->bell);
			continue;
		}
		(void)shm_doorbell_wait(&own->bell, SHM_ASLEEP_FUTEX, -1);
	}
}

MODEL_SCENARIO(killed_waker) = {
        .name = "wake/killed_waker",
        .intent = "a sender dies between its message and its wake-up: the nap ends, and the "
                  "message is there",
        .processes = 2,
        .killable = 1,
        .kills = 1,
        .channels = 1,
        .zones = 1,
        .zone = 2,
        .setup = support_open_2,
        .run = {send_2, receive_what_comes},
        .audit = support_audit_awake,
};
