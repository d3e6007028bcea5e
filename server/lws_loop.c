// SPDX-License-Identifier: MIT
// lws_loop.c - libwebsockets without descriptors of its own; see lws_loop.h.
#include "server/lws_loop.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>

#include <libwebsockets.h>

#include "server/log.h"

// Octets of a message that the library takes at a time. It costs a buffer of that size per connection;
// a small one is cheap, since a read is a copy here and no system call.
#define RX_BUFFER 1024

// What the library may write at once. Without it, it would cut up what is larger.
#define TX_PACKET (1 << 24)

// Rounds in which a feed has to be taken: each takes something, or the library is at fault.
#define ROUNDS_MAX 100000

// ---------------------------------------------------------------------------------------------
// The event loop that the library sees
// ---------------------------------------------------------------------------------------------

#if LWS_LIBRARY_VERSION_NUMBER < 4001000 ||                                                        \
        (LWS_LIBRARY_VERSION_NUMBER < 4002000 && !defined(LWS_WITH_EVLIB_PLUGINS))
#error "libwebsockets must be 4.1 with event loops as plug-ins, or 4.2 or later"
#endif

#if LWS_LIBRARY_VERSION_NUMBER < 4002000
// Private to the library in 4.1, where the event loops are plug-ins of the same source; later ones have it in
// their header.
struct lws_event_loop_ops {
	const char *name;
	int (*init_context)(struct lws_context *, const struct lws_context_creation_info *);
	int (*destroy_context1)(struct lws_context *);
	int (*destroy_context2)(struct lws_context *);
	int (*init_vhost_listen_wsi)(struct lws *);
	int (*init_pt)(struct lws_context *, void *, int);
	int (*wsi_logical_close)(struct lws *);
	int (*check_client_connect_ok)(struct lws *);
	void (*close_handle_manually)(struct lws *);
	int (*sock_accept)(struct lws *);
	void (*io)(struct lws *, int);
	void (*run_pt)(struct lws_context *, int);
	void (*destroy_pt)(struct lws_context *, int);
	void (*destroy_wsi)(struct lws *);
	uint8_t flags;
	uint16_t evlib_size_ctx, evlib_size_pt, evlib_size_vh, evlib_size_wsi;
};

typedef int flags_type;

enum {
	LWS_EV_READ = 1 << 0,
	LWS_EV_WRITE = 1 << 1,
	LWS_EV_START = 1 << 2,
};

lws_usec_t __lws_sul_service_ripe(lws_dll2_owner_t *owner, int count, lws_usec_t now);
#else
typedef unsigned int flags_type;
#endif

static bool loop_was_asked_for;

static int init_pt(struct lws_context *context, void *loop, int tsi)
{
	(void)context;
	(void)loop;
	(void)tsi;
	loop_was_asked_for = true;
	return 0;
}

static int accept_nothing(struct lws *wsi)
{
	(void)wsi;
	return 0;
}

// The library starts or stops to wait for an event of its descriptor. (There is one that isn't ours: its
// own pipe, with which other threads could wake it.)
static void on_io(struct lws *wsi, flags_type flags)
{
	struct lws_seam *seam = lws_seam_find(lws_get_socket_fd(wsi));

	if (seam && (flags & LWS_EV_WRITE))
		seam->want_write = flags & LWS_EV_START;
}

static int on_logical_close(struct lws *wsi)
{
	struct lws_seam *seam = lws_seam_find(lws_get_socket_fd(wsi));

	if (seam)
		lws_seam_release(seam);
	return 0; // the library closes the placeholder and frees its object
}

static const struct lws_event_loop_ops ops = {
        .name = "forebay",
        .init_vhost_listen_wsi = accept_nothing,
        .init_pt = init_pt,
        .wsi_logical_close = on_logical_close,
        .sock_accept = accept_nothing,
        .io = on_io,
        .evlib_size_pt = sizeof(void *),
};

static const lws_plugin_evlib_t plugin = {
        .hdr =
                {
                        .name = "forebay",
                        ._class = "lws_evlib_plugin",
#if LWS_LIBRARY_VERSION_NUMBER >= 4002000
                        .lws_build_hash = LWS_BUILD_HASH,
#endif
                        .api_magic = LWS_PLUGIN_API_MAGIC,
                },
        .ops = &ops,
};

