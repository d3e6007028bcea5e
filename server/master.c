// SPDX-License-Identifier: MIT
// master.c - the master process: `forebay serve`.
//
// One loop: it blocks the signals that it answers and waits for them in sigtimedwait(), so there is
// no handler, no self-pipe, and no race; everything else it does is started by a time-out.
//
// A graceful stop goes by phases, because requests in flight need both a worker and a consumer:
//
//   RUNNING --TERM--> DRAINING: workers finish what is in flight, applications still answer it
//           --all workers ended--> FINISHING: applications get TERM --all ended--> exit
//
// A reload starts new processes first; after a moment the old ones are asked to end. The listening
// sockets stay open all the while, so a connection is always accepted by somebody.
#include "server/master.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "channel/forebay.h"
#include "server/crew.h"
#include "server/daemon.h"
#include "server/log.h"
#include "server/tls.h"

enum {
	TICK_MS = 1000,          // how often the layer and the log are looked after
	WORKER_OVERLAP_MS = 200, // old and new workers accept together
	APP_OVERLAP_MS = 1000,   // old and new applications: an interpreter takes a while to start
	AT_ONCE_MS = 1000,       // what a stop at once leaves to a process to end by itself
	BIND_TRIES = 20,         // for addresses that are in use
	BIND_AGAIN_MS = 50,
	START_ERROR_SIZE = 2048,
};

enum phase {
	RUNNING,
	DRAINING,
	FINISHING,
};

struct master {
	int argc;
	char **argv; // read again at a reload
	struct options options;
	struct listener_set listeners;
	struct tls *tls; // NULL if no address wants it
	struct privileges privileges;
	struct daemon_pid_file pid_file;
	struct forebay *layer;
	struct rlimit files; // as it was found
	struct child_context context;
	struct crew crew;
	enum phase phase;
	int64_t deadline; // of a graceful stop
	int interrupts;
	bool on_terminal;             // it was started in the foreground of one
	char error[START_ERROR_SIZE]; // why it can't start
};

static int64_t monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static sigset_t awaited_signals(void)
{
	static const int numbers[] = {SIGCHLD, SIGHUP, SIGUSR1, SIGTERM, SIGINT, SIGQUIT, SIGPIPE};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaddset(&set, numbers[i]);
	return set;
}

// ---------------------------------------------------------------------------------------------
// Logs
// ---------------------------------------------------------------------------------------------

static bool is_file(const char *path)
{
	return path && path[0] == '/';
}

// Makes the log files that are named, as the user that will append to them.
static int make_logs(const struct master *master, const struct options *options, const char **path)
{
	const char *const paths[] = {options->log_file, options->access_log};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		int result =
		        is_file(paths[i]) ? privileges_give_log(&master->privileges, paths[i]) : 0;

		*path = paths[i];
		if (result < 0)
			return result;
	}
	return 0;
}

static int open_logs(const struct master *master, const struct options *options, const char **path)
{
	int result = make_logs(master, options, path);

	if (result < 0)
		return result;
	*path = options->log_file;
	return log_init(options->log_file, (enum log_level)options->log_level,
	        (enum log_format)options->log_format);
}

static void reopen_logs(struct master *master)
{
	const char *path;
	int result = make_logs(master, &master->options, &path);

	if (result < 0)
		log_error("cannot open %s: %s", path, strerror(-result));
	result = log_reopen();
	if (result < 0)
		log_error("cannot open %s: %s", master->options.log_file, strerror(-result));
	if (master->options.daemon)
		daemon_redirect(log_fd());
	crew_signal(&master->crew, CHILD_WORKER, SIGUSR1);
	log_info("logs reopened");
}

// ---------------------------------------------------------------------------------------------
// Start
// ---------------------------------------------------------------------------------------------

__attribute__((format(printf, 3, 4))) static int refuse(
        struct master *master, int result, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(master->error, sizeof(master->error), format, arguments);
	va_end(arguments);
	return result;
}

