// SPDX-License-Identifier: MIT
#include "tests/torture/victim.h"

struct forebay_history victim_asked;

static struct forebay_message *message;

void victim_ready_keep(void)
{
	message = victim_prepare(VICTIM_LOG, 100, NULL);
}

// For this one several of the others have to go.
void victim_ready_keep_larger(void)
{
	message = victim_prepare(VICTIM_LOG, 3000, NULL);
}

void victim_ready_keep_too_large(void)
{
	message = victim_prepare(VICTIM_LOG, 5000, NULL);
}

void victim_act_keep(void)
{
	victim_sent(forebay_group_send(victim_own, VICTIM_LOG, message, &victim_report->reached));
}

static int see(struct forebay_message *kept, void *context)
{
	struct victim_sight *sight = &victim_report->sight[victim_report->sights];

	(void)context;
	if (victim_report->sights == VICTIM_SIGHTS)
		return 0;
	if (!traffic_read(kept, &sight->stamp) ||
	        !forebay_message_history(kept, &sight->place.epoch, &sight->place.offset))
		sight->stamp.sender = WORLD_SENDERS; // the tester will see that it is wrong
	atomic_signal_fence(memory_order_release);
	*(volatile uint32_t *)&victim_report->sights += 1;
	return 0;
}

void victim_act_history(void)
{
	victim_report->history = victim_asked;
	victim_report->result =
	        forebay_group_history(victim_own, VICTIM_LOG, &victim_report->history, see, NULL);
}
