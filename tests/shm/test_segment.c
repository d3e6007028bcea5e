// SPDX-License-Identifier: MIT
// What is attached to must be what this program would have made; everything else is refused by name.

#include <errno.h>
#include <fcntl.h>

#include "tests/shm/support.h"

static int open_again(char *error, size_t size)
{
	struct shm_segment segment;
	int result = shm_segment_open(&segment, support_directory(), NULL, "", -1, error, size);

	shm_segment_fini(&segment);
	return result;
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
	uint32_t version = 99;
	int file;

	attach(&attachment);
	detach(&attachment);
	file = segment_file(O_RDWR);
	EXPECT(file >= 0);
	EXPECT(pwrite(file, &version, sizeof version, 8) == sizeof version);
	EXPECT_INT(open_again(error, sizeof error), -EPROTO);
	EXPECT(strstr(error, "another version") != NULL);
	version = 1;
	EXPECT(pwrite(file, &version, sizeof version, 8) == sizeof version);
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

TEST(a_symlink_and_a_directory_open_to_others_are_refused)
{
	struct shm_geometry geometry = support_geometry();
	struct shm_segment segment;
	char error[512] = "";

	EXPECT(symlink("/tmp", support_directory()) == 0);
	EXPECT(shm_segment_open(
	               &segment, support_directory(), &geometry, "", -1, error, sizeof error) < 0);
	EXPECT(unlink(support_directory()) == 0);
	EXPECT(mkdir(support_directory(), 0700) == 0 && chmod(support_directory(), 0777) == 0);
	EXPECT_INT(shm_segment_open(
	                   &segment, support_directory(), &geometry, "", -1, error, sizeof error),
	        -EACCES);
	EXPECT(strstr(error, "mode 777") != NULL);
	discard();
}

TEST(a_chosen_geometry_fits_its_size_and_an_impossible_one_is_refused)
{
	struct shm_geometry geometry;

	for (uint64_t size = 8 << 20; size < 1ull << 32; size *= 3) {
		EXPECT_INT(shm_geometry_choose(&geometry, size, 1024, 65536), 0);
		EXPECT(shm_geometry_size(&geometry) <= size + 16384);
		EXPECT(shm_geometry_size(&geometry) > size / 2);
	}
	EXPECT_INT(shm_geometry_choose(&geometry, 1 << 20, 1024, 65536), -EINVAL);
	EXPECT_INT(shm_geometry_choose(&geometry, 1ull << 30, 1u << 30, 65536), -EINVAL);
	EXPECT_INT(shm_geometry_choose(&geometry, 1ull << 30, 1024, 1u << 30), -EINVAL);
}
