// SPDX-License-Identifier: MIT
#include <errno.h>
#include <string.h>

#include "channel/layer.h"
#include "channel/name.h"
#include "shm/compact.h"
#include "shm/prefix.h"

#define BATCH         64  // members that are listed at a time
#define COMPACT_AGAIN 100 // ms between two searches for memory in all groups
#define ROUNDS        16  // of one operation, because groups ended under it

// No cell, or no entry of the table, is free: has the dead and all groups give up what they don't need. Returns
// whether to try again.
static bool make_room(struct forebay *layer)
{
	int64_t now = channel_now();
	bool room = channel_make_room(layer);

	if (now < layer->compacted + COMPACT_AGAIN)
		return room;
	layer->compacted = now;
	return shm_compact_all(&layer->table, now) || room;
}

// ---------------------------------------------------------------------------------------------
// Members
// ---------------------------------------------------------------------------------------------

// Checks both names and sets MEMBER.
static int set_member(
        struct forebay *layer, const char *group, const char *channel, struct shm_member *member)
{
	uint64_t id;

	if (channel_name_kind(group, &id) == CHANNEL_BAD)
		return FOREBAY_BAD_NAME;
	switch (channel_name_kind(channel, &id)) {
	case CHANNEL_REPLY:
		shm_member_set_reply(member, &layer->segment, CHANNEL_REPLY_INDEX(id),
		        CHANNEL_REPLY_GENERATION(id));
		return 0;
	case CHANNEL_PLAIN:
	case CHANNEL_STREAM:
		shm_member_set_plain(member, &layer->segment, channel);
		return 0;
	default:
		return FOREBAY_BAD_NAME;
	}
}

static int add(struct forebay *layer, const char *name, const struct shm_member *member)
{
	struct shm_entry group;

	for (int round = 0; round < ROUNDS; round++) {
		enum shm_result result = shm_table_make_group(&layer->table, name, &group);

		if (result != SHM_OK)
			return FOREBAY_NO_CHANNEL;
		result = shm_group_add(&layer->table, &group, member, channel_now());
		if (result == SHM_OK)
			return 0;
		if (result == SHM_FULL)
			return FOREBAY_NO_MEMORY;
		if (result != SHM_CLOSED)
			return FOREBAY_BAD_NAME;
		shm_table_unlink_group(&layer->table, &group);
	}
	return FOREBAY_NO_CHANNEL;
}

int forebay_group_add(struct forebay *layer, const char *group, const char *channel)
{
	struct shm_member member;
	int result;

	if (layer->stale)
		return -ESTALE;
	result = set_member(layer, group, channel, &member);
	if (result == 0 && SHM_MEMBER_IS_REPLY(&member))
		result = channel_reply_look(layer, member.endpoint, member.generation);
	if (result != 0)
		return result;
	result = add(layer, group, &member);
	if ((result == FOREBAY_NO_MEMORY || result == FOREBAY_NO_CHANNEL) && make_room(layer))
		result = add(layer, group, &member);
	return channel_count_refusal(layer, result);
}

int forebay_group_discard(struct forebay *layer, const char *group, const char *channel)
{
	struct shm_member member;
	struct shm_entry entry;
	int64_t now = channel_now();
	int result;

	if (layer->stale)
		return -ESTALE;
	result = set_member(layer, group, channel, &member);
	if (result != 0 || shm_table_find_group(&layer->table, group, &entry) != SHM_OK)
		return result;
	if (shm_group_discard(&layer->table, &entry, &member, now) == SHM_OK)
		shm_compact_if_empty(&layer->table, &entry, now);
	return 0;
}

// Finds the group NAME. FOREBAY_GONE if there is none.
static int find(struct forebay *layer, const char *name, struct shm_entry *group)
{
	uint64_t id;

	if (layer->stale)
		return -ESTALE;
	if (channel_name_kind(name, &id) == CHANNEL_BAD)
		return FOREBAY_BAD_NAME;
	return shm_table_find_group(&layer->table, name, group) == SHM_OK ? 0 : FOREBAY_GONE;
}

static uint64_t size_of(struct forebay *layer, const struct shm_entry *group)
{
	struct shm_member members[BATCH];
	struct shm_place place = {0};
	int64_t now = channel_now();
	uint64_t size = 0;
	uint32_t count;

	while ((count = shm_group_list(&layer->table, group, now, &place, members, BATCH)) > 0)
		size += count;
	return size;
}

int forebay_group_size(struct forebay *layer, const char *group, uint64_t *size)
{
	struct shm_entry entry;
	int result = find(layer, group, &entry);

	*size = result == 0 ? size_of(layer, &entry) : 0;
	return result == FOREBAY_GONE ? 0 : result;
}

