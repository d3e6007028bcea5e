// SPDX-License-Identifier: MIT
// buffer.h - private buffers that are kept from message to message.
#pragma once

#include <stddef.h>

// Grows *BUFFER to hold NEEDED octets at least, and never more than MOST. Returns 0 or -ENOMEM.
int channel_buffer_reserve(char **buffer, size_t *size, size_t needed, size_t most);

// Gives the buffer back if an exceptionally large message made it grow.
void channel_buffer_trim(char **buffer, size_t *size);
