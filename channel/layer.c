// SPDX-License-Identifier: MIT
#include "channel/layer.h"

#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channel/name.h"
#include "channel/quantity.h"

#define DEFAULT_SIZE           (48ull << 20)
#define DEFAULT_CHANNELS       1024
#define DEFAULT_REPLY_CHANNELS 65536
#define DEFAULT_CAPACITY       100
#define DEFAULT_EXPIRY         60
#define DEFAULT_GROUP_EXPIRY   86400
#define OPEN_TRIES             16 // of one attach, because others removed the layer meanwhile

static _Thread_local char error_text[512];

// All attachments of this process, for the fork handler.
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static struct forebay *list;

const char *forebay_error(void)
{
	return error_text;
}

__attribute__((format(printf, 2, 3))) static int fail(int result, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error_text, sizeof error_text, format, arguments);
	va_end(arguments);
	return result;
}

const char *forebay_strerror(int result)
{
	static const char *const texts[] = {
	        [FOREBAY_OK] = "success",
	        [FOREBAY_FULL] = "the channel is full",
	        [FOREBAY_TIMEOUT] = "timed out",
	        [FOREBAY_GONE] = "the receiver is gone",
	        [FOREBAY_TOO_LARGE] = "the message is larger than 1 MB",
	        [FOREBAY_BAD_NAME] = "the name isn't valid, or not for this use",
	        [FOREBAY_BAD_MESSAGE] = "the message is malformed",
	        [FOREBAY_NO_MEMORY] = "the layer's message memory is all in use",
	        [FOREBAY_NO_CHANNEL] = "the layer has no room for more channels, groups or metrics",
	};

	if (result < 0)
		return strerror(-result);
	return result < (int)(sizeof texts / sizeof *texts) ? texts[result] : "unknown result";
}

// ---------------------------------------------------------------------------------------------
// Fork: the child must not go on with its parent's slot, nor keep its liveness lock alive
// ---------------------------------------------------------------------------------------------

static void before_fork(void)
{
	pthread_mutex_lock(&list_lock);
}

static void after_fork_in_parent(void)
{
	pthread_mutex_unlock(&list_lock);
}

static void after_fork_in_child(void)
{
	for (struct forebay *layer = list; layer; layer = layer->next) {
		layer->stale = true;
		layer->observes = false;
		close(layer->self.lock);
		layer->self.lock = -1;
	}
	pthread_mutex_unlock(&list_lock);
}

