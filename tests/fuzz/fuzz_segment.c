// SPDX-License-Identifier: MIT
// fuzz_segment.c - a process that scribbles over the segment, between the operations of two that use it.
//
// The input is a program: each instruction is a call of the library, on one of two attachments to a small
// layer of their own, or a word written anywhere into the segment: any octets, or one that makes sense
// there, such as an own word that names another process, or a link into another list. Whatever the
// words say, every call must end, in bounds and without a crash; which messages survive is no promise.
// A call that takes STEP_LIMIT of processor time doesn't end: SIGVTALRM ends the program.
//
// An input of up to 8 octets that begins with "seed" stands for LONG_PROGRAM octets of a generator's.
#include <stdio.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "channel/layer.h"
#include "shm/cell.h"
#include "shm/compact.h"
#include "shm/metric.h"
#include "shm/prefix.h"
#include "shm/will.h"
#include "tests/fuzz/fuzz.h"

enum {
	STEP_LIMIT = 20, // seconds of processor time, also under a sanitizer
	SEED_SIZE = 8,
	LONG_PROGRAM = 12000,
	USERS = 2,
	GROUPS = 0xe0, // from here on, regions and values are those of groups and metrics
	HELD = 6,      // messages received and not freed yet
	REPLIES = 4,   // reply channels open, and as many streams
};

// The program, and where it stands.
struct program {
	const uint8_t *data;
	size_t left;
};

static uint64_t take(struct program *program, size_t octets)
{
	uint64_t value = 0;

	for (; octets > 0 && program->left > 0; octets--, program->left--)
		value = value << 8 | *program->data++;
	return value;
}

struct user {
	struct forebay *layer;
	struct forebay_message *held[HELD];
	char replies[REPLIES][FOREBAY_NAME_SIZE], streams[REPLIES][FOREBAY_NAME_SIZE];
};

static struct user users[USERS];

static void arm_limit(void)
{
	struct itimerval limit = {.it_value.tv_sec = STEP_LIMIT};

	setitimer(ITIMER_VIRTUAL, &limit, NULL);
}

// ---------------------------------------------------------------------------------------------
// The scribbler
// ---------------------------------------------------------------------------------------------

// An array of COUNT elements of SIZE octets in the segment.
struct region {
	char *base;
	size_t count, size;
};

// What belongs to groups, metrics and wills. Few of them are in use, and the first cells but those of the reserve.
static struct region choose_group_region(const struct shm_segment *segment, uint64_t choice)
{
	switch (choice % 8) {
	case 0:
	case 1:
		return (struct region){(char *)(segment->channel + segment->channels), 4,
		        sizeof *segment->channel};
	case 2:
		return (struct region){(char *)segment->cell_owns, 64, 8};
	case 3:
		return (struct region){
		        (char *)segment->prefixes, SHM_PREFIXES, sizeof *segment->prefixes};
	case 4: // hazards
		return (struct region){(char *)&segment->processes[0].hazard, USERS + 1,
		        sizeof *segment->processes};
	case 5: // metrics: the directory, the cells, or what the first users have counted
		if (choice & 8)
			return (struct region){(char *)segment->metrics, 16, 8};
		if (choice & 16)
			return (struct region){
			        (char *)segment->metric_cells, 16, sizeof *segment->metric_cells};
		return (struct region){(char *)segment->metric_words,
		        (size_t)segment->geometry.metrics * (USERS + 1), 8};
	case 6:
		return (struct region){(char *)segment->cells, 64, sizeof *segment->cells};
	default:
		if (choice & 8)
			return (struct region){
			        (char *)segment->wills, segment->geometry.endpoints, 8};
		return (struct region){(char *)segment->cells, 64, sizeof *segment->cells};
	}
}

static struct region choose_region(const struct shm_segment *segment, uint64_t choice)
{
	const struct shm_geometry *geometry = &segment->geometry;
	size_t zones = 0;

