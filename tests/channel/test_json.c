// SPDX-License-Identifier: MIT
// test_json.c - what the writer writes and refuses, what the reader reads and refuses, and that
// neither takes more memory once it is warm.
#include "channel/json.h"

#include "tests/test.h"

// ---------------------------------------------------------------------------------------------
// Writer
// ---------------------------------------------------------------------------------------------

#define PUT_TEXT(WRITER, TEXT) channel_json_writer_put_string(WRITER, TEXT, strlen(TEXT))
#define PUT_KEY(WRITER, TEXT)  channel_json_writer_put_key(WRITER, TEXT, strlen(TEXT))

static struct channel_json_writer writer;

static void start(void)
{
	static bool ready;

	if (!ready && channel_json_writer_init(&writer) != 0)
		abort();
	ready = true;
	channel_json_writer_reset(&writer);
}

// The text written, or NULL if finish fails.
static const char *finished(void)
{
	const char *json = NULL;
	size_t length = 0;

	if (channel_json_writer_finish(&writer, &json, &length) != 0 || strlen(json) != length)
		return NULL;
	return json;
}

static int finish_error(void)
{
	const char *json;
	size_t length;

	return channel_json_writer_finish(&writer, &json, &length);
}

TEST(an_empty_message_is_an_empty_object)
{
	start();
	EXPECT_STRING(finished(), "{}");
	EXPECT_STRING(finished(), "{}"); // a message can be sent twice
}

TEST(every_type_is_written)
{
	start();
	PUT_KEY(&writer, "string");
	PUT_TEXT(&writer, "a \"quoted\"\n\\ \x01 \x7f \xc3\xa9 \xf0\x9f\x98\x80/");
	PUT_KEY(&writer, "integers");
	channel_json_writer_begin_list(&writer);
	channel_json_writer_put_integer(&writer, 0);
	channel_json_writer_put_integer(&writer, INT64_MIN);
	channel_json_writer_put_integer(&writer, INT64_MAX);
	channel_json_writer_end(&writer);
	PUT_KEY(&writer, "object");
	channel_json_writer_begin_object(&writer);
	PUT_KEY(&writer, "true");
	channel_json_writer_put_boolean(&writer, true);
	PUT_KEY(&writer, "false");
	channel_json_writer_put_boolean(&writer, false);
	PUT_KEY(&writer, "null");
	channel_json_writer_put_null(&writer);
	PUT_KEY(&writer, "none");
	channel_json_writer_begin_list(&writer);
	channel_json_writer_end(&writer);
	channel_json_writer_end(&writer);
	EXPECT_STRING(finished(),
	        "{\"string\":\"a \\\"quoted\\\"\\n\\\\ \\u0001 \x7f \xc3\xa9 \xf0\x9f\x98\x80/\","
	        "\"integers\":[0,-9223372036854775808,9223372036854775807],"
	        "\"object\":{\"true\":true,\"false\":false,\"null\":null,\"none\":[]}}");
}

TEST(latin1_becomes_utf8)
{
	start();
	PUT_KEY(&writer, "k");
	channel_json_writer_begin_list(&writer);
	channel_json_writer_put_latin1(&writer, "plain ASCII text", 16);
	channel_json_writer_put_latin1(&writer, "caf\xe9 \x80\xff\"", 8);
	channel_json_writer_put_latin1(&writer, "", 0);
	channel_json_writer_end(&writer);
	EXPECT_STRING(finished(),
	        "{\"k\":[\"plain ASCII text\",\"caf\xc3\xa9 \xc2\x80\xc3\xbf\\\"\",\"\"]}");
}

TEST(a_key_out_of_place_is_refused_and_sticks)
{
	start(); // a value without key
	EXPECT_INT(PUT_TEXT(&writer, "v"), FOREBAY_BAD_MESSAGE);
	EXPECT_INT(PUT_KEY(&writer, "k"), FOREBAY_BAD_MESSAGE);
	EXPECT_INT(finish_error(), FOREBAY_BAD_MESSAGE);
	start(); // a key in a list
	PUT_KEY(&writer, "k");
	channel_json_writer_begin_list(&writer);
	EXPECT_INT(PUT_KEY(&writer, "k"), FOREBAY_BAD_MESSAGE);
	start(); // two keys
	PUT_KEY(&writer, "k");
	EXPECT_INT(PUT_KEY(&writer, "k"), FOREBAY_BAD_MESSAGE);
	start(); // a key without value, then the end
	PUT_KEY(&writer, "k");
	channel_json_writer_begin_object(&writer);
	PUT_KEY(&writer, "k");
	EXPECT_INT(channel_json_writer_end(&writer), FOREBAY_BAD_MESSAGE);
	start();
	PUT_KEY(&writer, "k");
	EXPECT_INT(finish_error(), FOREBAY_BAD_MESSAGE);
}