static void register_fork_handlers(void)
{
	pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

static void list_add(struct forebay *layer)
{
	pthread_once(&fork_once, register_fork_handlers);
	pthread_mutex_lock(&list_lock);
	layer->next = list;
	list = layer;
	pthread_mutex_unlock(&list_lock);
}

static void list_remove(struct forebay *layer)
{
	for (struct forebay **at = &list; *at; at = &(*at)->next) {
		if (*at == layer) {
			*at = layer->next;
			break;
		}
	}
}

// Gives the slot back, if it has one. No fork in between: a child would keep our liveness lock, or close, in its place,
// what has got its descriptor's number since.
static void leave(struct forebay *layer)
{
	pthread_mutex_lock(&list_lock);
	if (!layer->stale && layer->self.mem)
		shm_process_leave(&layer->self);
	if (layer->observes)
		shm_process_look_away(&layer->self);
	list_remove(layer);
	pthread_mutex_unlock(&list_lock);
}

// ---------------------------------------------------------------------------------------------
// Attach and detach
// ---------------------------------------------------------------------------------------------

static bool is_layer_name(const char *name)
{
	size_t length =
	        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return length > 0 && length <= 64 && name[length] == '\0' && name[0] != '.';
}

int channel_layer_path(const char **name, char path[CHANNEL_PATH_SIZE])
{
	const char *directory = getenv("FOREBAY_DIR");

	if (!*name || !**name)
		*name = getenv("FOREBAY_LAYER");
	if (!*name || !**name)
		*name = "default";
	if (!is_layer_name(*name))
		return fail(-EINVAL,
		        "\"%s\" is not a layer name: it has 1 to 64 letters, digits, '.', '_' or "
		        "'-'",
		        *name);
	if (!directory || !*directory)
		directory = "/dev/shm";
	if (snprintf(path, CHANNEL_PATH_SIZE, "%s/forebay.%s", directory, *name) >=
	        CHANNEL_PATH_SIZE)
		return fail(-ENAMETOOLONG, "FOREBAY_DIR is too long");
	return 0;
}

static int find_group(const char *name, int64_t *gid)
{
	struct group *group;

	*gid = -1;
	if (!name || !*name)
		return 0;
	group = getgrnam(name);
	if (!group)
		return fail(-EINVAL, "there is no group \"%s\"", name);
	*gid = group->gr_gid;
	return 0;
}

static int find_user(const char *name, int64_t *uid)
{
	struct passwd *user;

	*uid = -1;
	if (!name)
		return 0;
	*uid = geteuid();
	if (!*name)
		return 0;
	user = getpwnam(name);
	if (!user)
		return fail(-EINVAL, "there is no user \"%s\"", name);
	*uid = user->pw_uid;
	return 0;
}

// 0 if any will do.
static int find_seed(const struct forebay_options *options, uint64_t *seed)
{
	const char *text = getenv("FOREBAY_DROP_SEED");

	*seed = options->drop_seed;
	if (*seed != 0 || !text || !*text)
		return 0;
	if (!channel_quantity_read(text, strlen(text), CHANNEL_NUMBER, UINT64_MAX, seed) ||
	        *seed == 0)
		return fail(-EINVAL, "FOREBAY_DROP_SEED is \"%.64s\", not a number from 1 to %llu",
		        text, (unsigned long long)UINT64_MAX);
	return 0;
}

// The capacity patterns as one text, the default at its end; behind a line feed, those of histories.
static int make_patterns(const struct forebay_options *options, char patterns[SHM_PATTERNS_SIZE])
{
	const char *given = options->capacities ? options->capacities
	                    : options->capacity ? ""
	                                        : FOREBAY_CAPACITIES;
	const char *histories = options->group_histories ? options->group_histories : "";
	uint32_t capacity = options->capacity ? options->capacity : DEFAULT_CAPACITY;
	int length = snprintf(patterns, SHM_PATTERNS_SIZE, "%s%s*=%u%s%s", given, *given ? "," : "",
	        capacity, *histories ? "\n" : "", histories);
	const char *error;

	if (length >= SHM_PATTERNS_SIZE)
		return fail(-EINVAL, "capacities and group histories are longer than %d octets",
		        SHM_PATTERNS_SIZE - (int)sizeof ",*=4294967295");
	error = channel_history_error(histories);
	if (error)
		return fail(-EINVAL, "group histories \"%s\" %s", histories, error);
	if (strchr(given, '\n'))
		return fail(-EINVAL, "capacities contain a line feed");
	error = channel_name_patterns_error(patterns, 1u << SHM_WIDE_ORDER);
	if (error)
		return fail(-EINVAL, "capacities \"%s\" %s (numbers from 1 to %u)", given, error,
		        1u << SHM_WIDE_ORDER);
	return 0;
}

static int check_drops(const char *drops)
{
	const char *error = drops ? channel_name_drops_error(drops) : NULL;

	if (drops && strlen(drops) >= SHM_DROPS_SIZE)
		error = "are too long";
	return error ? fail(-EINVAL, "drops \"%.64s\" %s", drops, error) : 0;
}

static int make_geometry(const struct forebay_options *options, struct shm_geometry *geometry)
{
	uint64_t size = options->size ? options->size : DEFAULT_SIZE;
	uint32_t channels = options->channels ? options->channels : DEFAULT_CHANNELS;
	uint32_t replies =
	        options->reply_channels ? options->reply_channels : DEFAULT_REPLY_CHANNELS;
	uint32_t expiry = options->expiry ? options->expiry : DEFAULT_EXPIRY;
	uint32_t group_expiry =
	        options->group_expiry ? options->group_expiry : DEFAULT_GROUP_EXPIRY;

	if (shm_geometry_choose(geometry, size, channels, replies, options->groups) < 0)
		return fail(-EINVAL,
		        "a layer of %llu KiB can't hold %u channels, %u reply channels and their "
		        "groups; make it larger, or these fewer",
		        (unsigned long long)size >> 10, channels, replies);
	if (expiry > UINT32_MAX / 1000 || group_expiry > UINT32_MAX / 1000)
		return fail(-EINVAL, "an expiry of %u seconds is too long",
		        expiry > group_expiry ? expiry : group_expiry);
	geometry->expiry = expiry * 1000;
	geometry->group_expiry = group_expiry * 1000;
	return 0;
}

// Appends to the list of differences.
__attribute__((format(printf, 2, 3))) static void differ(
        struct forebay *layer, const char *format, ...)
{
	char *before = layer->differences, *fact;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&fact, format, arguments) < 0)
		fact = NULL;
	va_end(arguments);
	if (!fact || asprintf(&layer->differences, "%s%s%s", before ? before : "",
	                     before ? ", " : "", fact) < 0)
		layer->differences = NULL;
	free(before);
	free(fact);
}

