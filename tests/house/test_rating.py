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
    for wrong in (9, 10**400, float("nan"), "4", None, [4]):
        with pytest.raises(RatingsError, match=r"the rating .* is not on its scale of 1-5"):
            sdk.rate("alice", photos[0], wrong)
    with pytest.raises(PhotoError, match="not an image"):
        sdk.rate("alice", b"nonsense", 3)


def test_photos_in_memory_count_without_the_cache_which_keeps_none_of_them(sdk, photos, toy_model):
    sdk.users.add("alice")
    for photo in photos:
        sdk.rate("alice", photo.read_bytes(), 1 + 4 * toy.brightness(photo), name=photo.name)
    ids = [rating.photo_id for rating in sdk.ratings.list("alice")]
    list(sdk.score_many(photo.read_bytes() for photo in photos))
    assert sdk.embeddings.features(ids, sdk.backbone.key) == {}
    report = sdk.personalize("alice")
    assert (report.shots, report.problems) == (20, [])
    sdk.ratings.remove("alice", ids[:1])
    assert sdk.personalize("alice").shots == 19
    assert ids[0] not in sdk.ratings.features(ids, sdk.backbone.key)


def test_raw_ratings_of_another_scale_are_kept_as_given(sdk, tmp_path):
    paths = toy.write_photos(tmp_path / "rated", 3)
    table = tmp_path / "rated" / "ratings.csv"
    table.write_text("file,score\n" + "".join(f"{p.name},{7 - i}\n" for i, p in enumerate(paths)))
    sdk.users.add("alice")
    sdk.personalize("alice", table, scale=Scale(1, 7))
    first = next(r for r in sdk.ratings.list("alice") if r.path == str(paths[0]))
    assert (first.raw_score, first.score, first.raw_scale) == (7, 5, Scale(1, 7))
