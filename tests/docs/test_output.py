"""docs/output.md says what programs get; a change of one is a change of the other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from aesmamba_sdk.cli import main
from aesmamba_sdk.cli.actions import PLAN_COLUMNS
from aesmamba_sdk.cli.ratings import RATING_COLUMNS
from aesmamba_sdk.cli.score import CSV_COLUMNS, GROUP_COLUMNS
from tests import toy

DOCUMENT = Path(__file__).parents[2] / "docs" / "output.md"
TYPES = {"string": str, "integer": int, "float": float, "range": list, "object": dict}


def documented(heading: str) -> dict[str, type]:
    """Columns and types of the table under a heading."""
    section = DOCUMENT.read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| `")]
    return {name.strip(" `"): TYPES[kind.strip()] for name, kind in rows}


def flat(record, prefix=""):
    for name, value in record.items():
        if isinstance(value, dict) and name != "changes":
            yield from flat(value, f"{name}.")
        elif value is not None:
            yield prefix + name, value


@pytest.fixture
def run(toy_model, monkeypatch):
    monkeypatch.setenv("AESMAMBA_MODEL", str(toy_model))

    def records(*arguments):
        result = CliRunner().invoke(main, [*map(str, arguments), "--format", "jsonl"])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return [json.loads(line) for line in result.stdout.splitlines()]

    return records


@pytest.mark.parametrize(
    ("heading", "columns"),
    [
        ("`score` and `rank`", CSV_COLUMNS),
        ("`score` and `rank` with `--dry-run`", PLAN_COLUMNS),
        ("`ratings list` and `ratings import`", RATING_COLUMNS),
    ],
)
def test_every_column_is_documented_in_its_place(heading, columns):
    assert tuple(documented(heading)) == columns


def test_groups_come_before_the_columns_of_scores():
    assert (*documented("`duplicates`"), *documented("`score` and `rank`")) == GROUP_COLUMNS


def test_values_have_the_types_that_are_documented(run, tmp_path):
    photos = toy.write_photos(tmp_path / "photos", 6)
    toy.write_ratings(photos)
    folder = photos[0].parent
    run("user", "add", "alice")
    run("personalize", "alice", folder)
    (folder / "bad.jpg").write_bytes(b"no picture")
    for heading, arguments in (
        ("`score` and `rank`", ["score", folder, "--attributes", "--user", "alice"]),
        ("`score` and `rank` with `--dry-run`", ["score", folder, "--write-xmp", "--dry-run"]),
        ("`ratings list` and `ratings import`", ["ratings", "list", "alice"]),
    ):
        types = documented(heading)
        seen = [pair for record in run(*arguments) for pair in flat(record)]
        assert {name: type(value) for name, value in seen}.items() <= types.items()
        assert len({name for name, _ in seen}) > 4
