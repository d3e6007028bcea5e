// SPDX-License-Identifier: MIT
// atomic.h - short names for the C11 atomic operations that shared memory uses, and nothing else.
//
// Only operations with an ordering of their own appear in this code, never a standalone fence:
// ThreadSanitizer understands the former, and so does the reader.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

// Aborts the process on a bug of our own. Never used on bytes from another process or the network.
#define CHECK(CONDITION)                                                                           \
	do {                                                                                       \
		if (__builtin_expect(!(CONDITION), 0))                                             \
			abort();                                                                   \
	} while (0)

// Lines are fetched in pairs by the adjacent-line prefetcher, so what two processes write is kept
// two lines apart.
#define SHM_LINE      64
#define SHM_LINE_PAIR 128

typedef _Atomic uint64_t shm_atomic64;
typedef _Atomic uint32_t shm_atomic32;

#define load_relaxed(OBJECT)         atomic_load_explicit(OBJECT, memory_order_relaxed)
#define load_acquire(OBJECT)         atomic_load_explicit(OBJECT, memory_order_acquire)
#define load_seq_cst(OBJECT)         atomic_load_explicit(OBJECT, memory_order_seq_cst)
#define store_relaxed(OBJECT, VALUE) atomic_store_explicit(OBJECT, VALUE, memory_order_relaxed)
#define store_release(OBJECT, VALUE) atomic_store_explicit(OBJECT, VALUE, memory_order_release)
#define exchange_seq_cst(OBJECT, VALUE)                                                            \
	atomic_exchange_explicit(OBJECT, VALUE, memory_order_seq_cst)
#define fetch_or_seq_cst(OBJECT, BITS) atomic_fetch_or_explicit(OBJECT, BITS, memory_order_seq_cst)
#define fetch_and_release(OBJECT, BITS)                                                            \
	atomic_fetch_and_explicit(OBJECT, BITS, memory_order_release)
#define fetch_add_relaxed(OBJECT, VALUE)                                                           \
	atomic_fetch_add_explicit(OBJECT, VALUE, memory_order_relaxed)

// Compare and swap: EXPECTED points to the expected value and gets the one found on failure.
#define cas_acquire(OBJECT, EXPECTED, VALUE)                                                       \
	atomic_compare_exchange_strong_explicit(                                                   \
	        OBJECT, EXPECTED, VALUE, memory_order_acquire, memory_order_acquire)
#define cas_acq_rel(OBJECT, EXPECTED, VALUE)                                                       \
	atomic_compare_exchange_strong_explicit(                                                   \
	        OBJECT, EXPECTED, VALUE, memory_order_acq_rel, memory_order_acquire)
#define cas_seq_cst(OBJECT, EXPECTED, VALUE)                                                       \
	atomic_compare_exchange_strong_explicit(                                                   \
	        OBJECT, EXPECTED, VALUE, memory_order_seq_cst, memory_order_acquire)

// Has the cache line at ADDRESS, which needn't be a valid one, come to this core for writing. Only a hint.
#define prefetch_write(ADDRESS) __builtin_prefetch(ADDRESS, 1)
