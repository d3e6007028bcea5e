// SPDX-License-Identifier: MIT
#include "shm/table.h"

#include <string.h>

#include "shm/link.h"

// Before a group's name, in the table: no channel's name has such an octet.
#define GROUP_MARK '\x01'

// Where a walk stands: the word it came through, that word's value, and whether it is a bucket's.
struct cursor {
	shm_atomic64 *from;
	uint64_t link;
	bool bucket;
};

void shm_table_init(struct shm_table *table, struct shm_segment *segment, struct shm_process *self,
        struct shm_pool *pool)
{
	*table = (struct shm_table){.segment = segment, .self = self, .pool = pool};
}

// Steps of one operation along its list, in all: others may change the list under it, and each new start
// means that another process made progress, but a damaged list must end too.
static uint32_t step_limit(const struct shm_table *table)
{
	return 4 * table->segment->entries + 16384;
}

// FNV-1a: names are short, and whoever can attach need not flood a bucket to do harm.
uint32_t shm_table_hash(const char *name)
{
	uint32_t hash = 2166136261u;

	while (*name)
		hash = (hash ^ (unsigned char)*name++) * 16777619u;
	return hash;
}

// Names are read while a channel may be reused, so they are read and written as atomic words.
static void write_name(struct shm_channel_mem *channel, const char *name)
{
	uint64_t words[SHM_NAME_SIZE / 8] = {0};

	memcpy(words, name, strnlen(name, SHM_NAME_SIZE - 1));
	for (int i = 0; i < SHM_NAME_SIZE / 8; i++)
		store_relaxed(&channel->name[i], words[i]);
}

// Acquire: what is looked at next, the generation, tells whether this was still the same channel.
static bool has_name(struct shm_channel_mem *channel, const char *name)
{
	size_t left = strlen(name) + 1;

	for (int i = 0; i < SHM_NAME_SIZE / 8 && left > 0; i++) {
		size_t here = left < 8 ? left : 8;
		uint64_t word = 0;

		memcpy(&word, name, here);
		if (load_acquire(&channel->name[i]) != word)
			return false;
		name += here;
		left -= here;
	}
	return true;
}

void shm_table_name(const struct shm_table *table, uint32_t index, char name[SHM_NAME_SIZE])
{
	for (int i = 0; i < SHM_NAME_SIZE / 8; i++) {
		uint64_t word = load_relaxed(&table->segment->channel[index].name[i]);

		memcpy(name + i * 8, &word, 8);
	}
	name[SHM_NAME_SIZE - 1] = '\0';
}

static struct shm_channel_mem *channel_at(const struct shm_table *table, uint32_t index)
{
	return index < table->segment->entries ? &table->segment->channel[index] : NULL;
}

static int order_of(const struct shm_table *table, uint32_t index)
{
	return index < table->segment->geometry.wide ? SHM_WIDE_ORDER : SHM_NARROW_ORDER;
}

static void fill_ring(
        const struct shm_table *table, uint32_t index, uint32_t generation, struct shm_ring *ring)
{
	const struct shm_segment *segment = table->segment;
	uint32_t wide = segment->geometry.wide;
	struct shm_channel_mem *channel = &segment->channel[index];
	uint64_t first = index < wide ? (uint64_t)index << SHM_WIDE_ORDER
	                              : ((uint64_t)wide << SHM_WIDE_ORDER) +
	                                        ((uint64_t)(index - wide) << SHM_NARROW_ORDER);
	uint32_t capacity = load_relaxed(&channel->ring.capacity);

	*ring = (struct shm_ring){
	        .mem = &channel->ring,
	        .slots = segment->slots + first,
	        .id = index,
	        .generation = generation,
	        .order = (uint32_t)order_of(table, index),
	        .head = load_acquire(&channel->ring.head),
	};
	ring->capacity = capacity > 1u << ring->order ? 1u << ring->order : capacity;
}

bool shm_table_ring(struct shm_table *table, uint32_t index, struct shm_ring *ring)
{
	if (index >= table->segment->channels)
		return false;
	fill_ring(
	        table, index, load_acquire(&table->segment->channel[index].ring.generation), ring);
	return true;
}

