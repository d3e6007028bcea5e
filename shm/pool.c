// SPDX-License-Identifier: MIT
#include "shm/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// What the largest class holds besides its header: an extent's worth.
#define EXTENT  (65536 - (uint32_t)sizeof(struct shm_block_mem))
#define LARGEST (SHM_CLASSES - 1)

enum {
	NEAR_ZONES = 2,      // that are looked at before another one is taken
	VAIN_SEARCH = 16384, // blocks that are looked at when the search before found none
	SEARCH_SHARE = 16,   // blocks of a search in vain that an allocation after it stands for
	CIRCLE_ZONES = 8,    // of the largest blocks, that a process goes round if there are plenty
	ZONES_LOOK = 256,    // zones that are looked at to see that
	KEPT_SHARE =
	        4, // of a size's zones, that a process keeps at most between two messages: one in so many
	SCARCE_TRUST = 16, // claims for which zones that were scarce are taken for scarce
	SHORT_LOOK = 256,  // blocks of a size that are looked at to see how many are free
};

#define PREFETCH_TURNS 4 // ahead of the next block

uint32_t shm_pool_limit(void)
{
	return SHM_PARTS_MAX * EXTENT;
}

int shm_pool_init(struct shm_pool *pool, struct shm_segment *segment, uint64_t uid)
{
	*pool = (struct shm_pool){.segment = segment, .uid = uid};
	for (int i = 0; i < SHM_CLASSES; i++) {
		struct shm_pool_class *class = &pool->class[i];
		uint32_t blocks = segment->geometry.blocks[i];

		class->room = blocks / shm_class_zone(i);
		pool->first[i + 1] = pool->first[i] + blocks;
		pool->first_zone[i + 1] = pool->first_zone[i] + class->room;
		class->zones = calloc(class->room, sizeof *class->zones);
		if (!class->zones) {
			shm_pool_fini(pool);
			return -ENOMEM;
		}
		// Processes begin at different places, so that they seldom want the same zone.
		class->scan = SHM_UID_SLOT(uid) % class->room;
		class->last = SHM_HANDLE_NONE;
	}
	return 0;
}

void shm_pool_fini(struct shm_pool *pool)
{
	for (int i = 0; i < SHM_CLASSES; i++) {
		free(pool->class[i].zones);
		pool->class[i].zones = NULL;
	}
}

int shm_pool_class_of(const struct shm_pool *pool, uint32_t handle)
{
	int class = 0;

	while (class < SHM_CLASSES && handle >= pool->first[class + 1])
		class ++;
	return class;
}

uint32_t shm_pool_zone_of(const struct shm_pool *pool, uint32_t handle)
{
	int class = shm_pool_class_of(pool, handle);

	return pool->first_zone[class] + (handle - pool->first[class]) / shm_class_zone(class);
}

// Takes one more zone of the class, if one of the next *LEFT is unowned. Acquire: pairs with the release of its last owner.
static bool claim_zone(struct shm_pool *pool, int i, uint32_t *left)
{
	struct shm_pool_class *class = &pool->class[i];

	for (; *left > 0; --*left) {
		uint32_t zone = class->scan;
		shm_atomic64 *word = &pool->segment->zones[pool->first_zone[i] + zone];
		uint64_t nobody = 0;

		class->scan = zone + 1 == class->room ? 0 : zone + 1;
		if (class->owned < class->room && load_relaxed(word) == 0 &&
		        cas_acquire(word, &nobody, pool->uid)) {
			// Back in the only one that we had, we go on where we were.
			if (class->owned > 0 || zone != class->last)
				class->at_block = 0;
			class->at_zone = class->owned;
			class->zones[class->owned++] = zone;
			class->claims++;
			class->claimed = pool->claimed = true;
			--*left;
			return true;
		}
	}
	return false;
}

// Gives back the zone at PLACE of ours.
static void give_back(struct shm_pool *pool, int i, uint32_t place)
{
	struct shm_pool_class *class = &pool->class[i];
	uint32_t zone = class->zones[place];

	class->zones[place] = class->zones[--class->owned];
	if (class->at_zone == place) {
		class->at_zone = 0;
		class->at_block = class->owned > 0 ? 0 : class->at_block;
	} else if (class->at_zone == class->owned) {
		class->at_zone = place;
	}
	class->last = zone;
	store_release(&pool->segment->zones[pool->first_zone[i] + zone], 0);
}

// Where in its zone the block is that is used as number TURN.
static uint32_t place_of(int i, uint32_t turn)
{
	return shm_class_zone(i) < 16 ? turn : shm_scatter(turn);
}

