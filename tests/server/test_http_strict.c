// SPDX-License-Identifier: MIT
// test_http_strict.c - every way to be wrong in HTTP/1.x framing gets its own answer, however it is cut.
#include "server/http_strict.h"

#include "tests/test.h"

static bool same_span(struct http_strict_span a, struct http_strict_span b)
{
	return a.offset == b.offset && a.length == b.length;
}

static bool same_facts(const struct http_strict_head *a, const struct http_strict_head *b)
{
	return a->start == b->start && a->length == b->length && same_span(a->method, b->method) &&
	       same_span(a->target, b->target) && same_span(a->path, b->path) &&
	       same_span(a->query, b->query) && same_span(a->host, b->host) && a->form == b->form &&
	       a->minor == b->minor && a->headers == b->headers &&
	       a->content_length == b->content_length && a->chunked == b->chunked &&
	       a->keep_alive == b->keep_alive && a->close == b->close &&
	       a->expect_continue == b->expect_continue &&
	       a->upgrade_websocket == b->upgrade_websocket && same_span(a->ows, b->ows);
}

// Feeds the first LENGTH octets up to CUT, then all (or octet by octet, if STEP). The octets fed lie
// in memory of exactly their number, so that a sanitizer sees a read behind them.
static int feed_cut(
        struct http_strict_head *head, const char *data, size_t length, size_t cut, size_t step)
{
	int result = HTTP_STRICT_MORE;

	for (size_t size = cut; result == HTTP_STRICT_MORE && size <= length;
	        size = size < length && size + step > length ? length : size + step) {
		char *copy = malloc(size ? size : 1);

		memcpy(copy, data, size);
		result = http_strict_head_feed(head, copy, size);
		free(copy);
		if (step == 0)
			break;
	}
	return result;
}

static struct http_strict_limits limits = {.target = 60, .head = 400, .headers = 6};

// Judges a head whole, cut in two everywhere, and octet by octet: all must agree. *HEAD gets the facts.
static int judge(const char *data, size_t length, struct http_strict_head *head)
{
	http_strict_head_init(head, &limits);
	int whole = feed_cut(head, data, length, length, 0);

	for (size_t cut = 0; cut <= length + 1; cut++) {
		struct http_strict_head other;
		size_t step = cut <= length ? length : 1; // at last: octet by octet

		http_strict_head_init(&other, &limits);
		int result = feed_cut(&other, data, length, cut <= length ? cut : 0, step);

		if (result != whole ||
		        (result == HTTP_STRICT_COMPLETE && !same_facts(head, &other)) ||
		        (result >= 400 && strcmp(head->reason, other.reason) != 0)) {
			printf("# cut at %zu: %d instead of %d\n", cut, result, whole);
			test_bad = true;
			return -1;
		}
	}
	return whole;
}

#define JUDGE(TEXT, RESULT)                                                                        \
	struct http_strict_head head;                                                              \
	EXPECT_INT(judge(TEXT, sizeof(TEXT) - 1, &head), RESULT)

#define REFUSED(NAME, STATUS, TEXT)                                                                \
	TEST(NAME)                                                                                 \
	{                                                                                          \
		JUDGE(TEXT, STATUS);                                                               \
		EXPECT(head.reason != NULL);                                                       \
	}

#define ACCEPTED(NAME, TEXT)                                                                       \
	TEST(NAME)                                                                                 \
	{                                                                                          \
		JUDGE(TEXT, HTTP_STRICT_COMPLETE);                                                 \
	}

#define GET(FIELDS)  "GET / HTTP/1.1\r\nHost: a\r\n" FIELDS "\r\n"
#define POST(FIELDS) "POST / HTTP/1.1\r\nHost: a\r\n" FIELDS "\r\n"
#define LINE(LINE)   LINE "\r\nHost: a\r\n\r\n"

static const char *text_of(const char *data, struct http_strict_span span)
{
	static char buffers[4][64];
	static unsigned next;
	char *buffer = buffers[next++ % 4];

	snprintf(buffer, sizeof(buffers[0]), "%.*s", (int)span.length, data + span.offset);
	return buffer;
}

// ---------------------------------------------------------------------------------------------
// What is accepted, and its facts
// ---------------------------------------------------------------------------------------------

