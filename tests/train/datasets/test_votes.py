"""AVA and Photo.Net in their official formats: votes, means, comments, splits."""

from __future__ import annotations

import pytest
import torch

from aesmamba_sdk.errors import DatasetError
from aesmamba_sdk.train.datasets import read_dataset
from tests.train.datasets import made


@pytest.fixture
def ava(tmp_path):
    made.text(
        tmp_path / "AVA.txt",
        "1 953619 0 1 5 17 38 36 15 6 5 1 1 22 1396",
        "2 953958 10 7 15 26 26 21 10 8 1 2 1 21 1396",
        "3 954184 0 0 0 0 0 0 0 0 0 4 0 0 1396",
    )
    made.text(tmp_path / "aesthetics_image_lists/generic_ls_train.jpgl", "954184", "953619")
    made.text(tmp_path / "aesthetics_image_lists/generic_test.jpgl", "953958")
    made.photos(tmp_path / "images", "953619.jpg", "953958.jpg", "954184.jpg")
    return tmp_path


@pytest.fixture
def photonet(tmp_path):
    made.text(
        tmp_path / "train.csv",
        "index,comment,label,score,class",
        '11,"[\'Nice light, really.\', ""It\'s soft""]",0 0 1 2 3 4 0,5.0,2',
        "12,[],0 0 0 0 0 0 3,,3",
    )
    made.photos(tmp_path / "images", "11.jpg", "12.jpg")
    return tmp_path


def test_avas_votes_become_shares_and_means(ava):
    dataset = read_dataset("ava", ava, split="all")
    counts = torch.tensor([0, 1, 5, 17, 38, 36, 15, 6, 5, 1.0])
    torch.testing.assert_close(dataset.votes()[0], counts / 124)
    mean = sum(k * n for k, n in enumerate(counts.tolist(), 1)) / 124
    assert dataset.scores()[0, 0].item() == pytest.approx(mean)
    assert dataset.classes()[:, 0].tolist() == [4, 3, 7]
    assert (dataset.scale.low, dataset.scale.high) == (1, 10)
    assert dataset.photo_set(ava / "cache", 4).scores.shape == (3, 1)


def test_avas_splits_are_its_lists(ava):
    assert [s.image for s in read_dataset("ava", ava).samples] == ["953619.jpg", "954184.jpg"]
    assert [s.image for s in read_dataset("ava", ava, split="test").samples] == ["953958.jpg"]
    with pytest.raises(DatasetError, match="no split 'validation'; expected train"):
        read_dataset("ava", ava, split="validation")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("4 9 1 2 3", "row 1: 5 values; expected 15: index, image, votes of 1"),
        ("4 9 x 0 0 0 0 0 0 0 0 0 0 0 0", "row 1: votes of 1 is 'x'; expected a count"),
        ("4 9 -1 0 0 0 0 0 0 0 0 9 0 0 0", "row 1: votes of 1 is '-1'; expected a count"),
        ("4 9 0 0 0 0 0 0 0 0 0 0 0 0 0", "row 1: no votes in votes of 1 to votes of 10"),
    ],
)
def test_a_broken_row_of_ava_is_named(ava, row, expected):
    made.text(ava / "AVA.txt", row)
    with pytest.raises(DatasetError, match=expected):
        read_dataset("ava", ava, split="all")


def test_a_listed_photo_without_votes_is_named(ava):
    made.text(ava / "aesthetics_image_lists/generic_test.jpgl", "77")
    with pytest.raises(DatasetError, match=r"AVA\.txt: no row for the photo 77"):
        read_dataset("ava", ava, split="test")


def test_photonet_has_votes_comments_and_a_score(photonet):
    dataset = read_dataset("photonet", photonet)
    assert dataset.samples[0].texts == ("Nice light, really.", "It's soft")
    assert dataset.samples[1].texts == ()
    torch.testing.assert_close(dataset.votes()[0], torch.tensor([0, 0, 1, 2, 3, 4, 0]) / 10)
    assert dataset.scores()[:, 0].tolist() == [5, 7]
    assert dataset.classes()[:, 0].tolist() == [2, 3]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("11,[],1 2 3,4,1", "row 2: label is '1 2 3'; expected 7 counts"),
        ("11,nice,0 0 0 0 0 0 3,7,3", "row 2: comment is 'nice'; expected a list"),
        ("11,[],0 0 0 0 0 0 3,8,3", "row 2: score is '8'; expected a number of 1-7"),
    ],
)
def test_a_broken_row_of_photonet_is_named(photonet, row, expected):
    made.text(photonet / "train.csv", "index,comment,label,score,class", row)
    with pytest.raises(DatasetError, match=expected):
        read_dataset("photonet", photonet)