// A receiver on another core had the blocks that are next in turn last: has the first lines of one of them
// come here by the time that it is used. (Always inlined: gcc 12 takes a function that does nothing but
// prefetch for one that does nothing.)
__attribute__((always_inline)) static inline void prefetch_next(const struct shm_pool *pool, int i)
{
	const struct shm_pool_class *class = &pool->class[i];
	uint32_t per_zone = shm_class_zone(i);
	uint32_t place = place_of(i, (class->at_block + PREFETCH_TURNS) % per_zone);
	char *block =
	        (char *)shm_pool_block_at(pool, i, class->zones[class->at_zone] * per_zone + place);

	for (int line = 0; line < SHM_PREFETCH_LINES; line++)
		prefetch_write(block + line * SHM_LINE);
}

// Looks at the next COUNT blocks of our zones for a FREE one.
static struct shm_block_mem *search(struct shm_pool *pool, int i, uint32_t count, uint32_t *handle)
{
	struct shm_pool_class *class = &pool->class[i];
	uint32_t per_zone = shm_class_zone(i);

	class->looked += count;
	for (; count > 0; count--) {
		uint32_t index =
		        class->zones[class->at_zone] * per_zone + place_of(i, class->at_block);
		struct shm_block_mem *block = shm_pool_block_at(pool, i, index);

		if (++class->at_block == per_zone) {
			class->at_block = 0;
			if (++class->at_zone == class->owned)
				class->at_zone = 0;
		}
		// Acquire: pairs with the release that freed it.
		if (load_acquire(&block->own) == SHM_FREE) {
			*handle = pool->first[i] + index;
			prefetch_next(pool, i);
			return block;
		}
	}
	return NULL;
}

// How many of the class's zones are nobody's, as a share of *LOOKED.
static uint32_t count_unowned(const struct shm_pool *pool, int i, uint32_t *looked)
{
	const shm_atomic64 *zones = &pool->segment->zones[pool->first_zone[i]];
	uint32_t room = pool->class[i].room, unowned = 0;

	*looked = room < ZONES_LOOK ? room : ZONES_LOOK;
	for (uint32_t k = 0; k < *looked; k++)
		unowned += load_relaxed(&zones[(uint64_t)k * room / *looked]) == 0;
	return unowned;
}

// Whether half of the largest blocks' zones are nobody's, and enough for another process's circle.
static bool has_plenty(const struct shm_pool *pool)
{
	uint32_t looked, unowned = count_unowned(pool, LARGEST, &looked);

	return unowned > looked / 2 && unowned > CIRCLE_ZONES;
}

// What the receiver has just read lies in its own core's cache, and to write there takes longer than anything else
// about a large message. A circle of 4 MiB is more than a core's cache keeps: by the time that
// a block's turn comes round, its lines are in the cache that all cores share.
static void widen_circle(struct shm_pool *pool)
{
	uint32_t left = pool->class[LARGEST].room;

	while (pool->class[LARGEST].owned < CIRCLE_ZONES && has_plenty(pool) &&
	        claim_zone(pool, LARGEST, &left))
		;
}

// Looks in zones that are nobody's, at most ZONES of them. We take none where nothing is FREE: were we stopped then, it
// would be nobody else's when something is.
static struct shm_block_mem *search_unowned(
        struct shm_pool *pool, int i, uint32_t zones, uint32_t *handle)
{
	struct shm_pool_class *class = &pool->class[i];
	uint32_t left = class->room, at_zone = class->at_zone, at_block = class->at_block;

	for (; zones > 0 && claim_zone(pool, i, &left); zones--) {
		struct shm_block_mem *block = search(pool, i, shm_class_zone(i), handle);

		if (block)
			return block;
		give_back(pool, i, class->owned - 1);
		class->at_zone = at_zone < class->owned ? at_zone : 0;
		class->at_block = at_block;
	}
	return NULL;
}

// Finds a FREE block of the class. Blocks are used in turn, which finds a free one at the first look while
// receivers keep up. Rather than to look far among messages that wait for long, another zone is taken.
static struct shm_block_mem *take_block(struct shm_pool *pool, int i, uint32_t *handle)
{
	struct shm_pool_class *class = &pool->class[i];
	uint32_t near = NEAR_ZONES * shm_class_zone(i), far;
	struct shm_block_mem *block;

	if (i == LARGEST)
		widen_circle(pool);
	far = class->owned * shm_class_zone(i);
	near = near < far ? near : far;
	far -= near;
	class->looked = 0;
	block = search(pool, i, near, handle);
	// What has been looked at isn't looked at again: a search of full memory is one pass.
	if (!block)
		block = search_unowned(pool, i,
		        class->vain ? VAIN_SEARCH / shm_class_zone(i) : class->room, handle);
	if (!block)
		block = search(
		        pool, i, class->vain && far > VAIN_SEARCH ? VAIN_SEARCH : far, handle);
	class->vain = !block;
	// A search in vain is paid for by the next so many allocations, which use a larger size at once.
	class->skip = block ? 0 : class->looked / SEARCH_SHARE;
	return block;
}

