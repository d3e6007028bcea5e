// SPDX-License-Identifier: MIT
#include "tests/torture/worker.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channel/forebay.h"
#include "tests/torture/history.h"
#include "tests/torture/traffic.h"

enum {
	STAYING = WORKER_STAYING,
	PASSING = 24, // names of those that come and go, more than the table has room for
	ORDERS = 4096,
	MEMBERS = 4, // reply channels of one process that join groups
	WAIT = 20,   // ms
};

struct order {
	uint64_t key; // sender and channel
	uint64_t next;
};

static struct ledger *ledger;
static struct forebay *layer;
static uint32_t self; // in the ledger
static uint64_t random_state;
static struct order orders[ORDERS];

static uint64_t draw(uint64_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (random_state >> 11) % below;
}

// From nothing to four extents, mostly short.
static uint32_t draw_length(void)
{
	switch (draw(16)) {
	case 0:
		return 0;
	case 1:
		return (uint32_t)draw(200000);
	case 2:
	case 3:
		return (uint32_t)draw(60000);
	case 4:
	case 5:
	case 6:
		return (uint32_t)draw(4000);
	default:
		return (uint32_t)draw(450);
	}
}

static const char *draw_channel(char name[FOREBAY_NAME_SIZE])
{
	if (draw(4) == 0)
		snprintf(name, FOREBAY_NAME_SIZE, "passing.%u", (unsigned)draw(PASSING));
	else
		snprintf(name, FOREBAY_NAME_SIZE, "staying.%u", (unsigned)draw(STAYING));
	return name;
}

// ---------------------------------------------------------------------------------------------
// Sending
// ---------------------------------------------------------------------------------------------

static bool may_say(int result, enum ledger_kind kind)
{
	switch (result) {
	case FOREBAY_OK:
	case FOREBAY_FULL:
	case FOREBAY_TIMEOUT:
	case FOREBAY_NO_MEMORY:
	case FOREBAY_NO_CHANNEL:
		return true;
	case FOREBAY_GONE:
		return kind == LEDGER_PERSONAL;
	default:
		return false;
	}
}

// Sends one message, entered in the ledger before and after. Returns as forebay_send(), or -1 if the ledger is full.
static int send_one(const char *channel, enum ledger_kind kind, const char *reply_channel)
{
	uint32_t number = ledger_try(ledger, self, kind);
	struct forebay_message *message;
	int result;

	if (number == LEDGER_MESSAGES)
		return -1;
	message = traffic_build(layer, channel, self, number, draw_length(), reply_channel);
	result = forebay_send(layer, channel, message, draw(2) ? 0 : WAIT);
	if (result == 0)
		ledger_sent(ledger, self, number);
	else if (!may_say(result, kind))
		ledger_complain(ledger, LEDGER_REFUSED, forebay_strerror(result));
	forebay_message_free(message);
	return result;
}

// ---------------------------------------------------------------------------------------------
// Receiving
// ---------------------------------------------------------------------------------------------

// Of one sender's messages in one channel, we get later ones later. Forgets some keys: then it is silent.
static void check_order(const struct traffic_stamp *stamp)
{
	uint64_t key = stamp->sender << 32 | stamp->channel;
	struct order *order = &orders[(key * 0x9e3779b97f4a7c15ull >> 40) % ORDERS];

	if (order->key == key && stamp->number < order->next)
		ledger_complain(ledger, LEDGER_REORDERED, "a message came before an earlier one");
	*order = (struct order){key, stamp->number + 1};
}

static void enter_order(const struct forebay_message *message, const struct traffic_stamp *stamp)
{
	history_enter(ledger, message, stamp->sender, stamp->number);
	check_order(stamp);
}

static void enter(struct forebay_message *message)
{
	struct traffic_stamp stamp;

	if (!traffic_read(message, &stamp)) {
		ledger_complain(ledger, LEDGER_TORN, forebay_message_channel(message));
		return;
	}
	ledger_received(ledger, stamp.sender, stamp.number);
	enter_order(message, &stamp);
}

// A stream's end is a message that nobody sent.
static bool is_end(struct forebay_message *message)
{
	return strchr(forebay_message_channel(message), '?') &&
	       forebay_get_boolean(message, "closed", false);
}

