// SPDX-License-Identifier: MIT
// ledger.h - what each process of the random torture has sent and received, in memory of its own that
// outlives it: a sender enters a message before (`tried`) and after (`sent`) the call, a receiver when it has it.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	LEDGER_SENDERS = 1 << 17, // incarnations of processes in one run
	LEDGER_MESSAGES = 512,    // of one incarnation; then it ends, and another one comes
	LEDGER_PLACES = 1 << 16,  // in histories, remembered at a time
};

// What may become of a message that was sent.
enum ledger_kind {
	LEDGER_PLAIN,    // to a channel that stays: lost only with a process that dies holding it
	LEDGER_PERSONAL, // to a reply channel or a stream: ends with it
	LEDGER_KINDS
};

struct ledger_sender {
	_Atomic uint32_t tried;
	_Atomic uint64_t kind[LEDGER_MESSAGES / 64];
	_Atomic uint64_t sent[LEDGER_MESSAGES / 64];
	_Atomic uint64_t received[LEDGER_MESSAGES / 64];
};

enum ledger_violation {
	LEDGER_TORN,
	LEDGER_DOUBLED,
	LEDGER_REORDERED,
	LEDGER_MISDIRECTED, // to another channel, or reply channel, than it was sent to
	LEDGER_REFUSED,     // a call said what it can't
	LEDGER_MISSED,      // of a history, and not told
	LEDGER_VIOLATIONS
};

struct ledger {
	_Atomic bool ending;   // senders stop
	_Atomic bool draining; // receivers stop when nothing is left
	_Atomic uint32_t senders;
	_Atomic uint64_t messages, receipts;
	_Atomic uint64_t deliveries; // to members of groups
	_Atomic uint64_t sights;     // of messages in histories
	_Atomic uint64_t violations[LEDGER_VIOLATIONS];
	_Atomic uint64_t
	        place[LEDGER_PLACES]; // in histories: a hash of it, and which message stands there
	struct ledger_sender sender[LEDGER_SENDERS];
};

// Mapped once, before any fork; its pages come as they are needed. NULL if that fails.
struct ledger *ledger_new(void);

// A number for a process that begins; LEDGER_SENDERS if all have been given out.
uint32_t ledger_enrol(struct ledger *ledger);

// Enters that SENDER is about to send, and then that it has. try returns the message's number, or
// LEDGER_MESSAGES if there are no more.
uint32_t ledger_try(struct ledger *ledger, uint32_t sender, enum ledger_kind kind);
void ledger_sent(struct ledger *ledger, uint32_t sender, uint32_t number);

// Enters a receipt, and finds out whether it is the first and whether there was such a message at all.
void ledger_received(struct ledger *ledger, uint64_t sender, uint64_t number);

// Enters that a message stands at OFFSET of the history that is the EPOCH's, and finds out whether another does.
void ledger_placed(
        struct ledger *ledger, uint64_t epoch, uint64_t offset, uint64_t sender, uint64_t number);

// Messages that were sent and not received, by kind. Exact when nobody is at work.
void ledger_missing(struct ledger *ledger, uint64_t missing[LEDGER_KINDS]);

void ledger_complain(struct ledger *ledger, enum ledger_violation violation, const char *text);
