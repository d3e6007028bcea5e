// SPDX-License-Identifier: MIT
// history.c - the last messages of a group, for who has missed some.
//
// A history is a channel of the table under a name that no other has: '\x02' and the group's. Its ring drops the oldest; a
// position is a message's offset; the entry and its generation are the epoch, with the segment's identity. Nobody receives
// from it: it is looked into (shm/peek.h).
//
//   sender                                         left behind by a death
//   1  look at the sum, let the oldest go          less than could be kept
//   2  publish in the history                      a message that members didn't get, but will find
//   3  send to the members, with the offset        some have got it, as of any message to a group
//
// What can't be kept ends the history, so nobody takes it for complete: who comes with the old epoch is told.
#include <errno.h>
#include <string.h>

#include "channel/layer.h"
#include "channel/name.h"
#include "channel/quantity.h"
#include "shm/peek.h"

#define HISTORY_MARK   '\x02' // before the group's name: no channel's name has such an octet
#define DEFAULT_OCTETS (1ull << 20)
#define DEFAULT_AGE    (10 * 60 * 1000)
#define ROUNDS         16 // of one message, because histories ended under it

// ---------------------------------------------------------------------------------------------
// What is kept
// ---------------------------------------------------------------------------------------------

struct rule {
	uint32_t messages;
	uint64_t octets;
	uint32_t age; // ms
};

// Takes a quantity from 1 to MOST off *TEXT, up to '/', ',' or the end.
static bool take_quantity(
        const char **text, enum channel_unit unit, uint64_t most, uint64_t *quantity)
{
	const char *begin = *text;
	size_t length = strcspn(begin, "/,");

	*text += length;
	return channel_quantity_read(begin, length, unit, most, quantity) && *quantity > 0;
}

// Takes "N", "N/SIZE" or "N/SIZE/TIME".
static bool take_rule(const char **text, struct rule *rule)
{
	uint64_t messages, octets = DEFAULT_OCTETS, age = DEFAULT_AGE;

	if (!take_quantity(text, CHANNEL_NUMBER, 1u << SHM_WIDE_ORDER, &messages))
		return false;
	if (**text == '/' && (++*text, !take_quantity(text, CHANNEL_OCTETS, 1ull << 40, &octets)))
		return false;
	if (**text == '/' && (++*text, !take_quantity(text, CHANNEL_TIME, INT32_MAX, &age)))
		return false;
	*rule = (struct rule){(uint32_t)messages, octets, (uint32_t)age};
	return **text == ',' || **text == '\0';
}

// Takes the next "pattern=rule" off *HISTORIES. False if it isn't one.
static bool take_pattern(const char **histories, char pattern[FOREBAY_NAME_SIZE], struct rule *rule)
{
	const char *equals = *histories + strcspn(*histories, ",");
	size_t length;

	// The last '=' before the next comma: names may contain one.
	while (equals > *histories && *equals != '=')
		equals--;
	length = (size_t)(equals - *histories);
	if (length == 0 || length >= FOREBAY_NAME_SIZE)
		return false;
	memcpy(pattern, *histories, length);
	pattern[length] = '\0';
	*histories = equals + 1;
	if (!take_rule(histories, rule))
		return false;
	*histories += **histories == ',';
	return true;
}

const char *channel_history_error(const char *histories)
{
	char pattern[FOREBAY_NAME_SIZE];
	struct rule rule;

	while (*histories)
		if (strchr(histories, '\n') || !take_pattern(&histories, pattern, &rule))
			return "are not of the form PATTERN=N, PATTERN=N/SIZE or "
			       "PATTERN=N/SIZE/TIME, with "
			       "1 to 8192 messages, sizes as 64K or 1M, and times as 30s or 24h, "
			       "up to 596h";
	return NULL;
}

// The rule for GROUP. False if it has no history.
static bool find_rule(const struct forebay *layer, const char *group, struct rule *rule)
{
	const char *histories = strchr(layer->segment.patterns, '\n');
	char pattern[FOREBAY_NAME_SIZE];

	for (histories = histories ? histories + 1 : ""; *histories;) {
		if (!take_pattern(&histories, pattern, rule))
			return false; // somebody scribbled over them
		if (channel_name_matches(pattern, group))
			return true;
	}
	return false;
}

static void name_history(char name[SHM_NAME_SIZE], const char *group)
{
	name[0] = HISTORY_MARK;
	strncpy(name + 1, group, SHM_NAME_SIZE - 2);
	name[SHM_NAME_SIZE - 1] = '\0';
}

static uint64_t epoch_of(const struct forebay *layer, const struct shm_ring *ring)
{
	uint64_t epoch =
	        layer->segment.identity ^ (((uint64_t)ring->id + 1) << 32 | ring->generation);

	return epoch ? epoch : 1;
}

// ---------------------------------------------------------------------------------------------
// Adding
// ---------------------------------------------------------------------------------------------

