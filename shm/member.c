// SPDX-License-Identifier: MIT
#include "shm/member.h"

#include <string.h>

#include "shm/cell.h"
#include "shm/endpoint.h"

#define GENERATION_MASK 0xfffffffull
#define UNITS           1024u           // of a reply channel's `joined`, before it comes round
#define UNITS_AHEAD     8u              // how far another process's clock reading may be ahead
#define PLAIN_MASK      0x1fffffffffull // of a plain channel's `joined`
#define PLAIN_AHEAD     0x100000ull
#define LEFT            4ull

// A name's first cell: the key, the length with the second cell, the octets.
#define NAME_WORDS 2
#define NAME_FIRST ((SHM_CELL_WORDS - NAME_WORDS) * 8)

// Levels of the tree that an index takes, besides the bits of it that the root tells apart.
static unsigned levels_of(const struct shm_segment *segment)
{
	unsigned bits = 32 - (unsigned)__builtin_clz((segment->geometry.endpoints - 1) | 1);

	return bits / SHM_CELL_BITS;
}

static uint64_t key_of_reply(const struct shm_segment *segment, uint32_t endpoint)
{
	unsigned levels = levels_of(segment);
	uint64_t key = 0;

	// The low digits of the index, in reverse order, above what the root has.
	for (unsigned left = levels; left > 0; left--) {
		key = key << SHM_CELL_BITS | (endpoint & (SHM_CELL_WORDS - 1));
		endpoint >>= SHM_CELL_BITS;
	}
	return key << SHM_CELL_BITS | (uint64_t)endpoint << 1;
}

void shm_member_set_reply(struct shm_member *member, const struct shm_segment *segment,
        uint32_t endpoint, uint64_t generation)
{
	member->key = key_of_reply(segment, endpoint);
	member->endpoint = endpoint;
	member->prefix = 0;
	member->generation = generation;
	member->name[0] = '\0';
}

// Differs from segment to segment, so that nobody can prepare names that have one key.
static uint64_t hash_of(const struct shm_segment *segment, const char *name)
{
	uint64_t hash = segment->identity ^ 0xcbf29ce484222325;

	while (*name) {
		hash = (hash ^ (unsigned char)*name++) * 0x100000001b3;
		hash ^= hash >> 32;
	}
	hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccd;
	hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53;
	return hash ^ hash >> 33;
}

void shm_member_set_plain(
        struct shm_member *member, const struct shm_segment *segment, const char *name)
{
	member->key = hash_of(segment, name) >> 4 << 1 | 1;
	member->endpoint = member->prefix = 0;
	member->generation = 0;
	strncpy(member->name, name, SHM_NAME_SIZE - 1);
	member->name[SHM_NAME_SIZE - 1] = '\0';
}

// ---------------------------------------------------------------------------------------------
// Time
// ---------------------------------------------------------------------------------------------

static uint64_t unit_of(const struct shm_segment *segment)
{
	uint64_t unit = segment->geometry.group_expiry / 128;

	return unit < 1000 ? 1000 : unit;
}

static uint32_t units(const struct shm_segment *segment, int64_t now)
{
	return (uint32_t)((uint64_t)now / unit_of(segment) % UNITS);
}

static bool reply_expired(const struct shm_segment *segment, uint64_t word, int64_t now)
{
	uint32_t age = (units(segment, now) - (uint32_t)(word >> 2)) % UNITS;
	uint64_t unit = unit_of(segment);

	return age < UNITS - UNITS_AHEAD &&
	       age > (segment->geometry.group_expiry + unit - 1) / unit;
}

static bool plain_expired(const struct shm_segment *segment, uint64_t word, int64_t now)
{
	uint64_t age = ((uint64_t)now - (word >> 3)) & PLAIN_MASK;

	return age < PLAIN_MASK - PLAIN_AHEAD && age > segment->geometry.group_expiry;
}

// ---------------------------------------------------------------------------------------------
// Words
// ---------------------------------------------------------------------------------------------

uint64_t shm_member_word(const struct shm_segment *segment, const struct shm_member *member,
        uint32_t name, int64_t now)
{
	if (SHM_MEMBER_IS_REPLY(member))
		return (uint64_t)member->endpoint << 40 |
		       (member->generation >> 1 & GENERATION_MASK) << 12 |
		       (uint64_t)units(segment, now) << 2 | SHM_TAG_REPLY;
	return (uint64_t)name << 40 | ((uint64_t)now & PLAIN_MASK) << 3 | SHM_TAG_PLAIN;
}

uint64_t shm_member_left(uint64_t word)
{
	return word | LEFT;
}

static bool reply_valid(
        const struct shm_segment *segment, uint64_t word, int64_t now, uint64_t *generation)
{
	uint32_t index = SHM_WORD_CELL(word);

	if (index >= segment->geometry.endpoints)
		return false;
	*generation = SHM_ENDPOINT_GENERATION(load_acquire(&segment->endpoint[index].state));
	return *generation % 2 == 1 && ((*generation >> 1 ^ word >> 12) & GENERATION_MASK) == 0 &&
	       !reply_expired(segment, word, now);
}

