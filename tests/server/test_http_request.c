// SPDX-License-Identifier: MIT
// test_http_request.c - a raw head as an http.request message.
#include "server/http_request.h"

#include <unistd.h>

#include "tests/channel/support.h"

static struct forebay *layer;
static struct http_request request;
static struct http_strict_head head;
static struct forebay_message *received;
static char data[65536];

static const struct http_request_peer peer = {
        .remote_address = "192.0.2.7",
        .remote_port = "4711",
        .server_name = NULL,
        .server_port = "8000",
};

static void prepare(void)
{
	static const struct http_strict_limits limits = {
	        .target = 8000, .head = 32768, .headers = 100};

	if (!layer) {
		layer = attach(NULL);
		forebay_listen(layer, "http.request");
		(void)forebay_remove(NULL); // the files; the memory stays while this program runs
		http_request_init(&request, 100, 32768, 8000, 10, 1000);
	}
	http_strict_head_init(&head, &limits);
}

// Reads TEXT as a head. Returns 0 or the status.
static int read_head(const char *text)
{
	http_parser parser;
	int result;

	prepare();
	memcpy(data, text, strlen(text));
	result = http_strict_head_feed(&head, data, strlen(text));
	if (result != HTTP_STRICT_COMPLETE)
		return result ? result : -1;
	http_strict_head_normalize(&head, data);
	return http_request_read(&request, &head, &parser, data);
}

// Makes the message of TEXT and BODY, and passes it through the layer. Returns 0 or a status.
static int fill(const char *text, const struct http_request_body *body)
{
	static const struct http_request_body none = {0};
	struct forebay_message *message;
	int status = read_head(text);

	forebay_message_free(received);
	received = NULL;
	if (status)
		return status;
	message = forebay_message_new(layer);
	status = http_request_fill(
	        &request, &head, data, &peer, body ? body : &none, "http.response!1", message);
	if (!status)
		status = forebay_send(layer, "http.request", message, 0);
	forebay_message_free(message);
	if (!status)
		status = forebay_receive(layer, 0, &received);
	return status;
}

static const char *meta(const char *key)
{
	const struct forebay_value *value =
	        forebay_get(forebay_get(forebay_message_root(received), "meta"), key);

	return value && value->type == FOREBAY_TYPE_STRING ? value->string : NULL;
}

// Value number INDEX of KEY in the dictionary FORM.
static const char *field(const char *form, const char *key, int index)
{
	const struct forebay_value *value =
	        forebay_get(forebay_get(forebay_message_root(received), form), key);

	value = value && value->type == FOREBAY_TYPE_LIST ? value->child : NULL;
	while (value && index-- > 0)
		value = value->next;
	return value ? value->string : NULL;
}

TEST(a_simple_request_has_every_key_of_the_specification_in_order)
{
	const char *json;

	EXPECT_INT(fill("GET /a HTTP/1.1\r\nHost: h\r\n\r\n", NULL), 0);
	json = forebay_message_json(received, NULL);
	EXPECT_STRING(json,
	        "{\"reply_channel\":\"http.response!1\",\"method\":\"GET\",\"path\":\"/a\","
	        "\"get\":{},\"post\":{},\"cookies\":{},\"meta\":{\"REQUEST_METHOD\":\"GET\","
	        "\"REQUEST_URI\":\"/a\",\"SCRIPT_NAME\":\"\",\"PATH_INFO\":\"/a\","
	        "\"QUERY_STRING\":\"\",\"SERVER_PROTOCOL\":\"HTTP/1.1\",\"SERVER_NAME\":\"h\","
	        "\"SERVER_PORT\":\"8000\",\"REMOTE_ADDR\":\"192.0.2.7\",\"REMOTE_PORT\":\"4711\","
	        "\"wsgi.url_scheme\":\"http\",\"HTTP_HOST\":\"h\"}}");
}

TEST(the_path_is_decoded_and_the_raw_target_kept)
{
	EXPECT_INT(fill("GET /%C3%A4%20b?x=%C3%A4+1&x=&y HTTP/1.1\r\nHost: h\r\n\r\n", NULL), 0);
	EXPECT_STRING(forebay_get_string(received, "path", NULL), "/\xc3\xa4 b");
	EXPECT_STRING(meta("REQUEST_URI"), "/%C3%A4%20b?x=%C3%A4+1&x=&y");
	EXPECT_STRING(meta("QUERY_STRING"), "x=%C3%A4+1&x=&y");
	EXPECT_STRING(field("get", "x", 0), "\xc3\xa4 1");
	EXPECT_STRING(field("get", "x", 1), "");
	EXPECT_STRING(field("get", "y", 0), "");
}

