"""Nothing that lies in a folder stops, delays or fools the reading of the others."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from aesmamba_sdk.embeddings.cache import EmbeddingCache
from aesmamba_sdk.embeddings.stream import Embedded, embed_photos
from aesmamba_sdk.errors import PhotoError
from aesmamba_sdk.photos import iter_photos, load_photo
from benchmarks.hostile import write_hostile
from tests.photos.dng import dng
from tests.photos.pictures import encoded, gradient
from tests.shared import shared_folder

NOBODY = 65_534


class Encoder:
    """The mean colour."""

    key = "mean"

    def __call__(self, images):
        return np.stack([np.asarray(image, np.float32).mean((0, 1)) for image in images])


def read(folder: Path, home: Path) -> dict[Path, Embedded]:
    cache = EmbeddingCache(home / "e.db")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of odd metadata
        outcomes = list(embed_photos(iter_photos([folder]), Encoder(), cache, threads=2))
    cache.close()
    return {Path(str(outcome.path)): outcome for outcome in outcomes}


def test_of_hostile_files_the_good_are_read_and_the_bad_are_named(tmp_path):
    hostile = write_hostile(tmp_path / "hostile", 114, bombs=0)
    started = time.monotonic()
    outcomes = read(hostile.folder, tmp_path)
    assert time.monotonic() - started < 60
    assert set(outcomes) == {*hostile.good, *hostile.bad, *hostile.either}
    for path in hostile.good:
        assert outcomes[path].error is None
        assert np.isfinite(outcomes[path].feature).all()
    for path in hostile.bad:
        assert path.name in str(outcomes[path].error)
    for path in hostile.either:
        error = outcomes[path].error
        assert error is None or path.name in str(error)


def test_damaged_raw_files_are_read_or_named(tmp_path):
    rng = random.Random(0)
    whole = [
        dng(gradient(96, 64)),
        dng(gradient(96, 64), preview=encoded(gradient(640, 480), "JPEG")),
    ]
    for number in range(40):
        data = bytearray(rng.choice(whole))
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(8, min(len(data), 20_000))] = rng.randrange(256)
        file = tmp_path / f"{number}.dng"
        file.write_bytes(data[: rng.choice([len(data), len(data), rng.randrange(100, len(data))])])
        error = failure(file)
        assert error is None or file.name in str(error)


@pytest.mark.skipif(os.name != "posix", reason="rights work otherwise there")
def test_what_may_not_be_read_is_named():
    with readable_folder() as folder:
        for name in ("closed.jpg", "open.jpg", "closed/a.jpg"):
            file = folder / name
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(encoded(gradient(), "JPEG"))
        (folder / "closed.jpg").chmod(0)
        (folder / "closed").chmod(0)
        with as_nobody():
            errors = {photo.name: failure(photo) for photo in iter_photos([folder])}
        (folder / "closed").chmod(0o755)
    assert errors.pop("open.jpg") is None
    assert {name: error.code for name, error in errors.items()} == dict.fromkeys(
        ("closed.jpg", "closed"), "photo_permission"
    )
    assert all(name in str(error) for name, error in errors.items())


def failure(photo: Path) -> PhotoError | None:
    try:
        load_photo(photo)
    except PhotoError as error:
        return error
    return None


@contextmanager
def readable_folder() -> Iterator[Path]:
    """A folder that other users can reach, which pytest's own are not."""
    place = shared_folder()
    if place is None:
        pytest.skip("no other user can reach temporary files here")
    folder = Path(tempfile.mkdtemp(dir=place))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Rights do not bind root: give them up for a while."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if before == 0:
            os.seteuid(before)
