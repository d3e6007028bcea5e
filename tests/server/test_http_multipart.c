// SPDX-License-Identifier: MIT
// test_http_multipart.c - multipart bodies are reported part by part, however they are cut.
#include "server/http_multipart.h"

#include "tests/test.h"

// What the callbacks saw, as text: "(name|file name|type:data#length)". Offsets are compared with the
// body itself: the data must stand there.
struct report {
	struct http_multipart multipart;
	char text[4096];
	size_t length;
	int answer; // what part_begin returns
	const char *body;
	uint64_t offset; // in the body, of the data to come
};

static struct report report;

static void say(const char *data, size_t length)
{
	if (report.length + length >= sizeof(report.text))
		length = sizeof(report.text) - 1 - report.length;
	if (length > 0)
		memcpy(report.text + report.length, data, length);
	report.length += length;
	report.text[report.length] = '\0';
}

static int part_begin(struct http_multipart *multipart, const struct http_multipart_part *part)
{
	(void)multipart;
	report.offset = part->offset;
	say("(", 1);
	say(part->name.data, part->name.length);
	say("|", 1);
	say(part->filename.data ? part->filename.data : "-",
	        part->filename.data ? part->filename.length : 1);
	say("|", 1);
	say(part->content_type.data, part->content_type.length);
	say(":", 1);
	return report.answer;
}

static int part_data(struct http_multipart *multipart, const char *data, size_t length)
{
	(void)multipart;
	test_bad |= length == 0 || memcmp(report.body + report.offset, data, length) != 0;
	report.offset += length;
	say(data, length);
	return 0;
}

static int part_end(struct http_multipart *multipart, uint64_t length)
{
	char text[32];

	(void)multipart;
	say(text, (size_t)snprintf(text, sizeof(text), "#%d)", (int)length));
	return 0;
}

static const struct http_multipart_callbacks callbacks = {part_begin, part_data, part_end};

static int start(const char *type, uint32_t max_parts)
{
	memset(&report.multipart, 0xA5, sizeof(report.multipart));
	report.length = 0;
	report.text[0] = '\0';
	return http_multipart_init(
	        &report.multipart, type, strlen(type), HTTP_FORM_UTF_8, max_parts, &callbacks);
}

static int feed_copy(const char *data, size_t length)
{
	char *copy = malloc(length ? length : 1);

	memcpy(copy, data, length);
	int result = http_multipart_feed(&report.multipart, copy, length);
	free(copy);
	return result;
}

#define TYPE      "multipart/form-data; boundary=b"
#define MAX_PARTS 4

// Feeds the body whole, cut in two everywhere and octet by octet: all must agree. Returns the result.
static int judge(const char *body, size_t length)
{
	char whole[sizeof(report.text)];

	report.body = body;
	test_bad |= start(TYPE, MAX_PARTS) != 0;
	feed_copy(body, length);
	int result = http_multipart_finish(&report.multipart);
	strcpy(whole, report.text);
	test_bad |= result >= 400 && !report.multipart.reason;
	for (size_t cut = 0; cut <= length + 1; cut++) {
		start(TYPE, MAX_PARTS);
		for (size_t i = 0; cut > length && i < length; i++)
			feed_copy(body + i, 1);
		if (cut <= length) {
			feed_copy(body, cut);
			feed_copy(body + cut, length - cut);
		}
		int other = http_multipart_finish(&report.multipart);
		// After a failure, how much of the data came before it may differ.
		if (other != result || (result == 0 && strcmp(whole, report.text) != 0)) {
			printf("# cut at %zu: %d %s\n", cut, other, report.text);
			test_bad = true;
		}
	}
	strcpy(report.text, whole);
	return result;
}

#define GIVES(TEXT, EXPECTED)                                                                      \
	do {                                                                                       \
		EXPECT_INT(judge(TEXT, sizeof(TEXT) - 1), 0);                                      \
		EXPECT(!test_failed());                                                            \
		EXPECT_STRING(report.text, EXPECTED);                                              \
	} while (0)
#define REFUSES(TEXT, STATUS)                                                                      \
	do {                                                                                       \
		EXPECT_INT(judge(TEXT, sizeof(TEXT) - 1), STATUS);                                 \
		EXPECT(!test_failed());                                                            \
	} while (0)

#define PART(PARAMETERS)  "--b\r\nContent-Disposition: form-data; " PARAMETERS "\r\n\r\n"
#define FIELD(NAME, DATA) PART("name=\"" NAME "\"") DATA "\r\n"

