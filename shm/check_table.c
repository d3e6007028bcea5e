// SPDX-License-Identifier: MIT
// check_table.c - the lists of the table: does every name lead to its channel, and to one only?
#include <string.h>

#include "shm/check_region.h"
#include "shm/link.h"

static uint32_t count_buckets(struct examination *examination)
{
	return examination->segment->bucket_mask + 1;
}

static uint32_t count_entries(struct examination *examination)
{
	return examination->segment->entries;
}

// A step of a walk: the channel that a word leads to.
struct walk {
	uint32_t
	        from; // index of the channel that the word belongs to, or SHM_HANDLE_NONE: the bucket
	uint64_t word;  // as it was read
	uint32_t index; // where it leads
};

static shm_atomic64 *word_of(const struct examination *examination, uint32_t bucket, uint32_t from)
{
	return from == SHM_HANDLE_NONE ? &examination->segment->buckets[bucket]
	                               : &examination->segment->channel[from].link;
}

static uint32_t generation_of(const struct examination *examination, uint32_t index)
{
	return load_acquire(&examination->segment->channel[index].ring.generation);
}

// Steps on. False at the end of the list.
static bool step(struct examination *examination, uint32_t bucket, struct walk *at)
{
	at->word = load_acquire(word_of(examination, bucket, at->from));
	if (LINK_TARGET(at->word) == 0)
		return false;
	at->index = LINK_TARGET(at->word) - 1;
	return true;
}

// Whether the generation in the word is the right one: the target's in a bucket, else that of the channel it belongs to.
static bool is_of_this_use(const struct examination *examination, const struct walk *at)
{
	uint32_t index = at->from == SHM_HANDLE_NONE ? at->index : at->from;

	return LINK_GENERATION(at->word) == generation_of(examination, index);
}

static uint32_t hash_at(const struct examination *examination, uint32_t index)
{
	char name[SHM_NAME_SIZE];

	shm_table_name(&examination->table, index, name);
	return shm_table_hash(name);
}

static bool has_same_name(const struct examination *examination, uint32_t a, uint32_t b)
{
	char name[SHM_NAME_SIZE], other[SHM_NAME_SIZE];

	shm_table_name(&examination->table, a, name);
	shm_table_name(&examination->table, b, other);
	return strcmp(name, other) == 0;
}

// Whether the list has an earlier channel of the same name that isn't being ended.
static bool is_second(struct examination *examination, uint32_t bucket, const struct walk *at)
{
	struct walk before = {.from = SHM_HANDLE_NONE};

	for (uint32_t left = examination->segment->entries; left > 0; left--) {
		if (!step(examination, bucket, &before) || before.index == at->index ||
		        before.index >= examination->segment->entries)
			return false;
		if (!(load_acquire(&examination->segment->channel[before.index].link) &
		            LINK_MARK) &&
		        has_same_name(examination, before.index, at->index))
			return true;
		before.from = before.index;
	}
	return false;
}

// Looks at the channel that a step has led to.
static bool look_at_member(struct examination *examination, uint32_t bucket, const struct walk *at,
        struct suspicion *found)
{
	const struct shm_channel_mem *channel = &examination->segment->channel[at->index];
	uint32_t hash = load_relaxed(&channel->hash), right = hash_at(examination, at->index);
	uint32_t mask = examination->segment->bucket_mask;
	char text[SHM_WHERE_SIZE];

	if (load_acquire(&channel->link) & LINK_MARK)
		return false; // being ended
	describe_channel(examination, at->index, text, sizeof text);
	found->detail = at->index;
	if ((right & mask) != bucket)
		return suspect(found, SHM_FINDING_BAD_NAME, at->word, "name of %s", text);
	if (hash != right)
		return suspect(found, SHM_FINDING_BAD_HASH, hash, "hash of %s", text);
	return is_second(examination, bucket, at) &&
	       suspect(found, SHM_FINDING_TWICE, at->word, "%s", text);
}

static bool suspect_link(struct examination *examination, uint32_t bucket, const struct walk *at,
        struct suspicion *found)
{
	char text[SHM_WHERE_SIZE];

	found->detail = at->from;
	if (at->from == SHM_HANDLE_NONE)
		return suspect(
		        found, SHM_FINDING_BAD_LINK, at->word, "list %u, at its head", bucket);
	describe_channel(examination, at->from, text, sizeof text);
	return suspect(found, SHM_FINDING_BAD_LINK, at->word, "list %u, behind %s", bucket, text);
}

