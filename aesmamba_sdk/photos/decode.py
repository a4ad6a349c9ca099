"""A file, bytes, PIL image or array to an upright sRGB image of bounded size, or a PhotoError."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

from PIL import Image, UnidentifiedImageError

from aesmamba_sdk.errors import PhotoError
from aesmamba_sdk.photos.colour import finished, upright_size
from aesmamba_sdk.photos.float_tiff import holds_float_colours, open_float_tiff
from aesmamba_sdk.photos.formats import HEAD, PILLOW_FORMATS, recognise
from aesmamba_sdk.photos.heif import open_heif
from aesmamba_sdk.photos.limits import MAX_PIXELS, MAX_SIDE
from aesmamba_sdk.photos.pixels import Pixels, load_pixels, pixels_of
from aesmamba_sdk.photos.raw import holds_raw, open_raw

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

PhotoSource: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image | NDArray[np.uint8]"


@dataclass(frozen=True)
class Photo:
    """A decoded photo.

    Attributes:
        image: RGB, upright, sRGB, longest side at most ``MAX_SIDE``.
        photo_id: hash of the decoded upright pixels: rewriting metadata does not change it.
        width, height: of the upright original, in pixels.
        path: the file, when there is one.
    """

    image: Image.Image
    photo_id: str
    width: int
    height: int
    path: str | None


def load_photo(source: PhotoSource) -> Photo:
    """Decode one photo.

    Args:
        source: a path, the bytes of an image file, a PIL image, or a (height, width, 3) uint8
            array in RGB.

    Raises:
        PhotoError: with the codes ``photo_missing``, ``photo_permission``, ``photo_not_a_file``,
            ``photo_empty``, ``photo_not_an_image``, ``photo_needs_extra``, ``photo_truncated``,
            ``photo_too_large`` or ``photo_array``.
    """
    return _load(source, MAX_SIDE)


def load_image(source: PhotoSource, side: int) -> Image.Image:
    """A photo to look at: upright, RGB, its longest side at most ``side`` pixels.

    Raises:
        PhotoError: as for :func:`load_photo`.
    """
    return _load(source, side).image


def own(source: PhotoSource) -> PhotoSource:
    """The same photo, where its pixels are in memory as a small upright copy.

    An image or array is its caller's, who may close it or fill it with the next photo before it
    has been looked at. One that cannot be used stays as it is: why is told in its turn.
    """
    if isinstance(source, (str, os.PathLike, bytes)):
        return source
    try:
        image = load_photo(source).image.copy()
    except PhotoError:
        return source
    image.info = {}  # the copy is turned, and in sRGB
    return image


def _load(source: PhotoSource, side: int) -> Photo:
    if isinstance(source, (str, os.PathLike)):
        return _load_file(os.fspath(source), side)
    if isinstance(source, bytes):
        name = f"image of {len(source)} bytes"
        with _named(name):
            decoded = _decode(io.BytesIO(source), name, None, side)
        return _finish(decoded, name, None, side)
    if isinstance(source, Image.Image):
        name, image = "PIL image", source
    else:
        name, image = "array", _from_array(source)
    with _named(name):
        decoded = pixels_of(image, name, side)
    return _finish(decoded, name, None, side)


def _load_file(path: str, side: int) -> Photo:
    try:
        _check_kind(path)
        with Path(path).open("rb") as stream, _named(path):
            decoded = _decode(stream, path, path, side)
    except FileNotFoundError as error:
        link = " (a link to nothing)" if Path(path).is_symlink() else ""
        raise PhotoError(f"{path} does not exist{link}", code="photo_missing") from error
    except PermissionError as error:
        raise PhotoError(f"{path} may not be read by this user", code="photo_permission") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PhotoError(f"{path} cannot be read: {reason}") from error
    return _finish(decoded, path, path, side)


def _check_kind(path: str) -> None:
    """Refuse what is no plain file before it is opened: opening a pipe would wait for ever."""
    mode = Path(path).stat().st_mode
    if stat.S_ISDIR(mode):
        with os.scandir(path):  # one that may not be read says so
            raise PhotoError(f"{path} is a folder, not a photo", code="photo_not_a_file")
    if not stat.S_ISREG(mode):
        raise PhotoError(f"{path} is not a file", code="photo_not_a_file")


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Whatever a decoder raises on hostile bytes becomes a PhotoError with the photo's name."""
    outer = sys.exception()
    try:
        yield
    except PhotoError:
        raise
    except UnidentifiedImageError as error:
        raise PhotoError(
            f"{name} is not an image of a known format", code="photo_not_an_image"
        ) from error
    except Image.DecompressionBombError as error:
        raise PhotoError(
            f"{name} is far above {MAX_PIXELS // 10**6} megapixels, the most that are accepted. "
            "Save a smaller copy.",
            code="photo_too_large",
        ) from error
    except MemoryError as error:
        _let_go(error, outer)
        raise PhotoError(f"{name} does not fit in memory", code="photo_too_large") from error
    except Exception as error:
        _let_go(error, outer)
        raise PhotoError(
            f"{name} is damaged or cut short: {_reason(error)}", code="photo_truncated"
        ) from error


