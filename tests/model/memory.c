// SPDX-License-Identifier: MIT
#include "tests/model/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/model/engine.h"

enum {
	WORDS_MAX = 640,   // a multiple of 8
	HISTORY_MAX = 120, // writes to one word in one execution
	WRITES_MAX = 4000, // and to all
	STEPS_MAX = 20000, // operations of one process in one execution
};

// For each word, the number in its history of the oldest write that may be read.
struct view {
	uint8_t at[WORDS_MAX];
};

struct write {
	uint64_t value;
	bool carries; // a view
	struct view view;
};

struct word {
	// Kept over the executions of a scenario.
	void *object;
	uint8_t accessed, written; // by which processes
	int readers;               // of a data cell: its first reader's word, or 0
	// Of this execution.
	uint32_t execution;
	uint32_t count;
	uint16_t history[HISTORY_MAX];
	uint8_t stale[MODEL_PROCESSES]; // old writes read
};

static struct word words[WORDS_MAX];
static int word_count = 1; // 0 is nobody
static uint16_t word_at[MODEL_SHARED / 4];

static struct write writes[WRITES_MAX];
static uint32_t write_count;
static uint32_t execution;
static uint64_t writes_hash; // of all histories

static struct view views[MODEL_PROCESSES];
static struct view sc_view; // what seq_cst operations have written and read

// ---------------------------------------------------------------------------------------------
// Words and views
// ---------------------------------------------------------------------------------------------

static size_t view_size(void)
{
	return ((size_t)word_count + 7) / 8 * 8;
}

static void view_join(struct view *view, const struct view *other)
{
	for (size_t i = 0, size = view_size(); i < size; i++)
		view->at[i] = other->at[i] > view->at[i] ? other->at[i] : view->at[i];
}

// Trailing zeros don't count, since words are numbered as they are met.
static uint64_t view_hash(const struct view *view)
{
	uint64_t hash = 0;

	for (size_t i = 0, size = view_size(); i < size; i += 8) {
		uint64_t eight;

		memcpy(&eight, view->at + i, 8);
		if (eight)
			hash += engine_mix(eight, i + 1);
	}
	return hash;
}

static int new_word(void *object)
{
	if (word_count == WORDS_MAX) {
		fprintf(stderr, "model: more than %d words\n", WORDS_MAX);
		exit(EXIT_FAILURE);
	}
	words[word_count] = (struct word){.object = object};
	return word_count++;
}

static void append(struct word *word, uint64_t value, const struct view *carried)
{
	struct write *write = &writes[write_count];
	uint64_t id = (uint64_t)(word - words) << 16 | word->count;

	if (word->count == HISTORY_MAX || write_count == WRITES_MAX) {
		model_fail("more writes than the model has room for");
		return;
	}
	write->value = value;
	write->carries = carried != NULL;
	if (carried)
		write->view = *carried;
	word->history[word->count++] = (uint16_t)write_count++;
	writes_hash += engine_mix(
	        engine_mix(id, value), carried ? view_hash(carried) : 0x517cc1b727220a95ull);
}

static uint64_t peek(const void *object, size_t size)
{
	return size == 8 ? *(const uint64_t *)object : *(const uint32_t *)object;
}

static void poke(void *object, size_t size, uint64_t value)
{
	if (size == 8)
		*(uint64_t *)object = value;
	else
		*(uint32_t *)object = (uint32_t)value;
}

static struct word *word_of(const void *object, size_t size)
{
	size_t offset = (size_t)((const char *)object - model_arena.shared);
	struct word *word;

	if (offset >= MODEL_SHARED) {
		fprintf(stderr, "model: an atomic operation outside of the segment\n");
		exit(EXIT_FAILURE);
	}
	if (!word_at[offset / 4])
		word_at[offset / 4] = (uint16_t)new_word((void *)object);
	word = &words[word_at[offset / 4]];
	if (word->execution != execution) {
		word->execution = execution;
		word->count = 0;
		memset(word->stale, 0, sizeof word->stale);
		// The first write is everybody's past. It isn't hashed: it is always the same.
		writes[write_count] = (struct write){.value = peek(object, size)};
		word->history[word->count++] = (uint16_t)write_count++;
	}
	return word;
}

void engine_memory_forget(void)
{
	word_count = 1;
	memset(word_at, 0, sizeof word_at);
}

void engine_memory_restart(void)
{
	execution++;
	write_count = 0;
	writes_hash = 0;
	memset(views, 0, sizeof views);
	memset(&sc_view, 0, sizeof sc_view);
}

uint64_t engine_memory_hash(void)
{
	return writes_hash + view_hash(&sc_view);
}

uint64_t engine_view_hash(int process)
{
	return view_hash(&views[process]);
}

