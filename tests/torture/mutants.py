#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Shows that the torture can fail: plants one mistake at a time in a copy of a source file and expects
a violation. Prints TAP.

The mutated file is compiled and linked in front of the libraries, so that it replaces its original there.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

PAIRS = ("--pairs", "1000", "--seed", "1")  # two victims at a time

# (what is wrong, file, text that stands there exactly once, text instead, the operations that show it, and PAIRS if one
# victim doesn't)
MUTANTS = [
    (
        "a block is SENT only after its publication",
        "shm/ring.c",
        """		store_release(&block->own, SHM_OWN_SENT(ring->id, pos));
		store_relaxed(&block->origin, SHM_ORIGIN(ring->id, ring->generation, pos));
		if (cas_seq_cst(slot, &word, SLOT_WORD(cycle, handle))) {
""",
        """		if (cas_seq_cst(slot, &word, SLOT_WORD(cycle, handle))) {
			store_release(&block->own, SHM_OWN_SENT(ring->id, pos));
""",
        "send",
    ),
    (
        "a message is claimed with a load and a store",
        "shm/ring.c",
        "if (block && cas_seq_cst(&block->own, &expected, SHM_OWN_HELD(pool->uid))) {",
        """if (block && load_seq_cst(&block->own) == expected) {
			store_release(&block->own, SHM_OWN_HELD(pool->uid));""",
        "receive",
    ),
    (
        "a message is freed before it is read",
        "shm/ring.c",
        "if (block && cas_seq_cst(&block->own, &expected, SHM_OWN_HELD(pool->uid))) {",
        "if (block && cas_seq_cst(&block->own, &expected, SHM_FREE)) {",
        "receive",
    ),
    (
        "a sender doesn't look at the generation after loading the slot",
        "shm/ring.c",
        """		if (!is_current(ring)) {
			result = SHM_CLOSED;
			break;
		}
		if (is_full""",
        "		if (is_full",
        "send while the channel ends",
    ),
    (
        "a sender trusts the tail hint",
        "shm/ring.c",
        """			pos++;
			continue;
		}
		if (SLOT_CYCLE(word) + 1 != cycle) {""",
        """			result = SHM_FULL;
			break;
		}
		if (SLOT_CYCLE(word) + 1 != cycle) {""",
        "send",
    ),
    (
        "the head hint is ahead of the truth",
        "shm/ring.c",
        "store_release(&ring->mem->head, pos + 1);",
        "store_release(&ring->mem->head, pos + 2);",
        "receive",
    ),
    (
        "the reaper passes over the zones of the dead",
        "shm/reaper.c",
        "	release_zones(table, slot, reaped);",
        "	(void)release_zones;",
        "send, the first one",
    ),
    (
        "the reaper frees what the dead had sent",
        "shm/reaper.c",
        "SHM_OWN_STATE(own) == SHM_SENT && !shm_reaper_is_published(table, own, handle) &&",
        "SHM_OWN_STATE(own) == SHM_SENT && (shm_reaper_is_published(table, own, handle) || true) &&",
        "reap who had announced a reply channel",
    ),
    (
        "the reaper leaves what was about to be sent",
        "shm/reaper.c",
        "SHM_OWN_STATE(own) == SHM_SENT && !shm_reaper_is_published(table, own, handle) &&",
        "SHM_OWN_STATE(own) == SHM_SENT && shm_reaper_is_published(table, own, handle) && false &&",
        "send",
    ),
    (
        "the reaper doesn't count what the dead had published",
        "shm/reaper.c",
        "	settle_sending(table, slot);",
        "	(void)settle_sending;",
        "send",
    ),
    (
        "the reaper counts what the dead hadn't published",
        "shm/reaper.c",
        "	if (is_unpublished(table, (uint32_t)(sending >> 32), slot))",
        "	if (is_unpublished(table, (uint32_t)(sending >> 32), slot) && false)",
        "send",
    ),
    (
        "the reaper doesn't look for extents that no head lists",
        "shm/reaper.c",
        "if (SHM_OWN_STATE(own) == SHM_PART && !shm_reaper_is_listed(table->pool, own, handle))",
        "if (SHM_OWN_STATE(own) == SHM_PART && !shm_reaper_is_listed(table->pool, own, handle) && false)",
        "send several extents",
    ),
    (
        "the reaper frees heads without their extents",
        "shm/reaper.c",
        "			shm_pool_free(pool, handle);",
        "			store_release(&block->own, SHM_FREE);",
        "receive several extents",
    ),
    (
        "the reaper leaves the bits of dead listeners",
        "shm/reaper.c",
        "if (load_relaxed(&channel->receivers[slot / 64]) & bit)",
        "if (load_relaxed(&channel->receivers[slot / 64]) & bit & 0)",
        "receive",
    ),
    (
        "a message that is due is sent on though another has claimed it",
        "channel/delay.c",
        """		if (shm_ring_claim(&delivery->ring, &delivery->layer->pool, &list[i]))
			settle""",
        """		(void)shm_ring_claim(&delivery->ring, &delivery->layer->pool, &list[i]),
			settle""",
        "deliver what is due",
    ),
    (
        "what found no room is dropped",
        "channel/delay.c",
        "		(void)channel_delay_put_back(layer, &delivery->ring, handle);\n		return;",
        "		shm_pool_free(&layer->pool, handle);\n		return;",
        "put back what is due",
    ),
    (
        "what found no room is published from another's zone",
        "channel/delay_ring.c",
        "	uint32_t copy = copy_held(layer, ring, held);\n",
        """	uint32_t copy = held;
	struct shm_buffer spare;

	if (shm_pool_alloc(&layer->pool, 1, &spare)) {
		held = spare.handle;
		store_relaxed(&shm_pool_block(&layer->pool, held)->origin,
		        load_relaxed(&shm_pool_block(&layer->pool, copy)->origin));
	}
""",
        "put back what is due",
    ),
    (
        "what is put back is let go before it is counted",
        "channel/delay_ring.c",
        """			count_moved(layer, ring, held);
			shm_pool_free(&layer->pool, held);
""",
        """			shm_pool_free(&layer->pool, held);
			count_moved(layer, ring, held);
""",
        "put back what is due",
    ),
    (
        "a metric is in the directory before its name is written",
        "shm/metric.c",
        "			if (!cell)\n				cell = prepare(segment, uid, metric);\n",
        """			if (!cell)
				cell = prepare(segment, uid, &(struct shm_metric){0});
			store_release(&segment->metrics[i], cell);
			word = cell;
			for (size_t k = 0; k < sizeof metric->name / 8; k++)
				store_relaxed(&segment->metric_cells[cell - 1].name[k],
				        ((const uint64_t *)(const void *)metric->name)[k]);
""",
        "open a metric",
    ),
    (
        "the reaper leaves a metric that was about to be entered",
        "shm/reaper.c",
        "	shm_metric_recover(table->segment, slot);\n",
        "",
        "open a metric",
    ),
    (
        "what the dead held is counted only when it is free",
        "shm/reaper.c",
        """			shm_process_count(table->self, SHM_COUNT_LOST, 1);
			shm_pool_free(pool, handle);
""",
        """			shm_pool_free(pool, handle);
			shm_process_count(table->self, SHM_COUNT_LOST, 1);
""",
        "reap",
    ),
    (
        "whoever doesn't answer is taken for dead",
        "shm/process.c",
        "	return fcntl(self->lock, F_OFD_SETLK, &lock) == 0;",
        "	return fcntl(self->lock, F_OFD_SETLK, &lock) == 0 || slot != self->slot;",
        "receive",
    ),
    (
        "a slot's incarnation doesn't grow",
        "shm/process.c",
        "incarnation = load_relaxed(&self->mem->incarnation) + 1;",
        "incarnation = load_relaxed(&self->mem->incarnation) | 2;",
        "open a stream",
    ),
    (
        "a forked child keeps its parent's lock",
        "channel/layer.c",
        """		close(layer->self.lock);
		layer->self.lock = -1;""",
        "",
        "receive with a forked child",
    ),
    (
        "the end of a channel doesn't advance its generation",
        "shm/table.c",
        "store_release(&channel->ring.generation, entry->generation + 1);",
        "",
        "send into a new channel",
    ),
    (
        "the reaper doesn't finish what the dead did to channels",
        "shm/reaper.c",
        "		shm_table_recover(table, index, slot, &reaped->messages);",
        "		(void)reaped;",
        "send into a new channel",
    ),
    (
        "a closed reply channel keeps its generation",
        "shm/endpoint.c",
        "STATE((generation + 1) & GENERATION_MASK, 0)))",
        "STATE(generation, 0)))",
        "close a reply channel",
    ),
    (
        "a receiver doesn't look again after saying that it sleeps",
        "channel/receive.c",
        "	if (poll && poll(context)) {",
        "	if (poll && false) {",
        "receive, waiting",
    ),
    (
        "an event loop isn't armed before the last look",
        "channel/receive.c",
        """	shm_doorbell_drowse(&layer->bell, SHM_ASLEEP_FIFO);
	*message = poll_all(layer);
	if (*message) {""",
        """	*message = poll_all(layer);
	shm_doorbell_drowse(&layer->bell, SHM_ASLEEP_FIFO);
	if (*message) {""",
        "receive in an event loop",
    ),
    (
        "a receiver that made room doesn't say so",
        "channel/receive.c",
        "	if (load_seq_cst(senders) != 0)",
        "	if (false)",
        "waiting for room",
    ),
    (
        "a sender doesn't try again after saying that it waits",
        "channel/send.c",
        "pushed == SHM_CLOSED || (pushed == SHM_FULL && outgoing->waits && !waiting));",
        "pushed == SHM_CLOSED);",
        "waiting for room",
    ),
    (
        "one message more gives way than is needed",
        "shm/displace.c",
        "ring->full_at - ring->capacity + 1;",
        "ring->full_at - ring->capacity + 2;",
        "keep in a history",
    ),
    (
        "members get a message before it is kept",
        "channel/group.c",
        """	channel_history_add(layer, group, &outgoing);
	if (found == 0)
		*reached = send_to_members(layer, &entry, &outgoing);
""",
        """	if (found == 0)
		*reached = send_to_members(layer, &entry, &outgoing);
	channel_history_add(layer, group, &outgoing);
""",
        "keep in a history",
    ),
    (
        "what can't be kept doesn't end a history whose entry is another's at the moment",
        "channel/history.c",
        "		(void)shm_table_shut(&layer->table, &ring);",
        "		(void)shm_table_end(&layer->table, &ring, true, NULL);",
        "end a history",
    ),
    (
        "a history is complete though messages have gone by",
        "channel/history.c",
        "		history->complete &= shown;\n",
        "",
        "read a history",
    ),
    (
        "the reaper leaves the cells of the dead",
        "shm/compact.c",
        "	release_cells(table, slot);",
        "	(void)release_cells;",
        "add a long name",
    ),
    (
        "the reaper frees cells that are part of a group",
        "shm/compact.c",
        "found ? used : SHM_FREE",
        "found ? SHM_FREE : SHM_FREE",
        "add a long name",
    ),
    (
        "the reaper keeps cells that are part of no group",
        "shm/compact.c",
        "found ? used : SHM_FREE",
        "found ? used : used",
        "add a long name",
    ),
    (
        "the reaper leaves the hazard of the dead",
        "shm/compact.c",
        "	store_release(&table->segment->processes[slot].hazard, 0);",
        "",
        "add to a group",
    ),
    (
        "the reaper doesn't finish what the dead did to groups",
        "shm/compact.c",
        "		shm_compact_recover(table, i, slot);",
        "		(void)i;",
        "end a group",
    ),
    (
        "a group is made smaller though somebody is inside",
        "shm/compact.c",
        "		if (!is_visited(table, group))",
        "		if (!is_visited(table, group) || true)",
        "add a long name",
    ),
    (
        "who enters a group doesn't cancel a change of it",
        "shm/group.c",
        "		if (SHM_GROUP_PHASE(*word) == SHM_GROUP_OPEN)",
        "		if (SHM_GROUP_PHASE(*word) != SHM_GROUP_CLOSED)",
        "end a group",
    ),
    (
        "old cells are freed though the change of a group failed",
        "shm/compact.c",
        "	if (new != old && done) {",
        "	if (new != old) {",
        "end a group",
    ),
    (
        "what was about to be announced is taken for announced",
        "shm/reaper.c",
        "	bool published = !is_unpublished(table, SHM_WILL_HANDLE(will), SHM_WILL_SLOT(will));",
        "	bool published = !is_unpublished(table, SHM_WILL_HANDLE(will), SHM_WILL_SLOT(will)) || true;",
        "announce",
    ),
    (
        "a farewell that was sent is taken for not sent",
        "shm/reaper.c",
        "	bool published = !is_unpublished(table, SHM_WILL_HANDLE(will), SHM_WILL_SLOT(will));",
        "	bool published = !is_unpublished(table, SHM_WILL_HANDLE(will), SHM_WILL_SLOT(will)) && false;",
        "farewell",
    ),
    (
        "the reaper doesn't settle wills",
        "shm/reaper.c",
        "	settle_wills(table, slot);",
        "	(void)settle_wills;",
        "announce",
    ),
    (
        "a message has an origin before it is SENT, so that one which never was is a channel's loss",
        "shm/ring.c",
        """		store_release(&block->own, SHM_OWN_SENT(ring->id, pos));
		store_relaxed(&block->origin, SHM_ORIGIN(ring->id, ring->generation, pos));
""",
        """		store_relaxed(&block->origin, SHM_ORIGIN(ring->id, ring->generation, pos));
		store_release(&block->own, SHM_OWN_SENT(ring->id, pos));
""",
        "send into a new channel",
    ),
    (
        "who changes a group doesn't look at all who are inside",
        "shm/compact.c",
        "	for (uint32_t slot = 0; slot < SHM_PROCESSES; slot++)\n		if (slot != table->self->slot &&",
        "	for (uint32_t slot = 0; slot < 3; slot++)\n		if (slot != table->self->slot &&",
        "group",
        *PAIRS,
    ),
]


