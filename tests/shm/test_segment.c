// SPDX-License-Identifier: MIT
// What is attached to must be what this program would have made; everything else is refused by name.

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>

#include "shm/directory.h"
#include "tests/shm/support.h"

static int open_again(char *error, size_t size)
{
	struct shm_terms terms = support_terms(NULL);
	struct shm_segment segment;
	int result = shm_segment_open(&segment, support_directory(), &terms, error, size);

	shm_segment_fini(&segment);
	return result;
}

static unsigned allocations,
        interruptions; // of files; these come before each of those that succeed

// In the C library's place: as the kernel does it when signals come.
int posix_fallocate(int file, off_t offset, off_t length)
{
	static unsigned in_a_row;

	if (in_a_row++ < interruptions)
		return EINTR;
	in_a_row = 0;
	allocations++;
	return fallocate(file, 0, offset, length) < 0 ? errno : 0;
}

static int segment_file(int flags)
{
	char path[512];

	snprintf(path, sizeof path, "%s/segment", support_directory());
	return open(path, flags, 0600);
}

TEST(the_first_makes_the_segment_and_the_second_finds_it)
{
	struct attachment first, second;

	attach(&first);
	attach(&second);
	EXPECT(first.segment.identity == second.segment.identity);
	EXPECT(first.self.slot != second.self.slot);
	EXPECT(first.segment.size == shm_geometry_size(&first.segment.geometry));
	detach(&first);
	detach(&second);
	discard();
}

TEST(a_signal_while_memory_is_allocated_is_no_failure)
{
	struct attachment attachment;

	allocations = 0;
	interruptions = 3;
	attach(&attachment);
	interruptions = 0;
	// Not all at once, or with a timer running it might never come to an end.
	EXPECT(allocations > 1);
	detach(&attachment);
	discard();
}

TEST(without_a_geometry_a_missing_segment_is_an_error_with_a_remedy)
{
	char error[512] = "";

	EXPECT_INT(open_again(error, sizeof error), -ENOENT);
	EXPECT(strstr(error, support_directory()) != NULL);
	EXPECT(strstr(error, "forebay serve") != NULL);
}

TEST(a_foreign_a_truncated_and_another_versions_file_are_refused)
{
	struct attachment attachment;
	char error[512] = "";
	uint32_t version = 99, ours;
	int file;

	attach(&attachment);
	detach(&attachment);
	file = segment_file(O_RDWR);
	EXPECT(file >= 0);
	EXPECT(pread(file, &ours, sizeof ours, 8) == sizeof ours);
	EXPECT(pwrite(file, &version, sizeof version, 8) == sizeof version);
	EXPECT_INT(open_again(error, sizeof error), -EPROTO);
	EXPECT(strstr(error, "another version") != NULL);
	EXPECT(pwrite(file, &ours, sizeof ours, 8) == sizeof ours);
	EXPECT_INT(open_again(error, sizeof error), 0);
	EXPECT(ftruncate(file, 100000) == 0);
	EXPECT_INT(open_again(error, sizeof error), -EPROTO);
	EXPECT(strstr(error, "truncated") != NULL);
	EXPECT(ftruncate(file, 100) == 0);
	EXPECT_INT(open_again(error, sizeof error), -EPROTO);
	close(file);
	discard();
	EXPECT(mkdir(support_directory(), 0700) == 0);
	file = segment_file(O_RDWR | O_CREAT);
	EXPECT(write(file, support_path, 200) == 200 && ftruncate(file, 1 << 20) == 0);
	close(file);
	EXPECT_INT(open_again(error, sizeof error), -EPROTO);
	EXPECT(strstr(error, "not a forebay segment") != NULL);
	discard();
}

// Attaches with leave to make; the file that refuses it is named in ERROR.
static int open_or_make(const struct shm_terms *terms, char *error, size_t size)
{
	struct shm_segment segment;
	int result = shm_segment_open(&segment, support_directory(), terms, error, size);

	shm_segment_fini(&segment);
	return result;
}

// Whether TERMS are refused with RESULT and a sentence with the path and with WORD.
static bool is_refused(const struct shm_terms *terms, int result, const char *word)
{
	char error[512] = "";
	int got = open_or_make(terms, error, sizeof error);

	if (got == result && strstr(error, support_directory()) && strstr(error, word) &&
	        !strchr(error, '\n'))
		return true;
	printf("# %d: %s\n", got, error);
	return false;
}

