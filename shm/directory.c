// SPDX-License-Identifier: MIT
#include "shm/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/descriptor.h"
#include "shm/segment.h"

#define OTHERS     0007
#define GROUP_MODE 0070

static const char *type_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFLNK:
		return "a symbolic link";
	case S_IFREG:
		return "a file";
	case S_IFIFO:
		return "a FIFO";
	case S_IFSOCK:
		return "a socket";
	case S_IFDIR:
		return "a directory";
	default:
		return "a device";
	}
}

// ---------------------------------------------------------------------------------------------
// The directory
// ---------------------------------------------------------------------------------------------

static int complain_of_making(const char *path, int error, const struct shm_complaint *complaint)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
		return shm_complain(complaint, -error,
		        "%s: the directory that it belongs in doesn't exist; make it, or set "
		        "FOREBAY_DIR to another one, best on a tmpfs",
		        path);
	case EROFS:
		return shm_complain(complaint, -error,
		        "%s: cannot make the layer on a read-only file system; set FOREBAY_DIR to "
		        "a directory on a tmpfs",
		        path);
	case EACCES:
	case EPERM:
		return shm_complain(complaint, -error,
		        "%s: this user may not make the layer there; set FOREBAY_DIR to a "
		        "directory "
		        "of its own",
		        path);
	case ENOSPC:
	case EDQUOT:
		return shm_complain(complaint, -error,
		        "%s: no space to make the layer there (%s); make room, or set FOREBAY_DIR "
		        "to "
		        "a directory on another file system",
		        path, strerror(error));
	default:
		return shm_complain(complaint, -error,
		        "%s: cannot make the layer's directory: %s; set FOREBAY_DIR to another "
		        "place",
		        path, strerror(error));
	}
}

static int complain_of_opening(const char *path, int error, const struct shm_complaint *complaint)
{
	struct stat stat;

	if (error == ENOENT || lstat(path, &stat) < 0)
		return shm_complain(complaint, -error,
		        error == ENOENT ? "%s: no such layer; start `forebay serve`, or check the "
		                          "name and FOREBAY_DIR"
		                        : "%s: cannot reach the layer's directory; check the "
		                          "permissions above it and FOREBAY_DIR",
		        path);
	if (error == ELOOP || error == ENOTDIR)
		return shm_complain(complaint, -EPROTO,
		        "%s: %s of user %u has the layer's name; have it removed, or choose "
		        "another "
		        "name (--layer)",
		        path, type_name(stat.st_mode), (unsigned)stat.st_uid);
	if (error == EACCES)
		return shm_complain(complaint, -error,
		        "%s: it is user %u's (mode %04o), and this process is user %u; run as that "
		        "user, or choose another name (--layer)",
		        path, (unsigned)stat.st_uid, (unsigned)stat.st_mode & 07777,
		        (unsigned)geteuid());
	return shm_complain(complaint, -error, "%s: cannot open the layer's directory: %s", path,
	        strerror(error));
}

static bool is_trusted(const struct stat *stat, int64_t owner)
{
	if (stat->st_uid == geteuid())
		return true;
	if (owner != -1)
		return stat->st_uid == (uid_t)owner;
	return geteuid() == 0 || (stat->st_mode & GROUP_MODE) == GROUP_MODE;
}

static int judge(const char *path, const struct stat *stat, int64_t owner,
        const struct shm_complaint *complaint)
{
	if (stat->st_mode & OTHERS)
		return shm_complain(complaint, -EACCES,
		        "%s: every user has access (mode %04o), and what they may have put there "
		        "isn't trusted; remove it, or `chmod o= %s` if you trust it",
		        path, (unsigned)stat->st_mode & 07777, path);
	if (!is_trusted(stat, owner))
		return shm_complain(complaint, -EACCES,
		        "%s: it is user %u's (mode %04o), whom this process (user %lld) doesn't "
		        "trust; "
		        "have it removed, run as that user, or choose another name (--layer)",
		        path, (unsigned)stat->st_uid, (unsigned)stat->st_mode & 07777,
		        owner == -1 ? (long long)geteuid() : (long long)owner);
	return 0;
}

