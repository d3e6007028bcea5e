// SPDX-License-Identifier: MIT
// Metrics: a name is there once, whoever enters it; what a process counts outlives it, its gauges don't.

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "shm/metric.h"
#include "tests/shm/support.h"

enum {
	THREADS = 4,
};

static enum shm_metric_match match(const struct shm_metric *known, const struct shm_metric *wanted)
{
	if (strcmp(known->name, wanted->name) != 0)
		return SHM_METRIC_OTHER;
	return known->kind == wanted->kind ? SHM_METRIC_SAME : SHM_METRIC_CONTRADICTS;
}

// The index of the series NAME, entered if need be; or the result, negative.
static int enter(struct attachment *attachment, const char *name, enum shm_metric_kind kind)
{
	struct shm_metric metric = {.kind = kind, .help = "What it is"};
	enum shm_metric_result result;
	uint32_t index;

	snprintf(metric.name, sizeof metric.name, "%s", name);
	result = shm_metric_enter(
	        &attachment->segment, attachment->self.uid, &metric, match, &index);
	return result == SHM_METRIC_OK ? (int)index : -(int)result;
}

static void add(struct attachment *attachment, int index, double amount)
{
	shm_atomic64 *word =
	        shm_metric_word(&attachment->segment, attachment->self.slot, (uint32_t)index);

	shm_metric_store(word, shm_metric_load(word) + amount);
}

static double sum(const struct attachment *attachment, int index)
{
	double total = 0;

	for (uint32_t slot = 0; slot < SHM_PROCESSES; slot++)
		total += shm_metric_load(
		        shm_metric_word(&attachment->segment, slot, (uint32_t)index));
	return total;
}

static uint32_t cells_in_use(const struct attachment *attachment)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < attachment->segment.geometry.metrics; i++)
		count += load_relaxed(&attachment->segment.metric_cells[i].own) != SHM_METRIC_FREE;
	return count;
}

TEST(a_name_has_one_index_for_everybody)
{
	struct shm_metric metric;
	struct attachment a, b;

	attach(&a);
	attach(&b);
	EXPECT_INT(enter(&a, "x", SHM_METRIC_COUNTER), 0);
	EXPECT_INT(enter(&a, "y", SHM_METRIC_GAUGE), 1);
	EXPECT_INT(enter(&b, "y", SHM_METRIC_GAUGE), 1);
	EXPECT_INT(enter(&b, "x", SHM_METRIC_COUNTER), 0);
	EXPECT_INT(enter(&b, "x", SHM_METRIC_GAUGE), -SHM_METRIC_REFUSED);
	EXPECT(shm_metric_read(&b.segment, 1, &metric));
	EXPECT_STRING(metric.name, "y");
	EXPECT_STRING(metric.help, "What it is");
	EXPECT_INT(metric.kind, SHM_METRIC_GAUGE);
	EXPECT(!shm_metric_read(&b.segment, 2, &metric));
	EXPECT_INT(shm_metric_count(&b.segment), 2);
	EXPECT_INT(cells_in_use(&b), 2);
	detach(&a);
	detach(&b);
	discard();
}

TEST(a_full_table_refuses_new_names_and_knows_the_old)
{
	struct attachment a;
	char name[32];

	attach(&a);
	for (int i = 0; i < (int)a.segment.geometry.metrics; i++) {
		snprintf(name, sizeof name, "m%d", i);
		EXPECT_INT(enter(&a, name, SHM_METRIC_COUNTER), i);
	}
	EXPECT_INT(enter(&a, "one_more", SHM_METRIC_COUNTER), -SHM_METRIC_FULL);
	EXPECT_INT(enter(&a, name, SHM_METRIC_COUNTER), a.segment.geometry.metrics - 1);
	detach(&a);
	discard();
}

TEST(names_and_helps_as_long_as_there_is_room_for_come_back_whole)
{
	struct shm_metric metric = {0}, read;
	struct attachment a;
	uint32_t index;

	attach(&a);
	memset(metric.name, 'n', sizeof metric.name - 1);
	memset(metric.help, 'h', sizeof metric.help - 1);
	EXPECT_INT(shm_metric_enter(&a.segment, a.self.uid, &metric, match, &index), 0);
	EXPECT(shm_metric_read(&a.segment, index, &read));
	EXPECT_STRING(read.name, metric.name);
	EXPECT_STRING(read.help, metric.help);
	detach(&a);
	discard();
}

// ---------------------------------------------------------------------------------------------
// Deaths
// ---------------------------------------------------------------------------------------------

// In a child: counts, and is killed. Returns the slot that it had.
static uint32_t count_and_die(void)
{
	int report[2], status;
	uint32_t slot = UINT32_MAX;
	pid_t pid;

	if (pipe(report) < 0)
		return slot;
	pid = fork();
	if (pid == 0) {
		static struct attachment child;
		int counter, gauge;

		attach(&child);
		counter = enter(&child, "counter", SHM_METRIC_COUNTER);
		gauge = enter(&child, "gauge", SHM_METRIC_GAUGE);
		if (counter < 0 || gauge < 0)
			_exit(EXIT_FAILURE);
		add(&child, counter, 2.5);
		add(&child, gauge, 7);
		(void)!write(report[1], &child.self.slot, sizeof child.self.slot);
		kill(getpid(), SIGKILL);
	}
	(void)!read(report[0], &slot, sizeof slot);
	waitpid(pid, &status, 0);
	close(report[0]);
	close(report[1]);
	return slot;
}

