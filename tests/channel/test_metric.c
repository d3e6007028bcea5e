// SPDX-License-Identifier: MIT
// Metrics as forebay.h promises them: what they may be called, and what their sums are.

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <sys/wait.h>

#include "channel/layer.h"
#include "channel/metric_name.h"
#include "shm/metric.h"
#include "tests/channel/support.h"

struct wanted {
	const char *name;
	double value;
	uint32_t found, all;
	enum forebay_metric_kind kind;
	char help[FOREBAY_METRIC_HELP_MAX + 1];
};

static int look(const struct forebay_metric_stat *stat, void *context)
{
	struct wanted *wanted = context;

	wanted->all++;
	if (strcmp(stat->name, wanted->name) != 0)
		return 0;
	wanted->found++;
	wanted->value = stat->value;
	wanted->kind = stat->kind;
	snprintf(wanted->help, sizeof wanted->help, "%s", stat->help);
	return 0;
}

// The sum of the series NAME; -1 unless it is there once.
static double sum(struct forebay *layer, const char *name)
{
	struct wanted wanted = {.name = name};

	if (forebay_stat_metrics(layer, look, &wanted) != 0 || wanted.found != 1)
		return -1;
	return wanted.value;
}

static double of_process(struct forebay *layer, uint32_t slot, const char *name)
{
	struct wanted wanted = {.name = name};

	if (forebay_stat_process_metrics(layer, slot, look, &wanted) != 0 || wanted.found != 1)
		return -1;
	return wanted.value;
}

static int open_metric(struct forebay *layer, const char *name, enum forebay_metric_kind kind)
{
	struct forebay_metric metric;

	return forebay_metric_open(layer, name, kind, NULL, &metric);
}

// ---------------------------------------------------------------------------------------------
// Names
// ---------------------------------------------------------------------------------------------

TEST(names_are_those_of_prometheus)
{
	static const char *const good[] = {"a", "_", ":", "A9:b_c", "x{a=\"\"}",
	        "x{a=\"b\",c=\"d\"}", "x{_a9=\"\xc3\xa4 \\\\ \\\" \\n {},=\"}", "x{_=\"\"}"};
	static const char *const bad[] = {"", "9a", "a b", "a-b", "a.b", "\xc3\xa4", "a{", "a{}",
	        "a{b}", "a{b=}", "a{b=c}", "a{b=\"c}", "a{b=\"c\"", "a{b=\"c\"}d", "a{b=\"c\",}",
	        "a{,b=\"c\"}", "a{b=\"c\"d=\"e\"}", "a{b:c=\"d\"}", "a{9b=\"c\"}", "a{__b=\"c\"}",
	        "a{b=\"c\",b=\"d\"}", "a{b=\"c\n\"}", "a{b=\"\\t\"}", "a{b=\"\\\"}",
	        "a{b=\"\xff\"}", "a{b = \"c\"}", "{b=\"c\"}", "a{b=\"c\\", "a\n"};
	char out[FOREBAY_METRIC_NAME_MAX + 1];

	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		EXPECT(channel_metric_canonical(good[i], FOREBAY_METRIC_COUNTER, out));
		EXPECT_STRING(out, good[i]);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (channel_metric_canonical(bad[i], FOREBAY_METRIC_COUNTER, out))
			EXPECT_STRING("accepted", bad[i]);
}

TEST(labels_are_in_one_order)
{
	char out[FOREBAY_METRIC_NAME_MAX + 1];

	EXPECT(channel_metric_canonical(
	        "x{b=\"1\",ab=\"2\",a=\"3,a=\\\"\"}", FOREBAY_METRIC_GAUGE, out));
	EXPECT_STRING(out, "x{a=\"3,a=\\\"\",ab=\"2\",b=\"1\"}");
	EXPECT(channel_metric_is_canonical(out, FOREBAY_METRIC_GAUGE));
	EXPECT(!channel_metric_is_canonical("x{b=\"1\",a=\"2\"}", FOREBAY_METRIC_GAUGE));
}

