// SPDX-License-Identifier: MIT
// http_path.h - a request's raw path as the text that Django calls request.path.
//
// Percent escapes are decoded once. Octets that are not UTF-8 afterwards are percent-encoded again
// (django.utils.encoding.repercent_broken_unicode). Dot segments and empty segments stay as they are:
// the consumer sees the path that was asked for, but one that climbs above the root is refused.
#pragma once

#include <stddef.h>

// Octets that the decoded path of LENGTH raw octets may need.
#define HTTP_PATH_SIZE(LENGTH) (3 * (size_t)(LENGTH) + 1)

// Decodes the path of a request target (without '?' and query; empty stands for "/") to OUT, which
// has room for HTTP_PATH_SIZE(LENGTH) octets; not NUL-terminated. It is valid UTF-8.
// Returns 0 and *OUT_LENGTH; or 400 and *REASON, a static text: a malformed escape, %00, or ".."
// above the root.
int http_path_decode(
        const char *path, size_t length, char *out, size_t *out_length, const char **reason);