def _let_go(error: BaseException | None, outer: BaseException | None) -> None:
    """Free the pixels in the frames that an error came through: it may be kept for long.

    The frames of ``outer``, which the caller was handling before, are the caller's.
    """
    while error is not None and error is not outer:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__


def _reason(error: Exception) -> str:
    """What a decoder says; LibRaw says it in bytes."""
    said = error.args[0] if error.args else ""
    return said.decode(errors="replace") if isinstance(said, bytes) else str(error)


def _decode(stream: BinaryIO, name: str, path: str | None, side: int) -> Pixels:
    head = stream.read(HEAD)
    stream.seek(0)
    if not head:
        raise PhotoError(f"{name} is empty", code="photo_empty")
    kind = recognise(head, os.path.splitext(path or "")[1].lower())  # noqa: PTH122 -- not only paths
    if kind == "heif":
        return open_heif(stream, name, side)
    directory = _first_directory(stream) if kind == "tiff" else None
    if kind == "raw" or (directory is not None and holds_raw(directory)):
        return open_raw(path or stream, name, side)
    if directory is not None and holds_float_colours(directory):
        return open_float_tiff(stream, name, side)
    return load_pixels(Image.open(stream, formats=PILLOW_FORMATS), name, side)


def _first_directory(stream: BinaryIO) -> ImageFileDirectory_v2:
    """What the first page of a TIFF says of itself."""
    from PIL import TiffImagePlugin

    directory = TiffImagePlugin.ImageFileDirectory_v2(stream.read(8))
    stream.seek(directory.next)
    directory.load(stream)
    stream.seek(0)
    return directory


def _finish(decoded: Pixels, name: str, path: str | None, side: int) -> Photo:
    orientation = decoded.orientation or 1
    try:
        image = finished(decoded.image, orientation, side)
    except Exception as error:  # a profile or metadata block may break any decoder
        raise PhotoError(f"{name} cannot be converted to sRGB: {error}") from error
    width, height = upright_size(decoded.size, orientation)
    digest = hashlib.blake2b(repr(image.size).encode(), digest_size=16)
    digest.update(image.tobytes())
    return Photo(image, digest.hexdigest(), width, height, path)


def _from_array(array: Any) -> Image.Image:
    shape, dtype = getattr(array, "shape", None), getattr(array, "dtype", None)
    if shape is None or dtype is None:
        raise PhotoError(
            "a photo is a path, the bytes of a file, a PIL image or an RGB array, not "
            f"{type(array).__name__}",
            code="photo_array",
        )
    if len(shape) != 3 or shape[2] != 3 or str(dtype) != "uint8" or 0 in shape:
        raise PhotoError(
            f"an array must be (height, width, 3) uint8 in RGB, not {shape} {dtype}",
            code="photo_array",
        )
    return Image.fromarray(array)
