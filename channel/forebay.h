// SPDX-License-Identifier: MIT
// forebay.h - the public interface of libforebay: messages on named channels in shared memory.
//
// A *layer* is a set of channels that lives in shared memory under a name. Any process of the
// same user (or of the layer's group) may attach to it, send messages and receive them; no broker
// runs. Message formats are those of the Channels message standards; channel/README.md documents
// the representation in memory, the limits, and the extensions.
//
// Rules that hold for the whole interface:
//  - An attachment (struct forebay) and all that comes from it belong to one thread of one
//    process. A thread that wants its own opens its own. A child of fork() must not use its
//    parent's attachment: every call on it returns -ESTALE there, and forebay_close() only frees.
//  - Functions that can fail return 0, a negative errno for a failure of the environment, or one
//    of the positive outcomes below, which a caller is expected to handle.
//  - Nothing here prints, exits, installs a signal handler or starts a thread.
//  - Progress: send and receive are lock-free; another process that is killed or stopped at any
//    instruction can't block them. Only calls with a time-out sleep.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FOREBAY_API __attribute__((visibility("default")))

#define FOREBAY_VERSION "0.1.0"

// Limits of the message standards.
#define FOREBAY_NAME_MAX    200     // a channel's or group's name: 1-200 printable ASCII characters
#define FOREBAY_NAME_SIZE   201     // a buffer for one, with its NUL
#define FOREBAY_MESSAGE_MAX 1048576 // octets of one message, encoded as one JSON object
#define FOREBAY_DEPTH_MAX   64      // nesting of objects and lists in a message
#define FOREBAY_DELAY_MAX   2147483647 // ms that a message can be delayed: 24 days and 20 hours

#define FOREBAY_METRIC_NAME_MAX 127 // octets of a metric's name, with its labels
#define FOREBAY_METRIC_HELP_MAX 111

// What send, receive and the builders can answer besides 0 and a negative errno.
enum forebay_outcome {
	FOREBAY_OK = 0,
	FOREBAY_FULL = 1,    // the channel holds its capacity of messages: try later, or shed load
	FOREBAY_TIMEOUT = 2, // nothing arrived (no room came) within the time given, which may be 0
	FOREBAY_GONE = 3,    // the reply channel's connection has ended: nobody will ever read it
	FOREBAY_TOO_LARGE = 4, // the message, encoded, exceeds FOREBAY_MESSAGE_MAX
	// Not a name (of a channel, group or metric, as the call wants it); or of a channel of a kind that the call
	// isn't for, or a reply channel that this layer never made.
	FOREBAY_BAD_NAME = 5,
	// Not a JSON object, invalid UTF-8, nested too deep, keys missing; or one that was received, where it is to be
	// sent.
	FOREBAY_BAD_MESSAGE = 6,
	FOREBAY_NO_MEMORY = 7, // the layer's message blocks are all in use
	FOREBAY_NO_CHANNEL =
	        8, // a table of the layer is full: of channels, reply channels, groups, metrics
};

struct forebay;         // an attachment to a layer
struct forebay_message; // a message: being built, or received

// ---------------------------------------------------------------------------------------------
// Layer
// ---------------------------------------------------------------------------------------------

// What a send to a full channel does.
enum forebay_policy {
	FOREBAY_REFUSE = 0,      // answers FOREBAY_FULL
	FOREBAY_DROP_OLDEST = 1, // drops the oldest waiting messages until there is room
	FOREBAY_KEEP_LATEST = 2, // drops all that wait
};
FOREBAY_API const char *forebay_policy_name(enum forebay_policy policy); // "drop-oldest", ...

// The capacities that suit an interface server's channels. A layer that is made without others has these, whether the
// server comes first or a consumer.
#define FOREBAY_CAPACITIES                                                                         \
	"http.response!*=16,http.request.body?*=16,http.*=1000,"                                   \
	"websocket.receive.content?*=16,websocket.send!*=32,websocket.*=1000"

// How a layer is made, and how this process attaches to it. Zero means default. A layer that exists stays as it was
// made, whatever is said here of its making: sizes, numbers, capacities, expiries, `group`, `drops`, `group_histories`.
struct forebay_options {
	uint64_t
	        size; // octets of shared memory in all; default 48 MiB; -EINVAL if the rest doesn't fit
	uint32_t channels;       // named channels that can exist at a time; default 1024
	uint32_t reply_channels; // reply channels that can exist at a time; default 65536
	uint32_t groups;       // groups that can exist at a time; default: as many as suit the size
	uint32_t capacity;     // messages a channel holds; default 100
	uint32_t expiry;       // seconds after which an unread message is dropped; default 60
	uint32_t group_expiry; // seconds after which a member leaves a group; default 86400
	// Per pattern, the first match wins: "http.request=1000,http.response!*=10,ticks.*=1/drop-oldest". Behind
	// the '/', the name of a policy; default "refuse". Not for reply channels: a pattern with '!' takes none, and
	// what another says of them is their window only. Default, if `capacity` isn't given either: FOREBAY_CAPACITIES.
	const char *capacities;
	const char *group; // name of the group that may attach too (mode 0770); default none
	const char *role;  // what this process is, for `forebay stat`; at most 15 characters
	bool must_exist;   // don't create the layer: -ENOENT if there is none
	bool replace;      // a layer that was made with other options, and that nobody alive is
	                   // attached to, is made anew; what waits in it is dropped
	bool observe; // only look: takes no process slot and changes nothing, so nobody notices. forebay_stat...(),
	        // _peek() and _watch() work, and what is about the attachment; all else answers -ESTALE. -ENOENT if
	        // there is none
	const char *user; // refuse a layer that isn't this user's ("": this process's own), whoever
	                  // else is trusted; only root can make one for another user
	// The resilience mode, for testing applications: per pattern, the first match wins, the percentage of messages
	// to such channels that are dropped on purpose: "http.request=5,websocket.send!*=0.1". Their senders learn
	// nothing: the send returns 0, and a group counts the member as reached. Counted as
	// FOREBAY_COUNT_DROPPED_ON_PURPOSE, and not as sent. Exempt is what comes exactly once
	// (forebay_reply_announce(), forebay_reply_farewell()); a delayed message is dropped, or not, when it is
	// delivered. Default: none, which costs nothing.
	const char *drops;
	// Of what this attachment drops, also in a layer that exists: the same ones of its messages each time. 0:
	// $FOREBAY_DROP_SEED, a number from 1 on, or else any.
	uint64_t drop_seed;
	// Per pattern, the first match wins: which groups have a history, see forebay_group_history(), of at most so many
	// messages (1 to 8192), octets (default 1M) and so old (default 10m): "chat.*=100,news=10/64K/24h". Default: none.
	const char *group_histories;
};

