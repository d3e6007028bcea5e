// SPDX-License-Identifier: MIT
// worker.h - a worker process: one thread and one event loop that serves its share of the clients.
#pragma once

#include <sys/types.h>

#include "server/balance.h"
#include "server/listener.h"
#include "server/options.h"
#include "server/tls.h"

// All that crosses from the master to a worker, which is forked and doesn't exec.
struct worker_setup {
	const struct options *options;
	const struct listener_set *listeners;
	const struct tls *tls;   // NULL unless a listener wants it
	struct balance *balance; // of the workers that were started with it; NULL: there is none
	int number;              // 1 and up; the same number returns when a worker is replaced
	pid_t master;            // the parent: when it is gone, the worker stops gracefully
};

// Runs the worker to its end, in the child, after the master has dropped privileges, set the log's
// role, and given every signal its default action and an empty mask (SIGINT and SIGPIPE ignored).
// Signals that the worker answers: SIGQUIT stops it gracefully (accepts no more, finishes what is in
// flight, closes idle connections), and so does SIGTERM, which says that the whole server ends (a service manager
// may send it to all processes): meanwhile the status goes on to be told. SIGUSR2 stops it at once, SIGUSR1 reopens the logs. If the master dies, SIGQUIT arrives.
// Returns the exit status.
int worker_main(const struct worker_setup *setup);
