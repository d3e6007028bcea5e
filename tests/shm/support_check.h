// SPDX-License-Identifier: MIT
// support_check.h - what the tests of the checker share: a look at the test's segment, and a repair of it.
#pragma once

#include "shm/check.h"
#include "tests/shm/support.h"

struct report {
	uint32_t found[SHM_FINDINGS], repaired, total;
	bool quiet;
};

static void count(const struct shm_finding *finding, void *context)
{
	struct report *report = context;

	report->found[finding->kind]++;
	report->repaired += finding->repaired;
	report->total++;
	if (!report->quiet)
		printf("# %s: %s: %s%s\n", finding->name, finding->where, finding->meaning,
		        finding->repaired ? " (repaired)" : "");
}

// Looks at the segment on a mapping that can't be written.
static struct report look(void)
{
	struct shm_segment segment;
	struct report report = {.quiet = true};
	struct shm_check check = {.segment = &segment, .report = count, .context = &report};
	char error[512];

	if (shm_segment_inspect(&segment, support_directory(), error, sizeof error) < 0 ||
	        shm_check_run(&check) != report.total) {
		printf("# %s\n", error);
		test_bad = true;
	}
	shm_segment_fini(&segment);
	return report;
}

static struct report repair(void)
{
	struct attachment b;
	struct report report = {.quiet = true};
	struct shm_check check = {
	        .segment = &b.segment, .table = &b.table, .report = count, .context = &report};

	attach(&b);
	if (shm_check_run(&check) != report.total - report.repaired)
		test_bad = true;
	detach(&b);
	return report;
}
