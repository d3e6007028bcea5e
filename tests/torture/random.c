// SPDX-License-Identifier: MIT
// random - processes that send, receive, come and go, while a driver kills and stops them at random. One test in
// TAP; see --help.
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/torture/history.h"
#include "tests/torture/inventory.h"
#include "tests/torture/traffic.h"
#include "tests/torture/worker.h"

enum {
	WORKERS = 17,
	STOPPED_MAX = 4,
	TURN = 50,  // messages that the driver receives between two disturbances
	HANG = 120, // s for the end of all processes: only a hang takes that long
};

static const char help[] =
        "Usage: random [OPTION]...\n"
        "\n"
        "Runs some processes on a layer of its own, and kills, stops and continues them at "
        "random. No\n"
        "message may be torn, doubled, reordered or lost except with a process that held it, and "
        "in the\n"
        "end everything has to be free.\n"
        "\n"
        "  --seconds N    how long (default 3)\n"
        "  --seed N       of all that is random, but for the scheduler (default: the time)\n"
        "  --help\n";

static const enum worker_role roles[WORKERS] = {
        WORKER_PRODUCER,
        WORKER_PRODUCER,
        WORKER_PRODUCER,
        WORKER_PRODUCER,
        WORKER_CONSUMER,
        WORKER_CONSUMER,
        WORKER_EVENTED,
        WORKER_REQUESTER,
        WORKER_REQUESTER,
        WORKER_STREAMER,
        WORKER_REAPER,
        WORKER_REAPER,
        WORKER_MEMBER,
        WORKER_MEMBER,
        WORKER_MEMBER,
        WORKER_SOCKET,
        WORKER_SOCKET,
};

struct driver {
	struct ledger *ledger;
	uint64_t seed, random_state;
	uint32_t self; // in the ledger, as a sender of the last messages
	pid_t pid[WORKERS];
	bool stopped[WORKERS];
	uint64_t kills, consumer_kills, stops, failures;
	// Messages that said a reply channel is open, and ones that said it is over: how many, and a sum over their
	// names, which is the same if each name is in both.
	uint64_t connects, disconnects, connected, disconnected;
};

static uint64_t draw(struct driver *driver, uint64_t below)
{
	driver->random_state ^= driver->random_state << 13;
	driver->random_state ^= driver->random_state >> 7;
	driver->random_state ^= driver->random_state << 17;
	return (driver->random_state >> 11) % below;
}

static int64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void start(struct driver *driver, int worker)
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0) {
		// Whatever ends the driver ends them all.
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent)
			worker_run(driver->ledger, roles[worker], driver->seed);
		_exit(EXIT_FAILURE);
	}
	if (pid < 0) {
		perror("fork"); // the others end with us
		(void)forebay_remove(NULL);
		exit(EXIT_FAILURE);
	}
	driver->pid[worker] = pid;
	driver->stopped[worker] = false;
}

// A worker has ended without our doing.
static void judge(struct driver *driver, int worker, int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return;
	driver->failures++;
	printf("violation: process %d (role %d) ended with status %#x\n", (int)driver->pid[worker],
	        (int)roles[worker], (unsigned)status);
}

static void disturb(struct driver *driver)
{
	int worker = (int)draw(driver, WORKERS), stopped = 0, status;
	pid_t pid = driver->pid[worker];

	for (int i = 0; i < WORKERS; i++)
		stopped += driver->stopped[i];
	if (waitpid(pid, &status, WNOHANG) == pid) {
		judge(driver, worker, status);
		start(driver, worker);
	} else if (driver->stopped[worker] && draw(driver, 3) > 0) {
		(void)kill(pid, SIGCONT);
		driver->stopped[worker] = false;
	} else if (!driver->stopped[worker] && stopped < STOPPED_MAX && draw(driver, 3) == 0) {
		(void)kill(pid, SIGSTOP);
		driver->stopped[worker] = true;
		driver->stops++;
	} else {
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, &status, 0);
		if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
			driver->kills++;
			driver->consumer_kills += worker_is_consumer(roles[worker]);
		} else {
			judge(driver, worker, status);
		}
		start(driver, worker);
	}
}

