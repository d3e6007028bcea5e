// SPDX-License-Identifier: MIT
// replay.c - runs one fuzz target over the files of its corpus, where libFuzzer isn't linked in.
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Runs the target over the file, in a block of exactly its size, so that AddressSanitizer sees each
// octet read too many.
static int replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = NULL;
	int result = -1;
	long size;

	if (!file)
		return -1;
	if (fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0 ||
	        fseek(file, 0, SEEK_SET) != 0)
		goto out;
	data = malloc((size_t)size ? (size_t)size : 1);
	if (!data || fread(data, 1, (size_t)size, file) != (size_t)size)
		goto out;
	LLVMFuzzerTestOneInput(data, (size_t)size);
	result = 0;
out:
	free(data);
	fclose(file);
	return result;
}

// Returns how many files were replayed, or -1.
static int replay_directory(const char *directory)
{
	DIR *stream = opendir(directory);
	struct dirent *entry;
	char path[4096];
	int count = 0;

	if (!stream)
		return -1;
	while ((entry = readdir(stream))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
		if (replay_file(path) != 0) {
			printf("# %s: %s\n", path, strerror(errno));
			count = -1;
			break;
		}
		count++;
	}
	closedir(stream);
	return count;
}

int main(int argc, char **argv)
{
	int count;

	if (argc != 2) {
		fprintf(stderr, "Usage: %s CORPUS-DIRECTORY\n", argv[0]);
		return 2;
	}
	count = replay_directory(argv[1]);
	printf("%s 1 - %d inputs\n1..1\n", count > 0 ? "ok" : "not ok", count);
	return count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
