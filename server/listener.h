// SPDX-License-Identifier: MIT
// listener.h - the listening sockets: made by the master, shared by all workers.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "server/options.h"

// One listening socket: nonblocking, close-on-exec. TCP_NODELAY is set and inherited by what is
// accepted from it.
struct listener {
	int fd;
	int family;     // AF_INET, AF_INET6 or AF_UNIX
	int port;       // in host order, also if 0 was asked for; 0 for a unix socket
	char *address;  // as configured: "localhost:8000", "unix:/run/forebay.sock"
	char *host;     // numeric: "127.0.0.1", "::1"; the path of a unix socket
	char *shown;    // numeric: "[::1]:8000", "unix:/run/forebay.sock"
	bool secure;    // clients speak TLS
	bool status;    // they are told about the server itself, and reach no consumer
	char *identity; // what was asked for, numeric: what a reload recognises it by
};

struct listener_set {
	struct listener *listeners;
	size_t count;
};

#define LISTENER_ERROR_SIZE 512

// What stands before listener->shown in an URL: "https://", "http://", or "" for a unix socket.
const char *listener_scheme(const struct listener *listener);

// An address split: HOST:PORT, [IPV6]:PORT, *:PORT, any of them behind http:// or https://, or
// unix:/PATH.
struct listener_address {
	char host
	        [256]; // without brackets; "" for any address (of both families); the path of unix:
	char port[8];  // decimal; "" for unix:
	bool local;    // unix:
	bool secure;   // https://
};

// Checks and splits TEXT. Returns true, or false with a static REASON: "the port must be 0..65535".
bool listener_parse(const char *text, struct listener_address *address, const char **reason);

// Binds and listens on every one of ADDRESSES and of STATUS, a host name on all its addresses (with port 0 only on
// the first, so that there is one port to tell). One address can't have TLS and not,
// or be of both kinds. Sockets of OLD (may be NULL) whose address is still
// wanted are taken over: moved from OLD to SET. If anything fails, OLD is as before, SET is empty, the
// result is a negative errno, and ERROR is a sentence: "cannot bind 127.0.0.1:80: Permission denied"; where two of the addresses
// clash, it is -EINVAL and names both; -EADDRINUSE is left for what others have.
// Otherwise what is left in OLD is what has vanished; end it with listener_set_fini().
int listener_set_open(struct listener_set *set, const struct options_list *addresses,
        const struct options_list *status, int backlog, struct listener_set *old,
        char error[LISTENER_ERROR_SIZE]);

// Closes those sockets that are for clients, for the master: what tells the status stays.
void listener_set_close_clients(struct listener_set *set);

// Closes the sockets. REMOVE_FILES, for the master only, also removes the files of unix sockets. Accepts a
// zeroed set, and a second call.
void listener_set_fini(struct listener_set *set, bool remove_files);
