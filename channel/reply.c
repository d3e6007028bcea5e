// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel/layer.h"
#include "channel/name.h"
#include "shm/prefix.h"

// A stream's id is slot:8 | incarnation:24 | count:32, so that it never comes back.

#define PREFIXES_KEPT 16 // in use or not

static bool make_inbox(struct forebay *layer)
{
	char name[FOREBAY_NAME_SIZE];

	snprintf(name, sizeof name, "replies to process %u", layer->self.slot);
	return shm_table_make_inbox(&layer->table, name, CHANNEL_INBOX_CAPACITY, &layer->inbox) ==
	               SHM_OK ||
	       shm_table_make_inbox(&layer->table, name, 1u << SHM_NARROW_ORDER, &layer->inbox) ==
	               SHM_OK;
}

static int open_inbox(struct forebay *layer)
{
	// The dead may be what fills the table.
	if (!make_inbox(layer) && (!channel_make_room(layer) || !make_inbox(layer)))
		return FOREBAY_NO_CHANNEL;
	shm_table_listen(&layer->table, &layer->inbox, layer->self.slot);
	layer->has_inbox = true;
	return 0;
}

static void link_zone(struct forebay *layer, struct channel_reply_zone *zone)
{
	zone->before = NULL;
	zone->next = layer->free_zones;
	if (zone->next)
		zone->next->before = zone;
	layer->free_zones = zone;
}

static void unlink_zone(struct forebay *layer, struct channel_reply_zone *zone)
{
	if (zone->next)
		zone->next->before = zone->before;
	if (zone->before)
		zone->before->next = zone->next;
	else
		layer->free_zones = zone->next;
}

// Takes 64 more endpoints.
static int add_zone(struct forebay *layer)
{
	uint32_t number =
	        shm_endpoint_take_zone(&layer->segment, layer->self.uid, &layer->zone_scan);
	struct channel_reply_zone *zone;

	if (number == SHM_HANDLE_NONE) {
		// The dead may have them, or what is owed for them.
		(void)channel_make_room(layer);
		channel_wills_execute(layer);
		number =
		        shm_endpoint_take_zone(&layer->segment, layer->self.uid, &layer->zone_scan);
	}
	if (number == SHM_HANDLE_NONE)
		return FOREBAY_NO_CHANNEL;
	zone = layer->reply_zones[number];
	if (!zone)
		zone = calloc(1, sizeof *zone);
	if (!zone) {
		shm_will_release(&layer->segment, number);
		return -ENOMEM;
	}
	layer->reply_zones[number] = zone;
	zone->number = number;
	zone->ours = true;
	zone->free = NULL;
	for (int i = SHM_ENDPOINT_ZONE - 1; i >= 0; i--) {
		zone->replies[i].index = number * SHM_ENDPOINT_ZONE + (uint32_t)i;
		zone->replies[i].next = zone->free;
		zone->free = &zone->replies[i];
	}
	link_zone(layer, zone);
	layer->empty_zones++;
	return 0;
}

static struct channel_reply *take_reply(struct forebay *layer)
{
	struct channel_reply_zone *zone = layer->free_zones;
	struct channel_reply *reply = zone->free;

	zone->free = reply->next;
	if (zone->used++ == 0)
		layer->empty_zones--;
	if (!zone->free)
		unlink_zone(layer, zone);
	return reply;
}

// A zone of which nothing is in use is given back, for others to open reply channels in: but for one, where there are
// so many that every process may have one.
static void give_reply_back(struct forebay *layer, struct channel_reply *reply)
{
	struct channel_reply_zone *zone = layer->reply_zones[reply->index / SHM_ENDPOINT_ZONE];
	uint32_t zones = layer->segment.geometry.endpoints / SHM_ENDPOINT_ZONE;
	uint32_t spare = zones >= 2 * SHM_PROCESSES ? 1 : 0;

	if (!zone->free)
		link_zone(layer, zone);
	reply->next = zone->free;
	zone->free = reply;
	if (--zone->used > 0 || layer->empty_zones++ < spare)
		return;
	layer->empty_zones--;
	unlink_zone(layer, zone);
	zone->ours = false;
	shm_will_release(&layer->segment, zone->number);
}

static int find_prefix(struct forebay *layer, const char *name, struct channel_prefix **out)
{
	struct channel_prefix *prefix;
	char example[FOREBAY_NAME_SIZE];

	for (prefix = layer->prefixes; prefix; prefix = prefix->next) {
		if (strcmp(prefix->name, name) == 0) {
			*out = prefix;
			return 0;
		}
	}
	if (!channel_name_is_prefix(name))
		return FOREBAY_BAD_NAME;
	prefix = calloc(1, sizeof *prefix);
	if (!prefix)
		return -ENOMEM;
	strcpy(prefix->name, name);
	channel_name_make(example, name, '!', 0);
	prefix->window = channel_capacity(layer, example);
	prefix->number = shm_prefix_enter(&layer->segment, layer->self.uid, name);
	prefix->next = layer->prefixes;
	layer->prefixes = prefix;
	layer->prefix_count++;
	*out = prefix;
	return 0;
}

