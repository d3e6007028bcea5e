// SPDX-License-Identifier: MIT
#include "tests/model/support.h"

#include <string.h>

#include "shm/cell.h"
#include "shm/metric.h"
#include "shm/prefix.h"

enum {
	BUCKETS = 2,
};

static const struct model_scenario *scenario;

// As each scenario has it; what is fixed in the real one. Read by shm_class_zone().
uint32_t model_zone_size[SHM_CLASSES];

static void *reserve(size_t *offset, size_t size)
{
	void *start = model_arena.shared + *offset;

	*offset += (size + SHM_LINE_PAIR - 1) / SHM_LINE_PAIR * SHM_LINE_PAIR;
	if (*offset > MODEL_SHARED)
		model_fail("the scenario's segment is larger than MODEL_SHARED");
	return start;
}

static void lay_out(struct shm_segment *segment)
{
	size_t offset = 0;
	uint32_t large = scenario->large ? scenario->large : 1;

	model_zone_size[0] = scenario->zone;
	model_zone_size[1] = 1;
	model_zone_size[2] = large;
	*segment = (struct shm_segment){
	        .base = model_arena.shared,
	        .size = MODEL_SHARED,
	        .geometry =
	                {
	                        .narrow = scenario->channels,
	                        .endpoints = scenario->endpoint_zones * SHM_ENDPOINT_ZONE,
	                        .blocks = {scenario->zones * scenario->zone, 1, large},
	                        .expiry = 1000,
	                        .groups = scenario->groups,
	                        .cells = scenario->cells,
	                        .group_expiry = 1000000,
	                        .metrics = scenario->metrics,
	                },
	        .bucket_mask = BUCKETS - 1,
	        .channels = scenario->channels,
	        .entries = scenario->channels + scenario->groups,
	};
	model_arena.locks = reserve(&offset, SHM_PROCESSES * sizeof(shm_atomic64));
	segment->housekeeping = reserve(&offset, sizeof *segment->housekeeping);
	segment->processes = reserve(&offset, SHM_PROCESSES * sizeof *segment->processes);
	segment->zones = reserve(&offset, (scenario->zones + 2) * sizeof *segment->zones);
	segment->buckets = reserve(&offset, BUCKETS * sizeof *segment->buckets);
	segment->channel = reserve(&offset, segment->entries * sizeof *segment->channel);
	segment->slots =
	        reserve(&offset, (scenario->channels << SHM_NARROW_ORDER) * sizeof *segment->slots);
	segment->endpoint_zones =
	        reserve(&offset, scenario->endpoint_zones * sizeof *segment->endpoint_zones);
	segment->endpoint =
	        reserve(&offset, segment->geometry.endpoints * sizeof *segment->endpoint);
	segment->wills = reserve(&offset, segment->geometry.endpoints * sizeof *segment->wills);
	segment->prefixes = reserve(&offset, SHM_PREFIXES * sizeof *segment->prefixes);
	segment->metrics = reserve(&offset, scenario->metrics * sizeof *segment->metrics);
	segment->metric_cells = reserve(&offset, scenario->metrics * sizeof *segment->metric_cells);
	segment->metric_words =
	        reserve(&offset, scenario->metrics * SHM_PROCESSES * sizeof *segment->metric_words);
	segment->cell_owns = reserve(&offset, scenario->cells * sizeof *segment->cell_owns);
	segment->cells = reserve(&offset, scenario->cells * sizeof *segment->cells);
	for (int class = 0; class < SHM_CLASSES; class ++)
		segment->blocks[class] = reserve(
		        &offset, (size_t)segment->geometry.blocks[class] * shm_class_size(class));
	for (uint32_t i = 0; i < scenario->channels; i++) {
		store_relaxed(&segment->channel[i].ring.head, 1 << SHM_NARROW_ORDER);
		store_relaxed(&segment->channel[i].ring.tail, 1 << SHM_NARROW_ORDER);
	}
}

void model_attach(struct model_own *own)
{
	MODEL_ASSERT(shm_process_join(&own->self, &own->segment, "model") == 0);
	MODEL_ASSERT(shm_pool_init(&own->pool, &own->segment, own->self.uid) == 0);
	shm_table_init(&own->table, &own->segment, &own->self, &own->pool);
	shm_doorbell_init(&own->bell, &own->segment, &own->self);
	// Whoever had the slot before may have died in it.
	if (load_relaxed(&own->self.mem->incarnation) > 1)
		shm_reaper_release(&own->table, own->self.slot, &own->reaped);
}

void model_detach(struct model_own *own)
{
	shm_reaper_release(&own->table, own->self.slot, &own->reaped);
	shm_process_leave(&own->self);
}

