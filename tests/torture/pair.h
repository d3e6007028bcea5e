// SPDX-License-Identifier: MIT
// pair.h - two victims at a time: each stands in the middle of an operation, the second having met what the first one
// left there; then each is killed, or goes on, in either order, and the others go on at each step between.
#pragma once

#include <stdint.h>

#include "tests/torture/operations.h"
#include "tests/torture/tracer.h"

// What a victim may be at.
struct pair_choice {
	const struct operation *operation;
	const struct operation *table; // that it is of
	struct tracer_path path;
};

// Tries PAIRS pairs of the COUNT choices, at random but for SEED. Pair N of a seed is the first pair of seed + N.
// FIRST_ONLY: ends at the first complaint.
void pair_test(struct world *world, const struct pair_choice *choices, uint32_t count,
        uint64_t pairs, uint64_t seed, bool first_only);