static bool look_at_bucket(
        struct examination *examination, uint32_t bucket, struct suspicion *found)
{
	struct walk at = {.from = SHM_HANDLE_NONE};
	uint32_t walk = ++examination->walks;

	// Every step meets a channel that this walk hasn't met, so it ends.
	while (step(examination, bucket, &at)) {
		const struct shm_channel_mem *channel;

		if (at.index >= examination->segment->entries ||
		        examination->walk[at.index] == walk)
			return suspect_link(examination, bucket, &at, found);
		examination->walk[at.index] = walk;
		channel = &examination->segment->channel[at.index];
		if (!is_of_this_use(examination, &at) ||
		        load_acquire(&channel->owner) == SHM_CHANNEL_FREE)
			return suspect_link(examination, bucket, &at, found);
		examination->reached[at.index] = generation_of(examination, at.index) + 1;
		if (look_at_member(examination, bucket, &at, found))
			return true;
		at.from = at.index;
	}
	return at.from != SHM_HANDLE_NONE && !is_of_this_use(examination, &at) &&
	       suspect_link(examination, bucket, &at, found);
}

// What is behind the cut isn't reached any more, so the next region finds it and puts it back in.
static bool cut(struct examination *examination, const struct suspicion *found)
{
	shm_atomic64 *word = word_of(examination, found->index, found->detail);
	uint32_t generation = 0;
	uint64_t link = found->word;

	if (found->detail != SHM_HANDLE_NONE)
		generation = generation_of(examination, found->detail);
	return cas_acq_rel(word, &link, link_to_none(generation) | (link & LINK_MARK));
}

static bool end(struct examination *examination, uint32_t index)
{
	struct shm_table *table = examination->check->table;
	uint64_t dropped = 0;
	struct shm_ring ring;

	return shm_table_ring(table, index, &ring) &&
	       shm_table_end(table, &ring, true, &dropped) == SHM_OK;
}

static bool mend_bucket(struct examination *examination, const struct suspicion *found)
{
	uint32_t hash = (uint32_t)found->word;

	switch (found->kind) {
	case SHM_FINDING_BAD_LINK:
		// All that this list has is looked at anew, also what was met before.
		memset(examination->reached, 0,
		        examination->segment->entries * sizeof *examination->reached);
		return cut(examination, found);
	case SHM_FINDING_BAD_HASH:
		return cas_acq_rel(&examination->segment->channel[found->detail].hash, &hash,
		        hash_at(examination, found->detail));
	case SHM_FINDING_BAD_NAME:
	case SHM_FINDING_TWICE:
		return end(examination, found->detail);
	default:
		return false;
	}
}

const struct region region_buckets = {count_buckets, look_at_bucket, mend_bucket};

// ---------------------------------------------------------------------------------------------
// Live channels that no list has
// ---------------------------------------------------------------------------------------------

static bool is_in_its_list(struct examination *examination, uint32_t index, uint32_t generation)
{
	uint32_t bucket = hash_at(examination, index) & examination->segment->bucket_mask;
	struct walk at = {.from = SHM_HANDLE_NONE};

	for (uint32_t left = examination->segment->entries; left > 0; left--) {
		if (!step(examination, bucket, &at) || at.index >= examination->segment->entries)
			return false;
		if (at.index == index && generation_of(examination, index) == generation)
			return true;
		at.from = at.index;
	}
	return false;
}

static bool look_at_reach(struct examination *examination, uint32_t index, struct suspicion *found)
{
	const struct shm_channel_mem *channel = &examination->segment->channel[index];
	uint32_t generation = load_acquire(&channel->ring.generation);
	char text[SHM_WHERE_SIZE];

	// The list first, as it was met on the walk before; one that was put in since is looked for.
	if (load_acquire(&channel->owner) != SHM_CHANNEL_LIVE ||
	        examination->reached[index] == generation + 1 ||
	        is_in_its_list(examination, index, generation) ||
	        load_acquire(&channel->owner) != SHM_CHANNEL_LIVE)
		return false;
	describe_channel(examination, index, text, sizeof text);
	return suspect(found, SHM_FINDING_UNREACHABLE, generation, "%s", text);
}

static bool mend_reach(struct examination *examination, const struct suspicion *found)
{
	return shm_table_adopt(examination->check->table, found->index, (uint32_t)found->word);
}

const struct region region_reach = {count_entries, look_at_reach, mend_reach};
