// SPDX-License-Identifier: MIT
// crew.h - all children of the master: started, replaced when they die, retired at a reload.
//
// A place in the crew ("worker 1") is filled by one process after another. The caller says what
// time it is, in ms of the monotonic clock, and calls crew_tick() when crew_next() says.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "channel/forebay.h"
#include "server/child.h"
#include "server/supervisor.h"

// No time: an event that isn't due at all.
#define CREW_NEVER INT64_MAX

// One place. While PID is 0 it waits for START_AT.
struct crew_member {
	enum child_kind kind;
	int number; // 1 and up, of its kind
	pid_t pid;
	bool retiring; // it is to end, and won't be replaced
	int64_t start_at, term_at, kill_at;
	struct supervisor supervisor;
	struct crew_member *next;
};

// Zeroed is an empty crew.
struct crew {
	const struct child_context *context;
	bool ending; // the whole server is to end: workers are told so by SIGTERM, not SIGQUIT
	struct forebay_metric restarts[CHILD_KINDS]; // counts those that are started again
	struct crew_member *members;
};

// Adds COUNT places of a kind and starts a process for each. Returns 0 or -ENOMEM; a process that
// can't be started is tried again later.
int crew_start(struct crew *crew, enum child_kind kind, int count, int64_t now);

// Every member of KIND that isn't retiring: its place is given up, its process gets the signal that
// asks it to end (SIGQUIT, SIGTERM for an application) at TERM_AT, and SIGKILL at KILL_AT, or rather
// at the crew_tick() after that.
void crew_retire(struct crew *crew, enum child_kind kind, int64_t term_at, int64_t kill_at);

// Those that retire already, too: none is left alive after KILL_AT.
void crew_limit(struct crew *crew, int64_t kill_at);

// Sends SIGNAL to every process of KIND.
void crew_signal(const struct crew *crew, enum child_kind kind, int signal);

// Processes of KIND that live.
int crew_count(const struct crew *crew, enum child_kind kind);

// Collects processes that have ended, logs how, and plans the next. Returns how many there were.
int crew_collect(struct crew *crew, int64_t now);

// Does what is due by now.
void crew_tick(struct crew *crew, int64_t now);

// When crew_tick() has something to do next, or CREW_NEVER.
int64_t crew_next(const struct crew *crew);

// Frees the list; processes are left alone. Accepts a zeroed crew, and a second call.
void crew_fini(struct crew *crew);