TEST(a_request_and_its_facts)
{
	static const char text[] = "\r\n\r\nGET /a/b?c=d?e HTTP/1.1\r\nHost:\texample.com:80 \t\r\n"
	                           "Accept: */*\r\n\r\nGET /next";
	JUDGE(text, HTTP_STRICT_COMPLETE);
	EXPECT_INT(head.start, 4);
	EXPECT_INT(head.length, sizeof(text) - 1 - 9);
	EXPECT_STRING(text_of(text, head.method), "GET");
	EXPECT_STRING(text_of(text, head.target), "/a/b?c=d?e");
	EXPECT_STRING(text_of(text, head.path), "/a/b");
	EXPECT_STRING(text_of(text, head.query), "c=d?e");
	EXPECT_STRING(text_of(text, head.host), "example.com:80");
	EXPECT_INT(head.form, HTTP_STRICT_ORIGIN);
	EXPECT_INT(head.minor, 1);
	EXPECT_INT(head.headers, 2);
	EXPECT_INT(head.content_length, -1);
	EXPECT(!head.chunked && head.keep_alive && !head.close);
	EXPECT(!head.expect_continue && !head.upgrade_websocket);
}

TEST(the_authority_of_an_absolute_target_wins_over_host)
{
	static const char text[] = "GET hTTps://b.example:8?q HTTP/1.1\r\nHost: a\r\n\r\n";
	JUDGE(text, HTTP_STRICT_COMPLETE);
	EXPECT_INT(head.form, HTTP_STRICT_ABSOLUTE);
	EXPECT_STRING(text_of(text, head.host), "b.example:8");
	EXPECT_STRING(text_of(text, head.path), "");
	EXPECT_STRING(text_of(text, head.query), "q");
}

TEST(an_absolute_target_may_have_a_path)
{
	static const char text[] = "GET http://[::1]/p?q HTTP/1.1\r\nHost: a\r\n\r\n";
	JUDGE(text, HTTP_STRICT_COMPLETE);
	EXPECT_STRING(text_of(text, head.host), "[::1]");
	EXPECT_STRING(text_of(text, head.path), "/p");
}

TEST(options_may_ask_for_the_server_as_a_whole)
{
	JUDGE(LINE("OPTIONS * HTTP/1.1"), HTTP_STRICT_COMPLETE);
	EXPECT_INT(head.form, HTTP_STRICT_ASTERISK);
}

TEST(content_length_with_white_space_around_it)
{
	static const char text[] = POST("Content-Length: \t 0042 \t\r\n");
	char copy[sizeof(text)];
	JUDGE(text, HTTP_STRICT_COMPLETE);
	EXPECT_INT(head.content_length, 42);
	memcpy(copy, text, sizeof(text));
	http_strict_head_normalize(&head, copy);
	EXPECT(strstr(copy, "0042  \r\n") != NULL);
	EXPECT_INT(strlen(copy), strlen(text));
}

TEST(the_largest_content_length)
{
	JUDGE(POST("Content-Length: 9223372036854775807\r\n"), HTTP_STRICT_COMPLETE);
	EXPECT(head.content_length == INT64_MAX);
}

TEST(chunked_in_any_letter_case)
{
	JUDGE(POST("TRANSFER-encoding:CHUNKed\r\n"), HTTP_STRICT_COMPLETE);
	EXPECT(head.chunked);
	EXPECT_INT(head.content_length, -1);
}

TEST(connection_close_ends_keep_alive)
{
	JUDGE(GET("Connection: foo, keep-alive\r\nConnection: Close\r\n"), HTTP_STRICT_COMPLETE);
	EXPECT(head.close && !head.keep_alive);
}

TEST(http_1_0_closes_unless_asked_to_keep_alive)
{
	JUDGE("GET / HTTP/1.0\r\n\r\n", HTTP_STRICT_COMPLETE);
	EXPECT(!head.keep_alive && !head.close);
	EXPECT_INT(head.minor, 0);
	EXPECT_INT(head.host.length, 0);
}

TEST(http_1_0_keep_alive)
{
	JUDGE("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", HTTP_STRICT_COMPLETE);
	EXPECT(head.keep_alive);
}

TEST(expect_100_continue_with_a_body)
{
	JUDGE(POST("Expect: 100-Continue\r\nContent-Length: 1\r\n"), HTTP_STRICT_COMPLETE);
	EXPECT(head.expect_continue);
}

TEST(expect_100_continue_without_a_body_awaits_nothing)
{
	JUDGE(POST("Expect: 100-continue\r\nContent-Length: 0\r\n"), HTTP_STRICT_COMPLETE);
	EXPECT(!head.expect_continue);
}