// Attaches to the layer NAME (letters, digits, '.', '_' and '-', at most 64), making it first if
// nobody has. NAME may be NULL: then $FOREBAY_LAYER, or "default". OPTIONS may be NULL.
// The layer lives in ${FOREBAY_DIR:-/dev/shm}/forebay.NAME/. On failure returns a negative errno
// (-EINVAL a bad name or option, -ENOSPC no room in the file system, -EPROTO another layout or a
// damaged file, -EACCES, -EUSERS no process slot left, ...) and forebay_error() says it in a sentence.
FOREBAY_API int forebay_open(
        const char *name, const struct forebay_options *options, struct forebay **layer);

// Detaches. Reply channels opened here are gone, messages received here and not freed are lost.
// Messages sent from here stay. Accepts NULL. The layer itself stays until forebay_remove().
FOREBAY_API void forebay_close(struct forebay *layer);

// Removes the files of the layer NAME. Processes attached keep what they have mapped, but nobody
// new will meet them. Returns 0 or a negative errno.
FOREBAY_API int forebay_remove(const char *name);

// The sentence that goes with this thread's last failed forebay_open() or forebay_remove():
// file, reason, remedy. Never NULL.
FOREBAY_API const char *forebay_error(void);

// A short English text for any return value of this interface. Never NULL.
FOREBAY_API const char *forebay_strerror(int result);

FOREBAY_API const char *forebay_layer_name(const struct forebay *layer);

// How forebay_open() came by the layer: it was there, it was made, or it was made anew (see `replace`).
enum forebay_origin {
	FOREBAY_FOUND = 0,
	FOREBAY_MADE = 1,
	FOREBAY_REPLACED = 2,
};
FOREBAY_API enum forebay_origin forebay_layer_origin(const struct forebay *layer);

// Whether the layer's files have been removed, or replaced by another layer's: who attaches anew gets that one, or none.
FOREBAY_API bool forebay_layer_gone(const struct forebay *layer);

// In what a layer that was there isn't as forebay_open()'s options wanted it, such as "size 16.0 MiB, not
// 48.0, expiry 60 s, not 30": it stays as it was made. "" if in nothing, or with `must_exist`. Owned by LAYER.
FOREBAY_API const char *forebay_layer_differences(const struct forebay *layer);

// What the layer drops on purpose, as `drops` in its maker's options had it; "" if nothing. Owned by LAYER.
FOREBAY_API const char *forebay_layer_drops(const struct forebay *layer);

// Drops every message waiting in the channel CHANNEL, or in every channel if it is NULL.
// Returns 0 and the number dropped in *COUNT (may be NULL).
FOREBAY_API int forebay_flush(struct forebay *layer, const char *channel, uint64_t *count);

// Frees what processes that have died left behind (blocks, zones, reply channels, waiter bits), and messages that
// have expired, in all channels. A supervisor calls it as soon as it learns of a death, so that senders get
// FOREBAY_GONE at once; without one, housekeeping does it. Returns how many dead processes it cleared.
FOREBAY_API int forebay_reap(struct forebay *layer);

// The same for the layer as a whole once a second, by one of the attached processes: every call that sends or
// receives sees to it, so this is only for who is attached and does neither. Cheap if it isn't due. 0 or -ESTALE.
FOREBAY_API int forebay_housekeep(struct forebay *layer);

// ---------------------------------------------------------------------------------------------
// Building a message
// ---------------------------------------------------------------------------------------------

// A new, empty message. Costs no malloc in the steady state: freed messages are reused.
// Returns NULL only when the heap is exhausted. Free it with forebay_message_free().
FOREBAY_API struct forebay_message *forebay_message_new(struct forebay *layer);

// Ends a message, built or received. A received message's memory goes back to the layer, and its
// reply channel's sender gets its credit back. Accepts NULL.
FOREBAY_API void forebay_message_free(struct forebay_message *message);

