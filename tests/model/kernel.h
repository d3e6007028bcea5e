// SPDX-License-Identifier: MIT
// kernel.h - the system calls and heap of shm's sources, compiled for the model: included before each.
//
// What is simulated: open file description locks on the slots' octets (they end with their holder),
// the futex (a process that waits isn't scheduled until it is woken), the heap, a clock that stands still. FIFOs aren't there.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int model_open(const char *path, int flags, ...);
int model_close(int fd);
int model_fcntl(int fd, int command, ...);
long model_syscall(long number, void *word, int operation, ...);
int model_clock_gettime(clockid_t clock, struct timespec *now);
void *model_calloc(size_t count, size_t size);

#define open(...)          model_open(__VA_ARGS__)
#define close(...)         model_close(__VA_ARGS__)
#define fcntl(...)         model_fcntl(__VA_ARGS__)
#define syscall(...)       model_syscall(__VA_ARGS__)
#define calloc(...)        model_calloc(__VA_ARGS__)
#define clock_gettime(...) model_clock_gettime(__VA_ARGS__)
#define free(...)          ((void)(__VA_ARGS__))