uint64_t engine_newest(void *object, size_t size)
{
	return peek(object, size);
}

uint32_t engine_words(void)
{
	return (uint32_t)word_count;
}

// ---------------------------------------------------------------------------------------------
// Scheduling points
// ---------------------------------------------------------------------------------------------

// Another process may run before an operation on OBJECT, unless it can make no difference: nobody else
// has ever written this word, nor (if we write) read it. "Ever" is in any execution of the scenario so
// far: when that turns out to be wrong, the exploration starts again, knowing more.
void engine_point(const void *object, size_t size, bool writes_it)
{
	struct word *word;
	uint8_t me = (uint8_t)(1u << engine.self), others;

	if (engine.direct)
		return;
	if (++engine.steps[engine.self] > STEPS_MAX)
		model_fail("process %d doesn't come to an end", engine.self);
	word = word_of(object, size);
	others = (uint8_t)~me;
	if (!(word->accessed & me) || (writes_it && !(word->written & me))) {
		bool conflicts = (writes_it ? word->accessed : word->written) & others;

		word->accessed |= me;
		word->written |= writes_it ? me : 0;
		if (conflicts)
			engine.conflict_found = true;
	}
	if (!engine.dying && ((writes_it ? word->accessed : word->written) & others))
		engine_yield();
}

// ---------------------------------------------------------------------------------------------
// Operations
// ---------------------------------------------------------------------------------------------

static void trace(const struct model_site *site, const struct word *word, const char *what,
        uint64_t value, uint32_t age)
{
	if (engine.trace)
		printf("#   %d  %-22s %s(%s)%s %s %#" PRIx64 "%s\n", engine.self, site->function,
		        site->operation, site->object,
		        site->order & MODEL_SEQ_CST                      ? " seq_cst"
		        : site->order == (MODEL_ACQUIRE | MODEL_RELEASE) ? " acq_rel"
		        : site->order & MODEL_ACQUIRE                    ? " acquire"
		        : site->order & MODEL_RELEASE                    ? " release"
		                                                         : " relaxed",
		        what, value, age ? " (old)" : "");
	(void)word;
}

// The oldest write that process SELF may read; bounded by the options.
static uint32_t oldest(struct word *word, unsigned order)
{
	int id = (int)(word - words);
	uint32_t low = views[engine.self].at[id];

	if ((order & MODEL_SEQ_CST) && sc_view.at[id] > low)
		low = sc_view.at[id];
	if (order & MODEL_NEWEST)
		low = word->count - 1;
	if (low + 1 < word->count && word->stale[engine.self] >= engine.stale) {
		engine.truncated = true;
		low = word->count - 1;
	}
	if (engine.newest && word->count - low > engine.newest) {
		engine.truncated = true;
		low = word->count - engine.newest;
	}
	return low;
}

// Reads write NUMBER of the word.
static const struct write *take(struct word *word, uint32_t number, unsigned order)
{
	const struct write *write = &writes[word->history[number]];
	int id = (int)(word - words);

	views[engine.self].at[id] = (uint8_t)number;
	if ((order & MODEL_ACQUIRE) && write->carries)
		view_join(&views[engine.self], &write->view);
	if ((order & MODEL_SEQ_CST) && sc_view.at[id] < number)
		sc_view.at[id] = (uint8_t)number;
	if (number + 1 < word->count)
		word->stale[engine.self]++;
	engine_learn(write->value);
	return write;
}

// Writes VALUE; what the write before it carried is passed on if it is part of the same operation.
static void put(struct word *word, size_t size, uint64_t value, unsigned order,
        const struct write *replaced)
{
	int id = (int)(word - words);
	struct view carried;
	bool carries = false;

	views[engine.self].at[id] = (uint8_t)word->count;
	if (order & MODEL_RELEASE) {
		carried = views[engine.self];
		carries = true;
	}
	if (replaced && replaced->carries) {
		if (carries)
			view_join(&carried, &replaced->view);
		else
			carried = replaced->view;
		carries = true;
	}
	if (order & MODEL_SEQ_CST)
		sc_view.at[id] = (uint8_t)word->count;
	append(word, value, carries ? &carried : NULL);
	poke(word->object, size, value);
}

uint64_t model_load(struct model_site *site, const void *object, size_t size)
{
	struct word *word;
	const struct write *write;
	uint32_t low, age;

	if (engine.direct)
		return peek(object, size);
	site->uses++;
	engine_point(object, size, false);
	word = word_of(object, size);
	low = oldest(word, site->order);
	age = engine_choose(word->count - low);
	write = take(word, word->count - 1 - age, site->order);
	trace(site, word, "is", write->value, age);
	return write->value;
}

