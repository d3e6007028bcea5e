// SPDX-License-Identifier: MIT
// layer.h - an attachment from the inside: what the files of channel/ share with each other.
//
//   layer.c         attach, detach, fork
//   housekeeping.c  reaping, expiring, flushing
//   message.c       building and reading a message; spans.c, copies to and from its memory
//   send.c          a message into a ring: limits, look-up, waiting for room
//   receive.c       out of the rings, fairly; sleeping; the descriptor for event loops
//   peek.c          looking at messages without receiving them
//   reply.c         reply channels (endpoints and their credit), wills and streams
//   delay.c         messages that are sent now and delivered later; delay_ring.c, where they wait
//   drop.c          messages that are dropped on purpose
//   group.c         groups; history.c, their last messages
//   metric.c        metrics
//   stat.c          statistics
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "channel/forebay.h"
#include "channel/json.h"
#include "channel/name.h"
#include "shm/clock.h"
#include "shm/displace.h"
#include "shm/doorbell.h"
#include "shm/endpoint.h"
#include "shm/reaper.h"
#include "shm/table.h"
#include "shm/will.h"

_Static_assert(
        (int)SHM_COUNT_MOVED < (int)SHM_COUNTERS && (int)FOREBAY_COUNTERS <= (int)SHM_COUNT_MOVED,
        "a slot has a word for each counter, and the last is shm's own");
_Static_assert((int)FOREBAY_COUNT_SENT == (int)SHM_COUNT_SENT &&
                       (int)FOREBAY_COUNT_FULL == (int)SHM_COUNT_FULL &&
                       (int)FOREBAY_COUNT_GONE == (int)SHM_COUNT_GONE &&
                       (int)FOREBAY_COUNT_EXPIRED == (int)SHM_COUNT_EXPIRED &&
                       (int)FOREBAY_COUNT_BAD == (int)SHM_COUNT_BAD &&
                       (int)FOREBAY_COUNT_FLUSHED == (int)SHM_COUNT_FLUSHED &&
                       (int)FOREBAY_COUNT_LOST == (int)SHM_COUNT_LOST &&
                       (int)FOREBAY_COUNT_DISPLACED == (int)SHM_COUNT_DISPLACED &&
                       (int)FOREBAY_COUNT_HISTORY == (int)SHM_COUNT_HISTORY,
        "what shm knows of them");
_Static_assert((int)FOREBAY_REFUSE == (int)SHM_REFUSE &&
                       (int)FOREBAY_DROP_OLDEST == (int)SHM_DROP_OLDEST &&
                       (int)FOREBAY_KEEP_LATEST == (int)SHM_KEEP_LATEST,
        "policies go down to shm as they are");
_Static_assert(FOREBAY_NAME_SIZE <= SHM_NAME_SIZE, "a channel's image has room for its name");

#define CHANNEL_INBOX_CAPACITY (1u << SHM_WIDE_ORDER)

// How a message begins in shared memory; envelope (JSON) and content follow. 32 octets.
struct channel_message_mem {
	uint32_t envelope; // octets
	uint32_t content;  // octets
	uint32_t kind;     // enum forebay_content
	// Of a message to a reply channel: which one; to a group: its entry ... Of one that waits in asgi.delay: octets
	// of its destination's name, which follows the content.
	uint32_t endpoint;
	uint64_t generation; // ... and which use of it ...
	uint32_t sequence;   // ... and, for a reply channel, which of its sequence numbers
	uint32_t to_group;   // CHANNEL_TO_GROUP, CHANNEL_IN_HISTORY
};

#define CHANNEL_TO_GROUP   1u // to the reply channels in a group
#define CHANNEL_IN_HISTORY 2u // a struct channel_history_mem follows the content

// Where a message is in its group's history.
struct channel_history_mem {
	uint64_t epoch, offset;
};

_Static_assert(sizeof(struct channel_message_mem) == 32, "pinned by the layout version");

