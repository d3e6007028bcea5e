// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "channel/layer.h"
#include "channel/name.h"
#include "channel/spans.h"
#include "shm/due.h"

#define RELISTENS 16   // times that a channel may end before we have said that we listen
#define DROPS     1024 // messages dropped on the way to one, before the next channel's turn

// ---------------------------------------------------------------------------------------------
// The set of channels listened to
// ---------------------------------------------------------------------------------------------

static struct channel_listen *find_listen(struct forebay *layer, const char *name, uint32_t *index)
{
	for (uint32_t i = 0; i < layer->listen_count; i++) {
		if (strcmp(layer->listens[i]->name, name) == 0) {
			*index = i;
			return layer->listens[i];
		}
	}
	return NULL;
}

// Finds or makes the channel and sets our bit in it. A channel that is ended meanwhile is found to be
// so by the first poll, which comes back here.
static enum shm_result look_up(struct forebay *layer, struct channel_listen *listen)
{
	if (listen->stream)
		return shm_table_find(&layer->table, listen->name, &listen->ring);
	return shm_table_make(&layer->table, listen->name, channel_capacity(layer, listen->name), 0,
	        &listen->ring);
}

static int attach(struct forebay *layer, struct channel_listen *listen)
{
	for (int left = RELISTENS; left > 0; left--) {
		enum shm_result result = look_up(layer, listen);

		if (result == SHM_FULL &&
		        channel_make_room(layer)) // the dead may be what fills the table
			result = look_up(layer, listen);
		if (result != SHM_OK)
			break;
		listen->begun = false;
		if (shm_table_listen(&layer->table, &listen->ring, layer->self.slot))
			return 0;
	}
	return listen->stream ? FOREBAY_GONE : FOREBAY_NO_CHANNEL;
}

int forebay_listen(struct forebay *layer, const char *channel)
{
	enum channel_kind kind;
	struct channel_listen *listen;
	uint32_t index;
	uint64_t id;
	int result;

	if (layer->stale)
		return -ESTALE;
	kind = channel_name_kind(channel, &id);
	if (kind != CHANNEL_PLAIN && kind != CHANNEL_STREAM)
		return FOREBAY_BAD_NAME;
	if (find_listen(layer, channel, &index))
		return 0;
	if (layer->listen_count == layer->listen_room) {
		uint32_t room = layer->listen_room ? layer->listen_room * 2 : 8;
		void *grown = realloc(layer->listens, room * sizeof(struct channel_listen *));

		if (!grown)
			return -ENOMEM;
		layer->listens = grown;
		layer->listen_room = room;
	}
	listen = calloc(1, sizeof *listen);
	if (!listen)
		return -ENOMEM;
	strcpy(listen->name, channel);
	listen->stream = kind == CHANNEL_STREAM;
	result = attach(layer, listen);
	if (result != 0) {
		free(listen);
		return channel_count_refusal(layer, result);
	}
	layer->listens[layer->listen_count++] = listen;
	return 0;
}

static void remove_listen(struct forebay *layer, uint32_t index)
{
	free(layer->listens[index]);
	layer->listens[index] = layer->listens[--layer->listen_count];
}

int forebay_ignore(struct forebay *layer, const char *channel)
{
	struct channel_listen *listen;
	uint32_t index;

	if (layer->stale)
		return -ESTALE;
	listen = find_listen(layer, channel, &index);
	if (!listen)
		return 0;
	shm_table_ignore(&layer->table, &listen->ring, layer->self.slot);
	remove_listen(layer, index);
	return 0;
}

// ---------------------------------------------------------------------------------------------
// One message
// ---------------------------------------------------------------------------------------------

void channel_room(struct forebay *layer, const struct shm_ring *ring)
{
	shm_atomic64 *senders = &layer->segment.channel[ring->id].senders;

	if (load_seq_cst(senders) != 0)
		channel_nudge_slots(layer, exchange_seq_cst(senders, 0));
}

