// SPDX-License-Identifier: MIT
// directory.h - the directory of a layer: whose it may be, and how its files come and go.
//
//   forebay.NAME/     0700, or 0770 and a group's
//     segment         0600, or 0660; appears complete, by a link (segment.c)
//     bell.SLOT       FIFO of the process in that slot; appears complete, by a rename
//     new-bell.SLOT   what a process that died while making its FIFO leaves; its successor replaces it
//
// Who may write the directory may write everything in it, so owner and mode of the directory are what
// is trusted, and its files must have the same. In a directory such as /dev/shm anybody may make a
// name first; what such a squatter made is refused because it isn't ours.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "shm/complaint.h"

enum {
	SHM_FILE_NAME_SIZE = 32,
};

#define SHM_SEGMENT_NAME "segment"

// Opens the directory PATH, making it (0700) first if MAKE says so. OWNER is the uid it must belong to
// (its own is accepted from root, who gives it away in shm_directory_give()), or -1: then a group's
// directory is trusted too, and root may use anybody's. Returns a descriptor, or a negative errno and
// a complaint.
int shm_directory_open(
        const char *path, bool make, int64_t owner, const struct shm_complaint *complaint);

// Makes a directory that holds no segment yet OWNER's and GROUP's (-1: the caller's own, and no
// group's), if it is ours to give: also what is left to do after a maker died in between. 0 or -errno.
int shm_directory_give(int directory, int64_t owner, int64_t group);

// Gives a directory with all its files to OWNER, if it is ours and OWNER is another: for root, whose
// processes are to become another user than those that made the layer. 0 or -errno.
int shm_directory_hand_over(int directory, int64_t owner);

// Whether a file in DIRECTORY has the owner and mode that follow from the directory's. NULL, or what
// is wrong as a piece of a sentence ("it has mode 0666").
const char *shm_directory_objection(
        const struct stat *directory, const struct stat *file, char *text, size_t size);

// Gives FILE (a descriptor) the owner and mode that follow from the directory's. 0 or -errno.
int shm_directory_adopt(int directory, int file);

// Opens SLOT's FIFO for reading and writing, without blocking, so that there's never a SIGPIPE nor an end of
// file. With MAKE (by the slot's holder only) it is made first if there is none that is right.
// Returns a descriptor or a negative errno.
int shm_directory_fifo(int directory, uint32_t slot, bool make);

// The slot whose file NAME is, or -1; *LEFTOVER: of one that wasn't completed.
int shm_directory_slot(const char *name, bool *leftover);

// Names of SLOT's FIFO, and of one that isn't complete.
void shm_directory_fifo_name(uint32_t slot, bool leftover, char name[SHM_FILE_NAME_SIZE]);
