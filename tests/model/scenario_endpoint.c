// SPDX-License-Identifier: MIT
// Ends of reply channels: sequence numbers, credit, closing and reuse.

#include "tests/model/support.h"

static uint64_t generation_of(const struct model_own *own)
{
	return own->note[3];
}

// Process 0 owns endpoint 0, open with a window of WINDOW; all know its generation.
static void open_window(uint32_t window)
{
	struct model_own *own = model_arena.own;
	uint32_t scan = 0;
	uint64_t generation;
	int auditor = support_auditor();

	model_act_for(0);
	MODEL_ASSERT(shm_endpoint_take_zone(&own->segment, own->self.uid, &scan) == 0);
	generation = shm_endpoint_open(&own->segment, 0, 0, window, 0);
	for (int i = 0; i < auditor; i++)
		own[i].note[3] = generation;
	model_act_for(auditor);
}

static void open_2(void)
{
	open_window(2);
}

static void open_1(void)
{
	open_window(1);
}

// Takes a number and notes it; the n-th bit of note[0] for number n.
static enum shm_result take(struct model_own *own)
{
	uint32_t sequence;
	enum shm_result result = shm_endpoint_take(&own->segment, 0, generation_of(own), &sequence);

	if (result == SHM_OK)
		own->note[0] |= 1ull << sequence;
	own->note[1] += result == SHM_OK;
	return result;
}

static void take_1(struct model_own *own)
{
	(void)take(own);
}

static void take_2(struct model_own *own)
{
	take_1(own);
	take_1(own);
}

static void take_and_give_back(struct model_own *own)
{
	uint32_t sequence;

	if (shm_endpoint_take(&own->segment, 0, generation_of(own), &sequence) == SHM_OK)
		shm_endpoint_untake(&own->segment, 0, generation_of(own), sequence);
}

static void grant_3(struct model_own *own)
{
	(void)shm_endpoint_grant(&own->segment, 0, 3);
}

// Closes and opens again, with one number to take.
static void reopen(struct model_own *own)
{
	(void)shm_endpoint_close(&own->segment, 0, generation_of(own));
	own->note[2] = shm_endpoint_open(&own->segment, 0, 0, 1, 0);
}

static void audit_numbers(struct model_own *auditor)
{
	const struct model_own *own = model_arena.own;
	uint64_t taken = 0, all = 0;
	uint32_t next = shm_endpoint_next(&auditor->segment, 0);

	for (const struct model_own *each = own; each < auditor; each++) {
		taken += each->note[1];
		all |= each->note[0];
	}
	MODEL_ASSERT((uint64_t)__builtin_popcountll(all) == taken); // no number twice
	if (own->note[2]) {
		MODEL_ASSERT(own->note[2] == generation_of(own) + 2);
		MODEL_ASSERT(next == 0); // none of the new generation's
	} else {
		MODEL_ASSERT(next == taken);
	}
	MODEL_ASSERT(taken <= 3);
	support_audit_all(auditor);
}

MODEL_SCENARIO(take) = {
        .name = "endpoint/take",
        .intent = "each number is taken once, and none beyond the limit",
        .processes = 3,
        .channels = 1,
        .endpoint_zones = 1,
        .zones = 1,
        .zone = 1,
        .setup = open_2,
        .run = {grant_3, take_2, take_2},
        .audit = audit_numbers,
};

MODEL_SCENARIO(reuse) = {
        .name = "endpoint/reuse",
        .intent = "a sender that knows an old generation takes nothing from the new one",
        .processes = 3,
        .channels = 1,
        .endpoint_zones = 1,
        .zones = 1,
        .zone = 1,
        .setup = open_2,
        .run = {reopen, take_2, take_1},
        .audit = audit_numbers,
};

static void audit_returned(struct model_own *auditor)
{
	// A number that can't be given back any more, since a later one is taken, is a hole.
	MODEL_ASSERT(model_arena.own[1].note[1] <= 2);
	support_audit_all(auditor);
}

