#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Copies shm's sources for the model: sources.py SHM-FOLDER OUT-FILE..., each that of the same name.

The only differences: the sizes below, and shm/atomic.h, which is the model's. With
--mutant NAME SHM-FOLDER OUT-FILE writes one source file, with that mutant's change.
A text to be replaced that isn't there exactly once is an error: then shm has changed, and the
model has to follow.
"""
import argparse
import pathlib
import sys

from mutants import MUTANTS

# Small enough that everything which can happen can be looked at.
SIZES = {
    "segment.h": [
        ("SHM_PROCESSES = 256,", "SHM_PROCESSES = 4,"),
        ("SHM_NARROW_ORDER = 7,", "SHM_NARROW_ORDER = 1,"),
        ("SHM_WIDE_ORDER = 13,", "SHM_WIDE_ORDER = 2,"),
        ("SHM_ENDPOINT_ZONE = 64,", "SHM_ENDPOINT_ZONE = 1,"),
        ("	return class == 0 ? 9 : class == 1 ? 12 : 16;", "	(void)class;\n	return 6;"),
        ("	return class == SHM_CLASSES - 1 ? 8 : 64;",
         "	extern uint32_t model_zone_size[];\n\n	return model_zone_size[class];"),
    ],
    "cell.h": [
        ("	SHM_CELL_BITS = 4,", "	SHM_CELL_BITS = 2,"),
        ("	SHM_CELLS_RESERVED =\n	        16,", "	SHM_CELLS_RESERVED = 1,"),
    ],
    "compact.c": [
        ("#define LEVELS   (64 / SHM_CELL_BITS)", "#define LEVELS   2"),  # as the trees have
        ("WINDOW = 32768 ", "WINDOW = 64 "),
    ],
    "group.c": [
        ("	return (key & 0x0f0f0f0f0f0f0f0full) << 4 | (key >> 4 & 0x0f0f0f0f0f0f0f0full);\n",
         "	key = (key & 0x0f0f0f0f0f0f0f0full) << 4 | (key >> 4 & 0x0f0f0f0f0f0f0f0full);\n"
         "	return (key & 0x3333333333333333ull) << 2 | (key >> 2 & 0x3333333333333333ull);\n"),
    ],
    "metric.h": [
        ("	SHM_METRIC_NAME_SIZE = 128,", "	SHM_METRIC_NAME_SIZE = 8,"),
        ("	SHM_METRIC_HELP_SIZE = 112,", "	SHM_METRIC_HELP_SIZE = 8,"),
    ],
    "prefix.h": [
        ("SHM_PREFIXES = 64,", "SHM_PREFIXES = 1,"),
    ],
    "table.h": [
        ("#define SHM_NAME_SIZE 208", "#define SHM_NAME_SIZE 16"),
        ("SHM_WAITER_WORDS = SHM_PROCESSES / 64,", "SHM_WAITER_WORDS = 1,"),
    ],
}


def replace(text, old, new, where):
    if text.count(old) != 1:
        sys.exit(f"sources.py: {where}: {old!r} is there {text.count(old)} times, not once")
    return text.replace(old, new)


def write(path, text):
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def write_mutant(name, shm, out):
    file, changes = MUTANTS[name]
    text = (shm / file).read_text()
    for old, new in SIZES.get(file, []) + changes:
        text = replace(text, old, new, f"{name}: {file}")
    write(out, text)


def write_copy(shm, out):
    text = (shm / out.name).read_text()
    for old, new in SIZES.get(out.name, []):
        text = replace(text, old, new, out.name)
    if out.name == "atomic.h":
        text = '#include "tests/model/atomic.h"\n'
    write(out, text)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutant", metavar="NAME")
    parser.add_argument("shm", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path, nargs="+")
    options = parser.parse_args()
    for out in options.out:
        if options.mutant:
            write_mutant(options.mutant, options.shm, out)
        else:
            write_copy(options.shm, out)


if __name__ == "__main__":
    main()