static void compare_patterns(struct forebay *layer, const char *wanted)
{
	const char *is = layer->segment.patterns;
	int length = (int)strcspn(is, "\n"), other = (int)strcspn(wanted, "\n");

	if (length != other || strncmp(is, wanted, (size_t)length) != 0)
		differ(layer, "capacities %.*s, not %.*s", length < 300 ? length : 300, is,
		        other < 300 ? other : 300, wanted);
	is += length + (is[length] == '\n');
	wanted += other + (wanted[other] == '\n');
	if (strcmp(is, wanted) != 0)
		differ(layer, "group histories %.300s, not %.300s", *is ? is : "none",
		        *wanted ? wanted : "none");
}

// Says in what an existing layer isn't as TERMS have it.
static void compare(struct forebay *layer, const struct shm_terms *terms, const char *group)
{
	const struct shm_geometry *is = &layer->segment.geometry, *wanted = terms->geometry;
	const char *drops = terms->drops ? terms->drops : "";
	uint64_t size = shm_geometry_size(wanted);

	if (!shm_segment_differs(&layer->segment, terms))
		return;
	if (is->narrow != wanted->narrow)
		differ(layer, "%u channels, not %u", is->narrow, wanted->narrow);
	if (is->endpoints != wanted->endpoints)
		differ(layer, "%u reply channels, not %u", is->endpoints, wanted->endpoints);
	if (is->groups != wanted->groups)
		differ(layer, "%u groups, not %u", is->groups, wanted->groups);
	if (layer->segment.size != size)
		differ(layer, "size %.1f MiB, not %.1f", (double)layer->segment.size / (1 << 20),
		        (double)size / (1 << 20));
	if (is->expiry != wanted->expiry)
		differ(layer, "expiry %u s, not %u", is->expiry / 1000, wanted->expiry / 1000);
	if (is->group_expiry != wanted->group_expiry)
		differ(layer, "group expiry %u s, not %u", is->group_expiry / 1000,
		        wanted->group_expiry / 1000);
	compare_patterns(layer, terms->patterns);
	if (strcmp(layer->segment.drops, drops) != 0)
		differ(layer, "drops %.300s on purpose, not %.300s",
		        layer->segment.drops[0] ? layer->segment.drops : "nothing",
		        drops[0] ? drops : "nothing");
	if (!layer->differences)
		differ(layer, terms->group == -1 ? "shared with a group" : "not of the group %s",
		        group);
}

static int open_segment(
        struct forebay *layer, const char *name, const struct forebay_options *options)
{
	char patterns[SHM_PATTERNS_SIZE], path[CHANNEL_PATH_SIZE];
	struct shm_geometry geometry;
	struct shm_terms terms = {.geometry = options->must_exist ? NULL : &geometry,
	        .patterns = patterns,
	        .drops = options->drops,
	        .replace = options->replace && !options->must_exist};
	int result = channel_layer_path(&name, path);