TEST(a_name_has_127_octets_and_16_labels_at_most)
{
	char name[512], out[FOREBAY_METRIC_NAME_MAX + 1], *at = name;

	memset(name, 'a', FOREBAY_METRIC_NAME_MAX + 1);
	name[FOREBAY_METRIC_NAME_MAX + 1] = '\0';
	EXPECT(!channel_metric_canonical(name, FOREBAY_METRIC_COUNTER, out));
	name[FOREBAY_METRIC_NAME_MAX] = '\0';
	EXPECT(channel_metric_canonical(name, FOREBAY_METRIC_COUNTER, out));
	at += sprintf(at, "x{");
	for (int i = 0; i < CHANNEL_METRIC_LABELS; i++)
		at += sprintf(at, "%s%c=\"\"", i ? "," : "", 'a' + i);
	strcpy(at, "}");
	EXPECT(channel_metric_canonical(name, FOREBAY_METRIC_COUNTER, out));
	strcpy(at, ",z=\"\"}");
	EXPECT(!channel_metric_canonical(name, FOREBAY_METRIC_COUNTER, out));
}

TEST(a_histogram_has_three_kinds_of_parts)
{
	char out[FOREBAY_METRIC_NAME_MAX + 1];

	EXPECT(channel_metric_canonical("x_bucket{le=\"1\"}", FOREBAY_METRIC_HISTOGRAM, out));
	EXPECT(channel_metric_canonical(
	        "x_bucket{a=\"b\",le=\"+Inf\"}", FOREBAY_METRIC_HISTOGRAM, out));
	EXPECT(channel_metric_canonical("x_sum", FOREBAY_METRIC_HISTOGRAM, out));
	EXPECT(channel_metric_canonical("x_count{a=\"b\"}", FOREBAY_METRIC_HISTOGRAM, out));
	EXPECT(!channel_metric_canonical("x", FOREBAY_METRIC_HISTOGRAM, out));
	EXPECT(!channel_metric_canonical("_sum", FOREBAY_METRIC_HISTOGRAM, out));
	EXPECT(!channel_metric_canonical("x_bucket", FOREBAY_METRIC_HISTOGRAM, out));
	EXPECT(!channel_metric_canonical("x_sum{le=\"1\"}", FOREBAY_METRIC_HISTOGRAM, out));
	EXPECT(!channel_metric_canonical("x", (enum forebay_metric_kind)3, out));
	EXPECT_INT(channel_metric_family("x_y_bucket{le=\"1\"}", FOREBAY_METRIC_HISTOGRAM), 3);
	EXPECT_INT(channel_metric_family("x_y_sum{le=\"1\"}", FOREBAY_METRIC_COUNTER), 7);
}

TEST(a_family_has_one_kind)
{
	struct forebay *layer = attach(NULL);

	EXPECT_INT(open_metric(layer, "x{a=\"1\"}", FOREBAY_METRIC_COUNTER), 0);
	EXPECT_INT(open_metric(layer, "x{a=\"2\"}", FOREBAY_METRIC_COUNTER), 0);
	EXPECT_INT(open_metric(layer, "x{a=\"1\"}", FOREBAY_METRIC_GAUGE), FOREBAY_BAD_NAME);
	EXPECT_INT(open_metric(layer, "x{a=\"3\"}", FOREBAY_METRIC_GAUGE), FOREBAY_BAD_NAME);
	EXPECT_INT(open_metric(layer, "x", FOREBAY_METRIC_GAUGE), FOREBAY_BAD_NAME);
	EXPECT_INT(open_metric(layer, "x_sum", FOREBAY_METRIC_HISTOGRAM), FOREBAY_BAD_NAME);
	EXPECT_INT(open_metric(layer, "y_sum", FOREBAY_METRIC_HISTOGRAM), 0);
	EXPECT_INT(open_metric(layer, "y_count", FOREBAY_METRIC_HISTOGRAM), 0);
	EXPECT_INT(open_metric(layer, "y", FOREBAY_METRIC_GAUGE), FOREBAY_BAD_NAME);
	EXPECT_INT(open_metric(layer, "y_sum", FOREBAY_METRIC_COUNTER), FOREBAY_BAD_NAME);
	EXPECT_INT(open_metric(layer, "y_total", FOREBAY_METRIC_COUNTER), 0);
	EXPECT_INT(open_metric(layer, "xy", FOREBAY_METRIC_GAUGE), 0);
	discard(layer);
}

