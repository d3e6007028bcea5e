// SPDX-License-Identifier: MIT
#include "tests/torture/trial.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/torture/tracer.h"

pid_t trial_start(struct world *world, const struct operation *operation)
{
	pid_t pid;

	if (operation->stage)
		operation->stage(world);
	pid = fork();
	if (pid < 0) {
		perror("fork");
		exit(EXIT_FAILURE);
	}
	if (pid == 0)
		victim_run(operation, world->trial);
	if (!tracer_meet(pid)) {
		if (world->company && victim_report->broken)
			return 0;
		printf("Bail out! %s: the victim didn't get ready%s\n", operation->name,
		        victim_report->broken ? ": a call before the operation failed" : "");
		exit(EXIT_FAILURE);
	}
	return pid;
}

void trial_kill(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, __WALL);
}

// For sleeps(), which the tracer calls.
static struct world *current_world;
static const struct operation *current;

static void sleeps(uint32_t value)
{
	struct shm_process_mem *process = &current_world->a->segment.processes[victim_report->slot];

	if (current->is_awake && load_seq_cst(&process->sleeping) == value &&
	        current->is_awake(current_world))
		world_complain(current_world, WORLD_ASLEEP, "it sleeps though it needn't");
}

void trial_finish(struct world *world, const struct operation *operation, pid_t pid)
{
	int status;

	current_world = world;
	current = operation;
	if (!tracer_finish(pid, sleeps)) {
		world_complain(world, WORLD_BLOCKED, "the victim ended badly");
		(void)kill(pid, SIGKILL);
	} else {
		tracer_release(pid);
	}
	if (waitpid(pid, &status, __WALL) == pid &&
	        (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
		world_complain(world, WORLD_BLOCKED, "the victim didn't complete");
	else if (victim_report->result != 0 && victim_report->result != FOREBAY_FULL &&
	         victim_report->result != FOREBAY_TIMEOUT)
		world_complain(world, WORLD_BLOCKED, "the victim was told: %s",
		        forebay_strerror(victim_report->result));
}

void trial_enter(struct world *world)
{
	for (uint32_t i = 0; i < victim_report->sent && i < WORLD_NUMBERS; i++)
		world->fate[victim_report->sender][i] = victim_report->fate[i];
	for (uint32_t i = 0; i < victim_report->received && i < WORLD_NUMBERS; i++) {
		if (victim_report->stamp[i].sender == WORLD_SENDERS)
			world_complain(world, WORLD_TORN, "what the victim received");
		else
			world_got(world, &victim_report->stamp[i]);
	}
}