TEST(fields_become_meta_as_in_cgi)
{
	EXPECT_INT(fill("GET / HTTP/1.1\r\nHost: h\r\nX-Some-Thing: \xe4 \r\nContent-Type: a/b\r\n"
	                "Content-Length: 0\r\nX_Some_Thing: evil\r\nAccept:\r\n\r\n",
	                   NULL),
	        0);
	EXPECT_STRING(meta("HTTP_X_SOME_THING"), "\xc3\xa4");
	EXPECT_STRING(meta("CONTENT_TYPE"), "a/b");
	EXPECT_STRING(meta("CONTENT_LENGTH"), "0");
	EXPECT_STRING(meta("HTTP_ACCEPT"), "");
	EXPECT(!meta("HTTP_CONTENT_TYPE"));
	EXPECT(!meta("HTTP_CONTENT_LENGTH"));
}

TEST(repeated_fields_are_joined)
{
	EXPECT_INT(fill("GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\ncookie: x=1\r\na: 2\r\n"
	                "Cookie: y=2; x=3\r\nA:\r\n\r\n",
	                   NULL),
	        0);
	EXPECT_STRING(meta("HTTP_A"), "1,2,");
	EXPECT_STRING(meta("HTTP_COOKIE"), "x=1; y=2; x=3");
	EXPECT_STRING(
	        forebay_get(forebay_get(forebay_message_root(received), "cookies"), "x")->string,
	        "3");
}

TEST(repeated_fields_that_fill_the_head_fit)
{
	char text[32768];
	size_t length = (size_t)sprintf(text, "GET / HTTP/1.1\r\nHost: h\r\n");

	for (int i = 0; i < 90; i++)
		length += (size_t)sprintf(text + length, "Cookie:%0300d\r\n", i);
	sprintf(text + length, "\r\n");
	EXPECT_INT(fill(text, NULL), 0);
	EXPECT_INT(strlen(meta("HTTP_COOKIE")), 90 * 300 + 89 * 2);
}

TEST(an_absolute_target_replaces_the_host)
{
	EXPECT_INT(fill("GET http://win.example:81/p?q HTTP/1.1\r\nHost: lose\r\n\r\n", NULL), 0);
	EXPECT_STRING(meta("HTTP_HOST"), "win.example:81");
	EXPECT_STRING(meta("SERVER_NAME"), "win.example");
	EXPECT_STRING(forebay_get_string(received, "path", NULL), "/p");
	EXPECT_INT(fill("GET http://[::1]:81 HTTP/1.1\r\nHost: lose\r\n\r\n", NULL), 0);
	EXPECT_STRING(meta("SERVER_NAME"), "[::1]");
	EXPECT_STRING(forebay_get_string(received, "path", NULL), "/");
}

TEST(without_a_host_we_are_localhost)
{
	EXPECT_INT(fill("GET / HTTP/1.0\r\n\r\n", NULL), 0);
	EXPECT_STRING(meta("SERVER_NAME"), "localhost");
	EXPECT_STRING(meta("SERVER_PROTOCOL"), "HTTP/1.0");
	EXPECT(!meta("HTTP_HOST"));
}

TEST(the_asterisk_is_a_path)
{
	EXPECT_INT(fill("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", NULL), 0);
	EXPECT_STRING(forebay_get_string(received, "path", NULL), "*");
}

TEST(a_form_becomes_post)
{
	struct http_request_body body = {.form = "a=1&a=2&b=%E4", .form_length = 13};

	body.charset = HTTP_FORM_LATIN_1;
	EXPECT_INT(fill("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 13\r\n\r\n", &body), 0);
	EXPECT_STRING(field("post", "a", 1), "2");
	EXPECT_STRING(field("post", "b", 0), "\xc3\xa4");
}