TEST(fields_and_files)
{
	GIVES(FIELD("a", "1") FIELD("b", "") PART(
	              "name=f; filename=\"x.png\"\r\nContent-Type: image/png; q=1 ") "PNG\xff"
	                                                                             "\r\n--b--",
	        "(a|-|:1#1)(b|-|:#0)(f|x.png|image/png; q=1:PNG\xff#4)");
}

TEST(offsets_are_those_in_the_body)
{
	GIVES(FIELD("a", "1") "--b--", "(a|-|:1#1)");
	EXPECT_INT(report.offset, sizeof(PART("name=\"a\"")) - 1 + 1);
}

TEST(data_that_looks_like_a_delimiter_is_data)
{
	GIVES(FIELD("a", "\r\r\n\r\n-\r\n--\r\n--c--b\n--b x\r\n--B") "--b--",
	        "(a|-|:\r\r\n\r\n-\r\n--\r\n--c--b\n--b x\r\n--B#29)");
	GIVES(FIELD("a", "-") "--b--", "(a|-|:-#1)");
	GIVES(FIELD("a", "--") "--b--", "(a|-|:--#2)");
	GIVES(FIELD("a", "\r") "--b--", "(a|-|:\r#1)");
}

TEST(preamble_and_epilogue_are_ignored)
{
	GIVES("preamble --b\r\n" FIELD("a", "1") "--b-- epilogue \r\n--b\r\n", "(a|-|:1#1)");
	GIVES("\r\n" FIELD("a", "1") "--b--", "(a|-|:1#1)");
}

TEST(white_space_behind_the_boundary_is_padding)
{
	GIVES("--b \t\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--b--", "(a|-|:1#1)");
}

TEST(a_body_without_parts)
{
	GIVES("--b--", "");
}

TEST(a_part_may_lack_its_data)
{
	GIVES(PART("name=a") "--b--", "(a|-|:#0)");
}

TEST(a_part_without_a_name_is_skipped)
{
	GIVES(PART("x=y") "1\r\n--b\r\n\r\n2\r\n" FIELD("a", "3") "--b--", "(a|-|:3#1)");
}

TEST(names_are_unquoted_and_decoded)
{
	GIVES(FIELD("a;b", "1") "--b--", "(a;b|-|:1#1)");
	GIVES(PART("name=\"a\\\"b\\\\\"") "1\r\n--b--", "(a\"b\\|-|:1#1)");
	GIVES(PART("NAME = a b ") "1\r\n--b--", "(a b|-|:1#1)");
	GIVES(FIELD("\xc3\xa9\xff", "1") "--b--", "(\xc3\xa9\xef\xbf\xbd|-|:1#1)");
	GIVES(PART("name=\"\"") "1\r\n--b--", "(|-|:1#1)");
}

TEST(an_empty_file_name_makes_a_field)
{
	GIVES(PART("name=a; filename=\"\"") "\r\n--b--", "(a|-|:#0)");
}

TEST(file_names_lose_their_directories)
{
	GIVES(PART("name=a; filename=\"/etc/passwd\"") "\r\n--b--", "(a|passwd|:#0)");
	GIVES(PART("name=a; filename=\"C:\\dir\\x.txt\"") "\r\n--b--", "(a|x.txt|:#0)");
	GIVES(PART("name=a; filename=\"..\\../x\"") "\r\n--b--", "(a|x|:#0)");
}

TEST(a_file_name_of_directories_only_is_skipped)
{
	GIVES(PART("name=a; filename=\"..\"") "x\r\n--b--", "");
	GIVES(PART("name=a; filename=\"a/\"") "x\r\n--b--", "");
	GIVES(PART("name=a; filename=\"a/.\"") "x\r\n--b--", "");
}

TEST(extended_file_names_are_decoded)
{
	GIVES(PART("name=a; filename*=UTF-8''%e2%82%ac%2Fx") "\r\n--b--", "(a|x|:#0)");
	GIVES(PART("name=a; filename=y; filename*=utf-8'en'%e2%82%ac") "\r\n--b--",
	        "(a|\xe2\x82\xac|:#0)");
	GIVES(PART("name=a; filename*=iso-8859-1''%e9") "\r\n--b--", "(a|\xc3\xa9|:#0)");
}

TEST(nul_in_a_file_name_is_refused)
{
	REFUSES(PART("name=a; filename=\"x\0.png\"") "\r\n--b--", 400);
	REFUSES(PART("name=a; filename*=UTF-8''x%00.png") "\r\n--b--", 400);
}

