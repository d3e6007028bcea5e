// SPDX-License-Identifier: MIT
// worker.h - the processes of the random torture. Each attaches, does its part until it is killed, told to end or
// has sent all that its page of the ledger has room for, and detaches.
#pragma once

#include "tests/torture/ledger.h"

enum {
	WORKER_STAYING =
	        4, // channels that are listened to all the time, and groups of the same names
};

enum worker_role {
	WORKER_PRODUCER,  // sends to channels that stay, and to ones that come and go
	WORKER_CONSUMER,  // receives from all of them, asleep in between; answers; follows streams
	WORKER_EVENTED,   // the same in an event loop
	WORKER_REQUESTER, // opens reply channels, asks, and receives answers
	WORKER_STREAMER,  // opens streams, has them announced, sends into them, ends them
	WORKER_REAPER,    // reaps, and looks at the statistics
	WORKER_MEMBER,    // joins and leaves groups, sends to them, and receives by them
	WORKER_SOCKET,    // opens reply channels that are announced, and farewells most of them
	WORKER_ROLES
};

// Doesn't return. A status other than 0 is a violation.
void worker_run(struct ledger *ledger, enum worker_role role, uint64_t seed);

// Whether the role receives from channels that others listen to as well: what it holds dies with it.
bool worker_is_consumer(enum worker_role role);