static void end_workers(struct driver *driver, bool consumers)
{
	for (int i = 0; i < WORKERS; i++) {
		int status;

		if (driver->pid[i] <= 0 || worker_is_consumer(roles[i]) != consumers)
			continue;
		(void)kill(driver->pid[i], SIGCONT);
		if (waitpid(driver->pid[i], &status, 0) == driver->pid[i])
			judge(driver, i, status);
		driver->pid[i] = 0;
	}
}

// ---------------------------------------------------------------------------------------------
// The end
// ---------------------------------------------------------------------------------------------

static uint64_t hash_of(const char *name)
{
	uint64_t hash = 0xcbf29ce484222325;

	while (name && *name)
		hash = (hash ^ (unsigned char)*name++) * 0x100000001b3;
	hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccd;
	return hash ^ hash >> 33;
}

static void enter(struct driver *driver, struct forebay_message *message)
{
	const char *channel = forebay_message_channel(message);
	struct traffic_stamp stamp;

	if (strcmp(channel, "websocket.disconnect") == 0) {
		driver->disconnects++;
		driver->disconnected += hash_of(forebay_message_reply_channel(message));
		return;
	}
	if (strcmp(channel, "websocket.connect") == 0) {
		driver->connects++;
		driver->connected += hash_of(forebay_message_reply_channel(message));
	}
	if (traffic_read(message, &stamp))
		ledger_received(driver->ledger, stamp.sender, stamp.number);
	else
		ledger_complain(driver->ledger, LEDGER_TORN, channel);
}

// Receives what there is on what the driver listens to, at most so many messages.
static void receive_some(struct driver *driver, struct forebay *layer, uint32_t most)
{
	struct forebay_message *message;

	for (; most > 0 && forebay_receive(layer, 0, &message) == 0; most--) {
		enter(driver, message);
		forebay_message_free(message);
	}
}

static void receive_all(struct driver *driver, struct forebay *layer)
{
	receive_some(driver, layer, UINT32_MAX);
}

// Announcements and farewells come to the driver, which nobody kills. What finds no room is sent later.
static void settle_wills(struct driver *driver, struct forebay *layer)
{
	uint64_t before;

	do {
		before = driver->disconnects;
		(void)forebay_reap(layer);
		receive_all(driver, layer);
	} while (driver->disconnects != before);
	(void)forebay_ignore(layer, "websocket.connect");
	(void)forebay_ignore(layer, "websocket.disconnect");
}

static void drain(struct driver *driver, struct forebay *layer)
{
	char name[SHM_NAME_SIZE];

	for (uint32_t index = 0; index < layer->segment.channels; index++) {
		struct shm_channel_mem *channel = &layer->segment.channel[index];

		if (load_acquire(&channel->owner) != SHM_CHANNEL_LIVE ||
		        load_relaxed(&channel->lifetime) != 0) // a history
			continue;
		shm_table_name(&layer->table, index, name);
		if (forebay_listen(layer, name) != 0)
			ledger_complain(driver->ledger, LEDGER_REFUSED, name);
		receive_all(driver, layer);
		(void)forebay_ignore(layer, name);
	}
}

static void say(struct driver *driver, struct forebay *layer, const char *group)
{
	uint32_t number = ledger_try(driver->ledger, driver->self, LEDGER_PERSONAL);
	struct forebay_message *message =
	        traffic_build(layer, group, driver->self, number, 10, NULL);

	if (forebay_group_send(layer, group, message, NULL) != 0)
		ledger_complain(driver->ledger, LEDGER_REFUSED, "the last messages to a group");
	forebay_message_free(message);
}

