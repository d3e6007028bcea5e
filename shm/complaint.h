// SPDX-License-Identifier: MIT
// complaint.h - the sentence in which a failure is told: file, reason, remedy.
#pragma once

#include <stddef.h>

// Where the sentence goes.
struct shm_complaint {
	char *text;
	size_t size;
};

// Writes the sentence and returns RESULT, which is evaluated before errno can change.
__attribute__((format(printf, 3, 4))) int shm_complain(
        const struct shm_complaint *complaint, int result, const char *format, ...);
