// SPDX-License-Identifier: MIT
// test_access_log.c - lines of requests: their format, their escapes, and that none is lost or torn.
#include "server/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/test.h"

static char path[64];
static char content[2 << 20];

#define VIEW(TEXT)                                                                                 \
	{                                                                                          \
		(TEXT), sizeof(TEXT) - 1                                                           \
	}

static struct access_log_entry usual_entry(void)
{
	return (struct access_log_entry){
	        .remote = VIEW("127.0.0.1"),
	        .method = VIEW("GET"),
	        .target = VIEW("/a?b=c"),
	        .protocol = VIEW("HTTP/1.1"),
	        .user_agent = VIEW("curl/8"),
	        .status = 200,
	        .bytes = 12,
	        .request_us = 1000123,
	        .consumer_us = 45,
	        .connection = 3,
	        .request = 1,
	};
}

static int begin(enum access_log_format format)
{
	snprintf(path, sizeof(path), "%s/log", test_directory);
	unlink(path);
	return access_log_open(path, format);
}

static const char *read_log(void)
{
	int fd = open(path, O_RDONLY);
	ssize_t length = read(fd, content, sizeof(content) - 1);

	close(fd);
	content[length > 0 ? length : 0] = '\0';
	return content;
}

static const char *end(void)
{
	access_log_close();
	read_log();
	unlink(path);
	return content;
}

// What follows the time in the first combined line.
static const char *after_time(const char *line)
{
	const char *bracket = strstr(line, "] ");

	return bracket ? bracket + 2 : "(no bracket)";
}

TEST(combined_is_followed_by_the_two_times)
{
	struct access_log_entry entry = usual_entry();

	EXPECT_INT(begin(ACCESS_LOG_COMBINED), 0);
	access_log_write(&entry);
	end();
	EXPECT(strncmp(content, "127.0.0.1 - - [", 15) == 0);
	EXPECT_STRING(after_time(content),
	        "\"GET /a?b=c HTTP/1.1\" 200 12 \"-\" \"curl/8\" 1.000123 0.000045\n");
}

TEST(what_is_not_known_is_a_dash)
{
	struct access_log_entry entry = {.status = 400, .consumer_us = -1};

	EXPECT_INT(begin(ACCESS_LOG_COMBINED), 0);
	access_log_write(&entry);
	EXPECT_STRING(after_time(end()), "\"-\" 400 0 \"-\" \"-\" 0.000000 -\n");
}

TEST(octets_of_the_client_are_escaped_as_nginx_does)
{
	struct access_log_entry entry = usual_entry();

	entry.referer = (struct access_log_view)VIEW("\" 200 \\\n\x7f\xc3\xa9");
	EXPECT_INT(begin(ACCESS_LOG_COMBINED), 0);
	access_log_write(&entry);
	EXPECT(strstr(end(), "\"\\x22 200 \\x5C\\x0A\\x7F\\xC3\\xA9\""));
}

TEST(json_reads_octets_as_latin1)
{
	struct access_log_entry entry = usual_entry();
	const char *found;

	entry.target = (struct access_log_view)VIEW("/\"\\\n\xe9");
	entry.consumer_us = -1;
	EXPECT_INT(begin(ACCESS_LOG_JSON), 0);
	access_log_write(&entry);
	found = strstr(end(), ",\"remote\"");
	EXPECT(strncmp(content, "{\"time\":\"", 9) == 0);
	EXPECT_STRING(found,
	        ",\"remote\":\"127.0.0.1\",\"method\":\"GET\","
	        "\"target\":\"/\\\"\\\\\\n\\u00e9\",\"protocol\":\"HTTP/1.1\","
	        "\"status\":200,\"bytes\":12,\"referer\":\"\",\"user_agent\":\"curl/8\","
	        "\"request_time\":1.000123,\"consumer_time\":null,"
	        "\"connection\":3,\"request\":1}\n");
}

TEST(lines_wait_in_the_buffer_until_a_flush)
{
	struct access_log_entry entry = usual_entry();

	EXPECT_INT(begin(ACCESS_LOG_COMBINED), 0);
	access_log_write(&entry);
	EXPECT_STRING(read_log(), "");
	access_log_flush();
	EXPECT(strlen(read_log()) > 0);
	end();
}

TEST(the_longest_line_is_cut_and_fits)
{
	static char huge[100000];
	struct access_log_view view = {huge, sizeof(huge)};
	struct access_log_entry entry = {view, view, view, view, view, view, 200, UINT64_MAX,
	        INT64_MAX, INT64_MAX, UINT64_MAX, UINT64_MAX};

	memset(huge, 1, sizeof(huge));
	for (int format = ACCESS_LOG_COMBINED; format <= ACCESS_LOG_JSON; format++) {
		EXPECT_INT(begin((enum access_log_format)format), 0);
		for (int i = 0; i < 5; i++)
			access_log_write(&entry);
		end();
		EXPECT(strlen(content) < 5 * 65536);
		EXPECT(strstr(content, "..."));
	}
}

static int count_lines(const char *text)
{
	int count = 0;

	for (; (text = strchr(text, '\n')); text++)
		count++;
	return count;
}

// Whether every line of TEXT ends as the usual entry does.
static bool lines_are_whole(char *text)
{
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		if (strncmp(line, "127.0.0.1 ", 10) != 0 ||
		        strcmp(line + strlen(line) - 17, "1.000123 0.000045") != 0)
			return false;
	return true;
}

