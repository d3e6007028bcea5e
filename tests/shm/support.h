// SPDX-License-Identifier: MIT
// support.h - a private segment for a test, and attachments to it, as many as a test needs.
#pragma once

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/doorbell.h"
#include "shm/endpoint.h"
#include "shm/reaper.h"
#include "shm/table.h"
#include "tests/test.h"

// Everything an attached process has.
struct attachment {
	struct shm_segment segment;
	struct shm_process self;
	struct shm_pool pool;
	struct shm_table table;
};

static char support_path[256];

// The name of the segment's directory, which isn't there yet.
static const char *support_directory(void)
{
	if (!support_path[0])
		snprintf(support_path, sizeof support_path, "%s/segment", test_directory);
	return support_path;
}

__attribute__((unused)) static struct shm_geometry support_geometry(void)
{
	return (struct shm_geometry){
	        .narrow = 64,
	        .wide = 4,
	        .endpoints = 128,
	        .blocks = {256, 128, 32},
	        .expiry = 60000,
	        .groups = 8,
	        .cells = 256,
	        .group_expiry = 86400000,
	        .metrics = 64,
	};
}

__attribute__((unused)) static void join(struct attachment *attachment)
{
	if (shm_process_join(&attachment->self, &attachment->segment, "test") < 0 ||
	        shm_pool_init(&attachment->pool, &attachment->segment, attachment->self.uid) < 0) {
		printf("# cannot join\n");
		exit(EXIT_FAILURE);
	}
	shm_table_init(
	        &attachment->table, &attachment->segment, &attachment->self, &attachment->pool);
}

// Terms to make a segment in; GEOMETRY NULL: or only to find one.
__attribute__((unused)) static struct shm_terms support_terms(const struct shm_geometry *geometry)
{
	return (struct shm_terms){
	        .geometry = geometry, .patterns = "*=100", .group = -1, .owner = -1};
}

// Attaches, making the segment first if need be. Ends the process if that fails.
__attribute__((unused)) static void attach(struct attachment *attachment)
{
	struct shm_geometry geometry = support_geometry();
	struct shm_terms terms = support_terms(&geometry);
	char error[512] = "";

	if (shm_segment_open(
	            &attachment->segment, support_directory(), &terms, error, sizeof error) < 0) {
		printf("# cannot attach: %s\n", error);
		exit(EXIT_FAILURE);
	}
	join(attachment);
}

// Leaves as a process does that ends well.
__attribute__((unused)) static void leave(struct attachment *attachment)
{
	struct shm_reaped reaped = {0};

	shm_reaper_release(&attachment->table, attachment->self.slot, &reaped);
	shm_process_leave(&attachment->self);
	shm_pool_fini(&attachment->pool);
}

__attribute__((unused)) static void detach(struct attachment *attachment)
{
	leave(attachment);
	shm_segment_fini(&attachment->segment);
}

// A slot of its own for a thread, over another's mapping: at two addresses ThreadSanitizer would
// not know the same memory again. Ends with leave().
__attribute__((unused)) static void attach_thread(
        struct attachment *attachment, const struct attachment *mapped)
{
	attachment->segment = mapped->segment;
	join(attachment);
}

// Runs WORK in a child with an attachment of its own, which it is killed with. False if it ended in another way.
__attribute__((unused)) static bool run_and_kill(void (*work)(struct attachment *child))
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		static struct attachment child;

		attach(&child);
		work(&child);
		(void)raise(SIGKILL);
	}
	return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
	       WTERMSIG(status) == SIGKILL;
}

// Removes the segment: the next attach() makes a new one.
__attribute__((unused)) static void discard(void)
{
	(void)shm_segment_remove(support_directory());
}

__attribute__((unused)) static uint32_t used_blocks(const struct attachment *attachment)
{
	uint32_t used = 0;

	for (int class = 0; class < SHM_CLASSES; class ++)
		used += shm_pool_used(&attachment->pool, class);
	return used;
}

// Sends the number VALUE through RING. Returns what push says; on failure the block is free again.
__attribute__((unused)) static enum shm_result push_number(
        struct attachment *attachment, struct shm_ring *ring, uint64_t value)
{
	struct shm_buffer buffer;
	enum shm_result result;

	if (!shm_pool_alloc(&attachment->pool, sizeof value, &buffer))
		return SHM_FULL;
	memcpy(buffer.span[0].data, &value, sizeof value);
	result = shm_ring_push(ring, &attachment->pool, buffer.handle,
	        shm_pool_block(&attachment->pool, buffer.handle));
	if (result != SHM_OK)
		shm_pool_free(&attachment->pool, buffer.handle);
	return result;
}

// Receives a number from RING and frees its block.
__attribute__((unused)) static enum shm_result pop_number(
        struct attachment *attachment, struct shm_ring *ring, uint64_t *value)
{
	struct shm_buffer buffer;
	uint32_t handle;
	enum shm_result result = shm_ring_pop(ring, &attachment->pool, &handle);

	if (result != SHM_OK)
		return result;
	*value = 0;
	if (shm_pool_view(&attachment->pool, handle, &buffer) && buffer.length == sizeof *value)
		memcpy(value, buffer.span[0].data, sizeof *value);
	shm_pool_free(&attachment->pool, handle);
	return SHM_OK;
}