// A message ready to be copied into shared memory.
struct channel_outgoing {
	const char *envelope;
	size_t envelope_length;
	const struct forebay_message *message;
	struct channel_message_mem head;
	uint32_t length;                    // of all parts
	const char *destination;            // of a message that waits in asgi.delay; else NULL
	uint64_t sent_at;                   // as the receiver has it, or when it is due; 0: now
	struct channel_cached *cached;      // the cache's entry for a channel of that name ...
	uint64_t use;                       // ... and its use when it was that channel's; or 0
	bool waits;                         // for room, here or in its event loop
	struct channel_history_mem history; // if the head says so
	bool refused;             // counted in the channel's statistics: once for all tries
	enum shm_will_state will; // not NONE: it sets or executes that of ...
	uint32_t endpoint;        // ... this one
};

// One reply channel, on its owner's side.
struct channel_reply {
	void *owner;
	struct channel_prefix *prefix;
	uint64_t generation; // 0 when closed
	uint32_t index;      // of the endpoint
	uint32_t window;
	uint32_t limit;             // as last granted
	uint32_t seen;              // one more than the highest sequence number received
	uint32_t held;              // extents of messages received and not freed
	bool refused;               // its farewell found no room
	struct channel_reply *next; // free one of its zone
};

// Those of one zone of endpoints. They stay when it is given back, for messages that were received may name them.
struct channel_reply_zone {
	struct channel_reply_zone *next, *before; // of those that are ours and have a free one
	struct channel_reply *free;
	uint32_t used; // open, or closed and something is owed for them
	uint32_t number;
	bool ours;
	struct channel_reply replies[SHM_ENDPOINT_ZONE];
};

// Prefixes of reply channels, kept once each as long as they are used, and a few longer.
struct channel_prefix {
	struct channel_prefix *next;
	uint32_t window; // that the capacity patterns give
	uint32_t uses;   // open reply channels, and messages received from such
	uint32_t number; // in the layer; see shm/prefix.h
	char name[FOREBAY_NAME_SIZE];
};

struct channel_listen {
	struct shm_ring ring;
	bool stream;
	bool begun; // something was received from this generation of the channel: the position before ...
	uint64_t next; // ... this one
	char name[FOREBAY_NAME_SIZE];
};

// Channels sent to lately, found by a hash of the name: of these, name and kind needn't be judged again.
struct channel_cached {
	struct shm_ring ring;
	uint64_t use; // another number for each channel that the entry is given to; 0: none's
	int kind;     // enum channel_kind: CHANNEL_PLAIN, _STREAM or _DELAY
	enum shm_policy policy;
	char name[FOREBAY_NAME_SIZE];
};

// Messages sent while corked into a channel whose receivers haven't been woken for them.
struct channel_unrung {
	uint32_t ring; // id
	uint32_t messages;
};

enum {
	CHANNEL_PATH_SIZE = 4096,
	CHANNEL_CACHE = 64,
	CHANNEL_UNRUNG = 8,      // channels
	CHANNEL_UNRUNG_MAX = 16, // messages in one of them
	CHANNEL_LOOKS_MAX = 64,  // before a receiver sleeps; some 10 us
};

struct forebay {
	struct shm_segment segment;
	struct shm_process self;
	struct shm_pool pool;
	struct shm_table table;
	struct shm_doorbell bell;
	char *differences; // in what the layer isn't as the options wanted it; or NULL
	bool stale;      // a child of fork() sees its parent's attachment; or who observes its own
	bool observes;   // it can look all the same
	bool executing;  // wills: what is sent for them may lead back there
	bool delivering; // delayed messages: the same
	const char *drops;    // the resilience mode's patterns; "" when it is off
	uint64_t dice;        // state of its generator
	struct forebay *next; // of all attachments of this process
	char name[65];
	uint64_t streams;     // made so far: ids are never used again
	int64_t now;          // when the message that is being sent was stored, ms; else 0
	int64_t received_at;  // when we last received a message, ms
	int64_t look;         // when we next see whether anything is to be done, ms
	int64_t housekeeping; // when our next round is due, ms
	int64_t asked;        // when we last asked the others for memory, ms
	int64_t searched;     // when we last looked for room in vain, ms
	int64_t compacted;    // when we last looked for room in all groups, ms
	uint32_t *hands; // messages of asgi.delay that are kept, HELD, since there was no memory
	uint32_t hand_count, hand_room;
	int64_t hands_at;   // when they are tried again, ms
	int64_t delayed_at; // when we last delayed a message, ms ...
	uint32_t delayed;   // ... and how many in that one

