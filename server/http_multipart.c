// SPDX-License-Identifier: MIT
// http_multipart.c - multipart/form-data as a stream; see http_multipart.h.
//
// RFC 2046, 5.1.1, as far as it is accepted here:
//
//	body      = [ preamble CRLF ] "--" boundary padding CRLF part
//	            *( delimiter padding CRLF part ) delimiter "--" epilogue
//	delimiter = CRLF "--" boundary
//	padding   = *( SP / HTAB )
//	part      = *( token ":" value CRLF ) CRLF [ data ]
//
// A part without data may end with its head: the empty line is then the CRLF of the delimiter. So
// both at the start of the body and at the start of data, a CRLF counts as matched that is no data
// (`phantom`). CR occurs in the delimiter only in front; hence after a mismatch nothing of
// what was matched can be the start of another one.
#include "server/http_multipart.h"

#include <string.h>

#include "channel/utf8.h"
#include "server/http_octet.h"
#include "server/http_param.h"

enum state {
	PREAMBLE,
	DELIMITER, // behind the boundary
	DELIMITER_PADDING,
	DELIMITER_DASH,
	DELIMITER_LF,
	HEAD,
	HEAD_LF,
	DATA,
	EPILOGUE,
};

static int refuse(struct http_multipart *multipart, int status, const char *reason)
{
	multipart->reason = reason;
	return status;
}

// ---------------------------------------------------------------------------------------------
// Boundary
// ---------------------------------------------------------------------------------------------

static bool is_boundary(const char *boundary, size_t length)
{
	if (length == 0 || boundary[length - 1] == ' ')
		return false;
	for (size_t i = 0; i < length; i++)
		if (!http_octet_is_letter(boundary[i]) && !http_octet_is_digit(boundary[i]) &&
		        (boundary[i] == '\0' || !strchr("'()+_,-./:=? ", boundary[i])))
			return false;
	return true;
}

int http_multipart_init(struct http_multipart *multipart, const char *content_type, size_t length,
        enum http_form_charset charset, uint32_t max_parts,
        const struct http_multipart_callbacks *callbacks)
{
	struct http_form_text name, value, boundary = {0};
	struct http_param param;
	char text[2 * HTTP_MULTIPART_BOUNDARY_MAX + 2]; // with quotes, and all of it escaped

	memset(multipart, 0, offsetof(struct http_multipart, delimiter));
	multipart->callbacks = callbacks;
	multipart->charset = charset;
	multipart->max_parts = max_parts ? max_parts : HTTP_MULTIPART_PARTS_MAX;
	multipart->matched = multipart->phantom = 2;

	http_param_init(&param, content_type, length, NULL);
	while (http_param_next(&param, &name, &value)) {
		if (!http_param_is(name, "boundary"))
			continue;
		if (boundary.data)
			return multipart->result = refuse(multipart, 400, "boundary repeated");
		boundary = value;
	}
	if (!boundary.data)
		return multipart->result = refuse(multipart, 400, "no boundary");

	size_t size = boundary.length <= sizeof(text) ? http_param_unquote(text, boundary) : 0;

	if (size > HTTP_MULTIPART_BOUNDARY_MAX || !is_boundary(text, size))
		return multipart->result = refuse(multipart, 400, "bad boundary");
	memcpy(multipart->delimiter, "\r\n--", 4);
	memcpy(multipart->delimiter + 4, text, size);
	multipart->delimiter_length = (uint8_t)(4 + size);
	return 0;
}

// ---------------------------------------------------------------------------------------------
// Head of a part
// ---------------------------------------------------------------------------------------------

// What the fields of a part's head say, as views into it.
struct head {
	struct http_form_text disposition, type, encoding;
};

// A parameter of Content-Disposition: quoted or not, and whether "charset'language'" precedes it.
struct parameter {
	struct http_form_text value;
	bool extended;
};

static int read_line(
        struct http_multipart *multipart, struct http_form_text line, struct head *head)
{
	const char *colon = memchr(line.data, ':', line.length);
	struct http_form_text name = {line.data, colon ? (size_t)(colon - line.data) : 0}, value;
	struct http_param param;

	for (size_t i = 0; i < name.length; i++)
		if (!http_octet_is_token(name.data[i]))
			return refuse(multipart, 400, "malformed field in a part's head");
	if (name.length == 0)
		return refuse(multipart, 400, "malformed field in a part's head");

	size_t rest = line.length - name.length - 1;

	http_param_init(&param, colon + 1, rest, &value);
	if (http_param_is(name, "content-disposition")) {
		if (head->disposition.data)
			return refuse(multipart, 400, "Content-Disposition repeated in a part");
		head->disposition = (struct http_form_text){colon + 1, rest};
	} else if (http_param_is(name, "content-type")) {
		head->type = http_param_strip((struct http_form_text){colon + 1, rest});
	} else if (http_param_is(name, "content-transfer-encoding")) {
		head->encoding = value;
	}
	return 0;
}