static void drop(struct forebay *layer, const struct shm_ring *ring, uint32_t handle,
        enum forebay_counter why)
{
	shm_tally_drop(&layer->table, ring, (enum shm_counter)why, handle);
}

// Makes a message of the block HANDLE that we have claimed from RING. NULL if it is dropped, and counted.
static struct forebay_message *open_message(
        struct forebay *layer, const struct shm_ring *ring, uint32_t handle, bool from_inbox)
{
	struct forebay_message *message;
	struct channel_reply *reply = NULL;
	struct channel_message_mem head;
	struct shm_buffer buffer;
	struct shm_entry group;
	bool expired, to_group;
	int64_t expiry = layer->segment.geometry.expiry, age;
	int64_t sent_at = (int64_t)load_relaxed(&shm_pool_block(&layer->pool, handle)->sent_at);

	if (!shm_pool_view(&layer->pool, handle, &buffer) || buffer.length < sizeof head) {
		drop(layer, ring, handle, FOREBAY_COUNT_BAD);
		return NULL;
	}
	channel_message_copy(&buffer, 0, &head, sizeof head);
	if (!channel_message_is_sound(&head, buffer.length)) {
		drop(layer, ring, handle, FOREBAY_COUNT_BAD);
		return NULL;
	}
	to_group = from_inbox && (head.to_group & CHANNEL_TO_GROUP) != 0;
	group = (struct shm_entry){head.endpoint, (uint32_t)head.generation};
	if (from_inbox && !to_group)
		reply = channel_reply_find(layer, head.endpoint, head.generation);
	if (to_group ? !channel_group_has_own(layer, &group) : from_inbox && !reply) {
		drop(layer, ring, handle, FOREBAY_COUNT_GONE);
		return NULL;
	}
	if (reply && !channel_reply_received(reply, head.sequence, buffer.count)) {
		drop(layer, ring, handle, FOREBAY_COUNT_BAD);
		return NULL;
	}
	layer->received_at = channel_now();
	age = (int64_t)((uint64_t)layer->received_at - (uint64_t)sent_at);
	expired = age > expiry || age < -expiry; // the latter was scribbled
	message = expired ? NULL : channel_message_take(layer);
	if (!message) {
		drop(layer, ring, handle,
		        expired ? FOREBAY_COUNT_EXPIRED : FOREBAY_COUNT_NO_MEMORY);
		if (reply)
			channel_reply_freed(layer, reply, head.generation, buffer.count);
		return NULL;
	}
	channel_message_open(message, &head, &buffer, sent_at);
	message->reply = reply;
	message->prefix = reply ? reply->prefix : NULL;
	if (message->prefix)
		message->prefix->uses++;
	message->to_group = to_group;
	message->group = group;
	if (to_group)
		(void)channel_group_name(layer, &group, message->channel);
	shm_process_count(&layer->self, FOREBAY_COUNT_RECEIVED, 1);
	return message;
}

// Receives from one ring: a message, or NULL with *RESULT. What is dropped on the way (expired, malformed,
// too late) doesn't count as a message, but who sends nothing else can't keep us here.
static struct forebay_message *receive_from(
        struct forebay *layer, struct shm_ring *ring, bool inbox, enum shm_result *result)
{
	uint32_t handle;

	for (int left = DROPS; left > 0; left--) {
		struct forebay_message *message;

		*result = shm_ring_pop(ring, &layer->pool, &handle);
		if (*result != SHM_OK)
			return NULL;
		message = open_message(layer, ring, handle, inbox);
		channel_room(layer, ring);
		if (message)
			return message;
	}
	return NULL;
}

// The same from a channel that is listened to.
static struct forebay_message *receive_listened(
        struct forebay *layer, struct channel_listen *listen, enum shm_result *result)
{
	struct forebay_message *message = receive_from(layer, &listen->ring, false, result);
	uint64_t pos = listen->ring.taken;

	if (!message)
		return NULL;
	strcpy(message->channel, listen->name);
	// Positions go back only if somebody scribbles.
	if (listen->begun && pos >= listen->next)
		message->gap = pos - listen->next;
	listen->begun = true;
	listen->next = pos + 1;
	return message;
}

