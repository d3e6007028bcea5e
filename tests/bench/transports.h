// SPDX-License-Identifier: MIT
// transports.h - the ways there are; those of libraries that aren't installed are left out (meson.build).
#pragma once

#include "tests/bench/bench.h"

#ifdef __cplusplus
extern "C" {
#endif

// via_forebay.c, via_shm.c
extern const struct bench_transport bench_forebay, bench_forebay_corked, bench_forebay_spin,
        bench_forebay_epoll, bench_shm;
// via_word.c: the first two for round trips only, the third for one way from one to one
extern const struct bench_transport bench_line, bench_futex, bench_handover;
// via_kernel.c
extern const struct bench_transport bench_pipe, bench_pipe_spin, bench_mq, bench_mq_spin;
// via_ck.c, via_boost.cc, via_zeromq.c, via_redis.c
extern const struct bench_transport bench_ck_spsc, bench_ck_mpmc;
extern const struct bench_transport bench_boost, bench_boost_spin;
extern const struct bench_transport bench_zeromq;
extern const struct bench_transport bench_redis, bench_redis_pipelined;

#ifdef __cplusplus
}
#endif
