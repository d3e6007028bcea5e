// SPDX-License-Identifier: MIT
#include <errno.h>
#include <string.h>

#include "channel/base64.h"
#include "channel/layer.h"
#include "channel/name.h"
#include "channel/spans.h"
#include "channel/utf8.h"
#include "shm/due.h"

#define ASK_AGAIN  10 // ms
#define REAP_TRIES 10 // naps in vain, a second at most
#define LARGE                                                                                      \
	4096 // octets of a message that take longer to copy than to look whether there is room

// ---------------------------------------------------------------------------------------------
// The message
// ---------------------------------------------------------------------------------------------

// Octets of the message printed as one JSON object: what the limit is on (message standards).
static size_t encoded_length(const struct forebay_message *message, size_t envelope)
{
	static const size_t text_extra = sizeof ",\"content\":\"\"" - 1;
	static const size_t binary_extra = sizeof ",\"content\":\"\",\"binary\":true" - 1;

	if (message->kind == FOREBAY_NO_CONTENT)
		return envelope;
	if (message->kind & FOREBAY_BINARY)
		return envelope + binary_extra +
		       channel_base64_encoded_length(message->content_length);
	// No octet takes more than six ("\u0000"): most messages needn't be looked at.
	if (envelope + text_extra + 6 * message->content_length <= FOREBAY_MESSAGE_MAX)
		return 0;
	return envelope + text_extra +
	       channel_json_escaped_length(message->content, message->content_length);
}

// Whether KIND says what LENGTH octets of content are.
static bool is_content(unsigned kind, size_t length)
{
	unsigned type = kind & ~(unsigned)FOREBAY_BODY;

	return type == FOREBAY_TEXT || type == FOREBAY_BINARY ||
	       (kind == FOREBAY_NO_CONTENT && length == 0);
}

void channel_outgoing_set(struct channel_outgoing *outgoing, const struct forebay_message *message,
        const char *envelope, size_t length)
{
	// Field by field: the compiler would clear a whole one first, octet by octet.
	outgoing->envelope = envelope;
	outgoing->envelope_length = length;
	outgoing->message = message;
	outgoing->head = (struct channel_message_mem){
	        .envelope = (uint32_t)length,
	        .content = (uint32_t)message->content_length,
	        .kind = message->kind,
	};
	outgoing->length = (uint32_t)(sizeof outgoing->head + length + message->content_length);
	outgoing->destination = NULL;
	outgoing->sent_at = 0;
	outgoing->waits = outgoing->refused = false;
	outgoing->history = (struct channel_history_mem){0};
	outgoing->will = SHM_WILL_NONE;
	outgoing->endpoint = 0;
}

int channel_outgoing_init(struct channel_outgoing *outgoing, struct forebay_message *message)
{
	const char *envelope;
	size_t length;
	int result = channel_message_finish(message, &envelope, &length);

	if (result != 0)
		return result;
	if (message->content_length > FOREBAY_MESSAGE_MAX)
		return FOREBAY_TOO_LARGE;
	if (!is_content(message->kind, message->content_length))
		return FOREBAY_BAD_MESSAGE;
	if ((message->kind & FOREBAY_TEXT) &&
	        !channel_utf8_valid(message->content, message->content_length))
		return FOREBAY_BAD_MESSAGE;
	if (encoded_length(message, length) > FOREBAY_MESSAGE_MAX)
		return FOREBAY_TOO_LARGE;
	channel_outgoing_set(outgoing, message, envelope, length);
	return 0;
}

// No block is free: has every process give back the zones that it doesn't need. At most once in 10 ms.
static void ask_for_memory(struct forebay *layer)
{
	int64_t now = channel_now();

	if (now < layer->asked + ASK_AGAIN)
		return;
	layer->asked = now;
	channel_nudge_slots(layer, UINT64_MAX);
}

// Somebody may be waiting for zones that we don't need. Once for each nudge, which stays until we are about to sleep: what
// is taken after it is needed.
static void heed_nudge(struct forebay *layer)
{
	uint32_t fresh = SHM_NUDGED;

	if (cas_seq_cst(&layer->self.mem->nudged, &fresh, SHM_NUDGE_HEEDED))
		shm_pool_trim(&layer->pool);
}

// Copies the message into blocks of its own, HELD. False if none are free.
static bool store(struct forebay *layer, const struct channel_outgoing *outgoing,
        struct shm_buffer *buffer, struct shm_block_mem **block)
{
	uint32_t offset = 0;

