// SPDX-License-Identifier: MIT
// The model checker's command line; see --help. Prints TAP.
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/model/model.h"
#include "tests/model/sites.h"

static const char help[] =
        "Usage: model [OPTION]...\n"
        "\n"
        "Runs shm's code in every interleaving of small scenarios, on simulated memory as weak as "
        "C11\n"
        "allows, with processes killed at every point. Prints TAP; says what was looked at.\n"
        "\n"
        "  --only TEXT      scenarios whose name contains TEXT\n"
        "  --full           without the bounds that keep the quick run short\n"
        "  --solo           from every state, let each process run alone: it has to come to an "
        "end\n"
        "  --random N       N executions at random of each scenario, instead of all\n"
        "  --seed N         of the random numbers (default 1)\n"
        "  --weaken TEXT    with the first operation whose text in --survey contains TEXT weakened "
        "so;\n"
        "                   succeeds if that is noticed\n"
        "  --mutant         succeeds if any scenario is violated\n"
        "  --survey         weakens each operation in turn: which scenario notices it?\n"
        "  --stale N        a process reads at most N old writes of one word; 0 is no bound\n"
        "  --states N       give a scenario up after N states; 0 is never\n"
        "  --trace          print executions that are violations, operation by operation\n"
        "  --help           this text\n";

enum {
	SCENARIOS_MAX = 100,
	QUICK_STATES = 24000, // where the quick run gives up a scenario, and says so
};

static const struct model_scenario *scenarios[SCENARIOS_MAX];
static size_t scenario_count;

static struct {
	const char *only;
	const char *weaken;
	bool full, mutant, survey, trace;
	int64_t stale; // -1: as the scenario says
	struct model_options explore;
} options = {.only = "", .stale = -1, .explore = {.seed = 1, .states = QUICK_STATES}};

static int compare_names(const void *a, const void *b)
{
	return strcmp((*(const struct model_scenario *const *)a)->name,
	        (*(const struct model_scenario *const *)b)->name);
}

static void list_scenarios(void)
{
	for (const struct model_scenario *const *at = __start_model_scenarios;
	        at < __stop_model_scenarios && scenario_count < SCENARIOS_MAX; at++)
		if (strstr((*at)->name, options.only))
			scenarios[scenario_count++] = *at;
	qsort(scenarios, scenario_count, sizeof *scenarios, compare_names);
}

static struct model_result explore(const struct model_scenario *scenario, bool trace)
{
	struct model_options explore = options.explore;

	explore.stale = options.full ? 0 : scenario->stale;
	if (options.stale >= 0)
		explore.stale = (uint32_t)options.stale;
	if (options.full)
		explore.states = 0;
	return model_explore(scenario, &explore, trace);
}

static const char *extent(const struct model_result *result)
{
	if (result->violated)
		return "violated after";
	if (options.explore.random)
		return "at random";
	if (!result->exhausted)
		return "NOT EVERY execution, given up after";
	return result->truncated ? "every execution with few old reads" : "every execution";
}

