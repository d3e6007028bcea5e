// SPDX-License-Identifier: MIT
// cli_group.c - the subcommand group: its members, and sending to all of them.
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel/cli_command.h"

const char channel_cli_group_help[] =
        "Usage: forebay group add GROUP CHANNEL\n"
        "       forebay group discard GROUP CHANNEL\n"
        "       forebay group list [--json] [GROUP]\n"
        "       forebay group send GROUP [JSON|-]\n"
        "       forebay group history [--since EPOCH:OFFSET] GROUP\n"
        "\n"
        "`add` makes CHANNEL a member of GROUP, or renews its membership; `discard` ends it. "
        "`list`\n"
        "prints the members of GROUP, or all groups with their sizes. `send` sends one message, a\n"
        "JSON object (from stdin unless it is given), to every member but those that are full, "
        "and\n"
        "prints how many it reached. `history` prints the messages that GROUP keeps, if it keeps "
        "any\n"
        "(--group-history of serve), the oldest first, each as a line\n"
        "{\"epoch\": \"...\", \"offset\": N, \"message\": {...}}.\n"
        "\n" CHANNEL_CLI_LAYER_HELP "  -j, --json           list as JSON, for programs\n"
        "  -S, --since E:N      only what came after that message; if it, or some since then, "
        "aren't\n"
        "                       there any more, all that is, and exit status "
        "3\n" CHANNEL_CLI_HELP_HELP "\n"
        "Exit status: 0 done, 1 failed (stderr says why), 2 wrong usage, 3 not complete.\n";

static bool is_group_name(struct forebay *layer, const char *name)
{
	uint64_t size;

	return forebay_group_size(layer, name, &size) != FOREBAY_BAD_NAME;
}

// CHANNEL is NULL where only a group can be wrong.
static int explain(struct forebay *layer, int result, const char *group, const char *channel)
{
	switch (result) {
	case 0:
		return EXIT_DONE;
	case FOREBAY_GONE:
		channel_cli_complain("the connection of %s has ended", channel);
		break;
	case FOREBAY_BAD_NAME:
		if (channel && is_group_name(layer, group))
			channel_cli_complain_of_channel(channel);
		else
			channel_cli_complain("'%s' is not a group's name (1 to %d printable ASCII "
			                     "characters, without ! and ?)",
			        group, FOREBAY_NAME_MAX);
		break;
	case FOREBAY_NO_CHANNEL:
		channel_cli_complain("the layer has no room for another group");
		break;
	case FOREBAY_NO_MEMORY:
		channel_cli_complain("the layer has no room for another member");
		break;
	default:
		channel_cli_complain("%s: %s", group, forebay_strerror(result));
	}
	return EXIT_FAILED;
}

static int add(struct forebay *layer, const struct channel_cli_arguments *arguments)
{
	const char *group = arguments->names[1], *channel = arguments->names[2];

	return explain(layer, forebay_group_add(layer, group, channel), group, channel);
}

static int discard(struct forebay *layer, const struct channel_cli_arguments *arguments)
{
	const char *group = arguments->names[1], *channel = arguments->names[2];

	return explain(layer, forebay_group_discard(layer, group, channel), group, channel);
}

// ---------------------------------------------------------------------------------------------
// list
// ---------------------------------------------------------------------------------------------

// What separates this item of a list from the one before; NULL if it isn't JSON.
struct list {
	const char *separator;
};

static int print_member(const char *channel, void *context)
{
	struct list *list = context;

	if (!list->separator) {
		puts(channel);
		return 0;
	}
	fputs(list->separator, stdout);
	channel_cli_quote(channel);
	list->separator = ", ";
	return 0;
}

static int print_group(const struct forebay_group_stat *stat, void *context)
{
	struct list *list = context;

	if (!list->separator) {
		printf("%10" PRIu64 "  %s\n", stat->size, stat->name);
		return 0;
	}
	printf("%s{\"name\": ", list->separator);
	channel_cli_quote(stat->name);
	printf(", \"size\": %" PRIu64 "}", stat->size);
	list->separator = ", ";
	return 0;
}

