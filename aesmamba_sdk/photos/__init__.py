"""Files to photos: which files are photos, and each as an upright sRGB image of bounded size.

A photo that cannot be used is a ``PhotoError``, never a reason to stop. Camera RAW and HEIF need
packages of their own; without them such files are named, not passed over. Pillow is loaded with
the first photo.
"""

from typing import TYPE_CHECKING, Any

from aesmamba_sdk.photos.formats import EXTENSIONS
from aesmamba_sdk.photos.limits import MAX_BYTES, MAX_PIXELS, MAX_SIDE
from aesmamba_sdk.photos.version import FileVersion, photo_version
from aesmamba_sdk.photos.walk import EVERYTHING, Selection, count_photos, expand, iter_photos

if TYPE_CHECKING:
    from aesmamba_sdk.photos.decode import Photo, PhotoSource, load_image, load_photo

__all__ = [
    "EVERYTHING",
    "EXTENSIONS",
    "MAX_BYTES",
    "MAX_PIXELS",
    "MAX_SIDE",
    "FileVersion",
    "Photo",
    "PhotoSource",
    "Selection",
    "count_photos",
    "expand",
    "iter_photos",
    "load_image",
    "load_photo",
    "photo_version",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from aesmamba_sdk.photos import decode

    return getattr(decode, name)
