"""docs/output.md says what programs get; a change of one is a change of the other."""

from __future__ import annotations

import csv
import io
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
TYPES = {
    "string": str,
    "integer": int,
    "float": float,
    "boolean": bool,
    "range": list,
    "list": list,
    "object": dict,
}


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
def invoke(toy_model, monkeypatch):
    monkeypatch.setenv("AESMAMBA_MODEL", str(toy_model))

    def output(*arguments):
        result = CliRunner().invoke(main, [*map(str, arguments)])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.stdout

    return output


@pytest.fixture
def run(invoke):
    def records(*arguments):
        return [json.loads(line) for line in invoke(*arguments, "--format", "jsonl").splitlines()]

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


@pytest.fixture
def folder(run, tmp_path):
    """Photos that alice, of whom all is known, rated; one with attributes, one missing."""
    photos = toy.write_photos(tmp_path / "photos", 6)
    table = toy.write_ratings(photos).read_text()
    header, first, *others = table.splitlines()
    lines = [f"{header},color", f"{first},2", *(f"{line}," for line in others), "gone.png,3,"]
    (tmp_path / "photos" / "ratings.csv").write_text("\n".join(lines))
    run("user", "add", "alice", "--openness", 4, "--sentence", "Cats.", "--sentence", "Dogs.")
    run("personalize", "alice", tmp_path / "photos")
    return tmp_path / "photos"


@pytest.mark.parametrize(
    ("heading", "command"),
    [
        ("`score` and `rank`", ["score", "{folder}", "--user", "alice", "--attributes"]),
        ("`ratings list` and `ratings import`", ["ratings", "list", "alice"]),
        ("`suggest`", ["suggest", "alice", "{more}"]),
        ("`personalize`", ["personalize", "alice", "{folder}"]),
        ("`user list`", ["user", "list"]),
        ("`user list`", ["user", "show", "alice"]),
        ("`user models`", ["user", "models", "alice"]),
        ("`model list`", ["model", "list"]),
        ("`doctor`", ["doctor"]),
    ],
)
def test_csv_has_every_value_of_json_in_the_documented_columns(
    run, invoke, folder, heading, command
):
    toy.write_photos(folder.parent / "more", 2, seed=1)
    command = [part.format(folder=folder, more=folder.parent / "more") for part in command]
    types = documented(heading)
    if heading == "`user models`":
        types |= {f"report.{name}": kind for name, kind in documented("`personalize`").items()}
    seen = [pair for record in run(*command) for pair in flat(record)]
    assert {name: type(value) for name, value in seen}.items() <= types.items()
    header, *rows = csv.reader(io.StringIO(invoke(*command, "--format", "csv")))
    assert header == list(types)
    assert {name for row in rows for name, cell in zip(header, row, strict=True) if cell} >= {
        name for name, value in seen if value not in ("", [])
    }


def test_texts_of_a_list_stand_in_one_cell(invoke, folder):
    (person,) = csv.DictReader(io.StringIO(invoke("user", "list", "--format", "csv")))
    assert person["traits.sentences"] == "Cats.; Dogs."
    again = invoke("personalize", "alice", folder, "--format", "csv")
    (report,) = csv.DictReader(io.StringIO(again))
    assert "gone.png does not exist" in report["problems"]


def test_an_explanation_is_the_documented_object(run, folder):
    (record,) = run("explain", folder / "000.png", "--user", "alice")
    keys = documented("`explain`")
    assert list(record)[-len(keys) :] == list(keys)
    assert {name: type(record[name]) for name in keys if record[name] is not None}.items() <= (
        keys.items()
    )