// Gives a received message's memory back to the layer, but not yet the credit to its sender: for who has copied what is
// needed, and will have it for long. Nothing that was in the message may be looked at any more. It is still to be freed.
FOREBAY_API void forebay_message_unload(struct forebay_message *message);

// Whether more than half of the layer's memory for messages of some size is in use. Looks at some hundred blocks: for now
// and then, not for each message.
FOREBAY_API bool forebay_memory_is_short(const struct forebay *layer);

// Empties a message that was built here, for reuse.
FOREBAY_API void forebay_message_reset(struct forebay_message *message);

// These append one key and its value to the innermost open object (KEY NULL-terminated), or one
// value to the innermost open list (KEY NULL). A string is LENGTH octets of UTF-8; put_text()
// takes a NUL-terminated one; put_latin1() takes ISO 8859-1 and converts it.
// An error (a key missing, nesting) sticks, and invalid UTF-8 is found by forebay_send(), which returns
// either, so the result of each single put need not be checked.
FOREBAY_API int forebay_put_string(
        struct forebay_message *message, const char *key, const char *string, size_t length);
FOREBAY_API int forebay_put_text(
        struct forebay_message *message, const char *key, const char *text);
FOREBAY_API int forebay_put_latin1(
        struct forebay_message *message, const char *key, const char *string, size_t length);
FOREBAY_API int forebay_put_integer(
        struct forebay_message *message, const char *key, int64_t integer);
FOREBAY_API int forebay_put_boolean(struct forebay_message *message, const char *key, bool boolean);
FOREBAY_API int forebay_put_null(struct forebay_message *message, const char *key);
FOREBAY_API int forebay_begin_object(struct forebay_message *message, const char *key);
FOREBAY_API int forebay_begin_list(struct forebay_message *message, const char *key);
FOREBAY_API int forebay_end(struct forebay_message *message); // of the innermost object or list
// A key that is not NUL-terminated.
FOREBAY_API int forebay_put_key(struct forebay_message *message, const char *key, size_t length);

// What the content segment is. FOREBAY_BODY may be or'ed in: then it stands for the key `body`
// (the raw body of an http.request) instead of `content`.
enum forebay_content {
	FOREBAY_NO_CONTENT = 0,
	FOREBAY_TEXT = 1,   // UTF-8
	FOREBAY_BINARY = 2, // any octets
	FOREBAY_BODY = 4,
};

// Sets the content: LENGTH octets at DATA, which are *not* copied: they must stay as they are until
// the message has been sent or reset. Text must be UTF-8 (checked by send). It is not put into the
// JSON: the receiver gets these octets.
FOREBAY_API void forebay_set_content(
        struct forebay_message *message, const void *data, size_t length, unsigned kind);

// Sets the whole message from one JSON object, as `forebay send` takes it: the string `content` (or
// `body`) becomes the content segment, decoded from base64 if `binary` is true; anything but a boolean or null there is
// refused. On FOREBAY_BAD_MESSAGE, *ERROR (if not NULL) is a static text.
FOREBAY_API int forebay_message_from_json(
        struct forebay_message *message, const char *json, size_t length, const char **error);

// ---------------------------------------------------------------------------------------------
// Reading a message
// ---------------------------------------------------------------------------------------------

enum forebay_type {
	FOREBAY_TYPE_NULL,
	FOREBAY_TYPE_BOOLEAN,
	FOREBAY_TYPE_INTEGER,
	FOREBAY_TYPE_NUMBER,
	FOREBAY_TYPE_STRING,
	FOREBAY_TYPE_LIST,
	FOREBAY_TYPE_OBJECT,
};

// One JSON value of a received message; owned by it. Strings and keys are UTF-8, NUL-terminated,
// and may contain NULs of their own (see `length`).
struct forebay_value {
	enum forebay_type type;
	uint32_t key_length;
	const char *key;                   // in an object; else NULL
	const char *string;                // of a string, or the text of a number
	size_t length;                     // octets of string; members of a list or object
	int64_t integer;                   // of an integer; 0 or 1 of a boolean
	const struct forebay_value *child; // first member of a list or object, or NULL
	const struct forebay_value *next;  // next member of the same list or object, or NULL
};

// The envelope as an object, parsed at the first call; NULL if it isn't a JSON object or breaks
// a limit. (Through this library only well-formed ones can be sent, but a process that can write
// the segment can write anything.)
FOREBAY_API const struct forebay_value *forebay_message_root(struct forebay_message *message);

// The first member KEY of OBJECT, or NULL; OBJECT may be NULL.
FOREBAY_API const struct forebay_value *forebay_get(
        const struct forebay_value *object, const char *key);

// The same on a message's root, for the usual cases, parsing no more of the envelope than is needed: the string KEY
// with its length (LENGTH may be NULL), or NULL if absent or no string; an integer or boolean, or the default given.
FOREBAY_API const char *forebay_get_string(
        struct forebay_message *message, const char *key, size_t *length);
FOREBAY_API int64_t forebay_get_integer(
        struct forebay_message *message, const char *key, int64_t otherwise);
FOREBAY_API bool forebay_get_boolean(
        struct forebay_message *message, const char *key, bool otherwise);

// The channel the message was received from (for a reply channel its whole name); of a message to a group,
// the group's name.
FOREBAY_API const char *forebay_message_channel(const struct forebay_message *message);

// Its `reply_channel`, or NULL.
FOREBAY_API const char *forebay_message_reply_channel(struct forebay_message *message);

