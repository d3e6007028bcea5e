// SPDX-License-Identifier: MIT
#include "channel/name.h"

#include <string.h>

#include "channel/quantity.h"

#define PERCENT_DIGITS 4 // behind the point

static int digit_of(char character)
{
	if (character >= '0' && character <= '9')
		return character - '0';
	if (character >= 'a' && character <= 'f')
		return character - 'a' + 10;
	return -1;
}

static bool parse_id(const char *digits, uint64_t *id)
{
	*id = 0;
	for (int i = 0; i < CHANNEL_ID_DIGITS; i++) {
		int digit = digit_of(digits[i]);

		if (digit < 0)
			return false;
		*id = *id << 4 | (unsigned)digit;
	}
	return digits[CHANNEL_ID_DIGITS] == '\0';
}

enum channel_kind channel_name_kind(const char *name, uint64_t *id)
{
	const char *mark = NULL;
	size_t length = 0;

	for (; name[length]; length++) {
		if (name[length] < 0x20 || name[length] > 0x7e || length == FOREBAY_NAME_MAX)
			return CHANNEL_BAD;
		if (name[length] == '!' || name[length] == '?')
			mark = mark ? mark : &name[length];
	}
	if (length == 0)
		return CHANNEL_BAD;
	if (!mark)
		return strcmp(name, CHANNEL_DELAY_NAME) == 0 ? CHANNEL_DELAY : CHANNEL_PLAIN;
	if (!parse_id(mark + 1, id))
		return CHANNEL_BAD;
	return *mark == '!' ? CHANNEL_REPLY : CHANNEL_STREAM;
}

bool channel_name_is_prefix(const char *prefix)
{
	uint64_t id;

	return channel_name_kind(prefix, &id) == CHANNEL_PLAIN &&
	       strlen(prefix) <= FOREBAY_NAME_MAX - CHANNEL_ID_DIGITS - 1;
}

void channel_name_make(char name[FOREBAY_NAME_SIZE], const char *prefix, char mark, uint64_t id)
{
	size_t length = strlen(prefix);

	memcpy(name, prefix, length);
	name[length++] = mark;
	for (int shift = 60; shift >= 0; shift -= 4)
		name[length++] = "0123456789abcdef"[id >> shift & 15];
	name[length] = '\0';
}

static const char *const policies[] = {
        [FOREBAY_REFUSE] = "refuse",
        [FOREBAY_DROP_OLDEST] = "drop-oldest",
        [FOREBAY_KEEP_LATEST] = "keep-latest",
};

const char *forebay_policy_name(enum forebay_policy policy)
{
	return (unsigned)policy < sizeof policies / sizeof *policies ? policies[policy] : "unknown";
}

// The policy TEXT of LENGTH octets. False if it is none.
static bool parse_policy(const char *text, size_t length, enum forebay_policy *policy)
{
	for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
		*policy = (enum forebay_policy)i;
		if (strlen(policies[i]) == length && memcmp(policies[i], text, length) == 0)
			return true;
	}
	return false;
}

// Takes "number" or "number/policy" off *TEXT, up to the next comma. False if it is neither.
static bool parse_rule(const char **text, struct channel_rule *rule)
{
	const char *begin = *text, *end = begin + strcspn(begin, ",\n");
	size_t digits = strcspn(begin, "/,\n");
	uint64_t number;

	*rule = (struct channel_rule){.policy = FOREBAY_REFUSE};
	*text = end;
	if (!channel_quantity_read(begin, digits, CHANNEL_NUMBER, UINT32_MAX, &number))
		return false;
	rule->capacity = (uint32_t)number;
	begin += digits;
	return begin == end || parse_policy(begin + 1, (size_t)(end - begin - 1), &rule->policy);
}

// Takes the next "pattern=" off *PATTERNS, which are separated by commas. False at the end or if it isn't one.
static bool next_equals(const char **patterns, char *pattern, size_t size)
{
	const char *equals;

	// The last '=' before the next comma: names may contain one.
	*patterns += strspn(*patterns, ", ");
	equals = *patterns + strcspn(*patterns, ",\n");
	while (equals > *patterns && *equals != '=')
		equals--;
	if (*equals != '=' || (size_t)(equals - *patterns) >= size || equals == *patterns)
		return false;
	memcpy(pattern, *patterns, (size_t)(equals - *patterns));
	pattern[equals - *patterns] = '\0';
	*patterns = equals + 1;
	return true;
}

// Takes the next "pattern=rule" off *PATTERNS. False at the end or if it isn't one.
static bool next_pattern(
        const char **patterns, char *pattern, size_t size, struct channel_rule *rule)
{
	return next_equals(patterns, pattern, size) && parse_rule(patterns, rule) &&
	       rule->capacity > 0;
}