// Lets the oldest go until the rest has no more than OCTETS in all. The sum is taken anew each time: a counter would be
// wrong for ever after a death.
static void trim(struct forebay *layer, struct shm_ring *ring, uint64_t octets)
{
	uint64_t head, tail, sum = 0, pos;

	(void)shm_ring_pending(ring, &layer->pool, &head, &tail);
	for (pos = tail; pos != head; pos--) {
		struct shm_glimpse glimpse;

		if (shm_peek(ring, &layer->pool, pos - 1, &glimpse) != SHM_SEEN || !glimpse.waiting)
			continue;
		sum += glimpse.buffer.length;
		if (sum > octets)
			break;
	}
	if (pos == head)
		return;
	while (shm_displace_before(&layer->table, ring, pos))
		continue;
}

static int make_history(
        struct forebay *layer, const char *name, const struct rule *rule, struct shm_ring *ring)
{
	enum shm_result result =
	        shm_table_make_history(&layer->table, name, rule->messages, rule->age, ring);

	if (result == SHM_FULL && channel_make_room(layer))
		result = shm_table_make_history(
		        &layer->table, name, rule->messages, rule->age, ring);
	return result == SHM_OK ? 0 : FOREBAY_NO_CHANNEL;
}

void channel_history_add(
        struct forebay *layer, const char *group, struct channel_outgoing *outgoing)
{
	char name[SHM_NAME_SIZE];
	struct shm_ring ring;
	struct rule rule;
	int result = FOREBAY_GONE;

	if (!find_rule(layer, group, &rule))
		return;
	name_history(name, group);
	for (int round = 0; round < ROUNDS && result == FOREBAY_GONE; round++) {
		result = make_history(layer, name, &rule, &ring);
		if (result != 0)
			return; // there is none, so none that would seem complete
		if (outgoing->length > rule.octets) {
			result = FOREBAY_TOO_LARGE;
			break;
		}
		trim(layer, &ring, rule.octets - outgoing->length);
		result = channel_outgoing_keep(layer, &ring, outgoing);
		if (result == FOREBAY_GONE)
			shm_table_unlink(&layer->table, &ring);
	}
	if (result != 0) {
		(void)shm_table_shut(&layer->table, &ring);
		return;
	}
	outgoing->history = (struct channel_history_mem){epoch_of(layer, &ring), ring.given};
	outgoing->head.to_group |= CHANNEL_IN_HISTORY;
	outgoing->length += (uint32_t)sizeof outgoing->history;
}

// ---------------------------------------------------------------------------------------------
// Asking
// ---------------------------------------------------------------------------------------------

// Shows the message at POS. 0, and *SHOWN if it was there.
static int show(struct forebay *layer, const char *group, const struct rule *rule,
        const struct shm_ring *ring, uint64_t pos, bool *shown,
        int (*each)(struct forebay_message *message, void *context), void *context)
{
	struct forebay_message *message = NULL;
	struct shm_glimpse glimpse;
	int result = 0;

	*shown = false;
	if (shm_peek(ring, &layer->pool, pos, &glimpse) != SHM_SEEN || !glimpse.waiting ||
	        channel_age(glimpse.sent_at) > rule->age)
		return 0;
	result = channel_message_peek(layer, ring, &glimpse, &message);
	if (!message)
		return result;
	*shown = true;
	strcpy(message->channel, group);
	message->history = (struct channel_history_mem){epoch_of(layer, ring), pos};
	result = each(message, context);
	forebay_message_free(message);
	return result;
}

int forebay_group_history(struct forebay *layer, const char *group, struct forebay_history *history,
        int (*each)(struct forebay_message *message, void *context), void *context)
{
	uint64_t head, tail, id, pos;
	char name[SHM_NAME_SIZE];
	struct shm_ring ring;
	struct rule rule;
	bool known;
	int result = 0;

	history->complete = false;
	if (channel_is_blind(layer))
		return -ESTALE;
	if (channel_name_kind(group, &id) == CHANNEL_BAD)
		return FOREBAY_BAD_NAME;
	name_history(name, group);
	if (!find_rule(layer, group, &rule) || !channel_find(layer, name, &ring)) {
		history->epoch = history->offset = 0;
		return 0;
	}
	(void)shm_ring_pending(&ring, &layer->pool, &head, &tail);
	// An offset that wasn't given yet is no better than another epoch.
	known = history->epoch == epoch_of(layer, &ring) && history->offset < tail;
	pos = known && tail - history->offset <= 1ull << ring.order ? history->offset + 1 : head;
	history->complete = known && pos == history->offset + 1;
	history->epoch = epoch_of(layer, &ring);
	history->offset = known ? history->offset : pos - 1;
	for (; pos != tail && result == 0; pos++) {
		bool shown;

		result = show(layer, group, &rule, &ring, pos, &shown, each, context);
		history->complete &= shown;
		if (shown || pos + 1 == tail)
			history->offset = pos;
	}
	return result;
}
