// SPDX-License-Identifier: MIT
// test_http_response.c - messages of a consumer as the octets of a response: framing is ours, and
// nothing that could forge a header field gets through.
#include "server/http_response.h"

#include <unistd.h>

#include "tests/channel/support.h"

static struct forebay *layer;
static struct http_response_buffer buffer;
static struct http_response response;
static struct http_response_request request;
static char octets[200000];

// A message that has been through the layer, as a worker gets it.
static struct forebay_message *message_of(const char *json)
{
	struct forebay_message *message;
	const char *error = "";

	if (!layer) {
		layer = attach(NULL);
		forebay_listen(layer, "t");
		(void)forebay_remove(NULL); // the files; the memory stays while this program runs
	}
	message = forebay_message_new(layer);
	if (forebay_message_from_json(message, json, strlen(json), &error) != 0 ||
	        forebay_send(layer, "t", message, 0) != 0) {
		printf("# %s: %s\n", json, error);
		exit(EXIT_FAILURE);
	}
	forebay_message_free(message);
	return forebay_receive(layer, 0, &message) == 0 ? message : NULL;
}

static void start(bool head, int minor, bool keep_alive)
{
	response = (struct http_response){0};
	request = (struct http_response_request){
	        .head = head, .minor = minor, .keep_alive = keep_alive};
}

// The octets of the next part of the response; NULL if JSON is malformed.
static const char *next(const char *json)
{
	struct iovec parts[HTTP_RESPONSE_PARTS];
	struct forebay_message *message = message_of(json);
	int count = http_response_next(&response, &request, message, &buffer, parts);
	size_t length = 0;

	for (int i = 0; i < count; i++) {
		memcpy(octets + length, parts[i].iov_base, parts[i].iov_len);
		length += parts[i].iov_len;
	}
	octets[length] = '\0';
	forebay_message_free(message);
	return count < 0 ? NULL : octets;
}

// The same for the first message, without the two fields that every head has.
static const char *first(const char *json)
{
	const char *all = next(json);
	char *server = all ? strstr(octets, "Server: forebay\r\nDate: ") : NULL;
	char *rest = server ? strstr(server + 23, "\r\n") : NULL;

	if (rest)
		memmove(server, rest + 2, strlen(rest + 2) + 1);
	return all;
}