TEST(workers_that_share_a_file_lose_and_tear_nothing)
{
	struct access_log_entry entry = usual_entry();

	EXPECT_INT(begin(ACCESS_LOG_COMBINED), 0);
	for (int i = 0; i < 3; i++) {
		if (fork() == 0) {
			access_log_open(path, ACCESS_LOG_COMBINED);
			for (int k = 0; k < 2000; k++)
				access_log_write(&entry);
			access_log_close();
			_exit(0);
		}
	}
	while (wait(NULL) > 0)
		;
	end();
	EXPECT_INT(count_lines(content), 6000);
	EXPECT(lines_are_whole(content));
}

TEST(writers_to_a_pipe_tear_nothing)
{
	struct access_log_entry entry = usual_entry();
	int ends[2], output = dup(STDOUT_FILENO);
	size_t used = 0;
	ssize_t length;

	fflush(stdout);
	EXPECT_INT(pipe(ends), 0);
	dup2(ends[1], STDOUT_FILENO);
	EXPECT_INT(access_log_open("-", ACCESS_LOG_COMBINED), 0);
	for (int i = 0; i < 3; i++) {
		if (fork() == 0) {
			for (int k = 0; k < 2000; k++)
				access_log_write(&entry);
			access_log_close();
			_exit(0);
		}
	}
	access_log_close();
	dup2(output, STDOUT_FILENO);
	close(output);
	close(ends[1]);
	while ((length = read(ends[0], content + used, sizeof(content) - 1 - used)) > 0)
		used += (size_t)length;
	content[used] = '\0';
	close(ends[0]);
	while (wait(NULL) > 0)
		;
	EXPECT_INT(count_lines(content), 6000);
	EXPECT(lines_are_whole(content));
}

// A FIFO that nobody has opened, so that opening it with a mere O_WRONLY would wait for a reader.
static int make_fifo(void)
{
	snprintf(path, sizeof(path), "%s/fifo", test_directory);
	return mkfifo(path, 0600);
}

// Reads what there is, behind USED octets of the content; the end of the pipe need not come.
static size_t read_pipe(int fd, size_t used)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};

	while (poll(&ready, 1, 0) > 0) {
		ssize_t length = read(fd, content + used, sizeof(content) - 1 - used);

		if (length <= 0)
			break;
		used += (size_t)length;
	}
	content[used] = '\0';
	return used;
}

TEST(a_reader_that_stalls_is_not_waited_for)
{
	enum { LINES = 20000 }; // more than pipe and buffer hold
	struct access_log_entry entry = usual_entry();
	uint64_t lost;
	int fd;

	EXPECT_INT(make_fifo(), 0);
	EXPECT_INT(access_log_open(path, ACCESS_LOG_COMBINED), 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < LINES; i++)
		access_log_write(&entry);
	lost = access_log_report();
	EXPECT(lost > 0 && lost < LINES);
	EXPECT_INT((int64_t)access_log_report(), 0);
	// It goes on with what was kept, and with what comes now.
	size_t used = read_pipe(fd, 0);
	access_log_write(&entry);
	access_log_close();
	read_pipe(fd, used);
	close(fd);
	EXPECT_INT(count_lines(content), LINES - (int)lost + 1);
	EXPECT(lines_are_whole(content));
}

// The standard output is others' too: they are to find it as it was.
TEST(an_inherited_pipe_stays_blocking_and_is_not_waited_for)
{
	struct access_log_entry entry = usual_entry();
	int ends[2], output = dup(STDOUT_FILENO), flags;

	fflush(stdout);
	EXPECT_INT(pipe(ends), 0);
	dup2(ends[1], STDOUT_FILENO);
	EXPECT_INT(access_log_open("-", ACCESS_LOG_COMBINED), 0);
	for (int i = 0; i < 20000; i++)
		access_log_write(&entry);
	flags = fcntl(STDOUT_FILENO, F_GETFL);
	access_log_close();
	dup2(output, STDOUT_FILENO);
	close(output);
	close(ends[1]);
	read_pipe(ends[0], 0);
	close(ends[0]);
	EXPECT_INT(flags & O_NONBLOCK, 0);
	EXPECT(count_lines(content) > 0);
	EXPECT(lines_are_whole(content));
}

TEST(lines_that_a_full_disk_refuses_are_counted)
{
	struct access_log_entry entry = usual_entry();

	EXPECT_INT(access_log_open("/dev/full", ACCESS_LOG_COMBINED), 0);
	for (int i = 0; i < 3; i++)
		access_log_write(&entry);
	access_log_flush();
	EXPECT_INT((int64_t)access_log_report(), 3);
	access_log_close();
}

TEST(a_rotated_log_goes_on_in_a_new_file)
{
	struct access_log_entry entry = usual_entry();
	char rotated[80];

	EXPECT_INT(begin(ACCESS_LOG_COMBINED), 0);
	snprintf(rotated, sizeof(rotated), "%s.1", path);
	access_log_write(&entry);
	EXPECT_INT(rename(path, rotated), 0);
	EXPECT_INT(access_log_reopen(), 0);
	EXPECT_STRING(read_log(), "");
	access_log_write(&entry);
	EXPECT_INT(count_lines(end()), 1);
	EXPECT_INT(rename(rotated, path), 0);
	EXPECT_INT(count_lines(read_log()), 1);
	unlink(path);
}

TEST(off_writes_nothing)
{
	struct access_log_entry entry = usual_entry();

	EXPECT_INT(access_log_open("off", ACCESS_LOG_COMBINED), 0);
	EXPECT(!access_log_enabled());
	access_log_write(&entry);
	access_log_close();
	EXPECT_INT(access_log_open("/nonexistent/log", ACCESS_LOG_COMBINED), -ENOENT);
}
