// SPDX-License-Identifier: MIT
// fuzz.h - what all fuzz targets share: the entry point, and a check that stops the fuzzer.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void fuzz_require(bool condition)
{
	if (!condition)
		abort();
}

// Takes the first octet as where to cut the rest, in 256ths.
static inline size_t fuzz_cut(const uint8_t **data, size_t *size)
{
	if (*size == 0)
		return 0;

	size_t part = **data;

	++*data;
	--*size;
	return *size * part / 256;
}