static int read_lines(struct http_multipart *multipart, struct head *head)
{
	const char *at = multipart->head, *end = at + multipart->head_length;
	int result = 0;

	while (result == 0 && at < end) {
		const char *line_feed = memchr(at, '\n', (size_t)(end - at));

		result = read_line(
		        multipart, (struct http_form_text){at, (size_t)(line_feed - at)}, head);
		at = line_feed + 1;
	}
	return result;
}

static bool is_plain_encoding(struct http_form_text encoding)
{
	return !encoding.data || http_param_is(encoding, "7bit") ||
	       http_param_is(encoding, "8bit") || http_param_is(encoding, "binary");
}

static bool is_multipart(struct http_form_text type)
{
	static const size_t prefix = sizeof("multipart/") - 1;

	return type.length >= prefix &&
	       http_param_is((struct http_form_text){type.data, prefix}, "multipart/");
}

static size_t count(struct http_form_text text, char octet)
{
	size_t found = 0;

	for (size_t i = 0; i < text.length; i++)
		found += text.data[i] == octet;
	return found;
}

// The parameter NAME or NAME* of Content-Disposition, the last if there are several.
static struct parameter find_parameter(struct http_form_text disposition, const char *wanted)
{
	struct parameter parameter = {0};
	struct http_form_text name, value;
	struct http_param param;

	http_param_init(&param, disposition.data, disposition.length, NULL);
	while (http_param_next(&param, &name, &value)) {
		bool star = name.length > 0 && name.data[name.length - 1] == '*';

		name.length -= star;
		if (http_param_is(name, wanted))
			parameter = (struct parameter){value, star && count(value, '\'') == 2};
	}
	return parameter;
}

// Decodes a parameter to UTF-8 at *OUT and moves *OUT behind it. Needs 3 * value.length octets.
static struct http_form_text decode_parameter(
        const struct http_multipart *multipart, struct parameter parameter, char **out)
{
	char *raw = *out + 2 * parameter.value.length;
	size_t size = http_param_unquote(raw, parameter.value);
	enum http_form_charset charset = multipart->charset;

	if (parameter.extended) {
		char *first = memchr(raw, '\'', size);
		char *second = memchr(first + 1, '\'', size - (size_t)(first + 1 - raw));

		charset = http_form_charset(raw, (size_t)(first - raw));
		size = http_octet_unescape(
		        second + 1, second + 1, size - (size_t)(second + 1 - raw), 0);
		raw = second + 1;
	}

	struct http_form_text text = {*out, http_form_decode(*out, raw, size, charset)};

	*out += text.length;
	return text;
}

static struct http_form_text without_directories(struct http_form_text name)
{
	size_t base = name.length;

	while (base > 0 && name.data[base - 1] != '/' && name.data[base - 1] != '\\')
		base--;
	return (struct http_form_text){name.data + base, name.length - base};
}

static bool is_file_name(struct http_form_text name)
{
	return name.length > 2 || (name.length > 0 && memcmp(name.data, "..", name.length) != 0);
}

// Takes the part's names from its Content-Disposition. *SKIPPED: there is nothing to report.
static int name_part(struct http_multipart *multipart, const struct head *head, char **text,
        struct http_multipart_part *part, bool *skipped)
{
	struct parameter name = {0}, filename = {0};

	if (head->disposition.data) {
		name = find_parameter(head->disposition, "name");
		filename = find_parameter(head->disposition, "filename");
	}
	*skipped = !name.value.data;
	if (name.value.data)
		part->name = http_param_strip(decode_parameter(multipart, name, text));
	if (!filename.value.data)
		return 0;

	struct http_form_text file = decode_parameter(multipart, filename, text);

	if (file.length == 0)
		return 0;
	if (memchr(file.data, '\0', file.length))
		return refuse(multipart, 400, "NUL in a file name");
	part->filename = without_directories(file);
	*skipped |= !is_file_name(part->filename);
	return 0;
}

// The head of a part is complete: reports the part, unless there is nothing to report.
static int head_end(struct http_multipart *multipart)
{
	char text[3 * HTTP_MULTIPART_HEAD_MAX], *out = text; // what is decoded of the head
	struct http_multipart_part part = {.offset = multipart->offset};
	struct head head = {0};
	int result = read_lines(multipart, &head);

	if (result)
		return result;
	if (!is_plain_encoding(head.encoding))
		return refuse(multipart, 400, "Content-Transfer-Encoding in a part");
	if (is_multipart(head.type))
		return refuse(multipart, 400, "nested multipart");
	result = name_part(multipart, &head, &out, &part, &multipart->skipped);
	if (result || multipart->skipped)
		return result;
	part.content_type.data = out;
	part.content_type.length = channel_utf8_replace(out, head.type.data, head.type.length);
	return multipart->callbacks->part_begin(multipart, &part);
}

static int head_start(struct http_multipart *multipart)
{
	if (multipart->parts++ == multipart->max_parts)
		return refuse(multipart, 413, "too many parts");
	multipart->head_length = 0;
	multipart->state = HEAD;
	return 0;
}

