"""Ratings as people and programs write them down."""

from __future__ import annotations

import json

import pytest

from aesmamba_sdk.errors import RatingsError
from aesmamba_sdk.ratings import read_ratings
from aesmamba_sdk.scores import Scale


@pytest.fixture
def folder(tmp_path):
    for name in ("a.jpg", "b.jpg", "c d.png"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    "text",
    [
        "file,score\na.jpg,4\nb.jpg,2.5\n",
        "\ufeffimage;rating\r\na.jpg;4\r\nb.jpg;2.5\r\n\r\n",
        "image;rating\r\na.jpg;4,0\r\nb.jpg;2,5\r\n",
        "path\tstars\na.jpg\t4\nb.jpg\t2.5",
    ],
)
def test_tables_of_every_dialect_are_read(folder, text):
    (folder / "ratings.csv").write_text(text, encoding="utf-8", newline="")
    rated = read_ratings(folder)
    assert [(r.path.name, r.score) for r in rated.items] == [("a.jpg", 4.0), ("b.jpg", 2.5)]
    assert rated.problems == []
    assert rated.items[0].source == "ratings.csv"


def test_attributes_come_in_our_spelling_and_in_paras(folder):
    (folder / "ratings.csv").write_text("file,score,color,dofScore\na.jpg,4,3,\nb.jpg,2,,5\n")
    first, second = read_ratings(folder / "ratings.csv").items
    assert (first.attributes, second.attributes) == ({"color": 3.0}, {"depth_of_field": 5.0})


def test_json_declares_its_scale(folder):
    rating = {"file": "c d.png", "score": 7, "attributes": {"light": 1}}
    (folder / "ratings.json").write_text(json.dumps({"scale": [1, 7], "ratings": [rating]}))
    (item,) = read_ratings(folder).items
    assert (item.score, item.scale, item.attributes) == (7.0, Scale(1, 7), {"light": 1.0})


def test_a_scale_can_be_given_or_stand_in_the_table(folder):
    (folder / "ratings.csv").write_text("file,score,scale\na.jpg,9,\nb.jpg,6,1-7\n")
    rated = read_ratings(folder, scale=Scale(0, 10))
    assert [r.scale for r in rated.items] == [Scale(0, 10), Scale(1, 7)]


def test_bad_rows_are_reported_with_their_line_and_the_rest_is_read(folder):
    (folder / "ratings.csv").write_text(
        "file,score\na.jpg,3\ngone.jpg,4\nb.jpg,nan\nb.jpg,8\n,2\na.jpg,5\n"
    )
    rated = read_ratings(folder)
    assert [(r.path.name, r.score) for r in rated.items] == [("a.jpg", 5.0)]
    assert [p.where for p in rated.problems[:4]] == [f"ratings.csv line {n}" for n in (3, 4, 5, 6)]
    assert "declare it" in rated.problems[2].message
    assert "rated twice" in rated.problems[4].message


def test_star_folders_rate_their_photos(tmp_path):
    for name in ("1/bad.jpg", "5/good.jpg", "5/notes.txt", "other/x.jpg"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
    rated = read_ratings(tmp_path).items
    assert [(r.path.name, r.score) for r in rated] == [("bad.jpg", 1.0), ("good.jpg", 5.0)]


def test_what_cannot_be_read_is_named(folder):
    with pytest.raises(RatingsError, match="no usable rating"):
        read_ratings(folder)
    with pytest.raises(RatingsError, match="does not exist"):
        read_ratings(folder / "nowhere")
    (folder / "ratings.csv").write_text("photo,value\na.jpg,3\n")
    with pytest.raises(RatingsError, match=r"found photo, value; expected one of file"):
        read_ratings(folder)
    (folder / "r.json").write_text("{")
    with pytest.raises(RatingsError, match="not valid JSON"):
        read_ratings(folder / "r.json")