TEST(what_squats_on_the_layers_name_is_refused)
{
	struct shm_geometry geometry = support_geometry();
	struct shm_terms terms = support_terms(&geometry);
	int file;

	EXPECT(symlink("/tmp", support_directory()) == 0);
	EXPECT(is_refused(&terms, -EPROTO, "symbolic link"));
	EXPECT(unlink(support_directory()) == 0);
	file = open(support_directory(), O_CREAT | O_WRONLY, 0600);
	EXPECT(file >= 0);
	close(file);
	EXPECT(is_refused(&terms, -EPROTO, "a file of user"));
	EXPECT(unlink(support_directory()) == 0);
	EXPECT(mkfifo(support_directory(), 0600) == 0);
	EXPECT(is_refused(&terms, -EPROTO, "a FIFO of user"));
	EXPECT(unlink(support_directory()) == 0);
	EXPECT(mkdir(support_directory(), 0700) == 0 && chmod(support_directory(), 0777) == 0);
	EXPECT(is_refused(&terms, -EACCES, "mode 0777"));
	discard();
}

TEST(another_users_directory_is_refused_by_who_wants_his_own)
{
	struct shm_geometry geometry = support_geometry();
	struct shm_terms terms = support_terms(&geometry);

	if (geteuid() != 0) {
		printf("# only root can make somebody else's directory\n");
		return;
	}
	terms.owner = 0;
	EXPECT(mkdir(support_directory(), 0700) == 0 && chown(support_directory(), 1, 1) == 0);
	EXPECT(is_refused(&terms, -EACCES, "user 1's"));
	terms.owner = -1; // root, who only looks
	EXPECT_INT(open_or_make(&terms, (char[512]){""}, 512), 0);
	discard();
}

TEST(the_layer_of_root_is_handed_over_to_the_user_it_is_for)
{
	struct shm_geometry geometry = support_geometry();
	struct shm_terms terms = support_terms(&geometry);
	struct attachment attachment;
	struct stat stat;

	if (geteuid() != 0) {
		printf("# only root can give a layer away\n");
		return;
	}
	attach(&attachment);
	close(shm_directory_fifo(attachment.segment.directory, attachment.self.slot, true));
	terms.owner = 1;
	EXPECT_INT(open_or_make(&terms, (char[512]){""}, 512), 0);
	EXPECT(fstat(attachment.segment.directory, &stat) == 0 && stat.st_uid == 1);
	EXPECT(fstat(attachment.segment.file, &stat) == 0 && stat.st_uid == 1);
	EXPECT(fstatat(attachment.segment.directory, "bell.0", &stat, 0) == 0 && stat.st_uid == 1);
	detach(&attachment);
	discard();
}

TEST(a_segment_file_that_others_could_write_is_refused)
{
	struct shm_geometry geometry = support_geometry();
	struct shm_terms terms = support_terms(&geometry);
	struct attachment attachment;
	char path[512], other[512];

	attach(&attachment);
	detach(&attachment);
	snprintf(path, sizeof path, "%s/segment", support_directory());
	snprintf(other, sizeof other, "%s.link", support_directory());
	EXPECT(chmod(path, 0666) == 0);
	EXPECT(is_refused(&terms, -EACCES, "mode 0666"));
	EXPECT(chmod(path, 0660) == 0);
	EXPECT(is_refused(&terms, -EACCES, "mode 0660"));
	EXPECT(chmod(path, 0600) == 0);
	EXPECT(link(path, other) == 0);
	EXPECT(is_refused(&terms, -EPROTO, "2 names"));
	EXPECT(unlink(path) == 0 && symlink(other, path) == 0);
	EXPECT(is_refused(&terms, -EPROTO, "not a regular file"));
	EXPECT(unlink(path) == 0 && mkfifo(path, 0600) == 0);
	EXPECT(is_refused(&terms, -EPROTO, "not a regular file"));
	EXPECT(unlink(path) == 0 && mkdir(path, 0700) == 0);
	EXPECT(is_refused(&terms, -EPROTO, "not a regular file"));
	EXPECT(rmdir(path) == 0 && unlink(other) == 0);
	discard();
}

TEST(what_a_maker_that_died_left_undone_is_done)
{
	struct shm_geometry geometry = support_geometry();
	struct shm_terms terms = support_terms(&geometry);
	struct shm_segment segment;
	struct stat stat;
	char error[512];

	// It died after mkdir(), before the directory was the group's.
	EXPECT(mkdir(support_directory(), 0700) == 0);
	terms.group = getegid();
	EXPECT_INT(shm_segment_open(&segment, support_directory(), &terms, error, sizeof error), 0);
	EXPECT_INT(segment.origin, SHM_MADE);
	EXPECT(fstat(segment.directory, &stat) == 0 && (stat.st_mode & 07777) == 0770);
	EXPECT(fstat(segment.file, &stat) == 0 && (stat.st_mode & 07777) == 0660);
	EXPECT(!shm_segment_differs(&segment, &terms));
	terms.group = -1;
	EXPECT(shm_segment_differs(&segment, &terms));
	shm_segment_fini(&segment);
	discard();
}