TEST(unbalanced_ends_are_refused)
{
	start();
	EXPECT_INT(channel_json_writer_end(&writer), FOREBAY_BAD_MESSAGE);
	start();
	PUT_KEY(&writer, "k");
	channel_json_writer_begin_object(&writer);
	EXPECT_INT(finish_error(), FOREBAY_BAD_MESSAGE);
}

TEST(nothing_can_be_put_after_finish)
{
	start();
	EXPECT_STRING(finished(), "{}");
	EXPECT_INT(PUT_KEY(&writer, "k"), FOREBAY_BAD_MESSAGE);
	EXPECT_INT(finish_error(), FOREBAY_BAD_MESSAGE);
}

TEST(invalid_utf8_is_refused_in_keys_and_strings)
{
	static const char *const wrong[] = {
	        "\x80", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc3", "ok until \xff"};

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		start();
		PUT_KEY(&writer, wrong[i]);
		PUT_TEXT(&writer, "v");
		EXPECT_INT(finish_error(), FOREBAY_BAD_MESSAGE);
		start();
		PUT_KEY(&writer, "k");
		PUT_TEXT(&writer, wrong[i]);
		EXPECT_INT(finish_error(), FOREBAY_BAD_MESSAGE);
	}
	// Two halves of one character don't make it whole.
	start();
	PUT_KEY(&writer, "k");
	channel_json_writer_begin_list(&writer);
	PUT_TEXT(&writer, "\xc3");
	PUT_TEXT(&writer, "\xa4");
	channel_json_writer_end(&writer);
	EXPECT_INT(finish_error(), FOREBAY_BAD_MESSAGE);
}

TEST(the_writer_nests_to_the_limit_and_no_deeper)
{
	start();
	for (int depth = 2; depth <= FOREBAY_DEPTH_MAX; depth++) {
		PUT_KEY(&writer, "k");
		EXPECT_INT(channel_json_writer_begin_object(&writer), 0);
	}
	PUT_KEY(&writer, "k");
	EXPECT_INT(channel_json_writer_begin_list(&writer), FOREBAY_BAD_MESSAGE);
}

TEST(a_message_may_be_exactly_as_large_as_the_limit)
{
	static char text[FOREBAY_MESSAGE_MAX];

	memset(text, 'x', sizeof text);
	start(); // {"k":"..."} is 8 octets more than the text
	PUT_KEY(&writer, "k");
	EXPECT_INT(channel_json_writer_put_string(&writer, text, sizeof text - 8), 0);
	EXPECT_INT(finish_error(), 0);
	start();
	PUT_KEY(&writer, "k");
	channel_json_writer_put_string(&writer, text, sizeof text - 7);
	EXPECT_INT(finish_error(), FOREBAY_TOO_LARGE);
	start();
	PUT_KEY(&writer, "k");
	memset(text, 0x01, sizeof text);
	EXPECT_INT(
	        channel_json_writer_put_string(&writer, text, sizeof text / 5), FOREBAY_TOO_LARGE);
	start(); // the writer is as new after it
	EXPECT_STRING(finished(), "{}");
}

TEST(a_zeroed_writer_may_be_ended)
{
	struct channel_json_writer zeroed = {0};

	channel_json_writer_fini(&zeroed);
	channel_json_writer_fini(&zeroed);
}

// ---------------------------------------------------------------------------------------------
// Reader
// ---------------------------------------------------------------------------------------------

static struct channel_json_reader kept_reader;
static const char *read_error;

