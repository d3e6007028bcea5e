// SPDX-License-Identifier: MIT
// listener.c - the listening sockets: made by the master, shared by all workers.
#include "server/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

// ---------------------------------------------------------------------------------------------
// Addresses
// ---------------------------------------------------------------------------------------------

static bool parse_local(const char *path, struct listener_address *address, const char **reason)
{
	_Static_assert(sizeof(address->host) >= sizeof(((struct sockaddr_un *)0)->sun_path),
	        "any path fits");

	if (path[0] != '/') {
		*reason = "needs an absolute path behind unix:";
		return false;
	}
	if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
		*reason = "has a path that is too long for a socket (at most 107 octets)";
		return false;
	}
	address->local = true;
	strcpy(address->host, path);
	return true;
}

static bool parse_port(const char *text, struct listener_address *address, const char **reason)
{
	size_t length = strspn(text, "0123456789");

	*reason = "needs a port, 0..65535";
	if (length == 0 || length > 5 || text[length] || atoi(text) > 65535)
		return false;
	strcpy(address->port, text);
	return true;
}

static bool parse_host(const char *text, size_t length, bool bracketed,
        struct listener_address *address, const char **reason)
{
	struct in6_addr unused;

	if (length >= sizeof(address->host)) {
		*reason = "has a host that is too long";
		return false;
	}
	memcpy(address->host, text, length);
	address->host[length] = '\0';
	if (bracketed && strcspn(address->host, "%") == length &&
	        inet_pton(AF_INET6, address->host, &unused) != 1) {
		*reason = "has no IPv6 address between the brackets";
		return false;
	}
	if (!bracketed && strchr(address->host, ':')) {
		*reason = "is ambiguous: an IPv6 address goes between brackets, [::1]:8000";
		return false;
	}
	if (!bracketed && strcmp(address->host, "*") == 0)
		address->host[0] = '\0';
	else if (length == 0 || strpbrk(address->host, " \t/[]*")) {
		*reason = "must be HOST:PORT, [IPV6]:PORT or unix:/PATH; any address is *:PORT";
		return false;
	}
	return true;
}

bool listener_parse(const char *text, struct listener_address *address, const char **reason)
{
	const char *colon;
	size_t length;

	*address = (struct listener_address){.local = false};
	*reason = "must be HOST:PORT, [IPV6]:PORT, https://HOST:PORT or unix:/PATH";
	if (strncmp(text, "unix:", 5) == 0)
		return parse_local(text + 5, address, reason);
	address->secure = strncmp(text, "https://", 8) == 0;
	if (address->secure || strncmp(text, "http://", 7) == 0)
		text += address->secure ? 8 : 7;
	colon = strrchr(text, ':');
	if (!colon)
		return false;
	length = (size_t)(colon - text);
	if (text[0] == '[') {
		if (length < 2 || text[length - 1] != ']')
			return false;
		if (!parse_host(text + 1, length - 2, true, address, reason))
			return false;
	} else if (!parse_host(text, length, false, address, reason)) {
		return false;
	}
	return parse_port(colon + 1, address, reason);
}

// ---------------------------------------------------------------------------------------------
// One listener
// ---------------------------------------------------------------------------------------------

// What is to be bound, resolved to one numeric address.
struct target {
	const char *text; // as configured
	bool secure, status;
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
		struct sockaddr_storage storage;
	} address;
	socklen_t length;
	char host[256]; // numeric, or a path
};

static void listener_fini(struct listener *listener, bool remove_file)
{
	// The name goes before the socket: until then nobody else can have taken it over.
	if (remove_file && listener->family == AF_UNIX && listener->fd >= 0)
		unlink(listener->host);
	if (listener->fd >= 0)
		close(listener->fd);
	free(listener->address);
	free(listener->host);
	free(listener->shown);
	free(listener->identity);
	*listener = (struct listener){.fd = -1};
}

static int target_port(const struct target *target)
{
	if (target->address.any.sa_family == AF_INET)
		return ntohs(target->address.in.sin_port);
	if (target->address.any.sa_family == AF_INET6)
		return ntohs(target->address.in6.sin6_port);
	return 0;
}