TEST(expect_100_continue_on_1_0_is_ignored)
{
	JUDGE("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
	        HTTP_STRICT_COMPLETE);
	EXPECT(!head.expect_continue);
}

ACCEPTED(unknown_expect_on_1_0_is_ignored, "GET / HTTP/1.0\r\nExpect: x\r\n\r\n")

TEST(websocket_upgrade)
{
	JUDGE(GET("Connection: keep-alive, Upgrade\r\nUpgrade: h2c, WebSocket\r\n"),
	        HTTP_STRICT_COMPLETE);
	EXPECT(head.upgrade_websocket);
}

TEST(websocket_upgrade_needs_the_connection_option)
{
	JUDGE(GET("Upgrade: websocket\r\n"), HTTP_STRICT_COMPLETE);
	EXPECT(!head.upgrade_websocket);
}

TEST(unknown_upgrade_is_ignored)
{
	JUDGE(GET("Connection: upgrade\r\nUpgrade: h2c\r\n"), HTTP_STRICT_COMPLETE);
	EXPECT(!head.upgrade_websocket);
}

TEST(upgrade_on_1_0_is_ignored)
{
	JUDGE("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
	        HTTP_STRICT_COMPLETE);
	EXPECT(!head.upgrade_websocket);
}

ACCEPTED(an_empty_value, GET("X:\r\n"))
ACCEPTED(tabs_and_high_octets_in_a_value, GET("X:\ta\tb\xff\x80 12345678\t\t90\r\n"))
ACCEPTED(raw_printable_octets_in_a_target, LINE("GET /|\"{}<>\\^`[]%zz HTTP/1.1"))
ACCEPTED(a_later_minor_version, LINE("GET / HTTP/1.9"))
ACCEPTED(every_octet_of_a_token, GET("!#$%&'*+-.^_`|~09azAZ: x\r\n"))
ACCEPTED(four_empty_lines, "\r\n\r\n\r\n\r\n" GET(""))
ACCEPTED(host_with_an_empty_port, "GET / HTTP/1.1\r\nHost: a:\r\n\r\n")
ACCEPTED(host_with_an_ipv6_address, "GET / HTTP/1.1\r\nHost: [fe80::1]:8080\r\n\r\n")

TEST(octets_behind_the_head_are_not_looked_at)
{
	JUDGE(GET("") "\x00\x01\x02", HTTP_STRICT_COMPLETE);
	EXPECT_INT(head.length, sizeof(GET("")) - 1);
}

TEST(an_unfinished_head_waits)
{
	JUDGE("GET / HTTP/1.1\r\nHost: a\r\n", HTTP_STRICT_MORE);
}

// ---------------------------------------------------------------------------------------------
// Framing
// ---------------------------------------------------------------------------------------------

REFUSED(differing_content_lengths, 400, POST("Content-Length: 5\r\nContent-Length: 6\r\n"))
REFUSED(the_same_content_length_twice, 400, POST("Content-Length: 5\r\nContent-Length: 5\r\n"))
REFUSED(content_length_5_comma_5, 400, POST("Content-Length: 5, 5\r\n"))
REFUSED(content_length_5_comma_6, 400, POST("Content-Length: 5, 6\r\n"))
REFUSED(content_length_with_a_plus, 400, POST("Content-Length: +5\r\n"))
REFUSED(content_length_with_a_minus, 400, POST("Content-Length: -5\r\n"))
REFUSED(content_length_in_hex, 400, POST("Content-Length: 0x5\r\n"))
REFUSED(content_length_with_an_underscore, 400, POST("Content-Length: 5_0\r\n"))
REFUSED(content_length_with_a_space_inside, 400, POST("Content-Length: 5 0\r\n"))
REFUSED(content_length_empty, 400, POST("Content-Length:\r\n"))
REFUSED(content_length_blank, 400, POST("Content-Length: \t \r\n"))
REFUSED(content_length_2_to_the_63, 400, POST("Content-Length: 9223372036854775808\r\n"))
REFUSED(content_length_2_to_the_64_plus_5, 400, POST("Content-Length: 18446744073709551621\r\n"))
REFUSED(content_length_then_transfer_encoding, 400,
        POST("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"))
REFUSED(transfer_encoding_then_content_length, 400,
        POST("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"))
