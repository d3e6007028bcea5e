// SPDX-License-Identifier: MIT
// world.h - a small layer, those attached to it who live on, and a ledger of what they sent and received.
//
//   a        sends, reaps
//   b        receives whatever comes, on plain channels and on a reply channel
//   c        attaches anew in every trial
//   victim   a forked process, killed or stopped in the middle of an operation; sometimes there are two
//
// a, b and c are attachments of this process, which never waits: whatever blocks them blocks the program, and
// an alarm says so.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "channel/forebay.h"
#include "tests/torture/inventory.h"
#include "tests/torture/traffic.h"

enum {
	WORLD_WINDOW = 4,    // of b's reply channel
	WORLD_LARGE = 70000, // octets: a message of two extents
	WORLD_SMALL = 2,     // capacity of the channel "small"
	WORLD_WILL_ROOM = 2, // and of those that tell of reply channels
	WORLD_MEMBERS = 17,  // reply channels of b, to be members of groups
	WORLD_NUMBERS = 512  // messages of one sender in one trial
};

enum world_sender {
	WORLD_A,
	WORLD_C,
	WORLD_VICTIM,
	WORLD_OTHER_VICTIM,
	WORLD_DOOMED, // a process that dies before the trial
	WORLD_SENDERS
};

// Where a message stands in the history of its group. No epoch is 0.
struct world_place {
	uint64_t epoch, offset;
};

// What may become of a message.
enum world_fate {
	WORLD_NEVER, // wasn't sent: must not arrive
	WORLD_MAY,   // was perhaps sent: arrives once or not at all
	WORLD_SENT,  // arrives once, or is counted as dropped or lost
	WORLD_MUST,  // arrives once
};

enum world_violation {
	WORLD_BLOCKED,    // the others couldn't go on
	WORLD_LEAKED,     // something didn't come back
	WORLD_TORN,       // a message wasn't what had been sent, or not where
	WORLD_DOUBLED,    // or came twice, or though it hadn't been sent
	WORLD_REORDERED,  // or came before an earlier one of its sender
	WORLD_LOST,       // or not at all, or the count of lost ones is too low
	WORLD_ASLEEP,     // somebody would have slept with work waiting
	WORLD_MISCOUNTED, // statistics contradict each other, or what is there
	WORLD_VIOLATIONS
};

struct world {
	struct forebay *a, *b;
	char reply[FOREBAY_NAME_SIZE]; // b's reply channel
	// More of them. Of members 0 and 8, and of 8 and 16, the keys begin alike.
	char member[WORLD_MEMBERS][FOREBAY_NAME_SIZE];
	struct inventory before; // with nothing going on
	uint64_t dropped;        // counted so, at the trial's beginning
	int64_t uncounted;       // messages published, less those counted as sent; likewise
	bool again; // in this trial some are published again, and counted once, or kept in a history
	// Two victims in this trial, who may take what is the other's, and be in its way; and both are at the same thing,
	// so that only what holds for the two together can be judged.
	bool company, alike;

	uint64_t trial;
	const char *what; // the operation, the way it is disturbed, and where, for complaints
	uint32_t instruction;
	uint32_t next[WORLD_SENDERS]; // number in this trial
	uint32_t last[WORLD_SENDERS]; // received by b from "work", plus 1
	enum world_fate fate[WORLD_SENDERS][WORLD_NUMBERS];
	uint32_t got[WORLD_SENDERS][WORLD_NUMBERS];
	uint32_t refusals; // sends that were refused, and counted so, on purpose
	// Messages that b received by one of its reply channels' being in a group, and how often each.
	uint32_t to_group, by_group[WORLD_SENDERS][WORLD_NUMBERS];
	struct world_place place[WORLD_SENDERS][WORLD_NUMBERS]; // as copies said, and histories
	// Of the reply channel victim_report->name: the messages that said it is open, and that it is over.
	uint32_t connects, disconnects;

	uint64_t violations[WORLD_VIOLATIONS], complaints;
};

extern const char *const world_violation_names[WORLD_VIOLATIONS];

// Makes the layer, with a and b attached, with room for so many VICTIMS, 1 or 2. Ends the program if that fails.
void world_init(struct world *world, uint32_t victims);
void world_fini(struct world *world);

// A new trial: nothing sent, nothing received.
void world_begin(struct world *world, const char *what, uint32_t instruction);

__attribute__((format(printf, 3, 4))) void world_complain(
        struct world *world, enum world_violation violation, const char *format, ...);

// Counts one more message of SENDER. Returns its number for traffic_send().
uint64_t world_number(struct world *world, enum world_sender sender, enum world_fate fate);

// Sends a message that is MUST or SENT, and complains if it isn't accepted.
void world_send(struct world *world, struct forebay *from, enum world_sender sender,
        const char *channel, uint32_t length, enum world_fate fate);

// Waits until the process PID is dead, which has sent these messages of WORLD_DOOMED. Beside another victim it may have
// found no room for them: then it has ended by itself.
void world_await_doomed(struct world *world, pid_t pid, const uint64_t *numbers, uint32_t count);

// Enters a received message that was read already.
void world_got(struct world *world, const struct traffic_stamp *stamp);

// Enters the place of a message in a history, which is the same whoever tells it.
void world_placed(
        struct world *world, const struct traffic_stamp *stamp, const struct world_place *place);

// b receives all there is.
void world_drain(struct world *world);

// b does so from CHANNEL too, which it doesn't listen to otherwise.
void world_drain_channel(struct world *world, const char *channel);

// Everything that the others do must go on: sends, receives, attaching, making and ending channels.
// REAP: before c attaches, or after, so that c is the one to get a dead one's slot.
void world_others_go_on(struct world *world, bool reap_first);

// The end of a trial: reaps, and compares what is there with what was there before, and what arrived with what
// was sent. At most LOSSES of the messages that had to arrive may be missing, unless there are two victims, and all that
// are must have been counted.
void world_settle(struct world *world, uint32_t losses);

// Sends to a channel that has ended: true if it was told so.
bool world_is_gone(struct world *world, const char *channel);

// Attaches to the layer as everybody in this program does. NULL if that fails.
struct forebay *world_attach(const char *role);