// Gathers the head of a part, with a line feed behind each line.
static int head_octet(struct http_multipart *multipart, char octet)
{
	if (octet == '\r') {
		multipart->state = HEAD_LF;
		return 0;
	}
	if (!http_octet_is_text(octet))
		return refuse(multipart, 400, "control in a part's head");
	// One octet is kept free for the line feed.
	if (multipart->head_length >= sizeof(multipart->head) - 1)
		return refuse(multipart, 400, "head of a part too large");
	multipart->head[multipart->head_length++] = octet;
	return 0;
}

static int head_line_feed(struct http_multipart *multipart, char octet)
{
	uint32_t length = multipart->head_length;

	if (octet != '\n')
		return refuse(multipart, 400, "bare CR in a part's head");
	if (length > 0 && multipart->head[length - 1] != '\n') {
		multipart->head[multipart->head_length++] = '\n';
		multipart->state = HEAD;
		return 0;
	}
	multipart->offset = multipart->position;
	multipart->matched = multipart->phantom = 2;
	multipart->state = DATA;
	return head_end(multipart);
}

// ---------------------------------------------------------------------------------------------
// Delimiters and data
// ---------------------------------------------------------------------------------------------

static int pass_data(struct http_multipart *multipart, const char *data, size_t length)
{
	if (multipart->state != DATA || multipart->skipped || length == 0)
		return 0;
	return multipart->callbacks->part_data(multipart, data, length);
}

// A delimiter has ended at multipart->position.
static int delimiter_end(struct http_multipart *multipart)
{
	bool reported = multipart->state == DATA && !multipart->skipped;
	// If the empty line behind the head is part of the delimiter, there is no data.
	uint64_t length = multipart->phantom ? 0
	                                     : multipart->position - multipart->offset -
	                                               multipart->delimiter_length;

	multipart->matched = multipart->phantom = 0;
	multipart->state = DELIMITER;
	return reported ? multipart->callbacks->part_end(multipart, length) : 0;
}

// Scans the preamble or data up to the next delimiter. Returns 0 with *TAKEN, the octets examined.
static int scan(struct http_multipart *multipart, const char *data, size_t length, size_t *taken)
{
	// Octets of the delimiter that matched at the end of what was fed before. They are passed on
	// (from the delimiter, to which they are equal) when they turn out to be data.
	size_t carried = multipart->matched, at = 0;
	int result = 0;

	while (at < length && multipart->matched < multipart->delimiter_length) {
		if (data[at] == multipart->delimiter[multipart->matched]) {
			multipart->matched++;
			at++;
			continue;
		}
		if (carried > 0) {
			result = pass_data(multipart, multipart->delimiter + multipart->phantom,
			        carried - multipart->phantom);
			if (result)
				return result;
			carried = 0;
		}
		multipart->matched = multipart->phantom = 0;

		const char *cr = memchr(data + at, '\r', length - at);

		at = cr ? (size_t)(cr - data) : length;
	}
	// Data ends where the octets begin that match, as far as those lie in this piece.
	result = pass_data(multipart, data, at - (multipart->matched - carried));
	*taken = at;
	multipart->position += at;
	if (result == 0 && multipart->matched == multipart->delimiter_length)
		result = delimiter_end(multipart);
	return result;
}

// What may stand behind a boundary: "--", or white space and CRLF.
static int delimiter_octet(struct http_multipart *multipart, char octet)
{
	if (multipart->state == DELIMITER_LF)
		return octet == '\n' ? head_start(multipart)
		                     : refuse(multipart, 400, "bare CR behind a boundary");
	if (multipart->state == DELIMITER_DASH && octet == '-')
		multipart->state = EPILOGUE;
	else if (multipart->state == DELIMITER && octet == '-')
		multipart->state = DELIMITER_DASH;
	else if (multipart->state != DELIMITER_DASH && octet == '\r')
		multipart->state = DELIMITER_LF;
	else if (multipart->state != DELIMITER_DASH && http_octet_is_space(octet))
		multipart->state = DELIMITER_PADDING;
	else
		return refuse(multipart, 400, "text behind a boundary");
	return 0;
}

static int feed_some(
        struct http_multipart *multipart, const char *data, size_t length, size_t *taken)
{
	*taken = 1;
	switch (multipart->state) {
	case PREAMBLE:
	case DATA:
		return scan(multipart, data, length, taken);
	case EPILOGUE:
		*taken = length;
		multipart->position += length;
		return 0;
	case HEAD:
		multipart->position++;
		return head_octet(multipart, *data);
	case HEAD_LF:
		multipart->position++;
		return head_line_feed(multipart, *data);
	default:
		multipart->position++;
		return delimiter_octet(multipart, *data);
	}
}

int http_multipart_feed(struct http_multipart *multipart, const char *data, size_t length)
{
	while (length > 0 && multipart->result == 0) {
		size_t taken;

		multipart->result = feed_some(multipart, data, length, &taken);
		if (multipart->result)
			break;
		data += taken;
		length -= taken;
	}
	return multipart->result;
}

int http_multipart_finish(struct http_multipart *multipart)
{
	if (multipart->result == 0 && multipart->state != EPILOGUE)
		multipart->result = refuse(multipart, 400, "no final boundary");
	return multipart->result;
}
