// SPDX-License-Identifier: MIT
// Who receives from many channels gets from each in its turn, a stopped neighbour keeps nobody's message, and
// what is sent to who is awake costs no system call.

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "channel/layer.h"
#include "tests/channel/support.h"

enum { CHANNELS = 1000 };

static void name_of(char name[32], int number)
{
	snprintf(name, 32, "channel.%d", number);
}

static struct forebay *attach_large(void)
{
	return attach(&(struct forebay_options){.channels = CHANNELS + 100,
	        .capacity = 1000,
	        .capacities = "channel.*=8",
	        .expiry = NEVER});
}

// Keeps the channel full.
static void fill(struct forebay *layer, const char *channel)
{
	while (send_number(layer, channel, 0) == 0)
		;
}

TEST(a_quiet_channel_is_served_at_once_beside_one_a_thousand_times_as_busy)
{
	struct forebay *layer = attach_large(), *sender = attach(NULL);

	EXPECT_INT(forebay_listen(layer, "busy"), 0);
	EXPECT_INT(forebay_listen(layer, "quiet"), 0);
	for (int round = 1; round <= 100; round++) {
		int64_t got = 0;

		fill(sender, "busy");
		EXPECT_INT(send_number(sender, "quiet", round), 0);
		for (int i = 0; i < 3 && got != round; i++)
			got = receive_number(layer);
		EXPECT_INT(got, round);
		for (int i = 0; i < 10; i++)
			EXPECT_INT(receive_number(layer), 0);
	}
	forebay_close(sender);
	discard(layer);
}

TEST(each_of_a_thousand_channels_is_served_once_a_round)
{
	struct forebay *layer = attach_large(), *sender = attach(NULL);
	static int seen[CHANNELS];
	char name[32];

	EXPECT_INT(forebay_listen(layer, "busy"), 0);
	for (int i = 0; i < CHANNELS; i++) {
		name_of(name, i);
		EXPECT_INT(forebay_listen(layer, name), 0);
		// The later ones have more.
		for (int n = 0; n <= i * 8 / CHANNELS; n++)
			EXPECT_INT(send_number(sender, name, i + 1), 0);
	}
	fill(sender, "busy");
	for (int i = 0; i < CHANNELS + 1; i++) {
		int64_t number = receive_number(layer);

		EXPECT(number >= 0 && number <= CHANNELS);
		if (number > 0)
			seen[number - 1]++;
	}
	for (int i = 0; i < CHANNELS; i++)
		EXPECT_INT(seen[i], 1);
	forebay_close(sender);
	discard(layer);
}

TEST(replies_and_channels_do_not_starve_each_other)
{
	struct forebay *layer = attach_large(), *sender = attach(NULL);
	char busy[FOREBAY_NAME_SIZE], quiet[FOREBAY_NAME_SIZE];

	EXPECT_INT(forebay_listen(layer, "busy"), 0);
	EXPECT_INT(forebay_listen(layer, "quiet"), 0);
	EXPECT_INT(forebay_reply_open(layer, "r", 1000, NULL, busy), 0);
	EXPECT_INT(forebay_reply_open(layer, "r", 10, NULL, quiet), 0);
	for (int round = 1; round <= 100; round++) {
		int64_t got = 0;

		// Replies by the thousand, and one message.
		fill(sender, busy);
		EXPECT_INT(send_number(sender, "quiet", round), 0);
		for (int i = 0; i < 3 && got != round; i++)
			got = receive_number(layer);
		EXPECT_INT(got, round);
		while (receive_number(layer) >= 0)
			;
		// The reverse.
		fill(sender, "busy");
		EXPECT_INT(send_number(sender, quiet, -2 - round), 0);
		for (int i = 0; i < 3 && got != -2 - round; i++)
			got = receive_number(layer);
		EXPECT_INT(got, -2 - round);
	}
	forebay_close(sender);
	discard(layer);
}

TEST(who_waits_with_an_event_loop_is_served_as_fairly)
{
	struct forebay *layer = attach_large(), *sender = attach(NULL);
	struct pollfd ready = {.fd = forebay_fd(layer), .events = POLLIN};

	EXPECT_INT(forebay_listen(layer, "busy"), 0);
	EXPECT_INT(forebay_listen(layer, "quiet"), 0);
	EXPECT_INT(receive_number(layer), -1);
	for (int round = 1; round <= 100; round++) {
		int64_t got = 0;

		fill(sender, "busy");
		EXPECT_INT(send_number(sender, "quiet", round), 0);
		EXPECT_INT(poll(&ready, 1, 0), 1);
		for (int i = 0; i < 3 && got != round; i++)
			got = receive_number(layer);
		EXPECT_INT(got, round);
		while (receive_number(layer) >= 0)
			;
	}
	forebay_close(sender);
	discard(layer);
}

// ---------------------------------------------------------------------------------------------
// Several receivers of one channel
// ---------------------------------------------------------------------------------------------

static char state_of(pid_t pid)
{
	char path[64], state = 0;
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	file = fopen(path, "r");
	if (!file)
		return 0;
	(void)!fscanf(file, "%*d (%*[^)]) %c", &state);
	fclose(file);
	return state;
}

static void wait_for_state(pid_t pid, char state)
{
	while (state_of(pid) != state)
		usleep(1000);
}

// From now on it doesn't keep the house: what has to be done once a second would be done in the middle of a test that is
// so slow, or not.
static void leave_the_house(struct forebay *layer)
{
	layer->look = INT64_MAX;
}

