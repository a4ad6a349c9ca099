"""Any folder with a table."""

from __future__ import annotations

import math

import pytest

from aesmamba_sdk.errors import DatasetError
from aesmamba_sdk.scores import Scale
from aesmamba_sdk.train.datasets import read_dataset
from tests.train.datasets import made


def table(folder, *lines):
    return made.text(folder / "labels.csv", *lines)


def test_scores_attributes_texts_and_splits(tmp_path):
    table(
        tmp_path,
        "image,score,color,dofScore,text,split",
        "a.jpg,1.5,2,3,so dark,train",
        "a.jpg,2.5,,3,I like it,train",
        "b.jpg,5,4,,,test",
    )
    made.photos(tmp_path, "a.jpg", "b.jpg")
    dataset = read_dataset("folder", tmp_path)
    assert dataset.attributes == ("aesthetic", "color", "depth_of_field")
    assert dataset.scores().tolist() == [[2, 2, 3]]
    assert dataset.samples[0].texts == ("so dark", "I like it")
    assert dataset.ratings == ()
    test = read_dataset("folder", tmp_path / "labels.csv", split="test")
    assert math.isnan(test.samples[0].scores[2])
    assert test.classes().tolist() == [[3, 3, -1]]
    assert len(test.photo_set(tmp_path / "cache", 4)) == 1
    with pytest.raises(DatasetError, match="no photos of the split 'dev'; expected one of test"):
        read_dataset("folder", tmp_path, split="dev")


def test_a_scale_can_be_declared(tmp_path):
    table(tmp_path, "file,score,split", "a.jpg,0,train", "b.jpg,74,train", "c.jpg,100,train")
    with pytest.raises(DatasetError, match="row 2: score is '0'; expected a number of 1-5, or ano"):
        read_dataset("folder", tmp_path)
    dataset = read_dataset("folder", tmp_path, scale=Scale(0, 100))
    assert dataset.classes()[:, 0].tolist() == [0, 2, 3]
    with pytest.raises(DatasetError, match="ava has a scale of its own"):
        read_dataset("ava", tmp_path, scale=Scale(0, 100))


def test_without_a_split_every_photo_is_in_one_whatever_the_order(tmp_path):
    rows = [f"{i}.jpg,{1 + i % 5}" for i in range(20)]
    table(tmp_path, "image,score", *rows, *rows)
    parts = {
        split: [s.image for s in read_dataset("folder", tmp_path, split=split).samples]
        for split in ("train", "validation", "test")
    }
    assert [len(part) for part in parts.values()] == [16, 2, 2]
    assert len(set().union(*parts.values())) == 20
    table(tmp_path, "image,score", *reversed(rows))
    assert {s.image for s in read_dataset("folder", tmp_path).samples} == set(parts["train"])


def test_users_make_ratings_and_may_have_traits(tmp_path):
    table(
        tmp_path,
        "image,user,score,split",
        "a.jpg,u1,5,train", "a.jpg,u2,2,train", "b.jpg,u2,3,train", "c.jpg,u3,3,test",
    )  # fmt: skip
    made.text(
        tmp_path / "users.csv", "user,openness,art_experience,age",
        "u1,3,expert,22-25", "u2,,,", "u3,1,beginner,",
    )  # fmt: skip
    dataset = read_dataset("folder", tmp_path)
    assert dataset.scores()[:, 0].tolist() == [3.5, 3]
    assert [(r.user, r.sample, r.scores[0]) for r in dataset.ratings] == [
        ("u1", 0, 5), ("u2", 0, 2), ("u2", 1, 3),
    ]  # fmt: skip
    assert dataset.people.keys() == {"u1", "u2"}
    assert dataset.people["u1"].to_dict() == {
        "openness": 3, "art_experience": "expert", "age": "22-25",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["image,stars2", "a.jpg,1"], "no column score or rating or stars; found image, stars2"),
        (["photo,score", "a.jpg,1"], "no column file or path or image or filename; found photo"),
        (["image,score"], "is empty"),
        (["image,score", ",1"], "row 2: image is ''; expected a value"),
        (["image,score,user", "a.jpg,1,"], "row 2: user is ''; expected a value"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, lines, expected):
    table(tmp_path, *lines)
    with pytest.raises(DatasetError, match=expected):
        read_dataset("folder", tmp_path)


def test_several_tables_are_not_guessed_between(tmp_path):
    table(tmp_path, "image,score")
    made.text(tmp_path / "more.csv", "image,score")
    with pytest.raises(DatasetError, match=r"found labels\.csv, more\.csv\. Or name the table"):
        read_dataset("folder", tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DatasetError, match="nowhere does not exist"):
        read_dataset("folder", tmp_path / "nowhere")
