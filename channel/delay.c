// SPDX-License-Identifier: MIT
// delay.c - messages that are sent now and delivered later: the Delay Protocol of the message standards.
//
// They wait in the channel asgi.delay, as ordinary messages whose time is the one at which they are due (SHM_DUE).
// Nobody receives from there. Whoever keeps house, or is about to sleep, looks whether something is due (due.h);
// one of all does: he claims each message that is due, the earliest first and wherever in the ring it stands, and
// sends it to its destination, or puts it back (delay_ring.c).
//
//   a death leaves                                           mended by
//   a message published, `due` not lowered                   the next round of housekeeping, which looks anyhow
//   `due` at NEVER, nothing looked at                        the same
//   a message claimed: HELD, delivered, put back or not      the reaper: counted as lost, never delivered twice
//   its copy, on the way to where it goes or back            the reaper, as with any sender's
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "channel/buffer.h"
#include "channel/layer.h"
#include "channel/name.h"
#include "channel/spans.h"
#include "shm/due.h"

#define AGAIN   100  // ms until what found no room is tried again
#define FEW     64   // messages that are due at a time, for which no memory is asked
#define REFUSED 64   // destinations remembered in one pass
#define DROPPED (-1) // what send_on() answers besides: on purpose

// ---------------------------------------------------------------------------------------------
// Sending
// ---------------------------------------------------------------------------------------------

// The next time for a message that is due in DELAY ms. Those of one process keep their order.
static uint64_t next_time(struct forebay *layer, int delay)
{
	int64_t now = channel_now();

	if (now != layer->delayed_at)
		layer->delayed = 0;
	layer->delayed_at = now;
	if (layer->delayed < SHM_DUE_ORDER_MAX)
		layer->delayed++;
	return SHM_DUE(now + delay, layer->delayed);
}

static int check_destination(struct forebay *layer, const char *name)
{
	struct shm_ring ring;
	uint64_t id;

	switch (channel_name_kind(name, &id)) {
	case CHANNEL_PLAIN:
		return 0;
	case CHANNEL_STREAM:
		return shm_table_find(&layer->table, name, &ring) == SHM_OK ? 0 : FOREBAY_GONE;
	case CHANNEL_REPLY:
		return channel_reply_look(
		        layer, CHANNEL_REPLY_INDEX(id), CHANNEL_REPLY_GENERATION(id));
	default:
		return FOREBAY_BAD_NAME;
	}
}

static int send_after(struct forebay *layer, const char *channel, struct forebay_message *message,
        int delay, int timeout)
{
	int result = check_destination(layer, channel);

	if (result == 0)
		return channel_send_later(
		        layer, channel, message, next_time(layer, delay), timeout);
	channel_count(layer, result, 1);
	return result;
}

int forebay_send_after(
        struct forebay *layer, const char *channel, struct forebay_message *message, int delay)
{
	uint64_t id;

	if (layer->stale)
		return -ESTALE;
	if (delay < 0) {
		channel_count(layer, FOREBAY_BAD_MESSAGE, 1);
		return FOREBAY_BAD_MESSAGE;
	}
	if (delay == 0 && channel_name_kind(channel, &id) != CHANNEL_DELAY)
		return forebay_send(layer, channel, message, 0);
	return send_after(layer, channel, message, delay, 0);
}

// Takes apart what was sent to asgi.delay: INNER is the message to be sent, *CHANNEL its destination.
static int take_apart(struct forebay_message *outer, struct forebay_message *inner,
        const char **channel, int64_t *delay)
{
	const struct forebay_value *root, *name, *number, *content;
	const char *json, *ignored;
	size_t length;
	int result;

	if (outer->kind != FOREBAY_NO_CONTENT)
		return FOREBAY_BAD_MESSAGE;
	result = channel_message_finish(outer, &json, &length);
	if (result == 0)
		result = channel_message_parse(inner, json, length, &root, &ignored);
	if (result != 0)
		return result;
	name = forebay_get(root, "channel");
	number = forebay_get(root, "delay");
	content = forebay_get(root, "content");
	if (!name || name->type != FOREBAY_TYPE_STRING || !number ||
	        number->type != FOREBAY_TYPE_INTEGER || number->integer < 1 ||
	        number->integer > FOREBAY_DELAY_MAX || !content ||
	        content->type != FOREBAY_TYPE_OBJECT)
		return FOREBAY_BAD_MESSAGE;
	if (strlen(name->string) != name->length)
		return FOREBAY_BAD_NAME;
	*channel = name->string;
	*delay = number->integer;
	return channel_message_set(inner, content, &ignored);
}