#if LWS_LIBRARY_VERSION_NUMBER < 4002000
// With LWS_SERVER_OPTION_LIBEVENT the library looks for a plug-in by these functions, and finds ours
// instead of its own.
LWS_VISIBLE int lws_plugins_init(struct lws_plugin **plugins, const char *const *directories,
        const char *class, const char *filter, each_plugin_cb_t each, void *user)
{
	static struct lws_plugin loaded;

	(void)directories;
	(void)class;
	(void)each;
	(void)user;
	if (!filter || strcmp(filter, "evlib_event") != 0)
		return 1;
	loaded.list = *plugins;
	loaded.hdr = &plugin.hdr;
	*plugins = &loaded;
	return 0;
}

LWS_VISIBLE int lws_plugins_destroy(struct lws_plugin **plugins, each_plugin_cb_t each, void *user)
{
	(void)each;
	(void)user;
	*plugins = NULL;
	return 0;
}

static void choose_loop(struct lws_context_creation_info *info)
{
	info->options |= LWS_SERVER_OPTION_LIBEVENT;
}
#else
static void choose_loop(struct lws_context_creation_info *info)
{
	info->event_lib_custom = &plugin;
}
#endif

// ---------------------------------------------------------------------------------------------
// Connections
// ---------------------------------------------------------------------------------------------

// The connection that lws_loop_open() is making, and its header fields.
static struct {
	struct lws_seam *seam;
	const char *headers;
	size_t headers_length;
	bool established;
} opening;

static int add_headers(struct lws_process_html_args *arguments)
{
	if ((size_t)arguments->max_len < opening.headers_length)
		return -1;
	if (opening.headers_length)
		memcpy(arguments->p, opening.headers, opening.headers_length);
	arguments->p += opening.headers_length;
	return 0;
}

static int on_event(
        struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length)
{
	struct lws_seam *seam;

	(void)user;
	switch (reason) {
	case LWS_CALLBACK_ADD_HEADERS:
		return add_headers(in);
	case LWS_CALLBACK_ESTABLISHED:
		opening.established = true;
		return 0;
	case LWS_CALLBACK_RECEIVE:
		seam = lws_seam_find(lws_get_socket_fd(wsi));
		if (!seam)
			return -1;
		seam->side->payload(seam, in, length);
		return 0;
	case LWS_CALLBACK_HTTP:
		return -1; // we upgrade, and nothing else
	default:
		return 0;
	}
}

static const struct lws_protocols protocols[] = {
        {.name = "websocket",
                .callback = on_event,
                .rx_buffer_size = RX_BUFFER,
                .tx_packet_size = TX_PACKET},
        {0},
};

static void service(struct lws_loop *loop, int fd, short events)
{
	struct lws_pollfd pollfd = {.fd = fd, .events = events, .revents = events};

	lws_service_fd(loop->context, &pollfd);
}

static void serve_writes(struct lws_loop *loop, struct lws_seam *seam)
{
	for (int i = 0; seam->wsi && seam->want_write && i < ROUNDS_MAX; i++)
		service(loop, seam->fd, POLLOUT);
}

int lws_loop_open(struct lws_loop *loop, struct lws_seam *seam, const struct lws_seam_side *side,
        const char key[LWS_LOOP_KEY], const char *headers, size_t headers_length)
{
	// What the client really asked was judged elsewhere. This is what makes the library accept.
	static const char format[] = "GET / HTTP/1.1\r\nHost: forebay\r\nUpgrade: websocket\r\n"
	                             "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
	                             "Sec-WebSocket-Key: %s\r\n\r\n";
	char request[sizeof(format) + LWS_LOOP_KEY];
	int length = snprintf(request, sizeof(request), format, key);
	int result = lws_seam_claim(seam, side);

	if (result < 0)
		return result;
	opening.seam = seam;
	opening.headers = headers;
	opening.headers_length = headers_length;
	opening.established = false;
	// On failure it has closed the placeholder, and has released the seam if it came so far.
	seam->wsi = lws_adopt_socket_vhost_readbuf(loop->vhost, seam->fd, request, (size_t)length);
	opening.seam = NULL;
	if (seam->wsi && !opening.established)
		lws_loop_close(loop, seam);
	if (!seam->wsi) {
		lws_seam_release(seam);
		return -ECONNABORTED;
	}
	serve_writes(loop, seam);
	return 0;
}

int lws_loop_feed(struct lws_loop *loop, struct lws_seam *seam, const char *data, size_t length)
{
	seam->input = data;
	seam->input_length = length;
	for (int i = 0; seam->wsi && seam->input_length && i < ROUNDS_MAX; i++) {
		service(loop, seam->fd, POLLIN);
		serve_writes(loop, seam);
	}
	seam->input_length = 0;
	return seam->wsi ? 0 : -EPIPE;
}

