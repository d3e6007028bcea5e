// SPDX-License-Identifier: MIT
// config_file.c - a configuration file: lines of `name = value`, `#` begins a comment.
#include "server/config_file.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *skip_space(char *text)
{
	while (isspace((unsigned char)*text))
		text++;
	return text;
}

// Cuts white space off the end of the text that begins at START.
static void trim(char *start)
{
	size_t length = strlen(start);

	while (length && isspace((unsigned char)start[length - 1]))
		length--;
	start[length] = '\0';
}

// Unquotes, in place, the value whose first octet is the opening quote. Returns what is wrong, or NULL.
static const char *unquote(char *value)
{
	char *from = value + 1, *to = value;

	for (; *from != '"'; from++) {
		if (*from == '\\' && (from[1] == '"' || from[1] == '\\'))
			from++;
		if (!*from)
			return "the closing quote is missing";
		*to++ = *from;
	}
	from = skip_space(from + 1);
	if (*from && *from != '#')
		return "there is something behind the closing quote";
	*to = '\0';
	return NULL;
}

// Cuts off a comment: a `#` at the start or after white space.
static void cut_comment(char *text)
{
	for (char *c = text; *c; c++)
		if (*c == '#' && (c == text || isspace((unsigned char)c[-1]))) {
			*c = '\0';
			return;
		}
}

// Takes LINE apart, in place. *NAME is NULL for a line without a setting. Returns what is wrong, or NULL.
static const char *split(char *line, char **name, char **value)
{
	char *equals;

	*name = NULL;
	line = skip_space(line);
	if (!*line || *line == '#')
		return NULL;
	equals = strchr(line, '=');
	if (!equals || equals == line)
		return "expected `name = value`";
	*equals = '\0';
	trim(line);
	*name = line;
	*value = skip_space(equals + 1);
	if (**value == '"')
		return unquote(*value);
	cut_comment(*value);
	trim(*value);
	return NULL;
}

int config_file_read(const char *path, config_file_setting *setting, void *context, int *line,
        const char **reason)
{
	FILE *file = fopen(path, "re");
	char *text = NULL, *name, *value;
	size_t size = 0;
	ssize_t length;
	int result = 0;

	*line = 0;
	if (!file)
		return -errno;
	while (result == 0 && (errno = 0, length = getline(&text, &size, file)) >= 0) {
		++*line;
		if (memchr(text, '\0', (size_t)length))
			*reason = "there is a NUL octet in it";
		else
			*reason = split(text, &name, &value);
		if (*reason)
			result = CONFIG_FILE_INVALID;
		else if (name)
			result = setting(name, value, *line, context);
	}
	if (result == 0 && errno != 0) // getline() failed otherwise than by the end of the file
		result = -errno;
	free(text);
	fclose(file);
	return result;
}