	struct channel_cached *cache; // CHANNEL_CACHE of them
	struct channel_cached *last;  // the entry that was found last; often the next
	uint64_t cache_uses;
	bool corked;
	uint32_t unrung_count;
	struct channel_unrung unrung[CHANNEL_UNRUNG];

	// Receiving.
	struct channel_listen **listens;
	uint32_t listen_count, listen_room;
	uint32_t turn;  // the source that is asked first: 0 is the inbox, then the listens
	uint32_t looks; // that a receiver takes before it sleeps; adapts itself
	uint32_t sleeps;
	bool armed;     // the last receive said TIMEOUT and left `sleeping` at FIFO
	bool fruitless; // and had found nothing

	// Reply channels.
	bool has_inbox;
	struct shm_ring inbox;
	struct channel_reply_zone **reply_zones; // by number; NULL if it was never ours
	struct channel_reply_zone *free_zones;   // with a free one
	uint32_t empty_zones;                    // with nothing but free ones: one at most
	struct channel_prefix *prefixes;
	uint32_t prefix_count;
	uint32_t zone_scan;

	struct forebay_message *free_messages;
	uint32_t free_message_count;
};

struct forebay_message {
	struct forebay *layer;
	struct forebay_message *next; // free one
	bool received;                // else being built
	bool writer_ready, reader_ready;

	struct channel_json_writer writer; // of what is built here, or of forebay_message_json()
	struct channel_json_reader reader;
	const void *content; // to be sent: the caller's, or `flat`
	size_t content_length;
	unsigned kind;
	char *flat; // a private copy of content that isn't contiguous, or decoded from JSON
	size_t flat_size;

	// Received.
	bool parsed, synthetic; // synthetic: made by the library, not in shared memory
	bool unloaded;          // its memory was given back already
	uint32_t extents;       // that its memory has, or had
	bool copied, waiting; // not received, but looked at: `buffer` is in `copy`; it waited then
	char *copy;
	size_t copy_size;
	struct shm_buffer buffer;
	uint32_t envelope_length;
	char *text; // a private copy of the envelope
	size_t text_size;
	struct channel_reply *reply;
	struct channel_prefix *prefix; // of the reply channel
	uint64_t generation;           // of the reply channel
	bool to_group;
	struct shm_entry group; // that it was sent to
	int64_t sent_at;
	uint64_t gap;
	struct channel_history_mem history; // epoch 0: none
	char channel[FOREBAY_NAME_SIZE];    // "" until asked for, for a reply channel
};

// The time, in ms, and what tests add to it.
#define channel_now         shm_clock_now
#define channel_clock_ahead shm_clock_ahead

// Since SENT_AT, which may be anything: it comes from shared memory.
static inline int64_t channel_age(int64_t sent_at)
{
	return (int64_t)((uint64_t)channel_now() - (uint64_t)sent_at);
}

// Resolves *NAME (NULL: from the environment) and writes the path of the layer's directory. 0, or a negative
// errno and forebay_error().
int channel_layer_path(const char **name, char path[CHANNEL_PATH_SIZE]);

// Whether the layer can't even be looked at.
static inline bool channel_is_blind(const struct forebay *layer)
{
	return layer->stale && !layer->observes;
}

// Finds the channel NAME as it is now, also for who only observes. False if there is none.
bool channel_find(struct forebay *layer, const char *name, struct shm_ring *ring);

// The capacity and policy of channel NAME in this layer.
struct channel_rule channel_rule_of(const struct forebay *layer, const char *name);
uint32_t channel_capacity(const struct forebay *layer, const char *name);

// Checks MESSAGE and readies it to be sent: 0 or why it can't be.
int channel_outgoing_init(struct channel_outgoing *outgoing, struct forebay_message *message);
// The same for what was checked before: MESSAGE's content, with that ENVELOPE.
void channel_outgoing_set(struct channel_outgoing *outgoing, const struct forebay_message *message,
        const char *envelope, size_t length);
// One try to send it to the channel NAME. Returns as forebay_send() with time-out 0.
int channel_outgoing_send(
        struct forebay *layer, const char *name, struct channel_outgoing *outgoing);