TEST(help_is_a_line_of_text)
{
	static char long_help[FOREBAY_METRIC_HELP_MAX + 2];
	struct forebay *layer = attach(NULL);
	struct forebay_metric metric;
	struct wanted wanted = {.name = "c"};

	memset(long_help, 'h', FOREBAY_METRIC_HELP_MAX + 1);
	EXPECT_INT(forebay_metric_open(layer, "a", FOREBAY_METRIC_COUNTER, "a\nb", &metric),
	        FOREBAY_BAD_NAME);
	EXPECT_INT(forebay_metric_open(layer, "a", FOREBAY_METRIC_COUNTER, "\xc3", &metric),
	        FOREBAY_BAD_NAME);
	EXPECT_INT(forebay_metric_open(layer, "a", FOREBAY_METRIC_COUNTER, long_help, &metric),
	        FOREBAY_BAD_NAME);
	EXPECT(!metric.layer);
	long_help[FOREBAY_METRIC_HELP_MAX] = '\0';
	EXPECT_INT(forebay_metric_open(layer, "b", FOREBAY_METRIC_COUNTER, long_help, &metric), 0);
	EXPECT_INT(forebay_metric_open(layer, "c", FOREBAY_METRIC_GAUGE, "the first", &metric), 0);
	EXPECT_INT(forebay_metric_open(layer, "c", FOREBAY_METRIC_GAUGE, "another", &metric), 0);
	EXPECT_INT(forebay_stat_metrics(layer, look, &wanted), 0);
	EXPECT_INT(wanted.all, 2);
	EXPECT_STRING(wanted.help, "the first");
	EXPECT_INT(wanted.kind, FOREBAY_METRIC_GAUGE);
	discard(layer);
}

// ---------------------------------------------------------------------------------------------
// Values
// ---------------------------------------------------------------------------------------------

TEST(counters_grow_and_gauges_are_set)
{
	struct forebay *layer = attach(NULL);
	struct forebay_metric counter, gauge, again;

	EXPECT_INT(forebay_metric_open(layer, "c", FOREBAY_METRIC_COUNTER, NULL, &counter), 0);
	EXPECT_INT(forebay_metric_open(layer, "g", FOREBAY_METRIC_GAUGE, NULL, &gauge), 0);
	EXPECT_INT(forebay_metric_open(layer, "c", FOREBAY_METRIC_COUNTER, NULL, &again), 0);
	forebay_metric_add(&counter, 1);
	forebay_metric_add(&again, 0.25);
	forebay_metric_add(&counter, -1);
	forebay_metric_add(&counter, NAN);
	forebay_metric_set(&counter, 9);
	EXPECT(sum(layer, "c") == 1.25);
	forebay_metric_set(&gauge, 5);
	forebay_metric_add(&gauge, -2);
	EXPECT(sum(layer, "g") == 3);
	EXPECT(of_process(layer, layer->self.slot, "g") == 3);
	EXPECT(of_process(layer, layer->self.slot + 1, "g") == 0);
	EXPECT_INT(forebay_stat_process_metrics(layer, 256, look, NULL), -EINVAL);
	discard(layer);
}