MODEL_SCENARIO(untake) = {
        .name = "endpoint/untake",
        .intent = "a number that is given back is taken by one",
        .processes = 3,
        .channels = 1,
        .endpoint_zones = 1,
        .zones = 1,
        .zone = 1,
        .setup = open_2,
        .run = {take_and_give_back, take_2, take_and_give_back},
        .audit = audit_returned,
};

// ---------------------------------------------------------------------------------------------
// Waiting for credit, as send_reply() does it
// ---------------------------------------------------------------------------------------------

static void take_asleep(struct model_own *own)
{
	for (int tries = 0;; tries++) {
		enum shm_result result = take(own);

		MODEL_ASSERT(tries < 8);
		if (result == SHM_FULL) {
			shm_endpoint_wait(&own->segment, 0, own->self.slot);
			result = take(own);
		}
		if (result != SHM_FULL)
			return;
		support_sleep_for_room(own);
	}
}

static void take_2_asleep(struct model_own *own)
{
	take_asleep(own);
	take_asleep(own);
}

static void grant_and_nudge(struct model_own *own)
{
	support_nudge(own, shm_endpoint_grant(&own->segment, 0, 2));
}

static void grant_twice(struct model_own *own)
{
	support_nudge(own, shm_endpoint_grant(&own->segment, 0, 2));
	support_nudge(own, shm_endpoint_grant(&own->segment, 0, 3));
}

static void close_and_nudge(struct model_own *own)
{
	support_nudge(own, shm_endpoint_close(&own->segment, 0, generation_of(own)));
}

MODEL_SCENARIO(credit) = {
        .name = "endpoint/credit",
        .intent = "a sender that sleeps without credit learns of what is granted",
        .processes = 2,
        .channels = 1,
        .endpoint_zones = 1,
        .zones = 1,
        .zone = 1,
        .setup = open_1,
        .run = {grant_and_nudge, take_2_asleep},
        .audit = support_audit_awake,
};

MODEL_SCENARIO(credit_for_two) = {
        .name = "endpoint/credit_for_two",
        .intent = "two senders sleep without credit, and both learn of what is granted",
        .processes = 3,
        .channels = 1,
        .endpoint_zones = 1,
        .zones = 1,
        .zone = 1,
        .setup = open_1,
        .run = {grant_twice, take_asleep, take_2_asleep},
        .audit = support_audit_awake,
};

MODEL_SCENARIO(close) = {
        .name = "endpoint/close",
        .intent = "a sender that sleeps without credit learns of the end",
        .processes = 2,
        .channels = 1,
        .endpoint_zones = 1,
        .zones = 1,
        .zone = 1,
        .setup = open_1,
        .run = {close_and_nudge, take_2_asleep},
        .audit = support_audit_awake,
};

static void open_another(struct model_own *own)
{
	uint32_t scan = 0;

	model_await_deaths(1);
	shm_reaper_run(&own->table, &own->reaped);
	if (shm_endpoint_take_zone(&own->segment, own->self.uid, &scan) == 0)
		own->note[2] = shm_endpoint_open(&own->segment, 0, 0, 1, 0);
}

static void audit_inherited(struct model_own *auditor)
{
	if (model_arena.own[2].note[2])
		MODEL_ASSERT(shm_endpoint_next(&auditor->segment, 0) == 0);
	support_audit_all(auditor);
}

MODEL_SCENARIO(killed_owner) = {
        .name = "endpoint/killed_owner",
        .intent = "a dead owner's endpoint is closed before another opens it",
        .processes = 3,
        .killable = 1,
        .kills = 1,
        .channels = 1,
        .endpoint_zones = 1,
        .zones = 1,
        .zone = 1,
        .setup = open_1,
        .run = {reopen, take_1, open_another},
        .audit = audit_inherited,
};