	if (load_relaxed(&layer->self.mem->nudged) == SHM_NUDGED)
		heed_nudge(layer);
	if (!shm_pool_alloc(&layer->pool, outgoing->length, buffer)) {
		// Give back what the dead hold and what nobody has read in time, and try once more.
		if (!channel_make_room(layer) ||
		        !shm_pool_alloc(&layer->pool, outgoing->length, buffer)) {
			ask_for_memory(layer);
			return false;
		}
	}
	*block = shm_pool_block(&layer->pool, buffer->handle);
	layer->now = channel_now();
	store_release(
	        &(*block)->sent_at, outgoing->sent_at ? outgoing->sent_at : (uint64_t)layer->now);
	offset = channel_message_append(buffer, offset, &outgoing->head, sizeof outgoing->head);
	offset = channel_message_append(
	        buffer, offset, outgoing->envelope, outgoing->envelope_length);
	offset = channel_message_append(
	        buffer, offset, outgoing->message->content, outgoing->message->content_length);
	if (outgoing->destination)
		offset = channel_message_append(
		        buffer, offset, outgoing->destination, outgoing->head.endpoint);
	if (outgoing->head.to_group & CHANNEL_IN_HISTORY)
		channel_message_append(
		        buffer, offset, &outgoing->history, sizeof outgoing->history);
	return true;
}

// ---------------------------------------------------------------------------------------------
// The channel
// ---------------------------------------------------------------------------------------------

// Wakes as many of the channel's listeners as there are messages, of those that sleep. Those awake find
// the messages by themselves.
static void ring_listeners(struct forebay *layer, uint32_t id, uint32_t messages)
{
	struct shm_channel_mem *channel = &layer->segment.channel[id];

	for (uint32_t word = 0; word < SHM_WAITER_WORDS; word++) {
		uint64_t bits = load_seq_cst(&channel->receivers[word]);

		for (; bits && messages > 0; bits &= bits - 1) {
			uint32_t slot = word * 64 + (uint32_t)__builtin_ctzll(bits);

			if (shm_doorbell_wake(&layer->bell, slot)) {
				shm_process_count(&layer->self, FOREBAY_COUNT_WAKEUPS, 1);
				messages--;
			}
		}
	}
}

void channel_ring_all(struct forebay *layer)
{
	for (uint32_t i = 0; i < layer->unrung_count; i++)
		ring_listeners(layer, layer->unrung[i].ring, layer->unrung[i].messages);
	layer->unrung_count = 0;
}

static void wake_receiver(struct forebay *layer, const struct shm_ring *ring)
{
	struct channel_unrung *unrung = layer->unrung;

	if (!layer->corked) {
		ring_listeners(layer, ring->id, 1);
		return;
	}
	while (unrung < layer->unrung + layer->unrung_count && unrung->ring != ring->id)
		unrung++;
	if (unrung == layer->unrung + CHANNEL_UNRUNG) {
		channel_ring_all(layer);
		unrung = layer->unrung;
	}
	if (unrung == layer->unrung + layer->unrung_count) {
		*unrung = (struct channel_unrung){.ring = ring->id};
		layer->unrung_count++;
	}
	if (++unrung->messages >= CHANNEL_UNRUNG_MAX) {
		ring_listeners(layer, ring->id, unrung->messages);
		*unrung = layer->unrung[--layer->unrung_count];
	}
}

void forebay_cork(struct forebay *layer)
{
	layer->corked = true;
}

void forebay_uncork(struct forebay *layer)
{
	layer->corked = false;
	if (!layer->stale)
		channel_ring_all(layer);
}

// Says that we wait for room in the channel; see channel_room().
static void announce(struct forebay *layer, const struct shm_ring *ring)
{
	(void)fetch_or_seq_cst(
	        &layer->segment.channel[ring->id].senders, 1ull << layer->self.slot % 64);
}

static uint32_t cache_index(const char *name)
{
	uint32_t hash = 5381;

	while (*name)
		hash = hash * 33 ^ (unsigned char)*name++;
	return hash % CHANNEL_CACHE;
}

static bool is_cached(const struct channel_cached *cached, const char *name)
{
	return cached->use != 0 && strcmp(cached->name, name) == 0;
}

