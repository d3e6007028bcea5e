# SPDX-License-Identifier: MIT
"""What the benchmarks share: building, the machine's description, tables, the place in README.md."""

import contextlib
import os
import pathlib
import platform
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def prepare(script):
    """Runs SCRIPT in bash with the functions that the other scripts use."""
    subprocess.run(["bash", "-euc", f'. "$0"; {script}', ROOT / "scripts/lib.sh"],
                   stdin=subprocess.DEVNULL, stdout=sys.stderr, check=True)


def machine():
    model = "unknown processor"
    with contextlib.suppress(OSError):
        found = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
        model = found.group(1) if found else model
    gibibytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return (f"{len(os.sched_getaffinity(0))} x {model}, {gibibytes:.0f} GiB, "
            f"Linux {platform.release()}")


def table(rows):
    """ROWS of strings, the first being the heads, as a Markdown table."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |"
             for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def write(marker, text):
    """Puts TEXT into README.md between <!-- MARKER --> and <!-- end of MARKER -->."""
    readme = ROOT / "README.md"
    old = readme.read_text()
    begin, end = f"<!-- {marker} -->\n", f"<!-- end of {marker} -->\n"
    before, found, rest = old.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        sys.exit(f"README.md has no place marked {marker}")
    readme.write_text(before + begin + text + "\n" + end + after)