// What the word that led to a marked channel becomes, given that channel's link NEXT. What comes behind it stays there, in
// this use, for as long as the CAS that this is for can succeed: to unlink it too, that very word would have to change.
static uint64_t link_past(const struct shm_table *table, const struct cursor *at, uint64_t next)
{
	const struct shm_channel_mem *channel;

	if (!at->bucket)
		return link_as(next, LINK_GENERATION(at->link));
	channel = LINK_TARGET(next) > 0 ? channel_at(table, LINK_TARGET(next) - 1) : NULL;
	return channel ? link_as(next, load_acquire(&channel->ring.generation)) : link_to_none(0);
}

// Takes one step along a list. Unlinks what it finds marked; each of these takes one of the steps LEFT.
// False: the list changed under us, or makes no sense; start again. At its end, *CHANNEL is NULL.
static bool step(struct shm_table *table, struct cursor *at, uint32_t *left,
        struct shm_channel_mem **channel, uint32_t *index, uint64_t *next)
{
	while (LINK_TARGET(at->link) != 0) {
		uint64_t unlinked;

		if (*left == 0)
			return false;
		--*left;
		*index = LINK_TARGET(at->link) - 1;
		*channel = channel_at(table, *index);
		if (!*channel)
			return false;
		*next = load_acquire(&(*channel)->link);
		// The same word: it was in the list, in one use, when its link was looked at.
		if (load_acquire(at->from) != at->link)
			return false;
		if (!(*next & LINK_MARK))
			return true;
		unlinked = link_past(table, at, *next);
		if (!cas_acq_rel(at->from, &at->link, unlinked))
			return false;
		at->link = unlinked;
	}
	*channel = NULL;
	return true;
}

// Walks the bucket of NAME once. 1: found at *INDEX with *GENERATION; 0: not there, and *HEAD is the
// bucket's word as it was; -1: start again.
static int walk(struct shm_table *table, const char *name, uint32_t hash, uint32_t *left,
        uint32_t *index, uint32_t *generation, uint64_t *head)
{
	shm_atomic64 *bucket = &table->segment->buckets[hash & table->segment->bucket_mask];
	struct cursor at = {.from = bucket, .link = load_acquire(bucket), .bucket = true};

	*head = at.link;
	for (uint32_t most = table->segment->entries + 1; most > 0; most--) {
		struct shm_channel_mem *channel;
		uint64_t next;

		if (!step(table, &at, left, &channel, index, &next))
			return -1;
		if (at.bucket)
			*head = at.link;
		if (!channel)
			return 0;
		*generation = LINK_GENERATION(next);
		if (load_relaxed(&channel->hash) == hash && has_name(channel, name) &&
		        load_acquire(&channel->ring.generation) == *generation)
			return 1;
		at = (struct cursor){&channel->link, next, false};
	}
	return 0; // a loop: somebody scribbled; an insertion at the head still works
}

static bool is_group(const struct shm_table *table, uint32_t index)
{
	return index >= table->segment->channels;
}

// SHM_OK or SHM_EMPTY. Names of groups and channels differ, so an entry of the other kind under a name is
// somebody's scribble.
static enum shm_result find(
        struct shm_table *table, const char *name, bool group, struct shm_entry *entry)
{
	uint32_t hash = shm_table_hash(name), left = step_limit(table);
	uint64_t head;

	while (left > 0) {
		int found =
		        walk(table, name, hash, &left, &entry->index, &entry->generation, &head);

		if (found >= 0)
			return found == 1 && is_group(table, entry->index) == group ? SHM_OK
			                                                            : SHM_EMPTY;
	}
	return SHM_EMPTY;
}

enum shm_result shm_table_find(struct shm_table *table, const char *name, struct shm_ring *ring)
{
	struct shm_entry entry;
	enum shm_result result = find(table, name, false, &entry);

	if (result == SHM_OK)
		fill_ring(table, entry.index, entry.generation, ring);
	return result;
}

static void mark_group(char marked[SHM_NAME_SIZE], const char *name)
{
	marked[0] = GROUP_MARK;
	strncpy(marked + 1, name, SHM_NAME_SIZE - 2);
	marked[SHM_NAME_SIZE - 1] = '\0';
}

enum shm_result shm_table_find_group(
        struct shm_table *table, const char *name, struct shm_entry *group)
{
	char marked[SHM_NAME_SIZE];

	mark_group(marked, name);
	return find(table, marked, true, group);
}

// ---------------------------------------------------------------------------------------------
// Making
// ---------------------------------------------------------------------------------------------