// Reads a copy with nothing behind it, so that a sanitizer sees a read too far.
static const struct forebay_value *read_octets(const char *json, size_t length)
{
	static char *copy;

	free(copy);
	copy = malloc(length ? length : 1);
	memcpy(copy, json, length);
	read_error = NULL;
	return channel_json_read(&kept_reader, copy, length, &read_error);
}

static const struct forebay_value *read_text(const char *json)
{
	return read_octets(json, strlen(json));
}

TEST(every_type_is_read)
{
	const struct forebay_value *root = read_text(
	        " { \"s\" : \"text\" , \"n\":null,\"t\":true,\"f\":false,\"i\":-42,\"e\":\"\","
	        "\"l\":[1,\"two\",[],{}],\"o\":{\"a\":1,\"b\":2}}\r\n\t ");
	const struct forebay_value *list, *object;

	EXPECT(root && root->type == FOREBAY_TYPE_OBJECT);
	EXPECT_INT(root->length, 8);
	EXPECT(!root->key && !root->next);
	EXPECT_STRING(forebay_get(root, "s")->string, "text");
	EXPECT_INT(forebay_get(root, "s")->length, 4);
	EXPECT_INT(forebay_get(root, "n")->type, FOREBAY_TYPE_NULL);
	EXPECT_INT(forebay_get(root, "t")->integer, 1);
	EXPECT_INT(forebay_get(root, "f")->integer, 0);
	EXPECT_INT(forebay_get(root, "f")->type, FOREBAY_TYPE_BOOLEAN);
	EXPECT_INT(forebay_get(root, "i")->integer, -42);
	EXPECT_STRING(forebay_get(root, "e")->string, "");
	list = forebay_get(root, "l");
	EXPECT_INT(list->length, 4);
	EXPECT_INT(list->child->integer, 1);
	EXPECT(!list->child->key);
	EXPECT_STRING(list->child->next->string, "two");
	EXPECT(!list->child->next->next->child);
	EXPECT_INT(list->child->next->next->next->type, FOREBAY_TYPE_OBJECT);
	EXPECT(!list->child->next->next->next->next);
	object = forebay_get(root, "o");
	EXPECT_STRING(object->child->key, "a");
	EXPECT_INT(forebay_get(object, "b")->integer, 2);
	EXPECT(!forebay_get(root, "absent"));
	EXPECT(!forebay_get(list, "s"));
	EXPECT(!forebay_get(NULL, "s"));
}

TEST(the_first_of_equal_keys_counts)
{
	EXPECT_INT(forebay_get(read_text("{\"k\":1,\"kk\":2,\"k\":3}"), "k")->integer, 1);
}

// Wherever the pieces that the reader feeds yajl happen to end: inside strings, escapes, containers.
TEST(a_member_found_early_is_the_same_as_in_the_whole)
{
	for (int padding = 0; padding < 200; padding++) {
		struct channel_json_reader reader;
		const struct forebay_value *found;
		char text[1024], copy[1024];
		int length = snprintf(text, sizeof text,
		        "{\"pad\":\"%*s\",\"a\\u0062c\":\"\\\"x\\\\\",\"list\":[\"p\",-12345,"
		        "\"q\\n\"],"
		        "\"number\":67890,\"last\":\"%*s\"} ",
		        padding, "", padding, "");

		memcpy(copy, text, (size_t)length + 1);
		channel_json_reader_init(&reader);
		channel_json_begin(&reader, copy, (size_t)length);
		found = channel_json_find(&reader, "abc");
		EXPECT(found && found->length == 3);
		EXPECT_STRING(found->string, "\"x\\");
		EXPECT(padding < 100 || reader.yajl);
		found = channel_json_find(&reader, "list");
		EXPECT(found && found->length == 3);
		EXPECT_INT(found->child->next->integer, -12345);
		EXPECT_STRING(found->child->next->next->string, "q\n");
		EXPECT_INT(channel_json_find(&reader, "number")->integer, 67890);
		EXPECT(!channel_json_find(&reader, "absent"));
		EXPECT(channel_json_finish(&reader, NULL) && reader.root->length == 5);
		channel_json_reader_fini(&reader);
	}
}