	if (choice >= GROUPS)
		return choose_group_region(segment, choice);
	for (int class = 0; class < SHM_CLASSES; class ++)
		zones += geometry->blocks[class] / shm_class_zone(class);
	switch (choice % 12) {
	case 0:
		return (struct region){(char *)segment->base, 1, 4096};
	case 1:
		return (struct region){
		        (char *)segment->processes, SHM_PROCESSES, sizeof *segment->processes};
	case 2: // the slots that are used
		return (struct region){
		        (char *)segment->processes, USERS + 1, sizeof *segment->processes};
	case 3:
		return (struct region){(char *)segment->zones, zones, 8};
	case 4:
		return (struct region){(char *)segment->buckets, segment->bucket_mask + 1, 8};
	case 5:
		return (struct region){
		        (char *)segment->channel, segment->channels, sizeof *segment->channel};
	case 6: // the first slots of a ring are used most
		return (struct region){(char *)(segment->slots +
		                                ((choice / 12 % geometry->wide) << SHM_WIDE_ORDER)),
		        64, 8};
	case 7:
		return (struct region){
		        (char *)(segment->slots + ((size_t)geometry->wide << SHM_WIDE_ORDER)),
		        (size_t)geometry->narrow << SHM_NARROW_ORDER, 8};
	case 8:
		return (struct region){(char *)segment->endpoint_zones,
		        geometry->endpoints / SHM_ENDPOINT_ZONE, 8};
	case 9:
		return (struct region){
		        (char *)segment->endpoint, geometry->endpoints, sizeof *segment->endpoint};
	default: { // blocks, near their beginnings: header, message head, list of extents
		int class = (int)(choice / 12 % SHM_CLASSES);

		return (struct region){
		        segment->blocks[class], geometry->blocks[class], shm_class_size(class)};
	}
	}
}

// The word at OFFSET, which may be anything, of element INDEX, likewise. What is most telling is in
// the first octets of an element, and the first elements are those in use.
static shm_atomic64 *choose_word(const struct region *region, uint64_t index, uint64_t offset)
{
	size_t most = region->size < 640 ? region->size : 640;

	return (shm_atomic64 *)(region->base + index % region->count * region->size +
	                        offset * 8 % most);
}

static shm_atomic64 *take_word(const struct shm_segment *segment, struct program *program)
{
	struct region region = choose_region(segment, take(program, 1));
	uint64_t place = take(program, 2);

	return choose_word(&region, place & 0x3ff, place >> 10);
}

static uint64_t group_value(
        const struct shm_segment *segment, uint64_t kind, uint64_t a, uint64_t b)
{
	uint32_t index = segment->channels + (uint32_t)a % 4;
	struct shm_entry group = {index, load_relaxed(&segment->channel[index].ring.generation)};

	switch (kind % 8) {
	case 0:
		return SHM_GROUP_WORD(a, b, b);
	case 1: // the next phase
		return load_relaxed(&segment->channel[index].group) + (1ull << 62);
	case 2:
		return SHM_OWN_USED(&group);
	case 3:
		return SHM_HAZARD(&group);
	case 4:
		return a << 40 | (uint64_t)b << 12 | SHM_TAG_REPLY;
	case 5:
		return a << 40 | SHM_TAG_PLAIN;
	case 6:
		return SHM_WORD_NODE(a % 80);
	default:
		return kind & 8 ? SHM_WILL(a & 3, a >> 2, b) : SHM_WORD_NODE(a % 80);
	}
}

// A value that makes sense somewhere.
static uint64_t take_value(const struct shm_segment *segment, struct program *program)
{
	uint64_t kind = take(program, 1), a = take(program, 1), b = take(program, 1);
	const struct forebay *user = users[a % USERS].layer;
	uint64_t uid = user ? user->self.uid : 0;

	if (kind >= GROUPS)
		return group_value(segment, kind, a, b);
	switch (kind % 14) {
	case 0:
		return take(program, 8);
	case 1:
		return take(program, 4) << 32 | b;
	case 2:
		return a;
	case 3:
		return UINT64_MAX - a;
	case 4:
		return uid;
	case 5:
		return SHM_OWN_HELD(uid);
	case 6:
		return SHM_OWN_HELD(SHM_UID(a << 4 | b, a)); // of any slot, up to 4095
	case 7:
		return SHM_OWN_SENT(
		        a % (segment->channels + 2), (uint64_t)1 << SHM_NARROW_ORDER | b);
	case 8:
		return SHM_OWN_SENT(a % segment->geometry.wide, (uint64_t)1 << SHM_WIDE_ORDER | b);
	case 9:
		return SHM_OWN_PART(b & 7, a);
	case 10: // a link: generation, index, tag, mark
		return (b >> 4) << 32 | (a % 40) << 11 | (b & 7) << 1 | (b >> 3 & 1);
	case 11: // a slot of a ring: cycle, handle
		return (1 + (b & 3)) << 32 | a;
	case 12: // a message's lengths
		return a << 32 | b;
	default: // what stands elsewhere, or nearly
		return load_relaxed(take_word(segment, program)) + (a & 1) - (a >> 1 & 1);
	}
}