// The name of a member as a channel. False if it is none, since somebody scribbled over it.
static bool name_member(
        const struct forebay *layer, const struct shm_member *member, char name[FOREBAY_NAME_SIZE])
{
	char prefix[SHM_PREFIX_SIZE];
	uint64_t id;

	if (!SHM_MEMBER_IS_REPLY(member)) {
		if (channel_name_kind(member->name, &id) == CHANNEL_BAD)
			return false;
		strcpy(name, member->name);
		return true;
	}
	shm_prefix_name(&layer->segment, member->prefix, prefix);
	if (!channel_name_is_prefix(prefix))
		prefix[0] = '\0';
	channel_name_make(
	        name, prefix, '!', CHANNEL_REPLY_ID(member->endpoint, member->generation));
	return true;
}

int forebay_group_channels(struct forebay *layer, const char *group,
        int (*each)(const char *channel, void *context), void *context)
{
	struct shm_member members[BATCH];
	struct shm_place place = {0};
	int64_t now = channel_now();
	struct shm_entry entry;
	uint32_t count;
	int result = find(layer, group, &entry);

	if (result != 0)
		return result == FOREBAY_GONE ? 0 : result;
	while ((count = shm_group_list(&layer->table, &entry, now, &place, members, BATCH)) > 0) {
		for (uint32_t i = 0; i < count; i++) {
			char name[FOREBAY_NAME_SIZE];

			result = name_member(layer, &members[i], name) ? each(name, context) : 0;
			if (result != 0)
				return result;
		}
	}
	return 0;
}

bool channel_group_name(
        struct forebay *layer, const struct shm_entry *group, char name[FOREBAY_NAME_SIZE])
{
	char marked[SHM_NAME_SIZE];
	uint64_t id;

	if (group->index < layer->segment.channels || group->index >= layer->segment.entries)
		return false;
	shm_table_name(&layer->table, group->index, marked);
	if (channel_name_kind(marked + 1, &id) == CHANNEL_BAD ||
	        load_acquire(&layer->segment.channel[group->index].ring.generation) !=
	                group->generation)
		return false;
	strcpy(name, marked + 1);
	return true;
}

int forebay_stat_groups(struct forebay *layer,
        int (*each)(const struct forebay_group_stat *stat, void *context), void *context)
{
	int64_t now = channel_now();

	if (channel_is_blind(layer))
		return -ESTALE;
	for (uint32_t i = layer->segment.channels; i < layer->segment.entries; i++) {
		struct shm_channel_mem *channel = &layer->segment.channel[i];
		struct shm_entry group = {i, load_acquire(&channel->ring.generation)};
		char name[FOREBAY_NAME_SIZE];
		struct forebay_group_stat stat = {.name = name};
		int result;

		if (load_acquire(&channel->owner) == SHM_CHANNEL_FREE ||
		        !channel_group_name(layer, &group, name))
			continue;
		stat.size = shm_group_count(&layer->segment, &group, now);
		result = stat.size > 0 ? each(&stat, context) : 0;
		if (result != 0)
			return result;
	}
	return 0;
}

// ---------------------------------------------------------------------------------------------
// Sending
// ---------------------------------------------------------------------------------------------

// Reply channels in the group, by the process that owns them.
struct tally {
	uint64_t count[SHM_PROCESSES];
	uint64_t inbox[SHM_PROCESSES]; // as an endpoint names it
};

static void tally_reply(struct forebay *layer, struct tally *tally, const struct shm_member *member)
{
	const struct shm_segment *segment = &layer->segment;
	uint64_t owner =
	        load_acquire(&segment->endpoint_zones[member->endpoint / SHM_ENDPOINT_ZONE]);
	uint32_t slot = SHM_UID_SLOT(owner);

	if (owner == 0 || slot >= SHM_PROCESSES)
		return; // it has just died
	tally->count[slot]++;
	tally->inbox[slot] = load_relaxed(&segment->endpoint[member->endpoint].ring);
}

// Sends to a plain channel. A stream that has ended leaves the group.
static uint64_t send_plain(struct forebay *layer, const struct shm_entry *group,
        const struct shm_member *member, struct channel_outgoing *outgoing)
{
	int result;

	if (channel_drop(layer, member->name))
		return 1;
	outgoing->refused = false;
	outgoing->head.to_group &= ~CHANNEL_TO_GROUP;
	result = channel_outgoing_send(layer, member->name, outgoing);
	if (result == FOREBAY_GONE)
		(void)shm_group_discard(&layer->table, group, member, channel_now());
	channel_count(layer, result, 1);
	return result == 0;
}

