// SPDX-License-Identifier: MIT
// link.h - the word that links channels into lists; see table.h.
#pragma once

#include <stdint.h>

#define LINK_MARK             1ull
#define LINK_GENERATION(LINK) ((uint32_t)((LINK) >> 32))
#define LINK_TARGET(LINK)     ((uint32_t)(LINK) >> 11) // index + 1, or 0: none
#define LINK_TAG(LINK)        ((uint32_t)(LINK) >> 1 & 0x3ff)

static inline uint64_t link_to(uint32_t index, uint32_t generation, uint32_t own_generation)
{
	return (uint64_t)generation << 32 | (uint64_t)(index + 1) << 11 |
	       (uint64_t)(own_generation & 0x3ff) << 1;
}

static inline uint64_t link_to_none(uint32_t own_generation)
{
	return (uint64_t)own_generation << 32 | (uint64_t)(own_generation & 0x3ff) << 1;
}

// The target of LINK, as a link of the channel (or bucket, 0) with OWN_GENERATION.
static inline uint64_t link_as(uint64_t link, uint32_t own_generation)
{
	if (LINK_TARGET(link) == 0)
		return link_to_none(own_generation);
	return link_to(LINK_TARGET(link) - 1, LINK_GENERATION(link), own_generation);
}
