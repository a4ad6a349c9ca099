"""Which files beside a photo say something of it: ``IMG.jpg.xmp`` or ``IMG.xmp``.

The first name is darktable's, digiKam's and Immich's, the second Adobe's. ``IMG.xmp`` may stand
beside ``IMG.CR2`` and ``IMG.JPG``: it is read for both, one shot being one picture to whoever
rated it, but only one photo is ever written into it. Only read are darktable's further versions
of a photo, ``IMG_01.jpg.xmp``, and PhotoPrism's ``IMG.yml``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from aesmamba_sdk.photos.formats import EXTENSIONS, RAW_EXTENSIONS
from aesmamba_sdk.xmp.choices import SidecarName

_SUFFIX = ".xmp"
_VERSION = re.compile(r"(.+)_\d{2,}(\.[^.]+)")
_YAML = ".yml"
_PHOTOPRISM = ".photoprism"
"""Where PhotoPrism keeps sidecars, if it keeps them beside photos and not among them."""


class Sidecars:
    """Sidecars of photos; each folder is listed once, so make a new one for a new run."""

    def __init__(self) -> None:
        self._folders: dict[str, _Folder] = {}

    def of(self, photo: Path) -> list[Path]:
        """The sidecars that are there, the one named after the whole file name first."""
        folder = self._folder(photo)
        names = (folder.find(photo.name), folder.find_stem(photo.stem))
        return [photo.with_name(name) for name in names if name is not None]

    def versions(self, photo: Path) -> list[Path]:
        """Sidecars of further versions that darktable keeps of a photo, in order."""
        return [photo.with_name(name) for name in self._folder(photo).versions(photo.name)]

    def photoprism(self, photo: Path) -> Path | None:
        """What PhotoPrism wrote of a photo, if it keeps that where the photos are."""
        name = photo.stem + _YAML
        for folder in (photo.parent / _PHOTOPRISM, photo.parent):
            if self._folder(folder / name).holds(name):
                return folder / name
        return None

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
        self._yaml: set[str] = set()
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
            elif suffix == _YAML:
                self._yaml.add(name)
        self._versions: dict[str, list[str]] = {}
        for described, name in self._sidecars.items():
            version = None if described in self._names else _VERSION.fullmatch(described)
            if version is not None and (photo := "".join(version.groups())) in self._names:
                self._versions.setdefault(photo, []).append(name)

    def versions(self, photo: str) -> list[str]:
        """Sidecars of this photo's further versions."""
        return self._versions.get(photo, [])

    def holds(self, yaml: str) -> bool:
        """Whether there is a YAML file of this name."""
        return yaml in self._yaml

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
