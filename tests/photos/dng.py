"""DNG files made by hand, as simple as readers of camera RAW accept: uncompressed Bayer data, and
a JPEG preview if wanted. They stand in for the files of cameras, which are nobody's to ship."""

from __future__ import annotations

import struct

import numpy as np
from PIL import Image

_BYTES, _TEXT, _SHORT, _LONG, _RATIONAL, _SIGNED_RATIONAL = 1, 2, 3, 4, 5, 10
_FORMATS = {_BYTES: "B", _SHORT: "H", _LONG: "L", _RATIONAL: "LL", _SIGNED_RATIONAL: "ll"}
_WHITE = 2**14
# XYZ to linear sRGB: the made-up sensor sees as screens do.
_MATRIX = [3.2405, -1.5371, -0.4985, -0.9693, 1.8760, 0.0416, 0.0556, -0.2040, 1.0572]


def dng(image: Image.Image, *, orientation: int = 1, preview: bytes | None = None) -> bytes:
    """A RAW file whose sensor saw ``image``, as it lies, and that is to be turned when shown.

    Args:
        image: RGB, of even width and height.
        orientation: of the data (EXIF's numbers).
        preview: a JPEG that the camera put beside them.
    """
    if preview is None:
        return _tiff([_sensor(image, orientation)])
    with_size = _jpeg_size(preview)
    first = [
        (254, _LONG, [1]),
        (256, _LONG, [with_size[0]]),
        (257, _LONG, [with_size[1]]),
        (258, _SHORT, [8, 8, 8]),
        (259, _SHORT, [7]),
        (262, _SHORT, [6]),
        (277, _SHORT, [3]),
        (278, _LONG, [with_size[1]]),
        *_camera(orientation),
    ]
    return _tiff([(first, preview), _sensor(image, orientation)])


Tags = list[tuple[int, int, "list[int] | bytes"]]


def _camera(orientation: int) -> Tags:
    return [
        (271, _TEXT, b"Test\0"),
        (272, _TEXT, b"Pinhole\0"),
        (274, _SHORT, [orientation]),
        (50706, _BYTES, [1, 4, 0, 0]),
        (50708, _TEXT, b"Test Pinhole\0"),
        (50721, _SIGNED_RATIONAL, [x for m in _MATRIX for x in (round(m * 10000), 10000)]),
        (50728, _RATIONAL, [1, 1, 1, 1, 1, 1]),
        (50778, _SHORT, [21]),
    ]


def _sensor(image: Image.Image, orientation: int) -> tuple[Tags, bytes]:
    pixels = np.asarray(image, np.float64) / 255
    linear = np.where(pixels <= 0.04045, pixels / 12.92, ((pixels + 0.055) / 1.055) ** 2.4)
    mosaic = linear[:, :, 1].copy()
    mosaic[::2, ::2], mosaic[1::2, 1::2] = linear[::2, ::2, 0], linear[1::2, 1::2, 2]
    data = (mosaic * (_WHITE - 1)).round().astype("<u2").tobytes()
    tags = [
        (254, _LONG, [0]),
        (256, _LONG, [image.width]),
        (257, _LONG, [image.height]),
        (258, _SHORT, [16]),
        (259, _SHORT, [1]),
        (262, _SHORT, [32803]),
        (277, _SHORT, [1]),
        (278, _LONG, [image.height]),
        (33421, _SHORT, [2, 2]),
        (33422, _BYTES, [0, 1, 1, 2]),
        (50717, _LONG, [_WHITE - 1]),
        *_camera(orientation),
    ]
    return tags, data


def _tiff(parts: list[tuple[Tags, bytes]]) -> bytes:
    """The first part as the file's first directory, the others as its sub-directories."""
    out = bytearray(b"II*\0\0\0\0\0")
    places: list[int] = []
    for tags, data in reversed(parts):
        strip = len(out)
        out += data + b"\0" * (len(data) % 2)
        tags = [*tags, (273, _LONG, [strip]), (279, _LONG, [len(data)])]
        if places and len(places) == len(parts) - 1:
            tags.append((330, _LONG, places))
        places.append(_directory(out, sorted(tags)))
    struct.pack_into("<L", out, 4, places[-1])
    return bytes(out)


def _directory(out: bytearray, tags: Tags) -> int:
    """Append a directory with its values; returns its place."""
    entries = b""
    for tag, kind, values in tags:
        packed = values if isinstance(values, bytes) else _packed(kind, values)
        count = len(values) // len(_FORMATS.get(kind, "B"))
        if len(packed) > 4:
            place = len(out)
            out += packed + b"\0" * (len(packed) % 2)
            packed = struct.pack("<L", place)
        entries += struct.pack("<HHL", tag, kind, count) + packed.ljust(4, b"\0")
    start = len(out)
    out += struct.pack("<H", len(tags)) + entries + b"\0\0\0\0"
    return start


def _packed(kind: int, values: list[int]) -> bytes:
    return struct.pack(f"<{len(values)}{_FORMATS[kind][0]}", *values)


def _jpeg_size(data: bytes) -> tuple[int, int]:
    import io

    return Image.open(io.BytesIO(data)).size
