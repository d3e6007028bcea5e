// SPDX-License-Identifier: MIT
// config_file.h - a configuration file: lines of `name = value`, `#` begins a comment.
//
//   # A comment has a line of its own, or follows white space.
//   bind = 127.0.0.1:8000        # names are those of the command line, without the dashes
//   app = "sh -c 'echo # a value in double quotes is taken as it is; \" and \\ stand for \" and \'"
#pragma once

#include <stddef.h>

// Positive results, beside a negative errno for a file that can't be read.
enum config_file_outcome {
	CONFIG_FILE_INVALID = 2, // a line is malformed: REASON (static) says how, *LINE where
};

// Called for each setting; NAME and VALUE are NUL-terminated and valid during the call. A result
// other than 0 ends the reading, which returns it.
typedef int config_file_setting(const char *name, const char *value, int line, void *context);

int config_file_read(const char *path, config_file_setting *setting, void *context, int *line,
        const char **reason);
