// SPDX-License-Identifier: MIT
#include "tests/torture/history.h"

#include "tests/torture/traffic.h"

struct reading {
	struct ledger *ledger;
	uint64_t epoch, offset; // of the last message, or what was asked for
	uint32_t count;
	bool whole; // no offset is left out
	struct traffic_stamp stamps[HISTORY_KEPT];
};

void history_enter(struct ledger *ledger, const struct forebay_message *message, uint64_t sender,
        uint64_t number)
{
	uint64_t epoch, offset;

	if (forebay_message_history(message, &epoch, &offset))
		ledger_placed(ledger, epoch, offset, sender, number);
}

// Whether a later message of the same sender, or this one, was shown before.
static bool is_late(const struct reading *reading, const struct traffic_stamp *stamp)
{
	for (uint32_t i = 0; i < reading->count; i++)
		if (reading->stamps[i].sender == stamp->sender &&
		        reading->stamps[i].number >= stamp->number)
			return true;
	return false;
}

static int see(struct forebay_message *message, void *context)
{
	struct reading *reading = context;
	struct traffic_stamp stamp;
	uint64_t epoch, offset;

	if (!traffic_read(message, &stamp) || !forebay_message_history(message, &epoch, &offset)) {
		ledger_complain(reading->ledger, LEDGER_TORN, "a message in a history");
		return 0;
	}
	ledger_placed(reading->ledger, epoch, offset, stamp.sender, stamp.number);
	// The first may be of another epoch than was asked for.
	if (reading->count == 0 && epoch != reading->epoch) {
		reading->epoch = epoch;
		reading->offset = offset - 1;
		reading->whole = false;
	}
	if (epoch != reading->epoch || offset <= reading->offset || is_late(reading, &stamp))
		ledger_complain(reading->ledger, LEDGER_REORDERED, "the messages of a history");
	reading->whole &= offset == reading->offset + 1;
	reading->offset = offset;
	if (reading->count == HISTORY_KEPT)
		ledger_complain(reading->ledger, LEDGER_DOUBLED, "more than a history keeps");
	else
		reading->stamps[reading->count++] = stamp;
	return 0;
}

uint32_t history_read(struct ledger *ledger, struct forebay *layer, const char *group,
        struct forebay_history *history)
{
	struct reading reading = {
	        .ledger = ledger,
	        .epoch = history->epoch,
	        .offset = history->offset,
	        .whole = true,
	};

	if (forebay_group_history(layer, group, history, see, &reading) != 0)
		ledger_complain(ledger, LEDGER_REFUSED, "reading a history");
	if (history->complete && (!reading.whole || reading.offset != history->offset))
		ledger_complain(ledger, LEDGER_MISSED, "a history that is called complete");
	return reading.count;
}