	if (result == 0)
		result = make_patterns(options, patterns);
	if (result == 0)
		result = check_drops(options->drops);
	if (result == 0)
		result = make_geometry(options, &geometry);
	if (result == 0)
		result = find_group(options->group, &terms.group);
	if (result == 0)
		result = find_user(options->user, &terms.owner);
	if (result == 0)
		result = find_seed(options, &layer->dice);
	if (result < 0)
		return result;
	snprintf(layer->name, sizeof layer->name, "%s", name);
	result = shm_segment_open(&layer->segment, path, &terms, error_text, sizeof error_text);
	if (result == 0 && terms.geometry)
		compare(layer, &terms, options->group);
	return result;
}

// Why a segment that is open could not be opened once more, for a lock of its own.
static int fail_to_reopen(const struct forebay *layer, int error)
{
	return fail(error,
	        "layer \"%s\": cannot open its segment again as /proc/self/fd/%d: %s; %s",
	        layer->name, layer->segment.file, strerror(-error),
	        error == -EMFILE ? "allow more open files (ulimit -n)" : "is /proc mounted?");
}

static int join(struct forebay *layer, const char *role)
{
	struct shm_reaped reaped = {0};
	bool dirty;
	int result = shm_process_join(&layer->self, &layer->segment, role ? role : "");

	if (result == -ESTALE)
		return result;
	if (result == -EUSERS)
		return fail(result,
		        "layer \"%s\" has its %d processes, and none of them is dead; end some of "
		        "them (`forebay stat` lists them)",
		        layer->name, SHM_PROCESSES);
	if (result < 0)
		return fail_to_reopen(layer, result);
	result = shm_pool_init(&layer->pool, &layer->segment, layer->self.uid);
	if (result < 0)
		return fail(result, "cannot attach to layer \"%s\": %s", layer->name,
		        strerror(-result));
	shm_table_init(&layer->table, &layer->segment, &layer->self, &layer->pool);
	shm_doorbell_init(&layer->bell, &layer->segment, &layer->self);
	// Whoever had the slot before may have died in it.
	dirty = load_relaxed(&layer->self.mem->incarnation) > 1;
	if (dirty)
		shm_reaper_release(&layer->table, layer->self.slot, &reaped);
	return 0;
}

static int attach(struct forebay *layer, const char *name, const struct forebay_options *options)
{
	// A layer that was removed or replaced between the two steps is looked for once more.
	for (int tries = 0; tries < OPEN_TRIES; tries++) {
		int result = open_segment(layer, name, options);

		if (result < 0)
			return result;
		// No fork in between: a child would hold our liveness lock without knowing of it.
		pthread_mutex_lock(&list_lock);
		result = join(layer, options->role);
		pthread_mutex_unlock(&list_lock);
		if (result != -ESTALE)
			return result;
		shm_segment_fini(&layer->segment);
		free(layer->differences);
		layer->differences = NULL;
	}
	return fail(-EAGAIN, "layer \"%s\" is removed again and again; try later", layer->name);
}

// Without a slot, on a mapping that can't be written. Everything but looking takes the attachment for stale.
static int observe(struct forebay *layer, const char *name)
{
	char path[CHANNEL_PATH_SIZE];
	int result = channel_layer_path(&name, path);

	if (result < 0)
		return result;
	snprintf(layer->name, sizeof layer->name, "%s", name);
	result = shm_segment_inspect(&layer->segment, path, error_text, sizeof error_text);
	if (result == -ENOENT)
		return fail(result,
		        "%s: no such layer; start `forebay serve`, or check the name and "
		        "FOREBAY_DIR",
		        path);
	if (result < 0)
		return result;
	if (error_text[0]) // what keeps a process from attaching
		return -EACCES;
	pthread_mutex_lock(&list_lock);
	result = shm_process_observe(&layer->self, &layer->segment);
	layer->observes = result == 0;
	pthread_mutex_unlock(&list_lock);
	if (result < 0)
		return fail_to_reopen(layer, result);
	result = shm_pool_init(&layer->pool, &layer->segment, 0);
	if (result < 0)
		return fail(
		        result, "cannot look at layer \"%s\": %s", layer->name, strerror(-result));
	shm_table_init(&layer->table, &layer->segment, &layer->self, &layer->pool);
	return 0;
}