// A link to channel INDEX as it is now, so that a walk doesn't find out.
static uint64_t true_link(const struct shm_segment *segment, uint32_t index, uint64_t mark)
{
	uint64_t generation = load_relaxed(&segment->channel[index].ring.generation);

	return generation << 32 | (uint64_t)(index + 1) << 11 | mark;
}

// Ties the list of a bucket that is in use into a knot of two channels, marked or not.
static void tangle(const struct shm_segment *segment, struct program *program)
{
	uint32_t from = (uint32_t)take(program, 1) % segment->channels,
	         to = (uint32_t)take(program, 1) % segment->channels;
	uint64_t marks = take(program, 1);
	uint32_t bucket = load_relaxed(&segment->channel[from].hash) & segment->bucket_mask;

	store_relaxed(&segment->channel[from].link, true_link(segment, to, marks & 1));
	store_relaxed(&segment->channel[to].link, true_link(segment, from, marks >> 1 & 1));
	store_relaxed(&segment->buckets[bucket], true_link(segment, from, 0));
}

// Fills a whole ring with words that resemble each other.
static void flood(const struct shm_segment *segment, struct program *program)
{
	uint64_t value = take_value(segment, program), more = take_value(segment, program);
	uint32_t index = (uint32_t)take(program, 1) % segment->channels,
	         wide = segment->geometry.wide;
	size_t count = (size_t)1 << (index < wide ? SHM_WIDE_ORDER : SHM_NARROW_ORDER);
	shm_atomic64 *slot = segment->slots;

	slot += index < wide ? index * count
	                     : ((size_t)wide << SHM_WIDE_ORDER) + (index - wide) * count;
	for (size_t i = 0; i < count; i++, value += more)
		store_relaxed(&slot[i], value);
}

// Writes into what is counted of a channel: a mark, or a count, of this generation or another; or the layer's marks.
static void miscount(const struct shm_segment *segment, struct program *program)
{
	struct shm_channel_mem *channel = &segment->channel[take(program, 1) % segment->channels];
	uint64_t place = take(program, 1), a = take(program, 1), b = take(program, 1);
	uint64_t generation = load_relaxed(&channel->ring.generation) + (b & 1);
	uint64_t mark = ((uint64_t)channel_now() + a - 128) << 32 | (b & 1 ? b : UINT32_MAX - b);

	switch (place % 5) {
	case 0:
		store_relaxed(&channel->tally.sent.mark[place >> 7], mark);
		break;
	case 1:
		store_relaxed(&channel->tally.full.mark[place >> 7], mark);
		break;
	case 2:
		store_relaxed(&segment->housekeeping->sent.mark[place >> 7], mark);
		break;
	case 3:
		store_relaxed(&segment->housekeeping->full.mark[place >> 7], mark);
		break;
	default:
		store_relaxed(&channel->tally.count[place % SHM_TALLIES],
		        generation << 40 | (b & 2 ? a : (1ull << 40) - 1 - a));
	}
}

static void scribble(struct program *program)
{
	const struct shm_segment *segment = &users[0].layer->segment;
	uint64_t how = take(program, 1);
	shm_atomic64 *word;

	if (how < 0x10) {
		tangle(segment, program);
	} else if (how < 0x18) {
		flood(segment, program);
	} else if (how < 0x20) {
		miscount(segment, program);
	} else {
		word = take_word(segment, program);
		store_relaxed(word, take_value(segment, program));
	}
}

// ---------------------------------------------------------------------------------------------
// The library's calls
// ---------------------------------------------------------------------------------------------

