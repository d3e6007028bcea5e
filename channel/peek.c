// SPDX-License-Identifier: MIT
#include <errno.h>
#include <string.h>

#include "channel/buffer.h"
#include "channel/layer.h"
#include "channel/name.h"
#include "shm/peek.h"

// ---------------------------------------------------------------------------------------------
// One message
// ---------------------------------------------------------------------------------------------

// When it was sent, or is due: ms.
static int64_t time_of(const struct shm_glimpse *glimpse)
{
	return SHM_IS_DUE(glimpse->sent_at) ? SHM_DUE_MS(glimpse->sent_at) : glimpse->sent_at;
}

// Cuts the NAME of the destination off a copy of what waits in asgi.delay. False if there is none.
static bool take_destination(const struct channel_message_mem *head, struct shm_buffer *buffer,
        char name[FOREBAY_NAME_SIZE])
{
	uint32_t length = head->endpoint;
	uint64_t id;

	if (length >= FOREBAY_NAME_SIZE || length > buffer->length - sizeof *head)
		return false;
	buffer->length = buffer->span[0].length = buffer->length - length;
	memcpy(name, buffer->span[0].data + buffer->length, length);
	name[length] = '\0';
	return channel_name_kind(name, &id) != CHANNEL_BAD;
}

int channel_message_peek(struct forebay *layer, const struct shm_ring *ring,
        struct shm_glimpse *glimpse, struct forebay_message **out)
{
	struct forebay_message *message = channel_message_take(layer);
	struct channel_message_mem head;
	struct shm_buffer buffer = {.handle = SHM_HANDLE_NONE, .count = 1};
	char name[FOREBAY_NAME_SIZE] = "";

	*out = NULL;
	if (!message)
		return -ENOMEM;
	buffer.length = buffer.span[0].length = glimpse->buffer.length;
	if (channel_buffer_reserve(
	            &message->copy, &message->copy_size, (size_t)buffer.length + 1, SIZE_MAX) < 0) {
		forebay_message_free(message);
		return -ENOMEM;
	}
	buffer.span[0].data = message->copy;
	if (buffer.length < sizeof head ||
	        !shm_peek_copy(ring, &layer->pool, glimpse, message->copy)) {
		forebay_message_free(message);
		return 0;
	}
	memcpy(&head, message->copy, sizeof head);
	if ((SHM_IS_DUE(glimpse->sent_at) && !take_destination(&head, &buffer, name)) ||
	        !channel_message_is_sound(&head, buffer.length)) {
		forebay_message_free(message);
		return 0;
	}
	channel_message_open(message, &head, &buffer, time_of(glimpse));
	strcpy(message->channel, name);
	message->copied = true;
	message->waiting = glimpse->waiting;
	*out = message;
	return 0;
}

bool forebay_message_is_waiting(const struct forebay_message *message)
{
	return message->received && message->copied && message->waiting;
}

// Whether a receiver would drop it.
static bool has_expired(const struct forebay *layer, const struct shm_glimpse *glimpse)
{
	int64_t age = channel_age(time_of(glimpse)), expiry = layer->segment.geometry.expiry;

	return age > expiry || (age < -expiry && !SHM_IS_DUE(glimpse->sent_at));
}

static int show(struct forebay_message *message, const char *channel,
        int (*each)(struct forebay_message *message, void *context), void *context)
{
	int result;

	if (!message->channel[0]) // else it is where a delayed one is to go
		strcpy(message->channel, channel);
	result = each(message, context);
	forebay_message_free(message);
	return result;
}

// ---------------------------------------------------------------------------------------------
// What waits, and what passes
// ---------------------------------------------------------------------------------------------

static int find(struct forebay *layer, const char *channel, struct shm_ring *ring)
{
	uint64_t id;

	if (channel_is_blind(layer))
		return -ESTALE;
	switch (channel_name_kind(channel, &id)) {
	case CHANNEL_PLAIN:
	case CHANNEL_STREAM:
	case CHANNEL_DELAY:
		return channel_find(layer, channel, ring) ? 0 : FOREBAY_GONE;
	default:
		return FOREBAY_BAD_NAME;
	}
}

int forebay_peek(struct forebay *layer, const char *channel,
        int (*each)(struct forebay_message *message, void *context), void *context)
{
	uint64_t head, tail;
	struct shm_ring ring;
	int result = find(layer, channel, &ring);

	if (result != 0)
		return result == FOREBAY_GONE ? 0 : result;
	(void)shm_ring_pending(&ring, &layer->pool, &head, &tail);
	for (uint64_t pos = head; pos != tail && result == 0; pos++) {
		struct forebay_message *message;
		struct shm_glimpse glimpse;
		enum shm_sight sight = shm_peek(&ring, &layer->pool, pos, &glimpse);

		if (sight == SHM_AHEAD || sight == SHM_ENDED)
			break;
		if (sight != SHM_SEEN || !glimpse.waiting || has_expired(layer, &glimpse))
			continue;
		result = channel_message_peek(layer, &ring, &glimpse, &message);
		if (message && message->waiting)
			result = show(message, channel, each, context);
		else
			forebay_message_free(message);
	}
	return result;
}

static uint64_t epoch_of(const struct shm_ring *ring)
{
	return ((uint64_t)ring->id + 1) << 32 | ring->generation;
}

// Goes to where the channel is that WATCH hasn't seen yet: its end, or, if it was made anew since, its beginning.
static void begin_watch(struct forebay *layer, const struct shm_ring *ring, uint64_t tail,
        struct forebay_watch *watch)
{
	if (watch->epoch == epoch_of(ring))
		return;
	watch->next =
	        watch->epoch == 0 ? tail : load_relaxed(&layer->segment.channel[ring->id].base);
	watch->epoch = epoch_of(ring);
}

int forebay_watch(struct forebay *layer, const char *channel, struct forebay_watch *watch,
        int (*each)(struct forebay_message *message, void *context), void *context)
{
	uint64_t head, tail;
	struct shm_ring ring;
	int result = find(layer, channel, &ring);

	if (result == FOREBAY_GONE && watch->epoch == 0)
		watch->epoch = UINT64_MAX; // whatever is sent from now on is new
	if (result != 0)
		return result == FOREBAY_GONE ? 0 : result;
	(void)shm_ring_pending(&ring, &layer->pool, &head, &tail);
	begin_watch(layer, &ring, tail, watch);
	// Of what is more than a lap ago, not even the slots are left. Positions that go back were scribbled.
	if (tail - watch->next > 1ull << ring.order) {
		uint64_t oldest = tail - (1ull << ring.order);

		watch->missed += (int64_t)(tail - watch->next) > 0 ? oldest - watch->next : 0;
		watch->next = (int64_t)(tail - watch->next) > 0 ? oldest : tail;
	}
	while (watch->next != tail && result == 0) {
		struct forebay_message *message = NULL;
		struct shm_glimpse glimpse;
		enum shm_sight sight = shm_peek(&ring, &layer->pool, watch->next, &glimpse);

		if (sight == SHM_AHEAD || sight == SHM_ENDED)
			break;
		if (sight == SHM_SEEN)
			result = channel_message_peek(layer, &ring, &glimpse, &message);
		if (result != 0)
			break;
		watch->next++;
		if (!message) {
			watch->missed++;
			continue;
		}
		message->gap = watch->missed;
		watch->missed = 0;
		result = show(message, channel, each, context);
	}
	return result;
}
