// SPDX-License-Identifier: MIT
// Senders that make room for themselves, against receivers and against each other.

#include "shm/displace.h"
#include "tests/model/support.h"

static void send_displacing(struct model_own *own, enum shm_policy policy, uint64_t n)
{
	struct shm_buffer buffer;
	enum shm_result result;

	if (!shm_pool_alloc(&own->pool, sizeof(uint64_t), &buffer))
		return;
	model_write(buffer.span[0].data, MESSAGE(support_number(own), n));
	own->note[0] = 1;
	result = shm_displace_push(&own->table, &own->ring[0], policy, buffer.handle,
	        shm_pool_block(&own->pool, buffer.handle));
	MODEL_ASSERT(result == SHM_OK);
	own->note[0] = 0;
	own->sent[own->sent_count++] = MESSAGE(support_number(own), n);
}

static void send_1_oldest(struct model_own *own)
{
	send_displacing(own, SHM_DROP_OLDEST, 1);
}

static void send_2_oldest(struct model_own *own)
{
	send_displacing(own, SHM_DROP_OLDEST, 1);
	send_displacing(own, SHM_DROP_OLDEST, 2);
}

static void send_1_latest(struct model_own *own)
{
	send_displacing(own, SHM_KEEP_LATEST, 1);
}

static uint64_t counted(const struct model_own *auditor, enum shm_counter counter)
{
	uint64_t sum = 0;

	for (uint32_t slot = 0; slot < SHM_PROCESSES; slot++)
		sum += load_relaxed(&auditor->segment.processes[slot].counters[counter]);
	return sum;
}

static uint32_t all_received(const struct model_own *auditor)
{
	uint32_t count = 0;

	for (const struct model_own *own = model_arena.own; own <= auditor; own++)
		count += own->received_count;
	return count;
}

// Each message was received, or displaced and counted; with a death, perhaps counted twice, but never not at all, and
// what was in the dead one's hands to be sent is counted as well. The newest one can't have been displaced, so
// somebody has received it.
static void audit(struct model_own *auditor)
{
	uint32_t sent = 0, received;
	uint64_t displaced, lost;

	shm_reaper_run(&auditor->table, &auditor->reaped);
	support_drain(auditor, &auditor->ring[0]);
	for (struct model_own *own = model_arena.own; own < auditor; own++) {
		sent += own->sent_count + (uint32_t)own->note[0];
		own->sent_count = 0; // what is missing is judged here
	}
	received = all_received(auditor);
	displaced = counted(auditor, SHM_COUNT_DISPLACED);
	lost = counted(auditor, SHM_COUNT_LOST);
	MODEL_ASSERT(received + displaced + lost >= sent);
	if (model_deaths() == 0)
		MODEL_ASSERT(received + displaced == sent && received > 0);
	support_audit_all(auditor);
}

MODEL_SCENARIO(displace_and_receive) = {
        .name = "displace/receive",
        .intent = "a message that is displaced is not received, and each is one of both",
        .processes = 2,
        .channels = 1,
        .zones = 1,
        .zone = 2,
        .setup = support_open_1,
        .run = {send_2_oldest, support_receive_2},
        .audit = audit,
};

MODEL_SCENARIO(displace_two) = {
        .name = "displace/two_senders",
        .intent = "two senders and a receiver want the same message: one of them gets it",
        .processes = 3,
        .channels = 1,
        .zones = 2,
        .zone = 1,
        .setup = support_open_1,
        .run = {send_1_oldest, send_1_latest, support_receive_1},
        .audit = audit,
};

// A channel of two that is full, in the zone of the auditor.
static void fill_2(void)
{
	struct model_own *auditor = &model_arena.own[support_auditor()];

	support_open_2();
	MODEL_ASSERT(support_send(auditor, &auditor->ring[0], 1) == SHM_OK);
	MODEL_ASSERT(support_send(auditor, &auditor->ring[0], 2) == SHM_OK);
	auditor->sent_count = 0;
}

static void audit_two(struct model_own *auditor)
{
	MODEL_ASSERT(counted(auditor, SHM_COUNT_DISPLACED) == 2);
	support_drain(auditor, &auditor->ring[0]);
	MODEL_ASSERT(auditor->received_count == 2);
	support_audit_all(auditor);
}

MODEL_SCENARIO(displace_for_two) = {
        .name = "displace/for_two",
        .intent = "two senders who find a channel full displace one message each, the oldest",
        .processes = 2,
        .channels = 1,
        .zones = 3,
        .zone = 2,
        .setup = fill_2,
        .run = {send_1_oldest, send_1_oldest},
        .audit = audit_two,
};

static void audit_one(struct model_own *auditor)
{
	uint64_t displaced = counted(auditor, SHM_COUNT_DISPLACED);

	MODEL_ASSERT(displaced <= 1);
	support_drain(auditor, &auditor->ring[0]);
	MODEL_ASSERT(all_received(auditor) + displaced == 3);
	model_arena.own[0].sent_count = 0;
	support_audit_all(auditor);
}

MODEL_SCENARIO(displace_for_one) = {
        .name = "displace/for_one",
        .intent = "a sender displaces no more than it needs, while a receiver makes room as well",
        .processes = 2,
        .channels = 1,
        .zones = 3,
        .zone = 2,
        .setup = fill_2,
        .run = {send_1_oldest, support_receive_1},
        .audit = audit_one,
};

// Who looks at the counters meanwhile makes it matter when they are written.
static void count_and_reap(struct model_own *own)
{
	own->note[1] = counted(own, SHM_COUNT_DISPLACED);
	support_reap(own);
}

MODEL_SCENARIO(displace_killed) = {
        .name = "displace/killed",
        .intent = "what a killed sender was displacing comes back, and is counted",
        .processes = 3,
        .killable = 1,
        .kills = 1,
        .consumers = 1,
        .channels = 1,
        .zones = 1,
        .zone = 2,
        .setup = support_open_1,
        .run = {send_2_oldest, support_receive_1, count_and_reap},
        .audit = audit,
};