TEST(an_empty_message_is_an_empty_200)
{
	start(false, 1, true);
	EXPECT_STRING(first("{}"), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	EXPECT(response.keep_alive);
	EXPECT(!response.more);
}

TEST(all_keys_appear_in_the_head)
{
	start(false, 1, true);
	EXPECT_STRING(
	        first("{\"status\": 404, \"content_type\": \"text/plain\", \"headers\": "
	              "{\"X-A\": \"b\"}, \"cookies\": [\"a=1\", \"b=2\"], \"content\": \"no\"}"),
	        "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nX-A: b\r\n"
	        "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nno");
}

TEST(binary_content_is_sent_as_it_is)
{
	start(false, 1, true);
	EXPECT_STRING(first("{\"content\": \"aGk=\", \"binary\": true}"),
	        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
}

TEST(values_are_encoded_in_latin1)
{
	start(false, 1, true);
	EXPECT_STRING(first("{\"headers\": {\"A\": \"\\u00e4\\t\"}}"),
	        "HTTP/1.1 200 OK\r\nA: \xe4\t\r\nContent-Length: 0\r\n\r\n");
}

TEST(a_status_without_a_known_reason_is_sent_without_one)
{
	start(false, 1, true);
	EXPECT_STRING(first("{\"status\": 299}"), "HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n");
}

TEST(fields_about_the_connection_are_dropped)
{
	start(false, 1, true);
	EXPECT_STRING(
	        first("{\"headers\": {\"Connection\": \"closed, x-close\", \"transfer-ENCODING\": "
	              "\"gzip\", "
	              "\"Keep-Alive\": \"1\", \"Upgrade\": \"x\", \"Date\": \"x\", \"Server\": "
	              "\"x\", \"Content-Length\": \"77\", \"Trailer\": \"x\", "
	              "\"Proxy-Connection\": \"x\"}, \"content\": \"abc\"}"),
	        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
}

TEST(a_consumer_may_end_the_connection)
{
	start(false, 1, true);
	EXPECT_STRING(first("{\"headers\": {\"connection\": \"x-close,\\tCLOSE\"}}"),
	        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
	EXPECT(!response.keep_alive);
	start(false, 1, true);
	EXPECT_STRING(first("{\"headers\": {\"Connection\": \"close\"}, \"more_content\": true}"),
	        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
	EXPECT_STRING(next("{}"), "0\r\n\r\n");
	EXPECT(!response.keep_alive);
}

TEST(content_type_wins_over_the_header_of_that_name)
{
	start(false, 1, true);
	EXPECT_STRING(
	        first("{\"content_type\": \"a/b\", \"headers\": {\"content-type\": \"c/d\"}}"),
	        "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 0\r\n\r\n");
}

TEST(connection_is_said_only_where_it_is_not_the_default)
{
	start(false, 1, false);
	EXPECT_STRING(
	        first("{}"), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
	start(false, 0, true);
	EXPECT_STRING(first("{}"),
	        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n");
}

TEST(a_stream_is_chunked)
{
	start(false, 1, true);
	EXPECT_STRING(first("{\"content\": \"0123456789abcdef\", \"more_content\": true}"),
	        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n0123456789abcdef\r\n");
	EXPECT(response.more);
	EXPECT_STRING(next("{\"more_content\": true}"), "");
	EXPECT_STRING(next("{\"content\": \"x\", \"more_content\": true}"), "1\r\nx\r\n");
	EXPECT_STRING(next("{\"content\": \"y\"}"), "1\r\ny\r\n0\r\n\r\n");
	EXPECT(!response.more);
	EXPECT(response.keep_alive);
	EXPECT_INT(response.sent, 18);
}

TEST(a_stream_may_end_with_an_empty_message)
{
	start(false, 1, true);
	EXPECT(first("{\"more_content\": true}"));
	EXPECT_STRING(next("{}"), "0\r\n\r\n");
}

TEST(a_stream_to_http_1_0_ends_with_the_connection)
{
	start(false, 0, true);
	EXPECT_STRING(first("{\"content\": \"x\", \"more_content\": true}"),
	        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nx");
	EXPECT_STRING(next("{\"content\": \"y\"}"), "y");
	EXPECT(!response.keep_alive);
}

TEST(a_stream_with_a_length_is_not_chunked_and_kept_to)
{
	const char *head = "{\"headers\": {\"Content-Length\": \"3\"}, \"content\": \"a\", "
	                   "\"more_content\": true}";

	start(false, 1, true);
	EXPECT_STRING(first(head), "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na");
	EXPECT_STRING(next("{\"content\": \"bc\"}"), "bc");
	EXPECT(response.keep_alive);

	start(false, 1, true);
	EXPECT(first(head));
	EXPECT(!next("{\"content\": \"bcd\"}"));
	EXPECT(response.started);

	start(false, 1, true);
	EXPECT(first(head));
	EXPECT(!next("{\"content\": \"b\"}"));
	EXPECT(!response.keep_alive);
}

TEST(responses_without_a_body_do_not_get_one)
{
	start(true, 1, true);
	EXPECT_STRING(
	        first("{\"content\": \"hello\"}"), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
	start(true, 1, true);
	EXPECT_STRING(first("{\"headers\": {\"Content-Length\": \"9\"}}"),
	        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
	start(true, 1, true);
	EXPECT_STRING(
	        first("{\"content\": \"a\", \"more_content\": true}"), "HTTP/1.1 200 OK\r\n\r\n");
	EXPECT_STRING(next("{\"content\": \"b\"}"), "");
	start(false, 1, true);
	EXPECT_STRING(
	        first("{\"status\": 204, \"content\": \"x\"}"), "HTTP/1.1 204 No Content\r\n\r\n");
	start(false, 1, true);
	EXPECT_STRING(first("{\"status\": 304, \"content\": \"x\"}"),
	        "HTTP/1.1 304 Not Modified\r\n\r\n");
	EXPECT(response.keep_alive);
	start(false, 1, true);
	EXPECT_STRING(first("{\"status\": 205, \"content\": \"x\", \"more_content\": true}"),
	        "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n");
	EXPECT_STRING(next("{\"content\": \"y\"}"), "");
	EXPECT(response.keep_alive);
}

TEST(what_could_split_a_response_is_malformed)
{
	static const char *const bad[] = {
	        "{\"headers\": {\"A\": \"b\\r\\nC: d\"}}",
	        "{\"headers\": {\"A\": \"b\\nC: d\"}}",
	        "{\"headers\": {\"A\": \"b\\rC: d\"}}",
	        "{\"headers\": {\"A\": \"b\\u0000\"}}",
	        "{\"headers\": {\"A\": \"\\u007f\"}}",
	        "{\"headers\": {\"A\": \"\\u0100\"}}", // not in latin-1
	        "{\"headers\": {\"A\": \"\\u010a\"}}", // would be LF if it were cut to an octet
	        "{\"headers\": {\"A\\r\\nB\": \"c\"}}",
	        "{\"headers\": {\"A\": \"x\", \"B:\": \"c\"}}",
	        "{\"headers\": {\"A B\": \"c\"}}",
	        "{\"headers\": {\"\": \"c\"}}",
	        "{\"headers\": {\"\\u00e4\": \"c\"}}",
	        "{\"cookies\": [\"a=b\\r\\nC: d\"]}",
	        "{\"content_type\": \"a\\nb\"}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		start(false, 1, true);
		EXPECT(!first(bad[i]));
		EXPECT(response.reason);
		EXPECT(!response.started);
	}
}

TEST(wrong_types_and_ranges_are_malformed)
{
	static const char *const bad[] = {
	        "{\"status\": 199}",
	        "{\"status\": 100}",
	        "{\"status\": 600}",
	        "{\"status\": -200}",
	        "{\"status\": 99999999999}",
	        "{\"status\": \"200\"}",
	        "{\"status\": 200.0}",
	        "{\"status\": true}",
	        "{\"status\": null}",
	        "{\"headers\": [[\"a\", \"b\"]]}",
	        "{\"headers\": {\"a\": 1}}",
	        "{\"headers\": {\"a\": [\"b\"]}}",
	        "{\"cookies\": \"a=b\"}",
	        "{\"cookies\": [1]}",
	        "{\"content_type\": 1}",
	        "{\"more_content\": 1}",
	        "{\"more_content\": \"yes\"}",
	        "{\"headers\": {\"Content-Length\": \"-1\"}, \"more_content\": true}",
	        "{\"headers\": {\"Content-Length\": \"\"}, \"more_content\": true}",
	        "{\"headers\": {\"Content-Length\": \"0x5\"}, \"more_content\": true}",
	        // 2^63
	        "{\"more_content\":true, \"headers\":{\"Content-Length\":\"9223372036854775808\"}}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		start(false, 1, true);
		EXPECT(!first(bad[i]));
	}
}

TEST(first_message_keys_in_a_later_one_are_malformed)
{
	static const char *const bad[] = {"{\"status\": 200}", "{\"headers\": {}}",
	        "{\"cookies\": []}", "{\"content_type\": \"a/b\"}"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		start(false, 1, true);
		EXPECT(first("{\"more_content\": true}"));
		EXPECT(!next(bad[i]));
		EXPECT(response.started);
	}
}

TEST(a_head_beyond_the_buffer_is_malformed)
{
	static char json[HTTP_RESPONSE_HEAD_MAX + 100];

	start(false, 1, true);
	snprintf(json, sizeof(json), "{\"content_type\": \"%0*d\"}", HTTP_RESPONSE_HEAD_MAX, 0);
	EXPECT(!first(json));
	EXPECT_STRING(response.reason, "head too large");
}

TEST(an_answer_of_our_own_is_text)
{
	start(false, 1, false);
	octets[0] = '\0';
	strncat(octets, buffer.octets, http_response_error(503, &request, 7, &buffer));
	EXPECT(strstr(octets, "HTTP/1.1 503 Service Unavailable\r\n") == octets);
	EXPECT(strstr(octets,
	        "\r\nRetry-After: 7\r\nContent-Length: 24\r\nConnection: close\r\n\r\n"
	        "503 Service Unavailable\n"));
	start(true, 1, true);
	octets[0] = '\0';
	strncat(octets, buffer.octets, http_response_error(400, &request, -1, &buffer));
	EXPECT(strstr(octets, "Content-Length: 16\r\n\r\n"));
	EXPECT(!strstr(octets, "400 Bad Request\n"));
}
