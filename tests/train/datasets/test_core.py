"""Tables, photos and categories that every dataset shares, broken ones above all."""

from __future__ import annotations

import math
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aesmamba_sdk.errors import DatasetError
from aesmamba_sdk.train.datasets import Categories, read_dataset
from aesmamba_sdk.train.datasets.pixels import decoded
from aesmamba_sdk.train.losses import scale_category
from tests.train.datasets import made

NAN = float("nan")


@pytest.fixture
def tad66k(tmp_path):
    made.text(
        tmp_path / "labels/merge/train.csv", "image,score", "a.jpg,1.5", "b.jpg,", "c.jpg,9.9"
    )
    made.photos(tmp_path / "TAD66K", "a.jpg", "b.jpg", "c.jpg")
    return tmp_path


def failure(folder, name="tad66k", split="train"):
    with pytest.raises(DatasetError) as caught:
        read_dataset(name, folder, split=split).photo_set(folder / "cache", 4)
    return str(caught.value), caught.value.code


def test_an_unknown_dataset_is_told_with_those_there_are(tmp_path):
    message, _ = failure(tmp_path, "flickr")
    assert "flickr" in message
    assert "tad66k" in message


def test_a_missing_label_is_nan_and_has_no_class(tad66k):
    dataset = read_dataset("tad66k", tad66k)
    assert [math.isnan(score) for score in dataset.scores()[:, 0]] == [False, True, False]
    assert dataset.classes()[:, 0].tolist() == [0, -1, 4]
    assert dataset.class_counts().tolist() == [[1, 0, 0, 0, 1]]


def test_a_missing_file_is_named(tad66k):
    message, code = failure(tad66k, split="test")
    assert str(tad66k / "labels/merge/test.csv") in message
    assert code == "dataset_missing"


def test_a_missing_column_is_named_with_those_found(tad66k):
    file = made.text(tad66k / "labels/merge/train.csv", "image,rating", "a.jpg,1")
    message, code = failure(tad66k)
    assert f"{file} row 1: no column score; found image, rating" in message
    assert code == "dataset_columns"


@pytest.mark.parametrize("value", ["high", "11", "-1", "inf"])
def test_a_wrong_value_is_named_with_its_row_and_scale(tad66k, value):
    file = made.text(tad66k / "labels/merge/train.csv", "image,score", "a.jpg,1", f"b.jpg,{value}")
    message, code = failure(tad66k)
    assert message == f"{file} row 3: score is {value!r}; expected a number of 0-10"
    assert code == "dataset_value"


def test_a_row_of_another_length_is_named(tad66k):
    file = made.text(tad66k / "labels/merge/train.csv", "image,score", "a.jpg,1", "b.jpg")
    assert f"{file} row 3: 1 values; expected 2" in failure(tad66k)[0]


def test_a_row_without_photo_is_named(tad66k):
    made.text(tad66k / "labels/merge/train.csv", "image,score", ",1")
    assert "row 2: image is ''; expected a value" in failure(tad66k)[0]


def test_bytes_that_are_no_text_are_told(tad66k):
    (tad66k / "labels/merge/train.csv").write_bytes(b"image,score\n\xff\xfe,1\n")
    assert "expected UTF-8 text" in failure(tad66k)[0]


def test_no_rows_are_told(tad66k):
    made.text(tad66k / "labels/merge/train.csv", "image,score")
    assert "is empty; expected at least one photo" in failure(tad66k)[0]


def test_a_missing_photo_is_named_with_its_row(tad66k):
    (tad66k / "TAD66K/b.jpg").unlink()
    message, code = failure(tad66k)
    assert "train.csv row 3: the photo b.jpg is not in" in message
    assert code == "dataset_photo"


@pytest.mark.parametrize("content", [b"", b"no photo", made.jpeg(9)[:200]])
def test_an_unreadable_photo_is_named_with_its_row(tad66k, content):
    (tad66k / "TAD66K/c.jpg").write_bytes(content)
    message, code = failure(tad66k)
    assert "train.csv row 4: the photo c.jpg cannot be used" in message
    assert code == "dataset_photo"
    assert not list((tad66k / "cache").glob("*[0-9a-f].npy"))


@pytest.fixture
def gaps(tad66k):
    """Of three photos the first is missing and the second damaged."""
    (tad66k / "TAD66K/a.jpg").unlink()
    (tad66k / "TAD66K/b.jpg").write_bytes(b"no photo")
    return tad66k


def test_all_photos_that_cannot_be_used_are_named_at_once(gaps):
    message, code = failure(gaps)
    assert message.startswith("2 of 3 photos of tad66k-train cannot be used; repair them, or go on")
    assert "row 2: the photo a.jpg is not in" in message
    assert "row 3: the photo b.jpg cannot be used" in message
    assert code == "dataset_photo"


