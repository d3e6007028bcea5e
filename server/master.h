// SPDX-License-Identifier: MIT
// master.h - the master process: `forebay serve`.
//
// It reads the options, makes the layer, binds the addresses, starts workers and applications, and
// then waits for signals: HUP reloads, USR1 reopens the logs, TERM (or INT once) stops gracefully,
// INT twice stops at once. It touches no client's byte.
#pragma once

// Runs it to its end; argv[0] is the subcommand. Returns the exit status: 0 stopped as it was told
// to, 1 the environment is at fault, 2 the command line or a configuration file is.
int master_main(int argc, char **argv);
