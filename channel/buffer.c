// SPDX-License-Identifier: MIT
#include "channel/buffer.h"

#include <errno.h>
#include <stdlib.h>

#define KEEP_SIZE (256u << 10)

int channel_buffer_reserve(char **buffer, size_t *size, size_t needed, size_t most)
{
	size_t larger = *size ? *size : 1024;
	char *grown;

	if (needed <= *size)
		return 0;
	while (larger < needed)
		larger *= 2;
	if (larger > most)
		larger = most;
	grown = realloc(*buffer, larger);
	if (!grown)
		return -ENOMEM;
	*buffer = grown;
	*size = larger;
	return 0;
}

void channel_buffer_trim(char **buffer, size_t *size)
{
	if (*size <= KEEP_SIZE)
		return;
	free(*buffer);
	*buffer = NULL;
	*size = 0;
}