void lws_loop_close(struct lws_loop *loop, struct lws_seam *seam)
{
	(void)loop;
	if (!seam->wsi)
		return;
	seam->muted = true;
	lws_set_timeout(seam->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
}

// ---------------------------------------------------------------------------------------------
// The self-test
// ---------------------------------------------------------------------------------------------

struct trial {
	struct lws_seam seam;
	bool answered, received, ponged;
};

static struct trial *trial_of(struct lws_seam *seam)
{
	return (struct trial *)((char *)seam - offsetof(struct trial, seam));
}

// The key and the answer to it are those of RFC 6455, 1.3.
static void trial_output(struct lws_seam *seam, const void *data, size_t length)
{
	static const char accept[] = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
	static const char header[] = "X-Forebay: yes\r\n";

	if (memmem(data, length, accept, sizeof(accept) - 1) &&
	        memmem(data, length, header, sizeof(header) - 1))
		trial_of(seam)->answered = true;
	if (length == 3 && memcmp(data, "\x8a\x01!", 3) == 0)
		trial_of(seam)->ponged = true;
}

static void trial_payload(struct lws_seam *seam, const char *data, size_t length)
{
	trial_of(seam)->received = length == 5 && memcmp(data, "Hello", 5) == 0;
}

static const struct lws_seam_side trial_side = {trial_output, trial_payload};

// A handshake, a message and a PING, all the way that those of clients go.
static bool seam_holds(struct lws_loop *loop)
{
	static const char frames[] = "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"
	                             "\x89\x81\x01\x02\x03\x04\x20";
	struct trial trial = {0};

	if (lws_loop_open(loop, &trial.seam, &trial_side,
	            "dGhlIHNhbXBsZSBub25jZQ==", "X-Forebay: yes\r\n", 16) < 0)
		return false;
	if (lws_loop_feed(loop, &trial.seam, frames, 11) == 0)
		lws_loop_feed(loop, &trial.seam, frames + 11, 7);
	lws_loop_close(loop, &trial.seam);
	return trial.answered && trial.received && trial.ponged && trial.seam.fd < 0;
}

// ---------------------------------------------------------------------------------------------
// Lifetime
// ---------------------------------------------------------------------------------------------

static void on_log(int level, const char *line)
{
	(void)level;
	log_limited(LOG_LEVEL_WARNING, "libwebsockets: %.*s", (int)strcspn(line, "\n"), line);
}

int lws_loop_init(struct lws_loop *loop)
{
	static const lws_retry_bo_t no_timers;
	struct lws_context_creation_info info = {
	        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
	        .protocols = protocols,
	        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
	        .pt_serv_buf_size = LWS_LOOP_HEADERS_MAX + 4096,
	        .retry_and_idle_policy = &no_timers,
	        .gid = -1,
	        .uid = -1,
	        .vhost_name = "forebay",
	};
	void *loops[] = {loop};

	*loop = (struct lws_loop){0};
	// Its errors are none: it reports one for each connection that it is given with a request.
	lws_set_log_level(LLL_WARN, on_log);
	loop_was_asked_for = false;
	choose_loop(&info);
	info.foreign_loops = loops;
	loop->context = lws_create_context(&info);
	if (!loop->context)
		return -ENOMEM;
	loop->vhost = lws_create_vhost(loop->context, &info);
	if (!loop->vhost) {
		lws_loop_fini(loop);
		return -ENOMEM;
	}
	if (loop_was_asked_for && seam_holds(loop))
		return 0;
	lws_loop_fini(loop);
	return -ENOSYS;
}

void lws_loop_fini(struct lws_loop *loop)
{
	if (loop->context)
		lws_context_destroy(loop->context);
	*loop = (struct lws_loop){0};
	lws_seam_fini();
}

static void on_probe(lws_sorted_usec_list_t *timer)
{
	(void)timer;
}

void lws_loop_tick(struct lws_loop *loop)
{
	static lws_sorted_usec_list_t probe;
	lws_dll2_owner_t *timers;

	// A timer is on the library's list, which nothing else would give us.
	lws_sul_schedule(loop->context, 0, &probe, on_probe, LWS_US_PER_SEC);
	timers = probe.list.owner;
	lws_sul_cancel(&probe);
	if (timers)
		__lws_sul_service_ripe(timers, 2, lws_now_usecs());
}