// Else who looks for what isn't at the front of many members looks at each as often as there are pieces behind it.
TEST(pieces_grow_with_what_was_read)
{
	static char text[100000];
	struct channel_json_reader reader;
	size_t length = 0;

	text[length++] = '{';
	while (length < sizeof text - 16)
		length += (size_t)sprintf(
		        text + length, length == 49999 ? "\"here\":2," : "\"a\":1,");
	length += (size_t)sprintf(text + length, "\"b\":1}");
	channel_json_reader_init(&reader);
	channel_json_begin(&reader, text, length);
	EXPECT_INT(channel_json_find(&reader, "here")->integer, 2);
	EXPECT(reader.yajl);                         // no further than that needs ...
	EXPECT(reader.fed - reader.consumed > 9000); // ... but not in small steps
	channel_json_reader_fini(&reader);
}

TEST(what_is_found_before_an_error_stays_and_the_whole_is_refused)
{
	struct channel_json_reader reader;
	char text[256];
	const char *error;

	snprintf(text, sizeof text, "{\"a\":\"b\",\"pad\":\"%100s\",]", "");
	channel_json_reader_init(&reader);
	channel_json_begin(&reader, text, strlen(text));
	EXPECT_STRING(channel_json_find(&reader, "a")->string, "b");
	EXPECT(!channel_json_find(&reader, "x"));
	EXPECT(!channel_json_finish(&reader, &error));
	EXPECT_STRING(error, "malformed JSON");
	channel_json_reader_fini(&reader);
}

TEST(strings_are_unescaped_in_place)
{
	const struct forebay_value *root =
	        read_text("{\"\\u006bey\":\"\\\"\\\\\\/"
	                  "\\b\\f\\n\\r\\t\",\"u\":\"\\u00e9\\u20AC\\ud83d\\ude00!\","
	                  "\"nul\":\"a\\u0000b\",\"\\u0000\":1,\"plain\":\"after\"}");

	EXPECT(root);
	EXPECT_STRING(forebay_get(root, "key")->string, "\"\\/\b\f\n\r\t");
	EXPECT_INT(forebay_get(root, "key")->length, 8);
	EXPECT_STRING(forebay_get(root, "u")->string, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80!");
	EXPECT_INT(forebay_get(root, "nul")->length, 3);
	EXPECT(memcmp(forebay_get(root, "nul")->string, "a\0b", 4) == 0);
	EXPECT(!forebay_get(root, "")); // a key that is one NUL is not the empty key
	EXPECT_STRING(forebay_get(root, "plain")->string, "after");
}

TEST(numbers_are_integers_if_they_fit)
{
	const struct forebay_value *list = forebay_get(
	        read_text("{\"l\":[9223372036854775807,-9223372036854775808,9223372036854775808,"
	                  "-9223372036854775809,1.5,1e3,-0,0,18446744073709551616,-0.0]}"),
	        "l");
	static const struct {
		const char *text; // of a NUMBER
		int64_t integer;
	} expected[] = {{NULL, INT64_MAX}, {NULL, INT64_MIN}, {"9223372036854775808", 0},
	        {"-9223372036854775809", 0}, {"1.5", 0}, {"1e3", 0}, {NULL, 0}, {NULL, 0},
	        {"18446744073709551616", 0}, {"-0.0", 0}};

	EXPECT(list);
	for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
		const struct forebay_value *value = list->child;

		for (size_t skip = 0; skip < i; skip++)
			value = value->next;
		if (expected[i].text) {
			EXPECT_INT(value->type, FOREBAY_TYPE_NUMBER);
			EXPECT_STRING(value->string, expected[i].text);
			EXPECT_INT(value->length, strlen(expected[i].text));
		} else {
			EXPECT_INT(value->type, FOREBAY_TYPE_INTEGER);
			EXPECT_INT(value->integer, expected[i].integer);
		}
	}
}

