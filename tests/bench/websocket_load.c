// SPDX-License-Identifier: MIT
// websocket_load MODE PORT PATH CONNECTIONS SECONDS [SIZE [ADDRESS]]: WebSocket clients for scripts/bench.
//
//   echo       each connection sends a text of SIZE octets (125), and the next as soon as it is back
//   broadcast  the first connection sends one; when it has reached all of them, it sends the next
//   handshake  each connection is opened, and cut and opened anew as soon as it is accepted
//   idle       they are opened, "ready" is printed, and they stay until standard input ends
//
// Prints one JSON object. What comes is compared octet by octet with what has to come. One thread, one epoll,
// a frame made once for all: a server can hardly be faster than this. The connections come from
// 127.0.0.ADDRESS (2) and on, as many as it takes, since each has no more than some 28,000 ports.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PER_ADDRESS 20000   // connections from one address
#define OPENING_MAX 256     // handshakes at a time
#define PAYLOAD_MAX 60000   // octets of payload
#define LATENCIES   2000000 // microseconds; what takes longer counts as that

enum mode { ECHO, BROADCAST, HANDSHAKE, IDLE };

struct peer {
	int fd;
	bool open;       // the handshake is done
	uint32_t got;    // octets of the answer to the handshake, or of the frame
	uint64_t asked;  // when, in microseconds
	char *handshake; // the answer to it, while that isn't complete
};

static struct {
	enum mode mode;
	struct sockaddr_in server;
	char request[512];
	size_t request_length;
	char *frame, *expected; // what is sent, what has to come back
	size_t frame_length, expected_length;
	int address; // of the first connection: 127.0.0.ADDRESS
	int count;   // of connections
	int begun;   // ... that were opened, ever
	int opening; // handshakes in progress
	int opened;  // ... that have succeeded
	int epoll_fd;
	uint64_t delivered; // frames that have come
	uint64_t rounds;    // of a broadcast
	int missing;        // ... of the one in progress
	uint64_t errors;
	uint64_t round_began;
	bool measuring;
	struct peer *peers;
	uint32_t *latencies; // by microseconds
} load;

