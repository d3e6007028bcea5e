// SPDX-License-Identifier: MIT
// test_listener.c - addresses are read, bound, taken over at a reload, and cleaned up.
#include "server/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/test.h"

static char error[LISTENER_ERROR_SIZE];

static int open_both(struct listener_set *set, struct listener_set *old, const char *const *texts,
        size_t count, const char *status)
{
	const struct options_list list = {(char **)(uintptr_t)texts, count};
	const struct options_list status_list = {(char **)(uintptr_t)&status, status ? 1 : 0};

	return listener_set_open(set, &list, &status_list, 16, old, error);
}

static int open_set(
        struct listener_set *set, struct listener_set *old, const char *const *texts, size_t count)
{
	return open_both(set, old, texts, count, NULL);
}
#define OPEN(SET, OLD, ...)                                                                        \
	open_set(SET, OLD, (const char *[]){__VA_ARGS__},                                          \
	        sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *))

static char socket_path[64];
static char socket_text[80];

static void name_socket(void)
{
	snprintf(socket_path, sizeof(socket_path), "%s/socket", test_directory);
	snprintf(socket_text, sizeof(socket_text), "unix:%s", socket_path);
	unlink(socket_path);
}

static bool connects_to_port(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	bool connected;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	connected = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	close(fd);
	return connected;
}

static bool connects_to_socket(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	bool connected;

	strcpy(address.sun_path, socket_path);
	connected = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	close(fd);
	return connected;
}

TEST(addresses_are_split)
{
	struct listener_address address;
	const char *reason;

	EXPECT(listener_parse("127.0.0.1:8000", &address, &reason));
	EXPECT_STRING(address.host, "127.0.0.1");
	EXPECT_STRING(address.port, "8000");
	EXPECT(!address.local);
	EXPECT(listener_parse("[::1]:0", &address, &reason));
	EXPECT_STRING(address.host, "::1");
	EXPECT(listener_parse("[fe80::1%lo]:1", &address, &reason));
	EXPECT(listener_parse("*:80", &address, &reason));
	EXPECT_STRING(address.host, "");
	EXPECT(listener_parse("example.org:65535", &address, &reason));
	EXPECT(listener_parse("unix:/run/x", &address, &reason));
	EXPECT_STRING(address.host, "/run/x");
	EXPECT(address.local);
}

TEST(what_is_no_address_is_refused_with_a_reason)
{
	static const char *const texts[] = {"", ":", "8000", ":80", "host", "host:", "host:x",
	        "host:80x", "host:-1", "host:65536", "host:000080", "::1:80", "[::1]", "[::1:80",
	        "[]:80", "[host]:80", "a b:80", "ftp://host:80", "https://", "https://host",
	        "http://https://host:80", "https://unix:/x", "unix:", "unix:x",
	        "unix:/"
	        "1234567890123456789012345678901234567890123456789012345678901234567890123456789"
	        "0123456789012345678901234567890"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct listener_address address;
		const char *reason = NULL;

		EXPECT(!listener_parse(texts[i], &address, &reason));
		EXPECT(reason);
	}
}

TEST(port_0_is_chosen_and_shown)
{
	struct listener_set set;
	char url[64];

	EXPECT_INT(OPEN(&set, NULL, "127.0.0.1:0"), 0);
	EXPECT_INT(set.count, 1);
	EXPECT(set.listeners[0].port > 0);
	snprintf(url, sizeof(url), "127.0.0.1:%d", set.listeners[0].port);
	EXPECT_STRING(set.listeners[0].shown, url);
	EXPECT_STRING(set.listeners[0].address, "127.0.0.1:0");
	EXPECT_STRING(set.listeners[0].host, "127.0.0.1");
	EXPECT(connects_to_port(set.listeners[0].port));
	listener_set_fini(&set, true);
	listener_set_fini(&set, true);
}

TEST(sockets_are_nonblocking_closed_on_exec_and_without_delay)
{
	struct listener_set set;
	int fd, value = 0;
	socklen_t size = sizeof(value);

	EXPECT_INT(OPEN(&set, NULL, "127.0.0.1:0"), 0);
	fd = set.listeners[0].fd;
	EXPECT(fcntl(fd, F_GETFL) & O_NONBLOCK);
	EXPECT(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	EXPECT_INT(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &size), 0);
	EXPECT(value != 0);
	listener_set_fini(&set, true);
}

