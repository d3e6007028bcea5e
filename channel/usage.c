// SPDX-License-Identifier: MIT
#include "channel/usage.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// Reads a small file of a process. False if there is no such process.
static bool read_file(const char *proc, int32_t pid, const char *name, char *text, size_t size)
{
	char path[128];
	ssize_t got;
	int file;

	snprintf(path, sizeof path, "%s/%" PRId32 "/%s", proc, pid, name);
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return false;
	got = read(file, text, size - 1);
	close(file);
	if (got <= 0)
		return false;
	text[got] = '\0';
	return true;
}

bool channel_usage_read(const char *proc, int32_t pid, struct channel_usage *usage)
{
	uint64_t user, system, resident, shared;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	char text[1024];
	const char *behind;

	*usage = (struct channel_usage){0};
	if (!read_file(proc, pid, "stat", text, sizeof text))
		return false;
	// The second field is a name in parentheses, with anything in it; see proc(5).
	behind = strrchr(text, ')');
	if (!behind || sscanf(behind + 1,
	                       " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64 " %" SCNu64
	                       " %*s %*s %*s %*s %*s %*s %" SCNu64,
	                       &user, &system, &usage->started) != 3)
		return false;
	usage->ticks = user + system;
	if (!read_file(proc, pid, "statm", text, sizeof text) ||
	        sscanf(text, "%*s %" SCNu64 " %" SCNu64, &resident, &shared) != 2)
		return false;
	usage->resident = resident * page;
	usage->own = resident > shared ? (resident - shared) * page : 0;
	return true;
}