TEST(no_final_boundary_is_refused)
{
	REFUSES("", 400);
	REFUSES("--b", 400);
	REFUSES("--b-", 400);
	REFUSES("nothing", 400);
	REFUSES(FIELD("a", "1"), 400);
	REFUSES(FIELD("a", "1") "--b", 400);
	REFUSES(PART("name=a"), 400);
	REFUSES(PART("name=a") "--b", 400);
}

TEST(text_behind_a_boundary_is_refused)
{
	REFUSES("--bc\r\n", 400);
	REFUSES("--b-x", 400);
	REFUSES("--b\rx", 400);
	REFUSES("--b\n", 400);
	REFUSES("--b --", 400);
}

TEST(malformed_part_heads_are_refused)
{
	REFUSES("--b\r\nX\r\n\r\n--b--", 400);
	REFUSES("--b\r\nX : y\r\n\r\n--b--", 400);
	REFUSES("--b\r\n: y\r\n\r\n--b--", 400);
	REFUSES("--b\r\nX: y\r\n z\r\n\r\n--b--", 400);
	REFUSES("--b\r\nX: y\n\r\n\r\n--b--", 400);
	REFUSES("--b\r\nX: y\rz\r\n\r\n--b--", 400);
	REFUSES(PART("name=a\r\nContent-Disposition: form-data; name=b") "--b--", 400);
}

TEST(nested_multipart_is_refused)
{
	REFUSES(PART("name=a\r\nContent-Type: Multipart/Mixed; boundary=c") "--b--", 400);
}

TEST(only_plain_transfer_encodings_are_taken)
{
	REFUSES(PART("name=a\r\nContent-Transfer-Encoding: base64") "--b--", 400);
	REFUSES(PART("name=a\r\nContent-Transfer-Encoding: quoted-printable") "--b--", 400);
	GIVES(PART("name=a\r\nContent-Transfer-Encoding: 8BIT ") "--b--", "(a|-|:#0)");
}

TEST(huge_part_heads_are_refused)
{
	static char body[HTTP_MULTIPART_HEAD_MAX + 100];
	size_t length = (size_t)snprintf(body, sizeof(body), "--b\r\nX: %0*d\r\n\r\n\r\n--b--",
	        HTTP_MULTIPART_HEAD_MAX - 4, 0);

	EXPECT_INT(judge(body, length), 0);
	length = (size_t)snprintf(body, sizeof(body), "--b\r\nX: %0*d\r\n\r\n\r\n--b--",
	        HTTP_MULTIPART_HEAD_MAX - 3, 0);
	EXPECT_INT(judge(body, length), 400);
}

TEST(too_many_parts_are_refused)
{
#define EMPTY "--b\r\n\r\n\r\n"
	REFUSES(EMPTY EMPTY EMPTY EMPTY EMPTY "--b--", 413);
	GIVES(EMPTY EMPTY EMPTY EMPTY "--b--", "");
}

TEST(a_callback_can_stop_the_parser)
{
	report.answer = 7;
	int result = judge(FIELD("a", "1") "--b--", sizeof(FIELD("a", "1") "--b--") - 1);
	report.answer = 0;
	EXPECT_INT(result, 7);
}

TEST(boundaries_are_read_from_the_content_type)
{
#define SEVENTY "0123456789012345678901234567890123456789012345678901234567890123456789"
	EXPECT_INT(start("multipart/form-data; boundary=\"a b'()+_,-./:=?\"", 0), 0);
	EXPECT_INT(start("multipart/form-data; Boundary = x ; charset=utf-8", 0), 0);
	EXPECT_INT(start("multipart/form-data; boundary=" SEVENTY, 0), 0);
	EXPECT_INT(start("multipart/form-data; boundary=" SEVENTY "0", 0), 400);
	EXPECT_INT(start("multipart/form-data; boundary=" SEVENTY SEVENTY SEVENTY, 0), 400);
	EXPECT_INT(start("multipart/form-data", 0), 400);
	EXPECT_INT(start("multipart/form-data; boundary", 0), 400);
	EXPECT_INT(start("multipart/form-data; boundary=", 0), 400);
	EXPECT_INT(start("multipart/form-data; boundary=\"\"", 0), 400);
	EXPECT_INT(start("multipart/form-data; boundary=\"a \"", 0), 400);
	EXPECT_INT(start("multipart/form-data; boundary=a@b", 0), 400);
	EXPECT_INT(start("multipart/form-data; boundary=a; boundary=b", 0), 400);
	EXPECT(report.multipart.reason != NULL);
	EXPECT_INT(feed_copy("--a--", 5), 400);
}