// What was given as OWNER to forebay_reply_open(); NULL for a message from any other channel, or to a group.
FOREBAY_API void *forebay_message_owner(const struct forebay_message *message);

// The envelope as JSON text, without the content: LENGTH octets, not NUL-terminated.
FOREBAY_API const char *forebay_message_envelope(struct forebay_message *message, size_t *length);

// The content, contiguous, valid until the message is freed; *LENGTH is 0 and the result not NULL
// for empty content. KIND (may be NULL) gets FOREBAY_TEXT etc. NULL if there is none, or when the
// heap is exhausted. Up to about 64 KiB this is the shared memory itself, above it a private copy.
FOREBAY_API const void *forebay_message_content(
        struct forebay_message *message, size_t *length, unsigned *kind);

// What its content is: FOREBAY_TEXT etc.; FOREBAY_NO_CONTENT if it has none.
FOREBAY_API unsigned forebay_message_kind(const struct forebay_message *message);

// The same without ever copying: fills at most MAX entries of IOV and returns how many the content
// needs (at most FOREBAY_CONTENT_IOV).
struct iovec;
#define FOREBAY_CONTENT_IOV 20
FOREBAY_API int forebay_message_content_iov(
        struct forebay_message *message, struct iovec *iov, int max);

// The whole message as one JSON object (text content as a string, binary as base64 with
// "binary": true), NUL-terminated, owned by the message. NULL if it is malformed or the heap exhausted.
FOREBAY_API const char *forebay_message_json(struct forebay_message *message, size_t *length);

// Milliseconds since the message was sent; of a delayed one, since it was due.
FOREBAY_API int64_t forebay_message_age(const struct forebay_message *message);

// How many messages were sent to its channel between this one and the one that this attachment had received from there
// before, and didn't come here: displaced, expired, flushed, or received by other listeners. Exact, whoever has died:
// it is the distance of their positions. 0 for the first one since forebay_listen(), or since the channel was made
// anew after it had been idle; and for reply channels, whose messages only ever expire.
FOREBAY_API uint64_t forebay_message_gap(const struct forebay_message *message);

// ---------------------------------------------------------------------------------------------
// Sending and receiving
// ---------------------------------------------------------------------------------------------

// Sends a copy of MESSAGE, which was built here and stays the caller's, to CHANNEL, waiting at most TIMEOUT
// milliseconds for room (0: not at all; -1: as long as it takes). FIFO per sender, at most once, to one receiver.
// Returns 0, FOREBAY_FULL (TIMEOUT 0), FOREBAY_TIMEOUT, FOREBAY_GONE, FOREBAY_TOO_LARGE, FOREBAY_BAD_NAME,
// FOREBAY_BAD_MESSAGE, FOREBAY_NO_MEMORY, FOREBAY_NO_CHANNEL, -EINTR (while waiting), -EUCLEAN (somebody has
// scribbled over the channel) or -ESTALE; the message is then not sent.
// After FOREBAY_FULL, forebay_fd() becomes readable when room may have come.
// A channel with another policy than FOREBAY_REFUSE takes the message at once, and older ones are dropped for it and
// counted (FOREBAY_COUNT_DISPLACED), also when there is no memory, if theirs is of use; FOREBAY_FULL is then
// answered only by a sender to whom others were faster 256 times in a row.
// One system call at most, and only when the receiver is asleep.
FOREBAY_API int forebay_send(
        struct forebay *layer, const char *channel, struct forebay_message *message, int timeout);

// The same, with a time-out of 0, of a message that CHANNEL had no room (or the layer no memory) for before: for who tries
// until there is some. A full channel costs a look, no copy of the message. What comes of it isn't counted unless it is
// sent: it was counted when it was refused first.
FOREBAY_API int forebay_send_again(
        struct forebay *layer, const char *channel, struct forebay_message *message);

// Sends a copy of MESSAGE, which stays the caller's, to CHANNEL when DELAY milliseconds have passed (from 0 to
// FOREBAY_DELAY_MAX; 0: at once, as forebay_send() does). Never waits. Until then it waits in the channel "asgi.delay",
// whose capacity decides how many can (by the patterns; 7680 at most). It is delivered within about 100 ms after it is
// due, by any of the processes that are attached then: this one needn't stay. If nobody is, the next to attach delivers
// it, or drops it if it is late by the layer's expiry. At most once, the earliest first; messages that are due at the
// same time, from one sender, in the order in which they were sent. Its age counts from when it was due. If CHANNEL is
// full then, delivery is tried again ten times a second until the message has expired (FOREBAY_COUNT_EXPIRED); if it
// has gone, it is dropped (FOREBAY_COUNT_GONE). A process that is killed while it delivers loses the one message it has
// in hand (FOREBAY_COUNT_LOST).
// Returns 0, FOREBAY_FULL (too many wait), FOREBAY_GONE (CHANNEL has ended already), FOREBAY_TOO_LARGE,
// FOREBAY_BAD_NAME (CHANNEL), FOREBAY_BAD_MESSAGE (also DELAY), FOREBAY_NO_MEMORY, FOREBAY_NO_CHANNEL, -EUCLEAN or
// -ESTALE; the message will then not be sent. Lock-free.
//
// A forebay_send() to "asgi.delay" of {"channel": NAME, "delay": MILLISECONDS, "content": {...}} does the same with the
// message `content`, for a delay from 1 on (the Delay Protocol of the message standards); it can wait for room. Its
// `content` and `binary` mean what they do in forebay_message_from_json(). Other keys beside the three mean nothing.
FOREBAY_API int forebay_send_after(
        struct forebay *layer, const char *channel, struct forebay_message *message, int delay);

