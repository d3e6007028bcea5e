// SPDX-License-Identifier: MIT
// fuzz_path.c - paths: what is accepted is UTF-8 without NUL, within the size promised.
#include "tests/fuzz/fuzz.h"

#include "channel/utf8.h"
#include "server/http_path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *out = malloc(HTTP_PATH_SIZE(size));
	const char *reason = NULL;
	size_t length;
	int result = http_path_decode((const char *)data, size, out, &length, &reason);

	if (result == 0) {
		fuzz_require(length > 0 && length < HTTP_PATH_SIZE(size) + (size == 0));
		fuzz_require(channel_utf8_valid(out, length));
		fuzz_require(!memchr(out, '\0', length));
	} else {
		fuzz_require(result == 400 && reason);
	}
	free(out);
	return 0;
}
