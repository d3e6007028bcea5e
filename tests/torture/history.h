// SPDX-License-Identifier: MIT
// history.h - reads the histories of groups in the random torture, and judges what they say.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "channel/forebay.h"
#include "tests/torture/ledger.h"

enum {
	HISTORY_KEPT = 8, // messages, at most
};

// Of the channels that stay, which are groups as well. Some messages are larger than this.
#define HISTORY_RULES "staying.*=8/128K/1h"

// Enters where MESSAGE stands in a history, if it was received from a group with one. NUMBER is SENDER's.
void history_enter(struct ledger *ledger, const struct forebay_message *message, uint64_t sender,
        uint64_t number);

// Reads on from HISTORY: each message is whole, is the one of its place, and comes after its sender's earlier ones; what
// is called complete has no hole. Returns how many there are.
uint32_t history_read(struct ledger *ledger, struct forebay *layer, const char *group,
        struct forebay_history *history);
