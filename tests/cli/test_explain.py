"""``aesmamba explain`` as people and scripts use it."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from aesmamba_sdk.cli.explain import describe
from aesmamba_sdk.explain.explanation import Explanation, Split
from aesmamba_sdk.scores import UNIT_SCORES, Score
from tests import toy


@pytest.fixture
def run(run):
    return lambda *arguments: run("explain", *arguments)


@pytest.fixture
def photo(tmp_path):
    return toy.write_photos(tmp_path / "photos", 1)[0]


def explanation(**changes):
    regions = [[0.0] * 6 for _ in range(6)]
    regions[0][5], regions[2][3] = 0.21, -0.05
    known = {
        "score": Score("a.jpg", 4.5, UNIT_SCORES, 0.9, None, "alice", 3.5, 0.8, "bayes"),
        "percentiles": {"aesthetic": 0.7, "quality": 0.72, "depth_of_field": 0.92, "light": 0.3},
        "regions": tuple(map(tuple, regions)),
        "split": Split(3.5, 0.4, -0.1, 0.7, 0.0),
        "likes": {"light": 0.41, "color": 0.02, "quality": -0.3, "content": -0.5},
        "notes": (),
    }
    return Explanation(**known | changes)


def test_the_text_says_what_raises_and_lowers_with_numbers():
    first, *facts = describe(explanation())
    told = {name: what for name, _, what in (f.strip().partition("  ") for f in facts)}
    told = {name: what.strip() for name, what in told.items()}
    assert first == "a.jpg: 4.50 on 1-5 for alice (bayes), above 90% of photos, ± 0.80"
    assert told == {
        "parts": "generic 3.50, use of the scale +0.30, taste +0.70",
        "better than the whole, 70%": "depth of field 92%",
        "worse than the whole, 70%": "light 30%",
        "raised most by": "upper right, +0.210 (row 1, column 6 of 6)",
        "lowered most by": "centre, -0.050 (row 3, column 4 of 6)",
        "alice likes more": "light +0.41",
        "alice likes less": "content -0.50, quality -0.30",
    }


def test_a_photo_that_few_surpass_is_not_said_to_be_above_all():
    first, *facts = describe(
        explanation(
            score=Score("a.jpg", 4.9, UNIT_SCORES, 0.997),
            percentiles={"aesthetic": 0.6, "light": 0.998},
        )
    )
    assert first.endswith("above 99% of photos")
    assert any("light 99%" in fact for fact in facts)


def test_a_name_does_not_command_the_terminal(run, tmp_path):
    photo = tmp_path / "a\x1b[31m.png"
    toy.photo(0.5, 1).save(photo)
    assert r"a\x1b[31m.png" in run(photo, "--format", "table").stdout


def test_what_is_not_there_is_not_claimed():
    lines = "\n".join(
        describe(
            explanation(
                likes={"light": 0.04}, regions=((0.0,) * 6,) * 6, split=Split(3, 3, 0, 0, -1.0)
            )
        )
    )
    assert lines.count("nothing clearly") == 2
    assert lines.count("no region") == 2
    assert "end of the scale -1.00" in lines


def test_json_is_one_strict_object(run, photo):
    result = run(photo, "--format", "json")
    assert result.exit_code == 0
    record = json.loads(result.stdout)
    assert record["path"] == str(photo)
    assert (len(record["regions"]), len(record["regions"][0])) == (6, 6)
    assert (record["split"], record["likes"], record["notes"]) == (None, None, [])
    assert run(photo, "--format", "jsonl").stdout == run(photo).stdout == result.stdout


def test_the_heat_map_is_drawn_beside_the_text(run, photo, tmp_path):
    picture = tmp_path / "map.png"
    result = run(photo, "--format", "table", "--heatmap", picture)
    assert "raised most by" in result.stdout
    with Image.open(picture) as image:
        assert image.width == 320


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_a_heat_map_replaces_an_earlier_one_and_nothing_else(run, photo, tmp_path, suffix):
    picture = tmp_path / f"map.{suffix}"
    for _ in range(2):
        assert run(photo, "--heatmap", picture).exit_code == 0
    other = toy.photo(0.5, 1)
    other.save(picture)
    before = picture.read_bytes()
    result = run(photo, "--heatmap", picture)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{picture} is there already and is no heat map" in result.stderr
    assert picture.read_bytes() == before


def test_a_photo_that_cannot_be_used_is_named_with_exit_code_1(run, photo):
    result = run(photo.parent / "gone.jpg")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "gone.jpg does not exist" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["{photo}", "--user", "nobody"], "nobody"),
        (["{photo}", "--heatmap", "{folder}/map.txt"], "name the heat map .png"),
        (["{photo}", "--heatmap", "{photo}"], "is the photo itself"),
        (["{photo}", "--heatmap", "{folder}/nowhere/map.png"], "cannot be written"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(run, photo, arguments, told):
    before = photo.read_bytes()
    result = run(*(a.format(photo=photo, folder=photo.parent) for a in arguments))
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stdout == ""
    assert photo.read_bytes() == before
