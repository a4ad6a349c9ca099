"""OASIS: photos and people in rating groups, ratings by individuals."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from aesmamba_sdk.errors import DatasetError
from aesmamba_sdk.train.datasets import read_dataset
from tests.train.datasets import made


@pytest.fixture
def oasis(tmp_path):
    made.text(
        tmp_path / "images.csv",
        "image,category,group",
        "Acorns1.webp,object,subset2",
        "Acorns3.webp,object,subset1",
        "Beach1.webp,scene,subset1",
    )
    made.text(
        tmp_path / "users.csv",
        "user,group,age,gender,education",
        "u1,subset1,22,male,collegeDegree",
        "u2,subset1,,female,",
        "u3,subset2,71,other,highSchool",
    )
    made.text(
        tmp_path / "ratings.csv",
        "user,image,beauty",
        "u1,Acorns3.webp,3",
        "u2,Acorns3.webp,6",
        "u2,Beach1.webp,",
        "u3,Acorns1.webp,7",
    )
    made.archive(tmp_path / "images.zip", "Acorns1.webp", "Acorns3.webp", "Beach1.webp")
    return tmp_path


def test_a_group_has_its_photos_people_and_ratings_alone(oasis):
    dataset = read_dataset("oasis", oasis, split="subset1")
    assert [s.image for s in dataset.samples] == ["Acorns3.webp", "Beach1.webp"]
    assert [(r.user, r.sample, r.scores) for r in dataset.ratings] == [
        ("u1", 0, (3.0,)),
        ("u2", 0, (6.0,)),
    ]
    assert dataset.people["u1"].to_dict() == {
        "age": "22",
        "gender": "male",
        "education": "college degree",
    }
    assert dataset.people["u2"].to_dict() == {"gender": "female"}
    assert "u3" not in dataset.people


def test_a_photos_score_is_the_mean_of_its_ratings(oasis):
    scores = read_dataset("oasis", oasis, split="all").scores()[:, 0].tolist()
    assert scores[:2] == [7.0, 4.5]
    assert math.isnan(scores[2])


def test_photos_lie_in_the_archive(oasis):
    photos = read_dataset("oasis", oasis, split="subset2").photo_set(oasis / "cache", 4)
    assert photos.pixels.shape == (1, 4, 4, 3)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("u9,Acorns3.webp,3", "row 2: user is 'u9'; expected a user of users.csv"),
        ("u1,Nothing.webp,3", "row 2: image is 'Nothing.webp'; expected a photo of images.csv"),
        ("u1,Acorns1.webp,3", "row 2: image is 'Acorns1.webp'; expected a photo of u1's group"),
        ("u1,Acorns3.webp,8", "row 2: beauty is '8'; expected a number of 1-7"),
    ],
)
def test_a_broken_rating_is_named(oasis, row, expected):
    made.text(oasis / "ratings.csv", "user,image,beauty", row)
    with pytest.raises(DatasetError, match=expected):
        read_dataset("oasis", oasis, split="all")


def test_a_second_rating_of_a_photo_is_named(oasis):
    made.text(oasis / "ratings.csv", "user,image,beauty", *["u1,Acorns3.webp,3"] * 2)
    with pytest.raises(DatasetError, match=r"row 3: image .* has not rated before"):
        read_dataset("oasis", oasis, split="all")


def test_an_unknown_split_is_told_with_those_there_are(oasis):
    with pytest.raises(DatasetError, match="no split 'train'; expected subset1"):
        read_dataset("oasis", oasis)


@pytest.mark.data
def test_the_real_ratings_have_three_groups():
    folder = Path(os.environ["AESMAMBA_DATA"]) / "oasis"
    dataset = read_dataset("oasis", folder, split="all")
    assert (len(dataset), len(dataset.ratings), len(dataset.people)) == (595, 129_667, 653)
    assert dataset.images.load(dataset.samples[0].image, "test").size == (400, 320)
    parts = [read_dataset("oasis", folder, split=f"subset{k}") for k in (1, 2, 3)]
    assert sum(len(part) for part in parts) == 595
    assert sum(len(part.ratings) for part in parts) == 129_667
