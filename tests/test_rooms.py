"""Who imports whom, in every function as well as at the top of a file."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import aesmamba_sdk

PACKAGE = Path(aesmamba_sdk.__file__).parent
TOOLS = {"model/vocabulary/build.py"}
"""Run by hand, to write what ships: they may read any room."""


@cache
def floors() -> dict[str, int]:
    """Every room of the table in CONTRIBUTING.md, by how high it lies; those of a row as high."""
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE)
    return {room: i for i, row in enumerate(rows) for room in re.findall(r"`(\w+)/?`", row)}


def imported(file: Path) -> set[str]:
    """First part of everything of ours that a file imports, for its types as well."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            modules.add(node.module or "")
            modules |= {f"{node.module}.{name.name}" for name in node.names}
        elif isinstance(node, ast.Import):
            modules |= {name.name for name in node.names}
    return {name.split(".")[1] for name in modules if name.startswith("aesmamba_sdk.")}


@cache
def files() -> list[tuple[str, str, set[str]]]:
    """Name, room and imported rooms of every file in a room."""
    found = [(file.relative_to(PACKAGE), file) for file in sorted(PACKAGE.rglob("*.py"))]
    return [
        (name.as_posix(), name.parts[0].removesuffix(".py"), imported(file) & set(floors()))
        for name, file in found
        if name.as_posix() not in TOOLS | {"__init__.py"}
    ]


def test_every_room_is_in_the_table_once():
    assert {room for _, room, _ in files()} == set(floors())


def test_a_room_imports_only_rooms_above_it_in_the_table():
    height = floors()
    wrong = [
        f"{name} imports {other}"
        for name, room, others in files()
        for other in others
        if height[other] > height[room]
    ]
    assert not wrong


def test_rooms_of_one_row_do_not_import_each_other_in_a_circle():
    height = floors()
    beside: dict[str, set[str]] = {}
    for _, room, others in files():
        known = beside.setdefault(room, set())
        known |= {other for other in others if other != room and height[other] == height[room]}
    while free := [room for room, others in beside.items() if not others & set(beside)]:
        for room in free:
            del beside[room]
    assert not beside


@pytest.mark.parametrize(
    ("room", "users"),
    [("cli", {"cli"}), ("evaluate", {"cli", "evaluate"}), ("train", {"cli", "evaluate", "train"})],
)
def test_some_rooms_are_imported_by_few(room, users):
    others = {name for name, user, rooms in files() if user not in users and room in rooms}
    assert not others


def test_the_package_people_ratings_and_commands_start_without_torch():
    rooms = ("aesmamba_sdk", "profiles.users", "ratings", "cli")
    names = [room if room == "aesmamba_sdk" else f"aesmamba_sdk.{room}" for room in rooms]
    code = f"import sys, {', '.join(names)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
