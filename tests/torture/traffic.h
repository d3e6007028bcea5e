// SPDX-License-Identifier: MIT
// traffic.h - messages that show what happened to them: each says who sent it, where to, which of its
// sender's it is and how long it is, and the rest of it is filled with octets that follow from that.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "channel/forebay.h"

enum {
	TRAFFIC_MAX = 256 << 10, // octets of one message's content
};

struct traffic_stamp {
	uint64_t sender, number;
	uint32_t length;  // octets of the content, this stamp included
	uint32_t channel; // a hash of the name
};

// Fills the table that contents are taken from. Once, before any fork.
void traffic_init(void);

// A message to CHANNEL with LENGTH octets behind its stamp, and REPLY_CHANNEL unless that is NULL. To be
// sent before the next one is built (the content isn't copied), and freed by the caller.
struct forebay_message *traffic_build(struct forebay *layer, const char *channel, uint64_t sender,
        uint64_t number, uint32_t length, const char *reply_channel);

// Builds, sends and frees. Returns as forebay_send().
int traffic_send(struct forebay *layer, const char *channel, uint64_t sender, uint64_t number,
        uint32_t length, int timeout);

// Reads the stamp. False if the message isn't whole, or came out of another channel than it was sent to.
bool traffic_read(struct forebay_message *message, struct traffic_stamp *stamp);