void channel_prefix_unuse(struct forebay *layer, struct channel_prefix *prefix)
{
	struct channel_prefix **at = &layer->prefixes;

	if (--prefix->uses > 0 || layer->prefix_count <= PREFIXES_KEPT)
		return;
	while (*at != prefix)
		at = &(*at)->next;
	*at = prefix->next;
	layer->prefix_count--;
	free(prefix);
}

void channel_reply_name(
        const struct channel_prefix *prefix, uint32_t index, uint64_t generation, char *name)
{
	channel_name_make(name, prefix->name, '!', CHANNEL_REPLY_ID(index, generation));
}

int forebay_reply_open(struct forebay *layer, const char *prefix, uint32_t window, void *owner,
        char name[FOREBAY_NAME_SIZE])
{
	struct channel_reply *reply;
	struct channel_prefix *known;
	int result = layer->stale ? -ESTALE : find_prefix(layer, prefix, &known);

	if (result != 0)
		return result;
	known->uses++;
	if (!layer->has_inbox)
		result = open_inbox(layer);
	if (result == 0 && !layer->free_zones)
		result = add_zone(layer);
	if (result != 0) {
		channel_prefix_unuse(layer, known);
		return channel_count_refusal(layer, result);
	}
	reply = take_reply(layer);
	reply->owner = owner;
	reply->prefix = known;
	reply->window = window ? window : known->window;
	if (reply->window > CHANNEL_INBOX_CAPACITY)
		reply->window = CHANNEL_INBOX_CAPACITY;
	reply->limit = reply->window;
	reply->seen = reply->held = 0;
	reply->generation = shm_endpoint_open(&layer->segment, reply->index,
	        (uint64_t)layer->inbox.generation << 32 | layer->inbox.id, reply->window,
	        known->number);
	channel_reply_name(known, reply->index, reply->generation, name);
	return 0;
}

static struct channel_reply *reply_at(struct forebay *layer, uint32_t index)
{
	struct channel_reply_zone *zone = index < layer->segment.geometry.endpoints
	                                          ? layer->reply_zones[index / SHM_ENDPOINT_ZONE]
	                                          : NULL;

	return zone && zone->ours ? &zone->replies[index % SHM_ENDPOINT_ZONE] : NULL;
}

struct channel_reply *channel_reply_find(struct forebay *layer, uint32_t index, uint64_t generation)
{
	struct channel_reply *reply = reply_at(layer, index);

	return reply && generation != 0 && reply->generation == generation ? reply : NULL;
}

int channel_reply_look(struct forebay *layer, uint32_t index, uint64_t generation)
{
	switch (shm_endpoint_look(&layer->segment, index, generation)) {
	case SHM_CORRUPT:
		return FOREBAY_BAD_NAME;
	case SHM_CLOSED:
		return FOREBAY_GONE;
	default:
		return 0;
	}
}

static int find_own(struct forebay *layer, const char *name, struct channel_reply **out)
{
	uint64_t id;

	if (layer->stale)
		return -ESTALE;
	if (channel_name_kind(name, &id) != CHANNEL_REPLY)
		return FOREBAY_BAD_NAME;
	*out = channel_reply_find(layer, CHANNEL_REPLY_INDEX(id), CHANNEL_REPLY_GENERATION(id));
	return *out ? 0 : FOREBAY_GONE;
}

// From now on senders find it gone.
static void end_reply(struct forebay *layer, struct channel_reply *reply)
{
	channel_nudge_slots(
	        layer, shm_endpoint_close(&layer->segment, reply->index, reply->generation));
	channel_prefix_unuse(layer, reply->prefix);
	reply->generation = 0;
	reply->owner = NULL;
}

// Its endpoint may be opened anew, unless something is owed for it yet.
static void reuse_reply(struct forebay *layer, struct channel_reply *reply)
{
	if (shm_will_state(&layer->segment, reply->index) != SHM_WILL_NONE)
		return;
	reply->refused = false;
	give_reply_back(layer, reply);
}

int forebay_reply_close(struct forebay *layer, const char *name)
{
	struct channel_reply *reply;
	int result = find_own(layer, name, &reply);

	if (result != 0)
		return result;
	end_reply(layer, reply);
	reuse_reply(layer, reply);
	return 0;
}

// ---------------------------------------------------------------------------------------------
// Wills
// ---------------------------------------------------------------------------------------------

// The message standards have one pair of messages that belong together so.
static const char will_prefix[] = "websocket.send", will_channel[] = "websocket.disconnect";

