"""Ratings that photo apps gave, from the command line to a personal model."""

from __future__ import annotations

import csv
import io
import json

import pytest

from tests import toy
from tests.xmp.apps import DARKTABLE


@pytest.fixture
def run(run):
    assert run("user", "add", "alice").exit_code == 0
    return run


@pytest.fixture
def library(tmp_path):
    """Twelve photos with darktable's sidecars: the brighter, the more stars."""
    photos = toy.write_photos(tmp_path / "photos", 12)
    for photo in photos:
        stars = round(1 + 4 * toy.brightness(photo))
        photo.with_name(photo.name + ".xmp").write_text(
            DARKTABLE.format(rating=stars), encoding="utf-8"
        )
    (tmp_path / "photos" / "000.png.xmp").write_text(DARKTABLE.format(rating=-1), encoding="utf-8")
    return tmp_path / "photos"


def test_a_folder_of_starred_photos_teaches_a_taste(run, library):
    result = run("personalize", "alice", library, "--format", "json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)[0]["shots"] == 11
    assert "note: 1 rejected photos are left out" in result.stderr
    listed = run("ratings", "list", "alice", "--format", "csv").stdout
    sources = {row["source"] for row in csv.DictReader(io.StringIO(listed))}
    assert "xmp:Rating in 001.png.xmp" in sources


def test_import_keeps_ratings_without_learning(run, library):
    result = run("ratings", "import", "alice", library, "--rejects", "lowest", "--format", "jsonl")
    assert result.exit_code == 0, result.stderr
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(records) == 12
    assert records[0]["score"] == records[0]["raw_score"] == 1.0
    assert "kept 12 ratings of alice" in result.stderr
    assert run("user", "models", "alice", "--format", "jsonl").stdout == ""
    assert run("personalize", "alice").exit_code == 0


def test_of_a_folder_only_what_fits_is_imported(run, library):
    arguments = ["--include", "00[1-4]*", "--exclude", "002.png", "--format", "jsonl"]
    result = run("ratings", "import", "alice", library, *arguments)
    assert result.exit_code == 0, result.stderr
    names = [json.loads(line)["path"] for line in result.stdout.splitlines()]
    assert names == [str(library / f"00{i}.png") for i in (1, 3, 4)]


def test_patterns_that_leave_no_rating_are_told(run, library):
    result = run("ratings", "import", "alice", library, "--include", "2024/*")
    assert result.exit_code == 2
    assert "or sidecars. What --include or --exclude leave out does not count." in result.stderr
    result = run("ratings", "import", "alice", library.parent / "nowhere", "--include", "2024/*")
    assert "--include" not in result.stderr


def test_a_dry_run_keeps_nothing(run, library):
    result = run("ratings", "import", "alice", library / "001.png", "--dry-run")
    assert "nothing kept" in result.stderr
    assert len(result.stdout.splitlines()) == 1
    assert run("ratings", "list", "alice", "--format", "jsonl").stdout == ""


def test_what_is_wrong_is_named_and_the_rest_is_kept(run, library):
    (library / "001.png.xmp").write_text("<nonsense", encoding="utf-8")
    (library / "002.png").write_bytes(b"no picture")
    result = run("ratings", "import", "alice", library)
    assert result.exit_code == 0
    assert "skipped: " + str(library / "001.png") in result.stderr
    assert str(library / "002.png") in result.stderr
    assert "kept 9 ratings" in result.stderr


def test_removed_by_any_name_of_the_file_and_told_of_the_model_that_still_serves(
    run, library, tmp_path, monkeypatch
):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run("personalize", "alice", "../photos").exit_code == 0
    removed = run("ratings", "remove", "alice", "../photos/001.png")
    assert removed.exit_code == 0, removed.stderr
    assert "model v1 may have learned from them and still serves" in removed.stderr
    assert run("user", "models", "alice", "--generic", "--use", "1").exit_code == 2
    listed = json.loads(run("user", "models", "alice", "--generic", "--format", "json").stdout)
    assert [model["active"] for model in listed] == [False]
    scored = run("score", library / "001.png", "--user", "alice", "--format", "json")
    assert json.loads(scored.stdout)[0]["method"] == "generic"
    again = run("ratings", "remove", "alice", "--all")
    assert "still serves" not in again.stderr


def test_a_photo_that_was_moved_since_is_removed_where_it_is_now(run, library):
    assert run("ratings", "import", "alice", library).exit_code == 0
    photo, moved = library / "001.png", library / "moved.png"
    photo.rename(moved)
    removed = run("ratings", "remove", "alice", moved)
    assert (removed.exit_code, removed.stderr) == (0, "removed 1 rating(s) of alice\n")
    listed = run("ratings", "list", "alice", "--format", "jsonl").stdout.splitlines()
    assert str(photo) not in [json.loads(line)["path"] for line in listed]
    for other in (moved, photo, library):
        refused = run("ratings", "remove", "alice", other)
        assert refused.exit_code == 2
        assert f"alice has not rated {other}" in refused.stderr.replace("\n", " ")


def test_suggestions_name_what_was_passed_over(run, library):
    (library / "001.png").write_bytes(b"x")
    found = run("suggest", "alice", library, library / "gone.png", "--count", "3")
    assert found.exit_code == 1
    assert len(found.stdout.splitlines()) == 3
    for name in ("001.png", "gone.png"):
        assert f"{name} " in found.stderr