TEST(a_multipart_form_becomes_post_and_files)
{
	static const char text[] =
	        "--x\r\nContent-Disposition: form-data; name=\"t\"\r\n\r\nv\r\n"
	        "--x\r\nContent-Disposition: form-data; name=\"f\"; "
	        "filename=\"/tmp/n.txt\"\r\nContent-Type: a/b\r\n\r\nDATA\r\n--x--\r\n";
	const char *type = "multipart/form-data; boundary=x";
	struct http_upload upload;
	struct http_request_body body = {.upload = &upload,
	        .content = text,
	        .content_length = sizeof(text) - 1,
	        .content_kind = FOREBAY_BINARY};
	const struct forebay_value *file;
	const char *content;
	size_t length;
	unsigned kind;

	http_upload_init(&upload, 10, 1000);
	for (int round = 0; round < 2; round++) { // the memory is used again
		EXPECT_INT(http_upload_begin(&upload, type, strlen(type), HTTP_FORM_UTF_8, 10), 0);
		EXPECT_INT(http_upload_feed(&upload, text, sizeof(text) - 1), 0);
		EXPECT_INT(http_upload_finish(&upload), 0);
		EXPECT_INT(fill("POST / HTTP/1.1\r\nHost: h\r\n\r\n", &body), 0);
	}
	EXPECT_STRING(field("post", "t", 0), "v");
	file = forebay_get(forebay_message_root(received), "files")->child;
	EXPECT_STRING(forebay_get(file, "name")->string, "f");
	EXPECT_STRING(forebay_get(file, "filename")->string, "n.txt");
	EXPECT_STRING(forebay_get(file, "content_type")->string, "a/b");
	EXPECT_INT(forebay_get(file, "length")->integer, 4);
	EXPECT(!file->next);
	content = forebay_message_content(received, &length, &kind);
	EXPECT(content && memcmp(content + forebay_get(file, "offset")->integer, "DATA", 4) == 0);
	EXPECT_INT(kind, FOREBAY_BINARY | FOREBAY_BODY);
	http_upload_fini(&upload);
}

TEST(the_memory_of_a_large_upload_is_given_back)
{
	static char text[300000];
	static const char start[] = "--x\r\nContent-Disposition: form-data; name=\"t\"\r\n\r\n";
	const char *type = "multipart/form-data; boundary=x";
	struct http_upload upload;

	memset(text, 'v', sizeof(text));
	http_upload_init(&upload, 10, sizeof(text) + 1);
	for (int round = 0; round < 2; round++) {
		EXPECT_INT(http_upload_begin(&upload, type, strlen(type), HTTP_FORM_UTF_8, 10), 0);
		EXPECT_INT(http_upload_feed(&upload, start, sizeof(start) - 1), 0);
		EXPECT_INT(http_upload_feed(&upload, text, sizeof(text)), 0);
		EXPECT_INT(http_upload_feed(&upload, "\r\n--x--\r\n", 11), 0);
		EXPECT_INT(http_upload_finish(&upload), 0);
		EXPECT(http_form_memory(&upload.post) >= sizeof(text));
		http_upload_trim(&upload); // it keeps the limits
		EXPECT_INT(http_form_memory(&upload.post), 0);
	}
	// What is little stays.
	EXPECT_INT(http_upload_begin(&upload, type, strlen(type), HTTP_FORM_UTF_8, 10), 0);
	EXPECT_INT(http_upload_feed(&upload, start, sizeof(start) - 1), 0);
	EXPECT_INT(http_upload_feed(&upload, "v\r\n--x--\r\n", 12), 0);
	EXPECT_INT(http_upload_finish(&upload), 0);
	http_upload_trim(&upload);
	EXPECT(http_form_memory(&upload.post) > 0);
	http_upload_fini(&upload);
}

TEST(too_many_fields_are_413)
{
	EXPECT_INT(fill("GET /?a&a&a&a&a&a&a&a&a&a HTTP/1.1\r\nHost: h\r\n\r\n", NULL), 0);
	EXPECT_INT(fill("GET /?a&a&a&a&a&a&a&a&a&a&a HTTP/1.1\r\nHost: h\r\n\r\n", NULL), 413);
}

TEST(bad_paths_are_400)
{
	EXPECT_INT(fill("GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", NULL), 400);
	EXPECT_INT(fill("GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n", NULL), 400);
	EXPECT_INT(fill("GET /a/../.. HTTP/1.1\r\nHost: h\r\n\r\n", NULL), 400);
	EXPECT(request.reason);
}

TEST(a_method_that_nobody_knows_is_501)
{
	EXPECT_INT(read_head("BREW / HTTP/1.1\r\nHost: h\r\n\r\n"), 501);
	EXPECT_INT(read_head("get / HTTP/1.1\r\nHost: h\r\n\r\n"), 501);
}

TEST(an_upgrade_does_not_stop_the_parser)
{
	EXPECT_INT(fill("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
	                   NULL),
	        0);
	EXPECT_STRING(meta("HTTP_UPGRADE"), "x");
}

TEST(fields_are_found_by_name_in_any_case)
{
	const struct http_request_field *found;

	EXPECT_INT(read_head("GET / HTTP/1.1\r\nHost: h\r\nCoNtEnT-TyPe:  a/b \r\n\r\n"), 0);
	found = http_request_find(&request, "content-type", 12);
	EXPECT(found && found->value_length == 3 && memcmp(found->value, "a/b", 3) == 0);
	EXPECT(!http_request_find(&request, "content-typ", 11));
}