static void consume(struct forebay_message *message)
{
	const char *reply_channel;
	char name[FOREBAY_NAME_SIZE] = "";

	if (!is_end(message)) {
		enter(message);
		reply_channel = forebay_message_reply_channel(message);
		if (reply_channel)
			snprintf(name, sizeof name, "%s", reply_channel);
	}
	if (draw(2)) { // while we hold the message, or after
		forebay_message_free(message);
		message = NULL;
	}
	if (strchr(name, '?'))
		(void)forebay_listen(layer, name);
	else if (name[0])
		for (uint64_t left = draw(4); left > 0; left--)
			(void)send_one(name, LEDGER_PERSONAL, NULL);
	forebay_message_free(message);
}

static int receive_evented(struct forebay_message **message)
{
	int result = forebay_receive(layer, 0, message);
	struct pollfd poll_fd = {.fd = forebay_fd(layer), .events = POLLIN};

	if (result == FOREBAY_TIMEOUT)
		(void)poll(&poll_fd, 1, WAIT);
	return result;
}

// Listens to the staying channels, of which some may have found no room so far, and to another one of the passing
// ones: the table fills up with those, and only who reads them makes room.
static void change_channels(char passing[FOREBAY_NAME_SIZE])
{
	char staying[FOREBAY_NAME_SIZE];

	if (passing[0])
		(void)forebay_ignore(layer, passing);
	snprintf(passing, FOREBAY_NAME_SIZE, "passing.%u", (unsigned)draw(PASSING));
	(void)forebay_listen(layer, passing);
	for (int i = 0; i < STAYING; i++) {
		snprintf(staying, sizeof staying, "staying.%d", i);
		(void)forebay_listen(layer, staying);
	}
}

static void run_consumer(bool evented)
{
	char passing[FOREBAY_NAME_SIZE] = "";

	if (evented && forebay_fd(layer) < 0)
		ledger_complain(ledger, LEDGER_REFUSED, "no descriptor");
	change_channels(passing);
	while (!atomic_load(&ledger->draining)) {
		struct forebay_message *message;
		int result;

		if (draw(8) == 0)
			change_channels(passing);
		result = evented ? receive_evented(&message)
		                 : forebay_receive(layer, WAIT, &message);
		if (result == 0)
			consume(message);
		else if (result != FOREBAY_TIMEOUT)
			ledger_complain(ledger, LEDGER_REFUSED, forebay_strerror(result));
		if (draw(2000) == 0)
			return;
	}
}

// ---------------------------------------------------------------------------------------------
// The other roles
// ---------------------------------------------------------------------------------------------

static void run_producer(void)
{
	char name[FOREBAY_NAME_SIZE];

	while (!atomic_load(&ledger->ending) &&
	        send_one(draw_channel(name), LEDGER_PLAIN, NULL) >= 0)
		;
}

static void receive_answers(char names[2][FOREBAY_NAME_SIZE])
{
	struct forebay_message *message;

	for (uint64_t left = draw(6); left > 0; left--) {
		const char *name;

		if (forebay_receive(layer, (int)draw(5), &message) != 0)
			continue;
		name = forebay_message_owner(message);
		if (!name || strcmp(name, forebay_message_channel(message)) != 0 ||
		        (name != names[0] && name != names[1]))
			ledger_complain(ledger, LEDGER_MISDIRECTED, "an answer of another's");
		enter(message);
		forebay_message_free(message);
	}
}

static void run_requester(void)
{
	while (!atomic_load(&ledger->ending)) {
		char names[2][FOREBAY_NAME_SIZE], channel[FOREBAY_NAME_SIZE];
		int result = 0;

		for (int i = 0; i < 2 && result == 0; i++)
			result = forebay_reply_open(
			        layer, "answer", (uint32_t)draw(5), names[i], names[i]);
		if (result != 0)
			return; // the table is full at the moment
		for (int i = 0; i < 2 && result >= 0; i++)
			result = send_one(draw_channel(channel), LEDGER_PLAIN, names[i]);
		receive_answers(names);
		for (int i = 0; i < 2; i++)
			if (forebay_reply_close(layer, names[i]) != 0)
				ledger_complain(ledger, LEDGER_REFUSED, "closing a reply channel");
		if (result < 0)
			return;
	}
}

static void run_streamer(void)
{
	while (!atomic_load(&ledger->ending)) {
		char stream[FOREBAY_NAME_SIZE], channel[FOREBAY_NAME_SIZE];
		int result = forebay_stream_open(layer, "stream", stream);

		if (result != 0)
			return;
		result = send_one(draw_channel(channel), LEDGER_PLAIN, stream);
		for (uint64_t left = draw(10); left > 0 && result >= 0; left--)
			result = send_one(stream, LEDGER_PERSONAL, NULL);
		if (forebay_stream_close(layer, stream) != 0)
			ledger_complain(ledger, LEDGER_REFUSED, "closing a stream");
		if (result < 0)
			return;
	}
}