// What channel NAME is, and where it is or will be in the cache: for try_send(). *ID is set of a reply channel.
static enum channel_kind kind_of(
        struct forebay *layer, const char *name, struct channel_outgoing *outgoing, uint64_t *id)
{
	struct channel_cached *cached = layer->last;

	if (!is_cached(cached, name)) {
		cached = &layer->cache[cache_index(name)];
		outgoing->cached = cached;
		outgoing->use = 0;
		if (!is_cached(cached, name))
			return channel_name_kind(name, id);
		layer->last = cached;
	}
	outgoing->cached = cached;
	outgoing->use = cached->use;
	shm_ring_expect(&cached->ring);
	return (enum channel_kind)cached->kind;
}

// The ring of a plain channel, made if need be; of a stream only if it exists.
static enum shm_result look_up(
        struct forebay *layer, const char *name, enum channel_kind kind, struct shm_ring *ring)
{
	if (kind == CHANNEL_STREAM)
		return shm_table_find(&layer->table, name, ring);
	if (kind == CHANNEL_DELAY)
		return channel_delay_ring(layer, ring);
	return shm_table_make(&layer->table, name, channel_capacity(layer, name), 0, ring);
}

// Fills in the message's entry of the cache for the channel NAME, unless it is that channel's already.
static int find_ring(struct forebay *layer, const char *name, enum channel_kind kind,
        struct channel_outgoing *outgoing)
{
	struct channel_cached *cached = outgoing->cached;
	enum shm_result result;

	if (cached->use != 0 && cached->use == outgoing->use)
		return 0;
	cached->use = 0;
	result = look_up(layer, name, kind, &cached->ring);
	if (result == SHM_FULL && channel_make_room(layer)) // the dead may be what fills the table
		result = look_up(layer, name, kind, &cached->ring);
	if (result != SHM_OK)
		return kind == CHANNEL_STREAM ? FOREBAY_GONE : FOREBAY_NO_CHANNEL;
	strcpy(cached->name, name);
	cached->use = outgoing->use = ++layer->cache_uses;
	cached->kind = kind;
	cached->policy = (enum shm_policy)channel_rule_of(layer, name).policy;
	return 0;
}

// Publishes; if what fills the ring has expired, in its place, or else as the policy says.
static enum shm_result push(struct forebay *layer, struct shm_ring *ring, enum shm_policy policy,
        uint32_t handle, struct shm_block_mem *block)
{
	enum shm_result result = shm_ring_push(ring, &layer->pool, handle, block);

	if (result == SHM_FULL && (channel_expire(layer, ring) || policy != SHM_REFUSE))
		result = shm_displace_push(&layer->table, ring, policy, handle, block);
	return result;
}

// The same into a channel of that KIND, and counts it as sent.
static enum shm_result publish(struct forebay *layer, struct shm_ring *ring, enum channel_kind kind,
        enum shm_policy policy, uint32_t handle, struct shm_block_mem *block)
{
	enum shm_result result;

	shm_process_sends(&layer->self, handle);
	result = kind == CHANNEL_DELAY ? channel_delay_push(layer, ring, handle, block)
	                               : push(layer, ring, policy, handle, block);
	shm_process_sent(&layer->self, result == SHM_OK);
	return result;
}

// What follows a message that was published: who is to see to it learns of it.
static void announce_message(struct forebay *layer, const struct shm_ring *ring,
        enum channel_kind kind, const struct channel_outgoing *outgoing)
{
	if (kind == CHANNEL_DELAY)
		shm_due_lower(layer->segment.housekeeping, (uint64_t)SHM_DUE_MS(outgoing->sent_at));
	else
		wake_receiver(layer, ring);
}

// Counts in the ring's channel that it had no room.
static void refuse(
        struct forebay *layer, const struct shm_ring *ring, struct channel_outgoing *outgoing)
{
	if (!outgoing->refused)
		shm_tally_add(&layer->segment.channel[ring->id].tally, ring->generation,
		        SHM_COUNT_FULL, 1);
	outgoing->refused = true;
}

// Has the messages of the ring give way, oldest first, until there is memory for this one.
static bool store_displacing(struct forebay *layer, struct shm_ring *ring,
        const struct channel_outgoing *outgoing, struct shm_buffer *buffer,
        struct shm_block_mem **block)
{
	for (uint32_t left = ring->capacity; left > 0; left--) {
		if (!shm_displace_for_memory(&layer->table, ring, outgoing->length))
			break;
		if (store(layer, outgoing, buffer, block))
			return true;
	}
	return false;
}

