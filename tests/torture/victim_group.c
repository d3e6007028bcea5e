// SPDX-License-Identifier: MIT
#include <signal.h>

#include "shm/compact.h"
#include "tests/torture/victim.h"

static struct forebay_message *message;

void victim_act_group_add(void)
{
	victim_report->result = forebay_group_add(victim_own, VICTIM_GROUP, victim_target);
}

void victim_act_group_discard(void)
{
	victim_report->result = forebay_group_discard(victim_own, VICTIM_GROUP, victim_target);
}

// Two reply channels of its own are members, too.
void victim_ready_group_send(void)
{
	char name[FOREBAY_NAME_SIZE];

	for (int i = 0; i < 2; i++)
		victim_need(forebay_reply_open(victim_own, "answer", 2, victim_own, name) == 0 &&
		            forebay_group_add(victim_own, VICTIM_GROUP, name) == 0);
	message = victim_prepare(VICTIM_GROUP, 100, NULL);
}

void victim_act_group_send(void)
{
	victim_sent(forebay_group_send(victim_own, VICTIM_GROUP, message, &victim_report->reached));
}

static void ignore_owner(void *owner, void *context)
{
	(void)owner;
	(void)context;
}

// Its own two get one message.
void victim_leave_group_send(void)
{
	struct forebay_message *received;

	while (forebay_receive(victim_own, 0, &received) == 0) {
		struct traffic_stamp stamp;

		victim_report->copies++;
		if (forebay_message_group(received) && traffic_read(received, &stamp))
			victim_report->recipients +=
			        forebay_message_recipients(received, ignore_owner, NULL);
		forebay_message_free(received);
	}
	victim_report->looked = true;
}

void victim_act_compact(void)
{
	(void)shm_compact_all(&victim_own->table, channel_now());
}

// The cells that are the group's become ours again, as they are before an operation on it is complete; those
// that were in use BEFORE, too, if it is a change of the whole.
static void hold_cells(
        const struct shm_entry *group, const bool before[VICTIM_CELLS], bool changing)
{
	struct shm_segment *segment = &victim_own->segment;

	for (uint32_t cell = 0; cell < segment->geometry.cells; cell++)
		if (load_acquire(&segment->cell_owns[cell]) == SHM_OWN_USED(group) &&
		        (changing || !before[cell]))
			store_release(
			        &segment->cell_owns[cell], SHM_OWN_HELD(victim_own->self.uid));
}

// The word of a group that is about to be changed.
static void begin_change(const struct shm_entry *group)
{
	shm_atomic64 *truth = &victim_own->segment.channel[group->index].group;
	uint64_t word = load_seq_cst(truth);

	victim_need(shm_table_hold(&victim_own->table, group));
	victim_need(cas_seq_cst(truth, &word,
	        SHM_GROUP_WORD(
	                SHM_GROUP_CHANGING, SHM_GROUP_ROOT(word), SHM_GROUP_TICKET(word) + 1)));
}

void victim_die_in_group(bool changing)
{
	struct shm_segment *segment;
	bool before[VICTIM_CELLS];
	struct shm_entry group;
	uint32_t cell;

	victim_own = world_attach("doomed");
	victim_need(victim_own != NULL);
	segment = &victim_own->segment;
	victim_need(segment->geometry.cells <= VICTIM_CELLS);
	for (uint32_t i = 0; i < segment->geometry.cells; i++)
		before[i] = load_acquire(&segment->cell_owns[i]) != SHM_FREE;
	victim_need(forebay_group_add(victim_own, VICTIM_GROUP, victim_target) == 0);
	victim_need(shm_table_find_group(&victim_own->table, VICTIM_GROUP, &group) == SHM_OK);
	(void)exchange_seq_cst(&victim_own->self.mem->hazard, SHM_HAZARD(&group));
	if (changing)
		begin_change(&group);
	hold_cells(&group, before, changing);
	victim_need(shm_cell_take(&victim_own->table, changing, &cell)); // in no tree yet
	raise(SIGKILL);
}