static void run_reaper(void)
{
	for (int left = 1000; left > 0 && !atomic_load(&ledger->ending); left--) {
		struct forebay_layer_stat stat;

		if (forebay_reap(layer) < 0 || forebay_stat(layer, &stat) != 0)
			ledger_complain(ledger, LEDGER_REFUSED, "reaping");
		usleep((useconds_t)draw(5000));
	}
}

// ---------------------------------------------------------------------------------------------
// Groups
// ---------------------------------------------------------------------------------------------

// A reply channel, and the groups it is in. Nobody else adds or removes it, so that is exact.
struct membership {
	char name[FOREBAY_NAME_SIZE];
	bool in[STAYING];
};

static struct membership memberships[MEMBERS];

// Groups have the names of plain channels, which may be in them: so a message is right wherever it arrives.
static int draw_group(char name[FOREBAY_NAME_SIZE])
{
	int group = (int)draw(STAYING);

	snprintf(name, FOREBAY_NAME_SIZE, "staying.%d", group);
	return group;
}

static void expect_result(int result, int other)
{
	if (result != 0 && result != other && result != FOREBAY_NO_MEMORY)
		ledger_complain(ledger, LEDGER_REFUSED, forebay_strerror(result));
}

static void join_or_leave(struct membership *member)
{
	char name[FOREBAY_NAME_SIZE];
	int group = draw_group(name), result;

	if (draw(3) > 0) {
		result = forebay_group_add(layer, name, member->name);
		member->in[group] |= result == 0;
		expect_result(result, FOREBAY_NO_CHANNEL);
	} else {
		expect_result(forebay_group_discard(layer, name, member->name), 0);
		member->in[group] = false;
	}
}

// Plain channels, also ones whose names take two cells: those are in a group that nothing is sent to.
static void join_or_leave_plain(void)
{
	char group[FOREBAY_NAME_SIZE], name[FOREBAY_NAME_SIZE];

	(void)draw_group(group);
	strcpy(name, group);
	if (draw(2)) {
		snprintf(group, sizeof group, "silent.%u", (unsigned)draw(STAYING));
		snprintf(name, sizeof name, "silent.%0150u", (unsigned)draw(40));
	}
	expect_result(draw(2) ? forebay_group_add(layer, group, name)
	                      : forebay_group_discard(layer, group, name),
	        FOREBAY_NO_CHANNEL);
}

static void send_to_group(void)
{
	uint32_t number = ledger_try(ledger, self, LEDGER_PERSONAL);
	struct forebay_message *message;
	char name[FOREBAY_NAME_SIZE];

	if (number == LEDGER_MESSAGES)
		return;
	(void)draw_group(name);
	message = traffic_build(layer, name, self, number, draw_length(), NULL);
	expect_result(forebay_group_send(layer, name, message, NULL), 0);
	forebay_message_free(message);
}

struct delivery {
	int group;
	uint64_t reached;
};

static void deliver(void *owner, void *context)
{
	const struct membership *member = owner;
	struct delivery *delivery = context;

	delivery->reached++;
	(void)atomic_fetch_add(&ledger->deliveries, 1);
	if (!member->in[delivery->group])
		ledger_complain(ledger, LEDGER_MISDIRECTED, "a message to a group that was left");
}

// What has come from a group was kept before, so it is in the history, or is told to be missing.
static void look_it_up(const struct forebay_message *message)
{
	const char *group = forebay_message_group(message);
	struct forebay_history history;
	uint64_t epoch, offset;

	if (!forebay_message_history(message, &epoch, &offset))
		return;
	history = (struct forebay_history){.epoch = epoch, .offset = offset - 1};
	(void)history_read(ledger, layer, group, &history);
	if (history.epoch == epoch && history.offset < offset)
		ledger_complain(ledger, LEDGER_MISSED, "a message that a member got");
}

// Reads on where this process has come to, now and then.
static void read_on(void)
{
	static struct forebay_history histories[STAYING];
	char name[FOREBAY_NAME_SIZE];
	int group = draw_group(name);

	(void)history_read(ledger, layer, name, &histories[group]);
}

