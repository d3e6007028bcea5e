// SPDX-License-Identifier: MIT
#include "channel/spans.h"

// The octets from *OFFSET on that lie in the span BUFFER->span[INDEX], LENGTH at most, and where. *OFFSET, from the
// beginning of this span, becomes one from the beginning of the next.
static uint32_t part_in(const struct shm_buffer *buffer, uint32_t index, uint32_t *offset,
        uint32_t length, char **place)
{
	uint32_t here = buffer->span[index].length;

	if (*offset >= here) {
		*offset -= here;
		return 0;
	}
	*place = buffer->span[index].data + *offset;
	here -= *offset;
	*offset = 0;
	return here < length ? here : length;
}

uint32_t channel_spans_append(
        const struct shm_buffer *buffer, uint32_t offset, const void *data, size_t length)
{
	uint32_t end = offset + (uint32_t)length, left = (uint32_t)length;
	const char *from = data;

	for (uint32_t i = 0; i < buffer->count && left > 0; i++) {
		char *place;
		uint32_t here = part_in(buffer, i, &offset, left, &place);

		if (here > 0)
			copy_release(place, from, here);
		from += here;
		left -= here;
	}
	return end;
}

void channel_spans_copy(
        const struct shm_buffer *buffer, uint32_t offset, void *out, uint32_t length)
{
	char *to = out;

	for (uint32_t i = 0; i < buffer->count && length > 0; i++) {
		char *place;
		uint32_t here = part_in(buffer, i, &offset, length, &place);

		if (here > 0)
			memcpy(to, place, here);
		to += here;
		length -= here;
	}
}