// Where a new generation of a ring begins, for its statistics.
static void prepare_ring(struct shm_table *table, uint32_t index, uint32_t capacity, int64_t now)
{
	struct shm_channel_mem *channel = &table->segment->channel[index];
	struct shm_ring ring;
	uint64_t head, tail;

	store_relaxed(&channel->ring.capacity, capacity);
	shm_table_ring(table, index, &ring);
	(void)shm_ring_pending(&ring, table->pool, &head, &tail);
	store_relaxed(&channel->base, tail);
	shm_pace_begin(&channel->tally.sent, tail, now);
	shm_pace_begin(&channel->tally.full, 0, now);
}

// What an entry is to become.
struct birth {
	const char *name;
	enum shm_kind kind;
	uint32_t capacity;
	uint64_t maker;
	uint32_t lifetime;
};

static enum shm_kind kind_of(uint32_t capacity)
{
	return capacity > 1u << SHM_NARROW_ORDER ? SHM_WIDE : SHM_NARROW;
}

// Takes an entry and fills it in, HELD by us and not in the table yet.
static bool prepare(struct shm_table *table, const struct birth *birth, uint32_t *index)
{
	struct shm_channel_mem *channel;

	if (!shm_hand_take(table, birth->kind, index))
		return false;
	channel = &table->segment->channel[*index];
	// Release: who sets a bit on top of this sees the generation that goes with it.
	for (int i = 0; i < SHM_WAITER_WORDS; i++)
		store_release(&channel->receivers[i], 0);
	store_relaxed(&channel->senders, 0);
	store_relaxed(&channel->maker, birth->maker);
	store_relaxed(&channel->lifetime, birth->lifetime);
	store_relaxed(&channel->hash, shm_table_hash(birth->name));
	write_name(channel, birth->name);
	if (birth->kind == SHM_GROUP)
		// Release: who sees this word sees the generation that goes with it.
		store_release(&channel->group,
		        SHM_GROUP_WORD(SHM_GROUP_OPEN, SHM_ROOT_NONE,
		                SHM_GROUP_TICKET(load_relaxed(&channel->group)) + 1));
	else
		prepare_ring(table, *index, birth->capacity, table->hand[birth->kind].filled);
	return true;
}

// Finds the entry or makes it. SHM_OK or SHM_FULL.
static enum shm_result make(
        struct shm_table *table, const struct birth *birth, struct shm_entry *entry)
{
	uint32_t hash = shm_table_hash(birth->name), mine = 0, left = step_limit(table);
	shm_atomic64 *bucket = &table->segment->buckets[hash & table->segment->bucket_mask];
	enum shm_result result = SHM_FULL;
	bool prepared = false;

	while (left-- > 0) {
		uint64_t head;
		int found = walk(
		        table, birth->name, hash, &left, &entry->index, &entry->generation, &head);
		struct shm_channel_mem *channel;

		if (found < 0)
			continue;
		if (found == 1) {
			if (is_group(table, entry->index) == (birth->kind == SHM_GROUP))
				result = SHM_OK;
			break;
		}
		if (!prepared) {
			prepared = prepare(table, birth, &mine);
			if (!prepared)
				return SHM_FULL;
			continue; // that took a while: walk again
		}
		channel = &table->segment->channel[mine];
		*entry = (struct shm_entry){mine, load_relaxed(&channel->ring.generation)};
		store_release(&channel->link, link_as(head, entry->generation));
		// Death before this line: HELD and not in the table. After it: HELD and in the table.
		if (cas_acq_rel(bucket, &head, link_to(mine, entry->generation))) {
			store_release(&channel->owner, SHM_CHANNEL_LIVE);
			return SHM_OK;
		}
	}
	if (prepared)
		store_release(&table->segment->channel[mine].owner, SHM_CHANNEL_FREE);
	return result;
}

static enum shm_result make_channel(
        struct shm_table *table, const struct birth *birth, struct shm_ring *ring)
{
	struct shm_entry entry;
	enum shm_result result = make(table, birth, &entry);

	if (result == SHM_OK)
		fill_ring(table, entry.index, entry.generation, ring);
	return result;
}

enum shm_result shm_table_make(struct shm_table *table, const char *name, uint32_t capacity,
        uint64_t maker, struct shm_ring *ring)
{
	struct birth birth = {name, kind_of(capacity), capacity, maker, 0};

	return make_channel(table, &birth, ring);
}

enum shm_result shm_table_make_wide(
        struct shm_table *table, const char *name, uint32_t capacity, struct shm_ring *ring)
{
	struct birth birth = {name, SHM_WIDE, capacity, 0, 0};

	return make_channel(table, &birth, ring);
}

