// SPDX-License-Identifier: MIT
// link.h - the word that links channels into lists; see table.h.
#pragma once

#include <stdint.h>

#define LINK_MARK             1ull
#define LINK_GENERATION(LINK) ((uint32_t)((LINK) >> 32))
#define LINK_TARGET(LINK)     ((uint32_t)(LINK) >> 1) // index + 1, or 0: none

static inline uint64_t link_to(uint32_t index, uint32_t generation)
{
	return (uint64_t)generation << 32 | (uint64_t)(index + 1) << 1;
}

static inline uint64_t link_to_none(uint32_t generation)
{
	return (uint64_t)generation << 32;
}

// The same target, unmarked, in a word of another generation.
static inline uint64_t link_as(uint64_t link, uint32_t generation)
{
	return (uint64_t)generation << 32 | ((uint32_t)link & ~(uint32_t)LINK_MARK);
}
