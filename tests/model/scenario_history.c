// SPDX-License-Identifier: MIT
// A group's history, as channel/history.c keeps it: senders that have the oldest give way, readers that look without
// taking, and the end of one that would have a hole.

#include <string.h>

#include "shm/displace.h"
#include "shm/peek.h"
#include "tests/model/support.h"

#define FIRST    (1ull << SHM_NARROW_ORDER) // position of a ring
#define LIFETIME 1000

// note[0]: the positions, counted from FIRST, at which this process has published, as bits.

static void open_history(void)
{
	struct model_own *own = model_arena.own;
	int auditor = support_auditor();

	for (int i = auditor; i >= 0; i--) {
		model_act_for(i);
		MODEL_ASSERT(shm_table_make_history(
		                     &own[i].table, "a", 2, LIFETIME, &own[i].ring[0]) == SHM_OK);
	}
	model_act_for(auditor);
}

// Two words each, so that one can be of another message than the other.
static bool fill(struct model_own *own, uint64_t value, struct shm_buffer *buffer)
{
	uint64_t pair[2] = {value, value};

	if (!shm_pool_alloc(&own->pool, sizeof pair, buffer))
		return false;
	copy_release(buffer->span[0].data, pair, sizeof pair);
	return true;
}

static enum shm_result keep_in(struct model_own *own, struct shm_ring *ring, uint64_t value)
{
	struct shm_buffer buffer;
	enum shm_result result;

	if (!fill(own, value, &buffer))
		return SHM_EMPTY;
	result = shm_displace_push(&own->table, ring, SHM_DROP_OLDEST, buffer.handle,
	        shm_pool_block(&own->pool, buffer.handle));
	if (result == SHM_OK)
		own->note[0] |= 1ull << (ring->given - FIRST);
	else
		shm_pool_free(&own->pool, buffer.handle);
	return result;
}

static void keep_1(struct model_own *own)
{
	uint64_t value = MESSAGE(support_number(own), 1);

	(void)keep_in(own, &own->ring[0], value);
}

// What is read at POS, which waits; 0 if it can't be seen any more.
static uint64_t read_at(struct model_own *own, struct shm_ring *ring, uint64_t pos)
{
	struct shm_glimpse glimpse;
	uint64_t pair[2] = {0};

	if (shm_peek(ring, &own->pool, pos, &glimpse) != SHM_SEEN || !glimpse.waiting ||
	        glimpse.buffer.length != sizeof pair ||
	        !shm_peek_copy(ring, &own->pool, &glimpse, pair))
		return 0;
	MODEL_ASSERT(pair[0] == pair[1] && pair[0] != 0);
	return pair[0];
}

// Each that is seen, by position, in received[].
static void read_all(struct model_own *own)
{
	uint64_t head, tail;

	(void)shm_ring_pending(&own->ring[0], &own->pool, &head, &tail);
	MODEL_ASSERT(head >= FIRST && head <= tail && tail - head <= 2);
	for (uint64_t pos = head; pos != tail; pos++) {
		MODEL_ASSERT(pos - FIRST < MODEL_LOG);
		own->received[pos - FIRST] = read_at(own, &own->ring[0], pos);
	}
}

// Whoever was told that his message stands at a position finds it there, and nobody else's.
static void judge_reader(const struct model_own *reader, const struct model_own *auditor)
{
	for (uint64_t at = 0; at < MODEL_LOG; at++) {
		uint64_t value = reader->received[at];
		int sender = (int)(value >> 8) - 1;

		if (value == 0)
			continue;
		MODEL_ASSERT(sender <= support_number(auditor));
		if (!model_is_dead(sender))
			MODEL_ASSERT(model_arena.own[sender].note[0] >> at & 1);
	}
}

// As much as is kept; each process that keeps has one more give way.
static void open_full(void)
{
	struct model_own *auditor = &model_arena.own[support_auditor()];

	open_history();
	for (uint64_t n = 1; n <= 2; n++)
		MODEL_ASSERT(keep_in(auditor, &auditor->ring[0],
		                     MESSAGE(support_number(auditor), n)) == SHM_OK);
}

// No offset is left out or given twice, and as many messages are kept as may be; one less for each that died while it
// had one give way.
static void audit_offsets(struct model_own *auditor)
{
	uint64_t head, tail, all = 0, given = 0, pending;
	uint32_t handle;

	shm_reaper_run(&auditor->table, &auditor->reaped);
	pending = shm_ring_pending(&auditor->ring[0], &auditor->pool, &head, &tail);
	for (struct model_own *own = model_arena.own; own <= auditor; own++) {
		MODEL_ASSERT((all & own->note[0]) == 0);
		all |= own->note[0];
		given += (uint64_t)__builtin_popcountll(own->note[0]);
		judge_reader(own, auditor);
		memset(own->received, 0, sizeof own->received);
	}
	MODEL_ASSERT(tail - FIRST >= given && tail - FIRST <= given + (uint64_t)model_deaths());
	MODEL_ASSERT(all >> (tail - FIRST) == 0);
	MODEL_ASSERT(pending <= 2 &&
	             pending + (uint64_t)model_deaths() >= (tail - FIRST < 2 ? tail - FIRST : 2));
	while (shm_ring_pop(&auditor->ring[0], &auditor->pool, &handle) == SHM_OK)
		shm_pool_free(&auditor->pool, handle);
	support_audit_all(auditor);
}