static int list(struct forebay *layer, const struct channel_cli_arguments *arguments)
{
	const char *group = arguments->name_count > 1 ? arguments->names[1] : NULL;
	struct list list = {.separator = arguments->json ? "" : NULL};
	int result;

	if (list.separator)
		putchar('[');
	result = group ? forebay_group_channels(layer, group, print_member, &list)
	               : forebay_stat_groups(layer, print_group, &list);
	if (list.separator)
		puts("]");
	return explain(layer, result, group ? group : "groups", NULL);
}

// ---------------------------------------------------------------------------------------------
// send
// ---------------------------------------------------------------------------------------------

static int send_to_all(struct forebay *layer, const struct channel_cli_arguments *arguments)
{
	const char *group = arguments->names[1];
	struct forebay_message *message =
	        channel_cli_message(layer, arguments->name_count > 2 ? arguments->names[2] : "-");
	uint64_t reached;
	int result;

	if (!message)
		return EXIT_FAILED;
	result = forebay_group_send(layer, group, message, &reached);
	forebay_message_free(message);
	if (result == 0)
		printf("%" PRIu64 " %s reached\n", reached, reached == 1 ? "member" : "members");
	return explain(layer, result, group, NULL);
}

// ---------------------------------------------------------------------------------------------
// history
// ---------------------------------------------------------------------------------------------

static int print_kept(struct forebay_message *message, void *context)
{
	uint64_t epoch = 0, offset = 0;
	size_t length;
	const char *json = forebay_message_json(message, &length);

	(void)context;
	if (!json)
		return 0;
	(void)forebay_message_history(message, &epoch, &offset);
	printf("{\"epoch\": \"%016" PRIx64 "\", \"offset\": %" PRIu64 ", \"message\": ", epoch,
	        offset);
	channel_cli_print_line(json, length);
	puts("}");
	return 0;
}

// EPOCH:OFFSET, as they were printed.
static bool parse_since(const char *text, struct forebay_history *history)
{
	char *end;

	if (strspn(text, "0123456789abcdef") != 16 || text[16] != ':' || text[17] < '0' ||
	        text[17] > '9')
		return false;
	history->epoch = strtoull(text, NULL, 16);
	history->offset = strtoull(text + 17, &end, 10);
	return *end == '\0';
}

static int print_history(struct forebay *layer, const struct channel_cli_arguments *arguments)
{
	struct forebay_history history = {0};
	int result;

	if (arguments->since && !parse_since(arguments->since, &history)) {
		channel_cli_complain("'%s' is not of the form EPOCH:OFFSET", arguments->since);
		return EXIT_USAGE;
	}
	result = forebay_group_history(layer, arguments->names[1], &history, print_kept, NULL);
	if (result == 0 && arguments->since && !history.complete) {
		channel_cli_complain("not all that came since then is kept: begin anew");
		return channel_cli_flush() == EXIT_DONE ? EXIT_TIMED_OUT : EXIT_FAILED;
	}
	return explain(layer, result, arguments->names[1], NULL);
}

// ---------------------------------------------------------------------------------------------
// The verbs
// ---------------------------------------------------------------------------------------------

static const struct verb {
	const char *name;
	int least, most;     // arguments, itself among them
	const char *letters; // of the options it has a use for, besides --layer
	int (*run)(struct forebay *layer, const struct channel_cli_arguments *arguments);
} verbs[] = {
        {"add", 3, 3, "", add},
        {"discard", 3, 3, "", discard},
        {"list", 1, 2, "j", list},
        {"send", 2, 3, "", send_to_all},
        {"history", 2, 2, "S", print_history},
};

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	}
	return NULL;
}

bool channel_cli_group_understands(const struct channel_cli_arguments *arguments)
{
	const char *name = arguments->names[0];
	const struct verb *verb = find_verb(name);

	if (!verb)
		channel_cli_complain("'%s' is none of add, discard, list, send and history", name);
	else if (arguments->name_count < verb->least || arguments->name_count > verb->most)
		channel_cli_complain("wrong number of arguments for %s", name);
	else
		return channel_cli_takes(arguments, name, verb->letters);
	return false;
}

int channel_cli_group(struct forebay *layer, const struct channel_cli_arguments *arguments)
{
	return find_verb(arguments->names[0])->run(layer, arguments);
}
