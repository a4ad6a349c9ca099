"""HEIC and HEIF, by pillow-heif (the ``heif`` extra)."""

from __future__ import annotations

from typing import BinaryIO

from aesmamba_sdk.photos.colour import reduced
from aesmamba_sdk.photos.formats import missing_extra
from aesmamba_sdk.photos.limits import MAX_SIDE, check_size, decoding
from aesmamba_sdk.photos.pixels import Pixels

_PIXEL = 7.2
"""Bytes, measured: three as libheif hands it on, four as Pillow holds it."""


def open_heif(stream: BinaryIO, name: str, side: int = MAX_SIDE) -> Pixels:
    """The primary image, at eight bits and upright: libheif turns it as the file says.

    An orientation in the EXIF of a HEIF file says how it was turned before, and must be ignored.

    Raises:
        PhotoError: pillow-heif is missing, or the photo is too large.
        Exception: whatever the decoder raises on damaged files.
    """
    try:
        import pillow_heif
    except ImportError:
        raise missing_extra(name, "a HEIF photo", "heif") from None
    opened = pillow_heif.open_heif(stream, convert_hdr_to_8bit=True)
    with decoding.take(check_size(opened.size, _PIXEL, name)):
        small = reduced(opened.to_pillow(), side)
        size = opened.size
        del opened  # with the pixels that libheif holds
    return Pixels(small, size, 1)
