// SPDX-License-Identifier: MIT
// balance.c - how many clients each worker has; see balance.h.
#include "server/balance.h"

#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>

#define LEAD 8 // clients more than another worker's that aren't worth a moment

struct place {
	_Alignas(64) _Atomic uint32_t clients;
};

struct balance {
	int workers;
	struct place places[];
};

static size_t size_of(int workers)
{
	return sizeof(struct balance) + (size_t)workers * sizeof(struct place);
}

struct balance *balance_new(int workers)
{
	struct balance *balance = mmap(
	        NULL, size_of(workers), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (balance == MAP_FAILED)
		return NULL;
	balance->workers = workers;
	for (int number = 1; number <= workers; number++)
		balance_show(balance, number, BALANCE_AWAY);
	return balance;
}

void balance_free(struct balance *balance)
{
	if (balance)
		munmap(balance, size_of(balance->workers));
}

void balance_show(struct balance *balance, int number, uint32_t clients)
{
	if (balance)
		atomic_store_explicit(
		        &balance->places[number - 1].clients, clients, memory_order_relaxed);
}

bool balance_is_ahead(const struct balance *balance, int number, uint32_t clients)
{
	if (!balance || clients < LEAD)
		return false;
	for (int i = 0; i < balance->workers; i++)
		if (i != number - 1 && atomic_load_explicit(&balance->places[i].clients,
		                               memory_order_relaxed) <= clients - LEAD)
			return true;
	return false;
}
