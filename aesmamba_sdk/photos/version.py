"""Whether a file is the one that was seen before, without looking at its pixels."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import BinaryIO, NamedTuple

_SAMPLE = 2**16
_REWRITTEN = (".bmp", ".pgm", ".ppm", ".tif", ".tiff")


class FileVersion(NamedTuple):
    """What the file system says of a file.

    Attributes:
        size: in bytes.
        mtime_ns: time of its last change.
        inode: number of the file on its disk, which renaming keeps; 0 where there is none.
    """

    size: int
    mtime_ns: int
    inode: int


def photo_version(path: str | bytes | os.PathLike[str]) -> FileVersion | None:
    """To notice that a file changed or was renamed; ``None`` where there is no plain file."""
    try:
        status = os.stat(path)  # noqa: PTH116 -- no Path object for each of 100,000 photos
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        return None
    inode = status.st_ino
    return FileVersion(status.st_size, status.st_mtime_ns, inode if inode < 2**63 else 0)


def fingerprint(path: str | os.PathLike[str], version: FileVersion) -> bytes | None:
    """A hash by which a copy, or a file that was merely touched, is known without decoding it.

    Of the size and of three samples, at both ends and in the middle: reading whole files would
    cost a fifth of decoding them. A change of pixels changes all bytes behind it where these are
    compressed; formats that may hold them plain can be altered in one place, so there is no
    fingerprint of these, nor of what cannot be read.
    """
    if os.path.splitext(path)[1].lower() in _REWRITTEN:  # noqa: PTH122 -- as above
        return None
    digest = hashlib.sha256(version.size.to_bytes(8, "big"))
    try:
        with open(path, "rb") as stream:  # noqa: PTH123
            for start in _starts(version.size):
                digest.update(_part(stream, start))
    except OSError:
        return None
    return digest.digest()[:16]


def _starts(size: int) -> list[int]:
    if size <= 3 * _SAMPLE:
        return list(range(0, size, _SAMPLE))
    return [0, (size - _SAMPLE) // 2, size - _SAMPLE]


def _part(stream: BinaryIO, start: int) -> bytes:
    stream.seek(start)
    return stream.read(_SAMPLE)