static const char *choose_name(const struct user *user, uint64_t choice)
{
	static const char *const names[] = {"a", "b", "wide", "c", "dd", "eee"};
	const struct user *other = &users[choice >> 5 & 1];

	(void)user;
	switch (choice >> 3 & 3) {
	case 0:
		return other->replies[choice % REPLIES];
	case 1:
		return other->streams[choice % REPLIES];
	default:
		return names[choice % (sizeof names / sizeof *names)];
	}
}

static void send_message(struct user *user, uint64_t choice, uint64_t size)
{
	static const uint32_t sizes[] = {0, 20, 600, 5000, 70000, 200000};
	static char content[200000];
	struct forebay_message *message = forebay_message_new(user->layer);

	fuzz_require(message);
	forebay_put_text(message, "reply_channel", users[choice & 1].replies[0]);
	forebay_put_integer(message, "n", (int64_t)choice);
	if (size % 8 < 6)
		forebay_set_content(message, content, sizes[size % 8], FOREBAY_TEXT);
	(void)forebay_send(user->layer, choose_name(user, choice), message, 0);
	forebay_message_free(message);
}

// Under either way to say it.
static void send_later(struct user *user, uint64_t choice)
{
	struct forebay_message *message = forebay_message_new(user->layer);

	fuzz_require(message);
	if (choice & 0x10) {
		forebay_put_text(message, "channel", choose_name(user, choice));
		forebay_put_integer(message, "delay", (int64_t)choice);
		forebay_begin_object(message, "content");
		forebay_end(message);
		(void)forebay_send(user->layer, CHANNEL_DELAY_NAME, message, 0);
	} else {
		(void)forebay_send_after(
		        user->layer, choose_name(user, choice), message, (int)choice * 4);
	}
	forebay_message_free(message);
}

static void ignore_owner(void *owner, void *context)
{
	(void)context;
	fuzz_require(owner == &users[0] || owner == &users[1]);
}

// Touches all that a consumer can see of a message.
static void look_at(struct forebay_message *message)
{
	struct iovec iov[FOREBAY_CONTENT_IOV];
	volatile char sink = 0;
	size_t length;
	const char *text = forebay_message_content(message, &length, NULL);
	int count;

	for (size_t i = 0; text && i < length; i += 512)
		sink = text[i];
	count = forebay_message_content_iov(message, iov, FOREBAY_CONTENT_IOV);
	fuzz_require(count <= FOREBAY_CONTENT_IOV);
	for (int i = 0; i < count; i++)
		if (iov[i].iov_len > 0)
			sink = ((char *)iov[i].iov_base)[iov[i].iov_len - 1];
	(void)sink;
	(void)forebay_message_reply_channel(message);
	(void)forebay_message_root(message);
	(void)forebay_message_json(message, &length);
	fuzz_require(strlen(forebay_message_channel(message)) <= FOREBAY_NAME_MAX);
	(void)forebay_message_age(message);
	(void)forebay_message_owner(message);
	(void)forebay_message_group(message);
	(void)forebay_message_recipients(message, ignore_owner, NULL);
}

static void receive_message(struct user *user, uint64_t choice)
{
	struct forebay_message **place = &user->held[choice % HELD];

	forebay_message_free(*place);
	*place = NULL;
	if (forebay_receive(user->layer, 0, place) == 0 && choice & 0x80)
		look_at(*place);
}

static int ignore_process_stat(const struct forebay_process_stat *stat, void *context)
{
	(void)context;
	fuzz_require(strlen(stat->role) < SHM_ROLE_SIZE);
	return 0;
}

static int ignore_group_stat(const struct forebay_group_stat *stat, void *context)
{
	(void)context;
	fuzz_require(strlen(stat->name) <= FOREBAY_NAME_MAX);
	return 0;
}

static int ignore_member(const char *channel, void *context)
{
	(void)context;
	fuzz_require(strlen(channel) <= FOREBAY_NAME_MAX);
	return 0;
}

static int ignore_metric_stat(const struct forebay_metric_stat *stat, void *context)
{
	(void)context;
	fuzz_require(strlen(stat->name) <= FOREBAY_METRIC_NAME_MAX);
	fuzz_require(strlen(stat->help) <= FOREBAY_METRIC_HELP_MAX);
	return 0;
}