// Between the two, sends leave sleeping receivers asleep until a few messages have gathered; uncork (and
// any call that sleeps) wakes them, as many as there are messages for. For who sends in batches: a system call and a
// switch to the receiver are then paid once a batch. Corking twice is once.
FOREBAY_API void forebay_cork(struct forebay *layer);
FOREBAY_API void forebay_uncork(struct forebay *layer);

// Adds CHANNEL to (removes it from) the channels this attachment receives from. Makes the channel if it is new. Returns
// 0, FOREBAY_BAD_NAME (also for "asgi.delay": see forebay_send_after()), FOREBAY_NO_CHANNEL, FOREBAY_GONE (a one-reader
// channel, such as a body_channel, that has ended) or a negative errno. Listening twice is once.
FOREBAY_API int forebay_listen(struct forebay *layer, const char *channel);
FOREBAY_API int forebay_ignore(struct forebay *layer, const char *channel);

// Receives the next message from any of the channels listened to, taking them in turn, so that a
// busy one can't starve a quiet one; waits at most TIMEOUT milliseconds (0: not at all; -1: for ever).
// Returns 0 and the message (to be freed), FOREBAY_TIMEOUT, -EINTR after a signal handler ran, or -ESTALE.
FOREBAY_API int forebay_receive(
        struct forebay *layer, int timeout, struct forebay_message **message);

// A descriptor for event loops: after forebay_receive() with TIMEOUT 0 answered FOREBAY_TIMEOUT, it
// becomes readable as soon as a message may have arrived. Then call forebay_receive() with TIMEOUT 0
// until it answers FOREBAY_TIMEOUT again. Don't read from it. It stays valid until forebay_close().
// Use a time-out of about 100 ms in the loop: a sender might be killed between publishing a message
// and waking its receiver, or have woken another listener that is dead. Returns the descriptor or a negative errno.
FOREBAY_API int forebay_fd(struct forebay *layer);

// ---------------------------------------------------------------------------------------------
// Looking at messages without receiving them
// ---------------------------------------------------------------------------------------------

// Calls EACH with a copy of every message that waits in the plain channel or stream CHANNEL, oldest first: at most as
// many as the channel holds. All functions that read a message work on it, during the call. Nobody notices: no message is
// taken, nobody is woken, the channel isn't made if it isn't there; who observes a layer may do this too. What is
// received before it is copied is left out; of one that is sent meanwhile that depends. When EACH returns other than 0,
// that ends the walk and is returned. Of what waits in "asgi.delay", forebay_message_channel() is where it is to go, and
// its age is negative until it is due. Returns 0, FOREBAY_BAD_NAME (also for a reply channel), -ENOMEM or -ESTALE.
// Lock-free.
FOREBAY_API int forebay_peek(struct forebay *layer, const char *channel,
        int (*each)(struct forebay_message *message, void *context), void *context);

// Where somebody is who follows a channel. All zero: at its end, as it is at the first call.
struct forebay_watch {
	uint64_t epoch; // which use of the channel's place in the layer; 0: none yet
	uint64_t next;  // position of the next message
	uint64_t
	        missed; // messages before that one which weren't seen, and weren't told of as a gap yet
};

// Calls EACH as forebay_peek() does with every message that was sent to CHANNEL since the last call with this WATCH, oldest
// first, whether it was received meanwhile or not: a message can be seen until its memory is used again, which is not
// before its sender has sent some dozens more, or some hundreds (one above 64 KiB: until it is freed).
// forebay_message_gap() says how many passed unseen before it, and forebay_message_is_waiting() whether nobody had received
// it yet. So call it some hundred times a second; it costs little when there is nothing. Returns as forebay_peek().
FOREBAY_API int forebay_watch(struct forebay *layer, const char *channel,
        struct forebay_watch *watch, int (*each)(struct forebay_message *message, void *context),
        void *context);

// Whether a message that was looked at waited to be received, when it was. False for others.
FOREBAY_API bool forebay_message_is_waiting(const struct forebay_message *message);

// ---------------------------------------------------------------------------------------------
// Reply channels: process-local channels that are cheap to make, one per request or connection
// ---------------------------------------------------------------------------------------------

// Opens a reply channel, "PREFIX!" and 16 hexadecimal digits, received by this attachment only (no
// forebay_listen() needed); its capacity is the window: how many messages may be on their way or
// unfreed at a time (default: as the layer's patterns say for "PREFIX!*"; 0 here means that).
// OWNER comes back from forebay_message_owner(). Writes the name to NAME.
// Returns 0, FOREBAY_BAD_NAME, FOREBAY_NO_CHANNEL or a negative errno. No system call and no malloc as a rule; O(1) in
// the number of reply channels, O(n) in that of different prefixes in use.
FOREBAY_API int forebay_reply_open(struct forebay *layer, const char *prefix, uint32_t window,
        void *owner, char name[FOREBAY_NAME_SIZE]);

// Ends it: from now on senders get FOREBAY_GONE, what was under way is dropped and counted, and
// nothing sent to NAME can ever reach a later reply channel. NAME as forebay_reply_open() gave it.
FOREBAY_API int forebay_reply_close(struct forebay *layer, const char *name);

