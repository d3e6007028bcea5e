// SPDX-License-Identifier: MIT
// main.c - the program `forebay`: finds the subcommand and runs it.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "channel/cli.h"
#include "channel/forebay.h"
#include "server/master.h"

static const char usage[] =
        "Usage: forebay SUBCOMMAND [OPTION]...\n"
        "\n"
        "Takes HTTP requests in and lets them out as messages on channels in shared memory.\n"
        "\n"
        "Subcommands:\n"
        "  serve                  serve HTTP, handing requests to consumers\n";

static const char usage_end[] = "\n"
                                "Options:\n"
                                "  --help                 print this and exit\n"
                                "  --version              print the version and exit\n"
                                "\n"
                                "`forebay SUBCOMMAND --help` explains one of them.\n";

static void print_usage(FILE *file)
{
	fprintf(file, "%s%s%s", usage, channel_cli_summary, usage_end);
}

// A standard descriptor that was closed when we were started would be the number of the next file or
// socket, and what is printed would go there. What is opened in its place can't be used either.
static void fill_standard_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			(void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
	}
}

static int end_output(void)
{
	if (fflush(stdout) == 0)
		return 0;
	fprintf(stderr, "forebay: can't write the output: %s\n", strerror(errno));
	return 1;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;

	fill_standard_descriptors();

	if (!name) {
		print_usage(stderr);
		return 2;
	}
	if (strcmp(name, "serve") == 0)
		return master_main(argc - 1, argv + 1);
	if (channel_cli_knows(name))
		return channel_cli_main(argc - 1, argv + 1);
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
		print_usage(stdout);
		return end_output();
	}
	if (strcmp(name, "--version") == 0) {
		puts("forebay " FOREBAY_VERSION);
		return end_output();
	}
	fprintf(stderr, "forebay: there is no subcommand '%s'; `forebay --help` lists all\n", name);
	return 2;
}