static void count_metric(struct user *user, uint64_t choice)
{
	static const char *const names[] = {"a", "b_total{x=\"y\"}", "c_bucket{le=\"1\"}", "c_sum"};
	struct forebay_metric metric;

	(void)forebay_metric_open(user->layer, names[choice % 4],
	        (enum forebay_metric_kind)(choice / 4 % 3), "help", &metric);
	forebay_metric_add(&metric, 1);
	forebay_metric_set(&metric, (double)choice);
}

static int look_at_copy(struct forebay_message *message, void *context)
{
	(void)context;
	look_at(message);
	return 0;
}

static void look_into(struct user *user, const char *channel)
{
	static struct forebay_watch watch;

	(void)forebay_peek(user->layer, channel, look_at_copy, NULL);
	(void)forebay_watch(user->layer, channel, &watch, look_at_copy, NULL);
}

// Whatever the marks say, a rate is one.
static void judge_rate(double rate, uint64_t most)
{
	fuzz_require(rate >= 0 && rate <= (double)most);
}

static void judge_rates(const struct forebay_channel_stat *stat)
{
	judge_rate(stat->statistics.messages_count_per_second, stat->sent);
	judge_rate(stat->statistics.channel_full_count_per_second, stat->full);
}

static int ignore_channel_stat(const struct forebay_channel_stat *stat, void *context)
{
	(void)context;
	fuzz_require(strlen(stat->name) < SHM_NAME_SIZE);
	judge_rates(stat);
	return 0;
}

static void look_around(struct user *user)
{
	struct forebay_channel_stat channel;
	struct forebay_layer_stat stat;

	(void)forebay_stat(user->layer, &stat);
	look_into(user, "a");
	(void)forebay_group_history(
	        user->layer, "g", &(struct forebay_history){0}, look_at_copy, NULL);
	look_into(user, users[0].streams[0]);
	if (forebay_stat_channel(user->layer, "a", &channel) == 0)
		judge_rates(&channel);
	(void)forebay_stat_channels(user->layer, ignore_channel_stat, NULL);
	(void)forebay_stat_processes(user->layer, ignore_process_stat, NULL);
	(void)forebay_stat_groups(user->layer, ignore_group_stat, NULL);
	(void)forebay_stat_metrics(user->layer, ignore_metric_stat, NULL);
	(void)forebay_stat_process_metrics(
	        user->layer, user->layer->self.slot, ignore_metric_stat, NULL);
}

// Announces a reply channel, or farewells one that may have been announced.
static void talk_of_reply(struct user *user, char *reply, bool announce)
{
	struct forebay_message *message = forebay_message_new(user->layer);

	fuzz_require(message);
	if (announce) {
		if (reply[0])
			(void)forebay_reply_close(user->layer, reply);
		reply[0] = '\0';
		(void)forebay_reply_open(user->layer, "websocket.send", 0, user, reply);
		(void)forebay_reply_announce(user->layer, reply, "c", message);
	} else {
		(void)forebay_reply_farewell(user->layer, reply, "dd", message);
	}
	forebay_message_free(message);
}

static void send_to_group(struct user *user, const char *group)
{
	struct forebay_message *message = forebay_message_new(user->layer);
	uint64_t reached;

	fuzz_require(message);
	(void)forebay_group_send(user->layer, group, message, &reached);
	forebay_message_free(message);
}

static void call_group(struct user *user, uint64_t choice, uint64_t what)
{
	static const char *const groups[] = {"g", "h", "other", "a"};
	const char *group = groups[choice >> 6], *channel = choose_name(user, choice);
	uint64_t size;

	switch (what % 8) {
	case 0:
	case 1:
	case 2:
		(void)forebay_group_add(user->layer, group, channel);
		break;
	case 3:
		(void)forebay_group_discard(user->layer, group, channel);
		break;
	case 4:
		send_to_group(user, group);
		break;
	case 5:
		(void)forebay_group_size(user->layer, group, &size);
		(void)forebay_group_channels(user->layer, group, ignore_member, NULL);
		break;
	case 6:
		shm_compact_sweep(&user->layer->table, channel_now(), (uint32_t)choice);
		break;
	default:
		(void)shm_compact_all(&user->layer->table, channel_now());
	}
}

