// SPDX-License-Identifier: MIT
// cli.h - the subcommands of `forebay` that use a layer: send, receive, tail, stat, top,
// group, flush, check.
//
// Written on the public interface alone, but for check, which looks below it. Unlike the rest of channel/ it is a
// program's main: it prints, installs signal handlers and decides exit statuses.
#pragma once

#include <stdbool.h>

// One line for each subcommand, for the program's --help.
extern const char channel_cli_summary[];

// Whether NAME is one of the subcommands.
bool channel_cli_knows(const char *name);

// Runs the subcommand argv[0] and returns the exit status: 0 done, 1 failed, 2 wrong usage, 3 timed
// out. Errors go to stderr, one sentence each. It must be the last thing the process does.
int channel_cli_main(int argc, char **argv);