// As store(), for a channel of that name. Where newer messages go before older ones, those give their memory, one
// after another, as far as it is of use.
static bool store_in(struct forebay *layer, const char *name, enum channel_kind kind,
        struct channel_outgoing *outgoing, struct shm_buffer *buffer, struct shm_block_mem **block)
{
	struct channel_cached *cached = outgoing->cached;
	bool stored = store(layer, outgoing, buffer, block);

	if (stored || find_ring(layer, name, kind, outgoing) != 0 || cached->policy == SHM_REFUSE)
		return stored;
	return store_displacing(layer, &cached->ring, outgoing, buffer, block);
}

int channel_outgoing_keep(
        struct forebay *layer, struct shm_ring *ring, struct channel_outgoing *outgoing)
{
	struct shm_block_mem *block;
	struct shm_buffer buffer;
	enum shm_result pushed;

	if (!store(layer, outgoing, &buffer, &block) &&
	        !store_displacing(layer, ring, outgoing, &buffer, &block))
		return FOREBAY_NO_MEMORY;
	pushed = push(layer, ring, SHM_DROP_OLDEST, buffer.handle, block);
	if (pushed == SHM_OK)
		return 0;
	shm_pool_free(&layer->pool, buffer.handle);
	return pushed == SHM_CLOSED ? FOREBAY_GONE : FOREBAY_FULL;
}

// Whether a channel would refuse the message. Then its sender waits on, announced, and takes no memory for the try: those
// who wait may be many, and would leave none to who has room elsewhere.
static bool is_full(
        struct forebay *layer, struct shm_ring *ring, const struct channel_outgoing *outgoing)
{
	if (outgoing->waits)
		announce(layer, ring);
	return shm_ring_is_full(ring, &layer->pool) && !channel_expire(layer, ring);
}

// Looks at the channel before the message is copied.
__attribute__((noinline)) static bool is_refused(struct forebay *layer, const char *name,
        enum channel_kind kind, struct channel_outgoing *outgoing)
{
	struct channel_cached *cached = outgoing->cached;

	return find_ring(layer, name, kind, outgoing) == 0 && cached->policy == SHM_REFUSE &&
	       shm_ring_is_full(&cached->ring, &layer->pool) &&
	       is_full(layer, &cached->ring, outgoing) &&
	       (kind != CHANNEL_DELAY || channel_delay_is_full(layer, &cached->ring));
}

static int send_ring(struct forebay *layer, const char *name, enum channel_kind kind,
        struct channel_outgoing *outgoing)
{
	struct channel_cached *cached = outgoing->cached;
	struct shm_block_mem *block;
	struct shm_buffer buffer;
	enum shm_result pushed = SHM_CLOSED;
	bool waiting = false;
	int result = 0;

	// If it was refused before, or if a copy in vain would cost more than a look.
	if ((outgoing->refused || outgoing->length >= LARGE) &&
	        is_refused(layer, name, kind, outgoing)) {
		refuse(layer, &cached->ring, outgoing);
		return FOREBAY_FULL;
	}
	if (!store_in(layer, name, kind, outgoing, &buffer, &block))
		return FOREBAY_NO_MEMORY;
	if (outgoing->will)
		shm_will_claim(&layer->segment, outgoing->endpoint, outgoing->will,
		        layer->self.slot, buffer.handle);
	// A channel that was idle may be ended under our feet, even more than once; it is made anew. One that
	// is full is tried once more after we have said that we wait: room that came in between isn't missed.
	for (int round = 0;
	        round < 16 &&
	        (pushed == SHM_CLOSED || (pushed == SHM_FULL && outgoing->waits && !waiting));
	        round++) {
		if (pushed == SHM_FULL) {
			announce(layer, &cached->ring);
			waiting = true;
		}
		result = find_ring(layer, name, kind, outgoing);
		if (result != 0)
			break;
		if (cached->policy != SHM_REFUSE)
			outgoing->waits = false;
		pushed = publish(layer, &cached->ring, kind, cached->policy, buffer.handle, block);
		if (pushed == SHM_CLOSED) {
			shm_table_unlink(&layer->table, &cached->ring);
			cached->use = 0;
		}
	}
	if (outgoing->will)
		shm_will_settle(&layer->segment, outgoing->endpoint, pushed == SHM_OK);
	if (pushed == SHM_OK) {
		announce_message(layer, &cached->ring, kind, outgoing);
		return 0;
	}
	shm_pool_free(&layer->pool, buffer.handle);
	if (pushed == SHM_FULL) {
		refuse(layer, &cached->ring, outgoing);
		return FOREBAY_FULL;
	}
	if (pushed == SHM_CORRUPT)
		return -EUCLEAN;
	return result != 0 ? result : FOREBAY_NO_CHANNEL;
}