TEST(sums_are_over_all_processes_and_keep_what_the_dead_have_counted)
{
	struct forebay *layer = attach(NULL);
	struct forebay_metric counter, gauge;
	int status;
	pid_t pid;

	EXPECT_INT(forebay_metric_open(layer, "c", FOREBAY_METRIC_COUNTER, NULL, &counter), 0);
	EXPECT_INT(forebay_metric_open(layer, "g", FOREBAY_METRIC_GAUGE, NULL, &gauge), 0);
	forebay_metric_add(&counter, 1);
	forebay_metric_add(&gauge, 1);
	for (int i = 0; i < 3; i++) {
		pid = fork();
		if (pid == 0) {
			struct forebay *own = attach(NULL);
			struct forebay_metric metric;

			if (forebay_metric_open(own, "c", FOREBAY_METRIC_COUNTER, NULL, &metric) !=
			        0)
				_exit(1);
			forebay_metric_add(&metric, 10);
			// The parent's: of no effect here.
			forebay_metric_add(&counter, 1000);
			forebay_metric_add(&gauge, 1000);
			if (forebay_metric_open(own, "g", FOREBAY_METRIC_GAUGE, NULL, &metric) != 0)
				_exit(1);
			forebay_metric_set(&metric, 100);
			if (sum(own, "g") != 101 || of_process(own, own->self.slot, "g") != 100)
				_exit(1);
			if (i == 0)
				forebay_close(own);
			kill(getpid(), SIGKILL);
		}
		EXPECT_INT(waitpid(pid, &status, 0), pid);
		EXPECT(WIFSIGNALED(status));
		EXPECT(sum(layer, "g") == 1);
		EXPECT(sum(layer, "c") == 1 + 10 * (i + 1));
	}
	EXPECT_INT(forebay_reap(layer), 1);
	EXPECT(sum(layer, "c") == 31);
	EXPECT(sum(layer, "g") == 1);
	discard(layer);
}

TEST(a_metric_that_could_not_be_opened_takes_what_is_counted)
{
	struct forebay *layer = attach(NULL);
	struct forebay_metric metric = {0};
	struct forebay_layer_stat stat;
	uint64_t refused = counter(layer, FOREBAY_COUNT_NO_CHANNEL);
	char name[32];
	int result = 0;

	forebay_metric_add(&metric, 1);
	for (int i = 0; result == 0; i++) {
		snprintf(name, sizeof name, "m%d", i);
		result = forebay_metric_open(layer, name, FOREBAY_METRIC_GAUGE, NULL, &metric);
	}
	EXPECT_INT(result, FOREBAY_NO_CHANNEL);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_NO_CHANNEL), refused + 1);
	forebay_metric_add(&metric, 1);
	forebay_metric_set(&metric, 1);
	EXPECT_INT(forebay_stat(layer, &stat), 0);
	EXPECT_INT(stat.metrics, stat.metrics_max);
	EXPECT(stat.metrics_max >= 64);
	EXPECT(sum(layer, "m0") == 0);
	discard(layer);
}

static int refuse(const struct forebay_metric_stat *stat, void *context)
{
	(void)stat;
	++*(int *)context;
	return 7;
}

TEST(a_callback_ends_the_walk)
{
	struct forebay *layer = attach(NULL);
	int calls = 0;

	EXPECT_INT(open_metric(layer, "a", FOREBAY_METRIC_COUNTER), 0);
	EXPECT_INT(open_metric(layer, "b", FOREBAY_METRIC_COUNTER), 0);
	EXPECT_INT(forebay_stat_metrics(layer, refuse, &calls), 7);
	EXPECT_INT(forebay_stat_process_metrics(layer, layer->self.slot, refuse, &calls), 7);
	EXPECT_INT(calls, 2);
	discard(layer);
}

TEST(what_somebody_scribbled_is_not_shown)
{
	struct forebay *layer = attach(NULL);
	struct shm_metric_mem *cells = layer->segment.metric_cells;
	struct wanted wanted = {.name = "c"};

	EXPECT_INT(open_metric(layer, "a", FOREBAY_METRIC_COUNTER), 0);
	EXPECT_INT(open_metric(layer, "b", FOREBAY_METRIC_COUNTER), 0);
	EXPECT_INT(open_metric(layer, "c", FOREBAY_METRIC_COUNTER), 0);
	strcpy((char *)cells[0].name, "a 1\nb");
	strcpy((char *)cells[1].name, "b{y=\"\",x=\"\"}");
	strcpy((char *)cells[2].help, "\n\n");
	EXPECT_INT(forebay_stat_metrics(layer, look, &wanted), 0);
	EXPECT_INT(wanted.all, 1);
	EXPECT_INT(wanted.found, 1);
	EXPECT_STRING(wanted.help, "");
	discard(layer);
}