def plant(root, directory, mutant):
    """Writes the mutated copy of the file, and returns its path."""
    what, file, old, new, *_ = mutant
    text = (root / file).read_text()
    if text.count(old) != 1:
        raise ValueError(f"{file} has the text to be replaced {text.count(old)} times, not once")
    path = directory / pathlib.Path(file).name
    path.write_text(text.replace(old, new))
    return path


def build(root, compiler, libraries, directory, path):
    """The first library is the step-killer itself, of which all is needed."""
    binary = directory / "step"
    whole = ["-Wl,--whole-archive", libraries[0], "-Wl,--no-whole-archive"]
    command = [*compiler, "-w", f"-I{root}", path, *whole, *libraries[1:], "-lyajl", "-o", binary]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise ValueError("it doesn't compile:\n" + result.stderr)
    return binary


def caught(binary, *options):
    """The violation that is found first, or None."""
    started = time.monotonic()
    result = subprocess.run(
        [binary, "--first", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,  # only a hang takes that long, on whatever machine
    )
    took = time.monotonic() - started
    if "# SKIP" in result.stdout:
        print("1..0 # SKIP this system doesn't let a process trace its child (ptrace)")
        sys.exit(0)
    if result.returncode == 0:
        return None
    complaint = re.compile(r", instruction \d+: |^# pair of seed |Bail out")
    lines = [line for line in result.stdout.splitlines() if complaint.search(line)]
    if not lines:
        raise ValueError(f"no violation, but status {result.returncode}:\n{result.stdout}")
    return f"{lines[0].lstrip('# ')} ({took:.1f} s)"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=pathlib.Path, required=True, help="of the sources")
    parser.add_argument("--only", default="", help="mutants whose description contains this")
    parser.add_argument("--library", action="append", default=[], help="to be linked, in this order")
    parser.add_argument("compiler", nargs="+", help="and its options")
    arguments = parser.parse_args()

    chosen = [mutant for mutant in MUTANTS if arguments.only in mutant[0]]
    failed = 0
    for number, mutant in enumerate(chosen, 1):
        with tempfile.TemporaryDirectory(prefix="forebay-mutant.") as scratch:
            directory = pathlib.Path(scratch)
            try:
                path = plant(arguments.root, directory, mutant)
                binary = build(arguments.root, arguments.compiler, arguments.library, directory, path)
                options = "--only", *mutant[4:]
                # A sample of the stops may miss the few instructions that matter.
                found = caught(binary, *options) or caught(binary, "--every", *options)
                print("#", found or "nothing was found")
            except (ValueError, subprocess.TimeoutExpired) as error:
                found = None
                print("\n".join("# " + line for line in str(error).splitlines()))
        print("ok" if found else "not ok", f"{number} - {mutant[0]}", flush=True)
        failed += not found
    print(f"1..{len(chosen)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
