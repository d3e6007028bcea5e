// SPDX-License-Identifier: MIT
#include "shm/prefix.h"

#include <string.h>

#include "shm/pool.h"

void shm_prefix_name(const struct shm_segment *segment, uint32_t number, char name[SHM_PREFIX_SIZE])
{
	struct shm_prefix_mem *prefix;

	name[0] = '\0';
	if (number == 0 || number > SHM_PREFIXES)
		return;
	prefix = &segment->prefixes[number - 1];
	if (load_acquire(&prefix->own) != SHM_PREFIX_LIVE)
		return;
	for (int i = 0; i < SHM_PREFIX_SIZE / 8; i++) {
		uint64_t word = load_relaxed(&prefix->name[i]);

		memcpy(name + i * 8, &word, 8);
	}
	name[SHM_PREFIX_SIZE - 1] = '\0';
}

static void write_name(struct shm_prefix_mem *prefix, const char *name)
{
	uint64_t words[SHM_PREFIX_SIZE / 8] = {0};

	memcpy(words, name, strlen(name));
	for (int i = 0; i < SHM_PREFIX_SIZE / 8; i++)
		store_relaxed(&prefix->name[i], words[i]);
}

uint32_t shm_prefix_enter(struct shm_segment *segment, uint64_t uid, const char *prefix)
{
	if (strlen(prefix) >= SHM_PREFIX_SIZE)
		return 0;
	for (uint32_t number = 1; number <= SHM_PREFIXES; number++) {
		struct shm_prefix_mem *entry = &segment->prefixes[number - 1];
		uint64_t own = load_acquire(&entry->own);
		char name[SHM_PREFIX_SIZE];

		if (own == SHM_PREFIX_FREE && cas_acquire(&entry->own, &own, SHM_OWN_HELD(uid))) {
			write_name(entry, prefix);
			store_release(&entry->own, SHM_PREFIX_LIVE);
			return number;
		}
		shm_prefix_name(segment, number, name);
		if (strcmp(name, prefix) == 0)
			return number;
	}
	return 0;
}

void shm_prefix_recover(struct shm_segment *segment, uint32_t slot)
{
	for (int i = 0; i < SHM_PREFIXES; i++) {
		uint64_t own = load_acquire(&segment->prefixes[i].own);

		if (shm_own_is_held_by(own, slot))
			(void)cas_acq_rel(&segment->prefixes[i].own, &own, SHM_PREFIX_FREE);
	}
}