static bool plain_valid(const struct shm_segment *segment, uint64_t word, int64_t now)
{
	return SHM_WORD_CELL(word) < segment->geometry.cells && !(word & LEFT) &&
	       !plain_expired(segment, word, now);
}

bool shm_member_valid(const struct shm_segment *segment, uint64_t word, int64_t now)
{
	uint64_t generation;

	return (SHM_WORD_TAG(word) == SHM_TAG_REPLY &&
	               reply_valid(segment, word, now, &generation)) ||
	       (SHM_WORD_TAG(word) == SHM_TAG_PLAIN && plain_valid(segment, word, now));
}

bool shm_member_key(const struct shm_segment *segment, uint64_t word, uint64_t *key)
{
	uint32_t cell = SHM_WORD_CELL(word);

	if (SHM_WORD_TAG(word) == SHM_TAG_REPLY) {
		*key = key_of_reply(segment, cell);
		return true;
	}
	if (SHM_WORD_TAG(word) != SHM_TAG_PLAIN || cell >= segment->geometry.cells)
		return false;
	*key = load_relaxed(&segment->cells[cell].word[0]);
	return *key % 2 == 1;
}

// ---------------------------------------------------------------------------------------------
// Names, which lie in one or two cells
// ---------------------------------------------------------------------------------------------

int shm_member_cells(const struct shm_member *member)
{
	return strlen(member->name) > NAME_FIRST ? 2 : 1;
}

void shm_member_write(
        const struct shm_segment *segment, const struct shm_member *member, const uint32_t cells[2])
{
	shm_atomic64 *first = segment->cells[cells[0]].word;
	size_t length = strlen(member->name);

	store_relaxed(&first[0], member->key);
	store_relaxed(&first[1], (uint64_t)length << 32 | (length > NAME_FIRST ? cells[1] : 0));
	for (size_t at = 0; at < length; at += 8) {
		uint64_t word = 0;

		memcpy(&word, member->name + at, length - at < 8 ? length - at : 8);
		store_relaxed(at < NAME_FIRST
		                      ? &first[NAME_WORDS + at / 8]
		                      : &segment->cells[cells[1]].word[(at - NAME_FIRST) / 8],
		        word);
	}
}

bool shm_member_second(const struct shm_segment *segment, uint32_t cell, uint32_t *second)
{
	uint64_t word = load_relaxed(&segment->cells[cell].word[1]);

	*second = (uint32_t)word;
	return word >> 32 > NAME_FIRST && *second < segment->geometry.cells;
}

// False if what is there can't be a name.
static bool read_name(const struct shm_segment *segment, uint32_t cell, char name[SHM_NAME_SIZE])
{
	shm_atomic64 *first = segment->cells[cell].word;
	uint64_t length = load_relaxed(&first[1]) >> 32;
	uint32_t second = 0;

	if (length >= SHM_NAME_SIZE)
		return false;
	if (length > NAME_FIRST && !shm_member_second(segment, cell, &second))
		return false;
	for (size_t at = 0; at < length; at += 8) {
		uint64_t word = load_relaxed(
		        at < NAME_FIRST ? &first[NAME_WORDS + at / 8]
		                        : &segment->cells[second].word[(at - NAME_FIRST) / 8]);

		memcpy(name + at, &word, 8);
	}
	name[length] = '\0';
	return true;
}

bool shm_member_read(
        const struct shm_segment *segment, uint64_t word, int64_t now, struct shm_member *member)
{
	if (!shm_member_key(segment, word, &member->key))
		return false;
	if (SHM_WORD_TAG(word) == SHM_TAG_PLAIN) {
		member->endpoint = member->prefix = 0;
		member->generation = 0;
		return plain_valid(segment, word, now) &&
		       read_name(segment, SHM_WORD_CELL(word), member->name);
	}
	if (!reply_valid(segment, word, now, &member->generation))
		return false;
	member->endpoint = SHM_WORD_CELL(word);
	member->name[0] = '\0';
	// Acquire: if the endpoint is still the same afterwards, that was its prefix.
	member->prefix = load_acquire(&segment->endpoint[member->endpoint].prefix);
	return SHM_ENDPOINT_GENERATION(load_relaxed(&segment->endpoint[member->endpoint].state)) ==
	       member->generation;
}

enum shm_result shm_member_match(
        const struct shm_segment *segment, uint64_t word, const struct shm_member *member)
{
	char name[SHM_NAME_SIZE];
	uint64_t key;

	if (!shm_member_key(segment, word, &key) || key != member->key)
		return SHM_EMPTY;
	if (SHM_WORD_TAG(word) == SHM_TAG_REPLY)
		return ((word >> 12 ^ member->generation >> 1) & GENERATION_MASK) == 0 ? SHM_OK
		                                                                       : SHM_CLOSED;
	return read_name(segment, SHM_WORD_CELL(word), name) && strcmp(name, member->name) == 0
	               ? SHM_OK
	               : SHM_CLASH;
}
