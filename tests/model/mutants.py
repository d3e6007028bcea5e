# SPDX-License-Identifier: MIT
"""Changes to shm's sources, each of which a scenario must notice: file, and texts to replace, each of
which must be there exactly once. Weakened orders need no entry here: see `model --survey`."""

MUTANTS = {
    "push_generation_once": ("ring.c", [
        ("	uint64_t pos = load_acquire(&ring->mem->tail);\n"
         "	enum shm_result result = SHM_CORRUPT;\n",
         "	bool current = is_current(ring);\n"
         "	uint64_t pos = load_acquire(&ring->mem->tail);\n"
         "	enum shm_result result = SHM_CORRUPT;\n"),
        ("		if (!is_current(ring)) {\n", "		if (!current) {\n"),
    ]),
    "push_no_generation": ("ring.c", [
        ("		if (!is_current(ring)) {\n", "		if (false) {\n"),
    ]),
    "pop_no_generation": ("ring.c", [
        ("		if (!is_current(ring))\n"
         "			return SHM_CLOSED;\n"
         "		if (ahead < 0) {\n",
         "		if (ahead < 0) {\n"),
        ("		if (SLOT_HANDLE(word) == mark_of(ring))\n"
         "			return SHM_CLOSED;\n", ""),
    ]),
    "pop_head_before_claim": ("ring.c", [
        ("		// The message as its sender wrote it; and",
         "		store_release(&ring->mem->head, pos + 1);\n"
         "		// The message as its sender wrote it; and"),
    ]),
    "claim_moves_head": ("ring.c", [
        ("	// As in pop(), but the hint stays: what is before it may wait yet.\n",
         "	store_release(&ring->mem->head, waiting->pos + 1);\n"),
    ]),
    "lower_only_if_earlier": ("due.c", [
        ("		if (cas_acq_rel(&housekeeping->due, &due, time < due ? time : due))\n",
         "		if (time >= due || cas_acq_rel(&housekeeping->due, &due, time))\n"),
    ]),
    "lower_to_the_last": ("due.c", [
        ("time < due ? time : due))\n", "time))\n"),
    ]),
    "push_tail_before_publish": ("ring.c", [
        ("		store_release(&block->own, SHM_OWN_SENT(ring->id, pos));\n",
         "		store_release(&block->own, SHM_OWN_SENT(ring->id, pos));\n"
         "		store_release(&ring->mem->tail, pos + 1);\n"),
    ]),
    "push_own_after_publish": ("ring.c", [
        ("		store_release(&block->own, SHM_OWN_SENT(ring->id, pos));\n", ""),
        ("			store_release(&ring->mem->tail, pos + 1);\n",
         "			store_release(&block->own, SHM_OWN_SENT(ring->id, pos));\n"
         "			store_release(&ring->mem->tail, pos + 1);\n"),
    ]),
    "seal_over_waiting": ("ring.c", [
        ("			if (is_waiting(ring, pool, pos, word))\n"
         "				return SHM_FULL;\n",
         "			(void)pool;\n"),
    ]),
    "reap_published": ("reaper.c", [
        ("SHM_OWN_STATE(own) == SHM_SENT && !shm_reaper_is_published(table, own, handle) &&",
         "SHM_OWN_STATE(own) == SHM_SENT &&"),
    ]),
    "reap_zone_given_back_first": ("reaper.c", [
        ("	for (uint32_t i = 0; i < per_zone; i++)\n"
         "		mend_block(table, first + i, reaped);\n"
         "	store_release(word, 0);\n",
         "	store_release(word, 0);\n"
         "	for (uint32_t i = 0; i < per_zone; i++)\n"
         "		mend_block(table, first + i, reaped);\n"),
    ]),
    "reap_no_zones": ("reaper.c", [
        ("	release_zones(table, slot, reaped);\n", "	(void)release_zones;\n"),
    ]),
    "reap_no_held": ("reaper.c", [
        ("	release_held(table, slot, reaped);\n", "	(void)release_held;\n"),
    ]),
    "reap_without_lock": ("process.c", [
        ("	return fcntl(self->lock, F_OFD_SETLK, &lock) == 0;\n",
         "	(void)fcntl(self->lock, F_OFD_SETLK, &lock);\n"
         "	return true;\n"),
    ]),
    "reap_by_store": ("reaper.c", [
        ("	return cas_acq_rel(&block->own, own, SHM_OWN_HELD(table->self->uid));\n",
         "	(void)own;\n"
         "	store_release(&block->own, SHM_OWN_HELD(table->self->uid));\n"
         "	return true;\n"),
    ]),
    "free_head_before_extents": ("pool.c", [
        ("	uint32_t list[SHM_PARTS_MAX];\n"
         "\n"
         "	if (parts > 0 && parts <= SHM_PARTS_MAX) {\n",
         "	uint32_t list[SHM_PARTS_MAX];\n"
         "\n"
         "	store_release(&head->own, SHM_FREE);\n"
         "	if (parts > 0 && parts <= SHM_PARTS_MAX) {\n"),
        ("	store_release(&head->own, SHM_FREE); // pairs with the acquire in search()\n", ""),
    ]),
    "free_extents_by_store": ("pool.c", [
        ("				(void)cas_acq_rel(&part->own, &own, SHM_FREE);\n",
         "				(void)own, store_release(&part->own, SHM_FREE);\n"),
    ]),
    "make_without_search": ("table.c", [
        ("		if (cas_acq_rel(bucket, &head, link_to(mine, entry->generation))) {\n",
         "		head = load_acquire(bucket);\n"
         "		store_release(&channel->link, link_as(head, entry->generation));\n"
         "		if (cas_acq_rel(bucket, &head, link_to(mine, entry->generation))) {\n"),
    ]),
    "walk_not_validated": ("table.c", [
        ("		if (load_acquire(at->from) != at->link)\n"
         "			return false;\n", ""),
    ]),
    "make_in_vain_kept": ("table.c", [
        ("	if (prepared)\n"
         "		store_release(&table->segment->channel[mine].owner, SHM_CHANNEL_FREE);\n",
         "	(void)prepared;\n"),
    ]),
    "end_free_before_generation": ("table.c", [
        ("	store_release(&channel->ring.generation, entry->generation + 1);\n"
         "	store_release(&channel->owner, SHM_CHANNEL_FREE);\n",
         "	store_release(&channel->owner, SHM_CHANNEL_FREE);\n"
         "	store_release(&channel->ring.generation, entry->generation + 1);\n"),
    ]),
    "listen_no_generation": ("table.c", [
        ("	if (load_acquire(&ring->mem->generation) == ring->generation)\n"
         "		return true;\n"
         "	// It has", "	return true;\n	// It has"),
    ]),
    "recover_never": ("table.c", [
        ("	if (!held && !(made && owner == SHM_CHANNEL_LIVE))\n"
         "		return;\n", "	if (held || !held)\n		return;\n"),
    ]),
    "endpoint_no_generation": ("endpoint.c", [
        ("	if (SHM_ENDPOINT_GENERATION(state) != generation || generation % 2 == 0)\n",
         "	if (generation % 2 == 0)\n"),
    ]),
    "endpoint_close_by_nobody": ("reaper.c", [
        ("	release_endpoints(table, slot);\n	shm_compact_release",
         "	(void)release_endpoints;\n	shm_compact_release"),
    ]),
    "nudge_only_sleepers": ("doorbell.c", [
        ("	(void)exchange_seq_cst(&bell->segment->processes[slot].nudged, SHM_NUDGED);\n", ""),
    ]),
    "wake_without_syscall": ("doorbell.c", [
        ("		return syscall(SYS_futex, sleeping, FUTEX_WAKE, 1, NULL, NULL, 0) > 0 &&\n"
         "		       how == SHM_ASLEEP_FUTEX;\n",
         "		return how == SHM_ASLEEP_FUTEX;\n"),
    ]),
    "drowse_nothing": ("doorbell.c", [
        ("	(void)exchange_seq_cst(&bell->self->mem->sleeping, how);\n", "	(void)bell, (void)how;\n"),
    ]),
    "visit_without_hazard": ("group.c", [
        ("	(void)exchange_seq_cst(&table->self->mem->hazard, SHM_HAZARD(group));\n", ""),
    ]),
    "visit_while_changing": ("group.c", [
        ("		if (SHM_GROUP_PHASE(*word) == SHM_GROUP_OPEN)\n"
         "			return true;\n"
         "		if (SHM_GROUP_PHASE(*word) != SHM_GROUP_CHANGING)\n"
         "			return false;\n",
         "		if (SHM_GROUP_PHASE(*word) != SHM_GROUP_CLOSED)\n"
         "			return true;\n"),
    ]),
    "visit_no_generation": ("group.c", [
        ("		if (load_acquire(&table->segment->channel[group->index].ring.generation) !=\n"
         "		        group->generation)\n"
         "			return false;\n", ""),
    ]),
    "add_over_member": ("group.c", [
        ("	if (old != 0 && (SHM_WORD_TAG(old) != SHM_TAG_REPLY ||\n"
         "	                        shm_member_valid(table->segment, old, now))) {\n",
         "	if (old != 0 && SHM_WORD_TAG(old) != SHM_TAG_REPLY) {\n"),
    ]),
    "compact_without_looking": ("compact.c", [
        ("		if (!is_visited(table, group))\n", "		(void)is_visited;\n		if (true)\n"),
    ]),
    "compact_free_before_change": ("compact.c", [
        ("	done = cas_seq_cst(shm_group_word(change->table->segment, change->group), &word, next);\n",
         "	if (new != old)\n"
         "		settle(change, old, 0, SHM_FREE);\n"
         "	done = cas_seq_cst(shm_group_word(change->table->segment, change->group), &word, next);\n"),
    ]),
    "compact_put_back_own_only": ("compact.c", [
        ("		put_back(change, old, 0, &left);\n",
         "		(void)left;\n		settle(change, old, 0, SHM_OWN_USED(change->group));\n"),
    ]),
    "compact_without_hazard": ("compact.c", [
        ("	(void)exchange_seq_cst(&table->self->mem->hazard, SHM_HAZARD(group));\n", ""),
    ]),
    "reap_linked_cells": ("compact.c", [
        ("&own, found ? used : SHM_FREE);\n", "&own, found && !used ? used : SHM_FREE);\n"),
    ]),
    "reap_no_cells": ("compact.c", [
        ("	release_cells(table, slot);\n", "	(void)release_cells;\n"),
    ]),
    "reap_hazard_first": ("compact.c", [
        ("	release_cells(table, slot);\n",
         "	store_release(&table->segment->processes[slot].hazard, 0);\n"
         "	release_cells(table, slot);\n"),
    ]),
    "metric_lost_to_another": ("metric.c", [
        ("			if (cas_acq_rel(&segment->metrics[i], &word, cell)) {\n",
         "			if (!cas_acq_rel(&segment->metrics[i], &word, cell))\n"
         "				continue;\n"
         "			if (true) {\n"),
    ]),
    "metric_kept_twice": ("metric.c", [
        ("		settle(segment, cell, SHM_METRIC_FREE);\n"
         "		*index = i;\n"
         "		return found", "		*index = i;\n		return found"),
    ]),
    "metric_reaped_entered": ("metric.c", [
        ("		        shm_metric_index_of(segment, i) == SHM_METRIC_NONE ? SHM_METRIC_FREE\n"
         "		                                                           : SHM_METRIC_LIVE);\n",
         "		        SHM_METRIC_FREE);\n"),
    ]),
    "metric_not_reaped": ("reaper.c", [
        ("	shm_metric_recover(table->segment, slot);\n", ""),
    ]),
    "metric_inherited": ("process.c", [
        ("	shm_metric_clear(segment, self->slot);\n", ""),
    ]),
    "reap_no_group": ("compact.c", [
        ("		shm_compact_recover(table, i, slot);\n", "		(void)i;\n"),
    ]),
    # One more than is needed.
    "displace_too_much": ("displace.c", [
        ("ring->full_at - ring->capacity + 1;", "ring->full_at - ring->capacity + 2;"),
    ]),
    "displace_without_claim": ("ring.c", [
        ("		if (block && cas_seq_cst(&block->own, &expected, SHM_OWN_HELD(pool->uid))) {\n",
         "		if (block && (bounds ? (expected = load_seq_cst(&block->own),\n"
         "		                       store_release(&block->own, SHM_OWN_HELD(pool->uid)),\n"
         "		                       expected == SHM_OWN_SENT(ring->id, pos))\n"
         "		                     : cas_seq_cst(&block->own, &expected,\n"
         "		                               SHM_OWN_HELD(pool->uid)))) {\n"),
    ]),
    "displace_count_last": ("displace.c", [
        ("	shm_tally_drop(table, ring,\n"
         "	        load_relaxed(&table->segment->channel[ring->id].lifetime) > 0 ? SHM_COUNT_HISTORY\n"
         "	                                                                      : SHM_COUNT_DISPLACED,\n"
         "	        handle);\n",
         "	shm_pool_free(table->pool, handle);\n"
         "	shm_process_count(table->self, SHM_COUNT_DISPLACED, 1);\n"),
    ]),
    "displace_given_first": ("ring.c", [
        ("			ring->given = pos;\n", "			ring->given = load_relaxed(&ring->mem->tail);\n"),
    ]),
    "shut_only_if_free": ("table.c", [
        ("	if (result != SHM_FULL)\n		return result;\n",
         "	if (result == SHM_FULL)\n		return SHM_OK;\n"
         "	if (result != SHM_FULL)\n		return result;\n"),
    ]),
    "shut_by_name": ("table.c", [
        ("	result = seal(table, ring, true, loss_of(&table->segment->channel[ring->id]), NULL);\n"
         "	if (result == SHM_OK)\n",
         "	result = SHM_OK;\n"),
    ]),
    "will_never_settled": ("reaper.c", [
        ("	settle_wills(table, slot);\n", "	(void)settle_wills;\n"),
    ]),
    "will_taken_for_published": ("reaper.c", [
        ("bool published = !is_unpublished(table, SHM_WILL_HANDLE(will), SHM_WILL_SLOT(will));",
         "bool published = !is_unpublished(table, SHM_WILL_HANDLE(will), SHM_WILL_SLOT(will)) || true;"),
    ]),
    "will_taken_for_not_published": ("reaper.c", [
        ("bool published = !is_unpublished(table, SHM_WILL_HANDLE(will), SHM_WILL_SLOT(will));",
         "bool published = !is_unpublished(table, SHM_WILL_HANDLE(will), SHM_WILL_SLOT(will)) && false;"),
    ]),
    # When the blocks have been freed, they don't say any more what was published.
    "will_judged_last": ("reaper.c", [
        ("	settle_wills(table, slot);\n", ""),
        ("	release_endpoints(table, slot);\n	shm_compact_release", "	shm_compact_release"),
        ("	release_zones(table, slot, reaped);\n",
         "	release_zones(table, slot, reaped);\n"
         "	settle_wills(table, slot);\n"
         "	release_endpoints(table, slot);\n"),
    ]),
    "will_forgotten": ("will.c", [
        ("any ? SHM_ORPHANED : 0);", "any ? 0 : 0);"),
    ]),
    "will_adopted_twice": ("will.c", [
        ("		        cas_acquire(&segment->endpoint_zones[zone], &nobody, uid))\n",
         "		        nobody == SHM_ORPHANED) {\n"
         "			store_release(&segment->endpoint_zones[zone], uid);\n"),
        ("			return zone;\n	}\n", "			return zone;\n		}\n	}\n"),
    ]),
    "peek_judged_before": ("peek.c", [
        ("	return shm_pool_view(pool, buffer->handle, &again) && is_same(buffer, &again) &&\n"
         "	       is_there(ring, block, glimpse->pos, &glimpse->waiting);\n",
         "	return shm_pool_view(pool, buffer->handle, &again) && is_same(buffer, &again) &&\n"
         "	       (is_there(ring, block, glimpse->pos, &glimpse->waiting) || true);\n"),
    ]),
    "peek_use_unseen": ("pool.c", [
        ("	store_relaxed(&block->origin, SHM_ORIGIN_NONE);\n", ""),
    ]),
}