TEST(a_fifo_appears_complete_and_a_wrong_one_is_replaced)
{
	struct attachment attachment;
	struct stat stat;
	int directory, fifo;

	attach(&attachment);
	directory = attachment.segment.directory;
	EXPECT_INT(shm_directory_fifo(directory, 7, false), -ENOENT);
	EXPECT(mkfifoat(directory, "new-bell.7", 0600) == 0); // its maker died
	fifo = shm_directory_fifo(directory, 7, true);
	EXPECT(fifo >= 0 && fstat(fifo, &stat) == 0 && (stat.st_mode & 07777) == 0600);
	close(fifo);
	EXPECT(fstatat(directory, "new-bell.7", &stat, 0) < 0);
	EXPECT(fchmodat(directory, "bell.7", 0666, 0) == 0);
	EXPECT_INT(shm_directory_fifo(directory, 7, false), -EPROTO);
	EXPECT(unlinkat(directory, "bell.7", 0) == 0);
	EXPECT(symlinkat("/dev/null", directory, "bell.7") == 0);
	EXPECT(shm_directory_fifo(directory, 7, false) < 0);
	fifo = shm_directory_fifo(directory, 7, true);
	EXPECT(fifo >= 0 && fstat(fifo, &stat) == 0 && S_ISFIFO(stat.st_mode));
	close(fifo);
	detach(&attachment);
	discard();
}

// What it prints would go into the segment, else.
TEST(a_process_without_standard_descriptors_gets_none_of_their_numbers)
{
	struct attachment attachment;
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
			close(fd);
		attach(&attachment);
		for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
			if (fcntl(fd, F_GETFD) >= 0)
				_exit(EXIT_FAILURE);
		}
		_exit(shm_directory_fifo(attachment.segment.directory, attachment.self.slot,
		              true) <= STDERR_FILENO);
	}
	waitpid(pid, &status, 0);
	EXPECT_INT(status, 0);
	discard();
}

TEST(a_segment_made_in_other_terms_is_replaced_when_nobody_is_attached)
{
	struct shm_geometry geometry = support_geometry();
	struct shm_terms terms = support_terms(&geometry);
	struct attachment attached, late;
	struct shm_segment segment;
	uint64_t identity;
	char error[512];

	attach(&attached);
	identity = attached.segment.identity;
	geometry.narrow *= 2;
	terms.replace = true;
	EXPECT_INT(shm_segment_open(&segment, support_directory(), &terms, error, sizeof error), 0);
	EXPECT(segment.origin == SHM_FOUND && segment.identity == identity);
	EXPECT(shm_segment_differs(&segment, &terms));
	// One that has opened it, and joins when it has been replaced, is told to open it again.
	late.segment = segment;
	leave(&attached);
	EXPECT_INT(shm_segment_open(&segment, support_directory(), &terms, error, sizeof error), 0);
	EXPECT(segment.origin == SHM_REPLACED && segment.identity != identity);
	EXPECT_INT(segment.geometry.narrow, geometry.narrow);
	EXPECT_INT(shm_process_join(&late.self, &late.segment, "late"), -ESTALE);
	shm_segment_fini(&late.segment);
	shm_segment_fini(&segment);
	shm_segment_fini(&attached.segment);
	// As it is wanted: it stays.
	EXPECT_INT(shm_segment_open(&segment, support_directory(), &terms, error, sizeof error), 0);
	EXPECT_INT(segment.origin, SHM_FOUND);
	shm_segment_fini(&segment);
	discard();
}

TEST(a_chosen_geometry_fits_its_size_and_an_impossible_one_is_refused)
{
	struct shm_geometry geometry;

	for (uint64_t size = 10 << 20; size < 1ull << 32; size *= 3) {
		EXPECT_INT(shm_geometry_choose(&geometry, size, 1024, 65536, 0), 0);
		EXPECT(shm_geometry_size(&geometry) <= size + 16384);
		EXPECT(shm_geometry_size(&geometry) > size / 2);
	}
	EXPECT_INT(shm_geometry_choose(&geometry, 1 << 20, 1024, 65536, 0), -EINVAL);
	EXPECT_INT(shm_geometry_choose(&geometry, 1ull << 30, 1u << 30, 65536, 0), -EINVAL);
	EXPECT_INT(shm_geometry_choose(&geometry, 1ull << 30, 1024, 1u << 30, 0), -EINVAL);
	EXPECT_INT(shm_geometry_choose(&geometry, 1ull << 30, 1024, 65536, 1u << 30), -EINVAL);
}
