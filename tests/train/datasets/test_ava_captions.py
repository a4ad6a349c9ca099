"""AVA-Captions as the public code's tables and as it was published."""

from __future__ import annotations

import json

import pytest
import torch

from aesmamba_sdk.errors import DatasetError
from aesmamba_sdk.train.datasets import read_dataset
from tests.train.datasets import made


@pytest.fixture
def tables(tmp_path):
    made.text(
        tmp_path / "train.csv",
        "index,comment,label,score,class",
        "953619,\"['Nice light.', 'I like it']\",0 1 5 17 38 36 15 6 5 1,5.5,4",
        '954184,[],0 0 0 0 0 0 0 0 0 4,,6',
    )  # fmt: skip
    made.photos(tmp_path / "images", "953619.jpg", "954184.jpg")
    return tmp_path


@pytest.fixture
def published(tmp_path):
    made.text(
        tmp_path / "AVA.txt",
        "1 953619 0 1 5 17 38 36 15 6 5 1 1 22 1396",
        "2 953958 10 7 15 26 26 21 10 8 1 2 1 21 1396",
    )
    images = [
        {
            "filename": "953619.jpg",
            "split": "train",
            "sentences": [{"raw": " Nice light.", "clean": "nice light", "tokens": []}],
        },
        {"filename": "953958.jpg", "split": "val", "sentences": []},
    ]
    write(tmp_path, images)
    return tmp_path


def write(folder, images):
    file = folder / "CLEAN_AVA_FULL_AFTER_SUBJECTIVE_CLEANING.json"
    file.write_text(json.dumps({"images": images, "dataset": "AVA"}))


def test_tables_have_votes_comments_and_rounded_categories(tables):
    dataset = read_dataset("ava-captions", tables)
    assert dataset.samples[0].texts == ("Nice light.", "I like it")
    torch.testing.assert_close(dataset.votes()[1], torch.eye(10)[9])
    assert dataset.classes()[:, 0].tolist() == [4, 6]
    assert dataset.class_counts().sum() == 2
    assert len(dataset.photo_set(tables / "cache", 4)) == 2


def test_published_captions_are_joined_with_avas_votes(published):
    dataset = read_dataset("ava-captions", published)
    assert [s.texts for s in dataset.samples] == [("Nice light.",)]
    assert dataset.samples[0].votes["aesthetic"][4] == pytest.approx(38 / 124)
    assert read_dataset("ava-captions", published, split="validation").samples[0].texts == ()
    with pytest.raises(DatasetError, match="no split 'val'; expected train, validation, test"):
        read_dataset("ava-captions", published, split="val")


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ({"filename": "1.jpg", "split": "train"}, "image 1: no sentences; expected filename"),
        ({"filename": "1.jpg", "split": "train", "sentences": ["x"]}, "image 1: expected sentence"),
        ({"filename": "7.jpg", "split": "train", "sentences": []}, "no row for the photo 7"),
    ],
)
def test_what_is_wrong_in_the_published_file_is_named(published, image, expected):
    write(published, [image])
    with pytest.raises(DatasetError, match=expected):
        read_dataset("ava-captions", published)


def test_no_captions_at_all_are_told(tmp_path):
    with pytest.raises(DatasetError, match=r"train\.csv cannot be opened"):
        read_dataset("ava-captions", tmp_path)


def test_a_file_that_is_no_json_is_named(published):
    (published / "CLEAN_AVA_FULL_AFTER_SUBJECTIVE_CLEANING.json").write_text("no json")
    with pytest.raises(DatasetError, match=r"CLEANING\.json cannot be read"):
        read_dataset("ava-captions", published)