enum shm_result shm_table_make_history(struct shm_table *table, const char *name, uint32_t capacity,
        uint32_t lifetime, struct shm_ring *ring)
{
	struct birth birth = {name, kind_of(capacity), capacity, 0, lifetime};

	return make_channel(table, &birth, ring);
}

enum shm_result shm_table_make_group(
        struct shm_table *table, const char *name, struct shm_entry *group)
{
	char marked[SHM_NAME_SIZE];
	struct birth birth = {.name = marked, .kind = SHM_GROUP};

	mark_group(marked, name);
	return make(table, &birth, group);
}

// Whether inboxes have their share of the wide rings. Each process that opens reply channels has one, for as long as it
// lives; with as many processes as there are wide rings there would be none for any channel that all of them wait for.
// The smallest layer has 8, of which 6 are kept: for what comes from a server's clients, and for delayed messages.
static bool has_wide_inboxes(const struct shm_table *table)
{
	uint32_t wide = table->segment->geometry.wide, inboxes = 0;
	uint32_t reserved = wide < 8 ? wide / 2 : wide / 4 + 4;

	for (uint32_t index = 0; index < wide; index++) {
		struct shm_channel_mem *channel = &table->segment->channel[index];
		uint64_t maker = load_relaxed(&channel->maker);

		inboxes += maker != 0 && load_relaxed(&channel->owner) == SHM_OWN_HELD(maker);
	}
	return inboxes >= wide - reserved;
}

enum shm_result shm_table_make_inbox(
        struct shm_table *table, const char *name, uint32_t capacity, struct shm_ring *ring)
{
	struct birth birth = {name, kind_of(capacity), capacity, table->self->uid, 0};
	uint32_t index;

	if (birth.kind == SHM_WIDE && has_wide_inboxes(table))
		return SHM_FULL;
	if (!prepare(table, &birth, &index))
		return SHM_FULL;
	shm_table_ring(table, index, ring);
	store_release(&table->segment->channel[index].link, link_to_none(ring->generation));
	return SHM_OK;
}

// ---------------------------------------------------------------------------------------------
// Ending
// ---------------------------------------------------------------------------------------------

// Whether the channel can be reached through its bucket. Unlinks marked ones on the way.
static bool is_linked(struct shm_table *table, uint32_t index, uint32_t generation)
{
	struct shm_channel_mem *wanted = &table->segment->channel[index];
	shm_atomic64 *bucket =
	        &table->segment->buckets[load_relaxed(&wanted->hash) & table->segment->bucket_mask];
	uint32_t left = step_limit(table);

	while (left > 0) {
		struct cursor at = {.from = bucket, .link = load_acquire(bucket), .bucket = true};

		for (;;) {
			struct shm_channel_mem *channel;
			uint32_t found;
			uint64_t next;

			if (!step(table, &at, &left, &channel, &found, &next))
				break; // start again
			if (!channel)
				return false;
			if (found == index && LINK_GENERATION(next) == generation)
				return true;
			at = (struct cursor){&channel->link, next, false};
		}
	}
	return false;
}

static void unlink_entry(struct shm_table *table, uint32_t index, uint32_t generation)
{
	struct shm_channel_mem *channel = &table->segment->channel[index];
	uint64_t link = load_acquire(&channel->link);

	// The link of a later use has another generation, so that one can't be marked however long we are stopped here.
	while (load_acquire(&channel->ring.generation) == generation && !(link & LINK_MARK))
		if (cas_acq_rel(&channel->link, &link, link | LINK_MARK))
			break;
	(void)is_linked(table, index, generation);
}

void shm_table_unlink(struct shm_table *table, const struct shm_ring *ring)
{
	unlink_entry(table, ring->id, ring->generation);
}

void shm_table_unlink_group(struct shm_table *table, const struct shm_entry *group)
{
	unlink_entry(table, group->index, group->generation);
}

// Receives and frees what waits, at most a lap, counting each in *DROPPED and, first, in COUNTER.
static void drain(
        struct shm_table *table, struct shm_ring *ring, enum shm_counter counter, uint64_t *dropped)
{
	uint32_t handle;

	for (uint32_t left = 1u << ring->order;
	        left > 0 && shm_ring_pop(ring, table->pool, &handle) == SHM_OK; left--) {
		if (dropped)
			++*dropped;
		shm_tally_drop(table, ring, counter, handle);
	}
}