// One message for each process that owns members, however many.
static uint64_t send_tally(struct forebay *layer, const struct shm_entry *group,
        const struct tally *tally, struct channel_outgoing *outgoing)
{
	uint64_t reached = 0;

	outgoing->head.to_group |= CHANNEL_TO_GROUP;
	outgoing->head.endpoint = group->index;
	outgoing->head.generation = group->generation;
	for (uint32_t slot = 0; slot < SHM_PROCESSES; slot++) {
		int result;

		if (tally->count[slot] == 0)
			continue;
		outgoing->refused = false;
		result = channel_outgoing_push(layer, tally->inbox[slot], outgoing);
		channel_count(layer, result, result == 0 ? 1 : tally->count[slot]);
		if (result == 0)
			reached += tally->count[slot];
	}
	return reached;
}

static uint64_t send_to_members(
        struct forebay *layer, const struct shm_entry *group, struct channel_outgoing *outgoing)
{
	struct shm_member members[BATCH];
	struct shm_place place = {0};
	struct tally tally = {0};
	int64_t now = channel_now();
	uint64_t reached = 0;
	uint32_t count;

	while ((count = shm_group_list(&layer->table, group, now, &place, members, BATCH)) > 0) {
		for (uint32_t i = 0; i < count; i++) {
			if (SHM_MEMBER_IS_REPLY(&members[i]))
				tally_reply(layer, &tally, &members[i]);
			else
				reached += send_plain(layer, group, &members[i], outgoing);
		}
	}
	return reached + send_tally(layer, group, &tally, outgoing);
}

int forebay_group_send(struct forebay *layer, const char *group, struct forebay_message *message,
        uint64_t *reached)
{
	struct channel_outgoing outgoing;
	struct shm_entry entry;
	uint64_t ignored;
	int found = find(layer, group, &entry), result = found;

	reached = reached ? reached : &ignored;
	*reached = 0;
	if (found == 0 || found == FOREBAY_GONE)
		result = channel_outgoing_init(&outgoing, message);
	if (result != 0) {
		channel_count(layer, result, 1);
		return result;
	}
	channel_history_add(layer, group, &outgoing);
	if (found == 0)
		*reached = send_to_members(layer, &entry, &outgoing);
	channel_sent(layer);
	return 0;
}

// ---------------------------------------------------------------------------------------------
// Receiving
// ---------------------------------------------------------------------------------------------

const char *forebay_message_group(const struct forebay_message *message)
{
	return message->received && message->to_group ? message->channel : NULL;
}

static struct channel_reply *own_reply(struct forebay *layer, const struct shm_member *member)
{
	if (!SHM_MEMBER_IS_REPLY(member))
		return NULL;
	return channel_reply_find(layer, member->endpoint, member->generation);
}

bool channel_group_has_own(struct forebay *layer, const struct shm_entry *group)
{
	struct shm_member members[BATCH];
	struct shm_place place = {0};
	char name[FOREBAY_NAME_SIZE];
	int64_t now = channel_now();
	uint32_t count;

	if (!channel_group_name(layer, group, name))
		return false;
	while ((count = shm_group_list(&layer->table, group, now, &place, members, BATCH)) > 0)
		for (uint32_t i = 0; i < count; i++)
			if (own_reply(layer, &members[i]))
				return true;
	return false;
}

// Whether this member's copy is to be dropped on purpose.
static bool is_dropped(struct forebay *layer, const struct channel_reply *reply)
{
	char name[FOREBAY_NAME_SIZE];

	if (!layer->drops[0])
		return false;
	channel_reply_name(reply->prefix, reply->index, reply->generation, name);
	return channel_drop_rolls(layer, name);
}

uint64_t forebay_message_recipients(
        struct forebay_message *message, void (*each)(void *owner, void *context), void *context)
{
	struct forebay *layer = message->layer;
	struct shm_member members[BATCH];
	struct shm_place place = {0};
	int64_t now = channel_now();
	uint64_t number = 0;
	uint32_t count;

	if (layer->stale || !forebay_message_group(message))
		return 0;
	while ((count = shm_group_list(
	                &layer->table, &message->group, now, &place, members, BATCH)) > 0) {
		for (uint32_t i = 0; i < count; i++) {
			// Looked up just now: the call before may have closed it.
			struct channel_reply *reply = own_reply(layer, &members[i]);

			if (!reply)
				continue;
			number++;
			if (!is_dropped(layer, reply))
				each(reply->owner, context);
		}
	}
	return number;
}
