// SPDX-License-Identifier: MIT
#include "shm/tally.h"

#include "shm/table.h"

#define SECOND 1000 // ms
#define AHEAD  1000 // ms that a mark may be ahead of a reader who has looked at the clock before
#define TRIES  1000 // to count, because others count the same: more only if somebody scribbles

#define NUMBER_BITS     40
#define NUMBER_MASK     0xffffffffffull
#define GENERATION_MASK 0xffffffu
#define LATE            0xffffu // generations after which nobody comes late any more

#define COUNT(GENERATION, NUMBER) ((uint64_t)(GENERATION) << NUMBER_BITS | (NUMBER))

// ---------------------------------------------------------------------------------------------
// Marks
// ---------------------------------------------------------------------------------------------

static uint64_t mark_of(uint64_t number, int64_t now)
{
	return (uint64_t)now << 32 | (uint32_t)number;
}

// ms; older than any other is what isn't there yet, or from a time to come.
static uint32_t age_of(uint64_t mark, int64_t now)
{
	uint32_t age = (uint32_t)now - (uint32_t)(mark >> 32);

	if (mark == 0)
		return UINT32_MAX;
	return age > UINT32_MAX - AHEAD ? 0 : age;
}

void shm_pace_begin(struct shm_pace_mem *pace, uint64_t number, int64_t now)
{
	// The other one is of the channel before. What seems to have come since is at most what came since this one.
	store_relaxed(&pace->mark[0], mark_of(number, now));
}

void shm_pace_mark(struct shm_pace_mem *pace, uint64_t number, int64_t now)
{
	uint32_t first = age_of(load_relaxed(&pace->mark[0]), now);
	uint32_t second = age_of(load_relaxed(&pace->mark[1]), now);

	store_relaxed(&pace->mark[second > first], mark_of(number, now));
}

struct since {
	uint32_t age; // of a mark
	uint64_t number;
};

static struct since since(uint64_t mark, uint64_t number, uint64_t most, int64_t now)
{
	int32_t grown = (int32_t)((uint32_t)number - (uint32_t)mark);

	if (grown < 0)
		return (struct since){age_of(mark, now), 0};
	return (struct since){age_of(mark, now), (uint64_t)grown < most ? (uint64_t)grown : most};
}

double shm_pace_rate(const struct shm_pace_mem *pace, uint64_t number, uint64_t most, int64_t now)
{
	struct since newer = since(load_relaxed(&pace->mark[0]), number, most, now);
	struct since older = since(load_relaxed(&pace->mark[1]), number, most, now);
	uint32_t between, left;
	double before;

	if (newer.age > older.age) {
		struct since other = newer;

		newer = older;
		older = other;
	}
	if (newer.age >= SECOND)
		return (double)newer.number * SECOND / newer.age;
	between = older.age - newer.age;
	left = SECOND - newer.age;
	before = older.number > newer.number ? (double)(older.number - newer.number) : 0;
	return (double)newer.number + (between > left ? before * left / between : before);
}

// ---------------------------------------------------------------------------------------------
// Counts
// ---------------------------------------------------------------------------------------------

// Where it is kept, or SHM_TALLIES.
static unsigned place_of(enum shm_counter counter)
{
	switch (counter) {
	case SHM_COUNT_FULL:
		return 0;
	case SHM_COUNT_GONE:
		return 1;
	case SHM_COUNT_EXPIRED:
		return 2;
	case SHM_COUNT_BAD:
		return 3;
	case SHM_COUNT_FLUSHED:
		return 4;
	case SHM_COUNT_LOST:
		return 5;
	case SHM_COUNT_DISPLACED:
		return 6;
	case SHM_COUNT_MOVED:
		return 7;
	default:
		return SHM_TALLIES;
	}
}

// By how many generations the word is behind, modulo 2^24. Nearly that: it is a later one's.
static uint32_t behind(uint32_t generation, uint64_t word)
{
	return (generation - (uint32_t)(word >> NUMBER_BITS)) & GENERATION_MASK;
}

void shm_tally_add(
        struct shm_tally_mem *tally, uint32_t generation, enum shm_counter counter, uint64_t number)
{
	unsigned place = place_of(counter);
	uint64_t word = place < SHM_TALLIES ? load_relaxed(&tally->count[place]) : 0;

	for (int left = place < SHM_TALLIES ? TRIES : 0; left > 0; left--) {
		uint64_t before = behind(generation, word) == 0 ? word & NUMBER_MASK : 0;

		if (behind(generation, word) > GENERATION_MASK - LATE ||
		        cas_acq_rel(&tally->count[place], &word,
		                COUNT(generation, (before + number) & NUMBER_MASK)))
			break;
	}
}

uint64_t shm_tally_count(
        const struct shm_tally_mem *tally, uint32_t generation, enum shm_counter counter)
{
	unsigned place = place_of(counter);
	uint64_t word = place < SHM_TALLIES ? load_relaxed(&tally->count[place]) : 0;

	return behind(generation, word) == 0 ? word & NUMBER_MASK : 0;
}

void shm_tally_drop(
        struct shm_table *table, const struct shm_ring *ring, enum shm_counter why, uint32_t handle)
{
	shm_tally_add(&table->segment->channel[ring->id].tally, ring->generation, why, 1);
	shm_process_count(table->self, why, 1);
	shm_pool_free(table->pool, handle);
}

void shm_tally_lost(struct shm_table *table, uint32_t handle)
{
	uint64_t origin = load_relaxed(&shm_pool_block(table->pool, handle)->origin);
	uint32_t index = SHM_ORIGIN_RING(origin), generation;
	struct shm_channel_mem *channel;

	if (origin == SHM_ORIGIN_NONE || index >= table->segment->channels)
		return;
	channel = &table->segment->channel[index];
	generation = load_acquire(&channel->ring.generation);
	if (SHM_ORIGIN(index, generation, origin) == origin) // else that channel has ended
		shm_tally_add(&channel->tally, generation, SHM_COUNT_LOST, 1);
}

// ---------------------------------------------------------------------------------------------
// Once a second
// ---------------------------------------------------------------------------------------------

void shm_tally_mark(struct shm_table *table, uint32_t index, int64_t now)
{
	struct shm_channel_mem *channel = &table->segment->channel[index];
	struct shm_ring ring;
	uint64_t moved;

	if (!shm_table_ring(table, index, &ring))
		return;
	// In this order: should we be stopped in between, the mark is too high rather than too low, and makes no rate.
	moved = shm_tally_count(&channel->tally, ring.generation, SHM_COUNT_MOVED);
	shm_pace_mark(&channel->tally.sent, shm_ring_tail(&ring) - moved, now);
	shm_pace_mark(&channel->tally.full,
	        shm_tally_count(&channel->tally, ring.generation, SHM_COUNT_FULL), now);
}

void shm_tally_mark_total(struct shm_table *table, int64_t now)
{
	struct shm_housekeeping_mem *housekeeping = table->segment->housekeeping;
	uint64_t sent = 0, full = 0;

	for (uint32_t slot = 0; slot < SHM_PROCESSES; slot++) {
		const struct shm_process_mem *process = &table->segment->processes[slot];

		sent += load_relaxed(&process->counters[SHM_COUNT_SENT]);
		full += load_relaxed(&process->counters[SHM_COUNT_FULL]);
	}
	shm_pace_mark(&housekeeping->sent, sent, now);
	shm_pace_mark(&housekeeping->full, full, now);
}