static void die(const char *what)
{
	fprintf(stderr, "websocket_load: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

static void note_latency(uint64_t since)
{
	uint64_t taken = now() - since;

	if (load.measuring)
		load.latencies[taken < LATENCIES ? taken : LATENCIES - 1]++;
}

// ---------------------------------------------------------------------------------------------
// Connections
// ---------------------------------------------------------------------------------------------

static void begin(struct peer *peer)
{
	struct sockaddr_in own = {.sin_family = AF_INET};
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = peer};
	int on = 1;

	own.sin_addr.s_addr = htonl(
	        INADDR_LOOPBACK - 1 + (uint32_t)(load.address + load.begun / PER_ADDRESS % 200));
	load.begun++;
	peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (peer->fd < 0)
		die("socket");
	setsockopt(peer->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
	setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (bind(peer->fd, (struct sockaddr *)&own, sizeof own) < 0)
		die("bind");
	if (connect(peer->fd, (struct sockaddr *)&load.server, sizeof load.server) < 0 &&
	        errno != EINPROGRESS)
		die("connect");
	if (epoll_ctl(load.epoll_fd, EPOLL_CTL_ADD, peer->fd, &event) < 0)
		die("epoll_ctl");
	peer->open = false;
	peer->got = 0;
	peer->asked = now();
	load.opening++;
}

// With a reset, so that no port is kept for it.
static void cut(struct peer *peer)
{
	struct linger linger = {.l_onoff = 1};

	setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
	close(peer->fd);
	peer->fd = -1;
}

static void ask(struct peer *peer)
{
	peer->asked = now();
	// A frame is far smaller than a socket's buffer, and there is never another in it.
	if (send(peer->fd, load.frame, load.frame_length, MSG_NOSIGNAL) !=
	        (ssize_t)load.frame_length)
		load.errors++;
}

static void start_round(void)
{
	load.missing = load.count;
	load.round_began = now();
	ask(&load.peers[0]);
}

// Every connection is open: begins with what the mode is about.
static void on_all_open(void)
{
	if (load.mode == ECHO)
		for (int i = 0; i < load.count; i++)
			ask(&load.peers[i]);
	if (load.mode == BROADCAST)
		start_round();
}

static void on_open(struct peer *peer)
{
	free(peer->handshake);
	peer->handshake = NULL;
	peer->open = true;
	peer->got = 0;
	load.opening--;
	load.opened++;
	note_latency(peer->asked);
	if (load.mode == HANDSHAKE) {
		load.delivered++;
		cut(peer);
		begin(peer);
		return;
	}
	for (; load.begun < load.count && load.opening < OPENING_MAX;)
		begin(&load.peers[load.begun]);
	if (load.opened == load.count)
		on_all_open();
}

static void on_connected(struct peer *peer)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
	int error = 0;
	socklen_t size = sizeof error;

	getsockopt(peer->fd, SOL_SOCKET, SO_ERROR, &error, &size);
	errno = error;
	if (error)
		die("connect");
	epoll_ctl(load.epoll_fd, EPOLL_CTL_MOD, peer->fd, &event);
	if (send(peer->fd, load.request, load.request_length, MSG_NOSIGNAL) !=
	        (ssize_t)load.request_length)
		die("send");
}

static void take_handshake(struct peer *peer, const char *data, size_t length)
{
	static const size_t room = 2048;
	static const char accept[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

	if (!peer->handshake)
		peer->handshake = calloc(1, room);
	if (!peer->handshake || peer->got + length >= room)
		die("handshake");
	memcpy(peer->handshake + peer->got, data, length);
	peer->got += (uint32_t)length;
	if (peer->got < 4 || memcmp(peer->handshake + peer->got - 4, "\r\n\r\n", 4) != 0)
		return;
	errno = EPROTO;
	if (strncmp(peer->handshake, "HTTP/1.1 101 ", 13) != 0 || !strstr(peer->handshake, accept))
		die("handshake");
	on_open(peer);
}

// ---------------------------------------------------------------------------------------------
// Frames
// ---------------------------------------------------------------------------------------------

static void on_frame(struct peer *peer)
{
	if (load.measuring)
		load.delivered++;
	if (load.mode == ECHO) {
		note_latency(peer->asked);
		ask(peer);
		return;
	}
	if (--load.missing > 0)
		return;
	note_latency(load.round_began);
	load.rounds += load.measuring;
	start_round();
}

static void take_frames(struct peer *peer, const char *data, size_t length)
{
	while (length > 0) {
		size_t part = load.expected_length - peer->got;

		if (part > length)
			part = length;
		if (memcmp(load.expected + peer->got, data, part) != 0) {
			errno = EPROTO;
			die("another frame than was sent");
		}
		peer->got += (uint32_t)part;
		data += part;
		length -= part;
		if (peer->got == load.expected_length) {
			peer->got = 0;
			on_frame(peer);
		}
	}
}

static void on_event(struct peer *peer, uint32_t events)
{
	char data[65536];
	ssize_t got;

	if (peer->fd < 0)
		return;
	if (events & EPOLLOUT)
		on_connected(peer);
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	got = recv(peer->fd, data, sizeof data, 0);
	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		errno = got ? errno : ECONNRESET;
		die("the server has ended a connection");
	}
	if (!peer->open)
		take_handshake(peer, data, (size_t)got);
	else
		take_frames(peer, data, (size_t)got);
}

// ---------------------------------------------------------------------------------------------
// The run
// ---------------------------------------------------------------------------------------------

static void make_frames(size_t size)
{
	static const unsigned char key[4] = {0x37, 0xfa, 0x21, 0x3d};
	size_t header = size < 126 ? 2 : 4;

	load.frame_length = header + 4 + size;
	load.expected_length = header + size;
	load.frame = malloc(load.frame_length);
	load.expected = malloc(load.expected_length);
	if (!load.frame || !load.expected)
		die("malloc");
	load.expected[0] = (char)0x81;
	load.expected[1] = (char)(size < 126 ? size : 126);
	if (size >= 126) {
		load.expected[2] = (char)(size >> 8);
		load.expected[3] = (char)size;
	}
	for (size_t i = 0; i < size; i++)
		load.expected[header + i] = (char)('a' + i % 26);
	memcpy(load.frame, load.expected, header);
	load.frame[1] |= (char)0x80;
	memcpy(load.frame + header, key, sizeof key);
	for (size_t i = 0; i < size; i++)
		load.frame[header + 4 + i] = load.expected[header + i] ^ (char)key[i & 3];
}

static void turn(int timeout)
{
	struct epoll_event events[512];
	int count = epoll_wait(load.epoll_fd, events, 512, timeout);

	for (int i = 0; i < count; i++)
		on_event(events[i].data.ptr, events[i].events);
}

static uint64_t percentile(double share)
{
	uint64_t total = 0, seen = 0;

	for (size_t i = 0; i < LATENCIES; i++)
		total += load.latencies[i];
	for (size_t i = 0; i < LATENCIES; i++) {
		seen += load.latencies[i];
		if (seen > 0 && (double)seen >= share * (double)total)
			return i;
	}
	return 0;
}

// Until standard input ends. What the servers send meanwhile is nothing.
static void stay(void)
{
	char end;

	printf("ready\n");
	fflush(stdout);
	while (read(STDIN_FILENO, &end, 1) > 0)
		;
}

static void measure(double seconds)
{
	uint64_t began, until = now() + (uint64_t)(seconds * 2e5);

	while (now() < until) // a fifth to warm up
		turn(100);
	began = now();
	until = began + (uint64_t)(seconds * 1e6);
	load.measuring = true;
	load.delivered = 0;
	while (now() < until)
		turn(100);
	seconds = (double)(now() - began) / 1e6;
	printf("{\"seconds\": %.6f, \"count\": %llu, \"rounds\": %llu, \"errors\": %llu, "
	       "\"p50\": %llu, \"p99\": %llu}\n",
	        seconds, (unsigned long long)load.delivered, (unsigned long long)load.rounds,
	        (unsigned long long)load.errors, (unsigned long long)percentile(0.5),
	        (unsigned long long)percentile(0.99));
}

static void start(char **argv)
{
	struct rlimit limit;

	load.server = (struct sockaddr_in){.sin_family = AF_INET,
	        .sin_port = htons((uint16_t)atoi(argv[2])),
	        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	load.request_length = (size_t)snprintf(load.request, sizeof load.request,
	        "GET %.200s HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
	        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
	        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
	        argv[3]);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	load.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	load.peers = calloc((size_t)load.count, sizeof *load.peers);
	load.latencies = calloc(LATENCIES, sizeof *load.latencies);
	if (load.epoll_fd < 0 || !load.peers || !load.latencies)
		die("start");
	for (int i = 0; i < load.count && i < OPENING_MAX; i++)
		begin(&load.peers[i]);
}

int main(int argc, char **argv)
{
	static const char *const modes[] = {"echo", "broadcast", "handshake", "idle"};
	int mode = 0, size = argc > 6 ? atoi(argv[6]) : 125;
	uint64_t until;

	while (mode < 4 && argc > 1 && strcmp(argv[1], modes[mode]) != 0)
		mode++;
	load.count = argc > 4 ? atoi(argv[4]) : 0;
	load.address = argc > 7 ? atoi(argv[7]) : 2;
	if (argc < 6 || mode == 4 || load.count < 1 || size < 1 || size > PAYLOAD_MAX) {
		fprintf(stderr, "usage: websocket_load echo|broadcast|handshake|idle PORT PATH "
		                "CONNECTIONS SECONDS [SIZE [ADDRESS]]\n");
		return EXIT_FAILURE;
	}
	load.mode = (enum mode)mode;
	make_frames((size_t)size);
	start(argv);
	until = now() + 120000000;
	while (load.opened < load.count && now() < until)
		turn(100);
	errno = ETIMEDOUT;
	if (load.opened < load.count)
		die("handshakes");
	if (load.mode == IDLE)
		stay();
	else
		measure(atof(argv[5]));
	return EXIT_SUCCESS;
}
