// SPDX-License-Identifier: MIT
// crew.c - all children of the master: started, replaced when they die, retired at a reload.
#include "server/crew.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "server/log.h"

// Plans the next process for a place whose last has ended.
static void plan(struct crew_member *member, int64_t now)
{
	member->start_at = now + supervisor_ended(&member->supervisor, now);
}

static void start(struct crew *crew, struct crew_member *member, int64_t now)
{
	const char *kind = child_kind_name(member->kind);
	pid_t pid = child_start(crew->context, member->kind, member->number);

	member->start_at = CREW_NEVER;
	supervisor_started(&member->supervisor, now);
	if (pid < 0) {
		log_limited(LOG_LEVEL_ERROR, "cannot start %s %d: %s", kind, member->number,
		        strerror(-pid));
		plan(member, now);
		// Unlike a death, which may be an accident, this won't be over in an instant.
		if (member->start_at < now + SUPERVISOR_FIRST_MS)
			member->start_at = now + SUPERVISOR_FIRST_MS;
		return;
	}
	member->pid = pid;
	log_debug("%s %d started: process %d", kind, member->number, (int)pid);
}

int crew_start(struct crew *crew, enum child_kind kind, int count, int64_t now)
{
	for (int number = 1; number <= count; number++) {
		struct crew_member *member = malloc(sizeof(*member));

		if (!member)
			return -ENOMEM;
		*member = (struct crew_member){
		        .kind = kind,
		        .number = number,
		        .start_at = now,
		        .term_at = CREW_NEVER,
		        .kill_at = CREW_NEVER,
		        .next = crew->members,
		};
		crew->members = member;
		start(crew, member, now);
	}
	return 0;
}

// Takes out the places that nobody fills nor will fill.
static void sweep(struct crew *crew)
{
	struct crew_member **link = &crew->members, *member;

	while ((member = *link)) {
		if (member->retiring && member->pid == 0) {
			*link = member->next;
			free(member);
		} else {
			link = &member->next;
		}
	}
}

void crew_retire(struct crew *crew, enum child_kind kind, int64_t term_at, int64_t kill_at)
{
	for (struct crew_member *member = crew->members; member; member = member->next) {
		if (member->kind != kind || member->retiring)
			continue;
		member->retiring = true;
		member->start_at = CREW_NEVER;
		member->term_at = term_at;
		member->kill_at = kill_at;
	}
	sweep(crew);
}

void crew_limit(struct crew *crew, int64_t kill_at)
{
	for (struct crew_member *member = crew->members; member; member = member->next)
		if (member->retiring && member->kill_at > kill_at)
			member->kill_at = kill_at;
}

void crew_signal(const struct crew *crew, enum child_kind kind, int signal)
{
	for (const struct crew_member *member = crew->members; member; member = member->next)
		if (member->kind == kind && member->pid > 0)
			child_signal(kind, member->pid, signal);
}

int crew_count(const struct crew *crew, enum child_kind kind)
{
	int count = 0;

	for (const struct crew_member *member = crew->members; member; member = member->next)
		count += member->kind == kind && member->pid > 0;
	return count;
}

static struct crew_member *find(struct crew *crew, pid_t pid)
{
	struct crew_member *member = crew->members;

	while (member && member->pid != pid)
		member = member->next;
	return member;
}

// Whether STATUS is what a process that was asked to end should have.
static bool is_expected(const struct crew_member *member, int status)
{
	if (!member->retiring)
		return false;
	if (WIFSIGNALED(status)) // an application need not handle the signal
		return member->kind == CHILD_APP && WTERMSIG(status) == SIGTERM;
	return WEXITSTATUS(status) == 0;
}

// Logs, in one line, how a process ended and what comes next.
static void report(const struct crew_member *member, int status, int64_t now)
{
	enum log_level level = is_expected(member, status) ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING;
	const char *kind = child_kind_name(member->kind);
	char end[CHILD_END_SIZE];

	child_describe_end(status, end);
	if (member->retiring)
		log_event(level, "%s %d (process %d) %s", kind, member->number, (int)member->pid,
		        end);
	else
		log_event(level, "%s %d (process %d) %s; a new one starts in %.1f s", kind,
		        member->number, (int)member->pid, end,
		        (double)(member->start_at - now) / 1000);
}

static void ended(struct crew *crew, struct crew_member *member, int status, int64_t now)
{
	if (!member->retiring) {
		plan(member, now);
		forebay_metric_add(&crew->restarts[member->kind], 1);
		if (member->kind == CHILD_WORKER)
			balance_show(crew->context->balance, member->number, BALANCE_AWAY);
	}
	report(member, status, now);
	member->pid = 0;
	member->term_at = member->kill_at = CREW_NEVER;
}

int crew_collect(struct crew *crew, int64_t now)
{
	siginfo_t info;
	int count = 0, status;

	// Looked at first and reaped after: until then its number, and that of its group, isn't used anew.
	while (info.si_pid = 0,
	        waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid) {
		struct crew_member *member = find(crew, info.si_pid);

		// What an application leaves running would compete with its successor.
		if (member && member->kind == CHILD_APP)
			child_signal(CHILD_APP, member->pid, SIGTERM);
		if (waitpid(info.si_pid, &status, 0) == info.si_pid && member)
			ended(crew, member, status, now);
		count++;
	}
	sweep(crew);
	return count;
}

static void tick(struct crew *crew, struct crew_member *member, int64_t now)
{
	if (member->pid == 0) {
		if (member->start_at <= now)
			start(crew, member, now);
		return;
	}
	if (member->term_at <= now) {
		member->term_at = CREW_NEVER;
		child_signal(member->kind, member->pid,
		        member->kind == CHILD_WORKER && !crew->ending ? SIGQUIT : SIGTERM);
	}
	if (member->kill_at <= now) {
		member->kill_at = CREW_NEVER;
		log_warning("%s %d (process %d) has not ended in time and is killed",
		        child_kind_name(member->kind), member->number, (int)member->pid);
		child_signal(member->kind, member->pid, SIGKILL);
	}
}

void crew_tick(struct crew *crew, int64_t now)
{
	for (struct crew_member *member = crew->members; member; member = member->next)
		tick(crew, member, now);
}

static int64_t least(int64_t one, int64_t other)
{
	return one < other ? one : other;
}

int64_t crew_next(const struct crew *crew)
{
	int64_t next = CREW_NEVER;

	for (const struct crew_member *member = crew->members; member; member = member->next)
		if (member->pid == 0)
			next = least(next, member->start_at);
		else
			next = least(next, least(member->term_at, member->kill_at));
	return next;
}

void crew_fini(struct crew *crew)
{
	while (crew->members) {
		struct crew_member *member = crew->members;

		crew->members = member->next;
		free(member);
	}
}
