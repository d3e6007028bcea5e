// SPDX-License-Identifier: MIT
#include "tests/torture/ledger.h"

#include <stdio.h>
#include <sys/mman.h>

static const char *const violation_names[LEDGER_VIOLATIONS] = {
        [LEDGER_TORN] = "torn",
        [LEDGER_DOUBLED] = "doubled",
        [LEDGER_REORDERED] = "reordered",
        [LEDGER_MISDIRECTED] = "misdirected",
        [LEDGER_REFUSED] = "refused",
        [LEDGER_MISSED] = "missed",
};

struct ledger *ledger_new(void)
{
	void *memory = mmap(NULL, sizeof(struct ledger), PROT_READ | PROT_WRITE,
	        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

void ledger_complain(struct ledger *ledger, enum ledger_violation violation, const char *text)
{
	if (atomic_fetch_add(&ledger->violations[violation], 1) < 10)
		printf("violation: %s: %s\n", violation_names[violation], text);
}

uint32_t ledger_enrol(struct ledger *ledger)
{
	uint32_t sender = atomic_fetch_add(&ledger->senders, 1);

	return sender < LEDGER_SENDERS ? sender : LEDGER_SENDERS;
}

uint32_t ledger_try(struct ledger *ledger, uint32_t sender, enum ledger_kind kind)
{
	struct ledger_sender *entry = &ledger->sender[sender];
	uint32_t number = atomic_load(&entry->tried);

	if (number >= LEDGER_MESSAGES)
		return LEDGER_MESSAGES;
	if (kind == LEDGER_PERSONAL)
		(void)atomic_fetch_or(&entry->kind[number / 64], 1ull << number % 64);
	atomic_store(&entry->tried, number + 1);
	return number;
}

void ledger_sent(struct ledger *ledger, uint32_t sender, uint32_t number)
{
	(void)atomic_fetch_or(&ledger->sender[sender].sent[number / 64], 1ull << number % 64);
	(void)atomic_fetch_add(&ledger->messages, 1);
}

void ledger_received(struct ledger *ledger, uint64_t sender, uint64_t number)
{
	uint64_t bit = 1ull << number % 64;

	if (sender >= LEDGER_SENDERS || number >= LEDGER_MESSAGES ||
	        number >= atomic_load(&ledger->sender[sender].tried)) {
		ledger_complain(ledger, LEDGER_DOUBLED, "a message that nobody sent");
		return;
	}
	if (atomic_fetch_or(&ledger->sender[sender].received[number / 64], bit) & bit)
		ledger_complain(ledger, LEDGER_DOUBLED, "a message came twice");
	(void)atomic_fetch_add(&ledger->receipts, 1);
}

void ledger_placed(
        struct ledger *ledger, uint64_t epoch, uint64_t offset, uint64_t sender, uint64_t number)
{
	static const uint64_t message_mask = LEDGER_SENDERS * (uint64_t)LEDGER_MESSAGES - 1;

	uint64_t hash = (epoch ^ offset * 0x9e3779b97f4a7c15ull) * 0xc2b2ae3d27d4eb4full;
	uint64_t word =
	        (hash & ~message_mask) | ((sender * LEDGER_MESSAGES + number) & message_mask);
	// By other bits than those that are kept; what another place had there is forgotten.
	_Atomic uint64_t *entry = &ledger->place[(hash ^ hash >> 32) % LEDGER_PLACES];
	uint64_t before = atomic_exchange(entry, word);

	if (((before ^ word) & ~message_mask) == 0 && before != word)
		ledger_complain(ledger, LEDGER_DOUBLED, "two messages at one place of a history");
	(void)atomic_fetch_add(&ledger->sights, 1);
}

void ledger_missing(struct ledger *ledger, uint64_t missing[LEDGER_KINDS])
{
	uint32_t senders = atomic_load(&ledger->senders);

	missing[LEDGER_PLAIN] = missing[LEDGER_PERSONAL] = 0;
	for (uint32_t i = 0; i < senders && i < LEDGER_SENDERS; i++) {
		struct ledger_sender *entry = &ledger->sender[i];

		for (int word = 0; word < LEDGER_MESSAGES / 64; word++) {
			uint64_t lost = atomic_load(&entry->sent[word]) &
			                ~atomic_load(&entry->received[word]);
			uint64_t personal = atomic_load(&entry->kind[word]);

			missing[LEDGER_PLAIN] += (uint64_t)__builtin_popcountll(lost & ~personal);
			missing[LEDGER_PERSONAL] += (uint64_t)__builtin_popcountll(lost & personal);
		}
	}
}
