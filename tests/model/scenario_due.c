// SPDX-License-Identifier: MIT
// Messages that wait for their time, and the word that says when the earliest is due.

#include "shm/due.h"
#include "tests/model/support.h"

enum {
	NOW = 10,
	BEFORE = 5, // due
	AFTER = 20, // not yet
};

// As channel/send.c does it. The message N of this process.
static void send_for(struct model_own *own, uint64_t n, int64_t ms)
{
	uint64_t value = MESSAGE(support_number(own), n);
	struct shm_buffer buffer;
	struct shm_block_mem *block;

	if (!shm_pool_alloc(&own->pool, sizeof value, &buffer))
		return;
	model_write(buffer.span[0].data, value);
	block = shm_pool_block(&own->pool, buffer.handle);
	store_relaxed(&block->sent_at, SHM_DUE(ms, 0));
	if (shm_ring_push(&own->ring[0], &own->pool, buffer.handle, block) != SHM_OK) {
		shm_pool_free(&own->pool, buffer.handle);
		return;
	}
	own->sent[own->sent_count++] = value;
	shm_due_lower(own->segment.housekeeping, (uint64_t)ms);
}

// As channel/delay.c does it: what it would send on counts as received.
static void deliver(struct model_own *own, bool anyhow)
{
	struct shm_waiting list[2];
	uint64_t later;
	uint32_t count;

	if (!shm_due_take(own->segment.housekeeping, NOW, anyhow))
		return;
	count = shm_ring_list(
	        &own->ring[0], &own->pool, SHM_DUE(NOW, SHM_DUE_ORDER_MAX), list, 2, &later);
	MODEL_ASSERT(count <= 2);
	for (uint32_t i = 0; i < count; i++) {
		struct shm_buffer buffer;

		if (!shm_ring_claim(&own->ring[0], &own->pool, &list[i]))
			continue;
		MODEL_ASSERT(shm_pool_view(&own->pool, list[i].handle, &buffer));
		MODEL_ASSERT(list[i].time == SHM_DUE(BEFORE, 0));
		own->received[own->received_count++] = model_read(buffer.span[0].data);
		shm_pool_free(&own->pool, list[i].handle);
	}
	shm_due_lower(own->segment.housekeeping,
	        later == UINT64_MAX ? SHM_DUE_NEVER : (uint64_t)SHM_DUE_MS(later));
}

static void send_due(struct model_own *own)
{
	send_for(own, 1, BEFORE);
}

static void send_undue(struct model_own *own)
{
	send_for(own, 1, AFTER);
}

// The first one waits, in front of the second, which is due; their numbers are in the order of delivery.
static void send_both(struct model_own *own)
{
	send_for(own, 2, AFTER);
	send_for(own, 1, BEFORE);
}

static void deliver_1(struct model_own *own)
{
	deliver(own, false);
}

static void deliver_2(struct model_own *own)
{
	deliver(own, false);
	deliver(own, false);
}

static void deliver_anyhow(struct model_own *own)
{
	deliver(own, true);
}

static void deliver_after_a_death(struct model_own *own)
{
	model_await_deaths(1);
	shm_reaper_run(&own->table, &own->reaped);
	deliver(own, true);
}

// The word isn't later than what waits, so nothing waits that nobody will look for.
static void audit_due(struct model_own *auditor)
{
	uint64_t due = load_relaxed(&auditor->segment.housekeeping->due), later;
	struct shm_waiting list[2];
	uint32_t count = shm_ring_list(&auditor->ring[0], &auditor->pool,
	        SHM_DUE(NOW, SHM_DUE_ORDER_MAX), list, 2, &later);

	MODEL_ASSERT(count == 0 || due <= BEFORE);
	MODEL_ASSERT(later == UINT64_MAX || due <= AFTER);
	// What is delivered last was to be.
	deliver(auditor, true);
	support_audit_all(auditor);
}

MODEL_SCENARIO(lowered) = {
        .name = "due/lowered",
        .intent = "whatever is sent while another delivers, the word is not later than it",
        .processes = 3,
        .channels = 1,
        .zones = 2,
        .zone = 1,
        .setup = support_open_2,
        .run = {send_due, send_undue, deliver_1},
        .audit = audit_due,
};

MODEL_SCENARIO(in_the_middle) = {
        .name = "due/in_the_middle",
        .intent = "what is due is delivered once, also behind what isn't",
        .processes = 2,
        .channels = 1,
        .zones = 1,
        .zone = 2,
        .setup = support_open_2,
        .run = {send_both, deliver_2},
        .audit = audit_due,
};

MODEL_SCENARIO(two_deliver) = {
        .name = "due/two_deliver",
        .intent = "two who deliver at a time deliver each message once, and lose none",
        .processes = 3,
        .channels = 1,
        .zones = 1,
        .zone = 2,
        .setup = support_open_2,
        .run = {send_both, deliver_1, deliver_anyhow},
        .audit = audit_due,
};

MODEL_SCENARIO(killed_sender) = {
        .name = "due/killed_sender",
        .intent = "what a killed sender had published is found by the next round",
        .processes = 3,
        .killable = 1,
        .kills = 1,
        .channels = 1,
        .zones = 1,
        .zone = 2,
        .setup = support_open_2,
        .run = {send_both, deliver_1, deliver_after_a_death},
        .audit = audit_due,
};

MODEL_SCENARIO(killed_deliverer) = {
        .name = "due/killed_deliverer",
        .intent = "who dies delivering loses what he had in hand, and nothing else",
        .processes = 3,
        .killable = 2,
        .kills = 1,
        .consumers = 2,
        .channels = 1,
        .zones = 1,
        .zone = 2,
        .setup = support_open_2,
        .run = {send_both, deliver_1, deliver_after_a_death},
        .audit = audit_due,
};