// Steps 3 and 4 of ending an entry that we hold and have sealed.
void shm_table_finish(struct shm_table *table, const struct shm_entry *entry)
{
	struct shm_channel_mem *channel = &table->segment->channel[entry->index];

	unlink_entry(table, entry->index, entry->generation);
	// A death between these two: HELD, not in the table, sealed or not: the reaper does this again.
	store_release(&channel->ring.generation, entry->generation + 1);
	store_release(&channel->owner, SHM_CHANNEL_FREE);
}

static void finish(struct shm_table *table, const struct shm_ring *ring)
{
	shm_table_finish(table, &(struct shm_entry){ring->id, ring->generation});
}

static enum shm_result seal(struct shm_table *table, struct shm_ring *ring, bool force,
        enum shm_counter counter, uint64_t *dropped)
{
	enum shm_result result;

	// A producer may slip in between the drain and the seal each time: then we give up some day.
	for (int round = 0; round < 1000; round++) {
		result = shm_ring_seal(ring, table->pool);
		if (result != SHM_FULL || !force)
			break;
		drain(table, ring, counter, dropped);
	}
	return result;
}

// What a message that goes with the channel counts as.
static enum shm_counter loss_of(const struct shm_channel_mem *channel)
{
	return load_relaxed(&channel->lifetime) > 0 ? SHM_COUNT_HISTORY : SHM_COUNT_GONE;
}

enum shm_result shm_table_end(
        struct shm_table *table, struct shm_ring *ring, bool force, uint64_t *dropped)
{
	struct shm_channel_mem *channel = &table->segment->channel[ring->id];
	uint64_t held = SHM_OWN_HELD(table->self->uid), owner = SHM_CHANNEL_LIVE;
	enum shm_result result;

	if (load_acquire(&channel->ring.generation) != ring->generation)
		return SHM_CLOSED;
	if (!cas_acquire(&channel->owner, &owner, held) && owner != held)
		return SHM_FULL;
	result = !force && shm_table_has_receivers(channel)
	                 ? SHM_FULL
	                 : seal(table, ring, force, loss_of(channel), dropped);
	if (result == SHM_OK)
		finish(table, ring);
	else // also if the generation had changed before we took it: then it is another's live channel
		store_release(&channel->owner, SHM_CHANNEL_LIVE);
	return result;
}

enum shm_result shm_table_shut(struct shm_table *table, struct shm_ring *ring)
{
	enum shm_result result = shm_table_end(table, ring, true, NULL);

	if (result != SHM_FULL)
		return result;
	// The mark is put by a CAS from what was last published, so it can't get into a later generation. Whoever has the
	// entry finds the ring sealed, or makes it LIVE and leaves it to who looks for one that is idle.
	result = seal(table, ring, true, loss_of(&table->segment->channel[ring->id]), NULL);
	if (result == SHM_OK)
		shm_table_unlink(table, ring);
	return result;
}

// Whether the process that made the channel and is to end it, if there is one, uses SLOT or is gone.
static bool is_orphan(const struct shm_table *table, uint64_t maker, uint32_t slot)
{
	uint32_t at = SHM_UID_SLOT(maker);

	if (maker == 0)
		return false;
	return at == slot || at >= SHM_PROCESSES ||
	       load_acquire(&table->segment->processes[at].uid) != maker;
}

void shm_table_recover(struct shm_table *table, uint32_t index, uint32_t slot, uint64_t *dropped)
{
	struct shm_channel_mem *channel = &table->segment->channel[index];
	struct shm_ring ring;
	uint64_t owner;
	bool held, made;

	shm_table_ring(table, index, &ring); // the generation first, as in hand.c
	owner = load_acquire(&channel->owner);
	held = shm_own_is_held_by(owner, slot);
	made = is_orphan(table, load_acquire(&channel->maker), slot);
	if (!held && !(made && owner == SHM_CHANNEL_LIVE))
		return;
	// Whoever is named as owner is dead or ourselves: take its place, so that our own death is seen.
	if (!cas_acquire(&channel->owner, &owner, SHM_OWN_HELD(table->self->uid)))
		return;
	if (seal(table, &ring, made || !is_linked(table, index, ring.generation), SHM_COUNT_LOST,
	            dropped) == SHM_OK)
		finish(table, &ring);
	else
		store_release(&channel->owner, SHM_CHANNEL_LIVE);
}

// Whether an entry that we hold was sealed by who had to leave the rest to others.
static bool is_shut(struct shm_table *table, struct shm_ring *ring)
{
	uint32_t handle;

	return load_acquire(&ring->mem->generation) == ring->generation &&
	       shm_ring_pop_before(ring, table->pool, 0, &handle) == SHM_CLOSED;
}

