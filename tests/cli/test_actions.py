"""Choosing among scored photos, sidecars, copies and links, from the command line."""

from __future__ import annotations

import csv
import io
import json

import pytest

from aesmamba_sdk.cli.actions import PLAN_COLUMNS
from aesmamba_sdk.xmp.packet import AESMAMBA, XMP, Packet
from tests import toy
from tests.xmp.apps import DARKTABLE


@pytest.fixture
def photos(tmp_path):
    return toy.write_photos(tmp_path / "photos", 10)


def records(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


def packet(photo):
    return Packet.read(photo.with_name(photo.name + ".xmp"))


def test_min_score_and_top_choose_in_the_order_of_each_command(run, photos):
    scored = {r["path"]: r["value"] for r in records(run("score", photos[0].parent))}
    best = sorted(scored, key=scored.get, reverse=True)[:3]
    assert [r["path"] for r in records(run("rank", photos[0].parent, "--top", 3))] == best
    in_order = [r["path"] for r in records(run("score", photos[0].parent, "--top", 3))]
    assert in_order == sorted(best)
    least = sum(sorted(scored.values(), reverse=True)[2:4]) / 2
    for command in ("score", "rank"):
        enough = run(command, photos[0].parent, "--min-score", least)
        assert {r["path"] for r in records(enough)} == set(best)


def test_scores_and_stars_go_into_sidecars_and_are_not_taken_for_ratings(run, photos):
    folder = photos[0].parent
    photos[0].with_name("000.png.xmp").write_text(DARKTABLE.format(rating=2), encoding="utf-8")
    result = run("score", folder, "--write-xmp", "--attributes", "--stars", "quantiles")
    assert result.exit_code == 0, result.stderr
    assert "sidecars: 9 new, 1 changed; 1 keep the stars that a person gave" in result.stderr
    values = {r["path"]: r["value"] for r in records(result)}
    stars = {p: packet(p).get(XMP, "Rating") for p in photos}
    assert stars.pop(photos[0]) == "2"
    by_score = [stars[p] for p in sorted(stars, key=lambda p: values[str(p)])]
    assert by_score == sorted(by_score), "a better score has no fewer stars"
    assert packet(photos[1]).get(AESMAMBA, "Color") is not None
    run("user", "add", "alice")
    imported = records(run("ratings", "import", "alice", folder))
    assert [r["score"] for r in imported] == [2.0]


def test_personal_scores_are_written_beside(run, photos):
    toy.write_ratings(photos)
    run("user", "add", "alice")
    run("personalize", "alice", photos[0].parent)
    run("score", photos[0], "--write-xmp")
    assert run("score", photos[0], "--user", "alice", "--write-xmp").exit_code == 0
    text = photos[0].with_name("000.png.xmp").read_text(encoding="utf-8")
    assert "<aesmamba:User>alice</aesmamba:User>" in text
    assert packet(photos[0]).get(AESMAMBA, "Score") is not None


@pytest.mark.parametrize("form", ["table", "jsonl", "csv"])
def test_a_dry_run_shows_every_change_and_makes_none(run, photos, tmp_path, form):
    photos[0].with_name("000.png.xmp").write_text(DARKTABLE.format(rating=0), encoding="utf-8")
    before = {f: f.read_bytes() for f in photos[0].parent.iterdir()}
    options = ["--write-xmp", "--stars", "cuts", "--star-bounds", "1.1,1.2,1.3,4.9"]
    options += ["--copy-to", tmp_path / "best", "--dry-run", "--format", form]
    result = run("score", photos[0], photos[1], *options)
    assert "dry run, nothing written; sidecars: 1 new, 1 changed" in result.stderr
    if form == "table":
        assert "xmp:Rating 0 -> 4" in result.stdout
        assert "with its sidecar" in result.stdout
    else:
        rows = records(result) if form == "jsonl" else [*csv.DictReader(io.StringIO(result.stdout))]
        assert all(tuple(row) == PLAN_COLUMNS for row in rows)
        assert [r["action"] for r in rows] == ["update", "create", "copy", "copy"]
        changes = rows[0]["changes"]
        expected = ["0", "4"] if form == "jsonl" else "xmp:Rating 0 -> 4"
        assert (changes["xmp:Rating"] if form == "jsonl" else changes.split(", ")[-1]) == expected
    assert {f: f.read_bytes() for f in photos[0].parent.iterdir()} == before
    assert not (tmp_path / "best").exists()


def test_the_best_are_copied_with_the_sidecars_just_written(run, photos, tmp_path):
    best = tmp_path / "best"
    result = run("rank", photos[0].parent, "--top", 2, "--write-xmp", "--copy-to", best)
    names = {r["path"].rsplit("/")[-1] for r in records(result)}
    assert {f.name for f in best.iterdir()} == names | {f"{name}.xmp" for name in names}
    assert "2 copied" in result.stderr
    again = run("rank", photos[0].parent, "--top", 2, "--copy-to", best)
    assert "2 there already" in again.stderr
    linked = run("rank", photos[0].parent, "--top", 2, "--link-to", tmp_path / "links")
    assert "2 linked" in linked.stderr
    assert (tmp_path / "links" / names.pop()).is_symlink()


def test_chosen_photos_within_the_library_are_not_chosen_again(run, photos, monkeypatch):
    monkeypatch.chdir(photos[0].parent)
    for _ in range(3):
        result = run("rank", ".", "--top", 2, "--copy-to", "best")
        assert len(records(result)) == 2
        assert not any("best" in r["path"] for r in records(result))
    assert len([*(photos[0].parent / "best").iterdir()]) == 2


def test_a_searched_folder_takes_no_photos(run, photos):
    folder = photos[0].parent
    for option in ("--copy-to", "--link-to"):
        result = run("rank", folder, "--top", 2, option, folder)
        assert result.exit_code == 2
        assert "is to be searched for photos" in result.stderr
        result = run("rank", *photos, "--top", 2, option, folder)
        assert result.exit_code == 1
        assert f"is in {folder} already" in result.stderr
    assert sorted(folder.iterdir()) == sorted(photos)


def test_that_no_photo_is_good_enough_is_said(run, photos):
    for command in ("score", "rank"):
        result = run(command, photos[0].parent, "--min-score", 9)
        assert (result.exit_code, result.stdout) == (0, "")
        assert "no photo has a score of at least 9: the best has " in result.stderr
    assert run("score", photos[0].parent, "--min-score", 1).stderr == ""


def test_one_damaged_sidecar_stops_nothing_and_is_in_the_exit_code(run, photos):
    photos[0].with_name("000.png.xmp").write_text("<nonsense")
    result = run("score", photos[0].parent, "--write-xmp")
    assert result.exit_code == 1
    assert len(records(result)) == 10
    assert "sidecars: 9 new, 1 failed" in result.stderr
    assert photos[0].with_name("000.png.xmp").read_text() == "<nonsense"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--stars", "cuts"], "--stars needs --write-xmp"),
        (["--write-xmp", "--star-bounds", "1,2,3,4"], "--star-bounds needs --stars"),
        (["--write-xmp", "--stars", "cuts", "--star-bounds", "4,3,2,1"], "ascending"),
        (
            ["--write-xmp", "--stars", "quantiles", "--star-bounds", "-10,30,70,900"],
            "four ascending numbers from 0 to 100",
        ),
        (["--write-xmp", "--stars", "cuts", "--star-bounds", "a few"], "ascending"),
        (["--min-score", "nan"], "nan is not a number"),
        (["--copy-to", "a", "--link-to", "b"], "not both"),
        (["--dry-run"], "--dry-run shows"),
    ],
)
def test_options_that_make_no_sense_together_are_refused(run, photos, options, why):
    result = run("score", photos[0], *options)
    assert result.exit_code == 2
    assert why in result.stderr
