// SPDX-License-Identifier: MIT
// http_host.h - the grammar of a Host field or an authority without user information.
#pragma once

#include <stdbool.h>
#include <stddef.h>

// Whether LENGTH octets are uri-host [ ":" port ] (RFC 9110, 7.2; RFC 3986, 3.2.2) with a host that is
// not empty: a registered name, an IPv4 address or an IPv6 address in brackets; port at most 65535.
bool http_host_valid(const char *host, size_t length);
