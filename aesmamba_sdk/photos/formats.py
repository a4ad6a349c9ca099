"""What is taken for a photo: by its name in folders, by its first bytes when it is opened."""

from __future__ import annotations

from typing import Literal

from aesmamba_sdk.errors import PhotoError

_PICTURE_NAMES = "apng avif bmp gif jfif jpe jpeg jpg pgm png ppm tif tiff webp"
_HEIF_NAMES = "heic heics heif heifs hif"
_RAW_NAMES = (
    "3fr arw bay cap cr2 cr3 crw dcr dng erf fff gpr iiq k25 kdc mdc mef mos mrw nef nrw orf pef "
    "ptx raf raw rw2 rwl sr2 srf srw x3f"
)
RAW_EXTENSIONS = frozenset(f".{name}" for name in _RAW_NAMES.split())
"""Camera RAW, by the makers of most cameras since 2000."""
EXTENSIONS = RAW_EXTENSIONS | {f".{name}" for name in f"{_PICTURE_NAMES} {_HEIF_NAMES}".split()}
"""Files of these names are photos; sidecars (.xmp, .aae, .pp3, .thm, .json) and videos are not."""

PILLOW_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "TIFF", "WEBP", "AVIF")
"""What of Pillow's formats is opened. It knows many more, some by starting other programs."""

HEAD = 64
"""Bytes from which the kind of a file is known."""

Kind = Literal["heif", "raw", "tiff", "picture"]

_PICTURES = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"RIFF", b"BM")
_TIFF = (b"II*\0", b"MM\0*")
_RAW_AT_0 = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")
_RAW_FURTHER = ((6, b"HEAPCCDR"), (8, b"CR\2"), (4, b"ftypcrx "))
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def recognise(head: bytes, extension: str) -> Kind:
    """Which decoder a file is for.

    The first bytes decide, so that a wrong name does no harm. Most RAW files look like a TIFF,
    which has to be looked into, and some like nothing at all: of these the extension tells.

    Args:
        head: the first ``HEAD`` bytes.
        extension: lower-case, with its dot; empty where there is no name.
    """
    if head[4:8] == b"ftyp" and b"avif" not in head and head[8:12] in _HEIF_BRANDS:
        return "heif"
    if head.startswith(_RAW_AT_0) or any(head[at:].startswith(mark) for at, mark in _RAW_FURTHER):
        return "raw"
    if extension in RAW_EXTENSIONS and not head.startswith(_PICTURES):
        return "raw"
    return "tiff" if head.startswith(_TIFF) else "picture"


def missing_extra(name: str, what: str, extra: str) -> PhotoError:
    """The error of a photo that needs a package which is not installed."""
    return PhotoError(
        f"{name} is {what}; to read such photos: pip install 'aesmamba-sdk[{extra}]'",
        code="photo_needs_extra",
    )
