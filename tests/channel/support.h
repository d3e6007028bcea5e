// SPDX-License-Identifier: MIT
// support.h - a layer of its own for each test.
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "channel/forebay.h"
#include "shm/clock.h"
#include "tests/test.h"

// Attaches to the layer "test" in the tests' directory. Ends the process if that fails.
__attribute__((unused)) static struct forebay *attach(const struct forebay_options *options)
{
	struct forebay *layer;

	setenv("FOREBAY_DIR", test_directory, 1);
	setenv("FOREBAY_LAYER", "test", 1);
	if (forebay_open(NULL, options, &layer) != 0) {
		printf("# %s\n", forebay_error());
		exit(EXIT_FAILURE);
	}
	return layer;
}

// The same, and from now on no time passes but by pass(): neither in this process nor in those that it forks.
__attribute__((unused)) static struct forebay *attach_still(const struct forebay_options *options)
{
	shm_clock_still = shm_clock_ahead = 0;
	shm_clock_still = shm_clock_now();
	return attach(options);
}

__attribute__((unused)) static void pass(int64_t ms)
{
	shm_clock_ahead += ms;
}

// Milliseconds to wait for what has to come: they only end a hang.
#define HANG 120000

// An expiry, in seconds, that no test is slow enough to see.
#define NEVER 86400

// Detaches and removes the layer.
__attribute__((unused)) static void discard(struct forebay *layer)
{
	forebay_close(layer);
	(void)forebay_remove(NULL);
}

__attribute__((unused)) static void discard_still(struct forebay *layer)
{
	discard(layer);
	shm_clock_still = shm_clock_ahead = 0;
}

// Sends {"n": NUMBER}.
__attribute__((unused)) static int send_number(
        struct forebay *layer, const char *channel, int64_t number)
{
	struct forebay_message *message = forebay_message_new(layer);
	int result;

	forebay_put_integer(message, "n", number);
	result = forebay_send(layer, channel, message, 0);
	forebay_message_free(message);
	return result;
}

// Receives a message without waiting, and returns its "n"; -1 if there is none.
__attribute__((unused)) static int64_t receive_number(struct forebay *layer)
{
	struct forebay_message *message;
	int64_t number;

	if (forebay_receive(layer, 0, &message) != 0)
		return -1;
	number = forebay_get_integer(message, "n", -2);
	forebay_message_free(message);
	return number;
}

__attribute__((unused)) static uint64_t counter(struct forebay *layer, enum forebay_counter which)
{
	struct forebay_layer_stat stat;

	return forebay_stat(layer, &stat) == 0 ? stat.counters[which] : UINT64_MAX;
}

__attribute__((unused)) static uint32_t used_blocks(struct forebay *layer)
{
	struct forebay_layer_stat stat;

	if (forebay_stat(layer, &stat) != 0)
		return UINT32_MAX;
	return stat.blocks[0].used + stat.blocks[1].used + stat.blocks[2].used;
}
