// SPDX-License-Identifier: MIT
#include "shm/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "shm/check_region.h"
#include "shm/reaper.h"

enum {
	SUSPICIONS = 1024, // that are looked at again together
	LOOKS = 5,         // after the first
	PAUSE_MS = 5,
	MENDS = 8, // findings in one item
};

// In the order of their dependence: who is alive decides about zones, zones about blocks, channels
// and rings are sound before lists are walked. Claims of wills are judged by blocks that are freed below.
static const struct region *const regions[] = {
        &region_file,
        &region_processes,
        &region_wills,
        &region_block_zones,
        &region_endpoint_zones,
        &region_endpoints,
        &region_channels,
        &region_listeners,
        &region_rings,
        &region_buckets,
        &region_reach,
        &region_groups,
        &region_cells,
        &region_hazards,
        &region_prefixes,
        &region_metric_cells,
        &region_metrics,
        &region_blocks,
        &region_directory,
};

static const struct {
	const char *name, *meaning, *remedy;
} kinds[SHM_FINDINGS] = {
        [SHM_FINDING_HOLES] = {"holes",
                "the file isn't allocated whole, so a full file system will kill who writes to it",
                "allocates it"},
        [SHM_FINDING_DEAD] = {"dead-process", "it died and nobody has given back what it held",
                "gives that back"},
        [SHM_FINDING_SILENT] = {"silent-process",
                "a living process holds the slot and doesn't say who it is: stopped while it "
                "attaches or reaps, or its word was overwritten",
                "leaves it alone"},
        [SHM_FINDING_BAD_UID] = {"bad-uid",
                "its identity makes no sense, so what it holds seems to be nobody's",
                "clears the slot, unless the process is alive"},
        [SHM_FINDING_BAD_SLEEP] = {"bad-sleep", "its sleeping word makes no sense: it isn't woken",
                "says that it is awake; it looks again within 100 ms"},
        [SHM_FINDING_ORPHAN_ZONE] = {"orphan-zone", "its owner is nobody: its blocks aren't used",
                "gives it back, and frees what was never sent"},
        [SHM_FINDING_ORPHAN_BLOCK] = {"orphan-block", "held by nobody: memory is lost", "frees it"},
        [SHM_FINDING_DANGLING] = {"dangling-block",
                "part of a message that was never sent, and its sender is gone: memory is lost",
                "frees it"},
        [SHM_FINDING_UNFINISHED] = {"unfinished-block",
                "part of a message that isn't sent, in a living process's memory: it may be "
                "stopped in the middle of a send",
                "leaves it alone while that process lives"},
        [SHM_FINDING_GARBAGE_BLOCK] = {"garbage-block",
                "its word makes no sense, whoever held it: memory is lost",
                "frees it, unless other processes are attached, of which one may hold it"},
        [SHM_FINDING_STRANDED] = {"stranded-message", "it waits in a channel that has ended",
                "frees it"},
        [SHM_FINDING_MALFORMED] = {"malformed-message",
                "its lengths or its extents make no sense: its receiver will drop it",
                "leaves that to the receiver, who counts it"},
        [SHM_FINDING_ORPHAN_ENDPOINTS] = {"orphan-endpoints",
                "their owner is nobody: reply channels are lost", "ends them and gives them back"},
        [SHM_FINDING_OPEN_ENDPOINT] = {"open-endpoint",
                "it is open and nobody's: what is sent there waits in vain", "ends it"},
        [SHM_FINDING_NO_INBOX] = {"no-inbox",
                "the inbox that it leads to isn't its owner's: replies don't arrive",
                "leaves it alone: it is a living process's, which has to be restarted"},
        [SHM_FINDING_BAD_CREDIT] = {"bad-credit", "its senders have more credit than there can be",
                "leaves it alone: its owner sets it at the next message"},
        [SHM_FINDING_BAD_WILL] = {"bad-will",
                "what it says of a reply channel's end makes no sense",
                "keeps of it what the others act by, or takes it back if the channel never was"},
        [SHM_FINDING_ORPHAN_WILL] = {"orphan-will",
                "nobody is about to say that the reply channel is open, or over, as it is claimed: "
                "its end is never told, and it isn't opened again",
                "finds out whether it was said"},
        [SHM_FINDING_UNSETTLED_WILL] = {"unsettled-will",
                "a living process is about to say that the reply channel is open, or over: it may "
                "be stopped in the middle of that",
                "leaves it alone while that process lives"},
        [SHM_FINDING_LOST_WILL] = {"lost-will",
                "the reply channel's end is to be told, and by nobody",
                "leaves it to whoever keeps the house next"},
        [SHM_FINDING_ORPHAN_CHANNEL] = {"orphan-channel",
                "it was being made or ended by nobody: it can't be used", "completes that"},
        [SHM_FINDING_ORPHAN_STREAM] = {"orphan-stream", "its maker, who is to end it, is nobody",
                "ends it"},
        [SHM_FINDING_BAD_OWNER] = {"bad-owner",
                "its owner word makes no sense: the channel can't be ended",
                "makes it a live one again if it is in the table, or ends it if nobody else is "
                "attached"},
        [SHM_FINDING_BAD_CAPACITY] = {"bad-capacity", "nothing, or too much, could be sent to it",
                "gives it one that fits"},
        [SHM_FINDING_STALE_LISTENER] = {"stale-listener",
                "nobody uses the slot that listens: the channel is kept for nobody",
                "clears the bit"},
        [SHM_FINDING_BAD_SLOT] = {"bad-slot",
                "the position makes no sense among its neighbours: what is behind it is out of "
                "reach",
                "fills it with a message that is taken for received"},
        [SHM_FINDING_HEAD_AHEAD] = {"head-ahead",
                "receivers begin behind messages that wait, or behind what was sent",
                "sets the hint back"},
        [SHM_FINDING_TAIL_AHEAD] = {"tail-ahead",
                "senders begin behind the end, and would leave a gap that stops receivers",
                "sets the hint back"},
        [SHM_FINDING_BAD_LINK] = {"bad-link",
                "it leads to no channel of this list, or in a circle: channels behind it aren't "
                "found",
                "cuts the list there, and puts what it loses back in"},
        [SHM_FINDING_BAD_HASH] = {"bad-hash", "it isn't that of the name: the channel isn't found",
                "sets it"},
        [SHM_FINDING_BAD_NAME] = {"bad-name",
                "it belongs into another list: nobody finds the channel",
                "ends it; who listens makes it anew"},
        [SHM_FINDING_TWICE] = {"name-twice", "there are two of that name, of which one is found",
                "ends the other"},
        [SHM_FINDING_UNREACHABLE] = {"unreachable-channel",
                "it is live but not in the table: nobody finds it",
                "puts it back in, or ends it if it was about to end"},
        [SHM_FINDING_BAD_GROUP] = {"bad-group",
                "its word makes no sense: nobody can join, and nobody is reached",
                "makes it a group without members, unless other processes are attached"},
        [SHM_FINDING_BAD_MEMBER] = {"bad-member",
                "it stands for no member, or leads to no cell of its group: members are missing",
                "takes it out, with what is behind it, unless other processes are attached"},
        [SHM_FINDING_ORPHAN_CELL] = {"orphan-cell", "held by nobody: memory is lost",
                "frees it, or gives it to the group it is part of, unless other processes are "
                "attached"},
        [SHM_FINDING_LOST_CELL] = {"lost-cell", "part of no group: memory is lost",
                "frees it, unless other processes are attached"},
        [SHM_FINDING_STALE_HAZARD] = {"stale-hazard",
                "nobody uses the slot that says it is inside a group: that isn't made smaller",
                "clears it"},
        [SHM_FINDING_ORPHAN_PREFIX] = {"orphan-prefix", "it was being entered by nobody",
                "frees it"},
        [SHM_FINDING_ORPHAN_METRIC] = {"orphan-metric", "it was being entered by nobody",
                "completes or undoes that"},
        [SHM_FINDING_LOST_METRIC] = {"lost-metric",
                "no index leads to it: there is room for one metric less", "frees it"},
        [SHM_FINDING_BAD_METRIC] = {"bad-metric",
                "its index leads to no name, or to one that isn't kept: it isn't shown",
                "keeps the name if there is one; else the index stays unused"},
        [SHM_FINDING_BAD_FIFO] = {"bad-fifo",
                "other processes can't ring it: its process sleeps up to 100 ms too long",
                "makes it right, or removes it"},
        [SHM_FINDING_LEFTOVER] = {"leftover", "of a process that died while making it",
                "removes it"},
        [SHM_FINDING_STRANGER] = {"stranger", "it doesn't belong into a layer's directory",
                "leaves it alone: remove it if nobody needs it"},
};