// A worker needs a descriptor for every connection, and two for a WebSocket. As root, more than the hard limit may
// be had.
static void raise_file_limit(struct master *master)
{
	rlim_t needed = 2 * (rlim_t)master->options.max_connections + 1024;
	struct rlimit raised;

	getrlimit(RLIMIT_NOFILE, &master->files);
	raised = master->files;
	if (raised.rlim_max < needed) {
		raised.rlim_cur = raised.rlim_max = needed;
		if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
			return;
		raised = master->files;
	}
	raised.rlim_cur = raised.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &raised) < 0)
		log_warning("cannot raise the limit of open files: %s", strerror(errno));
}

// Reads certificates and keys, if they are wanted. Returns as tls_new(); FRESH is NULL without them.
static int read_tls(const struct options *options, const struct tls *former, struct tls **fresh,
        char error[TLS_ERROR_SIZE])
{
	*fresh = NULL;
	if (options_want_tls(options))
		return tls_new(options, former, fresh, error);
	if (options->tls_certificate.count || options->tls_key.count)
		log_warning("certificates aren't used: no --bind begins with https://");
	return 0;
}

// What is refused here is refused before anything was made, and while a terminal can still be told.
static int prepare(struct master *master)
{
	const struct options *options = &master->options;
	const char *path;
	int result;

	if (options->working_directory && chdir(options->working_directory) < 0)
		return refuse(master, -errno, "cannot change to %s: %s", options->working_directory,
		        strerror(errno));
	if (privileges_find(&master->privileges, options->user, options->group, master->error) < 0)
		return -EINVAL;
	if (options->pid_file &&
	        daemon_pid_file_lock(&master->pid_file, options->pid_file, master->error) < 0)
		return -EBUSY;
	result = open_logs(master, options, &path);
	if (result < 0)
		return refuse(master, result, "cannot open %s: %s", path, strerror(-result));
	return read_tls(options, NULL, &master->tls, master->error);
}

// A layer that an earlier server left is taken over with all who are attached to it. Those who answer
// requests of a server that was killed learn at once that nobody is there.
static void take_over(struct master *master)
{
	const char *differences = forebay_layer_differences(master->layer);
	int dead = forebay_reap(master->layer);

	switch (forebay_layer_origin(master->layer)) {
	case FOREBAY_MADE:
		return;
	case FOREBAY_REPLACED:
		log_info("layer %s is made anew: it had other options, and nobody was attached",
		        master->options.layer);
		return;
	default:
		log_info("layer %s was there and is used as it is; %d dead %s cleared away",
		        master->options.layer, dead, dead == 1 ? "process" : "processes");
	}
	if (*differences)
		log_warning(
		        "layer %s stays as it was made (%s), since processes are attached to it; "
		        "to change it, end them (`forebay stat --layer %s` lists them) and start "
		        "again",
		        master->options.layer, differences, master->options.layer);
}

static int open_layer(struct master *master)
{
	const struct options *options = &master->options;
	char *capacities = options_capacities(options), *drops = options_drops(options);
	char *histories = options_histories(options);
	const struct forebay_options layer_options = {
	        .size = options->layer_size,
	        .channels = (uint32_t)options->layer_channels,
	        .reply_channels = (uint32_t)options->layer_reply_channels,
	        .groups = (uint32_t)options->layer_groups,
	        .expiry = (uint32_t)((options->expiry + 999) / 1000),
	        .group_expiry = (uint32_t)((options->group_expiry + 999) / 1000),
	        .capacities = capacities,
	        .drops = drops,
	        .group_histories = histories,
	        .group = options->layer_group,
	        .role = "master",
	        .replace = true,
	        .user = options->user ? options->user : "",
	};
	int result = -ENOMEM;

	if (capacities && drops && histories)
		result = forebay_open(options->layer, &layer_options, &master->layer);
	free(capacities);
	free(drops);
	free(histories);
	if (result == -ENOMEM)
		return refuse(master, result, "out of memory");
	if (result != 0)
		return refuse(master, -EIO, "cannot open the layer %s: %s", options->layer,
		        forebay_error());
	take_over(master);
	if (*forebay_layer_drops(master->layer))
		log_warning("layer %s drops messages on purpose: %s", options->layer,
		        forebay_layer_drops(master->layer));
	return 0;
}

