// SPDX-License-Identifier: MIT
// worker.c - the event loop of a worker; see worker.h.
//
// One turn of the loop: receive what consumers have sent (it goes to the sockets at once), then handle
// what sockets have (it goes to the layer at once). Only when the layer has nothing does the loop
// sleep in epoll; a sender then wakes it through forebay_fd(). The tick caps that sleep, since a
// sender may be killed between publishing its message and waking us.
#include "server/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <event2/event.h>

#include "channel/forebay.h"
#include "server/access_log.h"
#include "server/connection.h"
#include "server/http_server.h"
#include "server/http_session.h"
#include "server/log.h"
#include "server/timer.h"
#include "server/websocket_server.h"
#include "server/websocket_session.h"

#define RECEIVE_BUDGET  64   // messages in one turn, so that sockets get theirs
#define STANDSTILL      500  // ms without a tick: this process was stopped, or had no processor
#define ACCEPT_BUDGET   8    // connections in one turn, so that other workers get theirs
#define ACCEPT_COURTESY 1    // ms that new connections are left to workers that have fewer
#define PATIENCE_MIN    5000 // ms: networks have gaps of some seconds
#define SECOND          (1000 / TIMER_TICK)
#define FILES_SPARE     1024 // descriptors for all but connections, if they can be had
#define FILES_OTHER     96   // and at least

// What the master tells us with; see worker.h.
static const int signals[] = {SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};

#define SIGNALS (sizeof(signals) / sizeof(signals[0]))

// One listening socket, as this worker accepts from it.
struct acceptor {
	struct worker *worker;
	struct event *event;
	struct http_session_local local;
	int fd; // -1: closed
};

struct worker {
	const struct worker_setup *setup;
	struct event_base *base;
	struct event *layer_event, *tick_event, *courtesy_event, *signal_events[SIGNALS];
	struct forebay *layer;
	struct timer_wheel wheel;
	struct timer deadline; // of a graceful stop
	struct metrics metrics;
	struct connection_pool pool;
	struct http_server http;
	struct websocket_server websocket;
	struct acceptor *acceptors;
	size_t acceptor_count;
	unsigned connections_max;
	unsigned ticks;
	int64_t ticked, missed;  // ms: when the last tick was, and what has passed unseen
	int64_t patience;        // ms with clients that take nothing, while memory is short
	int spare_fd;            // closed for a moment when there are no others left
	bool accepting, telling; // the listening sockets, and those for the status, are in the loop
	bool courteous;          // until courtesy_event: others have fewer clients
	bool paused;             // until the next tick: out of file descriptors
	bool dismissed;          // a stop waits for nobody but those who ask for the status
	bool stopping;           // leave the loop
};

static int64_t now_ms(void)
{
	return http_server_clock() / 1000;
}

// ---------------------------------------------------------------------------------------------
// Accepting
// ---------------------------------------------------------------------------------------------

// Has the listening sockets of one kind in the loop, or not.
static void set_accepting(struct worker *worker, bool status, bool accepting)
{
	bool *is = status ? &worker->telling : &worker->accepting;

	if (*is == accepting)
		return;
	*is = accepting;
	for (size_t i = 0; i < worker->acceptor_count; i++) {
		struct acceptor *acceptor = &worker->acceptors[i];

		if (acceptor->local.status != status || acceptor->fd < 0)
			continue;
		if (accepting)
			event_add(acceptor->event, NULL);
		else
			event_del(acceptor->event);
	}
}

// Who wants to know how it is isn't kept out by those who make it so.
static bool has_room(const struct worker *worker, bool status)
{
	if (status)
		return !http_server_is_crowded(&worker->http);
	return worker->pool.live - worker->http.status_sessions < worker->connections_max;
}