// A block of the smallest class that fits and has one. Classes that had none lately come last.
static struct shm_block_mem *take_fitting(struct shm_pool *pool, uint32_t length, uint32_t *handle)
{
	struct shm_block_mem *block = NULL;
	bool skipped[SHM_CLASSES] = {false};

	for (int i = 0; i < SHM_CLASSES && !block; i++) {
		if (length > shm_class_size(i) - sizeof *block)
			continue;
		skipped[i] = pool->class[i].skip > 0;
		if (skipped[i])
			pool->class[i].skip--;
		else
			block = take_block(pool, i, handle);
	}
	for (int i = 0; i < SHM_CLASSES && !block; i++)
		if (skipped[i])
			block = take_block(pool, i, handle);
	return block;
}

// One block for the whole message.
static bool alloc_single(struct shm_pool *pool, uint32_t length, struct shm_buffer *buffer)
{
	struct shm_block_mem *block = take_fitting(pool, length, &buffer->handle);

	if (!block)
		return false;
	store_relaxed(&block->own, SHM_OWN_HELD(pool->uid));
	// What comes next is seen after this by who still looks at what the block was used for before: see peek.h.
	store_relaxed(&block->origin, SHM_ORIGIN_NONE);
	put32(&block->length, SHM_LENGTH(length, 0));
	buffer->length = length;
	buffer->count = 1;
	buffer->span[0].data = block->data;
	buffer->span[0].length = length;
	return true;
}

// A small head block that lists extents. The head is HELD before its first extent names it, and
// each extent names head and serial before it is listed, so a death at any point leaves only
// blocks whose holder is known.
static bool alloc_parts(struct shm_pool *pool, uint32_t length, struct shm_buffer *buffer)
{
	uint32_t parts = (length + EXTENT - 1) / EXTENT;
	struct shm_block_mem *head;
	uint32_t *list, serial;

	if (!alloc_single(pool, parts * sizeof *list, buffer))
		return false;
	head = shm_pool_block(pool, buffer->handle);
	list = (uint32_t *)head->data;
	serial = head->serial + 1;
	put32(&head->serial, serial);
	buffer->length = length;
	buffer->count = parts;
	for (uint32_t i = 0; i < parts; i++) {
		uint32_t handle;
		struct shm_block_mem *part = take_block(pool, LARGEST, &handle);

		if (!part) {
			shm_pool_free(pool, buffer->handle);
			return false;
		}
		put32(&list[i], handle);
		store_relaxed(&part->own, SHM_OWN_PART(serial, buffer->handle));
		store_relaxed(
		        &part->origin, SHM_ORIGIN_NONE); // it may have been a message of its own
		put32(&head->length, SHM_LENGTH(length, i + 1));
		buffer->span[i].data = part->data;
		buffer->span[i].length = i + 1 < parts ? EXTENT : length - i * EXTENT;
	}
	return true;
}

bool shm_pool_alloc(struct shm_pool *pool, uint32_t length, struct shm_buffer *buffer)
{
	CHECK(length <= shm_pool_limit());
	return length <= EXTENT ? alloc_single(pool, length, buffer)
	                        : alloc_parts(pool, length, buffer);
}

// The extent HANDLE if it belongs to that use of that head.
static struct shm_block_mem *part_of(
        const struct shm_pool *pool, uint32_t handle, uint32_t serial, uint32_t head)
{
	struct shm_block_mem *part = shm_pool_block(pool, handle);

	if (!part || shm_pool_class_of(pool, handle) != LARGEST ||
	        load_acquire(&part->own) != SHM_OWN_PART(serial, head))
		return NULL;
	return part;
}

void shm_pool_list(const struct shm_block_mem *head, uint32_t parts, uint32_t list[SHM_PARTS_MAX])
{
	for (uint32_t i = 0; i < parts; i++)
		list[i] = get32(&((const uint32_t *)head->data)[i]);
}

bool shm_pool_view(const struct shm_pool *pool, uint32_t handle, struct shm_buffer *buffer)
{
	struct shm_block_mem *head = shm_pool_block(pool, handle);
	int class = shm_pool_class_of(pool, handle);
	uint32_t list[SHM_PARTS_MAX];
	uint32_t length, parts, serial;

	if (!head)
		return false;
	// One copy of each value, then checks on the copies: another process may write here any time.
	length = get32(&head->length);
	parts = SHM_LENGTH_PARTS(length);
	length = SHM_LENGTH_OCTETS(length);
	serial = get32(&head->serial);
	buffer->handle = handle;
	buffer->length = length;
	if (parts == 0) {
		if (length > shm_class_size(class) - sizeof *head)
			return false;
		buffer->count = 1;
		buffer->span[0].data = head->data;
		buffer->span[0].length = length;
		return true;
	}
	if (parts > SHM_PARTS_MAX || length > parts * EXTENT || length <= (parts - 1) * EXTENT)
		return false;
	shm_pool_list(head, parts, list);
	buffer->count = parts;
	for (uint32_t i = 0; i < parts; i++) {
		struct shm_block_mem *part = part_of(pool, list[i], serial, handle);

		if (!part)
			return false;
		buffer->span[i].data = part->data;
		buffer->span[i].length = i + 1 < parts ? EXTENT : length - i * EXTENT;
	}
	return true;
}

