// SPDX-License-Identifier: MIT
// child.c - starting and signalling one child of the master: a worker or an application process.
#include "server/child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/access_log.h"
#include "server/log.h"
#include "server/worker.h"

// As the shell has it: the command was found but couldn't be run.
#define EXIT_CANNOT_RUN 126

const char *child_kind_name(enum child_kind kind)
{
	return kind == CHILD_WORKER ? "worker" : "app";
}

// Undoes what the master did to its signals: it blocks them and waits for them.
static void reset_signals(enum child_kind kind)
{
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		signal(number,
		        SIG_DFL); // fails for those that can't be changed: they are as they are
	signal(SIGINT, SIG_IGN);
	if (kind == CHILD_WORKER)
		signal(SIGPIPE, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

// Asks for SIGNAL when the master dies, and ends this process if it has died already. After the
// privileges were dropped: that revokes it.
static void follow_master(pid_t master, int signal)
{
	prctl(PR_SET_PDEATHSIG, signal);
	if (getppid() != master)
		_exit(EXIT_SUCCESS);
}

static void drop_privileges(const struct child_context *context)
{
	int result = privileges_drop(context->privileges);

	if (result == 0)
		return;
	log_error("cannot become another user: %s", strerror(-result));
	_exit(EXIT_CANNOT_RUN);
}

_Noreturn static void run_worker(const struct child_context *context, int number, pid_t master)
{
	struct daemon_pid_file pid_file = *context->pid_file;
	const struct worker_setup setup = {
	        .options = context->options,
	        .listeners = context->listeners,
	        .tls = context->tls,
	        .balance = context->balance,
	        .number = number,
	        .master = master,
	};
	int status;

	log_set_role("worker %d", number);
	// A copy, so only the descriptor is closed; the master's own struct is its child's no more.
	if (pid_file.fd >= 0)
		close(pid_file.fd);
	forebay_close(context->layer);
	drop_privileges(context);
	reset_signals(CHILD_WORKER);
	follow_master(master, SIGQUIT);
	status = worker_main(&setup);
	access_log_close();
	log_tick(true);
	_exit(status);
}

_Noreturn static void run_app(const struct child_context *context, int number, pid_t master)
{
	const char *directory = getenv("FOREBAY_DIR");
	char *command;

	log_set_role("app %d", number);
	setpgid(0, 0);
	setrlimit(RLIMIT_NOFILE, &context->files);
	setenv("FOREBAY_LAYER", context->options->layer, 1);
	setenv("FOREBAY_DIR", directory ? directory : "/dev/shm", 1);
	// With exec the shell doesn't stay in between, so signals and exit status are the command's.
	if (asprintf(&command, "exec %s", context->options->app) < 0)
		_exit(EXIT_CANNOT_RUN);
	drop_privileges(context);
	reset_signals(CHILD_APP);
	follow_master(master, SIGTERM);
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	log_error("cannot run /bin/sh: %s", strerror(errno));
	_exit(EXIT_CANNOT_RUN);
}

pid_t child_start(const struct child_context *context, enum child_kind kind, int number)
{
	pid_t master = getpid(), pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		if (kind == CHILD_WORKER)
			run_worker(context, number, master);
		run_app(context, number, master);
	}
	// Both do it, so that the group exists whoever runs first; it fails if the child has execed.
	if (kind == CHILD_APP)
		setpgid(pid, pid);
	return pid;
}

void child_signal(enum child_kind kind, pid_t pid, int signal)
{
	kill(kind == CHILD_APP ? -pid : pid, signal);
}

void child_describe_end(int status, char text[CHILD_END_SIZE])
{
	if (WIFSIGNALED(status))
		snprintf(text, CHILD_END_SIZE, "was killed by signal %d (%s)", WTERMSIG(status),
		        strsignal(WTERMSIG(status)));
	else
		snprintf(text, CHILD_END_SIZE, "exited with status %d", WEXITSTATUS(status));
}
