"""Files that would stop, choke or fool whoever reads them as photos, and good ones among them.

All are made from a seed. What is made: cut short and noisy files of every format, bombs, headers
that lie, wrong names, odd shapes and depths, animations; pipes, devices, links to nothing.
"""

from __future__ import annotations

import functools
import io
import os
import random
import socket
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

_SIDE = 96
_ENDINGS = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "AVIF": ".avif",
    "TIFF": ".tif",
    "GIF": ".gif",
    "BMP": ".bmp",
    "PPM": ".ppm",
}
_MODES = [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("LA", "PNG"), ("P", "PNG"), ("1", "TIFF")]
_MODES += [("RGBA", "WEBP"), ("L", "JPEG"), ("LAB", "TIFF"), ("YCbCr", "TIFF")]
_NO_PICTURES = [b"PK\3\4" + bytes(5000), b"%PDF-1.7\n" * 99, b"<html>" * 99, b"\x7fELF" * 99]
_NO_PICTURES += [b"\0\0\0\x18ftypmp42" * 99, b"\x89PNG\r\n\x1a\n", b"II*\0" * 99]
_NO_PICTURES += [b"GIF89a", b"\xff\xd8\xff\xe0"]
Make = Callable[["Hostile", str], None]


@dataclass
class Hostile:
    """A folder in the making, and what a reader has to say of each file.

    Attributes:
        folder: where the files are.
        seed: of everything random.
        good: can be scored.
        bad: must be named.
        either: damaged here and there; both answers are right.
    """

    folder: Path
    seed: int
    good: list[Path] = field(default_factory=list)
    bad: list[Path] = field(default_factory=list)
    either: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def image(self, side: int = _SIDE) -> Image.Image:
        noise = np.random.default_rng(self.random.getrandbits(32))
        small = noise.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        return Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)

    def add(self, kind: list[Path], name: str, data: bytes = b"") -> Path:
        path = self.folder / name
        path.write_bytes(data)
        kind.append(path)
        return path


def write_hostile(folder: Path, count: int, *, seed: int = 0, bombs: int = 1) -> Hostile:
    """Fill a new folder with about ``count`` files, every kind in turn.

    Args:
        bombs: of them whose pixels are just within the limits, half a gigabyte each.
    """
    folder.mkdir(parents=True)
    hostile = Hostile(folder, seed)
    kinds = [*_GOOD, *_BAD, *_EITHER, *(_SPECIAL if os.name == "posix" else ())]
    for number in range(count - bombs):
        kind = kinds[number % len(kinds)]
        kind(hostile, f"{number:04}-{kind.__name__.strip('_')}")
    for number in range(bombs):
        data = _png(10_200, 10_200, zeros=10_200 * (1 + 3 * 10_200))
        hostile.add(hostile.good, f"bomb-within-limits-{number}.png", data)
    return hostile


def _encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


# Good ones, odd as they are.


def _wrong_name(hostile: Hostile, name: str) -> None:
    extension, kind = hostile.random.choice([(".jpg", "PNG"), (".png", "JPEG"), (".tif", "WEBP")])
    hostile.add(hostile.good, name + extension, _encoded(hostile.image(), kind))


def _shape(hostile: Hostile, name: str) -> None:
    size = hostile.random.choice([(1, 1), (30_000, 10), (10, 30_000), (1, 4000), (65_000, 1)])
    image = hostile.image(8).resize(size)
    hostile.add(hostile.good, name + ".png", _encoded(image, "PNG"))


def _animation(hostile: Hostile, name: str) -> None:
    kind = hostile.random.choice(["GIF", "PNG", "WEBP", "AVIF", "TIFF"])
    frames = [hostile.image() for _ in range(4)]
    data = _encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    hostile.add(hostile.good, name + _ENDINGS[kind], data)


def _mode(hostile: Hostile, name: str) -> None:
    mode, kind = hostile.random.choice(_MODES)
    image = Image.new("LAB", (64, 64)) if mode == "LAB" else hostile.image().convert(mode)
    hostile.add(hostile.good, name + _ENDINGS[kind], _encoded(image, kind))


def _depth(hostile: Hostile, name: str) -> None:
    grey = np.asarray(hostile.image().convert("L"))
    depths: list[tuple[str, np.ndarray[Any, Any]]] = [
        ("PNG", grey.astype(np.uint16) * 257),
        ("TIFF", grey.astype(np.uint16) * 257),
        ("TIFF", grey.astype(np.int32) * 257),
        ("TIFF", grey.astype(np.float32)),
        ("TIFF", np.full((64, 64), np.nan, np.float32)),
        ("TIFF", np.full((64, 64), np.inf, np.float32)),
    ]
    kind, values = hostile.random.choice(depths)
    hostile.add(hostile.good, name + _ENDINGS[kind], _encoded(Image.fromarray(values), kind))


def _odd_name(hostile: Hostile, name: str) -> None:
    odd = hostile.random.choice(["-x", "a'b\"c", "ümläut 写真", "per%20cent", "x" * 200, "a;b|c"])
    hostile.add(hostile.good, f"{name}{odd}.jpg", _encoded(hostile.image(), "JPEG"))


def _folder(hostile: Hostile, name: str) -> None:
    (hostile.folder / f"{name}.jpg").mkdir()
    hostile.add(hostile.good, f"{name}.jpg/inside.jpg", _encoded(hostile.image(), "JPEG"))