// Whether CHARACTER is in the set that begins behind the '[' at SET: "abc]", "a-z]", "!abc]". *END gets
// what is behind it, or NULL if it isn't closed.
static bool in_set(const char *set, char character, const char **end)
{
	bool negated = *set == '!', found = false;
	const char *at = set + negated;

	do {
		bool range = at[0] && at[1] == '-' && at[2] && at[2] != ']';

		if (!*at) {
			*end = NULL;
			return false;
		}
		found |= range ? at[0] <= character && character <= at[2] : *at == character;
		at += range ? 3 : 1;
	} while (*at != ']');
	*end = at + 1;
	return found != negated;
}

// Whether the pattern's first element takes CHARACTER; *NEXT gets what is behind that element.
static bool takes(const char *pattern, char character, const char **next)
{
	const char *end;

	*next = pattern + 1;
	if (*pattern == '?')
		return true;
	if (*pattern == '[') {
		bool in = in_set(pattern + 1, character, &end);

		if (end) {
			*next = end;
			return in;
		}
	}
	return *pattern == character;
}

// As in asgi_ipc, whose patterns are Python's fnmatch: '*', '?', '[...]', and no escapes. Not fnmatch(3), which
// takes exponential time on some patterns, and these may have been scribbled over. The last '*' alone
// is gone back to, so this takes length times length at most.
bool channel_name_matches(const char *pattern, const char *name)
{
	const char *star = NULL, *from = NULL, *next;

	while (*name) {
		if (*pattern == '*') {
			star = ++pattern;
			from = name;
		} else if (*pattern && takes(pattern, *name, &next)) {
			pattern = next;
			name++;
		} else if (star) {
			pattern = star;
			name = ++from;
		} else {
			return false;
		}
	}
	pattern += strspn(pattern, "*");
	return *pattern == '\0';
}

struct channel_rule channel_name_rule(const char *patterns, const char *name)
{
	char pattern[FOREBAY_NAME_SIZE];
	struct channel_rule rule;

	while (next_pattern(&patterns, pattern, sizeof pattern, &rule)) {
		if (!channel_name_matches(pattern, name))
			continue;
		if (strchr(name, '!'))
			rule.policy = FOREBAY_REFUSE;
		return rule;
	}
	return (struct channel_rule){.policy = FOREBAY_REFUSE};
}

// Whether only names with a '!' match.
static bool is_for_reply_channels(const char *pattern)
{
	const char *next;

	for (; *pattern; pattern = next) {
		(void)takes(pattern, '!', &next);
		if (*pattern == '!')
			return true;
	}
	return false;
}

const char *channel_name_patterns_error(const char *patterns, uint32_t max)
{
	char pattern[FOREBAY_NAME_SIZE];
	struct channel_rule rule;

	while (*patterns && *patterns != '\n') {
		if (!next_pattern(&patterns, pattern, sizeof pattern, &rule))
			return "are not of the form PATTERN=NUMBER or PATTERN=NUMBER/POLICY, with "
			       "policies refuse, drop-oldest and keep-latest";
		if (rule.capacity > max)
			return "have a number that is too large";
		if (rule.policy != FOREBAY_REFUSE && is_for_reply_channels(pattern))
			return "have a policy for reply channels, which have none: a connection's "
			       "messages aren't dropped, its sender is told that it is full";
	}
	return NULL;
}

// Takes a percentage off *TEXT, up to the next comma, in parts of CHANNEL_NAME_WHOLE. False if it is none.
static bool parse_percent(const char **text, uint32_t *parts)
{
	uint32_t unit = CHANNEL_NAME_WHOLE / 100;
	const char *at = *text;

	*parts = 0;
	if (*at < '0' || *at > '9')
		return false;
	for (; *at >= '0' && *at <= '9' && *parts <= CHANNEL_NAME_WHOLE; at++)
		*parts = *parts * 10 + (uint32_t)(*at - '0') * unit;
	if (*at == '.') {
		int digits = 0;

		for (at++; *at >= '0' && *at <= '9' && digits < PERCENT_DIGITS; at++, digits++) {
			unit /= 10;
			*parts += (uint32_t)(*at - '0') * unit;
		}
		if (digits == 0)
			return false;
	}
	*text = at;
	return (*at == ',' || *at == '\0') && *parts <= CHANNEL_NAME_WHOLE;
}

const char *channel_name_drops_error(const char *drops)
{
	char pattern[FOREBAY_NAME_SIZE];
	uint32_t parts;

	while (*drops)
		if (!next_equals(&drops, pattern, sizeof pattern) || !parse_percent(&drops, &parts))
			return "are not of the form PATTERN=PERCENT, from 0 to 100 with at most 4 "
			       "digits behind the point";
	return NULL;
}

uint32_t channel_name_drop(const char *drops, const char *name)
{
	char pattern[FOREBAY_NAME_SIZE];
	uint32_t parts;

	while (next_equals(&drops, pattern, sizeof pattern) && parse_percent(&drops, &parts))
		if (channel_name_matches(pattern, name))
			return parts;
	return 0;
}
