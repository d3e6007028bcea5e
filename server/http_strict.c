// SPDX-License-Identifier: MIT
// http_strict.c - the strict grammar of HTTP/1.x heads; see http_strict.h.
//
// RFC 9112, as far as it is accepted here (RFC 9110 for token, field-value and host):
//
//	head         = *4( CRLF ) method SP target SP "HTTP/1." DIGIT CRLF *( field CRLF ) CRLF
//	target       = "/" *octet / ( "http" / "https" ) "://" host [ ":" port ] *octet / "*"
//	octet        = %x21-22 / %x24-7E		; no "#"; some that a URI has no place for
//						; are let through, since browsers send them: | " { }
//	field        = token ":" *( HTAB / SP / %x21-7E / %x80-FF )
//
// There is no obs-fold, no bare CR or LF, and white space only where this says so.
#include "server/http_strict.h"

#include <http_parser.h>
#include <string.h>

#include "server/http_host.h"
#include "server/http_octet.h"

#define CR '\r'
#define LF '\n'

#define EMPTY_LINES_MAX 4
#define METHOD_MAX      20 // the longest that http-parser knows has 11
#define OFFSET_MAX      (1u << 30)

enum head_state {
	EMPTY_LINES,
	EMPTY_LINE_LF,
	METHOD,
	TARGET,
	SCHEME,
	AUTHORITY,
	PATH,
	QUERY,
	ASTERISK,
	VERSION,
	REQUEST_LINE_LF,
	// The fields; request_line() deals with the states above.
	FIELD_START,
	FIELD_NAME,
	FIELD_VALUE,
	FIELD_LF,
	HEAD_LF,
};

enum field {
	OTHER,
	HOST,
	CONTENT_LENGTH,
	TRANSFER_ENCODING,
	CONNECTION,
	EXPECT,
	UPGRADE,
	LOOKALIKE,
};

struct view {
	const char *data;
	size_t length;
};

// ---------------------------------------------------------------------------------------------
// Octets
// ---------------------------------------------------------------------------------------------

static bool is_target(char octet)
{
	return octet > ' ' && octet < 0x7F && octet != '#';
}

// Whether any of eight octets is below SP or DEL (or TAB, which the caller then lets pass).
static bool has_control(const char *data)
{
	const uint64_t ones = 0x0101010101010101u, highs = ones << 7;
	uint64_t word, del;

	memcpy(&word, data, sizeof(word));
	del = word ^ ones * 0x7F;
	return (((word - ones * ' ') & ~word) | ((del - ones) & ~del)) & highs;
}

// The first octet from AT on that can't be in a field value, or LENGTH.
static uint32_t skip_text(const char *data, uint32_t at, uint32_t length)
{
	while (at < length) {
		if (length - at >= 8 && !has_control(data + at)) {
			at += 8;
			continue;
		}
		if (!http_octet_is_text(data[at]))
			break;
		at++;
	}
	return at;
}

static bool equals_ignoring_case(struct view view, const char *text)
{
	// A longer view differs at the NUL of the text: there is none in what is compared.
	for (size_t i = 0; i < view.length; i++)
		if (http_octet_lower(view.data[i]) != text[i])
			return false;
	return text[view.length] == '\0';
}

static struct view trim(struct view view)
{
	while (view.length > 0 && http_octet_is_space(view.data[0]))
		view.data++, view.length--;
	while (view.length > 0 && http_octet_is_space(view.data[view.length - 1]))
		view.length--;
	return view;
}

// Takes the next element of a comma-separated list off the front of REST. Quoted strings are not
// known here: none of the lists examined may hold any.
static bool next_element(struct view *rest, struct view *element)
{
	if (!rest->data)
		return false;

	const char *comma = memchr(rest->data, ',', rest->length);
	size_t length = comma ? (size_t)(comma - rest->data) : rest->length;

	*element = trim((struct view){rest->data, length});
	rest->length -= comma ? length + 1 : length;
	rest->data = comma ? comma + 1 : NULL;
	return true;
}

// ---------------------------------------------------------------------------------------------
// Request line
// ---------------------------------------------------------------------------------------------

static int refuse(struct http_strict_head *head, int status, const char *reason)
{
	head->reason = reason;
	return status;
}

static int empty_line(struct http_strict_head *head, char octet)
{
	if (octet == CR) {
		if (head->position++ == EMPTY_LINES_MAX)
			return refuse(head, 400, "too many empty lines before the request");
		head->scanned++;
		head->state = EMPTY_LINE_LF;
		return 0;
	}
	head->start = head->method.offset = head->scanned;
	head->state = METHOD;
	return 0;
}

