"""Decoding what Pillow opened, at no more memory than it may take."""

from __future__ import annotations

import math
import threading
from typing import Any, NamedTuple

from PIL import Image, ImageFile

from aesmamba_sdk.photos.colour import DEEP_MODES, MULTIPLIED_MODES, reduced
from aesmamba_sdk.photos.limits import MAX_SIDE, check_size, decoding

_ORIENTATION_TAG = 0x0112
_SCALED = 1 / 16
"""Bytes of a JPEG pixel that is decoded at 1/8: four for one in 64."""
_BESIDE = {"WEBP": 12, "AVIF": 7}
"""Bytes a pixel, measured, that decoders hold beside the image. They are up to ten for AVIFs of
more than eight bits or with colours as fine as their light, which only decoding tells. Others took
5.2 to 5.4 alone and 7.6 in a busy process: it depends on how their decoder's threads take turns."""
_HELD = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}
_USUALLY_HELD = 4
_BLOCK = 2**20
"""Bytes of a file that are decoded at a time, Pillow's own being 64 kB. Between two such pieces the
interpreter's lock is taken: a hundred times a large photo, while another thread imports torch."""
_LOADING = tuple(threading.Lock() for _ in range(64))
"""Of somebody's images, each by its identity: Pillow opens them without reading their pixels, and
two threads that then load the same one would read its file by turns, each some of it."""


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
    is_jpeg = image.format in ("JPEG", "MPO")
    pixel = _bytes_of_jpeg_pixel(image) if is_jpeg else _bytes_of_pixel(image)
    amount = check_size(size, pixel, name)
    if is_jpeg:
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


def pixels_of(image: Image.Image, name: str, side: int = MAX_SIDE) -> Pixels:
    """As :func:`load_pixels` of an image that is somebody else's: it keeps its size and stays open.

    Several threads may be given the same one.

    Raises:
        PhotoError: it is empty or too large.
        Exception: whatever Pillow raises of one that it has yet to decode.
    """
    loading = _LOADING[id(image) // 16 % len(_LOADING)]  # objects lie at multiples of 16
    with decoding.take(check_size(image.size, _bytes_of_pixel(image), name)), loading:
        image.load()
        return Pixels(reduced(image, side), image.size, orientation_of(image))


def orientation_of(image: Image.Image) -> int | None:
    """What its EXIF says. Of some PNGs this is known only when they are decoded."""
    try:
        return int(image.getexif()[_ORIENTATION_TAG])
    except Exception:  # metadata may hold anything
        return None


def _bytes_of_pixel(image: Image.Image) -> float:
    """While it is decoded, or while it is made smaller, whichever takes more."""
    held = _HELD.get(image.mode, _USUALLY_HELD)
    return held + max(_BESIDE.get(image.format or "", 0), _bytes_to_convert(image))


def _bytes_to_convert(image: Image.Image) -> int:
    if image.mode in ("P", "PA", *MULTIPLIED_MODES) or "transparency" in image.info:
        return 8  # RGBA, and once more with the colours times alpha, which Pillow mixes
    if image.mode in ("RGBA", "LA"):
        return 4
    return 1 if image.mode in ("1", *DEEP_MODES) else 0


def _bytes_of_jpeg_pixel(image: Image.Image) -> float:
    if not image.info.get("progressive"):
        return _SCALED
    # Every coefficient, two bytes each, is kept until the last scan has been read.
    layers: Any = getattr(image, "layer", [])
    sampling: list[int] = [across * down for _, across, down, _ in layers] or [1, 1, 1]
    return 2 * sum(sampling) / max(sampling) + _SCALED
