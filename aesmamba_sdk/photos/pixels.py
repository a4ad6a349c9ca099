"""Decoding what Pillow opened, at no more memory than it may take."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from PIL import Image, ImageFile

from aesmamba_sdk.photos.colour import reduced
from aesmamba_sdk.photos.limits import MAX_SIDE, check_size, decoding

_ORIENTATION_TAG = 0x0112
_SCALED = 1 / 16
"""Bytes of a JPEG pixel that is decoded at 1/8: four for one in 64."""
_PIXEL = {"1": 5, "L": 1, "P": 5, "I;16": 3, "I;16L": 3, "I;16B": 3, "I;16N": 3, "I": 5, "F": 5}
"""Bytes of other pixels, with what they are converted to before they are made smaller."""
_USUAL_PIXEL = 4
_BLOCK = 2**20
"""Bytes of a file that are decoded at a time, Pillow's own being 64 kB. Between two such pieces the
interpreter's lock is taken: a hundred times a large photo, while another thread imports torch."""


class Pixels(NamedTuple):
    """A decoded image as it was stored, of bounded size.

    Attributes:
        image: no longer than was asked for.
        size: width and height of the original.
        orientation: in EXIF's numbers; ``None`` where the image does not say.
    """

    image: Image.Image
    size: tuple[int, int]
    orientation: int | None


def load_pixels(image: Image.Image, name: str, side: int = MAX_SIDE) -> Pixels:
    """Decode an opened image; a JPEG at the smallest scale whose longest side is at least ``side``.

    No other photo gets its memory before this one is small: the image itself is closed.

    Raises:
        PhotoError: it is too large, which is known before anything is decoded.
        Exception: whatever the decoder raises on damaged files.
    """
    size = image.size
    amount = check_size(size, _bytes_of_pixel(image), name)
    if image.format in ("JPEG", "MPO"):
        # Decoding at 1/2, 1/4 or 1/8 scale, never below the size kept, costs far less.
        scale = max(1.0, max(size) / side)
        image.draft("RGB", (math.ceil(size[0] / scale), math.ceil(size[1] / scale)))
    if isinstance(image, ImageFile.ImageFile):
        image.decodermaxblock = _BLOCK
    with decoding.take(amount):
        image.load()
        orientation = orientation_of(image)
        small = reduced(image, side)
        if small is not image:
            image.close()
    return Pixels(small, size, orientation)


def orientation_of(image: Image.Image) -> int | None:
    """What its EXIF says. Of some PNGs this is known only when they are decoded."""
    try:
        return int(image.getexif()[_ORIENTATION_TAG])
    except Exception:  # metadata may hold anything
        return None


def _bytes_of_pixel(image: Image.Image) -> float:
    if image.format not in ("JPEG", "MPO"):
        return _PIXEL.get(image.mode, _USUAL_PIXEL)
    if not image.info.get("progressive"):
        return _SCALED
    # Every coefficient, two bytes each, is kept until the last scan has been read.
    layers: Any = getattr(image, "layer", [])
    sampling: list[int] = [across * down for _, across, down, _ in layers] or [1, 1, 1]
    return 2 * sum(sampling) / max(sampling) + _SCALED