static void attach(struct user *user, const char *name)
{
	static const struct forebay_options options = {.size = 3 << 20,
	        .channels = 16,
	        .reply_channels = 64,
	        .capacity = 5,
	        .capacities = "wide=200,r!*=3,b=2/drop-oldest,s?*=4/keep-latest",
	        .group_histories = "*=5/10K/30s"};
	int result = forebay_open(name, &options, &user->layer);

	// Another may be refused in a segment that was scribbled over; the first finds it fresh.
	fuzz_require(result == 0 || user != &users[0]);
}

static void detach(struct user *user)
{
	for (int i = 0; i < HELD; i++) {
		forebay_message_free(user->held[i]);
		user->held[i] = NULL;
	}
	forebay_close(user->layer);
	*user = (struct user){0};
}

static void call(struct user *user, const char *layer_name, uint64_t what, struct program *program)
{
	uint64_t choice = take(program, 1);
	char *reply = user->replies[choice % REPLIES], *stream = user->streams[choice % REPLIES];

	if (!user->layer) {
		attach(user, layer_name);
		return;
	}
	if (what >= 0x80) {
		call_group(user, choice, what);
		return;
	}
	switch (what % 16) {
	case 0:
	case 1:
	case 2:
		send_message(user, choice, take(program, 1));
		break;
	case 3:
	case 4:
		receive_message(user, choice);
		break;
	case 5:
		(void)forebay_listen(user->layer, choose_name(user, choice));
		break;
	case 6:
		(void)forebay_ignore(user->layer, choose_name(user, choice));
		break;
	case 7:
		if (reply[0])
			(void)forebay_reply_close(user->layer, reply);
		reply[0] = '\0';
		(void)forebay_reply_open(user->layer, "r", (uint32_t)choice >> 4, user, reply);
		break;
	case 8:
		if (stream[0])
			(void)forebay_stream_close(user->layer, stream);
		stream[0] = '\0';
		(void)forebay_stream_open(user->layer, "s", stream);
		break;
	case 9:
		(void)forebay_flush(
		        user->layer, choice & 1 ? NULL : choose_name(user, choice), NULL);
		break;
	case 10:
		(void)forebay_reap(user->layer);
		break;
	case 11:
		look_around(user);
		break;
	case 12:
		(void)forebay_fd(user->layer);
		if (choice & 0x80)
			talk_of_reply(user, reply, choice & 0x40);
		else
			count_metric(user, choice);
		break;
	case 13: // as its housekeeping does
		shm_pool_trim(&user->layer->pool);
		channel_reply_heal(user->layer);
		break;
	case 14:
		choice & 1 ? forebay_cork(user->layer) : forebay_uncork(user->layer);
		if (choice & 2)
			send_later(user, choice);
		if (choice & 4)
			shm_clock_ahead += (int64_t)choice * 8;
		(void)channel_deliver(user->layer, channel_now(), choice & 8);
		break;
	default: // the first one's mapping is the scribbler's too
		if (user != &users[0])
			detach(user);
	}
}

static void run(struct program program)
{
	char name[64];

	shm_clock_ahead = 0;
	setenv("FOREBAY_DIR", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", 1);
	snprintf(name, sizeof name, "fuzz.%d", (int)getpid());
	(void)forebay_remove(name); // of one that was killed and had our number
	attach(&users[0], name);
	while (program.left > 0) {
		uint64_t what = take(&program, 1);

		arm_limit();
		// More than half are calls, or nothing much would be in the segment.
		if (what >= 0xa0)
			scribble(&program);
		else
			call(&users[what / 16 % USERS], name, what, &program);
	}
	arm_limit();
	for (int i = USERS - 1; i >= 0; i--)
		detach(&users[i]);
	fuzz_require(forebay_remove(name) == 0);
}

static void run_seeded(const uint8_t *data, size_t size)
{
	static uint8_t octets[LONG_PROGRAM];
	uint64_t state = 0x9e3779b97f4a7c15;

	for (size_t i = 0; i < size; i++)
		state = (state ^ data[i]) * 0x100000001b3;
	for (size_t i = 0; i < sizeof octets; i++) {
		state = state * 6364136223846793005 + 1442695040888963407;
		octets[i] = (uint8_t)(state >> 56);
	}
	run((struct program){octets, sizeof octets});
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size <= SEED_SIZE && size > 4 && memcmp(data, "seed", 4) == 0)
		run_seeded(data, size);
	else
		run((struct program){data, size});
	return 0;
}
