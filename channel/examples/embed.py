#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes a text file into a C header that defines it as an array: embed.py FILE HEADER NAME."""

import sys


def quoted(line: bytes) -> str:
    """The line as a C string literal; octal escapes, unlike \\x, end after three digits."""
    plain = {octet for octet in range(0x20, 0x7F)} - set(b'"\\?')
    return '"' + "".join(chr(o) if o in plain else f"\\{o:03o}" for o in line) + '"'


def main() -> None:
    source, header, name = sys.argv[1:]
    with open(source, "rb") as file:
        lines = file.read().splitlines(keepends=True)
    with open(header, "w", encoding="ascii") as file:
        file.write("#pragma once\n\n")
        file.write(f"static const char {name}[] =\n\t" + "\n\t".join(map(quoted, lines)) + ";\n")
        file.write(f"enum {{ {name}_size = sizeof {name} - 1 }};\n")


main()
