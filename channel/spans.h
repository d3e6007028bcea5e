// SPDX-License-Identifier: MIT
// spans.h - copies to and from a message in shared memory, which lies in one span, or in several if it is large.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "shm/pool.h"

// Those for a message in several spans.
uint32_t channel_spans_append(
        const struct shm_buffer *buffer, uint32_t offset, const void *data, size_t length);
void channel_spans_copy(
        const struct shm_buffer *buffer, uint32_t offset, void *out, uint32_t length);

// Copies LENGTH octets to OFFSET of a message that we HOLD. Returns the offset behind them.
static inline uint32_t channel_message_append(
        const struct shm_buffer *buffer, uint32_t offset, const void *data, size_t length)
{
	if (buffer->count != 1)
		return channel_spans_append(buffer, offset, data, length);
	if (length > 0) // DATA may be NULL if not
		copy_release(buffer->span[0].data + offset, data, length);
	return offset + (uint32_t)length;
}

// Copies OFFSET..OFFSET + LENGTH of a message, which has as many octets, to OUT.
static inline void channel_message_copy(
        const struct shm_buffer *buffer, uint32_t offset, void *out, uint32_t length)
{
	if (buffer->count != 1)
		channel_spans_copy(buffer, offset, out, length);
	else if (length > 0) // OUT may be NULL if not
		memcpy(out, buffer->span[0].data + offset, length);
}
