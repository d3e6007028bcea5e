// SPDX-License-Identifier: MIT
// What is said of a reply channel's end is said exactly once, whoever dies whenever.

#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/channel/support.h"

#define CONNECT    "websocket.connect"
#define DISCONNECT "websocket.disconnect"

static const struct forebay_options roomy = {.size = 16 << 20,
        .channels = 16,
        .reply_channels = 1024,
        .capacities = "websocket.*=8000",
        .expiry = NEVER};
static const struct forebay_options narrow = {.size = 8 << 20,
        .channels = 16,
        .reply_channels = 1024,
        .capacities = DISCONNECT "=2",
        .expiry = NEVER};

static struct forebay_message *naming(struct forebay *layer, const char *name)
{
	struct forebay_message *message = forebay_message_new(layer);

	forebay_put_text(message, "reply_channel", name);
	return message;
}

// Opens a reply channel and announces it. Returns what announcing it did.
static int announce(struct forebay *layer, char name[FOREBAY_NAME_SIZE])
{
	struct forebay_message *message;
	int result;

	if (forebay_reply_open(layer, "websocket.send", 0, layer, name) != 0)
		abort();
	message = naming(layer, name);
	result = forebay_reply_announce(layer, name, CONNECT, message);
	forebay_message_free(message);
	return result;
}

static int farewell(struct forebay *layer, const char *name)
{
	struct forebay_message *message = naming(layer, name);
	int result = forebay_reply_farewell(layer, name, DISCONNECT, message);

	forebay_message_free(message);
	return result;
}

// The reply channel that the next message on CHANNEL names; "" if there is none.
static const char *next(struct forebay *layer, const char *channel)
{
	static char name[FOREBAY_NAME_SIZE];
	struct forebay_message *message;

	name[0] = '\0';
	if (forebay_listen(layer, channel) != 0)
		abort();
	if (forebay_receive(layer, 0, &message) == 0) {
		strcpy(name, forebay_message_reply_channel(message));
		forebay_message_free(message);
	}
	forebay_ignore(layer, channel);
	return name;
}

TEST(a_farewell_is_sent_once)
{
	struct forebay *layer = attach(&roomy);
	char name[FOREBAY_NAME_SIZE];

	EXPECT_INT(announce(layer, name), 0);
	EXPECT_STRING(next(layer, CONNECT), name);
	EXPECT_INT(farewell(layer, name), 0);
	EXPECT_INT(send_number(layer, name, 1), FOREBAY_GONE);
	EXPECT_INT(farewell(layer, name), FOREBAY_GONE);
	EXPECT_STRING(next(layer, DISCONNECT), name);
	EXPECT_INT(forebay_reap(layer), 0);
	EXPECT_STRING(next(layer, DISCONNECT), "");
	discard(layer);
}

TEST(what_finds_no_room_is_owed_until_it_does)
{
	struct forebay *layer = attach(&narrow);
	char names[4][FOREBAY_NAME_SIZE], other[FOREBAY_NAME_SIZE];

	for (int i = 0; i < 4; i++)
		EXPECT_INT(announce(layer, names[i]), 0);
	EXPECT_INT(farewell(layer, names[0]), 0);
	EXPECT_INT(farewell(layer, names[1]), 0);
	for (int i = 0; i < 10; i++)
		EXPECT_INT(farewell(layer, names[2]), FOREBAY_FULL);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_FULL), 1);
	EXPECT_INT(send_number(layer, names[2], 1), FOREBAY_GONE);
	// Its endpoint isn't opened anew meanwhile: the free ones are taken in turn, the last freed first.
	EXPECT_INT(forebay_reply_open(layer, "websocket.send", 0, layer, other), 0);
	EXPECT(strncmp(other, names[2], 23) != 0);
	EXPECT_STRING(next(layer, DISCONNECT), names[0]);
	EXPECT_INT(farewell(layer, names[2]), 0);
	EXPECT_STRING(next(layer, DISCONNECT), names[1]);
	EXPECT_STRING(next(layer, DISCONNECT), names[2]);
	EXPECT_STRING(next(layer, DISCONNECT), "");
	discard(layer);
}

TEST(an_announcement_that_is_refused_leaves_nothing_owed)
{
	static const struct forebay_options full = {.capacities = CONNECT "=1"};
	struct forebay *layer = attach(&full), *heir;
	char name[FOREBAY_NAME_SIZE];

	EXPECT_INT(announce(layer, name), 0);
	EXPECT_INT(announce(layer, name), FOREBAY_FULL);
	EXPECT_INT(forebay_reply_close(layer, name), 0);
	heir = attach(NULL);
	forebay_close(layer);
	EXPECT_INT(forebay_reap(heir), 0);
	EXPECT(strcmp(next(heir, DISCONNECT), "") != 0); // the first one's
	EXPECT_STRING(next(heir, DISCONNECT), "");
	discard(heir);
}

