// SPDX-License-Identifier: MIT
// privileges.c - the user that workers and applications run as.
#include "server/privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/log_file.h"

__attribute__((format(printf, 2, 3))) static int refuse(char *error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error, PRIVILEGES_ERROR_SIZE, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

static int find_user(struct privileges *privileges, const char *user, char *error)
{
	const struct passwd *entry = getpwnam(user);

	if (!entry)
		return refuse(error, "--user: there is no user '%s'", user);
	privileges->user = entry->pw_uid;
	privileges->group = entry->pw_gid;
	privileges->name = strdup(user);
	return privileges->name ? 0 : refuse(error, "out of memory");
}

int privileges_find(struct privileges *privileges, const char *user, const char *group,
        char error[PRIVILEGES_ERROR_SIZE])
{
	*privileges = (struct privileges){.user = geteuid(), .group = getegid()};
	if (user && find_user(privileges, user, error) < 0)
		return -EINVAL;
	if (group) {
		const struct group *entry = getgrnam(group);

		if (!entry)
			return refuse(error, "--group: there is no group '%s'", group);
		privileges->group = entry->gr_gid;
	}
	privileges->change = privileges->user != geteuid() || privileges->group != getegid();
	if (privileges->change && geteuid() != 0)
		return refuse(error, "--user and --group: only root can change them");
	return 0;
}

void privileges_fini(struct privileges *privileges)
{
	free(privileges->name);
	*privileges = (struct privileges){.change = false};
}

int privileges_drop(const struct privileges *privileges)
{
	if (!privileges->change)
		return 0;
	if (privileges->name ? initgroups(privileges->name, privileges->group) < 0
	                     : setgroups(1, &privileges->group) < 0)
		return -errno;
	if (setresgid(privileges->group, privileges->group, privileges->group) < 0)
		return -errno;
	if (setresuid(privileges->user, privileges->user, privileges->user) < 0)
		return -errno;
	return 0;
}

int privileges_give_log(const struct privileges *privileges, const char *path)
{
	int fd = log_file_open(path), result = 0;

	if (fd < 0)
		return fd;
	if (privileges->change && fchown(fd, privileges->user, privileges->group) < 0)
		result = -errno;
	close(fd);
	return result;
}
