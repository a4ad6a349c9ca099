"""A page's figures are what its commands print."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from aesmamba_sdk.cli import main
from tests import toy
from tests.train.datasets import made

DOCS = Path(__file__).parents[2] / "docs"


def refresh(page, *options):
    command = [sys.executable, str(DOCS / "refresh.py"), str(page), *options]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def page(tmp_path, toy_model):
    rows = [f"{path.name},{i}" for i, path in enumerate(toy.write_photos(tmp_path / "imgs", 5))]
    made.text(tmp_path / "labels/merge/test.csv", "image,score", *rows)
    made.text(tmp_path / "curve.csv", "epoch,SRCC", "1,0.4")
    command = f"aesmamba evaluate giaa --data tad66k={tmp_path} --model {toy_model}"
    page = tmp_path / "docs" / "page.md"
    made.text(
        page,
        "# Page",
        f"<!-- run: {command} -->",
        "old figures",
        "<!-- end -->",
        "Words stay.",
        "<!-- table: curve.csv -->",
        "<!-- end -->",
    )
    return page


def test_commands_and_tables_replace_what_was_there(page):
    assert refresh(page).returncode == 0
    text = page.read_text()
    assert "old figures" not in text
    assert "\n```\naesmamba evaluate giaa --data tad66k=" in text
    assert re.search(r"\| aesthetic \| -?0\.\d{3} \[", text)
    assert "Words stay." in text
    assert "| epoch | SRCC |\n| --: | --: |\n| 1 | 0.4 |" in text
    again = text
    assert refresh(page, "--only", "curve").returncode == 0
    assert page.read_text() == again


def test_a_failing_command_leaves_the_page_alone(page):
    (page.parents[1] / "labels/merge/test.csv").unlink()
    before = page.read_text()
    result = refresh(page)
    assert result.returncode != 0
    assert "test.csv cannot be opened" in result.stderr
    assert page.read_text() == before


def test_every_command_of_the_results_exists():
    commands = re.findall(r"<!-- run: aesmamba (.+?) -->", (DOCS / "results.md").read_text())
    assert commands
    for words in map(str.split, commands):
        command: click.Command = main
        while isinstance(command, click.Group):
            command = command.commands[words.pop(0)]
        context = command.make_context(command.name, [*words, "--format", "markdown"])
        assert context.params["form"] == "markdown"