void model_prepare(const struct model_scenario *given)
{
	struct shm_segment segment;

	scenario = given;
	lay_out(&segment);
	// The auditor first: it takes slot 0 and, unless the scenario has a use for them, the larger blocks,
	// so that the small ones are all there is.
	for (int i = scenario->processes; i >= 0; i--) {
		struct model_own *own = &model_arena.own[i];

		own->segment = segment;
		if (i < scenario->processes && (scenario->late >> i & 1))
			continue;
		model_act_for(i);
		model_attach(own);
		if (i == scenario->processes) {
			store_relaxed(&segment.zones[scenario->zones], own->self.uid);
			if (!scenario->large)
				store_relaxed(&segment.zones[scenario->zones + 1], own->self.uid);
		}
	}
	model_act_for(scenario->processes);
}

// ---------------------------------------------------------------------------------------------
// Messages
// ---------------------------------------------------------------------------------------------

enum shm_result support_send(struct model_own *own, struct shm_ring *ring, uint64_t value)
{
	struct shm_buffer buffer;
	enum shm_result result;

	if (!shm_pool_alloc(&own->pool, sizeof value, &buffer))
		return SHM_EMPTY;
	model_write(buffer.span[0].data, value);
	result = shm_ring_push(
	        ring, &own->pool, buffer.handle, shm_pool_block(&own->pool, buffer.handle));
	if (result == SHM_OK)
		own->sent[own->sent_count++] = value;
	else
		shm_pool_free(&own->pool, buffer.handle);
	return result;
}

enum shm_result support_receive(struct model_own *own, struct shm_ring *ring)
{
	struct shm_buffer buffer;
	uint32_t handle;
	enum shm_result result = shm_ring_pop(ring, &own->pool, &handle);

	if (result != SHM_OK)
		return result;
	MODEL_ASSERT(shm_pool_view(&own->pool, handle, &buffer));
	MODEL_ASSERT(buffer.count == 1 && buffer.length == sizeof(uint64_t));
	own->received[own->received_count++] = model_read(buffer.span[0].data);
	shm_pool_free(&own->pool, handle);
	return SHM_OK;
}

int support_auditor(void)
{
	return scenario->processes;
}

void support_open(const char *name, int which, uint32_t capacity)
{
	struct model_own *own = model_arena.own;
	int auditor = support_auditor();

	for (int i = auditor; i >= 0; i--) {
		model_act_for(i);
		if (own[i].self.mem)
			MODEL_ASSERT(shm_table_make(&own[i].table, name, capacity, 0,
			                     &own[i].ring[which]) == SHM_OK);
	}
	model_act_for(auditor);
}

// ---------------------------------------------------------------------------------------------
// What many scenarios do
// ---------------------------------------------------------------------------------------------

int support_number(const struct model_own *own)
{
	return (int)(own - model_arena.own);
}

void support_open_2(void)
{
	support_open("a", 0, 2);
}

void support_open_1(void)
{
	support_open("a", 0, 1);
}

void support_send_1(struct model_own *own)
{
	(void)support_send(own, &own->ring[0], MESSAGE(support_number(own), 1));
}

void support_send_2(struct model_own *own)
{
	support_send_1(own);
	(void)support_send(own, &own->ring[0], MESSAGE(support_number(own), 2));
}

void support_receive_1(struct model_own *own)
{
	(void)support_receive(own, &own->ring[0]);
}

void support_receive_2(struct model_own *own)
{
	support_receive_1(own);
	support_receive_1(own);
}

void support_reap(struct model_own *own)
{
	model_await_deaths(1);
	shm_reaper_run(&own->table, &own->reaped);
}

bool support_was_nudged(struct model_own *own)
{
	return load_seq_cst(&own->self.mem->nudged) != 0 &&
	       exchange_seq_cst(&own->self.mem->nudged, 0) != 0;
}

void support_sleep_for_room(struct model_own *own)
{
	shm_doorbell_drowse(&own->bell, SHM_ASLEEP_ROOM);
	if (support_was_nudged(own)) {
		shm_doorbell_awake(&own->bell);
		return;
	}
	(void)shm_doorbell_wait(&own->bell, SHM_ASLEEP_ROOM, -1);
	(void)support_was_nudged(own);
}

void support_nudge(struct model_own *own, uint64_t slots)
{
	for (; slots; slots &= slots - 1) {
		uint32_t slot = (uint32_t)__builtin_ctzll(slots);

		if (slot != own->self.slot && load_relaxed(&own->segment.processes[slot].uid) != 0)
			(void)shm_doorbell_nudge(&own->bell, slot);
	}
}

// ---------------------------------------------------------------------------------------------
// Audits
// ---------------------------------------------------------------------------------------------

void support_drain(struct model_own *auditor, struct shm_ring *ring)
{
	while (support_receive(auditor, ring) == SHM_OK)
		continue;
}

static uint32_t count_in(const uint64_t *list, uint32_t count, uint64_t value)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < count; i++)
		found += list[i] == value;
	return found;
}

// How often VALUE was received, by all together.
static uint32_t times_received(const struct model_own *auditor, uint64_t value)
{
	uint32_t times = 0;

	for (const struct model_own *own = model_arena.own; own <= auditor; own++)
		times += count_in(own->received, own->received_count, value);
	return times;
}

