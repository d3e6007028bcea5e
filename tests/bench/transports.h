// SPDX-License-Identifier: MIT
// transports.h - the ways there are; those of libraries that aren't installed are left out (meson.build).
#pragma once

#include "tests/bench/bench.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const struct bench_transport bench_forebay, bench_forebay_corked, bench_forebay_spin,
        bench_forebay_epoll;                                 // via_forebay.c
extern const struct bench_transport bench_shm;               // via_shm.c
extern const struct bench_transport bench_line, bench_futex; // via_word.c
extern const struct bench_transport bench_pipe;              // via_kernel.c
extern const struct bench_transport bench_mq;
extern const struct bench_transport bench_ck_spsc, bench_ck_mpmc;       // via_ck.c
extern const struct bench_transport bench_boost, bench_boost_spin;      // via_boost.cc
extern const struct bench_transport bench_zeromq;                       // via_zeromq.c
extern const struct bench_transport bench_redis, bench_redis_pipelined; // via_redis.c

#ifdef __cplusplus
}
#endif
