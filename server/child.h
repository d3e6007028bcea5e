// SPDX-License-Identifier: MIT
// child.h - starting and signalling one child of the master: a worker or an application process.
#pragma once

#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "channel/forebay.h"
#include "server/balance.h"
#include "server/daemon.h"
#include "server/listener.h"
#include "server/options.h"
#include "server/privileges.h"
#include "server/tls.h"

enum child_kind {
	CHILD_WORKER, // forked, runs worker_main()
	CHILD_APP,    // runs the command --app in a process group of its own
	CHILD_KINDS
};

// What a new child gets from the master, or must let go of. All borrowed.
struct child_context {
	const struct options *options;
	const struct listener_set *listeners;
	const struct tls *tls;   // NULL if there is none
	struct balance *balance; // of the workers; NULL if there is none
	const struct privileges *privileges;
	const struct daemon_pid_file *pid_file;
	struct forebay *layer; // the master's attachment
	struct rlimit files;   // RLIMIT_NOFILE as the master found it, which applications get back
};

// "worker" or "app".
const char *child_kind_name(enum child_kind kind);

// Starts one. Every signal has its default action there, save that SIGINT is ignored, for Ctrl-C is
// the master's to answer; none is blocked. When the master dies, a worker gets SIGQUIT and an
// application SIGTERM. Returns its process id or a negative errno.
pid_t child_start(const struct child_context *context, enum child_kind kind, int number);

// Sends SIGNAL to the process, and to all of its group if it is an application.
void child_signal(enum child_kind kind, pid_t pid, int signal);

// Says how a process ended, as waitpid() gave it in STATUS: "exited with status 1".
#define CHILD_END_SIZE 64
void child_describe_end(int status, char text[CHILD_END_SIZE]);
