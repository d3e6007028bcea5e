// SPDX-License-Identifier: MIT
// check_will.c - what is owed for reply channels: does everything that is owed have somebody who will send it, and
// every claim somebody who will settle it?
#include "shm/check_region.h"
#include "shm/endpoint.h"
#include "shm/reaper.h"
#include "shm/will.h"

static uint32_t count_wills(struct examination *examination)
{
	return examination->segment->geometry.endpoints;
}

// The word without what means nothing in it.
static uint64_t meaning_of(uint64_t will)
{
	enum shm_will_state state = SHM_WILL_STATE(will);

	return shm_will_claimed(will) ? SHM_WILL(state, SHM_WILL_SLOT(will), SHM_WILL_HANDLE(will))
	                              : (uint64_t)state;
}

// Of a dead process that wasn't reaped yet, it is part of that finding.
static bool look_at_claim(
        struct examination *examination, uint32_t index, uint64_t will, struct suspicion *found)
{
	uint32_t slot = SHM_WILL_SLOT(will);

	if (slot < SHM_PROCESSES && examination->locked[slot])
		return suspect(found, SHM_FINDING_UNSETTLED_WILL, will,
		        "endpoint %u, by the process in slot %u", index, slot);
	if (slot < SHM_PROCESSES && load_acquire(&examination->segment->processes[slot].uid) != 0)
		return false;
	return suspect(
	        found, SHM_FINDING_ORPHAN_WILL, will, "endpoint %u, by slot %u", index, slot);
}

static bool look_at_will(struct examination *examination, uint32_t index, struct suspicion *found)
{
	struct shm_segment *segment = examination->segment;
	uint64_t will = load_acquire(&segment->wills[index]);
	uint64_t owner = load_acquire(&segment->endpoint_zones[index / SHM_ENDPOINT_ZONE]);
	uint64_t state = load_acquire(&segment->endpoint[index].state);

	if (will != meaning_of(will))
		return suspect(found, SHM_FINDING_BAD_WILL, will, "endpoint %u", index);
	if (shm_will_claimed(will))
		return look_at_claim(examination, index, will, found);
	if (SHM_WILL_STATE(will) == SHM_WILL_NONE)
		return false;
	if (SHM_ENDPOINT_GENERATION(state) == SHM_ENDPOINT_FIRST(segment->identity))
		return suspect(found, SHM_FINDING_BAD_WILL, will,
		        "endpoint %u, which was never open", index);
	return owner == 0 && suspect(found, SHM_FINDING_LOST_WILL, will, "endpoint %u", index);
}

// A claim with more in its word stays one, for the next look.
static bool mend_word(struct examination *examination, uint32_t index, uint64_t will)
{
	struct shm_segment *segment = examination->segment;
	bool meant = will != meaning_of(will);

	return cas_acq_rel(&segment->wills[index], &will, meant ? meaning_of(will) : SHM_WILL_NONE);
}

static bool mend_will(struct examination *examination, const struct suspicion *found)
{
	struct shm_table *table = examination->check->table;
	uint32_t zone = found->index / SHM_ENDPOINT_ZONE;
	uint64_t nobody = 0;

	switch (found->kind) {
	case SHM_FINDING_BAD_WILL:
		return mend_word(examination, found->index, found->word);
	case SHM_FINDING_ORPHAN_WILL:
		return shm_reaper_settle_will(table, found->index, found->word);
	case SHM_FINDING_LOST_WILL:
		// Ours for a moment, so that nobody opens endpoints there; then an orphan's, to be adopted.
		return cas_acquire(
		               &table->segment->endpoint_zones[zone], &nobody, table->self->uid) &&
		       shm_reaper_release_endpoint_zone(table, zone, table->self->uid);
	default:
		return false;
	}
}

const struct region region_wills = {count_wills, look_at_will, mend_will};