void support_audit_messages(struct model_own *auditor)
{
	uint32_t lost = 0, may_be_lost = 0;

	for (const struct model_own *own = model_arena.own; own <= auditor; own++) {
		// In the order they were sent, of each sender: its number is in the upper bits.
		for (uint32_t i = 0; i < own->received_count; i++)
			for (uint32_t k = i + 1; k < own->received_count; k++)
				MODEL_ASSERT(own->received[i] >> 8 != own->received[k] >> 8 ||
				             own->received[i] < own->received[k]);
		for (uint32_t i = 0; i < own->received_count; i++)
			MODEL_ASSERT(times_received(auditor, own->received[i]) == 1);
	}
	for (int i = 0; i < scenario->processes; i++)
		may_be_lost += model_is_dead(i) && (scenario->consumers >> i & 1);
	for (const struct model_own *own = model_arena.own; own < auditor; own++)
		for (uint32_t i = 0; i < own->sent_count; i++)
			lost += times_received(auditor, own->sent[i]) == 0;
	// At most the one message in each dead consumer's hands.
	MODEL_ASSERT(lost <= may_be_lost);
}

void support_settle(struct model_own *auditor)
{
	int count = support_number(auditor);

	for (int i = 0; i < count; i++) {
		if (model_is_dead(i) || !model_arena.own[i].self.mem)
			continue;
		model_act_for(i);
		model_detach(&model_arena.own[i]);
	}
	model_act_for(count);
	shm_reaper_run(&auditor->table, &auditor->reaped);
}

// The table as a whole: every channel is free, or live and found by its name.
static void audit_channels(struct model_own *auditor)
{
	const struct shm_segment *segment = &auditor->segment;

	for (uint32_t i = 0; i < segment->channels; i++) {
		struct shm_channel_mem *channel = &segment->channel[i];
		uint64_t owner = load_relaxed(&channel->owner);
		char name[SHM_NAME_SIZE];
		struct shm_ring ring;

		MODEL_ASSERT(owner == SHM_CHANNEL_FREE || owner == SHM_CHANNEL_LIVE);
		if (owner == SHM_CHANNEL_FREE)
			continue;
		MODEL_ASSERT(load_relaxed(&channel->receivers[0]) == 0);
		shm_table_name(&auditor->table, i, name);
		MODEL_ASSERT(shm_table_find(&auditor->table, name, &ring) == SHM_OK);
		MODEL_ASSERT(ring.id == i);
		MODEL_ASSERT(ring.generation == load_relaxed(&channel->ring.generation));
	}
}

// Everything is back, and everything works.
void support_audit_all(struct model_own *auditor)
{
	const struct shm_segment *segment = &auditor->segment;

	// Blocks come back while all others stay attached, for they may stay for years.
	shm_reaper_run(&auditor->table, &auditor->reaped);
	for (uint32_t i = 0; i < segment->channels; i++) {
		struct shm_ring ring;

		if (load_relaxed(&segment->channel[i].owner) == SHM_CHANNEL_LIVE &&
		        shm_table_ring(&auditor->table, i, &ring))
			support_drain(auditor, &ring);
	}
	for (int class = 0; class < SHM_CLASSES; class ++)
		MODEL_ASSERT(shm_pool_used(&auditor->pool, class) == 0);
	support_settle(auditor);
	support_audit_messages(auditor);
	audit_channels(auditor);
	for (uint32_t slot = 0; slot < SHM_PROCESSES; slot++)
		MODEL_ASSERT(slot == auditor->self.slot ||
		             load_relaxed(&segment->processes[slot].uid) == 0);
	for (uint32_t i = 0; i < segment->geometry.endpoints; i++) {
		MODEL_ASSERT(load_relaxed(&segment->endpoint_zones[i]) == 0);
		MODEL_ASSERT(
		        SHM_ENDPOINT_GENERATION(load_relaxed(&segment->endpoint[i].state)) % 2 ==
		        0);
	}
	for (int class = 0; class < SHM_CLASSES; class ++)
		MODEL_ASSERT(shm_pool_used(&auditor->pool, class) == 0);
	for (uint32_t i = 0; i < auditor->pool.first_zone[1]; i++)
		MODEL_ASSERT(load_relaxed(&segment->zones[i]) == 0 ||
		             load_relaxed(&segment->zones[i]) == auditor->self.uid);
	for (uint32_t i = 0; i < segment->channels; i++) {
		struct shm_ring ring;

		if (load_relaxed(&segment->channel[i].owner) != SHM_CHANNEL_LIVE)
			continue;
		shm_table_ring(&auditor->table, i, &ring);
		auditor->received_count = 0;
		MODEL_ASSERT(support_send(auditor, &ring, 1) == SHM_OK);
		MODEL_ASSERT(support_receive(auditor, &ring) == SHM_OK);
		MODEL_ASSERT(auditor->received[0] == 1);
	}
}

void support_audit_awake(struct model_own *auditor)
{
	for (int i = 0; i < support_number(auditor); i++)
		MODEL_ASSERT(!model_is_asleep(i));
	support_audit_all(auditor);
}