// One try to send it to a process's inbox, which an endpoint's ring word names. FOREBAY_GONE if that is over.
int channel_outgoing_push(struct forebay *layer, uint64_t inbox, struct channel_outgoing *outgoing);
// Puts the message into a history, whose older ones give way. 0 and its position in ring->given, or why not.
int channel_outgoing_keep(
        struct forebay *layer, struct shm_ring *ring, struct channel_outgoing *outgoing);
// Puts the message into GROUP's history, if that has one, and tells its copies so.
void channel_history_add(
        struct forebay *layer, const char *group, struct channel_outgoing *outgoing);
// Counts NUMBER sends that ended with RESULT; those that were published are counted already.
void channel_count(struct forebay *layer, int result, uint64_t number);
// What is due after a send, sent or not.
void channel_sent(struct forebay *layer);

// Sends MESSAGE to asgi.delay, to be delivered to DESTINATION at TIME, a SHM_DUE(). Returns as forebay_send().
int channel_send_later(struct forebay *layer, const char *destination,
        struct forebay_message *message, uint64_t time, int timeout);
// The same for a message of the Delay Protocol, which says what to send where and when.
int channel_delay_request(struct forebay *layer, struct forebay_message *message, int timeout);
// The ring that they wait in, and publishing there: as shm_ring_push(), but it is full only if that many wait.
enum shm_result channel_delay_ring(struct forebay *layer, struct shm_ring *ring);
enum shm_result channel_delay_push(
        struct forebay *layer, struct shm_ring *ring, uint32_t handle, struct shm_block_mem *block);
bool channel_delay_is_full(struct forebay *layer, struct shm_ring *ring);
// Publishes a copy of HELD, which was in the channel before and is HELD by us, at its end: beyond its capacity, if need
// be. Then the oldest message takes its place in our hand, until one finds a gap. There are as many positions more as
// can be in hands, so the channel is never full in this sense; but another's scribbles may make it so. If there is no
// memory, it is kept in hand. Returns how many were published.
uint32_t channel_delay_put_back(struct forebay *layer, struct shm_ring *ring, uint32_t held);
// Those that were kept, HELD by us, *COUNT of them; to be freed. NULL if there are none.
uint32_t *channel_delay_take_hands(struct forebay *layer, uint32_t *count);
// Delivers what is due at NOW, if anything may be and nobody else is at it; ANYHOW: looks even if not. Costs a load if
// nothing is due. Returns how many were delivered.
uint64_t channel_deliver(struct forebay *layer, int64_t now, bool anyhow);
void channel_delay_fini(struct forebay *layer);

// The resilience mode: readies an attachment, whose dice are its seed unless they are 0; says whether what is now sent to
// NAME is to be dropped, which is then counted.
void channel_drop_init(struct forebay *layer);
bool channel_drop_rolls(struct forebay *layer, const char *name);
static inline bool channel_drop(struct forebay *layer, const char *name)
{
	return layer->drops[0] && channel_drop_rolls(layer, name);
}

// Whether a group has a member that is a reply channel of ours.
bool channel_group_has_own(struct forebay *layer, const struct shm_entry *group);
// Copies the group's name. False if it has ended.
bool channel_group_name(
        struct forebay *layer, const struct shm_entry *group, char name[FOREBAY_NAME_SIZE]);

// An empty message for the receiver; NULL if the heap is exhausted.
struct forebay_message *channel_message_take(struct forebay *layer);
// The envelope of a message that was built here, as channel_json_writer_finish() gives it. FOREBAY_BAD_MESSAGE if it was
// received.
int channel_message_finish(struct forebay_message *message, const char **json, size_t *length);
// Whether the parts of a message of LENGTH octets add up.
bool channel_message_is_sound(const struct channel_message_mem *head, uint32_t length);
// The two halves of forebay_message_from_json(): the object *ROOT, which lies in MESSAGE's memory; and MESSAGE itself
// from that object, or from one in it.
int channel_message_parse(struct forebay_message *message, const char *json, size_t length,
        const struct forebay_value **root, const char **error);
int channel_message_set(
        struct forebay_message *message, const struct forebay_value *root, const char **error);
