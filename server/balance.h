// SPDX-License-Identifier: MIT
// balance.h - how many clients each worker has, so that none takes more than its share of a burst.
//
// Workers accept from the same sockets. Whoever is awake first could take all of a burst of connections, and
// keep them for as long as they live. So each worker shows the others how many it has, and who is
// ahead leaves new ones to them for a moment.
//
// The numbers are in memory that the workers of one generation share, a cache line each: written by that worker
// alone, read by all. They are hints: one that is out of date, since its worker was killed or stopped,
// costs the others that moment, and nothing else.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define BALANCE_AWAY UINT32_MAX // takes no clients

struct balance;

// For WORKERS workers that are forked afterwards, with the numbers 1 and up; all are away. Returns NULL if there is no memory.
struct balance *balance_new(int workers);

// Lets go of it in this process only. Accepts NULL.
void balance_free(struct balance *balance);

// Shows how many CLIENTS the worker has, or BALANCE_AWAY. Wait-free; nothing if BALANCE is NULL.
void balance_show(struct balance *balance, int number, uint32_t clients);

// Whether that worker, with CLIENTS, is so far ahead of another one that takes clients that it should leave the next
// to that. Wait-free; false if BALANCE is NULL.
bool balance_is_ahead(const struct balance *balance, int number, uint32_t clients);
