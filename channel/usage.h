// SPDX-License-Identifier: MIT
// usage.h - what the kernel says about a process: of `forebay top` and of the server's status.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct channel_usage {
	uint64_t started;  // ticks after the machine's start; with the pid, which process it is
	uint64_t ticks;    // of processor time used so far
	uint64_t resident; // octets of memory
	uint64_t own; // of these, what isn't shared with a file: neither the layer nor libraries
};

// Reads them from PROC, which is "/proc" but in tests. False if the kernel doesn't tell, or not all: the rest is 0.
bool channel_usage_read(const char *proc, int32_t pid, struct channel_usage *usage);
