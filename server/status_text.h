// SPDX-License-Identifier: MIT
// status_text.h - a text that grows, and what is quoted in it: names in shared memory can be anything.
#pragma once

#include <stdbool.h>
#include <stddef.h>

// Zeroed, it is empty. When the heap is exhausted it has failed: what it holds is then not all.
struct status_text {
	char *data;
	size_t length, size;
	bool failed;
};

__attribute__((format(printf, 2, 3))) void status_text_print(
        struct status_text *text, const char *format, ...);

// All of OTHER, which stays as it is. If that has failed, so has TEXT.
void status_text_append(struct status_text *text, const struct status_text *other);

// STRING within a pair of quotation marks, as a label's value has it in Prometheus's text format.
void status_text_label(struct status_text *text, const char *string);

// STRING, which is a HELP of that format: without quotation marks.
void status_text_help(struct status_text *text, const char *string);

// STRING as a JSON string. What isn't UTF-8 is read as latin-1.
void status_text_json(struct status_text *text, const char *string);

// NUMBER with as many digits as it needs, for both; but what isn't finite is null in JSON.
void status_text_number(struct status_text *text, double number);
void status_text_json_number(struct status_text *text, double number);

// Frees it. Accepts a zeroed one, and a second call.
void status_text_fini(struct status_text *text);