// The channel that was listened to has ended: an idle one is made anew, a stream is over.
static struct forebay_message *ended(struct forebay *layer, uint32_t index)
{
	struct channel_listen *listen = layer->listens[index];
	struct forebay_message *message = NULL;

	shm_table_unlink(&layer->table, &listen->ring);
	if (!listen->stream) {
		enum shm_result result;

		// If the table is full, the next poll tries again. A message may have come before our bit.
		if (attach(layer, listen) != 0)
			return NULL;
		return receive_listened(layer, listen, &result);
	}
	message = channel_message_closed(layer, listen->name);
	if (message)
		remove_listen(layer, index);
	return message;
}

// Asks every source once, beginning behind the one that answered last.
static struct forebay_message *poll_all(struct forebay *layer)
{
	uint32_t sources = layer->listen_count + 1;

	for (uint32_t left = sources; left > 0; left--) {
		uint32_t source = layer->turn >= sources ? 0 : layer->turn;
		struct forebay_message *message = NULL;
		enum shm_result result;

		layer->turn = source + 1;
		if (source == 0) {
			if (layer->has_inbox)
				message = receive_from(layer, &layer->inbox, true, &result);
		} else {
			struct channel_listen *listen = layer->listens[source - 1];

			message = receive_listened(layer, listen, &result);
			if (!message && result == SHM_CLOSED) {
				message = ended(layer, source - 1);
				sources = layer->listen_count + 1;
			}
		}
		if (message)
			return message;
	}
	return NULL;
}

// ---------------------------------------------------------------------------------------------
// Waiting
// ---------------------------------------------------------------------------------------------

// Somebody has room for us, or has none and wants what we don't need.
static bool was_nudged(struct forebay *layer)
{
	if (load_seq_cst(&layer->self.mem->nudged) == 0 ||
	        exchange_seq_cst(&layer->self.mem->nudged, 0) == 0)
		return false;
	shm_pool_trim(&layer->pool);
	return true;
}

static int sleep_once(struct forebay *layer, int nap, bool (*poll)(void *context), void *context)
{
	enum shm_sleep how = poll ? SHM_ASLEEP_FUTEX : SHM_ASLEEP_ROOM;
	int result;

	shm_doorbell_drowse(&layer->bell, how);
	if (was_nudged(layer)) {
		shm_doorbell_awake(&layer->bell);
		return 0;
	}
	if (poll && poll(context)) {
		shm_doorbell_awake(&layer->bell);
		return 1;
	}
	result = shm_doorbell_wait(&layer->bell, how, nap);
	(void)was_nudged(layer);
	return result;
}

int channel_sleep(
        struct forebay *layer, int64_t deadline, bool (*poll)(void *context), void *context)
{
	int64_t now = channel_now(), left = deadline < 0 ? SHM_NAP_MAX : deadline - now;
	int result;

	if (left <= 0)
		return FOREBAY_TIMEOUT;
	channel_ring_all(layer);
	shm_pool_settle(&layer->pool); // who waits for room has taken memory, to no purpose so far
	(void)channel_deliver(layer, now, false);
	channel_housekeep(layer, now, poll != NULL);
	left = left > SHM_NAP_MAX ? SHM_NAP_MAX : left;
	left = shm_due_left(layer->segment.housekeeping, now, (int)left);
	result = sleep_once(layer, (int)left, poll, context);
	// The doorbell isn't armed for the caller's event loop any more: have it look.
	if (layer->armed)
		shm_doorbell_ring_self(&layer->bell);
	return result;
}

struct poll_context {
	struct forebay *layer;
	struct forebay_message *message;
};

static bool poll_once_more(void *context)
{
	struct poll_context *poll = context;

	poll->message = poll_all(poll->layer);
	return poll->message != NULL;
}

static void pause_briefly(void)
{
	for (int i = 0; i < 4; i++)
#if defined(__x86_64__) || defined(__i386__)
		__builtin_ia32_pause();
#elif defined(__aarch64__)
		__asm__ volatile("isb");
#else
		atomic_signal_fence(memory_order_seq_cst);
#endif
}