static bool is_known_method(struct view method)
{
#define NAME(NUMBER, SYMBOL, STRING) {#STRING, sizeof(#STRING) - 1},
	static const struct view known[] = {HTTP_METHOD_MAP(NAME)};
#undef NAME

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (method.length == known[i].length &&
		        memcmp(method.data, known[i].data, method.length) == 0)
			return true;
	return false;
}

static bool method_is(const struct http_strict_head *head, const char *data, const char *name)
{
	return head->method.length == strlen(name) &&
	       memcmp(data + head->method.offset, name, head->method.length) == 0;
}

static int method_octet(struct http_strict_head *head, const char *data)
{
	char octet = data[head->scanned];
	uint32_t length = head->scanned - head->method.offset;

	if (http_octet_is_token(octet)) {
		head->scanned++;
		return length < METHOD_MAX ? 0 : refuse(head, 501, "unknown method");
	}
	if (octet != ' ' || length == 0)
		return refuse(
		        head, 400, octet == 0x16 ? "TLS on a plain port" : "no HTTP request line");
	head->method.length = length;
	if (method_is(head, data, "PRI"))
		return refuse(head, 400, "HTTP/2 preface on an HTTP/1 port");
	if (method_is(head, data, "CONNECT"))
		return refuse(head, 501, "CONNECT");
	if (!is_known_method((struct view){data + head->method.offset, length}))
		return refuse(head, 501, "unknown method");
	head->scanned++;
	head->target.offset = head->scanned;
	head->state = TARGET;
	return 0;
}

static int target_start(struct http_strict_head *head, const char *data)
{
	switch (data[head->scanned]) {
	case '/':
		head->form = HTTP_STRICT_ORIGIN;
		head->path.offset = head->scanned;
		head->state = PATH;
		return 0;
	case '*':
		if (!method_is(head, data, "OPTIONS"))
			return refuse(head, 400, "target * without OPTIONS");
		head->form = HTTP_STRICT_ASTERISK;
		head->path = (struct http_strict_span){head->scanned, 1};
		head->scanned++;
		head->state = ASTERISK;
		return 0;
	case 'h':
	case 'H':
		head->form = HTTP_STRICT_ABSOLUTE;
		head->position = 0;
		head->state = SCHEME;
		return 0;
	default:
		return refuse(head, 400, "the target is neither a path nor a http URI");
	}
}

// Matches "http://" or "https://".
static int scheme_octet(struct http_strict_head *head, char octet)
{
	static const char scheme[] = "http://";

	if (head->position == 4 && !head->https && http_octet_lower(octet) == 's')
		head->https = true;
	else if (http_octet_lower(octet) != scheme[head->position++])
		return refuse(head, 400, "the target is neither a path nor a http URI");
	head->scanned++;
	if (scheme[head->position] == '\0') {
		head->mark = head->scanned;
		head->state = AUTHORITY;
	}
	return 0;
}

static int target_end(struct http_strict_head *head)
{
	head->target.length = head->scanned - head->target.offset;
	head->scanned++;
	head->position = 0;
	head->state = VERSION;
	return 0;
}

// The octet at which a part of the target stopped, if none of the delimiters.
static int target_fault(struct http_strict_head *head, char octet)
{
	if (octet == CR || octet == LF)
		return refuse(head, 400, "no version in the request line (HTTP/0.9)");
	return refuse(
	        head, 400, octet == '#' ? "fragment in the target" : "bad octet in the target");
}

static int authority_octet(struct http_strict_head *head, const char *data)
{
	char octet = data[head->scanned];

	if (octet != '/' && octet != '?' && octet != ' ') {
		head->scanned++;
		return is_target(octet) ? 0 : target_fault(head, octet);
	}
	head->host = (struct http_strict_span){head->mark, head->scanned - head->mark};
	if (!http_host_valid(data + head->mark, head->host.length))
		return refuse(head, 400, "bad authority in the target");
	head->path.offset = head->scanned;
	head->state = PATH;
	return 0;
}

// Scans up to STOP, which lies at most target.offset + limits.target.
static int path_octets(struct http_strict_head *head, const char *data, uint32_t stop)
{
	uint32_t at = head->scanned;

	while (at < stop && is_target(data[at]) && data[at] != '?')
		at++;
	head->scanned = at;
	head->path.length = at - head->path.offset;
	if (at == stop)
		return 0;
	if (data[at] == '?') {
		head->scanned++;
		head->query.offset = head->scanned;
		head->state = QUERY;
		return 0;
	}
	return data[at] == ' ' ? target_end(head) : target_fault(head, data[at]);
}

