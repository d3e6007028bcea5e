// SPDX-License-Identifier: MIT
// privileges.h - the user that workers and applications run as.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct privileges {
	bool change; // otherwise children stay what the master is
	uid_t user;
	gid_t group;
	char *name; // of the user, for initgroups(); NULL if only the group was given
};

#define PRIVILEGES_ERROR_SIZE 256

// Looks USER and GROUP up (either may be NULL: not given). Returns 0, or a negative errno and ERROR, a
// sentence: unknown names, or a master that isn't root and can't change. End it with privileges_fini().
int privileges_find(struct privileges *privileges, const char *user, const char *group,
        char error[PRIVILEGES_ERROR_SIZE]);

void privileges_fini(struct privileges *privileges);

// Gives up the master's privileges for good. For a child that was just forked. Returns 0 or -errno.
int privileges_drop(const struct privileges *privileges);

// Makes sure that a child can append to the file PATH: makes it if needed, and gives it away. Returns
// 0 or -errno.
int privileges_give_log(const struct privileges *privileges, const char *path);
