"""Camera RAW, by rawpy (the ``raw`` extra): the preview that the camera developed, if it is large
enough, else the sensor's own data at half their size."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image

from aesmamba_sdk.errors import PhotoError
from aesmamba_sdk.photos.colour import reduced
from aesmamba_sdk.photos.formats import PILLOW_FORMATS, missing_extra
from aesmamba_sdk.photos.limits import MAX_SIDE, check_size, decoding
from aesmamba_sdk.photos.pixels import Pixels, load_pixels

if TYPE_CHECKING:
    import rawpy
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

_DNG_VERSION_TAG = 0xC612
_KIND_TAG, _REDUCED = 0x00FE, 1
_COLOURS_TAG, _MOSAIC = 0x0106, 32803
_SENSOR_PIXEL = 5.8
"""Bytes, measured: as stored, as unpacked, and four colours of 16 bits for every four pixels."""
_ORIENTATIONS = (1, 2, 4, 3, 5, 8, 6, 7)
"""EXIF's name for each of LibRaw's turns."""
_SIDEWAYS = 5


def holds_raw(directory: ImageFileDirectory_v2) -> bool:
    """Whether a TIFF is a RAW file: what Pillow opens of these is a small preview, if anything."""
    return (
        _DNG_VERSION_TAG in directory
        or directory.get(_KIND_TAG) == _REDUCED
        or directory.get(_COLOURS_TAG) == _MOSAIC
    )


def open_raw(file: str | BinaryIO, name: str, side: int = MAX_SIDE) -> Pixels:
    """The developed image, with the size of the sensor's and the orientation that both are in.

    Args:
        file: a path, of which only what is needed is read; or all of its bytes.
        name: for messages.
        side: as for :func:`load_pixels`.

    Raises:
        PhotoError: rawpy is missing, the photo is too large or is no RAW file after all.
        Exception: whatever the decoder raises on damaged files.
    """
    try:
        import rawpy
    except ImportError:
        raise missing_extra(name, "a camera RAW file", "raw") from None
    if isinstance(file, str) and not _is_text(file):  # rawpy opens no such name
        with open(file, "rb") as stream:  # noqa: PTH123
            return open_raw(io.BytesIO(stream.read()), name, side)
    try:
        opened = rawpy.imread(file)
    except rawpy.LibRawFileUnsupportedError as error:
        raise PhotoError(
            f"{name} is not an image of a known format", code="photo_not_an_image"
        ) from error
    with opened as raw:
        sizes = raw.sizes
        size = (sizes.width, sizes.height)
        turn = _ORIENTATIONS[sizes.flip] if 0 <= sizes.flip < len(_ORIENTATIONS) else 1
        preview = _preview(raw, name, side)
        if preview is not None:
            return Pixels(preview.image, size, _orientation_of(preview, size, turn))
        with decoding.take(check_size(size, _SENSOR_PIXEL, name)):
            pixels = raw.postprocess(half_size=True, use_camera_wb=True, user_flip=0)
            return Pixels(reduced(Image.fromarray(pixels), side), size, turn)


def _preview(raw: rawpy.RawPy, name: str, side: int) -> Pixels | None:
    """The largest image that the camera put beside the data; ``None`` below the size kept."""
    import rawpy

    try:
        thumb = raw.extract_thumb()
    except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
        return None
    if isinstance(thumb.data, bytes):
        image: Image.Image = Image.open(io.BytesIO(thumb.data), formats=PILLOW_FORMATS)
    else:
        image = Image.fromarray(thumb.data)
    if max(image.size) < MAX_SIDE:
        return None
    return load_pixels(image, name, side)


def _orientation_of(preview: Pixels, size: tuple[int, int], turn: int) -> int:
    """How a preview is to be turned: as its own metadata say, else as the sensor's data are.

    LibRaw gives previews without any those of the data. Some cameras stored such previews upright
    beside data that lie on their side: these are not turned once more.
    """
    turn = turn if preview.orientation is None else preview.orientation
    width, height = preview.size
    square = width == height or size[0] == size[1]
    alike = (width > height) == (size[0] > size[1])
    return turn if turn < _SIDEWAYS or square or alike else 1


def _is_text(path: str) -> bool:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