static int query_octets(struct http_strict_head *head, const char *data, uint32_t stop)
{
	uint32_t at = head->scanned;

	while (at < stop && is_target(data[at]))
		at++;
	head->scanned = at;
	head->query.length = at - head->query.offset;
	if (at == stop)
		return 0;
	return data[at] == ' ' ? target_end(head) : target_fault(head, data[at]);
}

static int target_octets(struct http_strict_head *head, const char *data, uint32_t length)
{
	uint32_t limit = head->target.offset + head->limits.target;

	if (head->scanned == limit) {
		if (data[limit] != ' ')
			return refuse(head, 414, "target too long");
	} else if (length > limit) {
		length = limit;
	}
	switch (head->state) {
	case TARGET:
		return target_start(head, data);
	case SCHEME:
		return scheme_octet(head, data[head->scanned]);
	case AUTHORITY:
		return authority_octet(head, data);
	case PATH:
		return path_octets(head, data, length);
	case QUERY:
		return query_octets(head, data, length);
	default: // ASTERISK
		if (data[head->scanned] == ' ')
			return target_end(head);
		return refuse(head, 400, "bad octet in the target");
	}
}

// Matches "HTTP/", DIGIT, ".", DIGIT, CR; the major version is judged when it is known to be one.
static int version_octet(struct http_strict_head *head, char octet)
{
	static const char version[] = "HTTP/0.0\r";
	char expected = version[head->position];

	if (expected == '0' ? !http_octet_is_digit(octet) : octet != expected)
		return refuse(head, 400, "malformed version");
	if (head->position == 5)
		head->major = (uint8_t)(octet - '0');
	if (head->position == 7)
		head->minor = octet == '0' ? 0 : 1;
	head->position++;
	head->scanned++;
	if (octet != CR)
		return 0;
	if (head->major != 1)
		return refuse(head, head->major > 1 ? 505 : 400, "version not supported");
	head->state = REQUEST_LINE_LF;
	return 0;
}

static int expect_lf(struct http_strict_head *head, char octet, int next)
{
	if (octet != LF)
		return refuse(head, 400, "bare CR");
	head->scanned++;
	head->state = next;
	return 0;
}

static int request_line(struct http_strict_head *head, const char *data, uint32_t length)
{
	int result = 0;

	while (result == 0 && head->scanned < length && head->state < FIELD_START) {
		char octet = data[head->scanned];

		switch (head->state) {
		case EMPTY_LINES:
			result = empty_line(head, octet);
			break;
		case EMPTY_LINE_LF:
			result = expect_lf(head, octet, EMPTY_LINES);
			break;
		case METHOD:
			result = method_octet(head, data);
			break;
		case VERSION:
			result = version_octet(head, octet);
			break;
		case REQUEST_LINE_LF:
			result = expect_lf(head, octet, FIELD_START);
			break;
		default:
			result = target_octets(head, data, length);
			break;
		}
	}
	return result;
}

// ---------------------------------------------------------------------------------------------
// Fields
// ---------------------------------------------------------------------------------------------

// http-parser takes every name that begins like Transfer-Encoding for it, and then fails for want of
// a coding. (The fuzzer found this.) Nobody else sends such names: refuse them by name.
static bool is_lookalike(struct view name)
{
	const size_t length = sizeof("transfer-encoding") - 1;

	return name.length > length &&
	       equals_ignoring_case((struct view){name.data, length}, "transfer-encoding");
}

static enum field identify(struct view name)
{
	switch (name.length) {
	case 4:
		return equals_ignoring_case(name, "host") ? HOST : OTHER;
	case 6:
		return equals_ignoring_case(name, "expect") ? EXPECT : OTHER;
	case 7:
		return equals_ignoring_case(name, "upgrade") ? UPGRADE : OTHER;
	case 10:
		return equals_ignoring_case(name, "connection") ? CONNECTION : OTHER;
	case 14:
		return equals_ignoring_case(name, "content-length") ? CONTENT_LENGTH : OTHER;
	case 17:
		return equals_ignoring_case(name, "transfer-encoding") ? TRANSFER_ENCODING : OTHER;
	default:
		return is_lookalike(name) ? LOOKALIKE : OTHER;
	}
}

