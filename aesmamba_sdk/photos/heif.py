"""HEIC and HEIF, by pillow-heif (the ``heif`` extra)."""

from __future__ import annotations

from typing import BinaryIO

from PIL import Image

from aesmamba_sdk.photos.formats import missing_extra
from aesmamba_sdk.photos.limits import check_size, decoding

_PIXEL = 7.2
"""Bytes, measured: three as libheif hands it on, four as Pillow holds it."""


def open_heif(stream: BinaryIO, name: str) -> Image.Image:
    """The primary image, decoded, at eight bits, and upright: libheif turns it as the file says.

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
        image: Image.Image = opened.to_pillow()
        return image
