"""Ratings as people give them."""

from __future__ import annotations

import pytest

from aesmamba_sdk.errors import (
    PhotoError,
    RatingsError,
)
from aesmamba_sdk.scores import Scale
from tests import toy


def test_ratings_can_be_given_one_by_one_of_files_or_of_images_in_memory(sdk, photos):
    sdk.users.add("alice")
    first = sdk.rate("alice", photos[0], 7, scale=Scale(1, 7), group="burst")
    assert (first.score, first.raw_score, first.path) == (5, 7, str(photos[0]))
    for photo in photos[1:]:
        stars = 1 + 4 * toy.brightness(photo)
        sdk.rate("alice", photo.read_bytes(), stars, name=photo.name, source="app")
    kept = sdk.ratings.list("alice")
    assert [r.path for r in kept] == [str(photos[0]), *(p.name for p in photos[1:])]
    assert sdk.personalize("alice").shots == 20
    with pytest.raises(RatingsError, match="9 is not on its scale of 1-5"):
        sdk.rate("alice", photos[0], 9)
    with pytest.raises(PhotoError, match="not an image"):
        sdk.rate("alice", b"nonsense", 3)


def test_raw_ratings_of_another_scale_are_kept_as_given(sdk, tmp_path):
    paths = toy.write_photos(tmp_path / "rated", 3)
    table = tmp_path / "rated" / "ratings.csv"
    table.write_text("file,score\n" + "".join(f"{p.name},{7 - i}\n" for i, p in enumerate(paths)))
    sdk.users.add("alice")
    sdk.personalize("alice", table, scale=Scale(1, 7))
    first = next(r for r in sdk.ratings.list("alice") if r.path == str(paths[0]))
    assert (first.raw_score, first.score, first.raw_scale) == (7, 5, Scale(1, 7))
