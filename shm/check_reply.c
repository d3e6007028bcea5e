// SPDX-License-Identifier: MIT
// check_reply.c - what belongs to reply channels beside their endpoints: prefixes of names, and wills.
#include "shm/check_region.h"
#include "shm/endpoint.h"
#include "shm/prefix.h"
#include "shm/reaper.h"
#include "shm/will.h"

// ---------------------------------------------------------------------------------------------
// Prefixes
// ---------------------------------------------------------------------------------------------

static uint32_t count_prefixes(struct examination *examination)
{
	(void)examination;
	return SHM_PREFIXES;
}

static bool look_at_prefix(struct examination *examination, uint32_t index, struct suspicion *found)
{
	uint64_t own = load_acquire(&examination->segment->prefixes[index].own);

	if (own == SHM_PREFIX_FREE || own == SHM_PREFIX_LIVE)
		return false;
	return (SHM_OWN_STATE(own) != SHM_HELD ||
	               holder_of(examination, own & ~SHM_OWN_HELD(0)) == HOLDER_GONE) &&
	       suspect(found, SHM_FINDING_BAD_PREFIX, own, "prefix %u", index + 1);
}

// What was being entered is in use nowhere yet; what isn't known to have been may be.
static bool mend_prefix(struct examination *examination, const struct suspicion *found)
{
	struct shm_prefix_mem *prefix = &examination->segment->prefixes[found->index];
	bool held = SHM_OWN_STATE(found->word) == SHM_HELD;
	bool empty = load_relaxed(&prefix->name[0]) == 0;
	uint64_t own = found->word;

	return (held || !empty || is_alone(examination)) &&
	       cas_acq_rel(&prefix->own, &own, held || empty ? SHM_PREFIX_FREE : SHM_PREFIX_LIVE);
}

const struct region region_prefixes = {count_prefixes, look_at_prefix, mend_prefix};

// ---------------------------------------------------------------------------------------------
// Wills
// ---------------------------------------------------------------------------------------------

static uint32_t count_wills(struct examination *examination)
{
	return examination->segment->geometry.endpoints;
}

// Only the owner of the endpoint's zone claims, and it settles before it gives the zone away; for a dead one, its
// reaper does, before it takes the zone over.
static bool look_at_will(struct examination *examination, uint32_t index, struct suspicion *found)
{
	uint64_t will = load_acquire(&examination->segment->wills[index]);
	uint64_t owner =
	        load_acquire(&examination->segment->endpoint_zones[index / SHM_ENDPOINT_ZONE]);
	bool orphaned = owner == SHM_ORPHANED;

	if (SHM_WILL_STATE(will) == SHM_WILL_NONE)
		return false;
	if (owner == 0)
		return suspect(found, SHM_FINDING_ORPHAN_WILL, will, "endpoint %u", index);
	if (SHM_WILL_STATE(will) == SHM_WILL_SET ||
	        (!orphaned && (SHM_WILL_SLOT(will) == SHM_UID_SLOT(owner) ||
	                              holder_of(examination, owner) == HOLDER_GONE)))
		return false;
	// A reaper that died while it had the dead one's zone: the claims are still the dead one's.
	return !is_dead_slot(examination, SHM_WILL_SLOT(will)) &&
	       suspect(found, SHM_FINDING_ORPHAN_WILL, will, "endpoint %u", index);
}

// Settles a claim, then leaves what is owed to who adopts the zone.
static bool mend_will(struct examination *examination, const struct suspicion *found)
{
	struct shm_table *table = examination->check->table;
	uint64_t nobody = 0;

	if (SHM_WILL_STATE(found->word) != SHM_WILL_SET &&
	        !shm_reaper_settle_will(table, found->index, found->word))
		return false;
	if (shm_will_state(table->segment, found->index) == SHM_WILL_SET)
		(void)cas_acq_rel(&table->segment->endpoint_zones[found->index / SHM_ENDPOINT_ZONE],
		        &nobody, SHM_ORPHANED);
	return true;
}

const struct region region_wills = {count_wills, look_at_will, mend_will};
