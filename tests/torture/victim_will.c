// SPDX-License-Identifier: MIT
#include <signal.h>

#include "channel/name.h"
#include "shm/will.h"
#include "tests/torture/victim.h"

static struct forebay_message *message;

void victim_ready_announce(void)
{
	victim_need(forebay_reply_open(
	                    victim_own, "websocket.send", 4, NULL, victim_report->name) == 0);
	message = victim_prepare("websocket.connect", 100, victim_report->name);
}

void victim_act_announce(void)
{
	victim_sent(forebay_reply_announce(
	        victim_own, victim_report->name, "websocket.connect", message));
}

void victim_ready_farewell(void)
{
	victim_ready_announce();
	victim_act_announce();
	victim_need(victim_report->result == 0);
	forebay_message_free(message);
	message = victim_prepare("websocket.disconnect", 100, victim_report->name);
}

void victim_act_farewell(void)
{
	victim_sent(forebay_reply_farewell(
	        victim_own, victim_report->name, "websocket.disconnect", message));
}

// Detaching without a farewell, it leaves that to be sent by others.
void victim_ready_detach_announced(void)
{
	victim_ready_announce();
	victim_act_announce();
	victim_need(victim_report->result == 0);
}

// ---------------------------------------------------------------------------------------------
// Those who die before
// ---------------------------------------------------------------------------------------------

static void open_doomed(void)
{
	victim_own = world_attach("doomed");
	victim_need(victim_own != NULL);
	victim_need(forebay_reply_open(
	                    victim_own, "websocket.send", 4, NULL, victim_report->name) == 0);
}

static void announce_doomed(uint64_t number)
{
	const char *name = victim_report->name;

	message = traffic_build(victim_own, "websocket.connect", WORLD_DOOMED, number, 100, name);
	victim_need(forebay_reply_announce(victim_own, name, "websocket.connect", message) == 0);
}

static void farewell_doomed(void)
{
	const char *name = victim_report->name;

	forebay_message_reset(message);
	forebay_put_text(message, "reply_channel", name);
	victim_need(forebay_reply_farewell(victim_own, name, "websocket.disconnect", message) == 0);
}

void victim_die_announced(uint64_t number)
{
	open_doomed();
	announce_doomed(number);
	raise(SIGKILL);
}

// The block that was sent last into CHANNEL.
static uint32_t last_of(const char *channel)
{
	struct shm_ring ring;
	uint32_t handle;

	victim_need(shm_table_find(&victim_own->table, channel, &ring) == SHM_OK);
	victim_need(shm_ring_look(&ring, shm_ring_tail(&ring) - 1, &handle) == 0);
	return handle;
}

void victim_die_claiming(uint64_t number, bool farewell, bool sent)
{
	struct shm_buffer buffer = {0};
	uint64_t id;

	open_doomed();
	if (farewell || sent)
		announce_doomed(number);
	if (farewell && sent)
		farewell_doomed();
	if (sent)
		buffer.handle = last_of(farewell ? "websocket.disconnect" : "websocket.connect");
	else
		victim_need(shm_pool_alloc(&victim_own->pool, 100, &buffer));
	(void)channel_name_kind(victim_report->name, &id);
	shm_will_claim(&victim_own->segment, CHANNEL_REPLY_INDEX(id),
	        farewell ? SHM_WILL_EXECUTING : SHM_WILL_SETTING, victim_own->self.slot,
	        buffer.handle);
	raise(SIGKILL);
}
