"""Stars of photo apps as ratings."""

from __future__ import annotations

import pytest

from aesmamba_sdk.errors import RatingsError
from aesmamba_sdk.photos import Selection
from aesmamba_sdk.ratings import read_ratings
from tests.xmp.apps import DARKTABLE, PHOTOPRISM, image


@pytest.fixture
def library(tmp_path):
    """Five photos that darktable rated, one it rejected, one it never saw."""
    for name, stars in [("a", 1), ("b", 4), ("sub/c", 5), ("d", -1), ("e", 0)]:
        photo = tmp_path / f"{name}.jpg"
        photo.parent.mkdir(exist_ok=True)
        sidecar = image(photo).with_name(photo.name + ".xmp")
        sidecar.write_text(DARKTABLE.format(rating=stars), encoding="utf-8")
    image(tmp_path / "f.jpg")
    return tmp_path


def stars(rated):
    return {item.path.name: item.score for item in rated.items}


def test_a_folder_without_a_table_is_read_by_its_stars(library):
    rated = read_ratings(library)
    assert stars(rated) == {"a.jpg": 1.0, "b.jpg": 4.0, "c.jpg": 5.0}
    assert rated.items[0].source == "xmp:Rating in a.jpg.xmp"
    assert rated.problems == []
    assert rated.notes == [
        "2 photos without stars are left out",
        "1 rejected photos are left out; --rejects lowest counts them as 1",
    ]


def test_rejects_count_as_one_star_and_initial_stars_as_none_when_asked(library):
    rated = read_ratings(library, rejects="lowest", unrated=1)
    assert stars(rated) == {"b.jpg": 4.0, "c.jpg": 5.0, "d.jpg": 1.0}


def test_picked_photos_count_as_five_stars_when_asked(library):
    loved = PHOTOPRISM.format(quality=3, favorite="Favorite: true\n")
    for name in ("a", "b", "d", "e"):
        (library / f"{name}.yml").write_text(loved, encoding="utf-8")
    rated = read_ratings(library, unrated=1)
    assert stars(rated) == {"b.jpg": 4.0, "c.jpg": 5.0}
    assert "2 of these were picked; --picks highest counts them as 5" in rated.notes
    rated = read_ratings(library, unrated=1, picks="highest")
    assert stars(rated) == {"a.jpg": 5.0, "b.jpg": 4.0, "c.jpg": 5.0, "e.jpg": 5.0}
    assert rated.items[0].source == "Favorite in a.yml"
    with pytest.raises(RatingsError, match="picks='best' is none of"):
        read_ratings(library, picks="best")


def test_of_folders_only_what_is_chosen_is_read(library):
    assert stars(read_ratings(library, selection=Selection(include=("sub/*",)))) == {"c.jpg": 5.0}
    chosen = Selection(exclude=("b.*", "sub"))
    assert stars(read_ratings(library, selection=chosen)) == {"a.jpg": 1.0}
    (library / "3").mkdir()
    image(library / "3" / "x.jpg")
    image(library / "3" / "y.jpg")
    chosen = Selection(include=("x*",))
    assert stars(read_ratings(library, library / "b.jpg", selection=chosen)) == {
        "x.jpg": 3.0,
        "b.jpg": 4.0,
    }


def test_a_table_or_star_folders_count_before_metadata_but_months_are_no_stars(library):
    (library / "ratings.csv").write_text("file,score\nb.jpg,2\n")
    assert stars(read_ratings(library)) == {"b.jpg": 2.0}
    (library / "ratings.csv").unlink()
    (library / "3").mkdir()
    (library / "e.jpg").rename(library / "3" / "e.jpg")
    assert stars(read_ratings(library)) == {"e.jpg": 3.0}
    (library / "12").mkdir()
    assert "b.jpg" in stars(read_ratings(library))


def test_photos_are_sources_beside_folders_and_tables(library):
    (library / "sub" / "ratings.csv").write_text("file,score\nc.jpg,2\n")
    rated = read_ratings(library / "b.jpg", library / "sub", library / "a.jpg")
    assert stars(rated) == {"a.jpg": 1.0, "b.jpg": 4.0, "c.jpg": 2.0}


def test_raw_and_jpeg_of_one_shot_belong_together(library):
    for name in ("b.png", "b.tif"):
        image(library / name)
    (library / "b.xmp").write_text(DARKTABLE.format(rating=2), encoding="utf-8")
    groups = {item.path.name: item.group for item in read_ratings(library).items}
    assert groups["b.png"] == groups["b.tif"] == groups["b.jpg"] == str(library / "b")
    assert groups["a.jpg"] == ""


def test_nothing_rated_says_what_was_seen(tmp_path):
    image(tmp_path / "a.jpg")
    with pytest.raises(RatingsError, match=r"1 photos without stars .* stars in their metadata"):
        read_ratings(tmp_path)


def test_what_is_no_image_is_named_once_and_in_words(library):
    (library / "notes.jpg").write_text("no photo")
    told = [problem.message for problem in read_ratings(library).problems]
    assert told == [f"{library / 'notes.jpg'} is not an image of a known format"]
