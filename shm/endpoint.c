// SPDX-License-Identifier: MIT
#include "shm/endpoint.h"

#define STATE(GENERATION, SEQUENCE) ((GENERATION) << 24 | ((SEQUENCE)&SHM_SEQUENCE_MASK))
#define GENERATION_MASK             0xffffffffffull

static enum shm_result judge(
        const struct shm_endpoint_mem *endpoint, uint64_t state, uint64_t generation)
{
	if (SHM_ENDPOINT_GENERATION(state) != generation || generation % 2 == 0)
		return SHM_CLOSED;
	if (shm_sequence_diff(
	            load_seq_cst(&endpoint->limit), (uint32_t)state & SHM_SEQUENCE_MASK) <= 0)
		return SHM_FULL;
	return SHM_OK;
}

enum shm_result shm_endpoint_look(
        const struct shm_segment *segment, uint32_t index, uint64_t generation)
{
	if (index >= segment->geometry.endpoints)
		return SHM_CORRUPT;
	return judge(&segment->endpoint[index], load_seq_cst(&segment->endpoint[index].state),
	        generation);
}

enum shm_result shm_endpoint_take(
        struct shm_segment *segment, uint32_t index, uint64_t generation, uint32_t *sequence)
{
	struct shm_endpoint_mem *endpoint = &segment->endpoint[index];
	// seq_cst: after shm_endpoint_wait(), an end whose closer missed our bit is seen here.
	uint64_t state = load_seq_cst(&endpoint->state);
	enum shm_result result;

	do {
		result = judge(endpoint, state, generation);
		if (result != SHM_OK)
			return result;
		*sequence = (uint32_t)state & SHM_SEQUENCE_MASK;
	} while (!cas_acq_rel(&endpoint->state, &state, STATE(generation, *sequence + 1)));
	return SHM_OK;
}

// After a change, seq_cst, that who waits for room has to learn of: pairs with a sender that says it waits, then looks
// again. One of the two sees the other.
static uint64_t take_waiters(struct shm_endpoint_mem *endpoint)
{
	return load_seq_cst(&endpoint->waiters) ? exchange_seq_cst(&endpoint->waiters, 0) : 0;
}

uint64_t shm_endpoint_untake(
        struct shm_segment *segment, uint32_t index, uint64_t generation, uint32_t sequence)
{
	struct shm_endpoint_mem *endpoint = &segment->endpoint[index];
	uint64_t state = STATE(generation, sequence + 1);

	// Another sender may have found none left.
	return cas_seq_cst(&endpoint->state, &state, STATE(generation, sequence))
	               ? take_waiters(endpoint)
	               : 0;
}

void shm_endpoint_wait(struct shm_segment *segment, uint32_t index, uint32_t slot)
{
	(void)fetch_or_seq_cst(&segment->endpoint[index].waiters, 1ull << slot % 64);
}

uint64_t shm_endpoint_open(struct shm_segment *segment, uint32_t index, uint64_t ring,
        uint32_t window, uint32_t prefix)
{
	struct shm_endpoint_mem *endpoint = &segment->endpoint[index];
	uint64_t generation = SHM_ENDPOINT_GENERATION(load_relaxed(&endpoint->state));

	generation = ((generation | 1) + (generation & 1) * 2) & GENERATION_MASK;
	store_relaxed(&endpoint->ring, ring);
	store_relaxed(&endpoint->limit, window & SHM_SEQUENCE_MASK);
	store_relaxed(&endpoint->prefix, prefix);
	store_relaxed(&endpoint->waiters, 0);
	store_release(&endpoint->state, STATE(generation, 0));
	return generation;
}

uint64_t shm_endpoint_close(struct shm_segment *segment, uint32_t index, uint64_t generation)
{
	struct shm_endpoint_mem *endpoint = &segment->endpoint[index];
	uint64_t state = load_relaxed(&endpoint->state);

	// A loop only against senders that take a number at this moment; each try that fails is one sent.
	while (SHM_ENDPOINT_GENERATION(state) == generation && generation % 2 == 1)
		if (cas_seq_cst(
		            &endpoint->state, &state, STATE((generation + 1) & GENERATION_MASK, 0)))
			break;
	return take_waiters(endpoint);
}

uint64_t shm_endpoint_grant(struct shm_segment *segment, uint32_t index, uint32_t limit)
{
	struct shm_endpoint_mem *endpoint = &segment->endpoint[index];

	(void)exchange_seq_cst(&endpoint->limit, limit & SHM_SEQUENCE_MASK);
	return take_waiters(endpoint);
}

uint32_t shm_endpoint_next(const struct shm_segment *segment, uint32_t index)
{
	return (uint32_t)load_acquire(&segment->endpoint[index].state) & SHM_SEQUENCE_MASK;
}

uint32_t shm_endpoint_take_zone(struct shm_segment *segment, uint64_t uid, uint32_t *scan)
{
	uint32_t zones = segment->geometry.endpoints / SHM_ENDPOINT_ZONE;

	for (uint32_t left = zones; left > 0; left--) {
		uint32_t zone = *scan % zones;
		uint64_t nobody = 0;

		*scan = zone + 1;
		if (load_relaxed(&segment->endpoint_zones[zone]) == 0 &&
		        cas_acquire(&segment->endpoint_zones[zone], &nobody, uid))
			return zone;
	}
	return SHM_HANDLE_NONE;
}