TEST(only_websockets_are_announced)
{
	struct forebay *layer = attach(&roomy);
	struct forebay_message *message;
	char name[FOREBAY_NAME_SIZE];

	EXPECT_INT(forebay_reply_open(layer, "http.response", 0, layer, name), 0);
	message = naming(layer, name);
	EXPECT_INT(forebay_reply_announce(layer, name, CONNECT, message), FOREBAY_BAD_NAME);
	forebay_message_free(message);
	EXPECT_INT(farewell(layer, name), FOREBAY_GONE);
	EXPECT_STRING(next(layer, DISCONNECT), "");
	discard(layer);
}

TEST(who_detaches_leaves_it_to_whoever_comes_next_even_if_there_is_no_room)
{
	struct forebay *layer = attach(&narrow), *heir = attach(NULL);
	char name[FOREBAY_NAME_SIZE];
	int told = 0;

	for (int i = 0; i < 100; i++)
		EXPECT_INT(announce(layer, name), 0);
	forebay_close(layer);
	EXPECT_INT(send_number(heir, name, 1), FOREBAY_GONE);
	for (int i = 0; i < 60; i++) {
		EXPECT(forebay_reap(heir) >= 0);
		while (*next(heir, DISCONNECT))
			told++;
	}
	EXPECT_INT(told, 100);
	discard(heir);
}

// --- Deaths at any instruction ---------------------------------------------------------------------

enum {
	OPERATIONS = 1000, // of a child, at most: more than it is killed after
};

// Kills this process so many microseconds from now, in the middle of whatever it does then.
static void die_within(unsigned microseconds)
{
	const struct itimerval timer = {.it_value.tv_usec = microseconds};

	if (setitimer(ITIMER_REAL, &timer, NULL) < 0)
		abort();
}

static void open_and_close(struct forebay *layer, unsigned i)
{
	static char names[4][FOREBAY_NAME_SIZE];

	if (i >= 4)
		(void)farewell(layer, names[i % 4]);
	(void)announce(layer, names[i % 4]);
}

static void reap(struct forebay *layer, unsigned i)
{
	(void)i;
	(void)forebay_reap(layer);
}

// Runs a child that does an operation after the other, and is killed somewhere behind so many of them, however long
// they take.
static void run_and_kill(void (*operate)(struct forebay *layer, unsigned i), unsigned operations,
        unsigned microseconds)
{
	int status;
	pid_t pid = fork();

	EXPECT(pid >= 0);
	if (pid == 0) {
		struct forebay *layer = attach(NULL);

		for (unsigned i = 0; i < OPERATIONS; i++) {
			if (i == operations)
				die_within(microseconds);
			operate(layer, i);
		}
		pause();
	}
	EXPECT_INT(waitpid(pid, &status, 0), pid);
	EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM);
}

static int compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

// All names on CHANNEL, sorted. Returns how many.
static size_t drain(
        struct forebay *layer, const char *channel, char names[][FOREBAY_NAME_SIZE], size_t max)
{
	size_t count = 0;
	const char *name;

	while (count < max && *(name = next(layer, channel)))
		strcpy(names[count++], name);
	qsort(names, count, sizeof *names, compare);
	return count;
}

TEST(killed_at_any_moment_both_are_there_once_or_neither)
{
	static char opened[OPERATIONS][FOREBAY_NAME_SIZE], closed[OPERATIONS][FOREBAY_NAME_SIZE];
	struct forebay *layer = attach(&roomy);
	size_t total = 0;

	for (unsigned round = 0; round < 80; round++) {
		size_t count;

		run_and_kill(open_and_close, round * 7919 % 400, 1 + round * 13 % 50);
		run_and_kill(reap, round * 7 % 20, 1 + round * 17 % 50); // the heir may die as well
		EXPECT(!test_failed());
		EXPECT(forebay_reap(layer) >= 0);
		count = drain(layer, CONNECT, opened, OPERATIONS);
		EXPECT_INT(drain(layer, DISCONNECT, closed, OPERATIONS), count);
		for (size_t i = 0; i < count; i++)
			EXPECT_STRING(closed[i], opened[i]);
		for (size_t i = 1; i < count; i++)
			EXPECT(strcmp(opened[i - 1], opened[i]) != 0);
		total += count;
	}
	printf("# %zu reply channels\n", total);
	EXPECT(total > 80 * 100);
	EXPECT_INT(used_blocks(layer), 0);
	discard(layer);
}