// ---------------------------------------------------------------------------------------------
// What the regions use
// ---------------------------------------------------------------------------------------------

bool suspect(
        struct suspicion *found, enum shm_finding_kind kind, uint64_t word, const char *format, ...)
{
	va_list arguments;

	found->kind = kind;
	found->word = word;
	va_start(arguments, format);
	vsnprintf(found->where, sizeof found->where, format, arguments);
	va_end(arguments);
	return true;
}

enum holder holder_of(const struct examination *examination, uint64_t uid)
{
	uint32_t slot = SHM_UID_SLOT(uid);
	const struct shm_process_mem *process;
	uint64_t named;

	if (slot >= SHM_PROCESSES)
		return HOLDER_GONE;
	process = &examination->segment->processes[slot];
	named = load_acquire(&process->uid);
	// Of a living process one of the two words is enough: what it holds isn't to be taken away because
	// somebody scribbled over the other.
	if (examination->locked[slot] &&
	        (named == uid || SHM_UID(slot, load_relaxed(&process->incarnation)) == uid))
		return HOLDER_ALIVE;
	return named == uid ? HOLDER_DEAD : HOLDER_GONE;
}

bool is_alone(const struct examination *examination)
{
	const struct shm_table *table = examination->check->table;

	for (uint32_t slot = 0; slot < SHM_PROCESSES; slot++)
		if (examination->locked[slot] && !(table && table->self->slot == slot))
			return false;
	return true;
}

