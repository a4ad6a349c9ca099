"""Ratings as people and programs write them down."""

from __future__ import annotations

import json

import pytest

from aesmamba_sdk.errors import RatingsError
from aesmamba_sdk.ratings import read_ratings
from aesmamba_sdk.scores import Scale
from tests.xmp.apps import DARKTABLE


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
        "File,Score\na.jpg,4\nb.jpg,2.5\n",
        'file,score\na.jpg,4,\nb.jpg,"2,5"\n',
        "sep=;\r\nfile;score\r\na.jpg;4\r\nb.jpg;2,5\r\n",
        '"sep=,"\nfile,score\na.jpg,4\nb.jpg,2.5\n',
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
    (folder / "ratings.csv").write_text("File,SCORE,Color,DOFscore\na.jpg,4,3,\nb.jpg,2,,5\n")
    assert read_ratings(folder / "ratings.csv").items == [first, second]


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


@pytest.mark.parametrize("wrong", [{"score": 10**400}, {"score": 3, "scale": [1, 10**400]}])
def test_numbers_beyond_all_floats_are_reported(folder, wrong):
    rows = [{"file": "a.jpg", **wrong}, {"file": "b.jpg", "score": 4}]
    (folder / "ratings.json").write_text(json.dumps(rows))
    rated = read_ratings(folder)
    assert [r.path.name for r in rated.items] == ["b.jpg"]
    assert [p.where for p in rated.problems] == ["ratings.json rating 1"]


def test_a_decimal_comma_that_parts_a_score_in_two_is_reported(folder):
    (folder / "ratings.csv").write_text("file,score\na.jpg,4,5\nb.jpg,2\n")
    rated = read_ratings(folder)
    assert [r.path.name for r in rated.items] == ["b.jpg"]
    (problem,) = rated.problems
    assert problem.where == "ratings.csv line 2"
    assert problem.message.startswith("3 cells for 2 columns: put")


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ('file,score,group\na.jpg,4,\nb.jpg,2,"burst\n{rest}', 3, "quotes do not match"),
        ('file,score\na.jpg,4\n\n"b.jpg,2\n{rest}"c.jpg,1\n', 4, "quotes do not match"),
        ('file,score\na.jpg,4\n"b.jpg,2\n{rest}",1\n', 3, "its quotes do not match"),
        ("file,score\na.jpg,4\n{long},2\n", 3, "does not exist"),
        ("file,score\na.jpg,4\nb.jpg,{long}\n", 3, "is no number of 1-5"),
    ],
)
def test_a_quote_that_is_not_closed_is_named_and_not_all_that_follows(folder, text, where, what):
    text = text.format(rest="a.jpg,3\n" * 500, long="x" * 4000)
    (folder / "ratings.csv").write_text(text)
    rated = read_ratings(folder)
    assert (rated.items[0].path.name, rated.items[0].score) == ("a.jpg", 4.0)
    problem = rated.problems[0]
    assert problem.where == f"ratings.csv line {where}"
    assert what in problem.message
    assert len(problem.message) < 300


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
    (folder / "ratings.csv").write_text('"file,score\n' + "a.jpg,3\n" * 500 + '"\n')
    with pytest.raises(RatingsError, match="has no photo column") as caught:
        read_ratings(folder)
    assert len(str(caught.value)) < 500
    (folder / "r.json").write_text("{")
    with pytest.raises(RatingsError, match="not valid JSON"):
        read_ratings(folder / "r.json")


def test_of_sources_of_different_kinds_the_later_counts_as_well(folder):
    photo = folder / "a.jpg"
    photo.with_name("a.jpg.xmp").write_text(DARKTABLE.format(rating=2), encoding="utf-8")
    table = folder / "fix.csv"
    table.write_text(f"file,score\n{photo},5\n")
    scores = [
        {item.path: item.score for item in read_ratings(*sources).items}[photo]
        for sources in ((photo, table), (table, photo))
    ]
    assert scores == [5.0, 2.0]


def test_a_group_may_be_called_zero(folder):
    (folder / "ratings.json").write_text(
        '{"ratings": [{"file": "a.jpg", "score": 3, "group": 0}]}', encoding="utf-8"
    )
    assert read_ratings(folder).items[0].group == "0"
