// SPDX-License-Identifier: MIT
// cli_check.c - the subcommand check: says what is wrong in a layer's shared memory, and mends it.
//
// Looking is done on a mapping that can't be written, and without attaching: a layer that nobody can attach
// to can be looked at too, and one in use isn't disturbed. Only a repair attaches.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel/cli_command.h"
#include "channel/layer.h"
#include "channel/name.h"
#include "shm/check.h"

enum {
	SOUND = 0,
	UNSOUND = 1, // something wrong is left
	UNCHECKED = 3,
	LINES = 20, // of one kind; a layer that is wholly scribbled over has thousands
};

const char channel_cli_check_help[] =
        "Usage: forebay check [OPTIONS]\n"
        "\n"
        "Validates the shared memory of a layer, in use or not: every process, zone, block, "
        "channel,\n"
        "ring, list, reply channel and file. Prints a line for each thing that is wrong: what it "
        "is,\n"
        "what comes of it and what --repair does about it. Looking changes nothing and disturbs\n"
        "nobody.\n"
        "\n"
        "  -l, --layer NAME     the layer (default: $FOREBAY_LAYER, or \"default\")\n"
        "  -r, --repair         give back what dead processes held, and mend what is wrong, as "
        "far\n"
        "                       as no living process holds it\n"
        "  -j, --json           one JSON object, for programs\n"
        "  -h, --help           show this\n"
        "\n"
        "Exit status: 0 nothing is wrong (any more), 1 something is wrong, or left so, 2 wrong\n"
        "usage, 3 it can't be checked: no such layer, or no segment of this version.\n";

struct output {
	bool json, repair;
	const char *separator;
	uint32_t printed[SHM_FINDINGS];
};

// ---------------------------------------------------------------------------------------------
// Findings
// ---------------------------------------------------------------------------------------------

static void print_member(const char *key, const char *value)
{
	printf("\"%s\": ", key);
	channel_cli_quote(value);
	fputs(", ", stdout);
}

static void print_finding(struct output *output, const char *name, const char *where,
        const char *meaning, const char *remedy, bool repaired)
{
	if (output->json) {
		fputs(output->separator, stdout);
		output->separator = ", ";
		putchar('{');
		print_member("kind", name);
		print_member("where", where);
		print_member("meaning", meaning);
		print_member("repair", remedy);
		printf("\"repaired\": %s}", repaired ? "true" : "false");
		return;
	}
	printf("%s: %s: %s (%s %s)\n", name, where, meaning,
	        repaired         ? "repaired:"
	        : output->repair ? "not repaired; a repair"
	                         : "--repair",
	        remedy);
}

static void report(const struct shm_finding *finding, void *context)
{
	struct output *output = context;

	if (output->json || output->printed[finding->kind]++ < LINES)
		print_finding(output, finding->name, finding->where, finding->meaning,
		        finding->remedy, finding->repaired);
	else if (output->printed[finding->kind] == LINES + 1)
		printf("%s: more of them, counted below\n", finding->name);
}

// What the layer below can't know.
static uint32_t check_patterns(struct output *output, const struct shm_segment *segment)
{
	static const char remedy[] =
	        "leaves them: end all processes, then remove the layer's directory";
	const char *histories = strchr(segment->patterns, '\n');
	uint32_t bad = 0;

	if (channel_name_patterns_error(segment->patterns, 1u << SHM_WIDE_ORDER)) {
		print_finding(output, "bad-patterns", "the header",
		        "the capacities of channels can't be read: new ones hold the default",
		        remedy, false);
		bad++;
	}
	if (histories && channel_history_error(histories + 1)) {
		print_finding(output, "bad-histories", "the header",
		        "the rules for histories of groups can't be read: messages aren't kept",
		        remedy, false);
		bad++;
	}
	return bad;
}

static uint32_t check_access(struct output *output, const char *error)
{
	if (!*error)
		return 0;
	print_finding(output, "no-access", error, "attaching to the layer is refused",
	        "leaves that to the administrator", false);
	return 1;
}

// ---------------------------------------------------------------------------------------------
// The summary
// ---------------------------------------------------------------------------------------------

static const char *plural(uint64_t count, const char *one, const char *more)
{
	return count == 1 ? one : more;
}

static void print_summary(const struct shm_check_summary *summary)
{
	printf("%" PRIu32 " %s alive, %" PRIu32 " dead; %" PRIu32 " of %" PRIu32
	       " channels live, %" PRIu32 " inboxes or being changed; %" PRIu64
	       " %s waiting; %" PRIu32 " reply channels open; %" PRIu32 " %s\n",
	        summary->alive, plural(summary->alive, "process", "processes"), summary->dead,
	        summary->live, summary->channels, summary->being_changed, summary->messages,
	        plural(summary->messages, "message", "messages"), summary->endpoints,
	        summary->groups, plural(summary->groups, "group", "groups"));
	fputs("blocks free:", stdout);
	for (int class = 0; class < SHM_CLASSES; class ++)
		printf(" %" PRIu32 " of %" PRIu32 " of %" PRIu32 " octets,", summary->free[class],
		        summary->blocks[class], shm_class_size(class));
	printf(" %" PRIu32 " sent, %" PRIu32 " extents, %" PRIu32 " held, %" PRIu32
	       " held by the dead\n",
	        summary->sent, summary->parts, summary->held, summary->of_dead);
}