static int run_all(void)
{
	int failed = 0;

	for (size_t i = 0; i < scenario_count; i++) {
		clock_t start = clock();
		struct model_result result = explore(scenarios[i], true);

		printf("%s %zu - %s: %s\n", result.violated ? "not ok" : "ok", i + 1,
		        scenarios[i]->name, scenarios[i]->intent);
		printf("#   %s: %llu states, %llu executions, %u words, at most %u operations of a "
		       "process, %.1f s\n",
		        extent(&result), (unsigned long long)result.states,
		        (unsigned long long)result.executions, result.words, result.longest,
		        (double)(clock() - start) / CLOCKS_PER_SEC);
		failed += result.violated;
	}
	printf("1..%zu\n", scenario_count);
	return failed || scenario_count == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

// The first scenario that is violated, or NULL.
static const struct model_scenario *first_violated(struct model_result *result)
{
	for (size_t i = 0; i < scenario_count; i++) {
		*result = explore(scenarios[i], options.trace);
		if (result->violated)
			return scenarios[i];
	}
	return NULL;
}

static int expect_violation(const char *what)
{
	struct model_result result;
	const struct model_scenario *by = first_violated(&result);

	if (by)
		printf("ok 1 - %s: noticed by %s: %s\n1..1\n", what, by->name, result.failure);
	else
		printf("not ok 1 - %s: noticed by none\n1..1\n", what);
	return by ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int weaken_one(void)
{
	struct model_site *sites[SITES_MAX];
	size_t count = sites_list(sites);
	char text[SITE_TEXT];

	for (size_t i = 0; i < count; i++) {
		unsigned order = sites[i]->order;

		while (sites_weaker(sites[i], &order)) {
			sites_text(sites, count, i, order, text);
			if (strstr(text, options.weaken)) {
				sites[i]->order = order;
				return expect_violation(text);
			}
		}
	}
	printf("Bail out! no operation is \"%s\"\n", options.weaken);
	return EXIT_FAILURE;
}

static int survey(void)
{
	struct model_site *sites[SITES_MAX];
	size_t count = sites_list(sites);
	char text[SITE_TEXT];

	for (size_t i = 0; i < scenario_count; i++)
		(void)explore(scenarios[i], false); // counts the uses
	for (size_t i = 0; i < count; i++) {
		unsigned order = sites[i]->order, original = order;

		if (sites[i]->uses == 0) {
			sites_text(sites, count, i, order, text);
			printf("not reached  %s\n", text);
			continue;
		}
		while (sites_weaker(sites[i], &order)) {
			const struct model_scenario *by;
			struct model_result result;

			sites_text(sites, count, i, order, text);
			sites[i]->order = order;
			by = first_violated(&result);
			sites[i]->order = original;
			printf("%-12s %s", by ? "needed" : "unnoticed", text);
			printf(by ? "  (%s: %s)\n" : "\n", by ? by->name : "", result.failure);
			fflush(stdout);
		}
	}
	return EXIT_SUCCESS;
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t value = strtoull(text, &end, 10);

	if (*text == '\0' || *end != '\0') {
		fprintf(stderr, "model: \"%s\" is not a number\n", text);
		exit(EXIT_FAILURE);
	}
	return value;
}

int main(int argc, char **argv)
{
	static const struct option names[] = {
	        {"only", required_argument, NULL, 'o'},
	        {"full", no_argument, NULL, 'f'},
	        {"solo", no_argument, NULL, 'a'},
	        {"random", required_argument, NULL, 'r'},
	        {"seed", required_argument, NULL, 's'},
	        {"stale", required_argument, NULL, 'k'},
	        {"states", required_argument, NULL, 'n'},
	        {"weaken", required_argument, NULL, 'w'},
	        {"mutant", no_argument, NULL, 'm'},
	        {"survey", no_argument, NULL, 'v'},
	        {"trace", no_argument, NULL, 't'},
	        {"help", no_argument, NULL, 'h'},
	        {0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (option) {
		case 'o':
			options.only = optarg;
			break;
		case 'f':
			options.full = true;
			break;
		case 'a':
			options.explore.solo = true;
			break;
		case 'r':
			options.explore.random = number(optarg);
			break;
		case 's':
			options.explore.seed = number(optarg);
			break;
		case 'k':
			options.stale = (int64_t)number(optarg);
			break;
		case 'n':
			options.explore.states = number(optarg);
			break;
		case 'w':
			options.weaken = optarg;
			break;
		case 'm':
			options.mutant = true;
			break;
		case 'v':
			options.survey = true;
			break;
		case 't':
			options.trace = true;
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_SUCCESS;
		default:
			return EXIT_FAILURE;
		}
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	list_scenarios();
	if (options.survey)
		return survey();
	if (options.weaken)
		return weaken_one();
	return options.mutant ? expect_violation("mutant") : run_all();
}
