// SPDX-License-Identifier: MIT
// replay.c - runs a fuzz target over the files and directories given, without libFuzzer; TAP on stdout.
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

// The file is read into memory of exactly its size, so that a sanitizer sees a read behind its end.
static bool replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct stat status;

	if (!file)
		return false;
	if (fstat(fileno(file), &status) < 0) {
		fclose(file);
		return false;
	}

	size_t size = (size_t)status.st_size;
	uint8_t *data = malloc(size ? size : 1);
	bool good = data && fread(data, 1, size, file) == size;

	fclose(file);
	if (good)
		LLVMFuzzerTestOneInput(data, size);
	free(data);
	return good;
}

static bool replay_directory(const char *path, unsigned *files)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	bool good = directory != NULL;

	while (good && (entry = readdir(directory))) {
		char name[4096];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		// Said first: a target that fails aborts.
		printf("# %s\n", name);
		good = replay_file(name);
		++*files;
	}
	if (directory)
		closedir(directory);
	return good;
}

int main(int argc, char **argv)
{
	int failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("1..%d\n", argc - 1);
	for (int i = 1; i < argc; i++) {
		struct stat status;
		unsigned files = 1;
		bool directory = stat(argv[i], &status) == 0 && S_ISDIR(status.st_mode);

		if (directory)
			files = 0;
		bool good = directory ? replay_directory(argv[i], &files) : replay_file(argv[i]);
		// A corpus that has gone must not pass for one that was replayed.
		good = good && files > 0;
		printf("%s %d - %s, %u inputs\n", good ? "ok" : "not ok", i, argv[i], files);
		failed += !good;
	}
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
