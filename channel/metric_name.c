// SPDX-License-Identifier: MIT
#include "channel/metric_name.h"

#include <stdlib.h>
#include <string.h>

#include "channel/utf8.h"

struct label {
	const char *text; // name="value"
	size_t name;      // octets of its name
	size_t length;
};

struct parsed {
	size_t bare; // octets before the labels
	struct label label[CHANNEL_METRIC_LABELS];
	int labels;
};

static bool is_alpha(char octet)
{
	return (octet >= 'a' && octet <= 'z') || (octet >= 'A' && octet <= 'Z') || octet == '_';
}

static bool is_digit(char octet)
{
	return octet >= '0' && octet <= '9';
}

static size_t skip_bare(const char *text)
{
	size_t length = 0;

	while (is_alpha(text[length]) || text[length] == ':' ||
	        (length > 0 && is_digit(text[length])))
		length++;
	return length;
}

static size_t skip_label_name(const char *text)
{
	size_t length = 0;

	while (is_alpha(text[length]) || (length > 0 && is_digit(text[length])))
		length++;
	return length;
}

// Octets of a value between the quotation marks; the second must follow it. -1 if it is none.
static ptrdiff_t skip_value(const char *text)
{
	const char *at = text;

	for (; *at != '"'; at++) {
		if (*at == '\0' || *at == '\n')
			return -1;
		if (*at == '\\' && (*++at != '\\' && *at != '"' && *at != 'n'))
			return -1;
	}
	return channel_utf8_valid(text, (size_t)(at - text)) ? at - text : -1;
}

// Reads a label at TEXT. Returns the octets it takes, or 0.
static size_t read_label(const char *text, struct label *label)
{
	size_t name = skip_label_name(text);
	ptrdiff_t value;

	if (name == 0 || strncmp(text, "__", 2) == 0 || strncmp(text + name, "=\"", 2) != 0)
		return 0;
	value = skip_value(text + name + 2);
	if (value < 0)
		return 0;
	*label = (struct label){text, name, name + 2 + (size_t)value + 1};
	return label->length;
}

static bool parse(const char *name, struct parsed *parsed)
{
	const char *at;

	*parsed = (struct parsed){.bare = skip_bare(name)};
	at = name + parsed->bare;
	if (parsed->bare == 0 || *at == '\0')
		return parsed->bare > 0;
	if (*at != '{')
		return false;
	do {
		size_t length;

		at++; // the brace or the comma
		if (parsed->labels == CHANNEL_METRIC_LABELS)
			return false;
		length = read_label(at, &parsed->label[parsed->labels++]);
		if (length == 0)
			return false;
		at += length;
	} while (*at == ',');
	return at[0] == '}' && at[1] == '\0';
}

static int compare_labels(const void *a, const void *b)
{
	const struct label *first = a, *second = b;
	size_t shorter = first->name < second->name ? first->name : second->name;
	int order = memcmp(first->text, second->text, shorter);

	return order ? order : (first->name > second->name) - (first->name < second->name);
}

static bool ends_with(const char *text, size_t length, const char *suffix)
{
	size_t size = strlen(suffix);

	return length > size && memcmp(text + length - size, suffix, size) == 0;
}

static bool has_bound(const struct parsed *parsed)
{
	for (int i = 0; i < parsed->labels; i++)
		if (parsed->label[i].name == 2 && memcmp(parsed->label[i].text, "le", 2) == 0)
			return true;
	return false;
}

// Of a histogram, only the parts that it has.
static bool fits_kind(const char *name, const struct parsed *parsed, enum forebay_metric_kind kind)
{
	switch (kind) {
	case FOREBAY_METRIC_COUNTER:
	case FOREBAY_METRIC_GAUGE:
		return true;
	case FOREBAY_METRIC_HISTOGRAM:
		if (ends_with(name, parsed->bare, "_bucket"))
			return has_bound(parsed);
		return (ends_with(name, parsed->bare, "_sum") ||
		               ends_with(name, parsed->bare, "_count")) &&
		       !has_bound(parsed);
	default:
		return false;
	}
}

bool channel_metric_canonical(
        const char *name, enum forebay_metric_kind kind, char out[FOREBAY_METRIC_NAME_MAX + 1])
{
	struct parsed parsed;
	char *at = out;

	if (strlen(name) > FOREBAY_METRIC_NAME_MAX || !parse(name, &parsed) ||
	        !fits_kind(name, &parsed, kind))
		return false;
	qsort(parsed.label, (size_t)parsed.labels, sizeof *parsed.label, compare_labels);
	at = mempcpy(at, name, parsed.bare);
	for (int i = 0; i < parsed.labels; i++) {
		if (i > 0 && compare_labels(&parsed.label[i - 1], &parsed.label[i]) == 0)
			return false;
		*at++ = i == 0 ? '{' : ',';
		at = mempcpy(at, parsed.label[i].text, parsed.label[i].length);
	}
	if (parsed.labels > 0)
		*at++ = '}';
	*at = '\0';
	return true;
}

bool channel_metric_is_canonical(const char *name, enum forebay_metric_kind kind)
{
	char canonical[FOREBAY_METRIC_NAME_MAX + 1];

	return channel_metric_canonical(name, kind, canonical) && strcmp(name, canonical) == 0;
}

size_t channel_metric_family(const char *name, enum forebay_metric_kind kind)
{
	size_t length = strcspn(name, "{");

	if (kind != FOREBAY_METRIC_HISTOGRAM)
		return length;
	while (length > 1 && name[length - 1] != '_')
		length--;
	return length - 1;
}

bool channel_metric_is_help(const char *help)
{
	for (const char *at = help; *at; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			return false;
	return channel_utf8_valid(help, strlen(help));
}