static void open_metrics(struct master *master)
{
	for (int kind = 0; kind < CHILD_KINDS; kind++) {
		char name[FOREBAY_METRIC_NAME_MAX + 1];

		snprintf(name, sizeof(name), "forebay_restarts_total{process=\"%s\"}",
		        child_kind_name((enum child_kind)kind));
		// What a full layer has no room for isn't counted.
		(void)forebay_metric_open(master->layer, name, FOREBAY_METRIC_COUNTER,
		        "Processes that had ended by themselves and were started again",
		        &master->crew.restarts[kind]);
	}
}

static void announce(const struct listener_set *listeners)
{
	for (size_t i = 0; i < listeners->count; i++)
		log_info("%s on %s%s", listeners->listeners[i].status ? "status" : "listening",
		        listener_scheme(&listeners->listeners[i]), listeners->listeners[i].shown);
}

// The workers of a server that was killed a moment ago have the addresses until they notice.
static int open_listeners(struct master *master)
{
	const struct timespec pause = {.tv_nsec = BIND_AGAIN_MS * 1000000l};
	const struct options *options = &master->options;
	int result = -EADDRINUSE;

	for (int tries = 0; result == -EADDRINUSE && tries < BIND_TRIES; tries++) {
		if (tries > 0)
			nanosleep(&pause, NULL);
		result = listener_set_open(&master->listeners, &options->bind,
		        &options->status_bind, options->backlog, NULL, master->error);
	}
	return result;
}

// The part that is the daemon's own: locks and attachments don't pass to another process.
static int open_all(struct master *master)
{
	if (daemon_pid_file_write(&master->pid_file, master->error) < 0)
		return -EIO;
	// Before the layer: a port that is in use is the most frequent mistake, and is to leave no layer behind.
	if (open_listeners(master) < 0)
		return -EIO;
	if (open_layer(master) < 0)
		return -EIO;
	open_metrics(master);
	return 0;
}

static int start_children(struct master *master)
{
	const struct options *options = &master->options;
	int64_t now = monotonic_ms();
	int workers = options_worker_count(options), result;

	// Those that retire keep theirs. Without one, they accept as they come.
	balance_free(master->context.balance);
	master->context.balance = balance_new(workers);
	result = crew_start(&master->crew, CHILD_WORKER, workers, now);
	if (result == 0 && options->app)
		result = crew_start(&master->crew, CHILD_APP, options->app_processes, now);
	return result;
}

static int start(struct master *master)
{
	int ready_fd = -1;
	int result = prepare(master);

	if (result < 0)
		return result;
	if (master->options.daemon) {
		ready_fd = daemon_detach();
		if (ready_fd < 0)
			return refuse(master, ready_fd, "cannot become a daemon: %s",
			        strerror(-ready_fd));
	}
	raise_file_limit(master);
	result = open_all(master);
	if (result < 0)
		return result;
	master->context = (struct child_context){
	        .options = &master->options,
	        .listeners = &master->listeners,
	        .tls = master->tls,
	        .privileges = &master->privileges,
	        .pid_file = &master->pid_file,
	        .layer = master->layer,
	        .files = master->files,
	};
	master->crew.context = &master->context;
	log_info("forebay " FOREBAY_VERSION " starts: process %d, layer %s", (int)getpid(),
	        master->options.layer);
	announce(&master->listeners);
	if (ready_fd >= 0)
		daemon_ready(ready_fd, log_fd());
	result = start_children(master);
	return result < 0 ? refuse(master, result, "out of memory") : 0;
}

// ---------------------------------------------------------------------------------------------
// Reload
// ---------------------------------------------------------------------------------------------