TEST(malformed_text_is_refused)
{
	static const char *const wrong[] = {"", " ", "{", "}", "{}}", "{} x", "{}{}", "{},", "[]",
	        "[{}]", "1", "1.5", " 1.5 ", "\"s\"", "null", "true", "{\"a\"}", "{\"a\":}",
	        "{\"a\":1,}", "{\"a\":1", "{\"a\":1.5", "{\"a\":\"b", "{\"a", "{\"a\":\"\\",
	        "{1:2}", "{\"a\":[1,]}", "{\"a\":[}", "{\"a\":01}", "{\"a\":+1}", "{\"a\":.5}",
	        "{\"a\":1.}", "{\"a\":0x1}", "{\"a\":NaN}", "{\"a\":tru}", "{'a':1}",
	        "{\"a\":1 /* no */}", "/**/{}", "{\"a\":\"\n\"}", "{\"a\":\"\x01\"}",
	        "{\"a\":\"\\x\"}", "{\"a\":\"\\u12\"}", "{\"a\":\"\\u12g4\"}", "\xef\xbb\xbf{}",
	        "{\"a\":\"\xc0\xaf\"}", "{\"a\":\"\xed\xa0\x80\"}", "{\"a\":\"\xf4\x90\x80\x80\"}",
	        "{\"\xff\":1}", "{\"a\":\"\\ud800\"}", "{\"a\":\"\\udc00\"}",
	        "{\"a\":\"\\ud800\\u0041\"}", "{\"a\":\"\\ud800\\ud800\"}",
	        "{\"a\":\"\\udc00\\ud800\"}", "{\"\\uD800x\":1}", "{\"a\":\"\\ud800\\",
	        "{\"a\":\"\\\\\\ud800\"}"};

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		const struct forebay_value *root = read_text(wrong[i]);

		if (root)
			printf("# accepted: %s\n", wrong[i]);
		EXPECT(!root);
		EXPECT(read_error);
	}
	EXPECT(!read_octets("{}\0", 3));
	EXPECT(!read_octets("{\"a\":\"\0\"}", 9));
	EXPECT(read_text("{\"a\":\"\\\\ud800\"}")); // a backslash, not a surrogate
}

// {"k":[[[...]]]} with DEPTH levels, the root among them.
static const struct forebay_value *read_nested(size_t depth, bool closed)
{
	static char text[FOREBAY_MESSAGE_MAX];
	size_t lists = depth - 1, length = 5;

	memcpy(text, "{\"k\":", 5);
	memset(text + length, '[', lists);
	length += lists;
	if (closed) {
		memset(text + length, ']', lists);
		length += lists;
		text[length++] = '}';
	}
	return read_octets(text, length);
}

TEST(the_reader_takes_nesting_to_the_limit_and_no_deeper)
{
	EXPECT(read_nested(FOREBAY_DEPTH_MAX, true));
	EXPECT(!read_nested(FOREBAY_DEPTH_MAX + 1, true));
	EXPECT(!read_nested(FOREBAY_MESSAGE_MAX - 100, false));
	EXPECT_STRING(read_error, "nested too deep");
}

// A text of the largest size, of "PART," as often as it fits.
static const struct forebay_value *read_repeated(const char *part)
{
	static char text[FOREBAY_MESSAGE_MAX + 1];
	size_t length = 5, part_length = strlen(part);

	memcpy(text, "{\"k\":[", 6);
	length = 6;
	while (length + part_length + 3 <= FOREBAY_MESSAGE_MAX) {
		memcpy(text + length, part, part_length);
		length += part_length;
		text[length++] = ',';
	}
	text[length - 1] = ']';
	text[length++] = '}';
	return read_octets(text, length);
}

TEST(memory_is_bounded_whatever_the_text)
{
	static const char *const parts[] = {"0", "[]", "{}", "\"\"", "1.5", "\"\\n\"", "[[],[]]"};

	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
		const struct forebay_value *root = read_repeated(parts[i]);

		EXPECT(root);
		EXPECT(forebay_get(root, "k")->length > 100000);
		EXPECT(kept_reader.peak <= CHANNEL_JSON_READER_MAX);
	}
	EXPECT(read_text("{}"));
	EXPECT(kept_reader.memory < 1u << 20); // given back
}

