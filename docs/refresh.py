"""Run the commands of a page anew and put what they print beneath them.

    AESMAMBA_DATA=… python docs/refresh.py [--only WORD] docs/results.md

A page marks its figures by comments, between which everything is replaced:
``<!-- run: aesmamba … -->``, a command that prints Markdown with ``--format markdown``, or
``<!-- table: FILE.csv -->``, a table beside the page's parent folder; and ``<!-- end -->``.
"""

from __future__ import annotations

import argparse
import csv
import re
import shlex
import subprocess
import sys
from pathlib import Path

_BLOCK = re.compile(r"<!-- (run|table): (.+?) -->\n.*?<!-- end -->", re.DOTALL)
_MAIN = "from aesmamba_sdk.cli import main; main()"


def refresh(page: Path, only: str = "") -> list[str]:
    """Replace the figures of a page; it stays as it is if any command fails.

    Args:
        page: a Markdown file.
        only: blocks whose command or file name has this in it; all by default.

    Returns:
        The commands and files that were used.

    Raises:
        SystemExit: a command failed, or no block was asked for.
    """
    used: list[str] = []

    def renew(block: re.Match[str]) -> str:
        kind, what = block.groups()
        if only not in what:
            return block.group()
        used.append(what)
        figures = _run(what) if kind == "run" else _table(page.parent.parent / what)
        return f"<!-- {kind}: {what} -->\n{figures}\n<!-- end -->"

    text = _BLOCK.sub(renew, page.read_text(encoding="utf-8"))
    if not used:
        sys.exit(f"{page} has no block with {only!r}")
    page.write_text(text, encoding="utf-8")
    return used


def _run(command: str) -> str:
    """The command as a reader types it, and what it prints."""
    program, *arguments = shlex.split(command)
    if program != "aesmamba":
        sys.exit(f"{command}: only commands of aesmamba are run")
    print(command, file=sys.stderr, flush=True)
    done = subprocess.run(
        [sys.executable, "-c", _MAIN, *arguments, "--format", "markdown"],
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    if done.returncode:
        sys.exit(f"{command}: exit code {done.returncode}")
    return f"\n```\n{command}\n```\n\n{done.stdout.strip()}\n"


def _table(file: Path) -> str:
    with file.open(newline="", encoding="utf-8") as stream:
        header, *rows = csv.reader(stream)
    lines = [f"| {' | '.join(row)} |" for row in (header, ["--:"] * len(header), *rows)]
    return "\n".join(["", *lines, ""])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run the commands of a page anew.")
    parser.add_argument("page", type=Path)
    parser.add_argument("--only", default="", help="blocks whose command has this in it")
    asked = parser.parse_args()
    refresh(asked.page, asked.only)