// ---------------------------------------------------------------------------------------------
// The reply channel
// ---------------------------------------------------------------------------------------------

// The inbox that an endpoint's owner receives from; WORD is the endpoint's.
static bool find_inbox(struct forebay *layer, uint64_t word, struct shm_ring *ring)
{
	if (!shm_table_ring(&layer->table, (uint32_t)word, ring))
		return false;
	ring->generation = (uint32_t)(word >> 32);
	shm_ring_expect(ring);
	return true;
}

// What a message has taken of a reply channel's window.
struct credit {
	uint32_t numbers[SHM_PARTS_MAX]; // the last is the message's own
	uint32_t count;
};

// Takes a number for each extent of the message, or as many as there are, so that large messages make a window worth no
// more memory than others do. Those but for the last are holes to the owner, who sees to it that they cost nothing once
// the message was received; see endpoint.h.
static enum shm_result take_credit(struct forebay *layer, uint32_t index, uint64_t generation,
        uint32_t extents, struct credit *credit)
{
	enum shm_result result = SHM_OK;

	for (credit->count = 0; credit->count < extents; credit->count++) {
		result = shm_endpoint_take(
		        &layer->segment, index, generation, &credit->numbers[credit->count]);
		if (result != SHM_OK)
			break;
	}
	return credit->count > 0 ? SHM_OK : result;
}

static void untake_credit(
        struct forebay *layer, uint32_t index, uint64_t generation, const struct credit *credit)
{
	uint64_t waiters = 0;

	for (uint32_t i = credit->count; i > 0; i--)
		waiters |= shm_endpoint_untake(
		        &layer->segment, index, generation, credit->numbers[i - 1]);
	channel_nudge_slots(layer, waiters);
}

static enum shm_result try_reply(struct forebay *layer, uint32_t index, uint64_t generation,
        struct channel_outgoing *outgoing)
{
	enum shm_result result = shm_endpoint_look(&layer->segment, index, generation);
	struct shm_block_mem *block;
	struct shm_buffer buffer;
	struct shm_ring inbox;
	struct credit credit;

	if (result != SHM_OK)
		return result;
	// Another endpoint's in the meantime: then no credit can be taken of this one.
	if (!find_inbox(layer, load_relaxed(&layer->segment.endpoint[index].ring), &inbox))
		return SHM_CLOSED;
	if (outgoing->refused && is_full(layer, &inbox, outgoing))
		return SHM_FULL;
	outgoing->head.endpoint = index;
	outgoing->head.generation = generation;
	if (!store(layer, outgoing, &buffer, &block))
		return SHM_EMPTY;
	result = take_credit(layer, index, generation, buffer.count, &credit);
	if (result == SHM_OK) {
		outgoing->head.sequence = credit.numbers[credit.count - 1];
		channel_message_append(&buffer, 0, &outgoing->head, sizeof outgoing->head);
		result = publish(layer, &inbox, CHANNEL_REPLY, SHM_REFUSE, buffer.handle, block);
		if (result == SHM_OK) {
			wake_receiver(layer, &inbox);
			return SHM_OK;
		}
		untake_credit(layer, index, generation, &credit);
		if (result == SHM_FULL)
			refuse(layer, &inbox, outgoing);
		if (result == SHM_FULL && outgoing->waits)
			announce(layer, &inbox);
	}
	shm_pool_free(&layer->pool, buffer.handle);
	return result;
}

static int send_reply(struct forebay *layer, uint64_t id, struct channel_outgoing *outgoing)
{
	uint32_t index = CHANNEL_REPLY_INDEX(id);
	uint64_t generation = CHANNEL_REPLY_GENERATION(id);
	enum shm_result result = try_reply(layer, index, generation, outgoing);

	if (result == SHM_FULL && outgoing->waits) {
		// Once more after saying that we wait: room that came in between isn't missed.
		shm_endpoint_wait(&layer->segment, index, layer->self.slot);
		result = try_reply(layer, index, generation, outgoing);
	}
	switch (result) {
	case SHM_OK:
		return 0;
	case SHM_FULL:
		return FOREBAY_FULL;
	case SHM_CLOSED:
		return FOREBAY_GONE;
	case SHM_EMPTY:
		return FOREBAY_NO_MEMORY;
	default:
		return index < layer->segment.geometry.endpoints ? -EUCLEAN : FOREBAY_BAD_NAME;
	}
}