// A process that sleeps until it has received a message from "x", and then ends well.
static pid_t fork_receiver(void)
{
	pid_t pid;
	int tube[2];
	char byte;

	if (pipe(tube) < 0)
		return -1;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		struct forebay *layer = attach(NULL);
		struct forebay_message *message;

		leave_the_house(layer);
		forebay_listen(layer, "x");
		(void)!write(tube[1], "", 1);
		_exit(forebay_receive(layer, HANG, &message) == 0 ? 0 : 1);
	}
	(void)!read(tube[0], &byte, 1);
	close(tube[0]);
	close(tube[1]);
	wait_for_state(pid, 'S');
	return pid;
}

TEST(a_message_whose_wake_up_went_to_a_stopped_process_reaches_another)
{
	struct forebay *layer = attach(NULL);
	pid_t stopped = fork_receiver(), other = fork_receiver(); // the first has the lower slot
	int status;

	leave_the_house(layer);
	EXPECT(stopped > 0 && other > 0);
	kill(stopped, SIGSTOP);
	wait_for_state(stopped, 'T');
	EXPECT_INT(send_number(layer, "x", 1), 0);
	EXPECT(waitpid(other, &status, 0) == other);
	EXPECT_INT(status, 0);
	// And the stopped one loses nothing by it.
	EXPECT_INT(send_number(layer, "x", 2), 0);
	kill(stopped, SIGCONT);
	EXPECT(waitpid(stopped, &status, 0) == stopped);
	EXPECT_INT(status, 0);
	EXPECT_INT(used_blocks(layer), 2); // what they received and didn't free
	EXPECT_INT(forebay_reap(layer), 2);
	EXPECT_INT(used_blocks(layer), 0);
	discard(layer);
}

TEST(as_many_receivers_are_woken_as_there_are_messages)
{
	enum { RECEIVERS = 4 };
	struct forebay *layer = attach(NULL);
	pid_t pids[RECEIVERS];
	int status;

	for (int i = 0; i < RECEIVERS; i++)
		EXPECT((pids[i] = fork_receiver()) > 0);
	for (int i = 0; i < RECEIVERS; i++)
		EXPECT_INT(send_number(layer, "x", i), 0);
	for (int i = 0; i < RECEIVERS; i++) {
		EXPECT(waitpid(pids[i], &status, 0) == pids[i]);
		EXPECT_INT(status, 0);
	}
	discard(layer);
}

// ---------------------------------------------------------------------------------------------
// System calls
// ---------------------------------------------------------------------------------------------

// From here on a system call that isn't listed ends the process: the heap's are, since a sanitizer makes some,
// and reading the clock, which is one where the kernel has no faster way.
static bool forbid_system_calls(void)
{
#define ALLOW(NUMBER)                                                                              \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (NUMBER), 0, 1),                                       \
	        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
	struct sock_filter rules[] = {
	        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	        ALLOW(SYS_clock_gettime),
	        ALLOW(SYS_mmap),
	        ALLOW(SYS_munmap),
	        ALLOW(SYS_madvise),
	        ALLOW(SYS_mprotect),
	        ALLOW(SYS_brk),
	        ALLOW(SYS_exit_group),
	        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = {sizeof rules / sizeof *rules, rules};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// Messages and replies between two that are awake. Ends the process: 0 if all went well, 2 if the kernel
// can't forbid, else what went wrong.
static void exchange_in_silence(struct forebay *layer, struct forebay *other)
{
	struct forebay_message *message;
	char name[FOREBAY_NAME_SIZE];
	long status = 0;

	leave_the_house(layer);
	leave_the_house(other);
	if (forebay_reply_open(layer, "r", 0, NULL, name) != 0 || forebay_listen(other, "x") != 0)
		_exit(3);
	for (int i = 0; i < 2; i++) // the first time, memory is taken and channels are made
		if (send_number(layer, "x", i) != 0 || receive_number(other) != i ||
		        send_number(other, name, i) != 0 || receive_number(layer) != i)
			_exit(4);
	if (!forbid_system_calls())
		_exit(2);
	for (int i = 0; i < 20000 && status == 0; i++) {
		if (send_number(layer, "x", i) != 0 || receive_number(other) != i)
			status = 5;
		if (send_number(other, name, i) != 0 || receive_number(layer) != i)
			status = 6;
		// Nor does looking in vain make one.
		if (forebay_receive(other, 0, &message) != FOREBAY_TIMEOUT)
			status = 7;
	}
	syscall(SYS_exit_group, status);
}

TEST(messages_to_who_is_awake_are_sent_and_received_without_a_system_call)
{
	struct forebay *parent = attach(NULL);
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		exchange_in_silence(attach(NULL), attach(NULL));
	EXPECT(waitpid(pid, &status, 0) == pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
		printf("# no seccomp here: only the wake-ups are counted\n");
	else
		EXPECT_INT(status, 0);
	EXPECT_INT(counter(parent, FOREBAY_COUNT_WAKEUPS), 0);
	discard(parent);
}

TEST(the_silence_is_real)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		if (!forbid_system_calls())
			_exit(2);
		(void)syscall(SYS_getppid);
		syscall(SYS_exit_group, 0);
	}
	EXPECT(waitpid(pid, &status, 0) == pid);
	EXPECT((WIFEXITED(status) && WEXITSTATUS(status) == 2) ||
	        (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS));
}
