// SPDX-License-Identifier: MIT
// test_log.c - the event log: what a line looks like, and what it can't be made to look like.
#include "server/log.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "server/escape.h"

#include "tests/test.h"

static char path[64];
static char content[65536];

// Begins a new, empty log.
static int begin(enum log_level level, enum log_format format)
{
	snprintf(path, sizeof(path), "%s/log", test_directory);
	unlink(path);
	log_set_role("worker %d", 2);
	return log_init(path, level, format);
}

// Reads what was logged so far, and removes it.
static char *end(void)
{
	int fd = open(path, O_RDONLY);
	ssize_t length = read(fd, content, sizeof(content) - 1);

	close(fd);
	unlink(path);
	content[length > 0 ? length : 0] = '\0';
	return content;
}

// The first line from the level on: without its time, which ends at the first space.
static const char *after_time(const char *line)
{
	const char *space = strchr(line, ' ');

	return space ? space + 1 : "(no space)";
}

TEST(a_line_has_time_level_role_and_message)
{
	int year, month, day, hour, minute, second, ms, zone;

	EXPECT_INT(begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT), 0);
	log_warning("%d of %s", 3, "them");
	end();
	EXPECT_STRING(after_time(content), "warning worker 2: 3 of them\n");
	EXPECT_INT(sscanf(content, "%d-%d-%dT%d:%d:%d.%3d%5d ", &year, &month, &day, &hour, &minute,
	                   &second, &ms, &zone),
	        8);
}

TEST(less_severe_events_are_left_out)
{
	EXPECT_INT(begin(LOG_LEVEL_WARNING, LOG_FORMAT_TEXT), 0);
	log_info("no");
	log_debug("no");
	log_error("yes");
	EXPECT_STRING(after_time(end()), "error worker 2: yes\n");
}

TEST(control_characters_cannot_forge_a_line)
{
	EXPECT_INT(begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT), 0);
	log_info("a%sb", "\r\n2026-01-01 error master: \x1b[2J\x7f\xc2\x85\xff");
	EXPECT_STRING(after_time(end()),
	        "info worker 2: a\\r\\n2026-01-01 error master: \\x1b[2J\\x7f\\xc2\\x85\\xffb\n");
}

TEST(text_beyond_ascii_stays_as_it_is)
{
	EXPECT_INT(begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT), 0);
	log_info("grüße €😀");
	EXPECT_STRING(after_time(end()), "info worker 2: grüße €😀\n");
}

TEST(json_is_one_escaped_object_a_line)
{
	char expected[256];

	EXPECT_INT(begin(LOG_LEVEL_INFO, LOG_FORMAT_JSON), 0);
	log_info("a \"quoted\\\" \n\x01 ü\xff");
	end();
	snprintf(expected, sizeof(expected),
	        "\",\"level\":\"info\",\"role\":\"worker 2\",\"pid\":%d,\"message\":"
	        "\"a \\\"quoted\\\\\\\" \\n\\u0001 ü\\u00ff\"}\n",
	        (int)getpid());
	EXPECT(strncmp(content, "{\"time\":\"20", 11) == 0);
	EXPECT(strstr(content, expected));
}

TEST(a_long_message_is_cut)
{
	char message[LOG_MESSAGE_MAX + 100];

	memset(message, '\n', sizeof(message) - 1);
	message[sizeof(message) - 1] = '\0';
	EXPECT_INT(begin(LOG_LEVEL_INFO, LOG_FORMAT_JSON), 0);
	log_info("%s", message);
	end();
	EXPECT(strstr(content, "\\n...\"}\n"));
	EXPECT(strlen(content) < 2 * LOG_MESSAGE_MAX + 200);
}

TEST(errno_survives)
{
	EXPECT_INT(begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT), 0);
	errno = EXDEV;
	log_info("x");
	log_limited(LOG_LEVEL_INFO, "x");
	EXPECT_INT(errno, EXDEV);
	end();
}

// Logs COUNT events of one site. That they are told by and by isn't due before the test says so.
static void repeat(struct log_limit *limit, int count, const char *format)
{
	for (int i = 0; i < count; i++) {
		log_event_limited(limit, LOG_LEVEL_WARNING, format, i);
		limit->until = INT64_MAX;
	}
}

