// SPDX-License-Identifier: MIT
// test_websocket_handshake.c - which requests open a WebSocket, and why others don't.
#include "server/websocket_handshake.h"

#include "tests/test.h"

static struct http_request request;
static struct http_strict_head head;
static struct websocket_handshake handshake;
static char data[4096];

static void read_head(const char *line, const char *fields)
{
	static const struct http_strict_limits limits = HTTP_STRICT_LIMITS;
	http_parser parser;

	if (!request.fields)
		http_request_init(&request, 100, 32768, 8000, 10, 1000);
	snprintf(data, sizeof(data), "%s\r\nHost: Example.com:8000\r\n%s\r\n", line, fields);
	http_strict_head_init(&head, &limits);
	EXPECT_INT(http_strict_head_feed(&head, data, strlen(data)), HTTP_STRICT_COMPLETE);
	EXPECT_INT(http_request_read(&request, &head, &parser, data), 0);
}

static int judge(const char *line, const char *fields, const struct options_list *origins)
{
	static const struct options_list any = {NULL, 0};

	read_head(line, fields);
	return websocket_handshake_judge(
	        &handshake, &request, &head, data, origins ? origins : &any);
}

#define GET      "GET /ws HTTP/1.1"
#define UPGRADE  "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define VERSION  "Sec-WebSocket-Version: 13\r\n"
#define KEY(KEY) "Sec-WebSocket-Key: " KEY "\r\n"
#define GOOD_KEY KEY("dGhlIHNhbXBsZSBub25jZQ==")
#define GOOD     UPGRADE VERSION GOOD_KEY

TEST(a_good_one)
{
	EXPECT_INT(judge(GET, GOOD, NULL), 0);
	EXPECT_STRING(handshake.key, "dGhlIHNhbXBsZSBub25jZQ==");
	EXPECT_INT(judge("GET http://example.com/ HTTP/1.1", GOOD, NULL), 0);
	EXPECT_INT(
	        judge(GET, VERSION GOOD_KEY "Upgrade: x, WEBSOCKET\r\nConnection: a, upgrade\r\n",
	                NULL),
	        0);
}

TEST(an_ordinary_request_is_none)
{
	read_head(GET, "");
	EXPECT(!websocket_handshake_wanted(&request, &head));
	read_head(GET, "Upgrade: h2c\r\nConnection: Upgrade\r\n");
	EXPECT(!websocket_handshake_wanted(&request, &head));
	read_head("GET / HTTP/1.0", UPGRADE);
	EXPECT(!websocket_handshake_wanted(&request, &head));
}

TEST(whatever_means_to_be_one_is_judged_as_one)
{
	read_head(GET, UPGRADE);
	EXPECT(websocket_handshake_wanted(&request, &head));
	read_head(GET, GOOD_KEY);
	EXPECT(websocket_handshake_wanted(&request, &head));
	read_head("GET / HTTP/1.0", VERSION);
	EXPECT(websocket_handshake_wanted(&request, &head));
}

TEST(method_and_version_of_http)
{
	EXPECT_INT(judge("POST /ws HTTP/1.1", GOOD, NULL), 400);
	EXPECT_INT(judge("HEAD /ws HTTP/1.1", GOOD, NULL), 400);
	EXPECT_INT(judge("OPTIONS /ws HTTP/1.1", GOOD, NULL), 400);
	EXPECT_INT(judge("GET /ws HTTP/1.0", GOOD, NULL), 400);
}

TEST(upgrade_and_connection)
{
	EXPECT_INT(judge(GET, VERSION GOOD_KEY, NULL), 400);
	EXPECT_INT(judge(GET, "Upgrade: websocket\r\n" VERSION GOOD_KEY, NULL), 400);
	EXPECT_INT(judge(GET, "Connection: Upgrade\r\n" VERSION GOOD_KEY, NULL), 400);
	EXPECT_INT(
	        judge(GET, "Upgrade: websockets\r\nConnection: Upgrade\r\n" VERSION GOOD_KEY, NULL),
	        400);
}

TEST(version)
{
	EXPECT_INT(judge(GET, UPGRADE GOOD_KEY, NULL), 400);
	EXPECT_INT(judge(GET, GOOD VERSION, NULL), 400);
	EXPECT_INT(judge(GET, UPGRADE GOOD_KEY "Sec-WebSocket-Version: 8\r\n", NULL), 426);
	EXPECT_INT(judge(GET, UPGRADE GOOD_KEY "Sec-WebSocket-Version: 013\r\n", NULL), 426);
	EXPECT_INT(judge(GET, UPGRADE GOOD_KEY "Sec-WebSocket-Version: 13, 8\r\n", NULL), 426);
}

TEST(key)
{
	static const char *const bad[] = {"", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ=",
	        "dGhlIHNhbXBsZSBub25jZQ===", "dGhlIHNhbXBsZSBub25jZR==", "dGhlIHNhbXBsZSBub25jZQ=a",
	        "dGhlIHNhbXBsZSBub25j_Q==", "dGhlIHNhbXBsZSBub25jZQQ=", "dGhlIHNhbXBsZSB=ub25jZQ=",
	        "dGhlIHNhbXBsZSBub25 ZQ=="};
	char fields[512];

	EXPECT_INT(judge(GET, UPGRADE VERSION, NULL), 400);
	EXPECT_INT(judge(GET, GOOD GOOD_KEY, NULL), 400);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(fields, sizeof(fields), UPGRADE VERSION "Sec-WebSocket-Key: %s\r\n",
		        bad[i]);
		EXPECT_INT(judge(GET, fields, NULL), 400);
	}
	EXPECT_INT(judge(GET, UPGRADE VERSION KEY("AAAAAAAAAAAAAAAAAAAAAA=="), NULL), 0);
	EXPECT_INT(judge(GET, UPGRADE VERSION KEY("+/+/+/+/+/+/+/+/+/+/+w=="), NULL), 0);
}

TEST(origins)
{
	static char good[] = "https://good.example", same[] = "same", *items[] = {good, same};
	static const struct options_list one = {items, 1}, both = {items, 2};

	EXPECT_INT(judge(GET, GOOD "Origin: https://any.example\r\n", NULL), 0);
	EXPECT_INT(judge(GET, GOOD "Origin: https://good.example\r\n", &one), 0);
	EXPECT_INT(judge(GET, GOOD "Origin: http://good.example\r\n", &one), 403);
	EXPECT_INT(judge(GET, GOOD "Origin: https://good.example:444\r\n", &one), 403);
	EXPECT_INT(judge(GET, GOOD "Origin: https://good.example.evil\r\n", &one), 403);
	EXPECT_INT(judge(GET, GOOD "Origin: null\r\n", &one), 403);
	EXPECT_INT(judge(GET, GOOD, &one), 403);
	EXPECT_INT(judge(GET, GOOD "Origin: https://good.example\r\nOrigin: x\r\n", &one), 403);
	EXPECT_INT(judge(GET, GOOD "Origin: http://example.com:8000\r\n", &one), 403);
	EXPECT_INT(judge(GET, GOOD "Origin: http://example.com:8000\r\n", &both), 0);
	EXPECT_INT(judge(GET, GOOD "Origin: http://example.com\r\n", &both), 403);
	EXPECT_INT(judge(GET, GOOD "Origin: http://evil.example.com:8000\r\n", &both), 403);
	EXPECT_INT(judge(GET, GOOD "Origin: example.com:8000\r\n", &both), 403);
	EXPECT_INT(judge("GET http://example.com:80/ HTTP/1.1",
	                   GOOD "Origin: http://example.com\r\n", &both),
	        0);
}
