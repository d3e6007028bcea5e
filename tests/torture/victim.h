// SPDX-License-Identifier: MIT
// victim.h - the victim's side of the operations: what it prepares, what is stepped, what comes after.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/torture/world.h"

struct operation;

// A message that the victim was shown of a history.
struct victim_sight {
	struct traffic_stamp stamp;
	struct world_place place;
};

enum {
	VICTIMS = 2,
	VICTIM_SIGHTS = 16,
};

// Memory that the victim shares with the tester, besides the segment.
struct victim_report {
	bool refused;  // ptrace isn't allowed
	bool broken;   // it couldn't get ready
	bool untraced; // the marks are to be passed over
	bool done;     // act() has returned
	bool readable; // after it, its descriptor was
	int result;    // of it
	uint32_t slot;
	enum world_sender sender;    // which of the victims it is
	uint64_t identity;           // of the segment that it made, or found made
	uint32_t sent;               // messages, also tried ones
	uint8_t fate[WORLD_NUMBERS]; // enum world_fate of each
	uint32_t received;
	struct traffic_stamp stamp[WORLD_NUMBERS]; // of what it received
	bool named;                                // NAME is whole
	char name[FOREBAY_NAME_SIZE];              // of a stream or a reply channel that it made
	uint64_t reached;                          // members of a group, by its message
	bool looked;                               // whether it has come to receive its own
	uint32_t copies;                           // of that, which it received itself
	uint64_t recipients;                       // of these
	uint32_t sights;                           // messages of a history that it was shown
	struct victim_sight sight[VICTIM_SIGHTS];
	struct forebay_history history; // as it was told, afterwards
	pid_t child;
};

// Those of all victims, and of the one that is dealt with. Mapped by victim_init(), before the first fork.
extern struct victim_report *victim_reports, *victim_report;

void victim_init(void);

// Whether a victim, or who died for it, has a reply channel NAME.
bool victim_has_named(const char *name);

// The group of all operations on groups: of the name of a plain channel that can be in it, so that a message
// to it is as it should be wherever it arrives.
#define VICTIM_GROUP "quiet"

// The group with a history, of the name of the channel that is in it, and how much is kept.
#define VICTIM_LOG     "work"
#define VICTIM_HISTORY VICTIM_LOG "=4/4K/1h"

// The metric that it opens, and counts 1 in.
#define VICTIM_METRIC "victims_total{fate=\"unknown\"}"

enum {
	VICTIM_CELLS = 64,   // of the layer, at most
	VICTIM_DELAY = 1000, // ms, of what is sent later
	VICTIM_LATER = 2000, // ms from the trial on, when it is due
	VICTIM_KEPT = 4,     // messages of VICTIM_HISTORY
};

// b's reply channel, or the channel to add or discard; set by the tester before the fork.
extern char victim_target[FOREBAY_NAME_SIZE];

// What the victim asks for of the history, likewise.
extern struct forebay_history victim_asked;

// What the victim's operations share: its attachment, and the message that is to be sent.
extern struct forebay *victim_own;

// Ends the victim, and so the program, unless what it needs before the operation is FULFILLED.
void victim_need(bool fulfilled);

// Builds the message to CHANNEL that is sent by the operation. Not stepped: it touches nothing shared.
struct forebay_message *victim_prepare(
        const char *channel, uint32_t length, const char *reply_channel);

// Enters what the sending of the prepared one said.
void victim_sent(int result);

// The life of a victim, in a forked child, and of a process that dies before the trial, having sent the two messages
// NUMBER of WORLD_DOOMED to a reply channel and a stream of its own. They don't return.
void victim_run(const struct operation *operation, uint64_t trial);
void victim_die(const uint64_t number[2]);

// Just so, adding `victim_target` to the group, or CHANGING its tree; or having announced a reply channel by the
// message NUMBER of WORLD_DOOMED.
void victim_die_in_group(bool changing);
void victim_die_announced(uint64_t number);

// Or in the middle of that, or of its farewell: its claim isn't settled, and what it claimed to be about to send was
// sent or not.
void victim_die_claiming(uint64_t number, bool farewell, bool sent);

// Attaches to a second layer, which is made if it isn't there, and removes it.
struct forebay *victim_make_layer(void);
void victim_remove_made(void);

// For the table of operations.
void victim_act_announce(void);
void victim_act_metric(void);
void victim_act_attach(void);
void victim_act_compact(void);
void victim_act_deliver(void);
void victim_act_detach(void);
void victim_act_farewell(void);
void victim_act_flush(void);
void victim_act_group_add(void);
void victim_act_group_discard(void);
void victim_act_group_send(void);
void victim_act_history(void);
void victim_act_housekeep(void);
void victim_act_keep(void);
void victim_act_listen(void);
void victim_act_make(void);
void victim_act_reap(void);
void victim_act_receive(void);
void victim_act_receive_waiting(void);
void victim_act_reply_close(void);
void victim_act_reply_open(void);
void victim_act_send(void);
void victim_act_send_later(void);
void victim_act_send_waiting(void);
void victim_act_stream_close(void);
void victim_act_stream_open(void);
void victim_do_nothing(void);
void victim_leave_attach(void);
void victim_leave_group_send(void);
void victim_leave_make(void);
void victim_leave_receive_event(void);
void victim_ready_announce(void);
void victim_ready_deliver(void);
void victim_ready_detach(void);
void victim_ready_detach_announced(void);
void victim_ready_farewell(void);
void victim_ready_group_send(void);
void victim_ready_keep(void);
void victim_ready_keep_larger(void);
void victim_ready_keep_too_large(void);
void victim_ready_receive(void);
void victim_ready_receive_event(void);
void victim_ready_receive_forked(void);
void victim_ready_receive_quiet(void);
void victim_ready_reply_close(void);
void victim_ready_send(void);
void victim_ready_send_first(void);
void victim_ready_send_fresh(void);
void victim_ready_send_large(void);
void victim_ready_send_new(void);
void victim_ready_send_passing(void);
void victim_ready_send_reply(void);
void victim_ready_send_small(void);
void victim_ready_stream_close(void);