TEST(one_long_string_is_read_with_and_without_escapes)
{
	static char text[FOREBAY_MESSAGE_MAX + 1];
	const struct forebay_value *root;

	memset(text, 'x', sizeof text);
	memcpy(text, "{\"k\":\"", 6);
	memcpy(text + FOREBAY_MESSAGE_MAX - 2, "\"}", 2);
	root = read_octets(text, FOREBAY_MESSAGE_MAX);
	EXPECT(root);
	EXPECT_INT(forebay_get(root, "k")->length, FOREBAY_MESSAGE_MAX - 8);
	memcpy(text + FOREBAY_MESSAGE_MAX - 4, "\\n\"}", 4);
	root = read_octets(text, FOREBAY_MESSAGE_MAX);
	EXPECT(root);
	EXPECT_INT(forebay_get(root, "k")->length, FOREBAY_MESSAGE_MAX - 9);
	EXPECT_INT(strlen(forebay_get(root, "k")->string), FOREBAY_MESSAGE_MAX - 9);
	EXPECT(!read_octets(text, FOREBAY_MESSAGE_MAX - 2)); // breaks off
	EXPECT(!read_octets(text, FOREBAY_MESSAGE_MAX + 1));
	EXPECT(kept_reader.peak <= CHANNEL_JSON_READER_MAX);
}

TEST(what_is_read_can_be_written_again)
{
	static const char json[] =
	        "{\"a\":[1,[2,[]],{\"b\":{},\"c\":null}],\"n\":1.50,\"e\":-1e400,"
	        "\"s\":\"\\u0000\\n\xc3\xa9\",\"t\":true,\"last\":[[[\"x\"]]]}";
	const struct forebay_value *root = read_text(json);

	EXPECT(root);
	start();
	for (const struct forebay_value *at = root->child; at; at = at->next) {
		channel_json_writer_put_key(&writer, at->key, at->key_length);
		EXPECT_INT(channel_json_writer_put_value(&writer, at), 0);
	}
	EXPECT_STRING(finished(), json);
}

TEST(a_value_that_would_nest_too_deep_is_not_written)
{
	const struct forebay_value *root = read_nested(FOREBAY_DEPTH_MAX, true);

	EXPECT(root);
	start();
	PUT_KEY(&writer, "k");
	EXPECT_INT(channel_json_writer_put_value(&writer, root->child), 0);
	start();
	PUT_KEY(&writer, "k");
	EXPECT_INT(channel_json_writer_put_value(&writer, root), FOREBAY_BAD_MESSAGE);
}

TEST(a_zeroed_reader_may_be_ended)
{
	struct channel_json_reader zeroed = {0};

	channel_json_reader_fini(&zeroed);
	channel_json_reader_fini(&zeroed);
}

// ---------------------------------------------------------------------------------------------
// Both
// ---------------------------------------------------------------------------------------------

TEST(escaped_lengths_are_those_of_the_writer)
{
	char text[40];

	for (int octet = 0; octet < 128; octet++) {
		for (size_t length = 1; length <= sizeof text; length += 13) {
			size_t expected;
			const char *json;

			memset(text, 'a', sizeof text);
			text[length - 1] = (char)octet;
			text[length / 2] = (char)octet;
			start();
			PUT_KEY(&writer, "");
			channel_json_writer_put_string(&writer, text, length);
			json = finished();
			EXPECT(json);
			expected = strlen(json) - strlen("{\"\":\"\"}");
			EXPECT_INT(channel_json_escaped_length(text, length), expected);
		}
	}
}

// Writes and reads a message as large as a usual request.
static void round_trip(void)
{
	static char text[4096];
	const char *json;
	size_t length;

	start();
	for (int member = 0; member < 25; member++) {
		PUT_KEY(&writer, "a key");
		channel_json_writer_put_latin1(&writer, "a value \xe9\n", 10);
	}
	EXPECT_INT(channel_json_writer_finish(&writer, &json, &length), 0);
	EXPECT(length < sizeof text);
	memcpy(text, json, length);
	EXPECT(channel_json_read(&kept_reader, text, length, NULL));
}

TEST(memory_stays_where_it_is_between_messages)
{
	struct channel_json_writer writer_before;
	struct channel_json_reader reader_before;

	round_trip();
	writer_before = writer;
	reader_before = kept_reader;
	for (int i = 0; i < 100; i++)
		round_trip();
	EXPECT(writer.gen == writer_before.gen);
	EXPECT(writer.json == writer_before.json && writer.size == writer_before.size);
	EXPECT(writer.utf8 == writer_before.utf8);
	EXPECT(kept_reader.chunks == reader_before.chunks);
	EXPECT(kept_reader.scratch.octets == reader_before.scratch.octets);
	EXPECT_INT(kept_reader.memory, reader_before.memory);
}