// Sends MESSAGE to CHANNEL, as the one which says that the reply channel NAME, opened by this process, has been opened.
// From then on another message is owed, which says that it has ended: forebay_reply_farewell() sends it, or, if this
// process ends before, whoever clears up behind it (forebay_reap()) sends {"reply_channel": NAME, "code": 1006,
// "reason": ""} to websocket.disconnect. Each of the two is sent exactly once or not at all, whichever process dies at
// whichever instruction: the second if and only if the first was. Returns as forebay_send() with a time-out of 0.
FOREBAY_API int forebay_reply_announce(struct forebay *layer, const char *name, const char *channel,
        struct forebay_message *message);

// Ends the reply channel NAME as forebay_reply_close() does, and sends MESSAGE, the one that is owed for it, to
// CHANNEL. Returns as forebay_send() with a time-out of 0; unless it was 0, the message is still owed: call it again later.
FOREBAY_API int forebay_reply_farewell(struct forebay *layer, const char *name, const char *channel,
        struct forebay_message *message);

// One-reader channels made for one transfer (such as body_channel): makes a channel of its own with
// a name that was never used before, "PREFIX?" and 16 hexadecimal digits. Whoever is told the name may
// send to it or listen to it; only its maker ends it (or the reaper, when the maker has died).
// Returns as forebay_reply_open().
FOREBAY_API int forebay_stream_open(
        struct forebay *layer, const char *prefix, char name[FOREBAY_NAME_SIZE]);
// Ends it, dropping what nobody has received; its listener gets FOREBAY_GONE or nothing more.
FOREBAY_API int forebay_stream_close(struct forebay *layer, const char *name);
// The same, but only if all of it was received (or has expired); else returns FOREBAY_FULL and changes nothing.
FOREBAY_API int forebay_stream_finish(struct forebay *layer, const char *name);

// ---------------------------------------------------------------------------------------------
// Groups: sets of channels that a message is sent to at once
// ---------------------------------------------------------------------------------------------

// A group comes into being with its first member and ends with its last. Its name is of the same form as
// a channel's, and has nothing to do with channels of that name. A member is any channel, also one of another
// process; a channel added twice is one member. Membership ends by forebay_group_discard(), with the end of the
// reply channel or the death of its owner, or when the layer's group_expiry has passed since the member was last
// added (up to 1/64, or 2 seconds, later). Any number of processes may change and send to the same group
// at a time; none can hold up another.

// Adds CHANNEL to GROUP, or renews its membership. It is in the group when the call returns. Returns 0,
// FOREBAY_BAD_NAME (either; or a hash value is shared with another member, once in 2^60), FOREBAY_GONE (the reply
// channel has ended), FOREBAY_NO_CHANNEL (no room for another group), FOREBAY_NO_MEMORY (none for another
// member) or -ESTALE.
FOREBAY_API int forebay_group_add(struct forebay *layer, const char *group, const char *channel);

// Removes it. Returns 0, also if it isn't a member; FOREBAY_BAD_NAME or -ESTALE.
FOREBAY_API int forebay_group_discard(
        struct forebay *layer, const char *group, const char *channel);

// Sends a copy of MESSAGE, which stays the caller's, to every member, never waiting: a member that is full is
// skipped, and counted (FOREBAY_COUNT_FULL). *REACHED (may be NULL) gets the number of members that the message
// reached. A group that doesn't exist has none: 0. Returns 0, or as forebay_send() if the message itself
// can't be sent to anyone: FOREBAY_TOO_LARGE, FOREBAY_BAD_NAME (of the group), FOREBAY_BAD_MESSAGE, -ESTALE.
//
// A plain channel gets the message as by forebay_send(). For reply channels it is stored once in each process
// that has some in the group, however many: that process receives *one* message, for which
// forebay_message_group() isn't NULL and forebay_message_owner() is, and delivers it to its own by
// forebay_message_recipients(). It takes no credit of their windows. Whoever adds a reply channel to a group has to
// know that its owner does so; `forebay serve` doesn't for http.response!, and drops it there.
FOREBAY_API int forebay_group_send(struct forebay *layer, const char *group,
        struct forebay_message *message, uint64_t *reached);

// The name of the group that a received message was sent to; NULL if it was sent to a single channel, or to a plain
// one in a group. Valid until the message is freed.
FOREBAY_API const char *forebay_message_group(const struct forebay_message *message);

// Calls EACH for every reply channel of this attachment that is a member of the message's group now, with the
// OWNER that was given to forebay_reply_open(). EACH may do anything but free the message: also close
// reply channels, add and discard members, send. Returns how many there were; 0 for a message to a single channel.
FOREBAY_API uint64_t forebay_message_recipients(
        struct forebay_message *message, void (*each)(void *owner, void *context), void *context);

// The number of members. Exact, if nobody joins or leaves meanwhile. *SIZE is 0 if there is no such group. Costs
// some nanoseconds a member. Returns 0, FOREBAY_BAD_NAME or -ESTALE.
FOREBAY_API int forebay_group_size(struct forebay *layer, const char *group, uint64_t *size);