static bool has_seen(const struct http_strict_head *head, enum field field)
{
	return head->seen & 1u << field;
}

// A field's name is known: what can be refused without its value is.
static int name_end(struct http_strict_head *head, enum field field)
{
	if (field == LOOKALIKE)
		return refuse(head, 400, "field name that begins with Transfer-Encoding");
	if (field == HOST && has_seen(head, HOST))
		return refuse(head, 400, "Host repeated");
	if (field == CONTENT_LENGTH && has_seen(head, CONTENT_LENGTH))
		return refuse(head, 400, "Content-Length repeated");
	if (field == TRANSFER_ENCODING && has_seen(head, TRANSFER_ENCODING))
		return refuse(head, 400, "Transfer-Encoding repeated");
	if (field == TRANSFER_ENCODING && head->minor == 0)
		return refuse(head, 400, "Transfer-Encoding in HTTP/1.0");
	head->seen |= 1u << field;
	if (has_seen(head, CONTENT_LENGTH) && has_seen(head, TRANSFER_ENCODING))
		return refuse(head, 400, "Content-Length with Transfer-Encoding");
	head->field = field;
	head->mark = head->scanned;
	head->state = FIELD_VALUE;
	return 0;
}

static int content_length(struct http_strict_head *head, struct view value)
{
	uint64_t number = 0;

	for (size_t i = 0; i < value.length; i++) {
		if (!http_octet_is_digit(value.data[i]))
			return refuse(head, 400, "Content-Length is not a number");
		unsigned digit = (unsigned)(value.data[i] - '0');
		if (number > ((uint64_t)INT64_MAX - digit) / 10)
			return refuse(head, 400, "Content-Length too large");
		number = number * 10 + digit;
	}
	if (value.length == 0)
		return refuse(head, 400, "Content-Length is empty");
	head->content_length = (int64_t)number;
	return 0;
}

// Only "chunked" is served. A list that doesn't end in it has no length; one that has other codings
// before it is well-formed, but not implemented.
static int transfer_encoding(struct http_strict_head *head, struct view value)
{
	struct view coding;
	unsigned codings = 0, chunked = 0;
	bool last = false;

	while (next_element(&value, &coding)) {
		if (coding.length == 0)
			return refuse(head, 400, "empty element in Transfer-Encoding");
		last = equals_ignoring_case(coding, "chunked");
		chunked += last;
		codings++;
	}
	if (!last)
		return refuse(head, 400, "Transfer-Encoding does not end in chunked");
	if (chunked > 1)
		return refuse(head, 400, "chunked twice");
	if (codings > 1)
		return refuse(head, 501, "transfer coding other than chunked");
	head->chunked = true;
	return 0;
}

static void connection(struct http_strict_head *head, struct view value)
{
	struct view option;

	while (next_element(&value, &option)) {
		head->close |= equals_ignoring_case(option, "close");
		head->persist |= equals_ignoring_case(option, "keep-alive");
		head->upgrade_token |= equals_ignoring_case(option, "upgrade");
	}
}

static void expectations(struct http_strict_head *head, struct view value)
{
	struct view expectation;

	while (next_element(&value, &expectation)) {
		if (equals_ignoring_case(expectation, "100-continue"))
			head->expect_100 = true;
		else if (expectation.length > 0)
			head->bad_expect = true;
	}
}

static void upgrades(struct http_strict_head *head, struct view value)
{
	struct view protocol;

	while (next_element(&value, &protocol))
		head->websocket |= equals_ignoring_case(protocol, "websocket");
}

// A field is complete; END is the offset behind its value.
static int field_end(struct http_strict_head *head, const char *data, uint32_t end)
{
	struct view value = trim((struct view){data + head->mark, end - head->mark});
	struct http_strict_span span = {(uint32_t)(value.data - data), (uint32_t)value.length};

	switch (head->field) {
	case HOST:
		head->header = span;
		return http_host_valid(value.data, value.length) ? 0
		                                                 : refuse(head, 400, "bad Host");
	case CONTENT_LENGTH:
	case TRANSFER_ENCODING:
		head->ows.offset = span.offset + span.length;
		head->ows.length = end - head->ows.offset;
		return head->field == CONTENT_LENGTH ? content_length(head, value)
		                                     : transfer_encoding(head, value);
	case CONNECTION:
		connection(head, value);
		return 0;
	case EXPECT:
		expectations(head, value);
		return 0;
	case UPGRADE:
		upgrades(head, value);
		return 0;
	default:
		return 0;
	}
}