MODEL_SCENARIO(history_read) = {
        .name = "history/read",
        .intent = "what is read at an offset is what was kept there, whole, or it isn't there",
        .processes = 2,
        .channels = 1,
        .zones = 2,
        .zone = 2,
        .setup = open_full,
        .run = {keep_1, read_all},
        .audit = audit_offsets,
};

MODEL_SCENARIO(history_keep) = {
        .name = "history/keep",
        .intent = "two who keep have an offset each, without a hole, and two messages stay",
        .processes = 2,
        .channels = 1,
        .zones = 3,
        .zone = 2,
        .setup = open_full,
        .run = {keep_1, keep_1},
        .audit = audit_offsets,
};

MODEL_SCENARIO(history_killed) = {
        .name = "history/killed",
        .intent = "a sender that dies keeping a message leaves no hole, and no room is lost",
        .processes = 2,
        .killable = 1,
        .kills = 1,
        .channels = 1,
        .zones = 3,
        .zone = 2,
        .setup = open_full,
        .run = {keep_1, keep_1},
        .audit = audit_offsets,
};

static void reap_and_keep(struct model_own *own)
{
	support_reap(own);
	keep_1(own);
}

MODEL_SCENARIO(history_reaped) = {
        .name = "history/reaped",
        .intent = "so when others have reaped it, or have died over that",
        .processes = 2,
        .killable = 3,
        .kills = 2,
        .channels = 1,
        .zones = 3,
        .zone = 2,
        .setup = open_full,
        .run = {keep_1, reap_and_keep},
        .audit = audit_offsets,
};

// ---------------------------------------------------------------------------------------------
// What can't be kept ends it
// ---------------------------------------------------------------------------------------------

static void open_kept(void)
{
	struct model_own *auditor = &model_arena.own[support_auditor()];

	open_history();
	MODEL_ASSERT(keep_in(auditor, &auditor->ring[0], 1) == SHM_OK);
}

// From then on nothing is kept under this epoch.
static void shut(struct model_own *own)
{
	enum shm_result result = shm_table_shut(&own->table, &own->ring[0]);

	MODEL_ASSERT(result == SHM_OK || result == SHM_CLOSED);
	MODEL_ASSERT(keep_in(own, &own->ring[0], MESSAGE(support_number(own), 1)) == SHM_CLOSED);
}

// As who looks for an idle channel, and has thought that this one is.
static void end_if_idle(struct model_own *own)
{
	(void)shm_table_end(&own->table, &own->ring[0], false, NULL);
}

// As a sender does: in a new one, if the old has ended.
static void keep_anyhow(struct model_own *own)
{
	for (int round = 0; round < 2; round++) {
		struct shm_ring ring;

		if (shm_table_make_history(&own->table, "a", 2, LIFETIME, &ring) != SHM_OK)
			return;
		if (keep_in(own, &ring, MESSAGE(support_number(own), 1)) != SHM_CLOSED)
			return;
		shm_table_unlink(&own->table, &ring);
	}
}

static void audit_ended(struct model_own *auditor)
{
	for (uint32_t i = 0; i < auditor->segment.channels; i++) {
		uint32_t handle;
		struct shm_ring ring;

		shm_table_ring(&auditor->table, i, &ring);
		while (shm_ring_pop(&ring, &auditor->pool, &handle) == SHM_OK)
			shm_pool_free(&auditor->pool, handle);
	}
	shm_reaper_run(&auditor->table, &auditor->reaped);
	// Whoever needs an entry takes one that is left sealed.
	for (uint32_t i = 0; i < auditor->segment.channels; i++) {
		struct shm_ring ring;

		shm_table_ring(&auditor->table, i, &ring);
		(void)shm_table_end(&auditor->table, &ring, false, NULL);
		MODEL_ASSERT(load_relaxed(&auditor->segment.channel[i].owner) == SHM_CHANNEL_FREE);
	}
	support_audit_all(auditor);
}

MODEL_SCENARIO(history_shut) = {
        .name = "history/shut",
        .intent = "nothing is kept after the end, whoever has the entry, who may be stopped",
        .processes = 2,
        .channels = 2,
        .zones = 3,
        .zone = 2,
        .stale = 1,
        .setup = open_kept,
        .run = {shut, end_if_idle},
        .audit = audit_ended,
};

MODEL_SCENARIO(history_shut_and_kept) = {
        .name = "history/shut_and_kept",
        .intent = "the same, while another goes on in a new one",
        .processes = 3,
        .channels = 2,
        .zones = 3,
        .zone = 2,
        .stale = 1,
        .setup = open_kept,
        .run = {keep_anyhow, shut, end_if_idle},
        .audit = audit_ended,
};

MODEL_SCENARIO(history_shut_killed) = {
        .name = "history/shut_killed",
        .intent = "the same, though who has the entry dies, or who shuts",
        .processes = 3,
        .killable = 3,
        .kills = 1,
        .channels = 1,
        .zones = 3,
        .zone = 2,
        .stale = 1,
        .setup = open_kept,
        .run = {shut, end_if_idle, support_reap},
        .audit = audit_ended,
};