def test_of_many_photos_that_cannot_be_used_some_are_named(tad66k):
    rows = [f"{i}.jpg,1" for i in range(30)]
    made.text(tad66k / "labels/merge/train.csv", "image,score", "a.jpg,1", *rows)
    message, _ = failure(tad66k)
    assert message.startswith("30 of 31 photos")
    assert message.endswith("expected one such photo; and 10 more")


def test_a_dataset_goes_on_without_photos_that_cannot_be_used(gaps):
    usable, photos = read_dataset("tad66k", gaps).usable(gaps / "cache", 4, skip=True)
    assert [sample.image for sample in usable.samples] == list(photos.names) == ["c.jpg"]
    pixels, scores = photos.batch(np.array([0]))
    assert pixels.float().mean().item() == pytest.approx(120, abs=2)
    assert scores.tolist() == [[pytest.approx(9.9)]]


def test_nothing_can_be_done_without_any_photo(gaps):
    (gaps / "TAD66K/c.jpg").unlink()
    with pytest.raises(DatasetError, match="3 of 3 photos") as caught:
        read_dataset("tad66k", gaps).usable(gaps / "cache", 4, skip=True)
    assert "--skip-unusable" not in str(caught.value), "which is what was done"


def test_photos_stay_skipped_until_all_are_asked_for(gaps):
    """Nor is any photo decoded twice, whatever could not be used beside it."""
    dataset = read_dataset("tad66k", gaps)
    dataset.usable(gaps / "cache", 4, skip=True)
    made.photos(gaps / "TAD66K", "a.jpg", "b.jpg")
    (gaps / "TAD66K/c.jpg").unlink()
    assert dataset.usable(gaps / "cache", 4, skip=True)[1].names == ("c.jpg",)
    photos = dataset.photo_set(gaps / "cache", 4)
    assert photos.names == ("a.jpg", "b.jpg", "c.jpg")
    assert photos.pixels[:, 0, 0, 0].tolist() == pytest.approx([40, 80, 120], abs=2)
    assert sorted(file.suffixes for file in (gaps / "cache").iterdir()) == [[".lock"], [".npy"]]


def test_decoding_that_was_killed_begins_anew(gaps):
    """Even where a list of unusable photos is left of an array that somebody removed."""

    def die(*_):
        raise KeyboardInterrupt

    dataset, cache = read_dataset("tad66k", gaps), gaps / "cache"
    dataset.usable(cache, 4, skip=True)
    for file in cache.glob("*.npy"):
        file.unlink()
    with pytest.raises(KeyboardInterrupt):
        dataset.usable(cache, 4, die, skip=True)
    pixels, _ = dataset.usable(cache, 4, skip=True)[1].batch(np.array([0]))
    assert pixels.float().mean().item() == pytest.approx(120, abs=2)


def test_photos_become_squares_in_order_and_are_kept(tad66k):
    dataset = read_dataset("tad66k", tad66k)
    photos = dataset.photo_set(tad66k / "cache", 4)
    assert photos.names == ("a.jpg", "b.jpg", "c.jpg")
    assert photos.pixels.shape == (3, 4, 4, 3)
    assert photos.pixels[:, 0, 0, 0].tolist() == pytest.approx([40, 80, 120], abs=2)
    for file in (tad66k / "TAD66K").iterdir():
        file.unlink()
    again = dataset.photo_set(tad66k / "cache", 4)
    assert (again.pixels == photos.pixels).all()
    reversed_set = dataset.subset([0])
    with pytest.raises(DatasetError):
        reversed_set.photo_set(tad66k / "cache", 4)


def test_photos_are_read_from_archives_by_the_end_of_their_path(tad66k):
    for file in (tad66k / "TAD66K").iterdir():
        file.unlink()
    made.archive(tad66k / "photos.zip", "TAD66K/a.jpg", "TAD66K/b.jpg", "TAD66K/c.jpg")
    photos = read_dataset("tad66k", tad66k).photo_set(tad66k / "cache", 4)
    assert photos.pixels[:, 0, 0, 0].tolist() == pytest.approx([40, 80, 120], abs=2)


def test_two_members_of_one_name_are_not_guessed_between(tad66k):
    (tad66k / "TAD66K/a.jpg").unlink()
    made.archive(tad66k / "photos.zip", "one/a.jpg", "two/a.jpg")
    assert "ambiguous: photos.zip:one/a.jpg, photos.zip:two/a.jpg" in failure(tad66k)[0]


def test_a_damaged_member_of_an_archive_is_a_photo_that_cannot_be_used(tad66k):
    (tad66k / "TAD66K/b.jpg").unlink()
    file = tad66k / "photos.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr("b.jpg", made.jpeg(80))
    packed = bytearray(file.read_bytes())
    packed[30 + len("b.jpg")] = 0xFF  # its first block, behind header and name, is of no kind
    file.write_bytes(packed)
    message, code = failure(tad66k)
    assert f"row 3: the photo b.jpg cannot be read from {file}: Error -3" in message
    assert code == "dataset_photo"
    photos = read_dataset("tad66k", tad66k).usable(tad66k / "cache", 4, skip=True)[1]
    assert photos.names == ("a.jpg", "c.jpg")