// Fills in the texts of LISTENER. Returns 0 or -ENOMEM; the caller ends it in any case.
static int describe(struct listener *listener, const struct target *target)
{
	const char *left = "", *right = "";
	char port[16] = "";

	if (listener->family == AF_UNIX)
		left = "unix:";
	else
		snprintf(port, sizeof(port), ":%d", listener->port);
	if (listener->family == AF_INET6) {
		left = "[";
		right = "]";
	}
	if (asprintf(&listener->shown, "%s%s%s%s", left, target->host, right, port) < 0)
		listener->shown = NULL;
	if (asprintf(&listener->identity, "%d %s %d", listener->family, target->host,
	            target_port(target)) < 0)
		listener->identity = NULL;
	listener->address = strdup(target->text);
	listener->host = strdup(target->host);
	return listener->address && listener->host && listener->shown && listener->identity
	               ? 0
	               : -ENOMEM;
}

// Removes the socket file of a server that has gone. A file that isn't a socket, or a socket that
// somebody listens on, stays, and bind() will say that the address is in use.
static void remove_stale(const struct sockaddr_un *address)
{
	struct stat status;
	int fd;

	if (lstat(address->sun_path, &status) < 0 || !S_ISSOCK(status.st_mode))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
	        errno == ECONNREFUSED)
		unlink(address->sun_path);
	close(fd);
}

static int set_flag(int fd, int level, int option)
{
	const int on = 1;

	return setsockopt(fd, level, option, &on, sizeof(on));
}

// Sets what a listening socket of this family needs, before it is bound.
static int prepare(int fd, int family)
{
	if (family == AF_UNIX)
		return 0;
	if (family == AF_INET6 && set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY) < 0)
		return -1;
	if (set_flag(fd, SOL_SOCKET, SO_REUSEADDR) < 0)
		return -1;
	return set_flag(fd, IPPROTO_TCP, TCP_NODELAY);
}

static int bind_and_listen(int fd, const struct target *target, int backlog)
{
	const struct sockaddr *address = &target->address.any;
	bool local = address->sa_family == AF_UNIX;
	int result = 0;

	if (prepare(fd, address->sa_family) < 0)
		return -errno;
	if (local)
		remove_stale(&target->address.un);
	if (bind(fd, address, target->length) < 0)
		return -errno;
	// Whoever may enter the directory may connect, as is usual; the umask would forbid it.
	if ((local && chmod(target->host, 0666) < 0) || listen(fd, backlog) < 0)
		result = -errno;
	if (local && result < 0)
		unlink(target->host);
	return result;
}

static int find_port(struct listener *listener)
{
	struct target bound = {.length = sizeof(bound.address)};

	if (getsockname(listener->fd, &bound.address.any, &bound.length) < 0)
		return -errno;
	listener->port = target_port(&bound);
	return 0;
}

static int open_listener(struct listener *listener, const struct target *target, int backlog)
{
	int result;

	listener->family = target->address.any.sa_family;
	listener->fd = socket(listener->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener->fd < 0)
		return -errno;
	result = bind_and_listen(listener->fd, target, backlog);
	if (result == 0)
		result = find_port(listener);
	if (result == 0)
		result = describe(listener, target);
	return result;
}

// ---------------------------------------------------------------------------------------------
// The set
// ---------------------------------------------------------------------------------------------

const char *listener_scheme(const struct listener *listener)
{
	if (listener->family == AF_UNIX)
		return "";
	return listener->secure ? "https://" : "http://";
}

// What listener_set_open() works with.
struct opening {
	struct listener_set *set, *old;
	int backlog;
	bool status;                  // of the addresses that are being added
	const struct listener *clash; // what has the address that is in use, if it is one of ours
	char *error;
};

__attribute__((format(printf, 3, 4))) static int fail(
        struct opening *opening, int result, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(opening->error, LISTENER_ERROR_SIZE, format, arguments);
	va_end(arguments);
	return result;
}

// An address with a port can have TLS or not; one where any port will do can have both, on two.
static struct listener *find(struct listener_set *set, const struct target *target)
{
	char identity[320];

