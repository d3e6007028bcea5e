// SPDX-License-Identifier: MIT
// fuzz_cookie.c - cookies: never an error, one value a name, all of it UTF-8.
#include "tests/fuzz/fuzz.h"

#include "channel/utf8.h"
#include "server/http_cookie.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_form cookies;
	struct http_form_cursor cursor = {0};
	struct http_form_text name, value;

	if (cookies.max_fields == 0)
		http_form_init(&cookies, UINT32_MAX, 0);
	if (size > 65536)
		return 0;
	fuzz_require(http_cookie_parse(&cookies, (const char *)data, size) == 0);
	while (http_form_next_key(&cookies, &cursor, &name)) {
		fuzz_require(channel_utf8_valid(name.data, name.length));
		fuzz_require(http_form_next_value(&cookies, &cursor, &value));
		fuzz_require(channel_utf8_valid(value.data, value.length));
		fuzz_require(name.length > 0 || value.length > 0 || memchr(data, '"', size));
		fuzz_require(!http_form_next_value(&cookies, &cursor, &value));
	}
	http_form_clear(&cookies);
	return 0;
}