// Sets what a message is from how it begins, and forgets whatever it was before.
void channel_message_open(struct forebay_message *message, const struct channel_message_mem *head,
        const struct shm_buffer *buffer, int64_t sent_at);
void channel_message_pool_fini(struct forebay *layer);

// Makes a message of a copy of what was glimpsed. 0 and the message, NULL if it isn't there any more or makes no sense;
// or -ENOMEM.
struct shm_glimpse;
int channel_message_peek(struct forebay *layer, const struct shm_ring *ring,
        struct shm_glimpse *glimpse, struct forebay_message **message);

// Makes a stream's listener see its end: a message {"closed": true}. NULL if the heap is exhausted.
struct forebay_message *channel_message_closed(struct forebay *layer, const char *channel);

// The reply channel a received message is for, or NULL if it ended (then the message is to be dropped).
struct channel_reply *channel_reply_find(
        struct forebay *layer, uint32_t index, uint64_t generation);
// Counts a message in, and out again when it is freed (moves the credit), as so many as it has extents. False if it
// has a number that nobody was given: then it is to be dropped.
bool channel_reply_received(struct channel_reply *reply, uint32_t sequence, uint32_t extents);
// 0 if the reply channel is open; FOREBAY_GONE, or FOREBAY_BAD_NAME if there never was such a one.
int channel_reply_look(struct forebay *layer, uint32_t index, uint64_t generation);
void channel_reply_freed(
        struct forebay *layer, struct channel_reply *reply, uint64_t generation, uint32_t extents);
void channel_reply_name(
        const struct channel_prefix *prefix, uint32_t index, uint64_t generation, char *name);
// Sends MESSAGE to CHANNEL, a plain one or a stream, as what sets (executes) the will of an endpoint in a zone
// that we own. Returns as forebay_send() with a time-out of 0, or if it was refused before, AGAIN, as forebay_send_again().
int channel_send_will(struct forebay *layer, const char *channel, struct forebay_message *message,
        uint32_t endpoint, enum shm_will_state state, bool again);
// Executes the wills of processes that have ended, as far as there is room. Each is executed once, by whoever
// comes first.
void channel_wills_execute(struct forebay *layer);
// Gives back the credit that dead senders took.
void channel_reply_heal(struct forebay *layer);
void channel_reply_fini(struct forebay *layer);
// Counts a use of PREFIX out, and forgets it if it was the last and many are known.
void channel_prefix_unuse(struct forebay *layer, struct channel_prefix *prefix);

// Counts RESULT if it is FOREBAY_NO_CHANNEL, and returns it.
int channel_count_refusal(struct forebay *layer, int result);

// Frees what the dead hold and what has expired, for who has found something full. True if that was
// anything. If not, the next 10 ms (a second, if there are 100,000 channels) are saved the effort: then it
// is false at once.
bool channel_make_room(struct forebay *layer);

// Drops the messages at the front of the ring that have expired. True if there were any.
bool channel_expire(struct forebay *layer, struct shm_ring *ring);

// Has every other process look again, whatever it waits for. SLOTS: those whose slot modulo 64 is in the mask.
void channel_nudge_slots(struct forebay *layer, uint64_t slots);

// Wakes the receivers of what was sent while corked.
void channel_ring_all(struct forebay *layer);

// Readies the descriptor for a process that waits for room with its event loop.
void channel_arm(struct forebay *layer);

// What is done now and then: what is due is delivered, some twenty times a second; and once a second zones not needed go
// back, lost credit is replaced if HEAL is set, and one of all attached processes does what is the whole
// layer's. Costs a comparison if nothing of it is due at NOW (ms).
void channel_housekeep(struct forebay *layer, int64_t now, bool heal);

// Tells who waits for room in the ring's channel that there is some.
void channel_room(struct forebay *layer, const struct shm_ring *ring);

// Sleeps until woken, or nudged, at most until DEADLINE (ms; -1: none), after POLL (may be NULL) has said
// once more that there is nothing. Returns 0, 1 if POLL found something, FOREBAY_TIMEOUT or -EINTR.
int channel_sleep(
        struct forebay *layer, int64_t deadline, bool (*poll)(void *context), void *context);
