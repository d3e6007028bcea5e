// SPDX-License-Identifier: MIT
#include "channel/spans.h"

// Copies LENGTH octets at OFFSET: from IN to the message, or, if that is NULL, from the message to OUT.
static void copy(
        const struct shm_buffer *buffer, uint32_t offset, const char *in, char *out, size_t length)
{
	for (uint32_t i = 0; i < buffer->count && length > 0; i++) {
		uint32_t here = buffer->span[i].length;
		char *place;

		if (offset >= here) {
			offset -= here;
			continue;
		}
		place = buffer->span[i].data + offset;
		here = here - offset < length ? here - offset : (uint32_t)length;
		if (in) {
			copy_release(place, in, here);
			in += here;
		} else {
			memcpy(out, place, here);
			out += here;
		}
		length -= here;
		offset = 0;
	}
}

uint32_t channel_spans_append(
        const struct shm_buffer *buffer, uint32_t offset, const void *data, size_t length)
{
	if (length > 0) // DATA may be NULL if not
		copy(buffer, offset, data, NULL, length);
	return offset + (uint32_t)length;
}

void channel_spans_copy(
        const struct shm_buffer *buffer, uint32_t offset, void *out, uint32_t length)
{
	copy(buffer, offset, NULL, out, length);
}