// Out of file descriptors: lets the next client go with a close that it sees at once, instead of
// leaving it in the backlog, and gives the others some time to end.
static void shed(struct worker *worker, int listener)
{
	int fd;

	log_limited(LOG_LEVEL_ERROR, "cannot accept: %s", strerror(errno));
	worker->paused = true;
	if (worker->spare_fd < 0)
		return;
	close(worker->spare_fd);
	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	worker->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

// Accepts one connection. Returns whether there may be another.
static bool accept_one(struct acceptor *acceptor)
{
	struct worker *worker = acceptor->worker;
	struct sockaddr_storage address = {0};
	socklen_t length = sizeof(address);
	int fd = accept4(
	        acceptor->fd, (struct sockaddr *)&address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			shed(worker, acceptor->fd);
		return errno == ECONNABORTED || errno == EINTR;
	}
	if (http_session_open(&worker->http, fd, (struct sockaddr *)&address, &acceptor->local) <
	        0) {
		log_limited(LOG_LEVEL_ERROR, "cannot accept: out of memory");
		close(fd);
		return false;
	}
	// The next one waits for a place, which isn't for who only keeps it.
	if (acceptor->local.status && http_server_is_crowded(&worker->http))
		http_server_dismiss(&worker->http);
	return true;
}

static uint32_t clients(const struct worker *worker)
{
	return worker->pool.live - worker->http.status_sessions;
}

static bool is_ahead(const struct worker *worker)
{
	return balance_is_ahead(worker->setup->balance, worker->setup->number, clients(worker));
}

// Accepts up to LIMIT connections, whatever others have.
static void accept_waiting(struct worker *worker, struct acceptor *acceptor, int limit)
{
	while (acceptor->fd >= 0 && limit-- > 0 && has_room(worker, acceptor->local.status))
		if (!accept_one(acceptor))
			return;
}

// Whether others have fewer clients. The next one is left to them then, but for a moment only: they may be busy, or
// stopped. As soon as they have caught up it is over, so that short connections, of which each worker has
// now more and now fewer, come in as fast as ever.
static bool defers(struct worker *worker)
{
	static const struct timeval moment = {.tv_usec = ACCEPT_COURTESY * 1000};

	balance_show(worker->setup->balance, worker->setup->number, clients(worker));
	if (!is_ahead(worker))
		return false;
	worker->courteous = event_add(worker->courtesy_event, &moment) == 0;
	return worker->courteous;
}

static void on_acceptable(evutil_socket_t fd, short what, void *argument)
{
	struct acceptor *acceptor = argument;
	struct worker *worker = acceptor->worker;

	(void)fd;
	(void)what;
	for (int i = 0; i < ACCEPT_BUDGET && has_room(worker, acceptor->local.status); i++)
		if ((!acceptor->local.status && defers(worker)) || !accept_one(acceptor))
			return;
}

// The others have had their chance.
static void on_courtesy_over(evutil_socket_t fd, short what, void *argument)
{
	struct worker *worker = argument;

	(void)fd;
	(void)what;
	if (!worker->courteous)
		return;
	worker->courteous = false;
	for (size_t i = 0; i < worker->acceptor_count; i++)
		if (!worker->acceptors[i].local.status)
			accept_waiting(worker, &worker->acceptors[i], ACCEPT_BUDGET);
}

static int add_acceptors(struct worker *worker)
{
	const struct listener_set *set = worker->setup->listeners;

	worker->acceptors = calloc(set->count ? set->count : 1, sizeof(*worker->acceptors));
	if (!worker->acceptors)
		return -ENOMEM;
	for (size_t i = 0; i < set->count; i++) {
		const struct listener *listener = &set->listeners[i];
		struct acceptor *acceptor = &worker->acceptors[i];
		bool any = listener->family == AF_UNIX || strcmp(listener->host, "0.0.0.0") == 0 ||
		           strcmp(listener->host, "::") == 0;

		acceptor->worker = worker;
		acceptor->fd = listener->fd;
		acceptor->local.server_name = any ? NULL : listener->host;
		snprintf(acceptor->local.server_port, sizeof(acceptor->local.server_port), "%d",
		        listener->family == AF_UNIX ? 80 : listener->port);
		acceptor->local.tls = listener->secure ? worker->setup->tls : NULL;
		acceptor->local.status = listener->status;
		acceptor->event = event_new(
		        worker->base, listener->fd, EV_READ | EV_PERSIST, on_acceptable, acceptor);
		if (!acceptor->event)
			return -ENOMEM;
		worker->acceptor_count++;
	}
	return 0;
}

// ---------------------------------------------------------------------------------------------
// Signals and time
// ---------------------------------------------------------------------------------------------

static void on_deadline(struct timer *timer)
{
	struct worker *worker =
	        (struct worker *)((char *)timer - offsetof(struct worker, deadline));

	log_warning("%u connections cut off by the shutdown time-out", worker->pool.live);
	worker->stopping = true;
}

// Closes this process's copies of the listening sockets of one kind. Once the last copy is closed, clients are
// refused at once instead of waiting in a backlog that nobody accepts from.
static void stop_listening(struct worker *worker, bool status)
{
	set_accepting(worker, status, false);
	for (size_t i = 0; i < worker->acceptor_count; i++) {
		struct acceptor *acceptor = &worker->acceptors[i];

		if (acceptor->local.status != status || acceptor->fd < 0)
			continue;
		close(acceptor->fd);
		acceptor->fd = -1;
	}
}

static void drain(struct worker *worker)
{
	if (worker->http.draining)
		return;
	// Clients that wait to be accepted are served too: the last close of the socket would reset them.
	for (size_t i = 0; i < worker->acceptor_count; i++)
		accept_waiting(worker, &worker->acceptors[i], worker->setup->options->backlog);
	stop_listening(worker, false);
	http_server_drain(&worker->http);
	websocket_server_drain(&worker->websocket);
	timer_arm(&worker->wheel, &worker->deadline, worker->setup->options->shutdown_timeout);
}

static void reopen_logs(void)
{
	int error = log_reopen();

	if (!error)
		error = access_log_reopen();
	if (error)
		log_error("cannot reopen a log: %s", strerror(-error));
}

static void on_signal(evutil_socket_t number, short what, void *argument)
{
	struct worker *worker = argument;

	(void)what;
	if (number == SIGUSR1)
		reopen_logs();
	else if (number == SIGUSR2)
		worker->stopping = true;
	else
		drain(worker);
	if (number == SIGTERM)
		worker->http.ending = true;
	// While the server ends, its status goes on to be told. If this worker is replaced, or the master is gone and
	// there may be another, it is others who tell.
	if (number == SIGQUIT)
		stop_listening(worker, true);
}

// When all clients have left but those who ask for the status, these must not keep us.
static void dismiss_askers(struct worker *worker)
{
	if (!worker->http.draining || worker->dismissed ||
	        worker->pool.live != worker->http.status_sessions)
		return;
	worker->dismissed = true;
	stop_listening(worker, true);
	http_server_dismiss(&worker->http);
}

static bool is_pressed(const struct worker *worker)
{
	return worker->pool.loaded > 0 && forebay_memory_is_short(worker->layer);
}

// Copies what clients have yet to take, as far as there is room.
static void unload(struct worker *worker)
{
	for (struct http_session *session = worker->http.sessions; session; session = session->next)
		connection_unload(&session->connection);
	for (struct websocket_session *session = worker->websocket.sessions; session;
	        session = session->next)
		connection_unload(&session->connection);
}

// Lets go of those who have taken nothing for as long as there is patience. Returns how many there were.
static int press(struct worker *worker)
{
	struct http_session *http, *next_http;
	struct websocket_session *websocket, *next_websocket;
	int count = 0;

	for (http = worker->http.sessions; http; http = next_http) {
		next_http = http->next;
		count += connection_press(&http->connection, worker->patience);
	}
	for (websocket = worker->websocket.sessions; websocket; websocket = next_websocket) {
		next_websocket = websocket->next;
		count += connection_press(&websocket->connection, worker->patience);
	}
	return count;
}

// What slow clients don't take isn't to be in the way of all others' messages. When there is no place for it, those
// who have stood still for longest are in the way: patience with them goes down from the write time-out, tick by tick.
static void relieve_layer(struct worker *worker)
{
	int64_t longest = worker->setup->options->write_timeout;
	int count;

	if (is_pressed(worker))
		unload(worker);
	if (!is_pressed(worker)) {
		worker->patience = longest;
		return;
	}
	worker->patience -= worker->patience / 4;
	if (worker->patience < PATIENCE_MIN)
		worker->patience = PATIENCE_MIN < longest ? PATIENCE_MIN : longest;
	count = press(worker);
	if (count > 0)
		log_limited(LOG_LEVEL_WARNING,
		        "no memory for what slow clients don't take: %d cut that took nothing for "
		        "%lld s",
		        count, (long long)worker->patience / 1000);
}

// The clock of all time-outs: it stands still while this process does. What clients and consumers sent meanwhile isn't late,
// but hasn't been looked at; and what is armed before the next tick isn't early.
static int64_t seen_ms(struct worker *worker)
{
	int64_t now = now_ms(), passed = now - worker->ticked;

	if (passed > STANDSTILL)
		worker->missed += passed - TIMER_TICK;
	worker->ticked = now;
	return now - worker->missed;
}

static void on_tick(evutil_socket_t fd, short what, void *argument)
{
	struct worker *worker = argument;

	(void)fd;
	(void)what;
	worker->paused = false;
	timer_wheel_advance(&worker->wheel, seen_ms(worker));
	relieve_layer(worker);
	if (++worker->ticks % SECOND)
		return;
	lws_loop_tick(&worker->websocket.loop);
	// What one large message or form has needed isn't kept for good.
	websocket_deflate_trim(&worker->websocket.deflate);
	http_upload_trim(&worker->http.upload);
	log_tick(false);
	access_log_flush();
	metrics_add(&worker->metrics, METRICS_ACCESS_LOG_DROPPED, (double)access_log_report());
}

// ---------------------------------------------------------------------------------------------
// The loop
// ---------------------------------------------------------------------------------------------

// The layer has something: to be received on the next turn.
static void on_layer(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	(void)argument;
}

// Receives up to the budget. Returns whether the layer has nothing more for now, and will wake us.
static bool receive(struct worker *worker)
{
	for (int i = 0; i < RECEIVE_BUDGET; i++) {
		struct forebay_message *message;
		struct connection *connection;
		int result = forebay_receive(worker->layer, 0, &message);

		if (result == FOREBAY_TIMEOUT)
			return true;
		if (result) {
			log_limited(
			        LOG_LEVEL_ERROR, "cannot receive: %s", forebay_strerror(result));
			return true;
		}
		connection = forebay_message_owner(message);
		if (forebay_message_group(message))
			websocket_server_broadcast(&worker->websocket, message);
		else if (connection)
			connection->protocol->on_message(connection, message);
		else
			forebay_message_free(message);
	}
	return false;
}

static bool is_done(const struct worker *worker)
{
	return worker->stopping || (worker->http.draining && worker->pool.live == 0);
}

// Has the listening sockets in the loop for as many as there are places.
static void admit(struct worker *worker)
{
	bool takes = !worker->http.draining && !worker->paused && has_room(worker, false);

	balance_show(worker->setup->balance, worker->setup->number,
	        takes ? clients(worker) : BALANCE_AWAY);
	worker->courteous = worker->courteous && is_ahead(worker);
	set_accepting(worker, false, takes && !worker->courteous);
	set_accepting(worker, true, !worker->paused && has_room(worker, true));
}

static void run(struct worker *worker)
{
	while (!is_done(worker)) {
		bool idle = receive(worker) && !worker->pool.pending;

		// Each socket is written to once for all that consumers have sent in this turn.
		connection_pool_flush(&worker->pool);
		if (is_done(worker))
			return;
		admit(worker);
		// Consumers are woken once for all the requests of this turn.
		forebay_cork(worker->layer);
		event_base_loop(worker->base, EVLOOP_ONCE | (idle ? 0 : EVLOOP_NONBLOCK));
		connection_pool_resume(&worker->pool);
		http_server_retry(&worker->http);
		websocket_server_retry(&worker->websocket);
		forebay_uncork(worker->layer);
		connection_pool_sweep(&worker->pool);
		dismiss_askers(worker);
	}
}

// ---------------------------------------------------------------------------------------------
// Start and end
// ---------------------------------------------------------------------------------------------

static int open_layer(struct worker *worker)
{
	struct forebay_options options = {.must_exist = true};
	char role[16];
	int result;

	snprintf(role, sizeof(role), "worker %d", worker->setup->number);
	options.role = role;
	result = forebay_open(worker->setup->options->layer, &options, &worker->layer);
	if (result)
		log_error("cannot attach to the layer: %s", forebay_error());
	return result;
}

// A connection needs a descriptor, and if it is a WebSocket two; the rest is for all else. The limit isn't
// left higher than that, since libwebsockets takes memory for each descriptor that there could be. If it is
// lower, connections that it isn't certain to suffice for are left in the backlog, rather than be
// accepted and then cut.
static void limit_files(struct worker *worker)
{
	const int wanted = worker->setup->options->max_connections;
	rlim_t needed = 2 * (rlim_t)wanted + FILES_SPARE;
	struct rlimit files;

	worker->connections_max = (unsigned)wanted;
	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return;
	files.rlim_cur = needed < files.rlim_max ? needed : files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		log_warning("cannot set the limit of open files: %s", strerror(errno));
	if (files.rlim_cur >= (rlim_t)wanted * 2 + FILES_OTHER)
		return;
	worker->connections_max =
	        files.rlim_cur > FILES_OTHER + 2 ? (files.rlim_cur - FILES_OTHER) / 2 : 1;
	if (worker->setup->number == 1) // for all
		log_info("the limit of %llu open files is enough for %u connections per worker, "
		         "not %d",
		        (unsigned long long)files.rlim_cur, worker->connections_max, wanted);
}

static int add_event(struct event *event, const struct timeval *period)
{
	return event && event_add(event, period) == 0 ? 0 : -ENOMEM;
}

static int add_events(struct worker *worker)
{
	const struct timeval period = {.tv_usec = TIMER_TICK * 1000};
	int fd = forebay_fd(worker->layer), result;

	if (fd < 0) {
		log_error("layer %s: cannot make the FIFO that wakes it, in the layer's directory: "
		          "%s; "
		          "make room there",
		        forebay_layer_name(worker->layer), forebay_strerror(fd));
		return fd;
	}
	worker->layer_event = event_new(worker->base, fd, EV_READ | EV_PERSIST, on_layer, worker);
	worker->tick_event = event_new(worker->base, -1, EV_PERSIST, on_tick, worker);
	worker->courtesy_event = event_new(worker->base, -1, 0, on_courtesy_over, worker);
	result = worker->courtesy_event ? add_event(worker->layer_event, NULL) : -ENOMEM;
	if (!result)
		result = add_event(worker->tick_event, &period);
	for (size_t i = 0; !result && i < SIGNALS; i++) {
		worker->signal_events[i] =
		        evsignal_new(worker->base, signals[i], on_signal, worker);
		result = add_event(worker->signal_events[i], NULL);
	}
	return result ? result : add_acceptors(worker);
}

static int start(struct worker *worker)
{
	const struct options *options = worker->setup->options;
	int result = open_layer(worker);

	if (result)
		return result;
	limit_files(worker);
	worker->base = event_base_new();
	if (!worker->base)
		return -ENOMEM;
	worker->ticked = now_ms();
	timer_wheel_init(&worker->wheel, worker->ticked);
	timer_init(&worker->deadline, on_deadline);
	connection_pool_init(&worker->pool, worker->base, &worker->wheel, options->write_timeout,
	        (size_t)options->slow_memory, sizeof(struct http_session), &worker->metrics);
	worker->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	result = access_log_open(
	        options->access_log, (enum access_log_format)options->access_log_format);
	if (result)
		return result;
	metrics_init(&worker->metrics, worker->layer);
	result = http_server_init(&worker->http, options, worker->layer, &worker->wheel,
	        &worker->pool, &worker->metrics);
	if (!result)
		result = websocket_server_init(&worker->websocket, options, worker->layer,
		        &worker->wheel, &worker->metrics);
	worker->http.websocket = &worker->websocket;
	return result ? result : add_events(worker);
}

static void free_event(struct event *event)
{
	if (event)
		event_free(event);
}

static void stop(struct worker *worker)
{
	// What is still connected at a stop that isn't graceful, or took too long.
	while (worker->http.sessions)
		connection_close(&worker->http.sessions->connection);
	while (worker->websocket.sessions)
		connection_close(&worker->websocket.sessions->connection);
	if (worker->pool.base)
		connection_pool_fini(&worker->pool);
	for (size_t i = 0; i < worker->acceptor_count; i++)
		free_event(worker->acceptors[i].event);
	free(worker->acceptors);
	for (size_t i = 0; i < SIGNALS; i++)
		free_event(worker->signal_events[i]);
	free_event(worker->tick_event);
	free_event(worker->courtesy_event);
	free_event(worker->layer_event);
	http_server_fini(&worker->http);
	if (worker->websocket.options)
		websocket_server_fini(&worker->websocket);
	if (worker->spare_fd >= 0)
		close(worker->spare_fd);
	if (worker->base)
		event_base_free(worker->base);
	forebay_close(worker->layer);
}

// Signals that come before the loop runs wait for it, and those that come after it don't matter.
static void hold_signals(bool hold)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < SIGNALS; i++)
		sigaddset(&set, signals[i]);
	sigprocmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

int worker_main(const struct worker_setup *setup)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	int result;

	if (!worker)
		return EXIT_FAILURE;
	worker->setup = setup;
	worker->patience = setup->options->write_timeout;
	worker->spare_fd = -1;
	signal(SIGPIPE, SIG_IGN);
	hold_signals(true);
	result = start(worker);
	if (result) {
		log_error("cannot start: %s", forebay_strerror(result));
	} else {
		hold_signals(false);
		run(worker);
		hold_signals(true);
	}
	stop(worker);
	free(worker);
	return result ? EXIT_FAILURE : EXIT_SUCCESS;
}