// A sleep costs sender and receiver a system call each and the receiver a wake-up; a message that comes within
// some microseconds is waited for awake. How long adapts itself: as long as can be when it paid off, half as long when
// not, down to nothing, and tried anew now and then. So who waits for rare messages burns no time on it.
static struct forebay_message *look_before_sleep(struct forebay *layer)
{
	if (layer->looks == 0 && ++layer->sleeps % 32 == 0)
		layer->looks = CHANNEL_LOOKS_MAX / 2;
	for (uint32_t left = layer->looks; left > 0; left--) {
		struct forebay_message *message;

		pause_briefly();
		message = poll_all(layer);
		if (message) {
			layer->looks = CHANNEL_LOOKS_MAX;
			return message;
		}
	}
	layer->looks /= 2;
	return NULL;
}

static int receive_blocking(struct forebay *layer, int timeout, struct forebay_message **message)
{
	int64_t deadline = timeout < 0 ? -1 : channel_now() + timeout;

	channel_ring_all(layer);
	*message = look_before_sleep(layer);
	if (*message)
		return 0;
	for (;;) {
		struct poll_context poll = {layer, NULL};
		int result = channel_sleep(layer, deadline, poll_once_more, &poll);

		if (result < 0 || result == FOREBAY_TIMEOUT)
			return result;
		*message = poll.message ? poll.message : poll_all(layer);
		if (*message)
			return 0;
	}
}

static void stay_armed(struct forebay *layer)
{
	layer->armed = true;
	if (was_nudged(layer)) // room has come: let the loop turn at once
		shm_doorbell_ring_self(&layer->bell);
}

void channel_arm(struct forebay *layer)
{
	shm_doorbell_drowse(&layer->bell, SHM_ASLEEP_FIFO);
	stay_armed(layer);
}

// Leaves the doorbell armed for the caller's event loop. What arrives now rings it.
static int arm(struct forebay *layer, struct forebay_message **message)
{
	int64_t now = channel_now();

	(void)channel_deliver(layer, now, false);
	channel_housekeep(layer, now, true);
	shm_doorbell_drowse(&layer->bell, SHM_ASLEEP_FIFO);
	*message = poll_all(layer);
	if (*message) {
		shm_doorbell_awake(&layer->bell);
		layer->fruitless = false;
		return 0;
	}
	stay_armed(layer);
	return FOREBAY_TIMEOUT;
}

// A ring is read off the FIFO when `sleeping` says that there was one. A waker that was slow to write may
// leave a byte behind; a round in vain empties the FIFO too, so that the loop doesn't spin on it.
static void disarm(struct forebay *layer)
{
	bool rung = load_relaxed(&layer->self.mem->sleeping) == SHM_AWAKE;

	if (rung || layer->fruitless)
		shm_doorbell_drain(&layer->bell);
	shm_doorbell_awake(&layer->bell);
	layer->armed = false;
	layer->fruitless = true;
}

int forebay_receive(struct forebay *layer, int timeout, struct forebay_message **message)
{
	int64_t now;

	*message = NULL;
	if (layer->stale)
		return -ESTALE;
	if (layer->armed)
		disarm(layer);
	*message = poll_all(layer);
	if (*message) {
		layer->fruitless = false;
		// Who is never idle keeps the house, too. The time is that of the message: none is asked for.
		channel_housekeep(layer, layer->received_at, true);
		return 0;
	}
	if (timeout != 0)
		return receive_blocking(layer, timeout, message);
	if (layer->bell.fifo >= 0)
		return arm(layer, message);
	now = channel_now();
	if (channel_deliver(layer, now, false) > 0)
		*message = poll_all(layer);
	channel_housekeep(layer, now, true);
	return *message ? 0 : FOREBAY_TIMEOUT;
}

int forebay_fd(struct forebay *layer)
{
	return layer->stale ? -ESTALE : shm_doorbell_fd(&layer->bell);
}