// Calls EACH with the name of every member, in no order. A callback may do anything, also to this group; when it
// returns other than 0, that ends the walk and is returned. (Beyond 64 different prefixes of reply channels in one
// layer, names are shown without: "!00005900014f6ad5" leads to the same channel.) Returns 0, FOREBAY_BAD_NAME
// or -ESTALE.
FOREBAY_API int forebay_group_channels(struct forebay *layer, const char *group,
        int (*each)(const char *channel, void *context), void *context);

// ---------------------------------------------------------------------------------------------
// Metrics: numbers under a name that any process publishes, and that are summed over all of them
// ---------------------------------------------------------------------------------------------

enum forebay_metric_kind {
	FOREBAY_METRIC_COUNTER = 0, // only grows; what a process has counted stays when it ends
	FOREBAY_METRIC_GAUGE = 1,   // goes up and down; that of a process that has ended is 0
	FOREBAY_METRIC_HISTOGRAM =
	        2, // a part of one, FAMILY_bucket{le="..."}, FAMILY_sum or FAMILY_count: counters
};

// One series, as this process counts it. One that is zeroed, or couldn't be opened, takes what is counted and
// keeps nothing, so results of opening need no care where it is counted.
struct forebay_metric {
	struct forebay *layer;
	uint32_t index;
	enum forebay_metric_kind kind;
};

// Opens the series NAME, which is written as Prometheus has it: "jobs_total" or
// "jobs_total{queue=\"mail\",result=\"ok\"}", of at most FOREBAY_METRIC_NAME_MAX octets. The order of labels makes no
// difference. HELP says in a line what it is (UTF-8, at most FOREBAY_METRIC_HELP_MAX octets; NULL: nothing); the first to
// open a series decides. Any process may open the same one; each counts for itself. A series stays as long as the
// layer, so values of labels must be few. Costs a look at each series that there is: open once, count often.
// Returns 0, FOREBAY_BAD_NAME (not a name or a help; or the same name, or the family's, is there with another kind),
// FOREBAY_NO_CHANNEL (the layer has its number of series, 64 to 1024 by its size) or -ESTALE.
FOREBAY_API int forebay_metric_open(struct forebay *layer, const char *name,
        enum forebay_metric_kind kind, const char *help, struct forebay_metric *metric);

// Adds AMOUNT to what this process has counted, or to its gauge. To a counter nothing is added unless AMOUNT is positive.
// No locked operation and no system call. Values are doubles: whole numbers are exact up to 2^53.
FOREBAY_API void forebay_metric_add(const struct forebay_metric *metric, double amount);

// Sets this process's share of a gauge. Does nothing to a counter.
FOREBAY_API void forebay_metric_set(const struct forebay_metric *metric, double value);

// Of a group with a history (see the options' `group_histories`), the last messages stay to be asked for by who has missed
// some. Each has an offset, one more than that of the one before, in an epoch. Whenever a message couldn't be kept
// (no memory, no room in the table, larger than the history may be), or the history has been empty for a while, a new epoch
// begins. So as long as the epoch is the same, no offset is missing that isn't seen to be.
//
// A message is in the history before any member gets it, and each copy that a member gets carries both numbers. Of messages
// that several send at the same time, members may get the one with the greater offset first. So who wants to go on later
// without a gap remembers the last offset up to which it has got all, and drops what it knows already.
struct forebay_history {
	uint64_t epoch,
	        offset; // of the last message that the caller has; afterwards, of the last one shown, or kept
	bool complete; // afterwards: every message between the two was shown
};

// The numbers of a message that a member of such a group received, or that was shown by forebay_group_history(). False
// if it has none. EPOCH and OFFSET may be NULL.
FOREBAY_API bool forebay_message_history(
        const struct forebay_message *message, uint64_t *epoch, uint64_t *offset);

// Calls EACH, as forebay_peek() does, with the messages of GROUP's history behind HISTORY->offset, oldest first; with all
// if HISTORY->epoch is another, or 0. Then, or if some in between are gone, HISTORY->complete is false: the caller has
// to begin anew. The group needn't exist any more. Returns 0, FOREBAY_BAD_NAME, -ENOMEM, -ESTALE, or what EACH returned.
FOREBAY_API int forebay_group_history(struct forebay *layer, const char *group,
        struct forebay_history *history,
        int (*each)(struct forebay_message *message, void *context), void *context);

// ---------------------------------------------------------------------------------------------
// Statistics
// ---------------------------------------------------------------------------------------------

// Why messages did not arrive. Counted over the life of the layer, never decreasing.
enum forebay_counter {
	FOREBAY_COUNT_SENT,      // messages sent
	FOREBAY_COUNT_RECEIVED,  // messages received
	FOREBAY_COUNT_FULL,      // sends refused: channel full
	FOREBAY_COUNT_GONE,      // sends refused, or messages dropped: reply channel ended
	FOREBAY_COUNT_EXPIRED,   // messages dropped: unread for too long
	FOREBAY_COUNT_TOO_LARGE, // sends refused
	// Sends refused: FOREBAY_BAD_NAME, FOREBAY_BAD_MESSAGE, -EUCLEAN. Messages dropped: malformed, or scribbled over.
	FOREBAY_COUNT_BAD,
	FOREBAY_COUNT_NO_MEMORY,  // sends refused: no free block
	FOREBAY_COUNT_NO_CHANNEL, // sends refused, channels not opened or listened to: table full
	FOREBAY_COUNT_FLUSHED,    // messages dropped by flush
	FOREBAY_COUNT_LOST,       // messages lost with a process that died holding them
	FOREBAY_COUNT_WAKEUPS,    // system calls made to wake a receiver
	FOREBAY_COUNT_DISPLACED,  // messages dropped for newer ones; see enum forebay_policy
	FOREBAY_COUNT_DROPPED_ON_PURPOSE, // sends that came to nothing in the resilience mode: see `drops`
	FOREBAY_COUNT_HISTORY, // copies that have left a group's history, which is no loss
	FOREBAY_COUNTERS
};
FOREBAY_API const char *forebay_counter_name(
        enum forebay_counter counter); // "sent", "too_large", ...

