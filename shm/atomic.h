// SPDX-License-Identifier: MIT
// atomic.h - short names for the C11 atomic operations that shared memory uses, and nothing else.
//
// Only operations with an ordering of their own appear in this code, but for two below, never a standalone fence:
// ThreadSanitizer understands the former, and so does the reader.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_THREAD__)
#define SHM_THREAD_SANITIZER
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SHM_THREAD_SANITIZER
#endif
#endif

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

// A 32-bit value between messages' contents: read (acquire) and written (release) at once, by whoever.
#define get32(PLACE)        __atomic_load_n(PLACE, __ATOMIC_ACQUIRE)
#define put32(PLACE, VALUE) __atomic_store_n(PLACE, VALUE, __ATOMIC_RELEASE)

// Contents that others may look at while they are replaced (peek.h): copied as if each octet were stored with release,
// or loaded with acquire. C has no such memcpy; what it compiles to is this one, as a barrier of the compiler's
// is all that x86 needs around it. ThreadSanitizer gets to see each operation.
#ifdef SHM_THREAD_SANITIZER
static inline void copy_release(void *to, const void *from, size_t length)
{
	char *at = (char *)to, *end = at + length;
	uint64_t word;

	for (; at < end && (uintptr_t)at % 8; at++, from = (const char *)from + 1)
		__atomic_store_n(at, *(const char *)from, __ATOMIC_RELEASE);
	for (; at + 8 <= end; at += 8, from = (const char *)from + 8) {
		memcpy(&word, from, 8);
		__atomic_store_n((uint64_t *)(void *)at, word, __ATOMIC_RELEASE);
	}
	for (; at < end; at++, from = (const char *)from + 1)
		__atomic_store_n(at, *(const char *)from, __ATOMIC_RELEASE);
}
static inline void copy_acquire(void *to, const void *from, size_t length)
{
	const char *at = (const char *)from, *end = at + length;
	uint64_t word;

	for (; at < end && (uintptr_t)at % 8; at++, to = (char *)to + 1)
		*(char *)to = __atomic_load_n(at, __ATOMIC_ACQUIRE);
	for (; at + 8 <= end; at += 8, to = (char *)to + 8) {
		word = __atomic_load_n((const uint64_t *)(const void *)at, __ATOMIC_ACQUIRE);
		memcpy(to, &word, 8);
	}
	for (; at < end; at++, to = (char *)to + 1)
		*(char *)to = __atomic_load_n(at, __ATOMIC_ACQUIRE);
}
#else
static inline void copy_release(void *to, const void *from, size_t length)
{
	atomic_thread_fence(memory_order_release);
	memcpy(to, from, length);
}
static inline void copy_acquire(void *to, const void *from, size_t length)
{
	memcpy(to, from, length);
	atomic_thread_fence(memory_order_acquire);
}
#endif

// Has the cache line at ADDRESS, which needn't be a valid one, come to this core for writing. Only a hint.
#define prefetch_write(ADDRESS) __builtin_prefetch(ADDRESS, 1)
// A word that tells only what to prefetch: nothing else may depend on it.
#define load_hint(OBJECT) load_relaxed(OBJECT)
