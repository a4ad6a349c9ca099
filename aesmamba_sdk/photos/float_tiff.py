"""TIFFs whose colours are floating-point numbers, by tifffile (the ``tiff`` extra).

Photo editors write them for further work: 1 is white, what is brighter is clipped.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image

from aesmamba_sdk.errors import PhotoError
from aesmamba_sdk.photos.colour import reduced
from aesmamba_sdk.photos.formats import missing_extra
from aesmamba_sdk.photos.limits import MAX_SIDE, check_size, decoding
from aesmamba_sdk.photos.pixels import Pixels

if TYPE_CHECKING:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

_COLOURS_TAG, _RGB = 0x0106, 2
_FORMAT_TAG, _FLOAT = 0x0153, 3
_ORIENTATION_TAG, _PROFILE_TAG = 0x0112, 0x8773
_BANDS = 3
_PIXEL, _SEGMENT_PIXEL = 7, 2 * 4 * 4
"""Bytes: three bands and what they are merged into; of a strip or tile as stored and as decoded."""


def holds_float_colours(directory: ImageFileDirectory_v2) -> bool:
    """Whether the first page of a TIFF is one of these."""
    formats = directory.get(_FORMAT_TAG, ())
    return directory.get(_COLOURS_TAG) == _RGB and _FLOAT in (
        formats if isinstance(formats, tuple) else (formats,)
    )


def open_float_tiff(stream: BinaryIO, name: str, side: int = MAX_SIDE) -> Pixels:
    """The first page at eight bits, one strip or tile after the other.

    Raises:
        PhotoError: tifffile is missing, or the photo is too large.
        Exception: whatever the decoder raises on damaged files.
    """
    try:
        import tifffile
    except ImportError:
        raise missing_extra(name, "a TIFF with colours as floats", "tiff") from None
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what is wrong is raised as well
    with tifffile.TiffFile(stream) as file:
        page: Any = file.pages.first
        size = (int(page.imagewidth), int(page.imagelength))
        if page.samplesperpixel < _BANDS:
            raise PhotoError(f"{name} has {page.samplesperpixel} bands, colours need three")
        largest = min(1.0, np.prod(page.chunks[:2]) / max(1, size[0] * size[1]))
        with decoding.take(check_size(size, _PIXEL + _SEGMENT_PIXEL * largest, name)):
            image = _read(page, size)
            profile = page.tags.get(_PROFILE_TAG)
            if profile is not None:
                image.info["icc_profile"] = bytes(profile.value)
            small = reduced(image, side)
        orientation = page.tags.get(_ORIENTATION_TAG)
        return Pixels(small, size, None if orientation is None else int(orientation.value))


def _read(page: Any, size: tuple[int, int]) -> Image.Image:
    bands = [Image.new("L", size) for _ in range(_BANDS)]
    for segment, (band, _, top, left, _), _ in page.segments(maxworkers=1):
        if segment is None:  # left out, which stands for zeros
            continue
        values = np.nan_to_num(segment[0], posinf=0.0, neginf=0.0).clip(0, 1)
        pixels = (values * 255).round().astype(np.uint8)  # (height, width, bands that are together)
        for i in range(min(pixels.shape[2], _BANDS - band)):
            bands[band + i].paste(Image.fromarray(pixels[:, :, i]), (left, top))
    return Image.merge("RGB", bands)
