// SPDX-License-Identifier: MIT
// test_status.c - how the status is written: quoting, numbers, and when the last look at the layer will do.
#include "server/status.h"

#include <math.h>
#include <unistd.h>

#include "channel/usage.h"
#include "tests/test.h"

static uint32_t usages_read;

// Instead of the library's: it counts.
bool channel_usage_read(const char *proc, int32_t pid, struct channel_usage *usage)
{
	(void)proc;
	(void)pid;
	*usage = (struct channel_usage){.ticks = 100, .resident = 4096};
	usages_read++;
	return true;
}

// What TEXT holds, as a string that is good until the next call.
static const char *take(struct status_text *text)
{
	static char copy[256];

	snprintf(copy, sizeof copy, "%.*s", (int)text->length, text->data ? text->data : "");
	status_text_fini(text);
	return copy;
}

TEST(labels_and_helps_are_quoted_as_prometheus_does)
{
	struct status_text text = {0};

	status_text_label(&text, "a\"b\\c\nd\xc3\xa4");
	EXPECT_STRING(take(&text), "\"a\\\"b\\\\c\\nd\xc3\xa4\"");
	status_text_help(&text, "a\"b\\c\nd");
	EXPECT_STRING(take(&text), "a\"b\\\\c\\nd");
	status_text_label(&text, "");
	EXPECT_STRING(take(&text), "\"\"");
}

TEST(json_strings_are_json_whatever_is_in_them)
{
	struct status_text text = {0};

	status_text_json(&text, "a\"b\\c\nd\x01\xc3\xa4");
	EXPECT_STRING(take(&text), "\"a\\\"b\\\\c\\nd\\u0001\xc3\xa4\"");
	status_text_json(&text, "\xff");
	EXPECT_STRING(take(&text), "\"\\u00ff\"");
}

TEST(numbers_have_the_digits_they_need)
{
	static const struct {
		double number;
		const char *shown, *json;
	} cases[] = {
	        {0, "0", "0"},
	        {-1, "-1", "-1"},
	        {0.1, "0.1", "0.1"},
	        {123456789012345, "123456789012345", "123456789012345"},
	        {9007199254740991, "9007199254740991", "9007199254740991"},
	        {0.1 + 0.2, "0.30000000000000004", "0.30000000000000004"},
	        {1e300, "1e+300", "1e+300"},
	        {INFINITY, "+Inf", "null"},
	        {-INFINITY, "-Inf", "null"},
	        {NAN, "NaN", "null"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct status_text text = {0};

		status_text_number(&text, cases[i].number);
		EXPECT_STRING(take(&text), cases[i].shown);
		status_text_json_number(&text, cases[i].number);
		EXPECT_STRING(take(&text), cases[i].json);
	}
}

TEST(a_text_grows_by_what_is_printed_of_any_length)
{
	static char line[3000];
	struct status_text text = {0};

	memset(line, 'x', sizeof line - 1);
	for (int i = 0; i < 100; i++) {
		status_text_print(&text, "%s", line);
		status_text_print(&text, "%d\n", i % 10);
	}
	EXPECT(!text.failed);
	EXPECT_INT(text.length, 100 * (sizeof line + 1));
	for (int i = 0; i < 100; i++) {
		const char *end = text.data + (size_t)(i + 1) * (sizeof line + 1);

		EXPECT(end[-3] == 'x' && end[-2] == '0' + i % 10 && end[-1] == '\n');
	}
	status_text_fini(&text);
	status_text_fini(&text);
}

TEST(a_look_that_was_cheap_is_taken_again_each_time)
{
	struct status_look look = {.at = 1000000, .cost = STATUS_LOOK_LEAST};

	EXPECT(!status_look_is_fresh(&(struct status_look){0}, 0));
	EXPECT(!status_look_is_fresh(&look, look.at));
}

TEST(a_look_that_was_not_will_do_for_some_time)
{
	struct status_look look = {.at = 1000000, .cost = STATUS_LOOK_LEAST + 1};

	EXPECT(status_look_is_fresh(&look, look.at + STATUS_LOOK_SHARE * look.cost - 1));
	EXPECT(!status_look_is_fresh(&look, look.at + STATUS_LOOK_SHARE * look.cost));
}

TEST(a_text_takes_another_in_with_its_failure)
{
	struct status_text text = {0}, other = {0};

	status_text_append(&text, &other);
	EXPECT_INT(text.length, 0);
	status_text_print(&text, "a");
	status_text_print(&other, "%s", "bc");
	status_text_append(&text, &other);
	EXPECT_STRING(take(&text), "abc");
	EXPECT_STRING(take(&other), "bc");
	other.failed = true;
	status_text_append(&text, &other);
	EXPECT(text.failed);
}

// How often WORD is in TEXT.
static int count_word(const char *text, const char *word)
{
	int count = 0;

	for (; (text = strstr(text, word)); text++)
		count++;
	return count;
}

TEST(of_each_process_the_kernel_is_asked_once)
{
	const struct forebay_options options = {.size = 8 << 20, .reply_channels = 64};
	struct forebay *layers[2];
	struct forebay_layer_stat stat;
	struct status_text text = {0};
	char *page;

	setenv("FOREBAY_DIR", test_directory, 1);
	for (int i = 0; i < 2; i++)
		EXPECT_INT(forebay_open("status", &options, &layers[i]), 0);
	EXPECT_INT(forebay_stat(layers[0], &stat), 0);
	usages_read = 0;
	status_write_metrics(&text, layers[0], &stat);
	EXPECT_INT(usages_read, 2);
	EXPECT(!text.failed);
	page = strndup(text.data, text.length);
	EXPECT_INT(count_word(page, "\nforebay_process_cpu_seconds_total{"), 2);
	EXPECT_INT(count_word(page, "\nforebay_process_resident_memory_bytes{"), 2);
	EXPECT(count_word(page, "\"} 4096\n") == 2);
	free(page);
	status_text_fini(&text);
	for (int i = 0; i < 2; i++)
		forebay_close(layers[i]);
}
