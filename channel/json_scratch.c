// SPDX-License-Identifier: MIT
// json_scratch.c - the memory that yajl is given.
#include "channel/json.h"

#include <string.h>

// In front of every allocation; keeps what follows aligned for anything.
struct allocation {
	_Alignas(max_align_t) size_t size;
};

static size_t aligned(size_t size)
{
	return (size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
}

static void *allocate(void *context, size_t size)
{
	struct channel_json_scratch *scratch = context;
	struct allocation *allocation;

	if (scratch->size - scratch->used < sizeof *allocation + aligned(size))
		return NULL;
	allocation = (struct allocation *)(scratch->octets + scratch->used);
	allocation->size = aligned(size);
	scratch->used += sizeof *allocation + allocation->size;
	return allocation + 1;
}

static void release(void *context, void *memory)
{
	(void)context; // the block is emptied as a whole
	(void)memory;
}

// The newest allocation grows in place, as the parser's two buffers do when they are the newest.
static void *reallocate(void *context, void *memory, size_t size)
{
	struct channel_json_scratch *scratch = context;
	struct allocation *allocation = memory;
	void *moved;

	if (!memory)
		return allocate(context, size);
	allocation--;
	if (size <= allocation->size)
		return memory;
	if ((char *)memory + allocation->size == scratch->octets + scratch->used) {
		scratch->used -= sizeof *allocation + allocation->size;
		return allocate(context, size);
	}
	moved = allocate(context, size);
	if (moved)
		memcpy(moved, memory, allocation->size);
	return moved;
}

yajl_alloc_funcs channel_json_scratch_functions(struct channel_json_scratch *scratch)
{
	return (yajl_alloc_funcs){
	        .malloc = allocate, .realloc = reallocate, .free = release, .ctx = scratch};
}
