"""One photo read for the stream: decoded, unless its bytes were seen in another file."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from PIL import Image

from aesmamba_sdk.embeddings.cache import EmbeddingCache, Feature, Seen
from aesmamba_sdk.photos import PhotoSource, load_photo, photo_version
from aesmamba_sdk.photos.version import fingerprint


@dataclass(frozen=True)
class Read:
    """What a photo turned out to be.

    Attributes:
        photo_id: identity of its pixels.
        image: its pixels; ``None`` where its feature is known from another file.
        feature: the known one; ``None`` where ``image`` is given.
        seen: what the cache is to note of its file, if that stayed as it is meanwhile.
    """

    photo_id: str
    image: Image.Image | None = None
    feature: Feature | None = None
    seen: Seen | None = None


def read_photo(source: PhotoSource, cache: EmbeddingCache, encoder: str) -> Read:
    """Look at a photo, and decode it if need be.

    Raises:
        PhotoError: it cannot be used.
    """
    path = path_of(source)
    version = None if path is None else photo_version(path)
    if path is None or version is None:
        photo = load_photo(source)
        return Read(photo.photo_id, photo.image)
    mark = fingerprint(path, version)
    known = None if mark is None else cache.copy_of(mark, encoder)
    if known is not None:
        read = Read(known[0], feature=known[1])
    else:
        photo = load_photo(source)
        read = Read(photo.photo_id, photo.image)
    if photo_version(path) != version:  # mark and version may be those of another photo
        return read
    return replace(read, seen=Seen(path, version, read.photo_id, mark))


def path_of(source: PhotoSource) -> str | None:
    """The file of a photo, if it is in one."""
    return os.fspath(source) if isinstance(source, (str, os.PathLike)) else None