void model_store(struct model_site *site, void *object, size_t size, uint64_t value)
{
	struct word *word;

	if (size == 4)
		value = (uint32_t)value;
	if (engine.direct) {
		poke(object, size, value);
		return;
	}
	site->uses++;
	engine_point(object, size, true);
	word = word_of(object, size);
	engine_learn(0);
	put(word, size, value, site->order, NULL);
	trace(site, word, "=", value, 0);
}

static uint64_t updated(uint64_t value, enum model_update how, uint64_t operand)
{
	switch (how) {
	case MODEL_EXCHANGE:
		return operand;
	case MODEL_OR:
		return value | operand;
	case MODEL_AND:
		return value & operand;
	default:
		return value + operand;
	}
}

uint64_t model_update(
        struct model_site *site, void *object, size_t size, enum model_update how, uint64_t operand)
{
	const struct write *write;
	struct word *word;
	uint64_t value;

	if (engine.direct) {
		value = peek(object, size);
		poke(object, size, updated(value, how, operand));
		return value;
	}
	site->uses++;
	engine_point(object, size, true);
	word = word_of(object, size);
	write = take(word, word->count - 1, site->order);
	value = write->value;
	trace(site, word, "was", value, 0);
	operand = updated(value, how, operand);
	put(word, size, size == 4 ? (uint32_t)operand : operand, site->order, write);
	return value;
}

bool model_cas(
        struct model_site *site, void *object, size_t size, uint64_t *expected, uint64_t value)
{
	uint32_t choices[HISTORY_MAX], count = 0, low, chosen;
	const struct write *write;
	struct word *word;

	if (engine.direct) {
		uint64_t found = peek(object, size);
		bool same = found == *expected;

		if (same)
			poke(object, size, value);
		*expected = found;
		return same;
	}
	site->uses++;
	engine_point(object, size, true);
	word = word_of(object, size);
	choices[count++] = word->count - 1;
	low = oldest(word, site->order & MODEL_NEWEST);
	for (uint32_t number = word->count - 1; number-- > low;)
		if (writes[word->history[number]].value != *expected)
			choices[count++] = number;
	chosen = choices[engine_choose(count)];
	write = &writes[word->history[chosen]];
	if (write->value != *expected) {
		// All that is compared and swapped here has acquire as its order of failure.
		take(word, chosen, site->order ? MODEL_ACQUIRE : MODEL_RELAXED);
		trace(site, word, "fails, is", write->value, chosen + 1 < word->count);
		*expected = write->value;
		return false;
	}
	take(word, chosen, site->order);
	put(word, size, size == 4 ? (uint32_t)value : value, site->order, write);
	trace(site, word, "=", value, 0);
	return true;
}

// ---------------------------------------------------------------------------------------------
// Data
// ---------------------------------------------------------------------------------------------

static struct word *cell_of(void *cell)
{
	struct word *word = word_of(cell, 8);

	if (!word->readers) {
		word->readers = new_word(cell);
		for (int i = 1; i < MODEL_PROCESSES; i++)
			new_word(cell);
	}
	return word;
}

static struct word *reader_of(struct word *cell, int process)
{
	struct word *word = &words[cell->readers + process];

	if (word->execution != execution) {
		word->execution = execution;
		word->count = 0;
		append(word, 0, NULL);
	}
	return word;
}

static bool is_last_seen(struct word *word)
{
	return views[engine.self].at[word - words] + 1u == word->count;
}

void model_write(void *cell, uint64_t value)
{
	struct word *word;

	if (engine.direct) {
		poke(cell, 8, value);
		return;
	}
	word = cell_of(cell);
	if (!is_last_seen(word))
		model_fail("process %d overwrites data whose writing it hasn't seen", engine.self);
	for (int i = 0; i < MODEL_PROCESSES; i++)
		if (!is_last_seen(reader_of(word, i)))
			model_fail("process %d overwrites data while process %d may read it",
			        engine.self, i);
	if (engine.trace)
		printf("#   %d  data = %#" PRIx64 "\n", engine.self, value);
	put(word, 8, value, MODEL_RELAXED, NULL);
}

uint64_t model_read(void *cell)
{
	struct word *word, *mine;
	uint64_t value = peek(cell, 8);

	if (engine.direct)
		return value;
	word = cell_of(cell);
	if (!is_last_seen(word))
		model_fail("process %d reads data that it need not have seen written", engine.self);
	mine = reader_of(word, engine.self);
	views[engine.self].at[mine - words] = (uint8_t)mine->count;
	append(mine, 0, NULL);
	engine_learn(value);
	if (engine.trace)
		printf("#   %d  data is %#" PRIx64 "\n", engine.self, value);
	return value;
}