void shm_pool_free(struct shm_pool *pool, uint32_t handle)
{
	struct shm_block_mem *head = shm_pool_block(pool, handle);
	uint32_t parts = SHM_LENGTH_PARTS(get32(&head->length));
	uint32_t serial = get32(&head->serial);
	uint32_t list[SHM_PARTS_MAX];

	if (parts > 0 && parts <= SHM_PARTS_MAX) {
		shm_pool_list(head, parts, list);
		for (uint32_t i = 0; i < parts; i++) {
			struct shm_block_mem *part = shm_pool_block(pool, list[i]);
			uint64_t own = SHM_OWN_PART(serial, handle);

			// By CAS: a reaper may have freed it, and its zone's next owner taken it.
			if (part && shm_pool_class_of(pool, list[i]) == LARGEST)
				(void)cas_acq_rel(&part->own, &own, SHM_FREE);
		}
	}
	store_release(&head->own, SHM_FREE); // pairs with the acquire in search()
}

bool shm_pool_is_of_use(const struct shm_pool *pool, uint32_t handle, uint32_t length)
{
	int class = shm_pool_class_of(pool, handle);
	uint64_t owner;

	if (class == SHM_CLASSES)
		return false;
	owner = load_relaxed(&pool->segment->zones[shm_pool_zone_of(pool, handle)]);
	return (owner == 0 || owner == pool->uid) &&
	       (length > EXTENT || length <= shm_class_size(class) - sizeof(struct shm_block_mem));
}

void shm_pool_trim(struct shm_pool *pool)
{
	for (int i = 0; i < SHM_CLASSES; i++)
		while (pool->class[i].owned > 1)
			give_back(pool, i, pool->class[i].owned - 1);
}

// How many zones we may keep. While more than half of them are nobody's, enough for messages to be written in turn to
// what was read some time ago; then none, so that half of them are left for those at work, however many others there
// are that had some and do nothing now.
static uint32_t keepable(struct shm_pool *pool, int i)
{
	struct shm_pool_class *class = &pool->class[i];
	uint32_t looked, keep = class->room / KEPT_SHARE;

	if (class->scarce && class->claims < SCARCE_TRUST)
		return 0;
	class->claims = 0;
	class->scarce = count_unowned(pool, i, &looked) <= looked / 2;
	if (class->scarce)
		return 0;
	return keep < CIRCLE_ZONES ? CIRCLE_ZONES : keep;
}

void shm_pool_settle_claims(struct shm_pool *pool)
{
	for (int i = 0; i < SHM_CLASSES; i++) {
		struct shm_pool_class *class = &pool->class[i];
		uint32_t keep;

		if (!class->claimed)
			continue;
		class->claimed = false;
		keep = class->owned > 0 ? keepable(pool, i) : 0;
		// The last one is where we go on, if it is still nobody's.
		while (class->owned > keep && class->owned > 1)
			give_back(pool, i,
			        class->at_zone == 0 ? class->owned - 1 : class->at_zone - 1);
		if (class->owned > keep) {
			class->scan = class->zones[0];
			give_back(pool, i, 0);
		}
	}
	pool->claimed = false;
}

bool shm_pool_is_short(const struct shm_pool *pool)
{
	for (int i = 0; i < SHM_CLASSES; i++) {
		uint32_t blocks = pool->segment->geometry.blocks[i], used = 0;
		uint32_t looks = blocks < SHORT_LOOK ? blocks : SHORT_LOOK;
		uint32_t apart = blocks / looks;

		for (uint32_t k = 0; k < looks; k++) {
			// From all zones, and from all places in them; none twice.
			uint32_t index = (uint32_t)((uint64_t)k * blocks / looks) + k % apart;

			used += load_relaxed(&shm_pool_block_at(pool, i, index)->own) != SHM_FREE;
		}
		if (used > looks / 2)
			return true;
	}
	return false;
}

uint32_t shm_pool_used(const struct shm_pool *pool, int class)
{
	uint32_t used = 0;

	for (uint32_t i = 0; i < pool->segment->geometry.blocks[class]; i++)
		used += load_relaxed(&shm_pool_block_at(pool, class, i)->own) != SHM_FREE;
	return used;
}
