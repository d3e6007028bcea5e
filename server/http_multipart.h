// SPDX-License-Identifier: MIT
// http_multipart.h - multipart/form-data as a stream: parts are reported while the body arrives.
//
// Memory is bounded by the struct itself (about 2 KiB, the head of one part); data of parts is passed on as views into what was fed. The result does not depend on how
// the body was cut, except in how many pieces part_data delivers.
//
// Names follow Django 3.2 (django.http.multipartparser): a part without a name, or whose file name
// is nothing but directories, is skipped; an empty file name makes it a text field. Refused with 400,
// other than there, is what has no clear meaning: a line in a part's head that isn't a field, a
// Content-Transfer-Encoding other than 7bit, 8bit or binary (Django decodes base64; browsers
// don't send it), a part that is multipart itself, a delimiter followed by other text, NUL in a
// file name, no final delimiter. HTML character references in file names are left as they are.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/http_form.h"

#define HTTP_MULTIPART_BOUNDARY_MAX 70   // RFC 2046, 5.1.1
#define HTTP_MULTIPART_HEAD_MAX     2048 // octets of one part's head (Django looks at 1024)
#define HTTP_MULTIPART_PARTS_MAX    1000 // parts, the skipped ones included: more: 413

struct http_multipart;

// A part whose head has been read. The texts are valid UTF-8, not NUL-terminated, and valid during
// the callback only.
struct http_multipart_part {
	struct http_form_text name;
	struct http_form_text filename;     // without directories; data NULL: a text field
	struct http_form_text content_type; // as sent, with its parameters; length 0: none
	uint64_t offset;                    // of the part's first octet of data in the body
};

// A callback that returns other than 0 stops the parser, whose feed then returns that for ever.
// The owner is found from the parser it embeds (container_of).
struct http_multipart_callbacks {
	int (*part_begin)(struct http_multipart *multipart, const struct http_multipart_part *part);
	int (*part_data)(struct http_multipart *multipart, const char *data, size_t length);
	// LENGTH: octets of data of the part in all.
	int (*part_end)(struct http_multipart *multipart, uint64_t length);
};

struct http_multipart {
	const struct http_multipart_callbacks *callbacks;
	const char *reason; // once a function has returned a status: why. Static.

	// Private to http_multipart.c.
	enum http_form_charset charset;
	uint32_t max_parts;
	int result; // sticky
	int state;
	uint32_t parts;
	uint64_t position; // octets fed so far
	uint64_t offset;   // of the data of the part in hand
	uint32_t head_length;
	uint8_t matched;          // octets of the delimiter that the last octets fed are
	uint8_t phantom;          // how many of those are not data, should it turn out no delimiter
	uint8_t delimiter_length; // CR LF "--" boundary
	bool skipped;             // the part in hand is not reported
	char delimiter[4 + HTTP_MULTIPART_BOUNDARY_MAX];
	char head[HTTP_MULTIPART_HEAD_MAX];
};

// Prepares for a body announced by CONTENT_TYPE, whose parameter boundary (1-70 of RFC 2046's
// characters, quoted or not) is taken. CHARSET is that of http_form_content_type(). MAX_PARTS 0:
// the default. Returns 0, or 400 and multipart->reason.
int http_multipart_init(struct http_multipart *multipart, const char *content_type, size_t length,
        enum http_form_charset charset, uint32_t max_parts,
        const struct http_multipart_callbacks *callbacks);

// Parses the next LENGTH octets of the body. Returns 0; 400 or 413 and multipart->reason; or what
// a callback returned. What stands behind the final delimiter is ignored.
int http_multipart_feed(struct http_multipart *multipart, const char *data, size_t length);

// The body has ended: returns 0, or 400 if its final delimiter is missing; or the earlier failure.
int http_multipart_finish(struct http_multipart *multipart);