int channel_delay_request(struct forebay *layer, struct forebay_message *message, int timeout)
{
	struct forebay_message *inner = forebay_message_new(layer);
	const char *channel;
	int64_t delay;
	int result = inner ? take_apart(message, inner, &channel, &delay) : -ENOMEM;

	if (result == 0)
		result = send_after(layer, channel, inner, (int)delay, timeout);
	else
		channel_count(layer, result, 1);
	forebay_message_free(inner);
	return result;
}

// ---------------------------------------------------------------------------------------------
// Delivering
// ---------------------------------------------------------------------------------------------

struct delivery {
	struct forebay *layer;
	struct shm_ring ring;
	int64_t now;
	uint64_t later; // ms; when the earliest of what is left is due
	uint64_t delivered;
	uint32_t refused
	        [REFUSED]; // hashes of destinations without room: what is due there later waits, too
	uint32_t refused_count;
};

static bool was_refused(const struct delivery *delivery, const char *name)
{
	uint32_t hash = shm_table_hash(name);

	for (uint32_t i = 0; i < delivery->refused_count; i++)
		if (delivery->refused[i] == hash)
			return true;
	return false;
}

static void note_later(struct delivery *delivery, uint64_t time)
{
	delivery->later = time < delivery->later ? time : delivery->later;
}

// Copies a message out of the block that we hold, and readies it to be sent to NAME. False if it makes no sense.
static bool take_out(struct forebay *layer, const struct shm_buffer *buffer,
        struct forebay_message *message, struct channel_outgoing *outgoing,
        char name[FOREBAY_NAME_SIZE])
{
	struct channel_message_mem head;
	uint32_t at = sizeof head, destination;

	if (buffer->length < sizeof head)
		return false;
	channel_message_copy(buffer, 0, &head, sizeof head);
	destination = head.endpoint;
	if (destination >= FOREBAY_NAME_SIZE || destination > buffer->length - sizeof head ||
	        !channel_message_is_sound(&head, buffer->length - destination) ||
	        channel_buffer_reserve(
	                &message->text, &message->text_size, head.envelope + 1, SIZE_MAX) < 0 ||
	        channel_buffer_reserve(
	                &message->flat, &message->flat_size, head.content + 1, SIZE_MAX) < 0)
		return false;
	channel_message_copy(buffer, at, message->text, head.envelope);
	at += head.envelope;
	channel_message_copy(buffer, at, message->flat, head.content);
	at += head.content;
	channel_message_copy(buffer, at, name, destination);
	name[destination] = '\0';
	message->content = message->flat;
	message->content_length = head.content;
	message->kind = head.kind;
	channel_outgoing_set(outgoing, message, message->text, head.envelope);
	return check_destination(layer, name) != FOREBAY_BAD_NAME;
}

static int send_on(struct delivery *delivery, uint32_t handle, int64_t time)
{
	struct forebay *layer = delivery->layer;
	struct forebay_message *message = channel_message_take(layer);
	struct channel_outgoing outgoing;
	struct shm_buffer buffer;
	char name[FOREBAY_NAME_SIZE];
	int result = FOREBAY_BAD_MESSAGE;

	if (!message)
		return FOREBAY_NO_MEMORY;
	if (shm_pool_view(&layer->pool, handle, &buffer) &&
	        take_out(layer, &buffer, message, &outgoing, name)) {
		outgoing.sent_at = (uint64_t)time;
		outgoing.refused = true; // no sender's, and it isn't the last try
		if (was_refused(delivery, name))
			result = FOREBAY_FULL;
		else if (channel_drop(layer, name))
			result = DROPPED;
		else
			result = channel_outgoing_send(layer, name, &outgoing);
		if (result != 0 && result != DROPPED && delivery->refused_count < REFUSED &&
		        !was_refused(delivery, name))
			delivery->refused[delivery->refused_count++] = shm_table_hash(name);
	}
	forebay_message_free(message);
	return result;
}