// The statistics of Channels 1.x, by its names: of one channel, or of all together. The counts are exact, whatever dies.
// The rates are of the second before the call: what was counted in it, as far as the marks tell that housekeeping
// leaves once a second. In a layer of more than 4,096 channels a channel's marks may be ten seconds apart; then it is
// the average since the last one. When nobody keeps the house, the rates go down to 0.
struct forebay_statistics {
	uint64_t messages_count; // sent, over the life of the channel, or of the layer
	double messages_count_per_second;
	uint64_t messages_pending; // waiting now
	double messages_max_age; // how long the oldest of them has been waiting, in seconds; 0 if none
	uint64_t channel_full_count; // sends refused because the channel was full
	double channel_full_count_per_second;
};

struct forebay_channel_stat {
	const char *name;
	uint32_t capacity;
	enum forebay_policy policy;
	// Over the channel's life. One that is being dropped is among the received until its reason is counted.
	uint64_t sent, received;
	uint64_t pending;   // waiting now
	uint64_t full;      // sends refused
	int64_t oldest;     // age of the oldest waiting message in ms; -1 if none
	uint32_t listeners; // processes that listen
	bool inbox; // all that is sent to one process's reply channels; nobody else can send there
	struct forebay_statistics statistics;
	// Messages that were sent and have ended unread, by reason: FOREBAY_COUNT_EXPIRED, _FLUSHED, _DISPLACED, _GONE
	// (to reply channels that have ended, of their process's inbox), _BAD and _LOST; 0 for the other counters. A
	// lost one is counted as received too: its receiver died with it. What a reply channel's window refuses is in
	// the layer's counters only.
	uint64_t dropped[FOREBAY_COUNTERS];
};

struct forebay_process_stat {
	uint32_t slot;
	int32_t pid;
	const char *role;
	bool alive;
	uint64_t counters[FOREBAY_COUNTERS]; // since the slot was first used
};

struct forebay_layer_stat {
	uint64_t counters[FOREBAY_COUNTERS];
	struct forebay_statistics statistics; // a group message that went to an inbox is one
	int64_t age;                          // ms since the layer was made
	uint64_t size;                        // octets of shared memory
	uint32_t channels, channels_max;
	uint32_t reply_channels_max;
	uint32_t processes, processes_max;
	uint32_t groups, groups_max;
	uint32_t group_cells, group_cells_max; // of 128 octets, that members are kept in
	uint32_t metrics, metrics_max;
	struct {
		uint32_t size, total, used; // octets of a block, blocks, blocks in use
	} blocks[3];
};

struct forebay_group_stat {
	const char *name;
	uint64_t size; // members
};

struct forebay_metric_stat {
	const char *name; // with its labels, these in alphabetical order
	const char *help; // "" if there is none
	enum forebay_metric_kind kind;
	double value; // may be infinite, or no number, if somebody has counted so
};

// Snapshots; reading them takes no lock and disturbs nobody. The callbacks get structs that are
// valid during the call. A callback that returns other than 0 ends the walk, which returns that. Each returns
// 0 or -ESTALE. forebay_stat() looks at every channel, every message that waits, and every block: some 100 ns each
// when it is asked for the first time, less later.
FOREBAY_API int forebay_stat(struct forebay *layer, struct forebay_layer_stat *stat);

// Of the channel NAME, plain or a stream; if there is none now, all is 0, but for the capacity that it would have.
// STAT's name is NAME. Returns 0, FOREBAY_BAD_NAME or -ESTALE. Costs what waits there.
FOREBAY_API int forebay_stat_channel(
        struct forebay *layer, const char *name, struct forebay_channel_stat *stat);

// Of all channels, in no order, inboxes of reply channels among them.
FOREBAY_API int forebay_stat_channels(struct forebay *layer,
        int (*each)(const struct forebay_channel_stat *stat, void *context), void *context);
FOREBAY_API int forebay_stat_processes(struct forebay *layer,
        int (*each)(const struct forebay_process_stat *stat, void *context), void *context);
FOREBAY_API int forebay_stat_groups(struct forebay *layer,
        int (*each)(const struct forebay_group_stat *stat, void *context), void *context);

// The same for metrics, in the order in which they were first opened: each with the sum over all processes, those
// that have ended too (but for gauges); or with what the process in SLOT (see forebay_process_stat), and
// those that had the slot before it, counted. The latter returns -EINVAL if there is no such slot.
FOREBAY_API int forebay_stat_metrics(struct forebay *layer,
        int (*each)(const struct forebay_metric_stat *stat, void *context), void *context);
FOREBAY_API int forebay_stat_process_metrics(struct forebay *layer, uint32_t slot,
        int (*each)(const struct forebay_metric_stat *stat, void *context), void *context);

#ifdef __cplusplus
}
#endif
