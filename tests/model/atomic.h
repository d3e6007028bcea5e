// SPDX-License-Identifier: MIT
// atomic.h - what stands in for shm/atomic.h when shm's real sources are compiled for the model: the
// same names, but each operation is a call into the simulated memory, and knows where it stands.
//
// The words are structs, so that an access which isn't one of these operations doesn't compile.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "tests/model/memory.h"

#define CHECK(CONDITION)                                                                           \
	do {                                                                                       \
		if (!(CONDITION))                                                                  \
			model_fail("CHECK(%s)", #CONDITION);                                       \
	} while (0)

#define SHM_LINE      64
#define SHM_LINE_PAIR 128

typedef struct {
	uint64_t value;
} shm_atomic64;

typedef struct {
	uint32_t value;
} shm_atomic32;

// The operation's place in the source, listed in the section `model_sites`.
#define MODEL_SITE(OPERATION, OBJECT, ORDER)                                                       \
	({                                                                                         \
		static struct model_site site_ = {                                                 \
		        __FILE_NAME__, __func__, OPERATION, #OBJECT, __LINE__, (ORDER), 0};        \
		static struct model_site *const entry_                                             \
		        __attribute__((section("model_sites"), used)) = &site_;                    \
		(void)entry_;                                                                      \
		&site_;                                                                            \
	})

#define MODEL_LOAD(NAME, OBJECT, ORDER)                                                            \
	((__typeof__((OBJECT)->value))model_load(                                                  \
	        MODEL_SITE(NAME, OBJECT, ORDER), (OBJECT), sizeof *(OBJECT)))
#define MODEL_STORE(NAME, OBJECT, VALUE, ORDER)                                                    \
	model_store(MODEL_SITE(NAME, OBJECT, ORDER), (OBJECT), sizeof *(OBJECT), (VALUE))
#define MODEL_UPDATE(NAME, OBJECT, HOW, VALUE, ORDER)                                              \
	((__typeof__((OBJECT)->value))model_update(                                                \
	        MODEL_SITE(NAME, OBJECT, ORDER), (OBJECT), sizeof *(OBJECT), (HOW), (VALUE)))
#define MODEL_CAS(NAME, OBJECT, EXPECTED, VALUE, ORDER)                                            \
	({                                                                                         \
		uint64_t found_ = *(EXPECTED);                                                     \
		bool done_ = model_cas(MODEL_SITE(NAME, OBJECT, ORDER), (OBJECT),                  \
		        sizeof *(OBJECT), &found_, (VALUE));                                       \
		*(EXPECTED) = (__typeof__((OBJECT)->value))found_;                                 \
		done_;                                                                             \
	})

#define load_relaxed(OBJECT)         MODEL_LOAD("load", OBJECT, MODEL_RELAXED)
#define load_acquire(OBJECT)         MODEL_LOAD("load", OBJECT, MODEL_ACQUIRE)
#define load_seq_cst(OBJECT)         MODEL_LOAD("load", OBJECT, MODEL_ACQUIRE | MODEL_SEQ_CST)
#define store_relaxed(OBJECT, VALUE) MODEL_STORE("store", OBJECT, VALUE, MODEL_RELAXED)
#define store_release(OBJECT, VALUE) MODEL_STORE("store", OBJECT, VALUE, MODEL_RELEASE)
#define exchange_seq_cst(OBJECT, VALUE)                                                            \
	MODEL_UPDATE("exchange", OBJECT, MODEL_EXCHANGE, VALUE, MODEL_ALL_ORDERS)
#define fetch_or_seq_cst(OBJECT, BITS)                                                             \
	MODEL_UPDATE("fetch_or", OBJECT, MODEL_OR, BITS, MODEL_ALL_ORDERS)
#define fetch_and_release(OBJECT, BITS)                                                            \
	MODEL_UPDATE("fetch_and", OBJECT, MODEL_AND, BITS, MODEL_RELEASE)
#define fetch_add_relaxed(OBJECT, VALUE)                                                           \
	MODEL_UPDATE("fetch_add", OBJECT, MODEL_ADD, VALUE, MODEL_RELAXED)
#define cas_acquire(OBJECT, EXPECTED, VALUE)                                                       \
	MODEL_CAS("cas", OBJECT, EXPECTED, VALUE, MODEL_ACQUIRE)
#define cas_acq_rel(OBJECT, EXPECTED, VALUE)                                                       \
	MODEL_CAS("cas", OBJECT, EXPECTED, VALUE, MODEL_ACQUIRE | MODEL_RELEASE)
#define cas_seq_cst(OBJECT, EXPECTED, VALUE)                                                       \
	MODEL_CAS("cas", OBJECT, EXPECTED, VALUE, MODEL_ALL_ORDERS)

// These stand between the contents, and are as plain as them to the model.
#define get32(PLACE)        (*(PLACE))
#define put32(PLACE, VALUE) ((void)(*(PLACE) = (VALUE)))

// Contents that are copied like that are words of the simulated memory, and not cells that may not be raced for.
#define copy_release(TO, FROM, LENGTH)                                                             \
	do {                                                                                       \
		for (size_t i_ = 0; i_ < (LENGTH) / 8; i_++)                                       \
			MODEL_STORE("copy", (shm_atomic64 *)(void *)(TO) + i_,                     \
			        ((const uint64_t *)(const void *)(FROM))[i_], MODEL_RELEASE);      \
	} while (0)
#define copy_acquire(TO, FROM, LENGTH)                                                             \
	do {                                                                                       \
		for (size_t i_ = 0; i_ < (LENGTH) / 8; i_++)                                       \
			((uint64_t *)(void *)(TO))[i_] = MODEL_LOAD(                               \
			        "copy", (shm_atomic64 *)(void *)(FROM) + i_, MODEL_ACQUIRE);       \
	} while (0)

#define prefetch_write(ADDRESS) ((void)(ADDRESS))
#define load_hint(OBJECT)       ((void)(OBJECT), (uint64_t)0)
