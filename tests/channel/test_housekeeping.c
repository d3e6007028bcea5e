// SPDX-License-Identifier: MIT
// What the dead held and what nobody reads comes back without a server: whoever uses the layer sees to it.

#include <signal.h>
#include <sys/wait.h>

#include "channel/layer.h"
#include "tests/channel/support.h"

// As if the last round had been long ago.
static void make_due(struct forebay *layer)
{
	layer->look = layer->housekeeping = 0;
	store_relaxed(&layer->segment.housekeeping->begun, 0);
}

// Leaves a process that was killed with a message in hand and with reply channels.
static void leave_a_dead_process(struct forebay *layer)
{
	int ready[2];
	char byte;
	pid_t pid;

	EXPECT_INT(send_number(layer, "taken", 1), 0);
	EXPECT(pipe(ready) == 0);
	pid = fork();
	EXPECT(pid >= 0);
	if (pid == 0) {
		struct forebay *own = attach(NULL);
		struct forebay_message *message;
		char name[FOREBAY_NAME_SIZE];

		if (forebay_listen(own, "taken") != 0 || forebay_receive(own, 0, &message) != 0 ||
		        forebay_reply_open(own, "reply", 0, NULL, name) != 0)
			_exit(1);
		(void)!write(ready[1], "", 1);
		pause();
	}
	EXPECT(read(ready[0], &byte, 1) == 1);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(ready[0]);
	close(ready[1]);
}

static uint32_t process_count(struct forebay *layer)
{
	struct forebay_layer_stat stat;

	return forebay_stat(layer, &stat) == 0 ? stat.processes : 0;
}

TEST(who_only_sends_keeps_the_house)
{
	struct forebay *layer = attach(NULL);

	leave_a_dead_process(layer);
	EXPECT_INT(process_count(layer), 2);
	layer->look = INT64_MAX; // not due, however slow we are
	EXPECT_INT(send_number(layer, "x", 1), 0);
	EXPECT_INT(process_count(layer), 2);
	make_due(layer);
	EXPECT_INT(send_number(layer, "x", 2), 0);
	EXPECT_INT(process_count(layer), 1);
	EXPECT_INT(used_blocks(layer), 2);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_LOST), 1);
	// Who only sends, and is refused for want of room.
	while (send_number(layer, "x", 3) == 0)
		;
	leave_a_dead_process(layer);
	make_due(layer);
	EXPECT_INT(send_number(layer, "x", 4), FOREBAY_FULL);
	EXPECT_INT(process_count(layer), 1);
	discard(layer);
}

TEST(who_only_receives_keeps_the_house_idle_or_never_idle)
{
	struct forebay *layer = attach(NULL), *sender = attach(NULL);
	int64_t received = 0;

	EXPECT_INT(forebay_listen(layer, "x"), 0);
	leave_a_dead_process(layer);
	make_due(layer);
	EXPECT_INT(receive_number(layer), -1);
	EXPECT_INT(process_count(layer), 2);
	leave_a_dead_process(layer);
	make_due(layer);
	sender->look = INT64_MAX; // it isn't the one
	for (int i = 0; i < 200 && process_count(layer) > 2; i++) {
		EXPECT_INT(send_number(sender, "x", i), 0);
		received += receive_number(layer) == i;
	}
	EXPECT_INT(process_count(layer), 2);
	EXPECT(received > 0);
	forebay_close(sender);
	discard(layer);
}

TEST(what_nobody_reads_expires_though_nobody_receives)
{
	struct forebay *layer = attach(&(struct forebay_options){.expiry = 1});
	struct forebay *other = attach(NULL);

	EXPECT_INT(send_number(layer, "nobody reads", 1), 0);
	EXPECT_INT(used_blocks(layer), 1);
	// A look two seconds later, as the clock of the one who keeps the house says.
	make_due(other);
	channel_housekeep(other, channel_now() + 2000, false);
	EXPECT_INT(used_blocks(layer), 0);
	EXPECT_INT(counter(layer, FOREBAY_COUNT_EXPIRED), 1);
	forebay_close(other);
	discard(layer);
}

TEST(who_neither_sends_nor_receives_can_keep_the_house)
{
	struct forebay *layer = attach(NULL);

	leave_a_dead_process(layer);
	make_due(layer);
	EXPECT_INT(forebay_housekeep(layer), 0);
	EXPECT_INT(process_count(layer), 1);
	discard(layer);
}