int channel_outgoing_push(struct forebay *layer, uint64_t inbox, struct channel_outgoing *outgoing)
{
	struct shm_block_mem *block;
	struct shm_buffer buffer;
	struct shm_ring ring;
	enum shm_result result;

	if (!find_inbox(layer, inbox, &ring))
		return FOREBAY_GONE;
	if (!store(layer, outgoing, &buffer, &block))
		return FOREBAY_NO_MEMORY;
	result = publish(layer, &ring, CHANNEL_REPLY, SHM_REFUSE, buffer.handle, block);
	if (result == SHM_OK) {
		wake_receiver(layer, &ring);
		return 0;
	}
	shm_pool_free(&layer->pool, buffer.handle);
	if (result == SHM_FULL)
		refuse(layer, &ring, outgoing);
	return result == SHM_FULL ? FOREBAY_FULL : FOREBAY_GONE;
}

// ---------------------------------------------------------------------------------------------
// Sending
// ---------------------------------------------------------------------------------------------

void channel_count(struct forebay *layer, int result, uint64_t number)
{
	static const unsigned char counter[] = {
	        [FOREBAY_FULL] = FOREBAY_COUNT_FULL,
	        [FOREBAY_TIMEOUT] = FOREBAY_COUNT_FULL,
	        [FOREBAY_GONE] = FOREBAY_COUNT_GONE,
	        [FOREBAY_TOO_LARGE] = FOREBAY_COUNT_TOO_LARGE,
	        [FOREBAY_BAD_NAME] = FOREBAY_COUNT_BAD,
	        [FOREBAY_BAD_MESSAGE] = FOREBAY_COUNT_BAD,
	        [FOREBAY_NO_MEMORY] = FOREBAY_COUNT_NO_MEMORY,
	        [FOREBAY_NO_CHANNEL] = FOREBAY_COUNT_NO_CHANNEL,
	};

	if (result == -EUCLEAN)
		shm_process_count(&layer->self, FOREBAY_COUNT_BAD, number);
	if (result > 0 && result < (int)sizeof counter)
		shm_process_count(&layer->self, counter[result], number);
}

static int try_send(struct forebay *layer, const char *channel, enum channel_kind kind, uint64_t id,
        struct channel_outgoing *outgoing)
{
	switch (kind) {
	case CHANNEL_REPLY:
		return send_reply(layer, id, outgoing);
	case CHANNEL_PLAIN:
	case CHANNEL_STREAM:
	case CHANNEL_DELAY:
		return send_ring(layer, channel, kind, outgoing);
	default:
		return FOREBAY_BAD_NAME;
	}
}

int channel_outgoing_send(
        struct forebay *layer, const char *name, struct channel_outgoing *outgoing)
{
	enum channel_kind kind;
	uint64_t id;

	kind = kind_of(layer, name, outgoing, &id);
	return try_send(layer, name, kind == CHANNEL_DELAY ? CHANNEL_BAD : kind, id, outgoing);
}

// Each failed try has left our slot where room is announced, so between two of them we sleep.
static int send_waiting(struct forebay *layer, const char *channel, enum channel_kind kind,
        uint64_t id, struct channel_outgoing *outgoing, int timeout)
{
	int64_t deadline = timeout < 0 ? -1 : channel_now() + timeout;
	int result = FOREBAY_FULL, tries = 0;

	while (result == FOREBAY_FULL || result == FOREBAY_NO_MEMORY) {
		int slept = channel_sleep(layer, deadline, NULL, NULL);

		if (slept < 0)
			return slept;
		// Nobody may be left who could make room.
		if (++tries % REAP_TRIES == 0)
			(void)forebay_reap(layer);
		result = try_send(layer, channel, kind, id, outgoing);
		if (slept == FOREBAY_TIMEOUT && result == FOREBAY_FULL)
			return FOREBAY_TIMEOUT;
		if (slept == FOREBAY_TIMEOUT)
			break;
	}
	return result;
}

