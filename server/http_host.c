// SPDX-License-Identifier: MIT
// http_host.c - the grammar of hosts; see http_host.h.
#include "server/http_host.h"

#include <string.h>

#include "server/http_octet.h"

// "[" 2*( HEXDIG / ":" / "." ) "]": returns its length, or 0.
static size_t address_length(const char *host, size_t length)
{
	size_t at = 1;

	while (at < length && (http_octet_hex(host[at]) >= 0 || host[at] == ':' || host[at] == '.'))
		at++;
	return at >= 3 && at < length && host[at] == ']' ? at + 1 : 0;
}

// unreserved and sub-delims
static bool is_name(char octet)
{
	return http_octet_is_letter(octet) || http_octet_is_digit(octet) ||
	       (octet != '\0' && strchr("-._~!$&'()*+,;=", octet));
}

// *( unreserved / pct-encoded / sub-delims ) up to ':' or the end: returns its length, or 0.
static size_t name_length(const char *host, size_t length)
{
	size_t at = 0;

	while (at < length && host[at] != ':') {
		if (host[at] == '%') {
			if (length - at < 3 || http_octet_hex(host[at + 1]) < 0 ||
			        http_octet_hex(host[at + 2]) < 0)
				return 0;
			at += 2;
		} else if (!is_name(host[at])) {
			return 0;
		}
		at++;
	}
	return at;
}

static bool is_port(const char *port, size_t length)
{
	unsigned number = 0;

	for (size_t i = 0; i < length; i++) {
		if (!http_octet_is_digit(port[i]))
			return false;
		number = number * 10 + (unsigned)(port[i] - '0');
		if (number > 65535)
			return false;
	}
	return true;
}

bool http_host_valid(const char *host, size_t length)
{
	if (length == 0)
		return false;

	size_t at = host[0] == '[' ? address_length(host, length) : name_length(host, length);

	if (at == 0 || at == length)
		return at > 0;
	return host[at] == ':' && is_port(host + at + 1, length - at - 1);
}