TEST(a_name_is_resolved_and_an_address_named_twice_bound_once)
{
	int result = -EADDRINUSE;
	struct listener_set set;
	char text[32];

	// Between the two, somebody else may be given the port.
	for (int tries = 0; tries < 20 && result == -EADDRINUSE; tries++) {
		EXPECT_INT(OPEN(&set, NULL, "localhost:0"), 0);
		EXPECT_INT(set.count, 1);
		snprintf(text, sizeof(text), "localhost:%d", set.listeners[0].port);
		listener_set_fini(&set, true);
		result = OPEN(&set, NULL, text, text);
	}
	EXPECT_INT(result, 0);
	EXPECT(set.count >= 1 && set.count <= 2); // one for each family
	listener_set_fini(&set, true);
}

TEST(ipv6_leaves_ipv4_alone)
{
	int result = -EADDRINUSE;
	struct listener_set set;
	char text[32];

	// A port that is free here may be in use by somebody else's connection over IPv4.
	for (int tries = 0; tries < 20 && result == -EADDRINUSE; tries++) {
		if (OPEN(&set, NULL, "[::1]:0") < 0)
			return; // no IPv6 here
		EXPECT_INT(set.listeners[0].family, AF_INET6);
		EXPECT(strncmp(set.listeners[0].shown, "[::1]:", 6) == 0);
		snprintf(text, sizeof(text), "*:%d", set.listeners[0].port);
		listener_set_fini(&set, true);
		result = OPEN(&set, NULL, text);
	}
	EXPECT_INT(result, 0);
	EXPECT_INT(set.count, 2);
	listener_set_fini(&set, true);
}

TEST(an_address_in_use_is_an_error_that_names_it)
{
	struct listener_set set, other;
	char text[32], expected[96];

	EXPECT_INT(OPEN(&set, NULL, "127.0.0.1:0"), 0);
	snprintf(text, sizeof(text), "127.0.0.1:%d", set.listeners[0].port);
	snprintf(expected, sizeof(expected), "cannot bind %s: Address already in use", text);
	EXPECT_INT(OPEN(&other, NULL, "127.0.0.1:0", text), -EADDRINUSE);
	EXPECT_STRING(error, expected);
	EXPECT_INT(other.count, 0);
	listener_set_fini(&set, true);
}

// A port that others aren't given as long as the result isn't closed; who asks for it by its number can listen there.
static int reserve_port(int *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) < 0 ||
	        bind(fd, (struct sockaddr *)&address, length) < 0 ||
	        getsockname(fd, (struct sockaddr *)&address, &length) < 0)
		abort();
	*port = ntohs(address.sin_port);
	return fd;
}

TEST(addresses_that_clash_are_both_named)
{
	int port, reserved = reserve_port(&port);
	struct listener_set set;
	char text[32], secure[48], any[32], expected[160];
	const char *texts[] = {text, secure};

	snprintf(text, sizeof(text), "127.0.0.1:%d", port);
	snprintf(secure, sizeof(secure), "https://%s", text);
	snprintf(any, sizeof(any), "*:%d", port);

	EXPECT_INT(open_both(&set, NULL, texts, 1, text), -EINVAL);
	snprintf(expected, sizeof(expected),
	        "cannot bind %s of --status-bind: %s of --bind is the same", text, text);
	EXPECT_STRING(error, expected);

	EXPECT_INT(open_both(&set, NULL, texts, 2, NULL), -EINVAL);
	snprintf(expected, sizeof(expected),
	        "cannot bind %s of --bind: %s of --bind has the same address, or a part of it",
	        secure, text);
	EXPECT_STRING(error, expected);

	EXPECT_INT(open_both(&set, NULL, texts, 1, any), -EINVAL);
	snprintf(expected, sizeof(expected),
	        "cannot bind %s of --status-bind: %s of --bind has the same address, or a part of "
	        "it",
	        any, text);
	EXPECT_STRING(error, expected);
	EXPECT_INT(set.count, 0);
	close(reserved);
}

