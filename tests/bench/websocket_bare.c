// SPDX-License-Identifier: MIT
// websocket_bare PORT: the least that an echo of WebSockets can cost, for scripts/bench to compare with.
//
// One process, one epoll, a read() and a send() for each message: no time-outs, no checks of the protocol, no
// layer and no consumer. It speaks with websocket_load only. On /ws/chat, a message goes to all
// connections there, by a send() to each.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
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
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/sha.h>

#define BUFFER    4096
#define FRAME_MAX 1024 // octets of payload that are understood

struct peer {
	int fd;
	bool open; // the handshake is done
	bool chat;
	char *rest; // what couldn't be dealt with yet
	size_t length;
};

static struct peer **peers; // by descriptor
static int peer_count;
static int highest; // descriptor of a peer, ever
static int epoll_fd;

static void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static void drop(struct peer *peer)
{
	peers[peer->fd] = NULL;
	close(peer->fd);
	free(peer->rest);
	free(peer);
}

static void accept_all(int listener)
{
	int fd, on = 1;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
		struct peer *peer = calloc(1, sizeof *peer);

		if (!peer || fd >= peer_count)
			die("too many connections");
		peer->fd = fd;
		peers[fd] = peer;
		if (fd > highest)
			highest = fd;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
			die("epoll_ctl");
	}
}

// Answers the handshake in DATA, which is whole. Returns false if it is none.
static bool shake_hands(struct peer *peer, const char *data)
{
	static const char name[] = "\r\nSec-WebSocket-Key: ";
	const char *key = strstr(data, name);
	char text[128], accept[64], answer[256];
	unsigned char digest[SHA_DIGEST_LENGTH];
	int length;

	if (!key)
		return false;
	length = snprintf(
	        text, sizeof text, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key + strlen(name));
	SHA1((unsigned char *)text, (size_t)length, digest);
	EVP_EncodeBlock((unsigned char *)accept, digest, sizeof digest);
	length = snprintf(answer, sizeof answer,
	        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
	        "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
	        accept);
	peer->open = true;
	peer->chat = strncmp(data, "GET /ws/chat ", 13) == 0;
	return send(peer->fd, answer, (size_t)length, MSG_NOSIGNAL) == length;
}

static void say_to_all(const unsigned char *frame, size_t length)
{
	for (int fd = 0; fd <= highest; fd++)
		if (peers[fd] && peers[fd]->chat)
			(void)!send(fd, frame, length, MSG_NOSIGNAL);
}

// Echoes the frame at DATA, if all of it is there. Returns its size, 0 if it isn't, or -1 for the end.
static ssize_t echo(struct peer *peer, const unsigned char *data, size_t length)
{
	size_t payload, header = 2, out = 2;
	const unsigned char *key;
	unsigned char frame[4 + FRAME_MAX];

	if (length < 2)
		return 0;
	payload = data[1] & 0x7f;
	if (payload == 126) {
		if (length < 4)
			return 0;
		payload = (size_t)data[2] << 8 | data[3];
		header = out = 4;
	}
	if (payload > FRAME_MAX || (data[0] & 0xf) == 8)
		return -1;
	if (length < header + 4 + payload)
		return 0;
	key = data + header;
	memcpy(frame, data, header);
	frame[1] &= 0x7f;
	for (size_t i = 0; i < payload; i++)
		frame[out + i] = key[4 + i] ^ key[i & 3];
	if (peer->chat)
		say_to_all(frame, out + payload);
	else if (send(peer->fd, frame, out + payload, MSG_NOSIGNAL) < 0)
		return -1;
	return (ssize_t)(header + 4 + payload);
}

// Deals with LENGTH octets. Returns how many are left over, or -1 for the end.
static ssize_t take(struct peer *peer, char *data, size_t length)
{
	size_t done = 0;

	if (!peer->open) {
		data[length] = '\0';
		if (!strstr(data, "\r\n\r\n"))
			return (ssize_t)length;
		return shake_hands(peer, data) ? 0 : -1;
	}
	while (done < length) {
		ssize_t taken = echo(peer, (unsigned char *)data + done, length - done);

		if (taken < 0)
			return -1;
		if (taken == 0)
			break;
		done += (size_t)taken;
	}
	memmove(data, data + done, length - done);
	return (ssize_t)(length - done);
}

static void serve(struct peer *peer)
{
	char data[BUFFER + 1];
	ssize_t got, left;

	if (peer->length)
		memcpy(data, peer->rest, peer->length);
	got = recv(peer->fd, data + peer->length, BUFFER - peer->length, 0);
	if (got < 0 && errno == EAGAIN)
		return;
	left = got <= 0 ? -1 : take(peer, data, peer->length + (size_t)got);
	if (left < 0) {
		drop(peer);
		return;
	}
	free(peer->rest);
	peer->rest = NULL;
	peer->length = (size_t)left;
	if (left > 0) {
		peer->rest = malloc((size_t)left);
		if (!peer->rest)
			die("malloc");
		memcpy(peer->rest, data, (size_t)left);
	}
}

static int listen_on(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	        .sin_port = htons((uint16_t)port),
	        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event event = {.events = EPOLLIN};
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
	        listen(fd, 4096) < 0)
		die("listen");
	event.data.fd = fd;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl");
	return fd;
}

int main(int argc, char **argv)
{
	struct rlimit limit;
	struct epoll_event events[256];
	int listener;

	if (argc != 2) {
		fprintf(stderr, "usage: websocket_bare PORT\n");
		return EXIT_FAILURE;
	}
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	peer_count = (int)limit.rlim_cur;
	peers = calloc((size_t)peer_count, sizeof(struct peer *));
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!peers || epoll_fd < 0)
		die("start");
	listener = listen_on(atoi(argv[1]));
	for (;;) {
		int count = epoll_wait(epoll_fd, events, 256, -1);

		for (int i = 0; i < count; i++) {
			if (events[i].data.fd == listener)
				accept_all(listener);
			else if (peers[events[i].data.fd])
				serve(peers[events[i].data.fd]);
		}
	}
}
