// SPDX-License-Identifier: MIT
// check_directory.c - the files beside the segment.
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/check_region.h"
#include "shm/directory.h"

enum {
	FILES_MAX = 4096,
};

// Takes the names down once, since a directory that changes can't be numbered.
static uint32_t count_files(struct examination *examination)
{
	int copy = openat(examination->segment->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *entry;

	examination->files = stream ? calloc(FILES_MAX, sizeof *examination->files) : NULL;
	while (examination->files && examination->file_count < FILES_MAX &&
	        (entry = readdir(stream))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			snprintf(examination->files[examination->file_count++],
			        sizeof *examination->files, "%s", entry->d_name);
	}
	if (stream)
		closedir(stream);
	else if (copy >= 0)
		close(copy);
	return examination->file_count;
}

static void make_printable(const char *name, char *text, size_t size)
{
	snprintf(text, size, "%s", name);
	for (; *text; text++)
		if (*text < 0x20 || *text > 0x7e)
			*text = '?';
}

static bool look_at_name(struct examination *examination, uint32_t index, struct suspicion *found)
{
	const char *name = examination->files[index];
	struct stat above, stat;
	char text[256];
	bool leftover;
	int slot = shm_directory_slot(name, &leftover);

	if (strcmp(name, SHM_SEGMENT_NAME) == 0 ||
	        fstatat(examination->segment->directory, name, &stat, AT_SYMLINK_NOFOLLOW) < 0 ||
	        fstat(examination->segment->directory, &above) < 0)
		return false;
	make_printable(name, text, sizeof text);
	if (slot < 0)
		return suspect(found, SHM_FINDING_STRANGER, stat.st_ino, "file %s", text);
	if (leftover)
		return !examination->locked[slot] &&
		       suspect(found, SHM_FINDING_LEFTOVER, stat.st_ino, "file %s", text);
	if (!S_ISFIFO(stat.st_mode))
		return suspect(
		        found, SHM_FINDING_BAD_FIFO, stat.st_ino, "file %s: it is no FIFO", text);
	if (!shm_directory_objection(&above, &stat, text, sizeof text))
		return false;
	return suspect(found, SHM_FINDING_BAD_FIFO, stat.st_ino, "file %s: %s", name, text);
}

static bool mend_fifo(int directory, const char *name)
{
	int fifo = openat(directory, name, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	struct stat stat;
	bool mended = false;

	if (fifo >= 0 && fstat(fifo, &stat) == 0 && S_ISFIFO(stat.st_mode))
		mended = shm_directory_adopt(directory, fifo) == 0;
	if (fifo >= 0)
		close(fifo);
	// What is no FIFO, or can't be made right, isn't in use: its process makes another if it needs one.
	return mended || unlinkat(directory, name, 0) == 0;
}

static bool mend_name(struct examination *examination, const struct suspicion *found)
{
	int directory = examination->segment->directory;
	const char *name = examination->files[found->index];
	bool leftover;
	int slot = shm_directory_slot(name, &leftover);
	struct shm_table *table = examination->check->table;
	bool removed;

	if (found->kind == SHM_FINDING_BAD_FIFO)
		return mend_fifo(directory, name);
	if (found->kind != SHM_FINDING_LEFTOVER || slot < 0)
		return false;
	if ((uint32_t)slot == table->self->slot)
		return unlinkat(directory, name, 0) == 0;
	// Under the slot's lock, so that nobody is just making it.
	if (!shm_process_lock(table->self, (uint32_t)slot))
		return false;
	removed = unlinkat(directory, name, 0) == 0;
	shm_process_unlock(table->self, (uint32_t)slot);
	return removed;
}

const struct region region_directory = {count_files, look_at_name, mend_name};
