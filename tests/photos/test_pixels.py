"""Decoding takes no more memory than it is reckoned to take."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aesmamba_sdk.errors import PhotoError
from aesmamba_sdk.memory import give_back_freed_memory
from aesmamba_sdk.photos import limits, load_photo, pixels
from tests.photos.pictures import encoded, gradient

_PEAK = Path("/proc/self/clear_refs")


@pytest.mark.skipif(not _PEAK.exists(), reason="only Linux forgets a process's peak")
@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("WEBP", "RGB", {"method": 0}),
        ("WEBP", "RGBA", {"method": 0}),
        ("AVIF", "RGB", {"speed": 10}),
        ("GIF", "P", {}),
        ("PNG", "1", {}),
        ("PNG", "L", {}),
        ("PNG", "L", {"transparency": 0}),
        ("PNG", "LA", {}),
        ("PNG", "P", {}),
        ("PNG", "RGB", {}),
        ("PNG", "RGB", {"transparency": (0, 0, 0)}),
        ("PNG", "RGBA", {}),
        ("PNG", "I;16", {}),
        ("TIFF", "F", {}),
        ("TIFF", "CMYK", {}),
        ("BMP", "P", {}),
        ("JPEG", "RGB", {"progressive": True}),
    ],
)
def test_a_photo_takes_what_is_reckoned_for_it(monkeypatch, kind, mode, options):
    data = encoded(gradient(3000, 3000).convert(mode), kind, **options)
    reckoned = []

    def noted(*arguments):
        reckoned.append(limits.check_size(*arguments))
        return reckoned[-1]

    monkeypatch.setattr(pixels, "check_size", noted)
    # 16 MiB for what does not grow with the photo, or only with its longer side.
    assert _least_taken(lambda: load_photo(data)) < 1.1 * reckoned[0] + 2**24


def _least_taken(work: Callable[[], object]) -> int:
    """Bytes that some work takes at its peak: what else goes on in the process only adds to it."""

    def taken() -> int:
        give_back_freed_memory()
        _PEAK.write_text("5")
        before = _status("VmRSS")
        work()
        return _status("VmHWM") - before

    return min(taken() for _ in range(3))


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


def test_what_a_decoder_needs_beside_the_image_counts(monkeypatch):
    monkeypatch.setattr(limits, "MAX_BYTES", 40 * 30 * 8)
    assert load_photo(encoded(gradient())).width == 40
    for kind in ("WEBP", "AVIF", "GIF"):
        with pytest.raises(PhotoError, match="40x30 pixels, needs") as caught:
            load_photo(encoded(gradient(), kind))
        assert caught.value.code == "photo_too_large"


def test_an_opened_jpeg_that_is_somebody_elses_is_not_reckoned_at_a_smaller_scale(monkeypatch):
    data = encoded(gradient(), "JPEG")
    monkeypatch.setattr(limits, "MAX_BYTES", 40 * 30)
    assert load_photo(data).width == 40
    with pytest.raises(PhotoError, match="needs"):
        load_photo(Image.open(io.BytesIO(data)))


def test_threads_may_be_given_the_same_image_whose_pixels_have_not_been_read_yet():
    class Slow(io.BytesIO):
        def read(self, *size):
            time.sleep(0.001)
            return super().read(*size)

    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8))
    data = encoded(noise)
    with Image.open(Slow(data)) as image, ThreadPoolExecutor(4) as pool:
        seen = {photo.photo_id for photo in pool.map(load_photo, [image] * 4)}
    assert seen == {load_photo(data).photo_id}
