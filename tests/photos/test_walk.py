"""Which files of a folder are photos."""

from __future__ import annotations

import os

import pytest

from aesmamba_sdk.photos import Selection, count_photos, expand, iter_photos

posix = pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere")


def make(folder, *names):
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def found(folder, **selection):
    photos = iter_photos([folder], Selection(**selection))
    return [photo.relative_to(folder).as_posix() for photo in photos]


def test_folders_are_walked_in_order_without_hidden_or_foreign_files(tmp_path):
    make(tmp_path, "b.jpg", "a/z.PNG", "a/.hidden.jpg", ".trash/c.jpg", "a/notes.txt", "a/b/c.heic")
    photos = list(iter_photos([tmp_path, tmp_path / "b.jpg", tmp_path / "gone.jpg"]))
    names = [photo.relative_to(tmp_path).as_posix() for photo in photos]
    assert names == ["b.jpg", "a/z.PNG", "a/b/c.heic", "gone.jpg"]


@pytest.mark.parametrize(
    "name",
    [
        ".Trash-1000/files/a.jpg",
        ".thumbnails/large/a.png",
        ".dtrash/files/a.jpg",
        "$RECYCLE.BIN/S-1-5/a.jpg",
        "#recycle/a.jpg",
        "@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg",
        "Catalog Previews.lrdata/0/a.jpg",
        "Photos Library.photoslibrary/resources/derivatives/a.jpg",
        "__MACOSX/a.jpg",
        "._a.jpg",
    ],
)
def test_trash_and_renditions_are_passed_over(tmp_path, name):
    make(tmp_path, name, "good.jpg")
    assert found(tmp_path) == ["good.jpg"]


def test_of_apples_library_the_originals_are_taken(tmp_path):
    make(tmp_path, "My.photoslibrary/originals/0/a.heic", "My.photoslibrary/database/b.jpg")
    assert found(tmp_path) == ["My.photoslibrary/originals/0/a.heic"]


def test_folders_that_ask_for_it_are_passed_over_unless_named(tmp_path):
    make(tmp_path, "cache/.nomedia", "cache/a.jpg", "thumbs/.immich", "thumbs/b.jpg", "good.jpg")
    assert found(tmp_path) == ["good.jpg"]
    assert found(tmp_path / "cache") == ["a.jpg"]
    make(tmp_path, "mine/thumbs/c.jpg")
    assert "mine/thumbs/c.jpg" in found(tmp_path)


def test_sidecars_are_no_photos(tmp_path):
    make(tmp_path, "a.jpg", "a.jpg.xmp", "a.xmp", "a.aae", "a.thm", "a.jpg.json", "a.pp3", "a.mov")
    assert found(tmp_path) == ["a.jpg"]


def test_of_a_raw_file_and_its_picture_the_picture_counts(tmp_path):
    make(tmp_path, "a.CR2", "a.jpg", "b.nef", "c/a.dng", "d.ARW", "D.heic")
    assert found(tmp_path) == ["D.heic", "a.jpg", "b.nef", "c/a.dng"]
    assert found(tmp_path, include=("*.cr2",)) == ["a.CR2"], "of those that are wanted"
    assert count_photos([tmp_path / "a.CR2"]) == 1, "named itself, it is taken"


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        ({"include": ("*.JPG",)}, ["a.jpg", "2024/b.jpg", "2024/may/c.jpg"]),
        ({"include": ("2024/*",)}, ["2024/b.jpg", "2024/may/c.jpg", "2024/may/d.png"]),
        ({"include": ("2024/**/*.jpg",)}, ["2024/b.jpg", "2024/may/c.jpg"]),
        ({"include": ("b*", "*.png")}, ["2024/b.jpg", "2024/may/d.png"]),
        ({"exclude": ("may",)}, ["a.jpg", "2024/b.jpg"]),
        ({"exclude": ("2024/",)}, ["a.jpg"]),
        ({"exclude": ("**/may/*.png", "?.jpg")}, []),
        ({"include": ("*.jpg",), "exclude": ("2024/may/*",)}, ["a.jpg", "2024/b.jpg"]),
        ({"include": ("[ab].*",)}, ["a.jpg", "2024/b.jpg"]),
    ],
)
def test_patterns_choose(tmp_path, selection, names):
    make(tmp_path, "a.jpg", "2024/b.jpg", "2024/may/c.jpg", "2024/may/d.png")
    assert found(tmp_path, **selection) == names
    assert count_photos([tmp_path], Selection(**selection)) == len(names)


@posix
def test_a_folder_to_do_without_is_not_searched_under_any_name(tmp_path):
    make(tmp_path, "a.jpg", "best/b.jpg", "best/old/c.jpg", "2024/d.jpg")
    (tmp_path / "2024" / "link").symlink_to(tmp_path / "best")
    assert found(tmp_path, without=(str(tmp_path / "best"),)) == ["a.jpg", "2024/d.jpg"]
    assert found(tmp_path, without=(str(tmp_path / "gone"),))[0] == "a.jpg"


@posix
def test_links_to_folders_are_followed_and_loops_end(tmp_path):
    make(tmp_path / "library", "2023/a.jpg")
    make(tmp_path / "elsewhere", "b.jpg")
    links = tmp_path / "library"
    (links / "loop").symlink_to(links)
    (links / "2023" / "up").symlink_to("..")
    (links / "other").symlink_to(tmp_path / "elsewhere")
    (links / "other again").symlink_to(tmp_path / "elsewhere")
    (links / "self").symlink_to("self")
    assert found(links) == ["2023/a.jpg", "other/b.jpg"]


@posix
def test_folders_that_have_no_number_are_told_apart_by_their_path(tmp_path, monkeypatch):
    make(tmp_path, "1.jpg", "a/2.jpg", "a/b/3.jpg")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    stat = os.stat

    def unnumbered(*arguments, **options):
        mode, _, *others = stat(*arguments, **options)
        return os.stat_result((mode, 0, *others))

    monkeypatch.setattr(os, "stat", unnumbered)
    assert found(tmp_path) == ["1.jpg", "a/2.jpg", "a/b/3.jpg"]


@posix
def test_what_looks_like_a_photo_is_given_to_be_reported(tmp_path):
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    make(tmp_path, "folder.jpg/a.jpg")
    assert found(tmp_path) == ["gone.jpg", "pipe.jpg", "folder.jpg/a.jpg"]


def test_photos_and_folders_may_be_mixed(tmp_path):
    make(tmp_path, "a/1.jpg", "a/2.jpg", "b.txt")
    mixed = list(expand([tmp_path / "b.txt", b"bytes", tmp_path / "a"]))
    assert mixed[:2] == [tmp_path / "b.txt", b"bytes"]
    assert mixed[2:] == [str(tmp_path / "a" / name) for name in ("1.jpg", "2.jpg")]


def test_a_deep_folder_does_not_exhaust_the_stack(tmp_path):
    folder = tmp_path
    for _ in range(300):
        folder = folder / "d"
    folder.mkdir(parents=True)
    (folder / "a.jpg").touch()
    assert count_photos([tmp_path]) == 1
