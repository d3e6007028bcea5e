// SPDX-License-Identifier: MIT
// support.h - what several scenarios do: messages that are numbers, and audits.
#pragma once

#include "tests/model/model.h"

// The auditor's number.
int support_auditor(void);

// Opens the channel NAME, as ring WHICH of all who are attached.
void support_open(const char *name, int which, uint32_t capacity);

// Number of message N of a process, from 1 on; FIFO is checked for each process's messages.
#define MESSAGE(PROCESS, N) ((uint64_t)((PROCESS) + 1) << 8 | (N))

// Sends VALUE: SHM_EMPTY when there's no memory, else what push says. What was sent is noted.
enum shm_result support_send(struct model_own *own, struct shm_ring *ring, uint64_t value);

// Receives, notes and frees a message.
enum shm_result support_receive(struct model_own *own, struct shm_ring *ring);

// A process's number.
int support_number(const struct model_own *own);

// Setups: channel "a" for two messages, or one, as ring 0.
void support_open_2(void);
void support_open_1(void);

// Processes: the first messages into ring 0; what one or two looks there give; a reap after the first death.
void support_send_1(struct model_own *own);
void support_send_2(struct model_own *own);
void support_receive_1(struct model_own *own);
void support_receive_2(struct model_own *own);
void support_reap(struct model_own *own);

// As in channel/receive.c and channel/layer.c: whether somebody has nudged us; nudges the slots in the mask.
bool support_was_nudged(struct model_own *own);
// Sleeps once, as channel_sleep() does without a poll, after saying where room is waited for.
void support_sleep_for_room(struct model_own *own);
void support_nudge(struct model_own *own, uint64_t slots);

// Receives all that is there.
void support_drain(struct model_own *auditor, struct shm_ring *ring);

// Detaches the living and reaps the dead.
void support_settle(struct model_own *auditor);

// Nothing was received twice, or out of its sender's order; nothing is lost but for what the dead held.
void support_audit_messages(struct model_own *auditor);

// All that, and: every block, zone, endpoint and slot is free, every channel is free or can be found, and
// a message goes through each.
void support_audit_all(struct model_own *auditor);

// All that, and nobody is asleep.
void support_audit_awake(struct model_own *auditor);