int forebay_reply_announce(struct forebay *layer, const char *name, const char *channel,
        struct forebay_message *message)
{
	struct channel_reply *reply;
	int result = find_own(layer, name, &reply);

	if (result != 0)
		return result;
	if (strcmp(reply->prefix->name, will_prefix) != 0 ||
	        shm_will_state(&layer->segment, reply->index) != SHM_WILL_NONE)
		return FOREBAY_BAD_NAME;
	return channel_send_will(layer, channel, message, reply->index, SHM_WILL_SETTING, false);
}

// Whether NAME is of the last use of an endpoint of ours, which has ended and for which something is owed.
static bool is_owed(struct forebay *layer, const char *name, struct channel_reply **out)
{
	struct channel_reply *reply;
	uint64_t id, state;

	if (channel_name_kind(name, &id) != CHANNEL_REPLY)
		return false;
	*out = reply = reply_at(layer, CHANNEL_REPLY_INDEX(id));
	if (!reply || reply->generation != 0 ||
	        shm_will_state(&layer->segment, reply->index) != SHM_WILL_SET)
		return false;
	state = load_relaxed(&layer->segment.endpoint[reply->index].state);
	return SHM_ENDPOINT_GENERATION(state) ==
	       CHANNEL_REPLY_GENERATION(CHANNEL_REPLY_GENERATION(id) + 1);
}

int forebay_reply_farewell(struct forebay *layer, const char *name, const char *channel,
        struct forebay_message *message)
{
	struct channel_reply *reply;
	int result = find_own(layer, name, &reply);

	if (result == 0)
		end_reply(layer, reply);
	else if (result != FOREBAY_GONE || !is_owed(layer, name, &reply))
		return result;
	if (shm_will_state(&layer->segment, reply->index) != SHM_WILL_SET) {
		reuse_reply(layer, reply); // nothing was announced
		return FOREBAY_GONE;
	}
	result = channel_send_will(
	        layer, channel, message, reply->index, SHM_WILL_EXECUTING, reply->refused);
	reply->refused = result == FOREBAY_FULL || result == FOREBAY_NO_MEMORY;
	if (result == 0)
		reuse_reply(layer, reply);
	return result;
}

// Sends what is owed for an endpoint whose owner has ended.
static int execute(struct forebay *layer, struct forebay_message *message, uint32_t index)
{
	uint64_t state = load_relaxed(&layer->segment.endpoint[index].state);
	char name[FOREBAY_NAME_SIZE];

	channel_name_make(name, will_prefix, '!',
	        CHANNEL_REPLY_ID(
	                index, CHANNEL_REPLY_GENERATION(SHM_ENDPOINT_GENERATION(state) - 1)));
	forebay_message_reset(message);
	forebay_put_text(message, "reply_channel", name);
	forebay_put_integer(message, "code", 1006);
	forebay_put_text(message, "reason", "");
	return channel_send_will(layer, will_channel, message, index, SHM_WILL_EXECUTING, false);
}

// Returns whether all wills in the zone, which is ours, could be executed.
static bool execute_zone(struct forebay *layer, struct forebay_message *message, uint32_t zone)
{
	for (uint32_t i = 0; i < SHM_ENDPOINT_ZONE; i++) {
		uint32_t index = zone * SHM_ENDPOINT_ZONE + i;

		if (shm_will_state(&layer->segment, index) == SHM_WILL_SET &&
		        execute(layer, message, index) != 0)
			return false;
	}
	return true;
}

void channel_wills_execute(struct forebay *layer)
{
	uint32_t zones = layer->segment.geometry.endpoints / SHM_ENDPOINT_ZONE;
	struct forebay_message *message = NULL;
	bool executed = true;

	if (layer->executing)
		return;
	layer->executing = true;
	// A zone that isn't done with is an orphan again: what was no room for has no room a moment later.
	for (uint32_t round = 0; executed && round < zones; round++) {
		uint32_t zone = shm_will_adopt(&layer->segment, layer->self.uid);

		if (zone == SHM_HANDLE_NONE)
			break;
		if (!message)
			message = forebay_message_new(layer);
		executed = message && execute_zone(layer, message, zone);
		shm_will_release(&layer->segment, zone);
	}
	forebay_message_free(message);
	layer->executing = false;
}

// ---------------------------------------------------------------------------------------------
// Credit
// ---------------------------------------------------------------------------------------------

// Moves the limit, and tells who waits for it.
static void grant(struct forebay *layer, struct channel_reply *reply, uint32_t limit)
{
	reply->limit = limit & SHM_SEQUENCE_MASK;
	channel_nudge_slots(layer, shm_endpoint_grant(&layer->segment, reply->index, limit));
}