TEST(an_address_that_is_given_up_only_then_is_named_too)
{
	struct listener_set set, next;
	char any[32], expected[160];

	EXPECT_INT(OPEN(&set, NULL, "127.0.0.1:0"), 0);
	snprintf(any, sizeof(any), "*:%d", set.listeners[0].port);
	EXPECT_INT(OPEN(&next, &set, any), -EINVAL);
	snprintf(expected, sizeof(expected),
	        "cannot bind %s of --bind: 127.0.0.1:0 of --bind has the same address, or a part "
	        "of "
	        "it",
	        any);
	EXPECT_STRING(error, expected);
	EXPECT(connects_to_port(set.listeners[0].port));
	listener_set_fini(&set, true);
}

TEST(a_name_that_does_not_exist_is_an_error_that_names_it)
{
	struct listener_set set;

	EXPECT(OPEN(&set, NULL, "no.such.host.invalid:80") < 0);
	EXPECT(strncmp(error, "cannot bind no.such.host.invalid:80: ", 37) == 0);
}

TEST(a_unix_socket_is_for_everybody_and_is_removed)
{
	struct listener_set set;
	struct stat status;

	name_socket();
	EXPECT_INT(OPEN(&set, NULL, socket_text), 0);
	EXPECT_STRING(set.listeners[0].shown, socket_text);
	EXPECT_INT(stat(socket_path, &status), 0);
	EXPECT_INT(status.st_mode & 0777, 0666);
	EXPECT(connects_to_socket());
	listener_set_fini(&set, true);
	EXPECT_INT(access(socket_path, F_OK), -1);
}

TEST(only_the_master_removes_the_file)
{
	struct listener_set set;

	name_socket();
	EXPECT_INT(OPEN(&set, NULL, socket_text), 0);
	listener_set_fini(&set, false);
	EXPECT_INT(access(socket_path, F_OK), 0);
	unlink(socket_path);
}

TEST(a_stale_socket_is_replaced)
{
	struct listener_set dead, set;

	name_socket();
	EXPECT_INT(OPEN(&dead, NULL, socket_text), 0);
	listener_set_fini(&dead, false); // as a crash leaves it
	EXPECT_INT(OPEN(&set, NULL, socket_text), 0);
	EXPECT(connects_to_socket());
	listener_set_fini(&set, true);
}

TEST(a_socket_in_use_and_other_files_stay)
{
	struct listener_set set, other;

	name_socket();
	EXPECT_INT(OPEN(&set, NULL, socket_text), 0);
	EXPECT_INT(OPEN(&other, NULL, socket_text), -EADDRINUSE);
	EXPECT(connects_to_socket());
	listener_set_fini(&set, true);
	EXPECT_INT(close(open(socket_path, O_CREAT | O_WRONLY, 0600)), 0);
	EXPECT_INT(OPEN(&other, NULL, socket_text), -EADDRINUSE);
	EXPECT_INT(access(socket_path, F_OK), 0);
	unlink(socket_path);
}

TEST(a_reload_keeps_adds_and_drops)
{
	struct listener_set old, set;
	int kept, dropped;

	name_socket();
	EXPECT_INT(OPEN(&old, NULL, "127.0.0.1:0", socket_text), 0);
	kept = old.listeners[0].fd;
	dropped = old.listeners[1].fd;
	EXPECT_INT(OPEN(&set, &old, "127.0.0.2:0", "127.0.0.1:0"), 0);
	EXPECT_INT(set.count, 2);
	EXPECT_INT(set.listeners[1].fd, kept);
	EXPECT(connects_to_port(set.listeners[1].port));
	EXPECT_INT(old.count, 1);
	EXPECT_INT(old.listeners[0].fd, dropped);
	listener_set_fini(&old, true);
	EXPECT_INT(access(socket_path, F_OK), -1);
	listener_set_fini(&set, true);
}

TEST(a_reload_that_fails_changes_nothing)
{
	struct listener_set old, set;
	int first, second;

	name_socket();
	EXPECT_INT(OPEN(&old, NULL, "127.0.0.1:0", socket_text), 0);
	first = old.listeners[0].fd;
	second = old.listeners[1].fd;
	EXPECT(OPEN(&set, &old, socket_text, "127.0.0.1:0", "127.0.0.3:0",
	               "no.such.host.invalid:1") < 0);
	EXPECT_INT(set.count, 0);
	EXPECT_INT(old.count, 2);
	EXPECT_INT(old.listeners[0].fd, first);
	EXPECT_INT(old.listeners[1].fd, second);
	EXPECT(connects_to_port(old.listeners[0].port));
	EXPECT(connects_to_socket());
	listener_set_fini(&old, true);
}
