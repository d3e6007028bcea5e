// SPDX-License-Identifier: MIT
// name.h - channel names: what is one, which kind it is, and the capacity its pattern gives it.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "channel/forebay.h"

enum channel_kind {
	CHANNEL_BAD,    // not a name
	CHANNEL_PLAIN,  // anybody sends, anybody receives; made when first used
	CHANNEL_STREAM, // "PREFIX?16 digits": one reader; made by forebay_stream_open() only
	CHANNEL_DELAY,  // CHANNEL_DELAY_NAME: for messages that are delivered later, elsewhere
	CHANNEL_REPLY,  // "PREFIX!16 digits": an endpoint; made by forebay_reply_open() only
};

#define CHANNEL_ID_DIGITS 16

#define CHANNEL_DELAY_NAME "asgi.delay"
#define CHANNEL_DELAY_MAX                                                                          \
	7680 // messages that wait there; 8192 less those that may be in somebody's hands

// A reply channel's id is index:24 | generation:40 of its endpoint.
#define CHANNEL_REPLY_ID(INDEX, GENERATION) ((uint64_t)(INDEX) << 40 | (GENERATION))
#define CHANNEL_REPLY_INDEX(ID)             ((uint32_t)((ID) >> 40))
#define CHANNEL_REPLY_GENERATION(ID)        ((ID)&0xffffffffffull)

// Judges NAME: 1 to 200 printable ASCII characters, and what follows '!' or '?' is an id. *ID gets it.
enum channel_kind channel_name_kind(const char *name, uint64_t *id);

// Whether PREFIX can be made into a reply or stream name: a name itself, no '!' or '?', short enough.
bool channel_name_is_prefix(const char *prefix);

// Writes PREFIX, MARK ('!' or '?') and ID. PREFIX has been checked.
void channel_name_make(char name[FOREBAY_NAME_SIZE], const char *prefix, char mark, uint64_t id);

// What a pattern says of the channels whose names match it.
struct channel_rule {
	uint32_t capacity; // messages; 0 if none matches
	enum forebay_policy policy;
};

// The rule for NAME after PATTERNS, "pattern=number,pattern=number/policy,...": the first match counts ('*' stands for
// anything, as in fnmatch(3)), up to the end or a line feed. Reply channels have no policy, whatever matches them.
struct channel_rule channel_name_rule(const char *patterns, const char *name);

bool channel_name_matches(const char *pattern, const char *name);

// Whether PATTERNS is of that form, with numbers from 1 to MAX: NULL, or what it is that is wrong, a static text that
// continues a sentence about the patterns.
const char *channel_name_patterns_error(const char *patterns, uint32_t max);

#define CHANNEL_NAME_WHOLE 1000000u // parts of all messages: 0.0001 % is one

// How many parts of the messages to NAME are dropped on purpose after DROPS, "pattern=percent,pattern=percent,...": the
// first match counts; 0 if none does.
uint32_t channel_name_drop(const char *drops, const char *name);

// Whether DROPS is of that form: NULL, or what is wrong, a static text that continues a sentence about them.
const char *channel_name_drops_error(const char *drops);
// The same for the histories of groups: see struct forebay_options.
const char *channel_history_error(const char *histories);