// Delivers a message that is HELD by us, drops it or puts it back.
static void settle(struct delivery *delivery, uint32_t handle)
{
	struct forebay *layer = delivery->layer;
	int64_t time = SHM_DUE_MS(load_relaxed(&shm_pool_block(&layer->pool, handle)->sent_at));
	enum shm_counter why = SHM_COUNT_BAD;

	if (delivery->now - time > layer->segment.geometry.expiry) {
		shm_tally_drop(&layer->table, &delivery->ring, SHM_COUNT_EXPIRED, handle);
		return;
	}
	switch (send_on(delivery, handle, time)) {
	case 0:
		// Since it was sent twice.
		shm_process_count(&layer->self, FOREBAY_COUNT_RECEIVED, 1);
		shm_pool_free(&layer->pool, handle);
		delivery->delivered++;
		return;
	case DROPPED:
		shm_pool_free(&layer->pool, handle);
		return;
	case FOREBAY_FULL:
	case FOREBAY_NO_MEMORY:
	case FOREBAY_NO_CHANNEL:
		note_later(delivery, (uint64_t)delivery->now + AGAIN);
		(void)channel_delay_put_back(layer, &delivery->ring, handle);
		return;
	case FOREBAY_GONE:
		why = SHM_COUNT_GONE;
	}
	shm_tally_drop(&layer->table, &delivery->ring, why, handle);
}

static int compare(const void *left, const void *right)
{
	const struct shm_waiting *a = left, *b = right;

	if (a->time != b->time)
		return a->time < b->time ? -1 : 1;
	return a->pos < b->pos ? -1 : a->pos > b->pos;
}

// What is due now, in a list that is FEW or made for it. *COUNT are in it.
static struct shm_waiting *list_due(
        struct delivery *delivery, struct shm_waiting few[FEW], uint32_t *count)
{
	uint64_t until = SHM_DUE(delivery->now, SHM_DUE_ORDER_MAX), later;
	struct shm_pool *pool = &delivery->layer->pool;
	struct shm_waiting *list = few;
	uint32_t room = FEW;

	*count = shm_ring_list(&delivery->ring, pool, until, few, room, &later);
	if (*count > FEW && (list = malloc(*count * sizeof *list))) {
		room = *count;
		*count = shm_ring_list(&delivery->ring, pool, until, list, room, &later);
	}
	if (!list)
		list = few;
	if (SHM_IS_DUE(later)) // anything else is nobody's time
		note_later(delivery, (uint64_t)SHM_DUE_MS(later));
	if (*count > room) {
		note_later(delivery, (uint64_t)delivery->now);
		*count = room;
	}
	qsort(list, *count, sizeof *list, compare);
	return list;
}

static void deliver_due(struct delivery *delivery)
{
	struct shm_waiting few[FEW], *list;
	uint32_t count;

	list = list_due(delivery, few, &count);
	for (uint32_t i = 0; i < count; i++)
		if (shm_ring_claim(&delivery->ring, &delivery->layer->pool, &list[i]))
			settle(delivery, list[i].handle);
	if (list != few)
		free(list);
	if (count > 0)
		channel_room(delivery->layer, &delivery->ring);
}

// What had to be kept in hand.
static void deliver_kept(struct delivery *delivery)
{
	uint32_t count, *hands = channel_delay_take_hands(delivery->layer, &count);

	for (uint32_t i = 0; i < count; i++)
		settle(delivery, hands[i]);
	free(hands);
}

static uint64_t deliver(struct forebay *layer, int64_t now)
{
	struct delivery delivery = {.layer = layer, .now = now, .later = SHM_DUE_NEVER};

	layer->delivering = true;
	layer->hands_at = now + AGAIN;
	if (layer->hand_count > 0 && channel_delay_ring(layer, &delivery.ring) == SHM_OK)
		deliver_kept(&delivery);
	if (shm_table_find(&layer->table, CHANNEL_DELAY_NAME, &delivery.ring) == SHM_OK)
		deliver_due(&delivery);
	channel_ring_all(layer);
	shm_due_lower(layer->segment.housekeeping, delivery.later);
	shm_pool_settle(&layer->pool);
	layer->now = 0;
	layer->delivering = false;
	return delivery.delivered;
}

uint64_t channel_deliver(struct forebay *layer, int64_t now, bool anyhow)
{
	// What is sent here leads to no other delivery. What is in our hand nobody else can deliver.
	if (layer->delivering || (!shm_due_take(layer->segment.housekeeping, now, anyhow) &&
	                                 (layer->hand_count == 0 || now < layer->hands_at)))
		return 0;
	return deliver(layer, now);
}