// Each keeps as many as it ever did, and nothing else. Then it goes, for the inventory.
static void settle_histories(struct driver *driver, struct forebay *layer)
{
	for (int i = 0; i < WORKER_STAYING; i++) {
		struct forebay_history history = {0};
		char group[16], name[17];
		struct shm_ring ring;

		snprintf(group, sizeof group, "staying.%d", i);
		snprintf(name, sizeof name, "\x02%s", group);
		(void)history_read(driver->ledger, layer, group, &history);
		for (int k = 0; k < HISTORY_KEPT; k++)
			say(driver, layer, group);
		if (history_read(driver->ledger, layer, group, &history) != HISTORY_KEPT ||
		        history_read(driver->ledger, layer, group, &(struct forebay_history){0}) !=
		                HISTORY_KEPT)
			ledger_complain(driver->ledger, LEDGER_MISSED, "the last of a history");
		if (shm_table_find(&layer->table, name, &ring) != SHM_OK ||
		        shm_table_end(&layer->table, &ring, true, NULL) != SHM_OK)
			ledger_complain(driver->ledger, LEDGER_REFUSED, "the end of a history");
	}
}

static uint64_t complain(const char *text, uint64_t found, uint64_t allowed)
{
	printf("violation: %s: %llu, at most %llu\n", text, (unsigned long long)found,
	        (unsigned long long)allowed);
	return 1;
}

// With nobody at work any more: what isn't there, and what shouldn't be. Returns the number of violations.
static uint64_t settle(struct driver *driver, struct forebay *layer)
{
	const struct inventory nothing = {.processes = 1};
	uint64_t missing[LEDGER_KINDS], bad = driver->failures;
	struct forebay_layer_stat stat;
	struct inventory left;
	char text[512];

	(void)forebay_reap(layer);
	settle_wills(driver, layer);
	drain(driver, layer);
	settle_histories(driver, layer);
	drain(driver, layer); // what plain channels got by it
	inventory_end_idle(layer);
	inventory_end_groups(layer);
	inventory_take(layer, &left);
	if (!inventory_same(&nothing, &left, text, sizeof text)) {
		printf("violation: leaked: %s\n", text);
		bad++;
	}
	(void)forebay_stat(layer, &stat);
	ledger_missing(driver->ledger, missing);
	if (missing[LEDGER_PLAIN] > driver->consumer_kills)
		bad += complain("messages lost with killed consumers", missing[LEDGER_PLAIN],
		        driver->consumer_kills);
	if (missing[LEDGER_PLAIN] > stat.counters[FOREBAY_COUNT_LOST])
		bad += complain("messages lost, and not counted so", missing[LEDGER_PLAIN],
		        stat.counters[FOREBAY_COUNT_LOST]);
	if (missing[LEDGER_PERSONAL] >
	        stat.counters[FOREBAY_COUNT_LOST] + stat.counters[FOREBAY_COUNT_GONE])
		bad += complain("messages that ended with their channels, and not counted",
		        missing[LEDGER_PERSONAL],
		        stat.counters[FOREBAY_COUNT_LOST] + stat.counters[FOREBAY_COUNT_GONE]);
	if (driver->connects != driver->disconnects || driver->connected != driver->disconnected) {
		printf("violation: %llu connects and %llu disconnects, or not of the same "
		       "channels\n",
		        (unsigned long long)driver->connects,
		        (unsigned long long)driver->disconnects);
		bad++;
	}
	if (stat.counters[FOREBAY_COUNT_BAD] > 0)
		bad += complain("malformed messages", stat.counters[FOREBAY_COUNT_BAD], 0);
	for (int i = 0; i < LEDGER_VIOLATIONS; i++)
		bad += atomic_load(&driver->ledger->violations[i]);
	printf("# %llu connects; %llu messages to members of groups, %llu seen at their places "
	       "in histories\n",
	        (unsigned long long)driver->connects,
	        (unsigned long long)atomic_load(&driver->ledger->deliveries),
	        (unsigned long long)atomic_load(&driver->ledger->sights));
	printf("# %llu kills, %llu stops, %u processes; %llu messages sent, %llu received; lost "
	       "with "
	       "killed consumers: %llu; %llu violations\n",
	        (unsigned long long)driver->kills, (unsigned long long)driver->stops,
	        atomic_load(&driver->ledger->senders),
	        (unsigned long long)atomic_load(&driver->ledger->messages),
	        (unsigned long long)atomic_load(&driver->ledger->receipts),
	        (unsigned long long)missing[LEDGER_PLAIN], (unsigned long long)bad);
	return bad;
}

