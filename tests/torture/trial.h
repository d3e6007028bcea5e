// SPDX-License-Identifier: MIT
// trial.h - what becomes of a victim: it is led to its operation, and from there killed, or let go on.
//
// All on the victim that `victim_report` is of.
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "tests/torture/operations.h"

// Prepares and starts a victim, and waits until it stands before the operation. Ends the program if that can't be, but
// returns 0 if there is another victim, which may be what is in its way.
pid_t trial_start(struct world *world, const struct operation *operation);

// Kills it where it stands.
void trial_kill(pid_t pid);

// Lets it complete the operation, and end, and complains if it doesn't, or would sleep with work waiting.
void trial_finish(struct world *world, const struct operation *operation, pid_t pid);

// Enters what the victim has sent and received into the accounts.
void trial_enter(struct world *world);
