"""Which XMP file belongs to which photo: ``IMG.jpg.xmp`` or ``IMG.xmp``.

The first name is darktable's, digiKam's and Immich's, the second Adobe's. ``IMG.xmp`` may stand
beside ``IMG.CR2`` and ``IMG.JPG``: it is read for both, one shot being one picture to whoever
rated it, but only one photo is ever written into it.
"""

from __future__ import annotations

import os
from pathlib import Path

from aesmamba_sdk.photos.formats import EXTENSIONS, RAW_EXTENSIONS
from aesmamba_sdk.xmp.choices import SidecarName

_SUFFIX = ".xmp"


class Sidecars:
    """Sidecars of photos; each folder is listed once, so make a new one for a new run."""

    def __init__(self) -> None:
        self._folders: dict[str, _Folder] = {}

    def of(self, photo: Path) -> list[Path]:
        """The sidecars that are there, the one named after the whole file name first."""
        folder = self._folder(photo)
        names = (folder.find(photo.name), folder.find_stem(photo.stem))
        return [photo.with_name(name) for name in names if name is not None]

    def target(self, photo: Path, prefer: SidecarName = "full") -> Path:
        """The sidecar to write: the one that is there and this photo's alone, else a new one.

        ``IMG.xmp`` is a photo's own while no other picture has its stem; beside others it is the
        raw file's, if there is just one.
        """
        folder = self._folder(photo)
        full = folder.find(photo.name) or photo.name + _SUFFIX
        stem = folder.find_stem(photo.stem)
        own = folder.owner(photo.stem) in (None, photo.name)
        if folder.find(photo.name) is not None or not own:
            return photo.with_name(full)
        if stem is not None:
            return photo.with_name(stem)
        return photo.with_name(full if prefer == "full" else photo.stem + _SUFFIX)

    def _folder(self, photo: Path) -> _Folder:
        key = str(photo.parent)
        if key not in self._folders:
            self._folders[key] = _Folder(key)
        return self._folders[key]


class _Folder:
    """What one folder holds: sidecars, and the pictures of each stem."""

    def __init__(self, path: str) -> None:
        self._sidecars: dict[str, str] = {}
        self._pictures: dict[str, list[str]] = {}
        self._names: set[str] = set()
        try:
            names = sorted(os.listdir(path))  # noqa: PTH208 -- no Path for each of 100,000 names
        except OSError:  # of photos that are not there: they are reported when they are read
            names = []
        for name in names:
            stem, suffix = os.path.splitext(name)  # noqa: PTH122
            if suffix.lower() == _SUFFIX:
                self._sidecars.setdefault(stem, name)
            elif suffix.lower() in EXTENSIONS:
                self._pictures.setdefault(stem, []).append(name)
                self._names.add(name)

    def find(self, described: str) -> str | None:
        """The sidecar of this file name or stem."""
        return self._sidecars.get(described)

    def find_stem(self, stem: str) -> str | None:
        """The sidecar of this stem, unless it is a picture's full name: beside ``a.jpg.png``."""
        return None if stem in self._names else self.find(stem)

    def owner(self, stem: str) -> str | None:
        """Whose ``STEM.xmp`` is; ``None`` for whoever asks, ``""`` for nobody."""
        if stem in self._names:
            return ""
        pictures = self._pictures.get(stem, [])
        if len(pictures) < 2:
            return None
        raws = [n for n in pictures if os.path.splitext(n)[1].lower() in RAW_EXTENSIONS]  # noqa: PTH122
        return raws[0] if len(raws) == 1 else ""