TEST(counters_outlive_their_process_and_gauges_do_not)
{
	struct shm_reaped reaped = {0};
	struct attachment a, b;
	int counter, gauge;
	uint32_t slot;

	attach(&a);
	counter = enter(&a, "counter", SHM_METRIC_COUNTER);
	gauge = enter(&a, "gauge", SHM_METRIC_GAUGE);
	add(&a, counter, 1);
	add(&a, gauge, 1);
	slot = count_and_die();
	EXPECT_INT(slot, 1);
	attach(&b); // into the dead one's slot
	EXPECT_INT(b.self.slot, slot);
	EXPECT(sum(&a, counter) == 3.5);
	EXPECT(sum(&a, gauge) == 1);
	add(&b, counter, 1);
	add(&b, gauge, 1);
	EXPECT(sum(&a, counter) == 4.5);
	EXPECT(sum(&a, gauge) == 2);
	detach(&b);
	EXPECT_INT(count_and_die(), slot);
	shm_reaper_run(&a.table, &reaped);
	EXPECT(sum(&a, counter) == 7);
	detach(&a);
	discard();
}

TEST(who_dies_while_entering_leaves_no_cell_behind_but_one_that_is_entered)
{
	struct attachment a, b;

	attach(&a);
	attach(&b);
	EXPECT_INT(enter(&b, "entered", SHM_METRIC_COUNTER), 0);
	// One step before its end, and one before the name is in the directory.
	store_relaxed(&b.segment.metric_cells[0].own, SHM_OWN_HELD(b.self.uid));
	store_relaxed(&b.segment.metric_cells[1].own, SHM_OWN_HELD(b.self.uid));
	store_relaxed(&a.segment.metric_cells[2].own, SHM_OWN_HELD(a.self.uid));
	shm_metric_recover(&a.segment, b.self.slot);
	EXPECT_INT(load_relaxed(&a.segment.metric_cells[0].own), SHM_METRIC_LIVE);
	EXPECT_INT(load_relaxed(&a.segment.metric_cells[1].own), SHM_METRIC_FREE);
	EXPECT(load_relaxed(&a.segment.metric_cells[2].own) == SHM_OWN_HELD(a.self.uid));
	EXPECT_INT(enter(&a, "entered", SHM_METRIC_COUNTER), 0);
	detach(&b);
	detach(&a);
	discard();
}

// ---------------------------------------------------------------------------------------------
// Many at a time
// ---------------------------------------------------------------------------------------------

struct enterer {
	pthread_t thread;
	struct attachment own;
	int index[64], other;
};

// The same names as everybody, in an order of its own, one of its own, and a count in each.
static void *enter_all(void *argument)
{
	struct enterer *enterer = argument;
	static const int steps[THREADS] = {1, 3, 7, 9}; // without a divisor in common with 40
	int number = (int)enterer->own.self.slot;
	char name[32];

	for (int i = 0; i < 40; i++) {
		int which = i * steps[number % THREADS] % 40;

		snprintf(name, sizeof name, "m%d", which);
		enterer->index[which] = enter(&enterer->own, name, SHM_METRIC_COUNTER);
		if (enterer->index[which] >= 0)
			add(&enterer->own, enterer->index[which], 1);
	}
	snprintf(name, sizeof name, "own%d", number);
	enterer->other = enter(&enterer->own, name, SHM_METRIC_GAUGE);
	return NULL;
}

TEST(threads_that_enter_the_same_names_get_the_same_indices)
{
	for (int round = 0; round < 20; round++) {
		static struct enterer enterers[THREADS];
		struct attachment a;

		attach(&a);
		for (int i = 0; i < THREADS; i++) {
			attach_thread(&enterers[i].own, &a);
			EXPECT_INT(
			        pthread_create(&enterers[i].thread, NULL, enter_all, &enterers[i]),
			        0);
		}
		for (int i = 0; i < THREADS; i++)
			pthread_join(enterers[i].thread, NULL);
		for (int which = 0; which < 40; which++) {
			int index = enterers[0].index[which];

			EXPECT(index >= 0);
			for (int i = 1; i < THREADS; i++)
				EXPECT_INT(enterers[i].index[which], index);
			EXPECT(sum(&a, index) == THREADS);
		}
		EXPECT_INT(shm_metric_count(&a.segment), 40 + THREADS);
		EXPECT_INT(cells_in_use(&a), 40 + THREADS);
		for (int i = 0; i < THREADS; i++)
			leave(&enterers[i].own);
		detach(&a);
		discard();
	}
}

// ---------------------------------------------------------------------------------------------
// Scribbled memory
// ---------------------------------------------------------------------------------------------

TEST(words_that_make_no_sense_are_passed_over)
{
	struct shm_metric metric;
	struct attachment a;

	attach(&a);
	EXPECT_INT(enter(&a, "x", SHM_METRIC_COUNTER), 0);
	for (int i = 0; i < SHM_METRIC_NAME_SIZE / 8; i++)
		store_relaxed(&a.segment.metric_cells[0].name[i], UINT64_MAX);
	EXPECT(shm_metric_read(&a.segment, 0, &metric));
	EXPECT_INT(strlen(metric.name), SHM_METRIC_NAME_SIZE - 1);
	store_relaxed(&a.segment.metric_cells[0].kind, 1ull << 32);
	EXPECT(!shm_metric_read(&a.segment, 0, &metric));
	store_relaxed(&a.segment.metrics[0], a.segment.geometry.metrics + 1);
	EXPECT(!shm_metric_read(&a.segment, 0, &metric));
	store_relaxed(&a.segment.metrics[0], UINT64_MAX);
	EXPECT(!shm_metric_read(&a.segment, 0, &metric));
	EXPECT_INT(enter(&a, "x", SHM_METRIC_COUNTER), 1);
	shm_metric_clear(&a.segment, a.self.slot);
	detach(&a);
	discard();
}