static void report_change(const char *name, bool needs_restart, void *context)
{
	(void)context;
	if (needs_restart)
		log_warning("reload: option %s has changed, which takes effect at a restart only",
		        name);
	else
		log_info("reload: option %s has changed", name);
}

static void apply(struct master *master, struct options *fresh, struct listener_set *listeners,
        struct tls *tls)
{
	int64_t now = monotonic_ms();

	listener_set_fini(&master->listeners, true); // those that aren't wanted any more
	options_fini(&master->options);
	master->listeners = *listeners;
	master->options = *fresh;
	tls_free(master->tls);
	master->context.tls = master->tls = tls;
	announce(&master->listeners);
	crew_retire(&master->crew, CHILD_WORKER, now + WORKER_OVERLAP_MS, CREW_NEVER);
	crew_retire(&master->crew, CHILD_APP, now + APP_OVERLAP_MS,
	        now + APP_OVERLAP_MS + master->options.shutdown_timeout);
	if (start_children(master) < 0)
		log_error("reload: out of memory, some processes are missing");
}

static void reload(struct master *master)
{
	struct listener_set listeners;
	struct options fresh;
	struct tls *tls = NULL;
	const char *path;
	char error[OPTIONS_ERROR_SIZE];
	int result;

	log_info("reload");
	result = options_reload(
	        &master->options, master->argc, master->argv, &fresh, report_change, NULL, error);
	if (result == 0)
		result = read_tls(&fresh, master->tls, &tls, error);
	if (result == 0)
		result = listener_set_open(&listeners, &fresh.bind, &fresh.status_bind,
		        fresh.backlog, &master->listeners, error);
	if (result != 0) {
		tls_free(tls);
		log_error("reload refused, all stays as it was: %s", error);
		options_fini(&fresh);
		return;
	}
	result = open_logs(master, &fresh, &path);
	if (result < 0)
		log_error("reload: cannot open %s, the log stays where it was: %s", path,
		        strerror(-result));
	if (fresh.daemon)
		daemon_redirect(log_fd());
	apply(master, &fresh, &listeners, tls);
}

// ---------------------------------------------------------------------------------------------
// Stop
// ---------------------------------------------------------------------------------------------

static void stop(struct master *master, const char *why)
{
	int64_t now = monotonic_ms();

	if (master->phase != RUNNING)
		return;
	log_info("%s: stopping gracefully, within %.1f s", why,
	        (double)master->options.shutdown_timeout / 1000);
	master->phase = DRAINING;
	master->deadline = now + master->options.shutdown_timeout;
	listener_set_close_clients(&master->listeners);
	master->crew.ending = true;
	crew_retire(&master->crew, CHILD_WORKER, now, master->deadline);
	crew_limit(&master->crew, master->deadline);
}

static void stop_at_once(struct master *master)
{
	int64_t now = monotonic_ms();

	log_info("stopping at once");
	listener_set_fini(&master->listeners, true);
	crew_signal(&master->crew, CHILD_WORKER, SIGUSR2);
	crew_retire(&master->crew, CHILD_WORKER, CREW_NEVER, now + AT_ONCE_MS);
	crew_retire(&master->crew, CHILD_APP, now, now + AT_ONCE_MS);
	crew_limit(&master->crew, now + AT_ONCE_MS);
	master->phase = FINISHING;
}

// Goes on to the next phase when the present one is complete. Returns whether all is over.
static bool advance(struct master *master)
{
	int64_t now = monotonic_ms();
	int workers = crew_count(&master->crew, CHILD_WORKER);
	int apps = crew_count(&master->crew, CHILD_APP);

	if (master->phase == DRAINING && workers == 0) {
		// Even if the workers took all the time there was, applications get a chance.
		int64_t least = now + AT_ONCE_MS;

		master->phase = FINISHING;
		listener_set_fini(&master->listeners, true); // nobody would answer there
		crew_retire(&master->crew, CHILD_APP, now,
		        master->deadline > least ? master->deadline : least);
		crew_tick(&master->crew, now);
		apps = crew_count(&master->crew, CHILD_APP);
	}
	return master->phase == FINISHING && workers == 0 && apps == 0;
}

