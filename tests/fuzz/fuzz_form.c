// SPDX-License-Identifier: MIT
// fuzz_form.c - queries and forms: all texts are UTF-8, every key is there once, limits hold.
#include "tests/fuzz/fuzz.h"

#include "channel/utf8.h"
#include "server/http_form.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_form form; // used again and again, as by a worker
	struct http_form_cursor cursor = {0};
	struct http_form_text key, value, keys[64];
	enum http_form_charset charset = size ? data[0] % 3 : HTTP_FORM_UTF_8;
	uint32_t values = 0, count = 0;

	if (form.max_fields == 0)
		http_form_init(&form, 50, 1000);
	int result =
	        http_form_parse(&form, (const char *)data + (size > 0), size - (size > 0), charset);
	fuzz_require(result >= 0);
	while (http_form_next_key(&form, &cursor, &key)) {
		fuzz_require(channel_utf8_valid(key.data, key.length));
		bool any = false;
		for (uint32_t i = 0; i < count; i++)
			fuzz_require(keys[i].length != key.length ||
			             memcmp(keys[i].data, key.data, key.length) != 0);
		fuzz_require(count < 64);
		keys[count++] = key;
		for (; http_form_next_value(&form, &cursor, &value); any = true, values++)
			fuzz_require(channel_utf8_valid(value.data, value.length));
		fuzz_require(any || result > 0);
	}
	fuzz_require(values <= 50 && form.text_length <= 1000);
	http_form_clear(&form);
	// The same octets as a Content-Type must be harmless, too.
	http_form_content_type((const char *)data, size, &charset);
	return 0;
}