int forebay_open(const char *name, const struct forebay_options *options, struct forebay **out)
{
	static const struct forebay_options defaults;
	struct forebay *layer = calloc(1, sizeof *layer);
	int result;

	*out = NULL;
	if (!options)
		options = &defaults;
	if (!layer)
		return fail(-ENOMEM, "out of memory");
	layer->self.lock = -1;
	layer->looks = CHANNEL_LOOKS_MAX;
	layer->stale = options->observe;
	list_add(layer);
	result = options->observe ? observe(layer, name) : attach(layer, name, options);
	if (result == 0 && !options->observe) {
		layer->cache = layer->last = calloc(CHANNEL_CACHE, sizeof *layer->cache);
		layer->reply_zones = calloc(layer->segment.geometry.endpoints / SHM_ENDPOINT_ZONE,
		        sizeof(struct channel_reply_zone *));
		if (!layer->cache || !layer->reply_zones)
			result = fail(-ENOMEM, "out of memory");
	}
	if (result < 0) {
		forebay_close(layer);
		return result;
	}
	channel_drop_init(layer);
	*out = layer;
	return 0;
}

static void close_private(struct forebay *layer)
{
	channel_reply_fini(layer);
	channel_message_pool_fini(layer);
	for (uint32_t i = 0; i < layer->listen_count; i++)
		free(layer->listens[i]);
	free(layer->listens);
	free(layer->cache);
	free(layer->differences);
	shm_doorbell_fini(&layer->bell);
	shm_pool_fini(&layer->pool);
}

void forebay_close(struct forebay *layer)
{
	struct shm_reaped reaped = {0};

	if (!layer)
		return;
	channel_delay_fini(layer);
	if (!layer->stale && layer->table.segment)
		channel_ring_all(layer);
	if (!layer->stale && layer->table.segment)
		shm_reaper_release(&layer->table, layer->self.slot, &reaped);
	leave(layer);
	close_private(layer);
	shm_segment_fini(&layer->segment);
	free(layer);
}

int forebay_remove(const char *name)
{
	char path[CHANNEL_PATH_SIZE];
	int result = channel_layer_path(&name, path);

	if (result < 0)
		return result;
	result = shm_segment_remove(path);
	if (result < 0)
		return fail(result, "%s: cannot remove it: %s", path, strerror(-result));
	return 0;
}

const char *forebay_layer_name(const struct forebay *layer)
{
	return layer->name;
}

enum forebay_origin forebay_layer_origin(const struct forebay *layer)
{
	return (enum forebay_origin)layer->segment.origin;
}

bool forebay_layer_gone(const struct forebay *layer)
{
	return shm_segment_is_gone(&layer->segment);
}

const char *forebay_layer_differences(const struct forebay *layer)
{
	return layer->differences ? layer->differences : "";
}

struct channel_rule channel_rule_of(const struct forebay *layer, const char *name)
{
	struct channel_rule rule = channel_name_rule(layer->segment.patterns, name);

	if (rule.capacity == 0 || rule.capacity > 1u << SHM_WIDE_ORDER)
		rule.capacity = DEFAULT_CAPACITY; // only if somebody scribbled over the patterns
	if (strcmp(name, CHANNEL_DELAY_NAME) == 0) {
		if (rule.capacity > CHANNEL_DELAY_MAX)
			rule.capacity = CHANNEL_DELAY_MAX;
		rule.policy = FOREBAY_REFUSE; // none of these is older than another
	}
	return rule;
}

uint32_t channel_capacity(const struct forebay *layer, const char *name)
{
	return channel_rule_of(layer, name).capacity;
}