static struct forebay *attach(void)
{
	// Few channels, so that they are ended and made all the time.
	struct forebay_options options = {
	        .size = 16 << 20,
	        .channels = 16 + WORKER_STAYING,
	        .group_histories = HISTORY_RULES,
	        .reply_channels = 1024,
	        .expiry = 86400,
	        .role = "driver",
	};
	struct forebay *layer;

	if (forebay_open(NULL, &options, &layer) == 0)
		return layer;
	printf("Bail out! %s\n", forebay_error());
	exit(EXIT_FAILURE);
}

static void hung(int signal)
{
	static const char text[] = "\nBail out! blocked: a process doesn't come to its end\n";

	(void)signal;
	(void)!write(STDOUT_FILENO, text, sizeof text - 1);
	(void)forebay_remove(NULL);
	_exit(EXIT_FAILURE);
}

static uint64_t torture(struct driver *driver, int64_t seconds)
{
	int64_t end = now() + 1000 * seconds;
	struct forebay *layer = attach();
	uint64_t bad;

	if (forebay_listen(layer, "websocket.connect") != 0 ||
	        forebay_listen(layer, "websocket.disconnect") != 0)
		ledger_complain(driver->ledger, LEDGER_REFUSED, "the driver can't listen");
	for (int i = 0; i < WORKERS; i++)
		start(driver, i);
	while (now() < end && atomic_load(&driver->ledger->senders) < LEDGER_SENDERS - WORKERS) {
		usleep((useconds_t)draw(driver, 2000)); // for something to happen in between
		disturb(driver);
		receive_some(driver, layer, TURN);
	}
	signal(SIGALRM, hung);
	alarm(HANG);
	atomic_store(&driver->ledger->ending, true);
	for (int i = 0; i < WORKERS; i++)
		if (driver->pid[i] > 0)
			(void)kill(driver->pid[i], SIGCONT);
	end_workers(driver, false);
	atomic_store(&driver->ledger->draining, true);
	end_workers(driver, true);
	bad = settle(driver, layer);
	forebay_close(layer);
	(void)forebay_remove(NULL);
	return bad;
}

static uint64_t parse_number(const char *text)
{
	char *end;
	unsigned long long number = strtoull(text, &end, 10);

	if (*text < '0' || *text > '9' || *end) {
		fprintf(stderr, "random: \"%s\" is not a number\n", text);
		exit(2);
	}
	return number;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
	        {"seconds", required_argument, NULL, 't'},
	        {"seed", required_argument, NULL, 's'},
	        {"help", no_argument, NULL, 'h'},
	        {0},
	};
	struct driver driver = {.seed = (uint64_t)time(NULL), .ledger = ledger_new()};
	int64_t seconds = 3;
	char name[64];
	int option;
	bool good;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 't':
			seconds = (int64_t)parse_number(optarg);
			break;
		case 's':
			driver.seed = parse_number(optarg);
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_SUCCESS;
		default:
			return 2;
		}
	}
	if (!driver.ledger) {
		perror("mmap");
		return EXIT_FAILURE;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("# seed %llu, %lld s\n", (unsigned long long)driver.seed, (long long)seconds);
	driver.random_state = driver.seed * 0x9e3779b97f4a7c15ull | 1;
	driver.self = ledger_enrol(driver.ledger);
	traffic_init();
	snprintf(name, sizeof name, "random.%d", (int)getpid());
	(void)setenv("FOREBAY_DIR", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", 1);
	(void)setenv("FOREBAY_LAYER", name, 1);
	(void)forebay_remove(NULL); // of one that was killed and had our number
	good = torture(&driver, seconds) == 0;
	printf("%s 1 - random kills and stops\n1..1\n", good ? "ok" : "not ok");
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
