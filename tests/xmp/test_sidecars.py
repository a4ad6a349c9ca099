"""Whose sidecar is which."""

from __future__ import annotations

from pathlib import Path

import pytest

from aesmamba_sdk.xmp.sidecars import Sidecars


@pytest.mark.parametrize(
    ("files", "photo", "prefer", "expected"),
    [
        ("IMG.jpg", "IMG.jpg", "full", "IMG.jpg.xmp"),
        ("IMG.jpg", "IMG.jpg", "stem", "IMG.xmp"),
        ("IMG.jpg IMG.xmp", "IMG.jpg", "full", "IMG.xmp"),
        ("IMG.jpg IMG.jpg.xmp", "IMG.jpg", "stem", "IMG.jpg.xmp"),
        ("IMG.jpg IMG.XMP", "IMG.jpg", "full", "IMG.XMP"),
        ("IMG.JPG IMG.CR2 IMG.xmp", "IMG.JPG", "stem", "IMG.JPG.xmp"),
        ("IMG.JPG IMG.CR2 IMG.xmp", "IMG.CR2", "full", "IMG.xmp"),
        ("IMG.JPG IMG.CR2", "IMG.CR2", "stem", "IMG.xmp"),
        ("IMG.jpg IMG.png IMG.xmp", "IMG.png", "stem", "IMG.png.xmp"),
        ("IMG.jpg IMG.jpg.png IMG.jpg.xmp", "IMG.jpg.png", "stem", "IMG.jpg.png.xmp"),
        ("IMG.jpg IMG.txt", "IMG.jpg", "stem", "IMG.xmp"),
    ],
)
def test_the_existing_sidecar_wins_and_no_two_photos_share_one(
    tmp_path, files, photo, prefer, expected
):
    for name in files.split():
        (tmp_path / name).touch()
    assert Sidecars().target(tmp_path / photo, prefer).name == expected


def test_a_shared_sidecar_is_read_for_raw_and_jpeg_but_not_for_a_longer_name(tmp_path):
    for name in ("IMG.jpg", "IMG.cr2", "IMG.xmp", "IMG.jpg.xmp", "IMG.jpg.png"):
        (tmp_path / name).touch()
    names = {p: [s.name for s in Sidecars().of(tmp_path / p)] for p in ("IMG.jpg", "IMG.cr2")}
    assert names == {"IMG.jpg": ["IMG.jpg.xmp", "IMG.xmp"], "IMG.cr2": ["IMG.xmp"]}
    assert Sidecars().of(tmp_path / "IMG.jpg.png") == []


def test_photos_of_no_folder_have_no_sidecars():
    assert Sidecars().of(Path("nowhere/IMG.jpg")) == []