void channel_sent(struct forebay *layer)
{
	shm_pool_settle(&layer->pool);
	// Who only sends keeps the house, too. The time is that of the message: none is asked for.
	if (layer->now != 0)
		channel_housekeep(layer, layer->now, false);
	layer->now = 0;
}

// What a message is sent for, besides being received.
struct purpose {
	enum shm_will_state will; // not NONE: it sets or executes that of ...
	uint32_t endpoint;        // ... this one
	const char *destination;  // not NULL: it waits until ...
	uint64_t time;            // ... this SHM_DUE(), and goes there
	bool again;               // it was refused, and counted, before
};

// Whether a channel of that kind can take a message of that purpose.
static bool suits(enum channel_kind kind, const struct purpose *purpose)
{
	if (kind == CHANNEL_BAD)
		return false;
	return !purpose->will || (kind != CHANNEL_REPLY && kind != CHANNEL_DELAY);
}

// Whether the message is to be dropped on purpose. What comes exactly once, does; what is delayed has its turn later, what is tried again
// had it before; and that a receiver has gone is no secret.
static bool is_dropped(struct forebay *layer, const char *channel, enum channel_kind kind,
        uint64_t id, const struct purpose *purpose)
{
	if (!layer->drops[0] || purpose->will || purpose->destination || purpose->again)
		return false;
	if (kind == CHANNEL_REPLY && channel_reply_look(layer, CHANNEL_REPLY_INDEX(id),
	                                     CHANNEL_REPLY_GENERATION(id)) != 0)
		return false;
	return channel_drop_rolls(layer, channel);
}

static void delay(struct channel_outgoing *outgoing, const struct purpose *purpose)
{
	outgoing->destination = purpose->destination;
	outgoing->sent_at = purpose->time;
	outgoing->head.endpoint = (uint32_t)strlen(purpose->destination);
	outgoing->length += outgoing->head.endpoint;
}

static int send_as(struct forebay *layer, const char *channel, struct forebay_message *message,
        int timeout, const struct purpose *purpose)
{
	struct channel_outgoing outgoing;
	enum channel_kind kind;
	uint64_t id;
	int result;

	if (layer->stale)
		return -ESTALE;
	kind = kind_of(layer, channel, &outgoing, &id);
	if (kind == CHANNEL_DELAY && !purpose->will && !purpose->destination)
		return channel_delay_request(layer, message, timeout);
	result =
	        suits(kind, purpose) ? channel_outgoing_init(&outgoing, message) : FOREBAY_BAD_NAME;
	if (result == 0 && is_dropped(layer, channel, kind, id, purpose))
		return 0;
	outgoing.refused = purpose->again;
	outgoing.will = purpose->will;
	outgoing.endpoint = purpose->endpoint;
	if (result == 0 && purpose->destination)
		delay(&outgoing, purpose);
	outgoing.waits = timeout != 0 || layer->bell.fifo >= 0;
	if (result == 0)
		result = try_send(layer, channel, kind, id, &outgoing);
	if (timeout != 0 &&
	        ((result == FOREBAY_FULL && outgoing.waits) || result == FOREBAY_NO_MEMORY))
		result = send_waiting(layer, channel, kind, id, &outgoing, timeout);
	else if (result == FOREBAY_FULL && layer->bell.fifo >= 0)
		channel_arm(layer);
	if (result == FOREBAY_FULL)
		channel_ring_all(layer);
	if (!purpose->again)
		channel_count(layer, result, 1);
	channel_sent(layer);
	return result;
}

int forebay_send(
        struct forebay *layer, const char *channel, struct forebay_message *message, int timeout)
{
	static const struct purpose none = {.will = SHM_WILL_NONE};

	return send_as(layer, channel, message, timeout, &none);
}

int forebay_send_again(struct forebay *layer, const char *channel, struct forebay_message *message)
{
	static const struct purpose again = {.again = true};

	return send_as(layer, channel, message, 0, &again);
}

int channel_send_later(struct forebay *layer, const char *destination,
        struct forebay_message *message, uint64_t time, int timeout)
{
	struct purpose purpose = {.destination = destination, .time = time};

	return send_as(layer, CHANNEL_DELAY_NAME, message, timeout, &purpose);
}

int channel_send_will(struct forebay *layer, const char *channel, struct forebay_message *message,
        uint32_t endpoint, enum shm_will_state state, bool again)
{
	struct purpose purpose = {.will = state, .endpoint = endpoint, .again = again};

	return send_as(layer, channel, message, 0, &purpose);
}
