// SPDX-License-Identifier: MIT
// What the library does when there is no memory: each of its allocations fails in turn, and each with all that follow it.
// It answers so, or does without; it neither crashes nor keeps anything, of its own memory or of the layer's.

#include "channel/layer.h"
#include "tests/channel/support.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_HEAP 0 // the sanitizer has its own: everything is done once, without a failure
#else
#define OWN_HEAP 1
#endif

#define NONE INT64_MAX

static int64_t fail_from = NONE, fail_until; // allocations, counted from 0
static int64_t allocations, kept;

#if OWN_HEAP
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void __libc_free(void *memory);

static bool fails(void)
{
	int64_t number = fail_from == NONE ? -1 : allocations++;

	if (number < fail_from || number >= fail_until) {
		kept++;
		return false;
	}
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
	if (fails())
		return NULL;
	kept -= memory != NULL;
	return __libc_realloc(memory, size);
}

void free(void *memory)
{
	kept -= memory != NULL;
	__libc_free(memory);
}
#endif

// What didn't succeed in one run.
static int refused;

static void try(bool done)
{
	refused += !done;
}

static int look(struct forebay_message *message, void *context)
{
	(void)context;
	try(forebay_message_json(message, NULL) != NULL);
	return 0;
}

static int count_channel(const struct forebay_channel_stat *stat, void *context)
{
	(void)stat;
	(void)context;
	return 0;
}

static void take_in(void *owner, void *context)
{
	(void)owner;
	(void)context;
}

static void send_all_kinds(struct forebay *layer, struct forebay_message *message)
{
	static const char json[] = "{\"a\": [1, {\"b\": \"\\u00e4\\n\"}], \"content\": \"AAEC\", "
	                           "\"binary\": true}";
	static const char content[300000];

	try(forebay_message_from_json(message, json, strlen(json), NULL) == 0);
	try(forebay_send(layer, "x", message, 0) == 0);
	forebay_message_reset(message);
	forebay_put_latin1(message, "latin1", "\xe4\xf6", 2);
	forebay_put_text(message, "text", "a \"b\"\n");
	forebay_set_content(message, content, sizeof content, FOREBAY_BINARY);
	try(forebay_send(layer, "x", message, 0) == 0);
	try(forebay_send_after(layer, "x", message, 1) == 0);
	forebay_message_reset(message);
	forebay_put_text(message, "channel", "x");
	forebay_put_integer(message, "delay", 1);
	forebay_begin_object(message, "content");
	forebay_end(message);
	try(forebay_send(layer, "asgi.delay", message, 0) == 0);
}

static void use_groups(struct forebay *layer, struct forebay_message *message, const char *reply)
{
	struct forebay_history history = {0};

	try(forebay_group_add(layer, "g", reply) == 0);
	try(forebay_group_add(layer, "g", "x") == 0);
	try(forebay_group_send(layer, "g", message, NULL) == 0);
	try(forebay_group_history(layer, "g", &history, look, NULL) == 0);
}

static void receive_all(struct forebay *layer)
{
	struct forebay_message *message;

	while (forebay_receive(layer, 0, &message) == 0) {
		size_t length;

		try(forebay_message_root(message) != NULL);
		try(forebay_message_kind(message) == FOREBAY_NO_CONTENT ||
		        forebay_message_content(message, &length, NULL));
		(void)forebay_message_recipients(message, take_in, NULL);
		(void)look(message, NULL);
		forebay_message_free(message);
	}
}