REFUSED(transfer_encoding_on_1_0, 400,
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
REFUSED(transfer_encoding_identity, 400, POST("Transfer-Encoding: identity\r\n"))
REFUSED(transfer_encoding_chunked_identity, 400, POST("Transfer-Encoding: chunked, identity\r\n"))
REFUSED(transfer_encoding_xchunked, 400, POST("Transfer-Encoding: xchunked\r\n"))
REFUSED(transfer_encoding_quoted, 400, POST("Transfer-Encoding: \"chunked\"\r\n"))
REFUSED(transfer_encoding_with_a_parameter, 400, POST("Transfer-Encoding: chunked;q=1\r\n"))
REFUSED(transfer_encoding_empty, 400, POST("Transfer-Encoding:\r\n"))
REFUSED(transfer_encoding_with_an_empty_element, 400, POST("Transfer-Encoding: ,chunked\r\n"))
REFUSED(transfer_encoding_with_an_empty_end, 400, POST("Transfer-Encoding: chunked,\r\n"))
REFUSED(transfer_encoding_with_a_vertical_tab, 400,
        POST("Transfer-Encoding: \x0b"
             "chunked\r\n"))
REFUSED(a_name_that_begins_like_transfer_encoding, 400, POST("Transfer-EncodingX: chunked\r\n"))
REFUSED(gzip_chunked, 501, POST("Transfer-Encoding: gzip, chunked\r\n"))
REFUSED(chunked_twice, 400, POST("Transfer-Encoding: chunked, chunked\r\n"))
REFUSED(chunked_on_two_lines, 400,
        POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"))
REFUSED(transfer_encoding_on_two_lines, 400,
        POST("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"))

// ---------------------------------------------------------------------------------------------
// Fields
// ---------------------------------------------------------------------------------------------

REFUSED(space_before_the_colon, 400, GET("Content-Length : 5\r\n"))
REFUSED(tab_before_the_colon, 400, GET("X\t: 5\r\n"))
REFUSED(bad_octet_in_a_name, 400, GET("X(Y: 5\r\n"))
REFUSED(high_octet_in_a_name, 400, GET("X\xe9: 5\r\n"))
REFUSED(nul_in_a_name, 400, GET("X\0: 5\r\n"))
REFUSED(no_colon, 400, GET("X\r\n"))
REFUSED(empty_name, 400, GET(": x\r\n"))
REFUSED(obs_fold_with_a_space, 400, GET("X: a\r\n b\r\n"))
REFUSED(obs_fold_with_a_tab, 400, GET("X: a\r\n\tb\r\n"))
REFUSED(white_space_before_the_first_field, 400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n")
REFUSED(nul_in_a_value, 400, GET("X: a\0b\r\n"))
REFUSED(nul_in_a_long_value, 400, GET("X: 0123456789abcdef0123\0b\r\n"))
REFUSED(del_in_a_value, 400, GET("X: 0123456789\x7f\r\n"))
REFUSED(bare_cr_in_a_value, 400, GET("X: a\rb\r\n"))
REFUSED(bare_lf_in_a_value, 400, GET("X: a\nb\r\n"))
REFUSED(cr_cr_lf, 400, GET("X: a\r\r\n"))
REFUSED(bare_lf_at_the_end, 400, "GET / HTTP/1.1\r\nHost: a\r\n\n")
REFUSED(bare_lf_throughout, 400, "GET / HTTP/1.1\nHost: a\n\n")
REFUSED(bare_cr_at_the_end, 400, "GET / HTTP/1.1\r\nHost: a\r\n\rX")
REFUSED(missing_host, 400, "GET / HTTP/1.1\r\n\r\n")
REFUSED(missing_host_with_an_absolute_target, 400, "GET http://a/ HTTP/1.1\r\n\r\n")
REFUSED(repeated_host, 400, GET("Host: a\r\n"))
REFUSED(repeated_host_on_1_0, 400, "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n")
REFUSED(empty_host, 400, "GET / HTTP/1.1\r\nHost:\r\n\r\n")
REFUSED(host_with_a_path, 400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n")
REFUSED(host_with_user_information, 400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n")
REFUSED(host_with_a_comma_and_a_space, 400, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n")
REFUSED(host_with_a_bad_port, 400, "GET / HTTP/1.1\r\nHost: a:8o\r\n\r\n")
REFUSED(host_with_a_port_too_large, 400, "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n")
REFUSED(host_with_only_a_port, 400, "GET / HTTP/1.1\r\nHost: :80\r\n\r\n")
REFUSED(host_with_a_bad_escape, 400, "GET / HTTP/1.1\r\nHost: a%2\r\n\r\n")
REFUSED(host_with_an_open_bracket, 400, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n")
REFUSED(host_with_text_behind_the_bracket, 400, "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n")
REFUSED(host_with_high_octets, 400, "GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n")
REFUSED(bad_host_beside_an_absolute_target, 400, "GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n")
REFUSED(unknown_expect, 417, POST("Expect: 200-ok\r\nContent-Length: 1\r\n"))
REFUSED(unknown_expect_beside_a_known_one, 417, GET("Expect: 100-continue, x\r\n"))
REFUSED(a_framing_error_counts_more_than_an_expectation, 400,
        POST("Expect: x\r\nContent-Length: x\r\n"))
REFUSED(websocket_upgrade_with_a_body, 400,
        GET("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n"))

// ---------------------------------------------------------------------------------------------
// Request line
// ---------------------------------------------------------------------------------------------

REFUSED(asterisk_without_options, 400, LINE("GET * HTTP/1.1"))
REFUSED(asterisk_with_more, 400, LINE("OPTIONS *x HTTP/1.1"))
REFUSED(authority_form_without_connect, 400, LINE("GET a:80 HTTP/1.1"))
REFUSED(authority_form_that_looks_like_http, 400, LINE("GET http:80 HTTP/1.1"))
REFUSED(connect, 501, LINE("CONNECT a:80 HTTP/1.1"))
REFUSED(no_leading_slash, 400, LINE("GET index.html HTTP/1.1"))
REFUSED(another_scheme, 400, LINE("GET ftp://a/ HTTP/1.1"))
REFUSED(httpss, 400, LINE("GET httpss://a/ HTTP/1.1"))
REFUSED(absolute_without_authority, 400, LINE("GET http:///x HTTP/1.1"))
REFUSED(absolute_with_user_information, 400, LINE("GET http://u:p@a/ HTTP/1.1"))
REFUSED(empty_target, 400, LINE("GET  HTTP/1.1"))
REFUSED(two_spaces_before_the_version, 400, LINE("GET /  HTTP/1.1"))
REFUSED(space_in_the_target, 400, LINE("GET /a b HTTP/1.1"))
REFUSED(tab_in_the_target, 400, LINE("GET /a\tb HTTP/1.1"))
REFUSED(tab_behind_the_method, 400, LINE("GET\t/ HTTP/1.1"))
REFUSED(high_octet_in_the_target, 400, LINE("GET /\xc3\xa9 HTTP/1.1"))
REFUSED(nul_in_the_target, 400, LINE("GET /\0 HTTP/1.1"))
REFUSED(del_in_the_query, 400, LINE("GET /?\x7f HTTP/1.1"))
REFUSED(fragment_in_the_target, 400, LINE("GET /#a HTTP/1.1"))
REFUSED(http_2_0, 505, LINE("GET / HTTP/2.0"))
REFUSED(http_3_0, 505, LINE("GET / HTTP/3.0"))
REFUSED(http_9_9, 505, LINE("GET / HTTP/9.9"))
REFUSED(http_1_10, 400, LINE("GET / HTTP/1.10"))
REFUSED(http_11, 400, LINE("GET / HTTP/11"))
REFUSED(http_2_without_a_minor, 400, LINE("GET / HTTP/2"))
REFUSED(http_in_lower_case, 400, LINE("GET / http/1.1"))
REFUSED(haaa, 400, LINE("GET / HAAA/1.1"))
REFUSED(space_behind_the_version, 400, LINE("GET / HTTP/1.1 "))
REFUSED(http_0_9, 400, "GET /\r\n")
REFUSED(http_0_9_with_a_bare_lf, 400, "GET /\n")
REFUSED(http_0_9_by_name, 400, LINE("GET / HTTP/0.9"))
REFUSED(http_2_preface, 400, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
REFUSED(tls_hello, 400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
REFUSED(binary, 400, "\x00\x01\x02\x03")
REFUSED(high_octets, 400, "\xff\xfe")
REFUSED(unknown_method, 501, LINE("FOO / HTTP/1.1"))
REFUSED(method_in_lower_case, 501, LINE("get / HTTP/1.1"))
REFUSED(endless_method, 501, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
REFUSED(bad_octet_in_the_method, 400, LINE("GE(T / HTTP/1.1"))
REFUSED(space_before_the_method, 400, " " GET(""))
REFUSED(five_empty_lines, 400, "\r\n\r\n\r\n\r\n\r\n" GET(""))
REFUSED(empty_line_with_a_bare_lf, 400, "\n" GET(""))
REFUSED(empty_line_with_a_bare_cr, 400, "\r" GET(""))

// ---------------------------------------------------------------------------------------------
// Limits
// ---------------------------------------------------------------------------------------------

#define TEN   "0123456789"
#define FIFTY TEN TEN TEN TEN TEN

ACCEPTED(a_target_as_long_as_allowed, LINE("GET /" FIFTY "012345678 HTTP/1.1"))
REFUSED(a_target_one_octet_longer, 414, LINE("GET /" FIFTY "0123456789 HTTP/1.1"))
REFUSED(a_query_too_long, 414, LINE("GET /?" FIFTY TEN " HTTP/1.1"))
REFUSED(an_authority_too_long, 414, LINE("GET http://" FIFTY TEN "/ HTTP/1.1"))
REFUSED(what_is_bad_behind_the_limit_is_too_long_first, 414, "GET /" FIFTY TEN "\x01")
ACCEPTED(as_many_fields_as_allowed, GET("A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\n"))
REFUSED(one_field_more, 431, GET("A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\nF: 6\r\n"))
REFUSED(an_endless_value, 431,
        "GET / HTTP/1.1\r\nX:" FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY)

TEST(a_head_as_large_as_allowed_and_one_octet_more)
{
	// 25 + 4 + n + 4 octets
	char text[500];
	struct http_strict_head head;

	for (int more = 0; more <= 1; more++) {
		int size = snprintf(text, sizeof(text),
		        "GET / HTTP/1.1\r\nHost: a\r\nX: %0*d\r\n\r\n", 400 - 32 + more, 0);
		EXPECT_INT(size, 400 + more);
		EXPECT_INT(judge(text, (size_t)size, &head), more ? 431 : HTTP_STRICT_COMPLETE);
	}
}

TEST(a_target_that_fills_the_head_is_414)
{
	struct http_strict_limits small = {.target = 8000, .head = 20, .headers = 1};
	struct http_strict_head head;

	http_strict_head_init(&head, &small);
	EXPECT_INT(http_strict_head_feed(&head, "GET /" FIFTY, 55), 414);
}

TEST(the_default_limits_take_8000_octets_of_target)
{
	struct http_strict_head head;
	static char text[9000];

	for (int more = 0; more <= 1; more++) {
		int size = snprintf(text, sizeof(text), "GET /%0*d HTTP/1.1\r\nHost: a\r\n\r\n",
		        7999 + more, 0);

		http_strict_head_init(&head, &HTTP_STRICT_LIMITS);
		EXPECT_INT(http_strict_head_feed(&head, text, (size_t)size),
		        more ? 414 : HTTP_STRICT_COMPLETE);
	}
}

TEST(an_answer_is_final)
{
	struct http_strict_head head;

	http_strict_head_init(&head, &limits);
	EXPECT_INT(http_strict_head_feed(&head, "\x01", 1), 400);
	EXPECT_INT(http_strict_head_feed(&head, "GET / HTTP/1.0\r\n\r\n", 18), 400);
}

TEST(a_bad_octet_is_answered_before_its_line_ends)
{
	struct http_strict_head head;

	http_strict_head_init(&head, &limits);
	EXPECT_INT(http_strict_head_feed(&head, "\x16", 1), 400);
	http_strict_head_init(&head, &limits);
	EXPECT_INT(http_strict_head_feed(&head, "GET x", 5), 400);
	http_strict_head_init(&head, &limits);
	EXPECT_INT(http_strict_head_feed(&head, "GET / h", 7), 400);
	http_strict_head_init(&head, &limits);
	EXPECT_INT(http_strict_head_feed(&head, "FOO ", 4), 501);
}

// Every octet, at every place of a value's first 24: the fast path and the slow one agree.
TEST(each_octet_is_judged_alike_at_every_place)
{
	for (int octet = 0; octet < 256; octet++) {
		bool good = octet == '\t' || (octet >= ' ' && octet != 0x7F);

		for (size_t place = 0; place < 24; place++) {
			char text[] = GET("X:012345678901234567890123456789\r\n");
			struct http_strict_head head;

			text[sizeof(GET("X:")) - 3 + place] = (char)octet;
			http_strict_head_init(&head, &limits);
			EXPECT_INT(http_strict_head_feed(&head, text, sizeof(text) - 1),
			        good ? HTTP_STRICT_COMPLETE : 400);
		}
	}
}

// ---------------------------------------------------------------------------------------------
// Chunked body
// ---------------------------------------------------------------------------------------------

struct outcome {
	int result;
	size_t passed, dropped;
	char text[512]; // what was approved, at most
};

static void feed_chunked(struct http_strict_chunked *chunked, struct outcome *outcome,
        const char *data, size_t length)
{
	char *copy = malloc(length ? length : 1), *at = copy;
	size_t dropped, approved;

	memcpy(copy, data, length);
	while (length > 0 && outcome->result == HTTP_STRICT_MORE) {
		outcome->result =
		        http_strict_chunked_feed(chunked, at, length, &dropped, &approved);
		if (outcome->passed + approved < sizeof(outcome->text))
			memcpy(outcome->text + outcome->passed, at + dropped, approved);
		outcome->passed += approved;
		outcome->dropped += dropped;
		at += dropped + approved;
		length -= dropped + approved;
	}
	free(copy);
}

static bool same_outcome(const struct outcome *a, const struct outcome *b)
{
	if (a->result != b->result)
		return false;
	return a->result >= 400 || (a->passed == b->passed && a->dropped == b->dropped &&
	                                   memcmp(a->text, b->text, sizeof(a->text)) == 0);
}

static void judge_chunked(const char *data, size_t length, struct outcome *whole)
{
	struct http_strict_chunked chunked;

	*whole = (struct outcome){0};
	http_strict_chunked_init(&chunked);
	feed_chunked(&chunked, whole, data, length);
	for (size_t cut = 0; cut <= length + 1; cut++) {
		struct outcome other = {0};

		http_strict_chunked_init(&chunked);
		if (cut > length) {
			for (size_t i = 0; i < length; i++)
				feed_chunked(&chunked, &other, data + i, 1);
		} else {
			feed_chunked(&chunked, &other, data, cut);
			feed_chunked(&chunked, &other, data + cut, length - cut);
		}
		EXPECT(same_outcome(whole, &other));
	}
}

#define CHUNKED(NAME, RESULT, TEXT)                                                                \
	TEST(NAME)                                                                                 \
	{                                                                                          \
		struct outcome outcome;                                                            \
		judge_chunked(TEXT, sizeof(TEXT) - 1, &outcome);                                   \
		EXPECT_INT(outcome.result, RESULT);                                                \
	}

TEST(a_chunked_body_is_approved_as_it_is)
{
	static const char text[] = "5\r\nhello\r\n00a;x=\"y\"\r\n0123456789\r\n0\r\n\r\n";
	struct outcome outcome;

	judge_chunked(text, sizeof(text) - 1, &outcome);
	EXPECT_INT(outcome.result, HTTP_STRICT_COMPLETE);
	EXPECT_STRING(outcome.text, text);
	EXPECT_INT(outcome.dropped, 0);
}

TEST(trailers_are_dropped)
{
	static const char text[] = "1\r\nx\r\n0\r\nContent-Length: 5\r\nTransfer-Encoding: x\r\n"
	                           "Host: b\r\n\r\nGET /next";
	struct outcome outcome;

	judge_chunked(text, sizeof(text) - 1, &outcome);
	EXPECT_INT(outcome.result, HTTP_STRICT_COMPLETE);
	EXPECT_STRING(outcome.text, "1\r\nx\r\n0\r\n\r\n");
}

CHUNKED(an_unfinished_body_waits, HTTP_STRICT_MORE, "5\r\nhello\r\n")
CHUNKED(sixteen_digits, HTTP_STRICT_COMPLETE, "0000000000000001\r\nx\r\n0000\r\n\r\n")
CHUNKED(seventeen_digits, 400, "00000000000000001\r\nx\r\n0\r\n\r\n")
CHUNKED(chunk_size_2_to_the_63_minus_1_is_awaited, HTTP_STRICT_MORE, "7fffffffffffffff\r\nx")
CHUNKED(chunk_size_2_to_the_63, 400, "8000000000000000\r\nx")
CHUNKED(chunk_size_with_0x, 400, "0x5\r\nhello\r\n0\r\n\r\n")
CHUNKED(chunk_size_with_a_plus, 400, "+5\r\nhello\r\n0\r\n\r\n")
CHUNKED(chunk_size_with_a_minus, 400, "-5\r\nhello\r\n0\r\n\r\n")
CHUNKED(chunk_size_behind_a_space, 400, " 5\r\nhello\r\n0\r\n\r\n")
CHUNKED(chunk_size_before_a_space, 400, "5 \r\nhello\r\n0\r\n\r\n")
CHUNKED(chunk_size_empty, 400, "\r\nhello\r\n0\r\n\r\n")
CHUNKED(chunk_size_missing_before_an_extension, 400, ";x\r\nhello\r\n0\r\n\r\n")
CHUNKED(chunk_size_with_an_underscore, 400, "1_0\r\nhello\r\n0\r\n\r\n")
CHUNKED(no_crlf_behind_the_data, 400, "5\r\nhelloX0\r\n\r\n")
CHUNKED(bare_lf_behind_the_data, 400, "5\r\nhello\n0\r\n\r\n")
CHUNKED(bare_cr_behind_the_data, 400, "5\r\nhello\rX0\r\n\r\n")
CHUNKED(bare_lf_behind_the_size, 400, "5\nhello\r\n0\r\n\r\n")
CHUNKED(bare_cr_behind_the_size, 400, "5\rhello\r\n0\r\n\r\n")
CHUNKED(lf_in_an_extension, 400, "5;a\nb\r\nhello\r\n0\r\n\r\n")
CHUNKED(nul_in_an_extension, 400, "5;a\0b\r\nhello\r\n0\r\n\r\n")
CHUNKED(cr_in_an_extension, 400, "5;a\rb\r\nhello\r\n0\r\n\r\n")
CHUNKED(high_octet_in_an_extension, 400, "5;\xff\r\nhello\r\n0\r\n\r\n")
CHUNKED(bare_lf_at_the_end_of_the_body, 400, "0\r\n\n")
CHUNKED(bare_cr_at_the_end_of_the_body, 400, "0\r\n\r\r\n")
CHUNKED(trailer_without_a_colon, 400, "0\r\nX\r\n\r\n")
CHUNKED(trailer_with_a_space_before_the_colon, 400, "0\r\nX : y\r\n\r\n")
CHUNKED(trailer_with_an_empty_name, 400, "0\r\n: y\r\n\r\n")
CHUNKED(trailer_with_nul, 400, "0\r\nX: \0\r\n\r\n")
CHUNKED(trailer_with_a_bare_lf, 400, "0\r\nX: y\n\r\n")
CHUNKED(trailer_with_a_bare_cr, 400, "0\r\nX: y\rz\r\n\r\n")
CHUNKED(trailer_folded, 400, "0\r\nX: y\r\n z\r\n\r\n")

// Feeds UNIT again and again, and says after how many octets what came of it.
static int flood(const char *begin, const char *unit, size_t most, size_t *octets)
{
	struct http_strict_chunked chunked;
	struct outcome outcome = {0};

	http_strict_chunked_init(&chunked);
	feed_chunked(&chunked, &outcome, begin, strlen(begin));
	for (*octets = 0; *octets < most && outcome.result == HTTP_STRICT_MORE;
	        *octets += strlen(unit))
		feed_chunked(&chunked, &outcome, unit, strlen(unit));
	return outcome.result;
}

TEST(a_flood_of_extensions_is_cut_off)
{
	size_t octets;

	EXPECT_INT(flood("5;", "x", 1 << 20, &octets), 413);
	EXPECT_INT(octets, HTTP_STRICT_EXTENSIONS_MAX + 1);
	EXPECT_INT(flood("", "1;xxxxxxxxxx\r\nx\r\n", 1 << 20, &octets), 413);
}

TEST(a_flood_of_trailers_is_cut_off)
{
	size_t octets;

	EXPECT_INT(flood("0\r\n", "X: y\r\n", 1 << 20, &octets), 431);
	EXPECT(octets <= HTTP_STRICT_TRAILERS_MAX + 6);
	EXPECT_INT(flood("0\r\nX:", "y", 1 << 20, &octets), 431);
}

TEST(a_flood_of_one_octet_chunks_is_cut_off)
{
	size_t octets;

	EXPECT_INT(flood("", "1\r\nx\r\n", 1 << 20, &octets), 413);
	EXPECT(octets < 3 * HTTP_STRICT_OVERHEAD_MAX);
}

TEST(chunks_of_reasonable_size_may_go_on)
{
	size_t octets;

	EXPECT_INT(flood("", "8\r\n01234567\r\n", 1 << 20, &octets), HTTP_STRICT_MORE);
}