def _profile(hostile: Hostile, name: str) -> None:
    profile = hostile.random.randbytes(3000)
    hostile.add(hostile.good, name + ".jpg", _encoded(hostile.image(), "JPEG", icc_profile=profile))


# Bad ones.


def _cut_short(hostile: Hostile, name: str) -> None:
    kind = hostile.random.choice(list(_ENDINGS))
    data = _encoded(hostile.image(), kind)
    part = data[: hostile.random.randrange(20, len(data) * 3 // 4)]
    hostile.add(hostile.bad, name + _ENDINGS[kind], part)


def _noise(hostile: Hostile, name: str) -> None:
    extension = hostile.random.choice([".jpg", ".png", ".heic", ".dng", ".tif", ".cr3", ".webp"])
    size = hostile.random.choice([1, 3, 64, 5000, 200_000])
    hostile.add(hostile.bad, name + extension, hostile.random.randbytes(size))


def _empty(hostile: Hostile, name: str) -> None:
    hostile.add(hostile.bad, name + hostile.random.choice([".jpg", ".heic", ".nef", ".tif"]))


def _no_picture(hostile: Hostile, name: str) -> None:
    data = hostile.random.choice(_NO_PICTURES)
    hostile.add(hostile.bad, name + hostile.random.choice([".jpg", ".png", ".tif"]), data)


def _bomb(hostile: Hostile, name: str) -> None:
    hostile.add(hostile.bad, name + ".png", hostile.random.choice(_bombs()))


@functools.cache
def _bombs() -> list[bytes]:
    """Small files of enormous pictures, and of enormous metadata."""
    text = b"Comment\0\0" + zlib.compress(bytes(100_000_000), 1)
    return [
        _png(60_000, 60_000, zeros=1_000_000),
        _png(2**31 - 1, 2**31 - 1, zeros=10),
        _png(15_000, 10_000, zeros=1_000_000),
        _png(8, 8, zeros=200, before=_chunk(b"zTXt", text)),
        b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + bytes(200),
        b"BM" + bytes(12) + struct.pack("<IiiHHI", 40, 65_000, -65_000, 1, 24, 0) + bytes(99),
        b"P6\n90000 90000\n255\n" + bytes(99),
    ]


def _lying_tiff(hostile: Hostile, name: str) -> None:
    """A directory that points at itself, counts that no file could hold."""
    entries = [(256, 4, 1, 50_000), (257, 4, 1, 50_000), (273, 4, 2**31, 8), (279, 4, 2**31, 8)]
    packed = b"".join(struct.pack("<HHLL", *entry) for entry in entries)
    data = b"II*\0" + struct.pack("<LH", 8, len(entries)) + packed + struct.pack("<L", 8)
    hostile.add(hostile.bad, name + hostile.random.choice([".tif", ".dng", ".nef"]), data)


# Neither: some bytes are wrong.


def _bits(hostile: Hostile, name: str) -> None:
    kind = hostile.random.choice(list(_ENDINGS))
    data = bytearray(_encoded(hostile.image(), kind))
    for _ in range(hostile.random.randrange(1, 30)):
        data[hostile.random.randrange(len(data))] = hostile.random.randrange(256)
    hostile.add(hostile.either, name + _ENDINGS[kind], bytes(data))


def _heif_bits(hostile: Hostile, name: str) -> None:
    import pillow_heif

    stream = io.BytesIO()
    pillow_heif.from_pillow(hostile.image()).save(stream, quality=50)
    data = bytearray(stream.getvalue())
    for _ in range(hostile.random.randrange(1, 10)):
        data[hostile.random.randrange(12, len(data))] = hostile.random.randrange(256)
    hostile.add(hostile.either, name + ".heic", bytes(data))


# What is no file.


def _pipe(hostile: Hostile, name: str) -> None:
    path = hostile.folder / f"{name}.jpg"
    os.mkfifo(path)
    hostile.bad.append(path)


def _link(hostile: Hostile, name: str) -> None:
    path = hostile.folder / f"{name}.jpg"
    targets = ["nowhere.jpg", path.name, "/dev/zero", "/dev/random", "/dev/null"]
    path.symlink_to(hostile.random.choice(targets))
    hostile.bad.append(path)


def _socket(hostile: Hostile, name: str) -> None:
    path = hostile.folder / f"{name}.jpg"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))  # such names are short
    hostile.bad.append(path)


def _png(width: int, height: int, *, zeros: int, before: bytes = b"") -> bytes:
    """RGB of so many bytes of black, however many the header promises."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packer, packed = zlib.compressobj(1), bytearray()
    for start in range(0, zeros, 2**24):
        packed += packer.compress(bytes(min(2**24, zeros - start)))
    packed += packer.flush()
    chunks = _chunk(b"IHDR", header) + before + _chunk(b"IDAT", bytes(packed))
    return b"\x89PNG\r\n\x1a\n" + chunks + _chunk(b"IEND", b"")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


_GOOD: list[Make] = [_wrong_name, _shape, _animation, _mode, _depth, _odd_name, _folder, _profile]
_BAD: list[Make] = [_cut_short, _noise, _empty, _no_picture, _bomb, _lying_tiff]
_EITHER: list[Make] = [_bits, _heif_bits]
_SPECIAL: list[Make] = [_pipe, _link, _socket]