void describe_channel(
        const struct examination *examination, uint32_t index, char *text, size_t size)
{
	char name[SHM_NAME_SIZE];

	shm_table_name(&examination->table, index, name);
	for (char *at = name; *at; at++)
		if (*at < 0x20 || *at > 0x7e)
			*at = '?';
	if (index < examination->segment->channels)
		snprintf(text, size, "channel %u (%s)", index, name);
	else
		snprintf(text, size, "group %u (%s)", index - examination->segment->channels,
		        name[0] ? name + 1 : name);
}

static void look_who_lives(struct examination *examination)
{
	for (uint32_t slot = 0; slot < SHM_PROCESSES; slot++)
		examination->locked[slot] = shm_process_is_locked(examination->segment, slot);
}

// ---------------------------------------------------------------------------------------------
// The file and the processes
// ---------------------------------------------------------------------------------------------

static uint32_t one(struct examination *examination)
{
	(void)examination;
	return 1;
}

static bool look_at_file(struct examination *examination, uint32_t index, struct suspicion *found)
{
	struct stat stat;

	(void)index;
	if (fstat(examination->segment->file, &stat) < 0 ||
	        (uint64_t)stat.st_blocks * 512 >= examination->segment->size)
		return false;
	return suspect(found, SHM_FINDING_HOLES, (uint64_t)stat.st_blocks, "the segment's file");
}

static bool mend_file(struct examination *examination, const struct suspicion *found)
{
	(void)found;
	return posix_fallocate(examination->segment->file, 0, (off_t)examination->segment->size) ==
	       0;
}

const struct region region_file = {one, look_at_file, mend_file};

static uint32_t count_processes(struct examination *examination)
{
	(void)examination;
	return SHM_PROCESSES;
}

static bool look_at_process(struct examination *examination, uint32_t slot, struct suspicion *found)
{
	const struct shm_process_mem *process = &examination->segment->processes[slot];
	uint64_t uid = load_acquire(&process->uid);
	uint32_t pid = load_relaxed(&process->pid), sleeping = load_relaxed(&process->sleeping);
	bool locked = examination->locked[slot];

	if (examination->counting) {
		examination->check->summary.alive += locked;
		examination->check->summary.dead += uid != 0 && !locked;
	}
	if (uid == 0)
		return locked && suspect(found, SHM_FINDING_SILENT, 0, "slot %u", slot);
	if (SHM_UID_SLOT(uid) != slot ||
	        (locked && SHM_UID(slot, load_relaxed(&process->incarnation)) != uid))
		return suspect(found, SHM_FINDING_BAD_UID, uid, "slot %u, process %u", slot, pid);
	if (!locked)
		return suspect(found, SHM_FINDING_DEAD, uid, "slot %u, process %u", slot, pid);
	return sleeping > SHM_ASLEEP_ROOM &&
	       suspect(found, SHM_FINDING_BAD_SLEEP, sleeping, "slot %u, process %u", slot, pid);
}

static bool mend_process(struct examination *examination, const struct suspicion *found)
{
	struct shm_table *table = examination->check->table;
	struct shm_process_mem *process = &table->segment->processes[found->index];
	struct shm_reaped reaped = {0};
	uint32_t sleeping = (uint32_t)found->word;

	switch (found->kind) {
	case SHM_FINDING_DEAD:
	case SHM_FINDING_BAD_UID:
		shm_reaper_run(table, &reaped);
		return load_acquire(&process->uid) != found->word;
	case SHM_FINDING_BAD_SLEEP:
		return cas_seq_cst(&process->sleeping, &sleeping, SHM_AWAKE);
	default:
		return false;
	}
}

