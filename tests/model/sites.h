// SPDX-License-Identifier: MIT
// sites.h - the atomic operations in shm's sources, and what becomes of them when one is weakened.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "tests/model/memory.h"

enum {
	SITES_MAX = 400,
	SITE_TEXT = 200,
};

// Lists the sites of shm's sources in their order. Returns how many.
size_t sites_list(struct model_site **sites);

// "ring.c shm_ring_push cas(slot) seq_cst -> relaxed": the names of the site and of two orders. Where a
// function does the same more than once, the operation is followed by #2, #3.
void sites_text(
        struct model_site **sites, size_t count, size_t site, unsigned order, char text[SITE_TEXT]);

// The next weaker order than ORDER that is worth trying at the site. False after the last.
bool sites_weaker(const struct model_site *site, unsigned *order);
