// SPDX-License-Identifier: MIT
// The shm layer by itself: a block is taken, filled and pushed; popped, read and freed. Both sides spin.

#include <stdlib.h>

#include "shm/reaper.h"
#include "tests/bench/transports.h"

// A process's attachment; all its ends share it.
static struct {
	bool attached;
	struct shm_segment segment;
	struct shm_process process;
	struct shm_pool pool;
	struct shm_table table;
} self;

struct end {
	struct shm_ring ring;
};

static void path_of(const struct bench_run *run, char path[512])
{
	snprintf(path, 512, "%s/shm", run->directory);
}

static void attach(const struct bench_run *run)
{
	struct shm_geometry geometry;
	char path[512], error[512] = "";

	path_of(run, path);
	if (self.attached)
		return;
	if (shm_geometry_choose(&geometry, 48u << 20, 1024, 1024) < 0)
		bench_die("no such geometry");
	geometry.expiry = 60000;
	if (shm_segment_open(&self.segment, path, &geometry, "*=128", -1, error, sizeof error) < 0)
		bench_die("%s", error);
	if (shm_process_join(&self.process, &self.segment, "bench") < 0 ||
	        shm_pool_init(&self.pool, &self.segment, self.process.uid) < 0)
		bench_die("cannot join the segment");
	shm_table_init(&self.table, &self.segment, &self.process, &self.pool);
	self.attached = true;
}

static void teardown(const struct bench_run *run)
{
	char path[512];

	path_of(run, path);
	(void)shm_segment_remove(path);
}

static void *open_end(const struct bench_run *run, int queue, enum bench_role role, int index)
{
	struct end *end = calloc(1, sizeof *end);
	char name[16];

	(void)role;
	(void)index;
	attach(run);
	snprintf(name, sizeof name, "bench.%d", queue);
	if (shm_table_make(&self.table, name, BENCH_DEPTH, 0, &end->ring) != SHM_OK)
		bench_die("cannot make a ring");
	return end;
}

static void send_message(void *opaque, const void *data, size_t size)
{
	struct end *end = opaque;
	struct shm_buffer buffer;
	struct shm_block_mem *block;
	const char *from = data;
	enum shm_result result;
	unsigned spins = 0;

	while (!shm_pool_alloc(&self.pool, (uint32_t)size, &buffer))
		bench_spin(&spins);
	for (uint32_t i = 0; i < buffer.count; from += buffer.span[i++].length)
		memcpy(buffer.span[i].data, from, buffer.span[i].length);
	block = shm_pool_block(&self.pool, buffer.handle);
	while ((result = shm_ring_push(&end->ring, &self.pool, buffer.handle, block)) == SHM_FULL)
		bench_spin(&spins);
	if (result != SHM_OK)
		bench_die("push: %d", result);
}

static void receive_message(void *opaque, struct bench_reader *reader)
{
	struct end *end = opaque;
	struct shm_buffer buffer;
	enum shm_result result;
	uint32_t handle;
	unsigned spins = 0;

	while ((result = shm_ring_pop(&end->ring, &self.pool, &handle)) == SHM_EMPTY)
		bench_spin(&spins);
	if (result != SHM_OK || !shm_pool_view(&self.pool, handle, &buffer))
		bench_die("pop: %d", result);
	for (uint32_t i = 0; i < buffer.count; i++)
		bench_read(reader, buffer.span[i].data, buffer.span[i].length);
	shm_pool_free(&self.pool, handle);
}

const struct bench_transport bench_shm = {
        "shm", NULL, teardown, open_end, send_message, NULL, receive_message};
