"""Metadata inside photo files, read from their headers: no pixel is decoded."""

from __future__ import annotations

import os
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image, UnidentifiedImageError

from aesmamba_sdk.errors import XmpError
from aesmamba_sdk.photos.formats import PILLOW_FORMATS
from aesmamba_sdk.xmp.packet import MAX_BYTES

EXIF_RATING, EXIF_PERCENT = 0x4746, 0x4749
"""Windows' tags in the first image directory: stars 0-5, and the same as a percentage."""
_EXIF_DIRECTORY, _TAKEN = 0x8769, 0x9003
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_KEYWORD = b"XML:com.adobe.xmp\0"
_HEIF = frozenset([".heic", ".heif", ".hif"])


@dataclass(frozen=True)
class Embedded:
    """What was found in a photo.

    Attributes:
        packet: XMP, unparsed; the main packet of a JPEG, never its extension.
        exif: the first image directory, by tag.
        taken: when the shutter was pressed, by the camera's clock; ``None`` where it is unknown.
    """

    packet: bytes | None
    exif: dict[int, Any]
    taken: datetime | None = None


def read_embedded(path: Path) -> Embedded:
    """Read the metadata of a JPEG, PNG, WebP, TIFF, AVIF, or HEIC where pillow-heif is there.

    Raises:
        XmpError: the file cannot be read, or is no such image.
    """
    try:
        with path.open("rb") as stream:
            if stream.read(len(_PNG)) == _PNG:
                return _read_png(stream)
            stream.seek(0)
            return _read_image(stream, path.suffix.lower())
    except UnidentifiedImageError as error:
        raise XmpError(f"{path} is not an image of a known format") from error
    except OSError as error:
        raise XmpError(
            f"the metadata of {path} cannot be read: {error.strerror or error}"
        ) from error
    except Exception as error:  # parsers raise anything on hostile bytes
        raise XmpError(f"the metadata of {path} is damaged: {error}") from error


def _read_image(stream: BinaryIO, suffix: str) -> Embedded:
    if suffix in _HEIF and (found := _read_heif(stream)) is not None:
        return found
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bombs: nothing is decoded
        with Image.open(stream, formats=PILLOW_FORMATS) as image:
            return _embedded(_bytes(image.info.get("xmp")), image.getexif())


def _read_heif(stream: BinaryIO) -> Embedded | None:
    """By pillow-heif, where the extra is installed."""
    try:
        import pillow_heif
    except ImportError:
        return None
    info = pillow_heif.open_heif(stream).info
    return _embedded(_bytes(info.get("xmp")), _directory(info.get("exif") or b""))


def _bytes(value: Any) -> bytes | None:
    return value if isinstance(value, bytes) else None


def _directory(exif: bytes) -> Image.Exif:
    directory = Image.Exif()
    directory.load(exif)
    return directory


def _embedded(packet: bytes | None, exif: Image.Exif) -> Embedded:
    taken = exif.get_ifd(_EXIF_DIRECTORY).get(_TAKEN)
    try:
        time = datetime.strptime(str(taken).strip(" \0"), "%Y:%m:%d %H:%M:%S")
    except ValueError:
        time = None
    return Embedded(packet, dict(exif), time)


def _read_png(stream: BinaryIO) -> Embedded:
    """Pillow would have to decode the pixels to see what stands behind them."""
    packet: bytes | None = None
    exif = Image.Exif()
    for kind, size in _png_chunks(stream):
        if kind == b"iTXt" and size <= MAX_BYTES:
            packet = _png_xmp(stream.read(size)) or packet
        elif kind == b"eXIf" and size <= MAX_BYTES:
            exif = _directory(stream.read(size))
    return _embedded(packet, exif)


def _png_chunks(stream: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Kind and size of each chunk, the stream at its content; sizes are never trusted."""
    while len(head := stream.read(8)) == 8 and head[4:] != b"IEND":
        size, start = int.from_bytes(head[:4], "big"), stream.tell()
        yield head[4:], size
        stream.seek(start + size + 4, os.SEEK_SET)


def _png_xmp(chunk: bytes) -> bytes | None:
    if not chunk.startswith(_PNG_KEYWORD):
        return None
    compressed = chunk[len(_PNG_KEYWORD)]
    # Two bytes of compression, then language and translated keyword, each up to a zero byte.
    _, _, text = chunk[len(_PNG_KEYWORD) + 2 :].split(b"\0", 2)
    return zlib.decompressobj().decompress(text, MAX_BYTES + 1) if compressed else text