bool channel_reply_received(struct channel_reply *reply, uint32_t sequence, uint32_t extents)
{
	if (shm_sequence_diff(sequence, reply->limit) >= 0)
		return false;
	// Several senders may have taken their numbers in another order than they published.
	if (shm_sequence_diff(sequence + 1, reply->seen) > 0)
		reply->seen = (sequence + 1) & SHM_SEQUENCE_MASK;
	reply->held += extents;
	return true;
}

void channel_reply_freed(
        struct forebay *layer, struct channel_reply *reply, uint64_t generation, uint32_t extents)
{
	uint32_t limit;

	if (reply->generation != generation)
		return; // closed meanwhile: nobody can send any more
	reply->held -= extents;
	limit = reply->seen + reply->window -
	        (reply->held < reply->window ? reply->held : reply->window);
	// Half a window at a time, so that the sender's cache line seldom moves.
	if (shm_sequence_diff(limit, reply->limit) >= (int32_t)(reply->window + 1) / 2)
		grant(layer, reply, limit);
}

void channel_reply_heal(struct forebay *layer)
{
	uint32_t zones = layer->segment.geometry.endpoints / SHM_ENDPOINT_ZONE;

	for (uint32_t i = 0; i < zones * SHM_ENDPOINT_ZONE; i++) {
		struct channel_reply *reply = reply_at(layer, i);

		if (!reply) {
			i += SHM_ENDPOINT_ZONE - 1;
			continue;
		}
		if (reply->generation && reply->held == 0) {
			uint32_t next = shm_endpoint_next(&layer->segment, i);

			// All credit is taken, and nothing came of it: the takers are dead, or about to publish,
			// and then at most one more window is under way.
			if (shm_sequence_diff(reply->limit, next) <= 0)
				grant(layer, reply, next + reply->window);
		}
	}
}

void channel_reply_fini(struct forebay *layer)
{
	uint32_t zones = layer->segment.geometry.endpoints / SHM_ENDPOINT_ZONE;

	for (uint32_t zone = 0; layer->reply_zones && zone < zones; zone++)
		free(layer->reply_zones[zone]);
	free(layer->reply_zones);
	layer->reply_zones = NULL;
	while (layer->prefixes) {
		struct channel_prefix *prefix = layer->prefixes;

		layer->prefixes = prefix->next;
		free(prefix);
	}
}

// ---------------------------------------------------------------------------------------------
// Streams
// ---------------------------------------------------------------------------------------------

static enum shm_result make_stream(struct forebay *layer, const char *name)
{
	struct shm_ring ring;

	return shm_table_make(
	        &layer->table, name, channel_capacity(layer, name), layer->self.uid, &ring);
}

int forebay_stream_open(struct forebay *layer, const char *prefix, char name[FOREBAY_NAME_SIZE])
{
	uint64_t incarnation = layer->self.uid & 0xffffff;

	if (layer->stale)
		return -ESTALE;
	if (!channel_name_is_prefix(prefix))
		return FOREBAY_BAD_NAME;
	channel_name_make(name, prefix, '?',
	        (uint64_t)layer->self.slot << 56 | incarnation << 32 | (uint32_t)++layer->streams);
	if (make_stream(layer, name) != SHM_OK &&
	        (!channel_make_room(layer) || make_stream(layer, name) != SHM_OK))
		return channel_count_refusal(layer, FOREBAY_NO_CHANNEL);
	return 0;
}

static int end_stream(struct forebay *layer, const char *name, bool unread_too)
{
	struct shm_channel_mem *channel;
	uint64_t id, waiting, head, tail;
	struct shm_ring ring;

	if (layer->stale)
		return -ESTALE;
	if (channel_name_kind(name, &id) != CHANNEL_STREAM)
		return FOREBAY_BAD_NAME;
	if (shm_table_find(&layer->table, name, &ring) != SHM_OK)
		return FOREBAY_GONE;
	channel = &layer->segment.channel[ring.id];
	if (load_acquire(&channel->maker) != layer->self.uid)
		return FOREBAY_BAD_NAME;
	if (!unread_too && shm_ring_pending(&ring, &layer->pool, &head, &tail) > 0)
		return FOREBAY_FULL;
	// Who listens or waits for room learns of the end now; afterwards the channel may be another's.
	waiting = load_seq_cst(&channel->senders);
	for (int i = 0; i < SHM_WAITER_WORDS; i++)
		waiting |= load_seq_cst(&channel->receivers[i]);
	(void)shm_table_end(&layer->table, &ring, true, NULL);
	// And who has begun to wait meanwhile. Whoever begins from now on finds it sealed.
	waiting |= load_seq_cst(&channel->senders);
	channel_nudge_slots(layer, waiting);
	return 0;
}

int forebay_stream_close(struct forebay *layer, const char *name)
{
	return end_stream(layer, name, true);
}

int forebay_stream_finish(struct forebay *layer, const char *name)
{
	return end_stream(layer, name, false);
}
