"""Choosing photos, and folders of the chosen ones."""

from __future__ import annotations

import os

import pytest

from aesmamba_sdk.culling import Place, chosen
from aesmamba_sdk.errors import PlaceError
from aesmamba_sdk.scores import UNIT_SCORES, Score, ScoreFailure, ranked


def scored(*values):
    bad = ScoreFailure("photo_empty", "it is empty")
    return [
        Score(f"{i}.jpg", v, UNIT_SCORES, error=bad if v is None else None)
        for i, v in enumerate(values)
    ]


def paths(scores):
    return [s.path for s in scores]


def test_the_good_enough_stay_in_order_and_errors_pass():
    scores = scored(3.0, None, 2.0, 4.0)
    assert paths(chosen(scores, min_score=3.0)) == ["0.jpg", "1.jpg", "3.jpg"]
    assert paths(chosen(scores)) == paths(scores)


def test_the_best_so_many_stay_in_order_the_earlier_of_equal_ones():
    scores = scored(3.0, 4.0, None, 3.0, 5.0, 1.0)
    assert paths(chosen(scores, top=3)) == ["0.jpg", "1.jpg", "2.jpg", "4.jpg"]
    assert paths(chosen(scores, top=9)) == paths(scores)
    assert paths(chosen(scores, top=3, min_score=3.5)) == ["1.jpg", "2.jpg", "4.jpg"]


def test_of_scores_at_the_end_of_the_scale_the_higher_before_it_is_kept():
    scores = [Score(f"{i}.jpg", 5.0, UNIT_SCORES, unclipped=u) for i, u in enumerate((5.1, 5.3))]
    assert paths(chosen(scores, top=1)) == ["1.jpg"]
    assert paths(ranked(scores)) == ["1.jpg", "0.jpg"]


@pytest.fixture
def library(tmp_path):
    for name in ("a/IMG.jpg", "a/IMG.jpg.xmp", "a/IMG.xmp", "b/IMG.jpg", "b/other.jpg"):
        file = tmp_path / "library" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    return tmp_path / "library"


def put(place, *photos):
    return [(place.put(p), p)[1] for p in map(place.plan, photos)]


def names(folder):
    return {file.name: file.read_text() for file in folder.iterdir()}


@pytest.mark.parametrize("link", [False, True])
def test_photos_arrive_with_their_sidecars_and_none_takes_anothers_name(library, tmp_path, link):
    best = tmp_path / "new" / "best"
    put(Place(best, link=link), library / "a" / "IMG.jpg", library / "b" / "IMG.jpg")
    assert names(best) == {
        "IMG.jpg": "a/IMG.jpg",
        "IMG.jpg.xmp": "a/IMG.jpg.xmp",
        "IMG.xmp": "a/IMG.xmp",
        "IMG-2.jpg": "b/IMG.jpg",
    }
    assert (best / "IMG.xmp").is_symlink() is link


@pytest.mark.parametrize("link", [False, True])
def test_the_same_again_changes_nothing_and_others_files_stay(library, tmp_path, link):
    best = tmp_path / "best"
    best.mkdir()
    (best / "IMG.jpg").write_text("somebody's")
    (best / "other.xmp").write_text("somebody's")
    photos = library / "a" / "IMG.jpg", library / "b" / "other.jpg"
    put(Place(best, link=link), *photos)
    before = names(best)
    assert before["IMG.jpg"] == before["other.xmp"] == "somebody's"
    assert before["IMG-2.jpg"] == "a/IMG.jpg"
    assert before["IMG-2.jpg.xmp"] == "a/IMG.jpg.xmp"
    again = put(Place(best, link=link), *photos)
    assert [p.files for p in again] == [[], []]
    assert names(best) == before


def test_planning_alone_does_nothing_but_keeps_names_apart(library, tmp_path):
    place = Place(tmp_path / "best")
    targets = [place.plan(library / f / "IMG.jpg").target.name for f in ("a", "b")]
    assert targets == ["IMG.jpg", "IMG-2.jpg"]
    assert not (tmp_path / "best").exists()


@pytest.mark.skipif(os.name != "posix", reason="sizes of files have no limit elsewhere")
@pytest.mark.parametrize("size", [5000, 3_000_000])
def test_of_a_copy_that_fails_nothing_is_left(library, tmp_path, size):
    """Small files are written when they are closed, large ones before."""
    import resource

    photo = library / "b" / "IMG.jpg"
    photo.write_bytes(bytes(size))
    place = Place(tmp_path / "best")
    placement = place.plan(photo)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(PlaceError, match="cannot be put"):
            place.put(placement)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((tmp_path / "best").iterdir()) == []


def test_what_cannot_be_put_is_named(library, tmp_path):
    with pytest.raises(PlaceError, match=r"gone\.jpg"):
        Place(tmp_path).plan(library / "gone.jpg")
    for link in (False, True):
        with pytest.raises(PlaceError, match="already"):
            Place(library / "a", link=link).plan(library / "a" / "IMG.jpg")
    (tmp_path / "file").touch()
    place = Place(tmp_path / "file")
    with pytest.raises(PlaceError, match="cannot be put"):
        place.put(place.plan(library / "a" / "IMG.jpg"))
    place = Place(tmp_path / "best")
    placement = place.plan(library / "a" / "IMG.jpg")
    (tmp_path / "best").mkdir()
    placement.target.write_text("somebody was faster")
    with pytest.raises(PlaceError, match="exists"):
        place.put(placement)
    assert placement.target.read_text() == "somebody was faster"