def test_a_damaged_archive_is_named(tad66k):
    (tad66k / "TAD66K/a.jpg").unlink()
    (tad66k / "photos.zip").write_bytes(b"PK no zip")
    assert "photos.zip is no readable zip archive" in failure(tad66k)[0]


def test_paras_categories_are_those_of_the_loss():
    scores = torch.cat([1 + 4 * torch.rand(200), torch.tensor([1.0, 2, 3, 4, 5, NAN])])
    assert torch.equal(Categories(4, low=1)(scores), scale_category(scores))


@pytest.mark.parametrize(
    ("categories", "scores", "expected"),
    [
        (Categories(5, low=0, per_unit=5), [0, 0.2, 0.4, 0.6, 0.8, 1, NAN], [0, 1, 2, 3, 4, 4, -1]),
        (Categories(5, low=0, per_unit=0.5), [0, 1.99, 2, 9.99, 10], [0, 0, 1, 4, 4]),
        (Categories(4, low=3), [2.5, 3.1, 4, 5.99, 6, 7], [0, 0, 1, 2, 3, 3]),
        (Categories(7, low=2, rounded=True), [1.8, 2.4, 2.6, 5.4, 8.6], [0, 0, 1, 3, 6]),
    ],
)  # fmt: skip
def test_categories_follow_their_rule(categories, scores, expected):
    assert categories(torch.tensor(scores)).tolist() == expected


def test_folders_that_are_called_alike_do_not_share_pixels(tmp_path, monkeypatch):
    """Two projects with one cache, each of which calls its photos ``photos``."""
    seen = []
    for project, level in (("one", 10), ("other", 200)):
        folder = tmp_path / project / "photos"
        made.text(folder / "labels.csv", "image,score,split", "a.png,3,train")
        Image.new("RGB", (8, 8), (level,) * 3).save(folder / "a.png")
        monkeypatch.chdir(folder.parent)
        photos = read_dataset("folder", Path("photos")).photo_set(tmp_path / "cache", 4)
        seen.append(int(photos.pixels.mean()))
    assert seen == [10, 200]


def test_decoded_photos_that_were_cut_short_are_decoded_again(tad66k):
    expected = read_dataset("tad66k", tad66k).photo_set(tad66k / "cache", 4).pixels.copy()
    (kept,) = (tad66k / "cache").glob("*.npy")
    whole = kept.read_bytes()
    for left in (0, 40, len(whole) - 1):
        kept.write_bytes(whole[:left])
        again = read_dataset("tad66k", tad66k).photo_set(tad66k / "cache", 4)
        np.testing.assert_array_equal(again.pixels, expected)


def test_a_quote_that_is_never_closed_does_not_swallow_the_rows_behind_it(tad66k):
    file = made.text(
        tad66k / "labels/merge/train.csv", "score,image", "1.5,a.jpg", '2,"b.jpg', "3,c.jpg"
    )
    message, _ = failure(tad66k)
    assert f"{file} row 3: unexpected end of data; expected a CSV table whose quotes" in message


def test_a_column_that_is_there_twice_is_named(tad66k):
    file = made.text(tad66k / "labels/merge/train.csv", "image,score,score", "a.jpg,1,2")
    message, code = failure(tad66k)
    assert f"{file} row 1: the column score is there 2 times" in message
    assert code == "dataset_columns"


def test_of_a_long_wrong_value_the_beginning_is_told(tad66k):
    made.text(tad66k / "labels/merge/train.csv", "image,score", f"a.jpg,{'1' * 5000}x")
    message, _ = failure(tad66k)
    assert "score is '111" in message
    assert len(message) < 300 + len(str(tad66k))


def test_a_run_waits_for_another_that_decodes_the_same_photos(tmp_path):
    """It would begin the file anew under the other's hands."""
    shape = (300, 1, 1, 3)
    started, others = threading.Event(), []

    def load(row):
        if row == shape[0] - 1:
            started.set()
            other.join(0.5)
        return np.full(shape[1:], 7, np.uint8)

    def run_the_other():
        started.wait()
        others.append(decoded(tmp_path / "x.npy", shape, fail, None, retry=True)[0])

    def fail(row):
        raise AssertionError("decoded twice")

    other = threading.Thread(target=run_the_other)
    other.start()
    pixels, _ = decoded(tmp_path / "x.npy", shape, load, None, retry=True)
    other.join()
    for found in (pixels, *others):
        assert (found == 7).all()
    assert len(others) == 1
