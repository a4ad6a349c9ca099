"""AADB in its official layout."""

from __future__ import annotations

import pytest

from aesmamba_sdk.errors import DatasetError
from aesmamba_sdk.train.datasets import read_dataset
from tests.train.datasets import made


@pytest.fixture
def aadb(tmp_path):
    lists = tmp_path / "imgListFiles_label"
    made.text(
        lists / "imgListTrainRegression_score.txt",
        "farm1_262_a.jpg 0.55", "farm1_263_b.jpg 0", "farm1_264_c.jpg 1.000000",
    )  # fmt: skip
    made.text(lists / "imgListValidationRegression_score.txt", "farm1_265_d.jpg 0.2")
    made.text(lists / "imgListTestNewRegression_score.txt", "farm1_266_e.jpg 0.9")
    photos = ("farm1_262_a.jpg", "farm1_263_b.jpg", "farm1_264_c.jpg")
    made.photos(tmp_path / "datasetImages_originalSize", *photos)
    return tmp_path


def test_scores_and_categories(aadb):
    dataset = read_dataset("aadb", aadb)
    assert dataset.scores()[:, 0].tolist() == pytest.approx([0.55, 0, 1])
    assert dataset.classes()[:, 0].tolist() == [2, 0, 4]
    assert dataset.photo_set(aadb / "cache", 4).pixels[:, 0, 0, 0].tolist() == pytest.approx(
        [40, 80, 120], abs=2
    )


def test_splits_are_the_official_lists(aadb):
    assert read_dataset("aadb", aadb, split="validation").samples[0].image == "farm1_265_d.jpg"
    assert read_dataset("aadb", aadb, split="test").samples[0].image == "farm1_266_e.jpg"
    with pytest.raises(DatasetError, match="no split 'dev'; expected train, validation, test"):
        read_dataset("aadb", aadb, split="dev")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("a.jpg", "row 1: 1 values; expected 2: image, score"),
        ("a.jpg 1.2", "row 1: score is '1.2'; expected a number of 0-1"),
    ],
)
def test_a_broken_row_is_named(aadb, row, expected):
    made.text(aadb / "imgListFiles_label/imgListTrainRegression_score.txt", row)
    with pytest.raises(DatasetError, match=expected):
        read_dataset("aadb", aadb)
