"""The programs in examples/ run as written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import toy

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def run(toy_model):
    def start(name, *arguments):
        command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
        environment = os.environ | {"AESMAMBA_MODEL": str(toy_model)}
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    return start


def test_score_folder(run, tmp_path):
    paths = toy.write_photos(tmp_path / "album", 3)
    paths[0].write_bytes(b"")
    result = run("score_folder.py", tmp_path / "album")
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 2
    assert "000.png is empty" in result.stderr


def test_personal_taste(run, tmp_path):
    table = toy.write_ratings(toy.write_photos(tmp_path / "rated", 20))
    toy.write_photos(tmp_path / "album", 3, seed=1)
    result = run("personal_taste.py", table, tmp_path / "album")
    assert result.returncode == 0, result.stderr
    assert "20 ratings" in result.stdout
    assert len(result.stdout.splitlines()) == 4


@pytest.mark.parametrize("name", ["score_folder.py", "personal_taste.py"])
def test_without_arguments_they_say_how_they_are_called(run, name):
    result = run(name)
    assert result.returncode == 1
    assert f"python examples/{name}" in result.stderr


def test_no_example_is_untested():
    assert {p.name for p in EXAMPLES.glob("*.py")} == {"score_folder.py", "personal_taste.py"}