	if (!set)
		return NULL;
	snprintf(identity, sizeof(identity), "%d %s %d", target->address.any.sa_family,
	        target->host, target_port(target));
	for (size_t i = 0; i < set->count; i++)
		if (set->listeners[i].fd >= 0 &&
		        strcmp(set->listeners[i].identity, identity) == 0 &&
		        (target_port(target) ||
		                (set->listeners[i].secure == target->secure &&
		                        set->listeners[i].status == target->status)))
			return &set->listeners[i];
	return NULL;
}

static bool is_any(const char *host)
{
	return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

// What of SET (may be NULL) keeps TARGET from being bound: one of them is all addresses of its family, or both are the same.
static const struct listener *find_overlap(
        const struct listener_set *set, const struct target *target)
{
	for (size_t i = 0; set && i < set->count; i++) {
		const struct listener *listener = &set->listeners[i];

		if (listener->fd >= 0 && listener->family == target->address.any.sa_family &&
		        listener->port == target_port(target) &&
		        (strcmp(listener->host, target->host) == 0 ||
		                (listener->family != AF_UNIX &&
		                        (is_any(listener->host) || is_any(target->host)))))
			return listener;
	}
	return NULL;
}

// Adds TARGET to the set: a socket taken over from the old one, or a new one. What was taken over is
// marked in the old set by the descriptor -1, and shares its texts until settle() or restore().
static int add(struct opening *opening, const struct target *target)
{
	struct listener_set *set = opening->set;
	struct listener *listeners, *kept = find(opening->old, target);
	const struct listener *twin = find(set, target);
	int result = 0;

	if (twin && twin->secure == target->secure && twin->status == target->status)
		return 0; // named twice, or two names of the same address
	opening->clash = twin;
	if (twin)
		return -EADDRINUSE;
	listeners = reallocarray(set->listeners, set->count + 1, sizeof(*listeners));
	if (!listeners)
		return -ENOMEM;
	set->listeners = listeners;
	if (kept) {
		listeners[set->count] = *kept;
		kept->fd = -1;
		listen(listeners[set->count].fd, opening->backlog); // it may have changed
	} else {
		listeners[set->count] = (struct listener){.fd = -1};
		result = open_listener(&listeners[set->count], target, opening->backlog);
	}
	if (result < 0) {
		listener_fini(&listeners[set->count], false);
		opening->clash = find_overlap(set, target);
		if (!opening->clash)
			opening->clash = find_overlap(opening->old, target);
		return result;
	}
	listeners[set->count].secure = target->secure;
	listeners[set->count++].status = target->status;
	return 0;
}

// Gives back to the old set what was taken over from it, and closes the rest.
static void restore(struct opening *opening)
{
	for (size_t i = 0; i < opening->set->count; i++) {
		struct listener *listener = &opening->set->listeners[i];

		for (size_t k = 0; opening->old && k < opening->old->count; k++) {
			struct listener *former = &opening->old->listeners[k];

			if (former->identity != listener->identity)
				continue;
			former->fd = listener->fd;
			*listener = (struct listener){.fd = -1};
			break;
		}
	}
	listener_set_fini(opening->set, true);
}

// Forgets in the old set what was taken over from it.
static void settle(struct listener_set *old)
{
	size_t left = 0;

	for (size_t i = 0; old && i < old->count; i++)
		if (old->listeners[i].fd >= 0)
			old->listeners[left++] = old->listeners[i];
	if (old)
		old->count = left;
}

static const char *option_of(bool status)
{
	return status ? "--status-bind" : "--bind";
}

static int cannot_bind(struct opening *opening, const char *text, int result)
{
	const struct listener *clash = opening->clash;
	const char *why = strerror(-result);

	// Trying again doesn't help against that, unlike against others who have the address.
	if (result == -EADDRINUSE && clash)
		return fail(opening, -EINVAL, "cannot bind %s of %s: %s of %s %s", text,
		        option_of(opening->status), clash->address, option_of(clash->status),
		        strcmp(text, clash->address) == 0
		                ? "is the same"
		                : "has the same address, or a part of it");
	return fail(opening, result, "cannot bind %s: %s", text, why);
}

static int add_local(
        struct opening *opening, const char *text, const struct listener_address *address)
{
	struct target target = {
	        .text = text, .status = opening->status, .length = sizeof(struct sockaddr_un)};
	int result;

	target.address.un.sun_family = AF_UNIX;
	// listener_parse() made sure that it fits.
	memcpy(target.address.un.sun_path, address->host, strlen(address->host) + 1);
	snprintf(target.host, sizeof(target.host), "%s", address->host);
	result = add(opening, &target);
	return result < 0 ? cannot_bind(opening, text, result) : 0;
}

// Adds one result of a name's resolution.
static int add_resolved(
        struct opening *opening, const char *text, bool secure, const struct addrinfo *info)
{
	struct target target = {.text = text,
	        .secure = secure,
	        .status = opening->status,
	        .length = info->ai_addrlen};
	int result;

	if (info->ai_addrlen > sizeof(target.address))
		return -EAFNOSUPPORT;
	memcpy(&target.address, info->ai_addr, info->ai_addrlen);
	result = getnameinfo(&target.address.any, target.length, target.host, sizeof(target.host),
	        NULL, 0, NI_NUMERICHOST);
	return result ? -EAFNOSUPPORT : add(opening, &target);
}

// A name often has an address of a family that this machine doesn't use: one that works is enough.
static bool is_unusable(int result)
{
	return result == -EAFNOSUPPORT || result == -EADDRNOTAVAIL;
}

static int add_network(
        struct opening *opening, const char *text, const struct listener_address *address)
{
	const struct addrinfo hints = {
	        .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *infos;
	int result, bound = 0, unusable = -EADDRNOTAVAIL;

	result =
	        getaddrinfo(address->host[0] ? address->host : NULL, address->port, &hints, &infos);
	if (result)
		return fail(opening, -EADDRNOTAVAIL, "cannot bind %s: %s", text,
		        result == EAI_SYSTEM ? strerror(errno) : gai_strerror(result));
	result = 0;
	for (struct addrinfo *info = infos; info && result == 0; info = info->ai_next) {
		if (bound && atoi(address->port) == 0)
			break;
		result = add_resolved(opening, text, address->secure, info);
		if (result == 0) {
			bound++;
		} else if (is_unusable(result)) {
			unusable = result;
			result = 0;
		}
	}
	freeaddrinfo(infos);
	if (result == 0 && !bound)
		result = unusable;
	return result < 0 ? cannot_bind(opening, text, result) : 0;
}

static int add_text(struct opening *opening, const char *text)
{
	struct listener_address address;
	const char *reason;

	if (!listener_parse(text, &address, &reason))
		return fail(opening, -EINVAL, "cannot bind %s: it %s", text, reason);
	return address.local ? add_local(opening, text, &address)
	                     : add_network(opening, text, &address);
}

static int add_list(struct opening *opening, const struct options_list *addresses, bool status)
{
	int result = 0;

	opening->status = status;
	for (size_t i = 0; i < addresses->count && result == 0; i++)
		result = add_text(opening, addresses->items[i]);
	return result;
}

int listener_set_open(struct listener_set *set, const struct options_list *addresses,
        const struct options_list *status, int backlog, struct listener_set *old,
        char error[LISTENER_ERROR_SIZE])
{
	struct opening opening = {.set = set, .old = old, .backlog = backlog, .error = error};
	int result;

	*set = (struct listener_set){NULL, 0};
	result = add_list(&opening, addresses, false);
	if (result == 0)
		result = add_list(&opening, status, true);
	if (result < 0)
		restore(&opening);
	else
		settle(old);
	return result;
}

void listener_set_close_clients(struct listener_set *set)
{
	size_t left = 0;

	for (size_t i = 0; i < set->count; i++)
		if (set->listeners[i].status)
			set->listeners[left++] = set->listeners[i];
		else
			listener_fini(&set->listeners[i], true);
	set->count = left;
}

void listener_set_fini(struct listener_set *set, bool remove_files)
{
	for (size_t i = 0; i < set->count; i++)
		listener_fini(&set->listeners[i], remove_files);
	free(set->listeners);
	*set = (struct listener_set){NULL, 0};
}
