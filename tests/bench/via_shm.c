// SPDX-License-Identifier: MIT
// The shm layer by itself: a block is taken, filled and pushed; popped, read and freed. Both sides spin.

#include <stdlib.h>

#include "channel/layer.h"
#include "tests/bench/attach.h"
#include "tests/bench/transports.h"

// A process's attachment; all its ends share it. Made as any other, then used from below.
static struct forebay *layer;

struct end {
	struct shm_ring ring;
};

static void setup(const struct bench_run *run)
{
	bench_layer_make(run, NULL);
}

static void *open_end(const struct bench_run *run, int queue, enum bench_role role, int index)
{
	struct end *end = calloc(1, sizeof *end);
	char name[16];

	(void)role;
	(void)index;
	if (!layer)
		layer = bench_layer_attach(run, NULL);
	snprintf(name, sizeof name, "bench.%d", queue);
	if (shm_table_make(&layer->table, name, BENCH_DEPTH, 0, &end->ring) != SHM_OK)
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

	shm_ring_expect(&end->ring);
	while (!shm_pool_alloc(&layer->pool, (uint32_t)size, &buffer))
		bench_spin(&spins);
	for (uint32_t i = 0; i < buffer.count; from += buffer.span[i++].length)
		memcpy(buffer.span[i].data, from, buffer.span[i].length);
	block = shm_pool_block(&layer->pool, buffer.handle);
	while ((result = shm_ring_push(&end->ring, &layer->pool, buffer.handle, block)) == SHM_FULL)
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

	while ((result = shm_ring_pop(&end->ring, &layer->pool, &handle)) == SHM_EMPTY)
		bench_spin(&spins);
	if (result != SHM_OK || !shm_pool_view(&layer->pool, handle, &buffer))
		bench_die("pop: %d", result);
	for (uint32_t i = 0; i < buffer.count; i++)
		bench_read(reader, buffer.span[i].data, buffer.span[i].length);
	shm_pool_free(&layer->pool, handle);
}

const struct bench_transport bench_shm = {
        "shm", setup, bench_layer_remove, open_end, send_message, NULL, receive_message};