static void print_summary_json(const struct shm_check_summary *summary)
{
	printf("\"processes\": {\"alive\": %" PRIu32 ", \"dead\": %" PRIu32
	       "}, \"channels\": {\"live\": %" PRIu32 ", \"other\": %" PRIu32 ", \"max\": %" PRIu32
	       "}, \"messages\": %" PRIu64 ", \"reply_channels\": %" PRIu32 ", \"groups\": %" PRIu32
	       ", \"group_cells\": %" PRIu32 ", \"blocks\": [",
	        summary->alive, summary->dead, summary->live, summary->being_changed,
	        summary->channels, summary->messages, summary->endpoints, summary->groups,
	        summary->cells);
	for (int class = 0; class < SHM_CLASSES; class ++)
		printf("%s{\"size\": %" PRIu32 ", \"total\": %" PRIu32 ", \"free\": %" PRIu32 "}",
		        class ? ", " : "", shm_class_size(class), summary->blocks[class],
		        summary->free[class]);
	printf("], \"sent\": %" PRIu32 ", \"extents\": %" PRIu32 ", \"held\": %" PRIu32
	       ", \"held_by_dead\": %" PRIu32,
	        summary->sent, summary->parts, summary->held, summary->of_dead);
}

static void print_verdict(int64_t found, int64_t left, bool repair)
{
	if (found == 0)
		puts("nothing is wrong");
	else if (!repair)
		printf("%" PRId64 " %s wrong; `forebay check --repair` mends what can be mended\n",
		        found, plural((uint64_t)found, "thing is", "things are"));
	else
		printf("%" PRId64 " %s wrong, %" PRId64 " left\n", found,
		        plural((uint64_t)found, "thing was", "things were"), left);
}

// ---------------------------------------------------------------------------------------------
// The run
// ---------------------------------------------------------------------------------------------

static int complain(const char *text)
{
	fprintf(stderr, "forebay check: %s\n", text);
	return UNCHECKED;
}

// Looks, and repairs if there is an attachment. Returns how many things are left wrong, or a negative errno.
static int64_t run(struct output *output, struct shm_segment *segment, struct forebay *layer,
        struct shm_check_summary *summary, int64_t *found)
{
	struct shm_check check = {.segment = layer ? &layer->segment : segment,
	        .table = layer ? &layer->table : NULL,
	        .report = report,
	        .context = output};
	int64_t left = shm_check_run(&check);

	*summary = check.summary;
	*found = left < 0 ? 0 : left + check.summary.repaired;
	if (left < 0 || check.summary.repaired == 0)
		return left;
	// What one repair has brought to light is counted by another look.
	check = (struct shm_check){.segment = segment};
	left = shm_check_run(&check);
	for (int kind = 0; left >= 0 && kind < SHM_FINDINGS; kind++)
		check.summary.findings[kind] = summary->findings[kind];
	check.summary.repaired = summary->repaired;
	*summary = check.summary;
	return left;
}

static int check(struct output *output, struct shm_segment *segment, struct forebay *layer,
        const char *name, const char *path, const char *error)
{
	struct shm_check_summary summary;
	int64_t found, left, extra;

	if (output->json) {
		putchar('{');
		print_member("layer", name);
		print_member("directory", path);
		printf("\"size\": %zu, \"findings\": [", segment->size);
	} else {
		printf("Layer %s in %s: %.1f MiB\n", name, path, (double)segment->size / (1 << 20));
	}
	extra = check_access(output, error) + check_patterns(output, segment);
	left = run(output, segment, layer, &summary, &found);
	if (left < 0)
		return complain(forebay_strerror((int)left));
	if (output->json) {
		fputs("], ", stdout);
		print_summary_json(&summary);
		printf(", \"found\": %" PRId64 ", \"left\": %" PRId64 "}\n", found + extra,
		        left + extra);
	} else {
		print_summary(&summary);
		print_verdict(found + extra, left + extra, output->repair);
	}
	return left + extra > 0 ? UNSOUND : SOUND;
}

int channel_cli_check(const struct channel_cli_arguments *arguments)
{
	const struct forebay_options options = {.must_exist = true, .role = "check"};
	struct output output = {
	        .json = arguments->json, .repair = arguments->repair, .separator = ""};
	char path[CHANNEL_PATH_SIZE], error[sizeof path + 512];
	const char *name = arguments->layer;
	struct forebay *layer = NULL;
	struct shm_segment segment;
	int status;

	if (channel_layer_path(&name, path) < 0)
		return complain(forebay_error());
	if (shm_segment_inspect(&segment, path, error, sizeof error) < 0)
		return complain(error);
	if (output.repair && forebay_open(name, &options, &layer) < 0) {
		fprintf(stderr, "forebay check: can't repair, only look: %s\n", forebay_error());
		snprintf(error, sizeof error, "%s", forebay_error());
		output.repair = false;
	}
	// Between the two it may have been replaced.
	if (layer && layer->segment.identity != segment.identity)
		status = complain("the layer has just been replaced; check again");
	else
		status = check(&output, &segment, layer, name, path, error);
	forebay_close(layer);
	shm_segment_fini(&segment);
	return status;
}
