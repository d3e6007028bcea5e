// SPDX-License-Identifier: MIT
// fuzz_multipart.c - multipart bodies: reports are well-formed, lie in the body where they say, and don't
// depend on how it was cut. The input is a cut, a content type up to a line feed, and the body.
#include "tests/fuzz/fuzz.h"

#include "channel/utf8.h"
#include "server/http_multipart.h"

struct reader {
	struct http_multipart multipart;
	const char *body;
	uint64_t size, offset, length, digest;
	bool open;
};

static void digest(struct reader *reader, const char *data, size_t length)
{
	for (size_t i = 0; i < length; i++)
		reader->digest = (reader->digest ^ (uint8_t)data[i]) * 0x100000001B3u;
}

static int part_begin(struct http_multipart *multipart, const struct http_multipart_part *part)
{
	struct reader *reader = (struct reader *)multipart;

	fuzz_require(!reader->open && part->offset <= reader->size);
	fuzz_require(channel_utf8_valid(part->name.data, part->name.length));
	fuzz_require(channel_utf8_valid(part->content_type.data, part->content_type.length));
	if (part->filename.data) {
		fuzz_require(part->filename.length > 0);
		fuzz_require(channel_utf8_valid(part->filename.data, part->filename.length));
		fuzz_require(!memchr(part->filename.data, '/', part->filename.length));
		fuzz_require(!memchr(part->filename.data, '\\', part->filename.length));
		fuzz_require(!memchr(part->filename.data, '\0', part->filename.length));
		digest(reader, part->filename.data, part->filename.length);
	}
	digest(reader, part->name.data, part->name.length);
	reader->open = true;
	reader->offset = part->offset;
	reader->length = 0;
	return 0;
}

static int part_data(struct http_multipart *multipart, const char *data, size_t length)
{
	struct reader *reader = (struct reader *)multipart;

	fuzz_require(reader->open && length > 0);
	fuzz_require(reader->offset + reader->length + length <= reader->size);
	fuzz_require(memcmp(reader->body + reader->offset + reader->length, data, length) == 0);
	reader->length += length;
	return 0;
}

static int part_end(struct http_multipart *multipart, uint64_t length)
{
	struct reader *reader = (struct reader *)multipart;

	fuzz_require(reader->open && reader->length == length);
	digest(reader, reader->body + reader->offset, length);
	reader->open = false;
	return 0;
}

static int read_body(struct reader *reader, const uint8_t *type, size_t type_length,
        const uint8_t *body, size_t size, size_t cut)
{
	static const struct http_multipart_callbacks callbacks = {part_begin, part_data, part_end};

	*reader = (struct reader){.body = (const char *)body, .size = size};
	if (http_multipart_init(&reader->multipart, (const char *)type, type_length,
	            HTTP_FORM_UTF_8, 10, &callbacks))
		return 400;
	http_multipart_feed(&reader->multipart, (const char *)body, cut);
	http_multipart_feed(&reader->multipart, (const char *)body + cut, size - cut);
	return http_multipart_finish(&reader->multipart);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct reader whole, pieces;

	if (size == 0)
		return 0;

	uint8_t part = *data++;
	const uint8_t *line_feed = memchr(data, '\n', --size);

	if (!line_feed)
		return 0;

	size_t type_length = (size_t)(line_feed - data);
	const uint8_t *body = line_feed + 1;

	size -= type_length + 1;
	int result = read_body(&whole, data, type_length, body, size, size);
	int other = read_body(&pieces, data, type_length, body, size, size * part / 256);
	fuzz_require(other == result && whole.digest == pieces.digest);
	fuzz_require(result != 0 || !whole.open);
	return 0;
}
