"""Who imports whom, in every function as well as at the top of a file."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import aesmamba_sdk

PACKAGE = Path(aesmamba_sdk.__file__).parent


def imported(file: Path) -> set[str]:
    """First part of everything of ours that a file imports."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            modules.add(node.module or "")
        elif isinstance(node, ast.Import):
            modules |= {name.name for name in node.names}
    return {name.split(".")[1] for name in modules if name.startswith("aesmamba_sdk.")}


@pytest.mark.parametrize(
    ("room", "users"),
    [("cli", {"cli"}), ("evaluate", {"cli", "evaluate"}), ("train", {"cli", "evaluate", "train"})],
)
def test_a_room_is_imported_by_those_above_it_alone(room, users):
    others = {
        str(file.relative_to(PACKAGE))
        for file in PACKAGE.rglob("*.py")
        if file.relative_to(PACKAGE).parts[0] not in users and room in imported(file)
    }
    assert not others
