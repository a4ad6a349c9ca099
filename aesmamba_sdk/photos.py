"""A file, bytes, PIL image or array to an upright sRGB image of bounded size, or a PhotoError."""

from __future__ import annotations

import hashlib
import io
import math
import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from PIL import Image, ImageCms, UnidentifiedImageError

from aesmamba_sdk.errors import PhotoError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PhotoSource: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image | NDArray[np.uint8]"

MAX_SIDE = 512
"""Longest side in pixels a loaded photo keeps: over twice what the networks look at.

A JPEG of 24 megapixels decodes at 1/8 of its scale for it. From 1024 pixels, scores of enlarged
photos rank alike (SRCC 0.998)."""
MAX_PIXELS = 200_000_000
"""Larger photos are refused from their header, before anything is decoded."""
EXTENSIONS = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".apng",
        ".webp",
        ".avif",
        ".gif",
        ".bmp",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
    ]
)
_DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)


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
            ``photo_empty``, ``photo_not_an_image``, ``photo_truncated``, ``photo_too_large`` or
            ``photo_array``.
    """
    if isinstance(source, (str, os.PathLike)):
        return _decode(_read(Path(source)), str(source), path=str(source))
    if isinstance(source, bytes):
        return _decode(source, f"image of {len(source)} bytes", path=None)
    if isinstance(source, Image.Image):
        return _finish(source.copy(), "PIL image", source.size, path=None)
    image = _from_array(source)
    return _finish(image, "array", image.size, path=None)


def photo_version(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Size in bytes and modification time in ns, to notice a change; ``None`` where unreadable."""
    try:
        status = os.stat(path)  # noqa: PTH116 -- no Path object for each of 100,000 photos
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def iter_photos(paths: Iterable[str | os.PathLike[str]]) -> Iterator[Path]:
    """Photos of files and folders, in order, each path once.

    Folders are walked recursively in sorted order; hidden files and folders are skipped, linked
    folders not followed. Whatever is not a folder, missing files included, is given as it is, so
    that it is reported rather than lost.
    """
    seen: set[str] = set()
    for path in map(Path, paths):
        for photo in _walk(path) if path.is_dir() else (path,):
            if (name := str(photo)) not in seen:
                seen.add(name)
                yield photo


def _walk(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            # No Path for each of 100,000 names: it would cost as much as scoring from the cache.
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS:  # noqa: PTH122
                yield Path(root, name)


def _read(path: Path) -> bytes:
    try:
        if not path.is_file() and path.exists():
            raise PhotoError(f"{path} is not a file", code="photo_not_a_file")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise PhotoError(f"{path} does not exist", code="photo_missing") from error
    except PermissionError as error:
        raise PhotoError(f"{path} may not be read by this user", code="photo_permission") from error
    except OSError as error:
        raise PhotoError(f"{path} cannot be read: {error.strerror or error}") from error


def _decode(data: bytes, name: str, path: str | None) -> Photo:
    if not data:
        raise PhotoError(f"{name} is empty", code="photo_empty")
    try:
        with warnings.catch_warnings():
            # Pillow warns of bombs at half its limit; ours is checked below and refuses.
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data))
        size = image.size
        _check_size(size, name)
        if image.format == "JPEG":
            # Decoding at 1/2, 1/4 or 1/8 scale, never below the size kept, costs far less.
            scale = max(1.0, max(size) / MAX_SIDE)
            image.draft("RGB", (math.ceil(size[0] / scale), math.ceil(size[1] / scale)))
        image.load()
    except PhotoError:
        raise
    except UnidentifiedImageError as error:
        raise PhotoError(
            f"{name} is not an image of a known format", code="photo_not_an_image"
        ) from error
    except Image.DecompressionBombError as error:
        raise PhotoError(f"{name} is too large: {error}", code="photo_too_large") from error
    except MemoryError as error:
        raise PhotoError(f"{name} does not fit in memory", code="photo_too_large") from error
    except Exception as error:  # decoders raise anything on hostile bytes
        raise PhotoError(
            f"{name} is damaged or cut short: {error}", code="photo_truncated"
        ) from error
    return _finish(image, name, size, path)


def _check_size(size: tuple[int, int], name: str) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise PhotoError(
            f"{name} has {size[0]}x{size[1]} pixels; at most {MAX_PIXELS // 10**6} megapixels "
            "are accepted. Save a smaller copy.",
            code="photo_too_large",
        )


def _finish(image: Image.Image, name: str, size: tuple[int, int], path: str | None) -> Photo:
    """Colours, orientation and size, in this order of cost."""
    try:
        orientation = image.getexif().get(0x0112, 1)
        image = _bounded(_to_srgb(_to_eight_bits(image)))
        image = _upright(image, orientation)
    except Exception as error:  # a profile or metadata block may break any decoder
        raise PhotoError(f"{name} cannot be converted to sRGB: {error}") from error
    width, height = (size[1], size[0]) if orientation in _SIDEWAYS else (size[0], size[1])
    digest = hashlib.blake2b(repr(image.size).encode(), digest_size=16)
    digest.update(image.tobytes())
    return Photo(image, digest.hexdigest(), width, height, path)


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Deep and floating-point images on 0-255; the others as they are."""
    if image.mode not in _DEEP_MODES:
        return image
    import numpy as np

    values = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0.0, neginf=0.0)
    if image.mode == "F":  # floats come on 0-1 or on 0-255
        values = values * 255 if values.max(initial=0) <= 1 else values
    else:
        values = values / 257
    return Image.fromarray(values.clip(0, 255).round().astype(np.uint8))


def _to_srgb(image: Image.Image) -> Image.Image:
    """RGB in sRGB; transparency is laid on white."""
    profile = image.info.get("icc_profile")
    if image.mode in ("P", "PA", "LA", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
    alpha = image.getchannel("A") if image.mode in ("RGBA", "RGBa") else None
    if profile and image.mode in ("RGB", "RGBA", "CMYK", "L"):
        image = _apply_profile(image.convert("RGB") if alpha else image, profile)
    image = image.convert("RGB")
    if alpha is None:
        return image
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=alpha)
    return white


def _apply_profile(image: Image.Image, profile: Any) -> Image.Image:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image  # a broken or foreign profile says nothing; the pixels are taken as sRGB
    return image if converted is None else converted


def _bounded(image: Image.Image) -> Image.Image:
    if max(image.size) <= MAX_SIDE:
        return image
    scale = MAX_SIDE / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    # Costs a third of Lanczos, and the model sees photos much smaller still.
    return image.resize((width, height), Image.Resampling.HAMMING)


def _from_array(array: Any) -> Image.Image:
    shape, dtype = getattr(array, "shape", None), getattr(array, "dtype", None)
    if shape is None or len(shape) != 3 or shape[2] != 3 or str(dtype) != "uint8" or 0 in shape:
        raise PhotoError(
            f"an array must be (height, width, 3) uint8 in RGB, not {shape} {dtype}",
            code="photo_array",
        )
    return Image.fromarray(array)