static void use_layer(struct forebay *layer)
{
	struct forebay_message *message = forebay_message_new(layer);
	char reply[FOREBAY_NAME_SIZE], stream[FOREBAY_NAME_SIZE], name[8];
	struct forebay_watch watch = {0};
	struct forebay_metric metric;

	for (int i = 0; i < 9; i++) { // so that the list grows
		snprintf(name, sizeof name, "%c", "xabcdefgh"[i]);
		try(forebay_listen(layer, name) == 0);
	}
	try(message != NULL);
	try(forebay_watch(layer, "x", &watch, look, NULL) == 0);
	if (message && forebay_reply_open(layer, "websocket.send", 4, NULL, reply) == 0) {
		send_all_kinds(layer, message);
		forebay_message_reset(message);
		forebay_put_text(message, "some", "thing");
		try(forebay_reply_announce(layer, reply, "x", message) == 0);
		use_groups(layer, message, reply);
		try(forebay_send(layer, reply, message, 0) == 0);
		if (forebay_stream_open(layer, "s", stream) == 0) {
			try(forebay_listen(layer, stream) == 0);
			try(forebay_send(layer, stream, message, 0) == 0);
			try(forebay_stream_close(layer, stream) == 0);
		}
		try(forebay_peek(layer, "x", look, NULL) == 0);
		try(forebay_watch(layer, "x", &watch, look, NULL) == 0);
		channel_clock_ahead += 1000;
		receive_all(layer);
		try(forebay_reply_farewell(layer, reply, "x", message) == 0);
	} else {
		try(false);
	}
	forebay_message_free(message);
	receive_all(layer);
	try(forebay_metric_open(layer, "a_total", FOREBAY_METRIC_COUNTER, "a", &metric) == 0);
	try(forebay_stat_channels(layer, count_channel, NULL) == 0);
}

static void use_everything(void)
{
	struct forebay_options options = {.size = 16 << 20,
	        .reply_channels = 256,
	        .capacity = 50,
	        .group_histories = "g=5",
	        .drops = "none=1"};
	struct forebay *layer;
	int result = forebay_open(NULL, &options, &layer);

	try(result == 0);
	if (result == 0) {
		try(forebay_fd(layer) >= 0);
		use_layer(layer);
		forebay_close(layer);
	} else {
		try(strstr(forebay_error(), "memory") != NULL);
	}
	options.observe = true;
	result = forebay_open(NULL, &options, &layer);
	try(result == 0);
	if (result == 0) {
		try(forebay_peek(layer, "websocket.disconnect", look, NULL) == 0);
		forebay_close(layer);
	}
}

// Everything once, while allocations FROM to UNTIL fail; nothing of it is left.
static void run(int64_t from, int64_t until)
{
	int64_t before = kept;
	struct forebay *layer;

	refused = 0;
	allocations = 0;
	fail_until = until;
	fail_from = from;
	use_everything();
	fail_from = NONE;
	EXPECT_INT(kept, before);
	layer = attach(&(struct forebay_options){.size = 16 << 20});
	// What was owed is sent, and then all that waits has had its time, in histories too.
	EXPECT_INT(forebay_reap(layer), 0);
	channel_clock_ahead += 3600000;
	EXPECT_INT(forebay_reap(layer), 0);
	EXPECT_INT(used_blocks(layer), 0);
	discard(layer);
}

TEST(everything_works_while_there_is_memory)
{
	setenv("FOREBAY_DIR", test_directory, 1);
	setenv("FOREBAY_LAYER", "test", 1);
	use_everything();
	EXPECT_INT(refused, 0);
	discard(attach(NULL));
}

TEST(whichever_allocation_fails_nothing_is_lost_with_it)
{
	int64_t number = 0;

	setenv("FOREBAY_DIR", test_directory, 1);
	setenv("FOREBAY_LAYER", "test", 1);
	run(NONE, NONE); // what libc allocates once
	do {
		run(number, number + 1);
		EXPECT(!test_failed());
	} while (++number < allocations);
	EXPECT(!OWN_HEAP || number > 50);
}

TEST(nor_if_all_that_follow_fail_too)
{
	int64_t number = 0;

	setenv("FOREBAY_DIR", test_directory, 1);
	setenv("FOREBAY_LAYER", "test", 1);
	run(NONE, NONE);
	do {
		run(number, NONE);
		EXPECT(!test_failed());
		EXPECT(!OWN_HEAP || number >= allocations || refused > 0);
	} while (++number < allocations);
}
