// SPDX-License-Identifier: MIT
// metric_name.h - what a metric may be called: the rules of Prometheus's text format.
//
//   series  = family [ "{" label { "," label } "}" ]
//   family  = [a-zA-Z_:] { [a-zA-Z0-9_:] }
//   label   = [a-zA-Z_] { [a-zA-Z0-9_] } '="' value '"'       not beginning with "__", each once
//   value   = UTF-8 without '"', '\' and newline but as \" \\ \n
//
// A histogram is made of series FAMILY_bucket{le="..."}, FAMILY_sum and FAMILY_count.
// All functions are pure.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "channel/forebay.h"

enum {
	CHANNEL_METRIC_LABELS = 16, // of one series
};

// Copies NAME with its labels in order, so that a series has one name. False if it isn't one, or too long.
bool channel_metric_canonical(
        const char *name, enum forebay_metric_kind kind, char out[FOREBAY_METRIC_NAME_MAX + 1]);

// Whether NAME is a series' name as the function above writes it.
bool channel_metric_is_canonical(const char *name, enum forebay_metric_kind kind);

// Octets of NAME that say which family it belongs to: what comes before the labels and, for a histogram, before
// the last underscore.
size_t channel_metric_family(const char *name, enum forebay_metric_kind kind);

// Whether HELP can be one: UTF-8 without control characters.
bool channel_metric_is_help(const char *help);