// ---------------------------------------------------------------------------------------------
// The loop
// ---------------------------------------------------------------------------------------------

// The terminal that the server was started from in the foreground was closed: then SIGHUP means what
// it meant first, and isn't a reload.
static bool has_lost_terminal(const struct master *master)
{
	return master->on_terminal && !isatty(STDIN_FILENO);
}

static void answer(struct master *master, int number)
{
	switch (number) {
	case SIGHUP:
		if (has_lost_terminal(master))
			stop(master, "the terminal was closed");
		else if (master->phase == RUNNING)
			reload(master);
		break;
	case SIGUSR1:
		reopen_logs(master);
		break;
	case SIGTERM:
	case SIGQUIT:
		stop(master, strsignal(number));
		break;
	case SIGINT:
		if (++master->interrupts >= 2)
			stop_at_once(master);
		else
			stop(master, "interrupt (a second one stops at once)");
		break;
	default: // SIGCHLD: the loop looks after children anyway; SIGPIPE: a log's reader is gone
		break;
	}
}

// Waits for a signal until UNTIL. Returns its number, or 0.
static int wait_for_signal(const sigset_t *set, int64_t until)
{
	int64_t left = until - monotonic_ms();
	struct timespec timeout = {0, 0};
	int number;

	if (left > 0)
		timeout = (struct timespec){left / 1000, left % 1000 * 1000000};
	number = sigtimedwait(set, NULL, &timeout);
	return number < 0 ? 0 : number;
}

static void run(struct master *master, const sigset_t *set)
{
	int64_t tick_at = monotonic_ms() + TICK_MS, next, now;

	do {
		next = crew_next(&master->crew);
		answer(master, wait_for_signal(set, next < tick_at ? next : tick_at));
		now = monotonic_ms();
		if (crew_collect(&master->crew, now) > 0)
			forebay_reap(master->layer);
		if (now >= tick_at) {
			forebay_housekeep(master->layer);
			log_tick(false);
			tick_at = now + TICK_MS;
		}
		crew_tick(&master->crew, now);
	} while (!advance(master));
	log_info("stopped");
}

// Ends everything; also after a start that failed half-way.
static void finish(struct master *master)
{
	crew_fini(&master->crew);
	listener_set_fini(&master->listeners, true);
	tls_free(master->tls);
	forebay_close(master->layer);
	daemon_pid_file_remove(&master->pid_file);
	privileges_fini(&master->privileges);
	options_fini(&master->options);
	log_tick(true);
}

// Reads the options. Returns whether the server is to be started, or else the exit status.
static bool read_options(struct master *master, int *status)
{
	int result = options_parse(&master->options, master->argc, master->argv, master->error);

	if (result == OPTIONS_HELP)
		options_print_help(stdout);
	else if (result != 0)
		fprintf(stderr, "forebay: %s\n", master->error);
	*status = result == OPTIONS_HELP ? 0 : result == OPTIONS_INVALID ? 2 : 1;
	return result == 0;
}

int master_main(int argc, char **argv)
{
	struct master master = {.argc = argc, .argv = argv, .pid_file = {.fd = -1}};
	sigset_t set = awaited_signals();
	int status;

	if (!read_options(&master, &status)) {
		options_fini(&master.options);
		return status;
	}
	log_set_role("master");
	master.on_terminal = !master.options.daemon && isatty(STDIN_FILENO);
	signal(SIGCHLD, SIG_DFL); // if the parent ignored it, children would vanish unseen
	sigprocmask(SIG_BLOCK, &set, NULL);
	status = start(&master) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	if (status == EXIT_SUCCESS) {
		run(&master, &set);
	} else {
		if (log_fd() != STDERR_FILENO)
			log_error("cannot start: %s", master.error);
		fprintf(stderr, "forebay: %s\n", master.error);
	}
	finish(&master);
	return status;
}
