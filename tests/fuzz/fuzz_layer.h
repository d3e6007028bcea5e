// SPDX-License-Identifier: MIT
// fuzz_layer.h - a private layer for fuzz targets that pass messages.
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "channel/forebay.h"
#include "tests/fuzz/fuzz.h"

// Made at the first call. Its files are removed at once: the memory lasts as long as the process.
static inline struct forebay *fuzz_layer(void)
{
	static struct forebay *layer;
	char name[64];

	if (layer)
		return layer;
	setenv("FOREBAY_DIR", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", 1);
	snprintf(name, sizeof(name), "fuzz.%d", (int)getpid());
	fuzz_require(forebay_open(name, NULL, &layer) == 0);
	fuzz_require(forebay_listen(layer, "fuzz") == 0);
	fuzz_require(forebay_remove(name) == 0);
	return layer;
}

// Sends MESSAGE, frees it, and returns what was received.
static inline struct forebay_message *fuzz_pass(
        struct forebay *layer, struct forebay_message *message)
{
	fuzz_require(forebay_send(layer, "fuzz", message, 0) == 0);
	forebay_message_free(message);
	fuzz_require(forebay_receive(layer, 0, &message) == 0);
	return message;
}