// As a birth: HELD by us and not in the table, then in the table and HELD, then LIVE. If we die on the way, the
// reaper ends it or makes it LIVE.
bool shm_table_adopt(struct shm_table *table, uint32_t index, uint32_t generation)
{
	struct shm_channel_mem *channel = &table->segment->channel[index];
	uint64_t owner = SHM_CHANNEL_LIVE, head, dropped = 0;
	uint32_t found_index, found_generation, left = step_limit(table);
	struct shm_ring ring;
	char name[SHM_NAME_SIZE];
	bool done = false;

	if (!cas_acquire(&channel->owner, &owner, SHM_OWN_HELD(table->self->uid)))
		return false;
	shm_table_name(table, index, name);
	if (!is_group(table, index)) {
		fill_ring(table, index, generation, &ring);
		if (is_shut(table, &ring)) {
			finish(table, &ring);
			return true;
		}
	}
	while (left > 0 && !done) {
		const uint32_t hash = shm_table_hash(name);
		int found = walk(table, name, hash, &left, &found_index, &found_generation, &head);

		// It is another's by now, or it was put in already.
		if (load_acquire(&channel->ring.generation) != generation ||
		        (found == 1 && found_index == index))
			break;
		if (found == 1) {
			if (is_group(table, index) ||
			        seal(table, &ring, true, SHM_COUNT_LOST, &dropped) != SHM_OK)
				break; // a group nobody finds loses its members in time, and ends
			finish(table, &ring);
			return true;
		}
		if (found < 0)
			continue;
		store_relaxed(&channel->hash, hash);
		store_release(&channel->link, link_as(head, generation));
		done = cas_acq_rel(&table->segment->buckets[hash & table->segment->bucket_mask],
		        &head, link_to(index, generation));
	}
	store_release(&channel->owner, SHM_CHANNEL_LIVE);
	return done;
}

bool shm_table_hold(struct shm_table *table, const struct shm_entry *group)
{
	struct shm_channel_mem *channel = &table->segment->channel[group->index];
	uint64_t owner = SHM_CHANNEL_LIVE;

	if (load_acquire(&channel->ring.generation) != group->generation ||
	        !cas_acquire(&channel->owner, &owner, SHM_OWN_HELD(table->self->uid)))
		return false;
	// Only who holds it changes the generation: it can't any more.
	if (load_acquire(&channel->ring.generation) == group->generation)
		return true;
	shm_table_release(table, group);
	return false;
}

void shm_table_release(struct shm_table *table, const struct shm_entry *group)
{
	store_release(&table->segment->channel[group->index].owner, SHM_CHANNEL_LIVE);
}

bool shm_table_seize(
        struct shm_table *table, uint32_t index, uint32_t slot, struct shm_entry *group)
{
	struct shm_channel_mem *channel = &table->segment->channel[index];
	uint64_t owner;

	*group = (struct shm_entry){index, load_acquire(&channel->ring.generation)};
	owner = load_acquire(&channel->owner);
	return shm_own_is_held_by(owner, slot) &&
	       cas_acquire(&channel->owner, &owner, SHM_OWN_HELD(table->self->uid));
}

bool shm_table_has_receivers(struct shm_channel_mem *channel)
{
	uint64_t any = 0;

	for (int i = 0; i < SHM_WAITER_WORDS; i++)
		any |= load_seq_cst(&channel->receivers[i]);
	return any != 0;
}

bool shm_table_listen(struct shm_table *table, const struct shm_ring *ring, uint32_t slot)
{
	shm_atomic64 *word = &table->segment->channel[ring->id].receivers[slot / 64];
	uint64_t bit = 1ull << slot % 64, before = fetch_or_seq_cst(word, bit);

	if (load_acquire(&ring->mem->generation) == ring->generation)
		return true;
	// It has become another's channel meanwhile; only we ever set this bit.
	if (!(before & bit))
		(void)fetch_and_release(word, ~bit);
	return false;
}

void shm_table_ignore(struct shm_table *table, const struct shm_ring *ring, uint32_t slot)
{
	shm_atomic64 *word = &table->segment->channel[ring->id].receivers[slot / 64];

	if (load_acquire(&ring->mem->generation) ==
	        ring->generation) // else it is another's channel now
		(void)fetch_and_release(word, ~(1ull << slot % 64));
}