static int field_start(struct http_strict_head *head, char octet)
{
	if (octet == CR) {
		head->scanned++;
		head->state = HEAD_LF;
		return 0;
	}
	if (http_octet_is_space(octet))
		return refuse(head, 400, "folded field, or white space before the first");
	if (!http_octet_is_token(octet))
		return refuse(head, 400, octet == LF ? "bare LF" : "bad octet in a field name");
	if (head->headers++ == head->limits.headers)
		return refuse(head, 431, "too many header fields");
	head->mark = head->scanned;
	head->state = FIELD_NAME;
	return 0;
}

static int field_name(struct http_strict_head *head, const char *data, uint32_t length)
{
	uint32_t at = head->scanned;

	while (at < length && http_octet_is_token(data[at]))
		at++;
	head->scanned = at;
	if (at == length)
		return 0;
	if (data[at] != ':')
		return refuse(head, 400,
		        http_octet_is_space(data[at]) ? "white space before the colon"
		                                      : "bad octet in a field name");
	head->scanned++;
	return name_end(head, identify((struct view){data + head->mark, at - head->mark}));
}

static int field_value(struct http_strict_head *head, const char *data, uint32_t length)
{
	head->scanned = skip_text(data, head->scanned, length);
	if (head->scanned == length)
		return 0;
	if (data[head->scanned] != CR)
		return refuse(head, 400,
		        data[head->scanned] == LF ? "bare LF" : "control in a field value");
	head->scanned++;
	head->state = FIELD_LF;
	return 0;
}

// The head is complete: what can be judged only now.
static int head_end(struct http_strict_head *head)
{
	bool body = head->chunked || head->content_length > 0;

	head->length = head->scanned;
	if (head->minor > 0 && !has_seen(head, HOST))
		return refuse(head, 400, "no Host");
	if (head->form != HTTP_STRICT_ABSOLUTE)
		head->host = head->header;
	head->keep_alive = !head->close && (head->minor > 0 || head->persist);
	head->upgrade_websocket = head->minor > 0 && head->websocket && head->upgrade_token;
	if (head->upgrade_websocket && body)
		return refuse(head, 400, "WebSocket upgrade with a body");
	if (head->minor > 0 && head->bad_expect)
		return refuse(head, 417, "unknown expectation");
	head->expect_continue = head->minor > 0 && head->expect_100 && body;
	return HTTP_STRICT_COMPLETE;
}

static int fields(struct http_strict_head *head, const char *data, uint32_t length)
{
	int result = 0;

	while (result == 0 && head->scanned < length) {
		char octet = data[head->scanned];

		switch (head->state) {
		case FIELD_START:
			result = field_start(head, octet);
			break;
		case FIELD_NAME:
			result = field_name(head, data, length);
			break;
		case FIELD_VALUE:
			result = field_value(head, data, length);
			break;
		case FIELD_LF:
			result = expect_lf(head, octet, FIELD_START);
			if (result == 0)
				result = field_end(head, data, head->scanned - 2);
			break;
		default: // HEAD_LF
			result = expect_lf(head, octet, FIELD_START);
			if (result == 0)
				result = head_end(head);
			break;
		}
	}
	return result;
}

void http_strict_head_init(struct http_strict_head *head, const struct http_strict_limits *limits)
{
	*head = (struct http_strict_head){.limits = *limits, .content_length = -1};
	if (head->limits.head > OFFSET_MAX)
		head->limits.head = OFFSET_MAX;
	if (head->limits.target > OFFSET_MAX)
		head->limits.target = OFFSET_MAX;
}

int http_strict_head_feed(struct http_strict_head *head, const char *data, size_t length)
{
	uint32_t size = length < head->limits.head ? (uint32_t)length : head->limits.head;

	if (head->result == HTTP_STRICT_MORE)
		head->result = request_line(head, data, size);
	if (head->result == HTTP_STRICT_MORE && head->state >= FIELD_START)
		head->result = fields(head, data, size);
	if (head->result == HTTP_STRICT_MORE && head->scanned >= head->limits.head) {
		bool target = head->state >= TARGET && head->state < VERSION;

		head->result = refuse(
		        head, target ? 414 : 431, target ? "target too long" : "head too large");
	}
	return head->result;
}

void http_strict_head_normalize(const struct http_strict_head *head, char *data)
{
	memset(data + head->ows.offset, ' ', head->ows.length);
}