int shm_directory_open(
        const char *path, bool make, int64_t owner, const struct shm_complaint *complaint)
{
	struct stat stat;
	int directory, result;

	if (make && mkdir(path, 0700) < 0 && errno != EEXIST)
		return complain_of_making(path, errno, complaint);
	directory =
	        shm_descriptor_lift(open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
	if (directory < 0)
		return complain_of_opening(path, errno, complaint);
	if (fstat(directory, &stat) < 0)
		result = complain_of_opening(path, errno, complaint);
	else
		result = judge(path, &stat, owner, complaint);
	if (result < 0) {
		close(directory);
		return result;
	}
	return directory;
}

int shm_directory_give(int directory, int64_t owner, int64_t group)
{
	struct stat stat;

	if (fstat(directory, &stat) < 0)
		return -errno;
	// A member of the group uses the directory as its owner made it.
	if (stat.st_uid != geteuid() && geteuid() != 0)
		return 0;
	if ((owner != -1 || group != -1) &&
	        fchown(directory, owner == -1 ? (uid_t)-1 : (uid_t)owner,
	                group == -1 ? (gid_t)-1 : (gid_t)group) < 0)
		return -errno;
	return fchmod(directory, group == -1 ? 0700 : 0770) < 0 ? -errno : 0;
}

int shm_directory_hand_over(int directory, int64_t owner)
{
	char name[SHM_FILE_NAME_SIZE] = SHM_SEGMENT_NAME;
	struct stat stat;

	if (fstat(directory, &stat) < 0)
		return -errno;
	if (owner == -1 || stat.st_uid == (uid_t)owner)
		return 0;
	// The directory last: a death in between leaves it ours, and this is done again.
	for (int slot = -1; slot < SHM_PROCESSES; slot++) {
		if (slot >= 0)
			shm_directory_fifo_name((uint32_t)slot, false, name);
		if (fchownat(directory, name, (uid_t)owner, (gid_t)-1, AT_SYMLINK_NOFOLLOW) < 0 &&
		        errno != ENOENT)
			return -errno;
	}
	return fchown(directory, (uid_t)owner, (gid_t)-1) < 0 ? -errno : 0;
}

// ---------------------------------------------------------------------------------------------
// Its files
// ---------------------------------------------------------------------------------------------

static bool is_shared(const struct stat *directory)
{
	return (directory->st_mode & 0020) != 0;
}

const char *shm_directory_objection(
        const struct stat *directory, const struct stat *file, char *text, size_t size)
{
	mode_t right = is_shared(directory) ? 0660 : 0600;

	if (!is_shared(directory) && file->st_uid != directory->st_uid)
		snprintf(text, size, "it is user %u's, its directory user %u's",
		        (unsigned)file->st_uid, (unsigned)directory->st_uid);
	else if (is_shared(directory) && file->st_gid != directory->st_gid)
		snprintf(text, size, "it is group %u's, its directory group %u's",
		        (unsigned)file->st_gid, (unsigned)directory->st_gid);
	else if ((file->st_mode & 07777) != right)
		snprintf(text, size, "it has mode %04o, not %04o", (unsigned)file->st_mode & 07777,
		        (unsigned)right);
	else
		return NULL;
	return text;
}

// What a file in the directory has to become. -1 leaves an owner or a group as it is.
struct aim {
	uid_t owner;
	gid_t group;
	mode_t mode;
};

// A root who looks after another user's layer makes its files that user's. 0 or -errno.
static int take_aim(int directory, struct aim *aim)
{
	struct stat stat;

	if (fstat(directory, &stat) < 0)
		return -errno;
	aim->owner = geteuid() == 0 ? stat.st_uid : (uid_t)-1;
	aim->group = is_shared(&stat) ? stat.st_gid : (gid_t)-1;
	aim->mode = is_shared(&stat) ? 0660 : 0600;
	return 0;
}

int shm_directory_adopt(int directory, int file)
{
	struct aim aim;
	int result = take_aim(directory, &aim);

	if (result == 0 && (fchown(file, aim.owner, aim.group) < 0 || fchmod(file, aim.mode) < 0))
		result = -errno;
	return result;
}

void shm_directory_fifo_name(uint32_t slot, bool leftover, char name[SHM_FILE_NAME_SIZE])
{
	snprintf(name, SHM_FILE_NAME_SIZE, leftover ? "new-bell.%u" : "bell.%u", slot);
}

int shm_directory_slot(const char *name, bool *leftover)
{
	char again[SHM_FILE_NAME_SIZE];
	const char *dot = strchr(name, '.');
	long slot = dot ? strtol(dot + 1, NULL, 10) : -1;

	if (slot < 0 || slot >= SHM_PROCESSES)
		return -1;
	*leftover = name[0] == 'n';
	shm_directory_fifo_name((uint32_t)slot, *leftover, again);
	return strcmp(name, again) == 0 ? (int)slot : -1;
}

static int open_fifo(int directory, const char *name)
{
	struct stat above, stat;
	char text[128];
	int fd = shm_descriptor_lift(
	        openat(directory, name, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));

	if (fd < 0)
		return -errno;
	if (fstat(fd, &stat) == 0 && fstat(directory, &above) == 0 && S_ISFIFO(stat.st_mode) &&
	        !shm_directory_objection(&above, &stat, text, sizeof text))
		return fd;
	close(fd);
	return -EPROTO;
}

// Under a name of its own until it is what others can open, so that a death leaves no half-made FIFO for
// them. Only the slot's holder gets here, so what lies under that name is from a holder that died.
static int make_fifo(int directory, uint32_t slot)
{
	char fresh[SHM_FILE_NAME_SIZE], name[SHM_FILE_NAME_SIZE];
	struct aim aim;
	int result = take_aim(directory, &aim);

	if (result < 0)
		return result;
	shm_directory_fifo_name(slot, true, fresh);
	shm_directory_fifo_name(slot, false, name);
	if (unlinkat(directory, fresh, 0) < 0 && errno != ENOENT)
		return -errno;
	if (mkfifoat(directory, fresh, 0600) < 0 ||
	        fchownat(directory, fresh, aim.owner, aim.group, AT_SYMLINK_NOFOLLOW) < 0 ||
	        fchmodat(directory, fresh, aim.mode, 0) < 0 ||
	        renameat(directory, fresh, directory, name) < 0)
		return -errno;
	return 0;
}

int shm_directory_fifo(int directory, uint32_t slot, bool make)
{
	char name[SHM_FILE_NAME_SIZE];
	int fd, result;

	shm_directory_fifo_name(slot, false, name);
	fd = open_fifo(directory, name);
	// One that is there stays, from one user of the slot to the next, so a cached descriptor stays right.
	if (fd >= 0 || !make)
		return fd;
	result = make_fifo(directory, slot);
	return result < 0 ? result : open_fifo(directory, name);
}