const struct region region_processes = {count_processes, look_at_process, mend_process};

// ---------------------------------------------------------------------------------------------
// The run
// ---------------------------------------------------------------------------------------------

static void pause_a_moment(void)
{
	const struct timespec time = {.tv_nsec = PAUSE_MS * 1000000l};

	(void)nanosleep(&time, NULL);
}

static void report(struct examination *examination, const struct suspicion *found, bool repaired)
{
	struct shm_check *check = examination->check;
	const struct shm_finding finding = {
	        .kind = found->kind,
	        .name = kinds[found->kind].name,
	        .meaning = kinds[found->kind].meaning,
	        .remedy = kinds[found->kind].remedy,
	        .where = found->where,
	        .repaired = repaired,
	};

	check->summary.findings[found->kind]++;
	check->summary.repaired += repaired;
	if (check->report)
		check->report(&finding, check->context);
}

// Keeps the suspicions that are the same at another look.
static void look_again(struct examination *examination, const struct region *region)
{
	uint32_t kept = 0;

	look_who_lives(examination);
	for (uint32_t i = 0; i < examination->suspicion_count; i++) {
		struct suspicion *before = &examination->suspicions[i], now = *before;

		if (region->look(examination, before->index, &now) && now.kind == before->kind &&
		        now.word == before->word)
			examination->suspicions[kept++] = now;
	}
	examination->suspicion_count = kept;
}

static void settle(struct examination *examination, const struct region *region)
{
	bool repairs = examination->check->table != NULL;

	examination->counting = false;
	for (int looks = 0; looks < LOOKS && examination->suspicion_count > 0; looks++) {
		pause_a_moment();
		look_again(examination, region);
	}
	for (uint32_t i = 0; i < examination->suspicion_count; i++) {
		struct suspicion *found = &examination->suspicions[i];
		bool mended = repairs && region->mend(examination, found);

		report(examination, found, mended);
		// One item may have more than one thing wrong; the others show when the first is mended.
		for (int left = MENDS; mended && left > 0; left--) {
			if (!region->look(examination, found->index, found))
				break;
			mended = region->mend(examination, found);
			report(examination, found, mended);
		}
	}
	examination->suspicion_count = 0;
	examination->counting = true;
}

static void examine(struct examination *examination, const struct region *region)
{
	uint32_t count = region->count(examination);

	look_who_lives(examination);
	examination->counting = true;
	for (uint32_t index = 0; index < count; index++) {
		struct suspicion *found = &examination->suspicions[examination->suspicion_count];

		found->index = index;
		if (region->look(examination, index, found) &&
		        ++examination->suspicion_count == SUSPICIONS)
			settle(examination, region);
	}
	settle(examination, region);
}

static void examination_fini(struct examination *examination)
{
	shm_pool_fini(&examination->pool);
	free(examination->slots);
	free(examination->reached);
	free(examination->walk);
	free(examination->cells);
	free(examination->met);
	free(examination->files);
	free(examination->suspicions);
}

static bool examination_init(struct examination *examination, struct shm_check *check)
{
	size_t entries = check->segment->entries, cells = check->segment->geometry.cells;

	*examination = (struct examination){.check = check, .segment = check->segment};
	if (shm_pool_init(&examination->pool, check->segment, 0) < 0)
		return false;
	shm_table_init(&examination->table, check->segment, NULL, &examination->pool);
	examination->slots = calloc(1u << SHM_WIDE_ORDER, sizeof *examination->slots);
	examination->reached = calloc(entries, sizeof *examination->reached);
	examination->walk = calloc(entries, sizeof *examination->walk);
	examination->cells = calloc(cells, sizeof *examination->cells);
	examination->met = calloc(cells, sizeof *examination->met);
	examination->suspicions = calloc(SUSPICIONS, sizeof *examination->suspicions);
	return examination->slots && examination->reached && examination->walk &&
	       examination->cells && examination->met && examination->suspicions;
}

int64_t shm_check_run(struct shm_check *check)
{
	struct examination examination;
	int64_t left = 0;

	check->summary = (struct shm_check_summary){0};
	if (!examination_init(&examination, check)) {
		examination_fini(&examination);
		return -ENOMEM;
	}
	for (size_t i = 0; i < sizeof regions / sizeof *regions; i++)
		examine(&examination, regions[i]);
	examination_fini(&examination);
	for (int kind = 0; kind < SHM_FINDINGS; kind++)
		left += check->summary.findings[kind];
	return left - check->summary.repaired;
}