static void receive_from_groups(void)
{
	struct forebay_message *message;

	for (uint64_t left = draw(6); left > 0; left--) {
		struct delivery delivery = {0};
		struct traffic_stamp stamp;
		uint64_t members = 0;

		if (forebay_receive(layer, (int)draw(3), &message) != 0)
			continue;
		if (!forebay_message_group(message) || !traffic_read(message, &stamp) ||
		        sscanf(forebay_message_group(message), "staying.%d", &delivery.group) != 1)
			ledger_complain(ledger, LEDGER_TORN, "a message to a group");
		else
			enter_order(message, &stamp);
		if (draw(4) == 0)
			look_it_up(message);
		for (int i = 0; i < MEMBERS; i++)
			members += memberships[i].in[delivery.group];
		if (forebay_message_recipients(message, deliver, &delivery) != members ||
		        delivery.reached != members)
			ledger_complain(ledger, LEDGER_MISDIRECTED, "not all members, or not once");
		forebay_message_free(message);
	}
}

static bool open_membership(struct membership *member)
{
	*member = (struct membership){0};
	return forebay_reply_open(layer, "answer", 4, member, member->name) == 0;
}

static void run_member(void)
{
	for (int i = 0; i < MEMBERS; i++)
		if (!open_membership(&memberships[i]))
			return; // the table is full at the moment
	for (int left = 2000; left > 0 && !atomic_load(&ledger->ending); left--) {
		struct membership *member = &memberships[draw(MEMBERS)];

		join_or_leave(member);
		if (draw(4) == 0)
			join_or_leave_plain();
		if (draw(2) == 0)
			send_to_group();
		receive_from_groups();
		if (draw(4) == 0)
			read_on();
		if (draw(16) == 0) { // which leaves all groups
			if (forebay_reply_close(layer, member->name) != 0)
				ledger_complain(ledger, LEDGER_REFUSED, "closing a member");
			if (!open_membership(member))
				return;
		}
	}
}

// ---------------------------------------------------------------------------------------------
// Wills
// ---------------------------------------------------------------------------------------------

static bool announce(const char *name)
{
	uint32_t number = ledger_try(ledger, self, LEDGER_PLAIN);
	struct forebay_message *message;
	int result;

	if (number == LEDGER_MESSAGES)
		return false;
	message = traffic_build(layer, "websocket.connect", self, number, draw_length(), name);
	result = forebay_reply_announce(layer, name, "websocket.connect", message);
	if (result == 0)
		ledger_sent(ledger, self, number);
	else if (!may_say(result, LEDGER_PLAIN))
		ledger_complain(ledger, LEDGER_REFUSED, forebay_strerror(result));
	forebay_message_free(message);
	return result == 0;
}

// What there is no room for is left to whoever clears up behind us.
static void farewell(const char *name)
{
	struct forebay_message *message = forebay_message_new(layer);
	int result;

	forebay_put_text(message, "reply_channel", name);
	result = forebay_reply_farewell(layer, name, "websocket.disconnect", message);
	if (result != 0 && !may_say(result, LEDGER_PLAIN))
		ledger_complain(ledger, LEDGER_REFUSED, forebay_strerror(result));
	forebay_message_free(message);
}

static void run_socket(void)
{
	for (int left = LEDGER_MESSAGES; left > 0 && !atomic_load(&ledger->ending); left--) {
		char name[FOREBAY_NAME_SIZE];

		if (forebay_reply_open(layer, "websocket.send", 4, NULL, name) != 0)
			return;
		if (!announce(name)) {
			(void)forebay_reply_close(layer, name);
			usleep((useconds_t)draw(1000));
		} else if (draw(8) > 0) {
			farewell(name);
		}
	}
}

bool worker_is_consumer(enum worker_role role)
{
	return role == WORKER_CONSUMER || role == WORKER_EVENTED;
}

void worker_run(struct ledger *shared, enum worker_role role, uint64_t seed)
{
	struct forebay_options options = {.must_exist = true, .role = "worker"};

	ledger = shared;
	self = ledger_enrol(ledger);
	random_state = (seed ^ (self + 1ull) * 0x9e3779b97f4a7c15ull) | 1;
	if (self == LEDGER_SENDERS)
		_exit(EXIT_SUCCESS);
	if (forebay_open(NULL, &options, &layer) != 0) {
		ledger_complain(ledger, LEDGER_REFUSED, forebay_error());
		_exit(EXIT_FAILURE);
	}
	switch (role) {
	case WORKER_PRODUCER:
		run_producer();
		break;
	case WORKER_CONSUMER:
	case WORKER_EVENTED:
		run_consumer(role == WORKER_EVENTED);
		break;
	case WORKER_REQUESTER:
		run_requester();
		break;
	case WORKER_STREAMER:
		run_streamer();
		break;
	case WORKER_MEMBER:
		run_member();
		break;
	case WORKER_SOCKET:
		run_socket();
		break;
	default:
		run_reaper();
		break;
	}
	forebay_close(layer);
	_exit(EXIT_SUCCESS);
}