TEST(repeats_are_counted_and_reported)
{
	static struct log_limit limit;
	char *second;

	EXPECT_INT(begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT), 0);
	repeat(&limit, 5, "request %d is bad");
	log_tick(true);
	log_tick(true);
	second = strchr(end(), '\n');
	EXPECT(second);
	*second++ = '\0';
	EXPECT_STRING(after_time(content), "warning worker 2: request 0 is bad");
	EXPECT_STRING(after_time(second),
	        "warning worker 2: 4 more like this, the last: request 4 is bad\n");
}

TEST(a_long_repeat_is_cut)
{
	static struct log_limit limit;

	EXPECT_INT(begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT), 0);
	repeat(&limit, 2, "%01000d");
	log_tick(true);
	EXPECT(strstr(end(), "1 more like this, the last: 000"));
	EXPECT(strstr(content, "000...\n"));
}

TEST(a_new_role_forgets_repeats_of_the_parent)
{
	static struct log_limit limit;

	EXPECT_INT(begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT), 0);
	repeat(&limit, 5, "bad %d");
	log_set_role("worker %d", 3);
	log_tick(true);
	EXPECT(!strstr(end(), "more like this"));
}

TEST(a_rotated_log_goes_on_in_a_new_file)
{
	char rotated[80];

	EXPECT_INT(begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT), 0);
	snprintf(rotated, sizeof(rotated), "%s.1", path);
	log_info("before");
	EXPECT_INT(rename(path, rotated), 0);
	log_info("still there");
	EXPECT_INT(log_reopen(), 0);
	log_info("after");
	EXPECT_STRING(after_time(end()), "info worker 2: after\n");
	unlink(rotated);
}

TEST(a_file_that_cannot_be_opened_leaves_the_former)
{
	EXPECT_INT(begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT), 0);
	EXPECT_INT(log_init("/nonexistent/log", LOG_LEVEL_ERROR, LOG_FORMAT_JSON), -ENOENT);
	log_info("here");
	EXPECT_STRING(after_time(end()), "info worker 2: here\n");
	EXPECT_INT(log_init("-", LOG_LEVEL_INFO, LOG_FORMAT_TEXT), 0);
}

TEST(a_reader_that_stalls_is_not_waited_for)
{
	enum { EVENTS = 2000 };
	char text[1000], *last;
	int ends[2], flags, events = 0, lost = 0, errors = dup(STDERR_FILENO);
	ssize_t length;

	memset(text, 'x', sizeof(text));
	EXPECT_INT(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	log_set_role("worker %d", 2);
	EXPECT_INT(log_init("-", LOG_LEVEL_INFO, LOG_FORMAT_TEXT), 0);
	for (int i = 0; i < EVENTS; i++)
		log_info("event %.*s", (int)sizeof(text), text);
	// It is others' standard error output too.
	flags = fcntl(STDERR_FILENO, F_GETFL);
	length = read(ends[0], content, sizeof(content) - 1);
	log_info("the last");
	dup2(errors, STDERR_FILENO);
	close(errors);
	close(ends[1]);
	EXPECT_INT(flags & O_NONBLOCK, 0);
	EXPECT(length > 0);
	content[length] = '\0';
	for (char *at = content; (at = strstr(at, "event x")); at++)
		events++;
	length = read(ends[0], content, sizeof(content) - 1);
	close(ends[0]);
	EXPECT(length > 0);
	content[length] = '\0';
	last = strchr(content, '\n');
	EXPECT_INT(sscanf(after_time(content), "warning worker 2: %d events before this were lost",
	                   &lost),
	        1);
	EXPECT_INT(events + lost, EVENTS);
	EXPECT_STRING(after_time(last + 1), "info worker 2: the last\n");
}

TEST(no_octet_becomes_more_than_the_factor)
{
	for (int octet = 0; octet < 256; octet++) {
		for (int style = ESCAPE_TEXT; style <= ESCAPE_JSON_LATIN1; style++) {
			char in = (char)octet, out[ESCAPE_FACTOR];
			size_t length = escape(out, (enum escape_style)style, &in, 1);

			EXPECT(length >= 1 && length <= ESCAPE_FACTOR);
			for (size_t i = 0; i < length; i++)
				EXPECT(out[i] >= ' ' && out[i] < 0x7f);
		}
	}
}
