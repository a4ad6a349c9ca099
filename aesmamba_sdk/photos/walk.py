"""Which files of a folder are photos to look at: not trash, not previews, not what is excluded.

Folders are walked in sorted order, files before subfolders. Links to folders are followed, but no
folder is entered twice, so that loops end.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aesmamba_sdk.photos.formats import EXTENSIONS, RAW_EXTENSIONS

if TYPE_CHECKING:
    from aesmamba_sdk.photos.decode import PhotoSource

_TRASH = "$recycle.bin #recycle @recycle recycled recycler lost+found lost.dir"
_SYSTEMS = "#snapshot @recently-snapshot @eadir @tmp __macosx"
_SKIPPED = {*_TRASH.split(), *_SYSTEMS.split(), "system volume information"}
"""Trash, snapshots and thumbnails of systems and network drives. Others begin with a dot."""
_SKIPPED_ENDINGS = (".lrdata", ".lrcat-data", ".lrlibrary", ".cocatalogdb")
"""Lightroom's and Capture One's caches and smart previews."""
_BUNDLES = (".photoslibrary", ".photolibrary", ".migratedphotolibrary", ".aplibrary")
_ORIGINALS = ("originals", "masters")
"""All that is read of Apple's libraries; the rest of them are renditions of these."""
_UNWANTED = frozenset((".nomedia", ".noimage"))
"""Files that ask programs to pass over their folder."""
_DERIVED = ("thumbs", ".immich")
"""Immich's folder of renditions, and the file by which it is told from anyone's own."""


@dataclass(frozen=True)
class Selection:
    """Which files of folders are wanted, by patterns as a shell has them.

    ``*`` stands for anything, folders too, ``?`` for one character, case does not matter. A pattern
    is held against a file's name and against its path below the folder that was named; one of
    ``exclude`` also against those of the folders above the file, which are then not entered. Files
    that are named themselves are always taken.

    Attributes:
        include: only files that fit one of these; all, if there are none.
        exclude: but none that fits one of these.
        without: folders that are never searched, by whatever name they are met.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    def takes(self, relative: str, name: str) -> bool:
        """Whether a file is wanted, by its path below the folder and its name."""
        included = self._included is None or _fits(self._included, relative, name)
        return included and not self.drops(relative, name)

    def drops(self, relative: str, name: str) -> bool:
        """Whether a file or folder is excluded."""
        return self._excluded is not None and _fits(self._excluded, relative, name)

    @cached_property
    def _included(self) -> re.Pattern[str] | None:
        return _compiled(self.include)

    @cached_property
    def _excluded(self) -> re.Pattern[str] | None:
        return _compiled(self.exclude)


EVERYTHING = Selection()


def iter_photos(
    paths: Iterable[str | os.PathLike[str]], selection: Selection = EVERYTHING
) -> Iterator[Path]:
    """Photos of files and folders, in order, each path once.

    Of a RAW file beside a picture of the same name, which is the same shot, only the picture is
    given. Whatever is not a folder, missing files included, is given as it is, so that it is
    reported rather than lost; so are folders that may not be read.
    """
    named = [os.fspath(path) for path in paths]
    given: set[str] = set()
    for path in named:
        for photo in _walk(path, selection) if os.path.isdir(path) else (path,):  # noqa: PTH112
            if len(named) > 1:
                if photo in given:
                    continue
                given.add(photo)
            yield Path(photo)


def expand(
    photos: PhotoSource | Iterable[PhotoSource], selection: Selection = EVERYTHING
) -> Iterator[PhotoSource]:
    """One photo, a folder, or any mixture of both, to photos, as they are needed.

    Images and arrays are copied before the next photo is asked for: see :func:`decode.own`.
    """
    for photo in _several(photos):
        if not isinstance(photo, (str, os.PathLike)):
            from aesmamba_sdk.photos.decode import own  # with Pillow

            yield own(photo)
        elif os.path.isdir(photo):  # noqa: PTH112
            yield from _walk(os.fspath(photo), selection)
        else:
            yield photo


def _several(photos: Any) -> Iterable[PhotoSource]:
    """One photo as a list of one; bytes and arrays have items as well."""
    is_bytes_or_path = isinstance(photos, (str, os.PathLike, bytes))
    is_array = len(getattr(photos, "shape", ())) == 3
    if is_bytes_or_path or is_array or not isinstance(photos, Iterable):
        return [photos]
    return photos


def count_photos(paths: Iterable[str | os.PathLike[str]], selection: Selection = EVERYTHING) -> int:
    """How many photos :func:`expand` gives; folders are listed, no file is looked at."""
    return sum(1 for _ in expand(list(paths), selection))


def _walk(root: str, selection: Selection) -> Iterator[str]:
    """Paths as text: Path objects of 100,000 photos cost as much as scoring them from the cache."""
    entered: set[tuple[int, int] | str] = set()
    for folder in selection.without:
        with suppress(OSError):
            _first_visit(folder, entered)
    waiting = [(root, "")]
    while waiting:
        folder, below = waiting.pop()
        try:
            if not _first_visit(folder, entered):
                continue
            with os.scandir(folder) as scan:
                entries = sorted(scan, key=attrgetter("name"))
        except OSError:
            yield folder  # it is no photo, and the message will say why
            continue
        names = {entry.name for entry in entries}
        if below and (_UNWANTED & names or _is_derived(folder, names)):
            continue
        folders = [entry for entry in entries if _is_folder(entry)]
        yield from _photos(entries, {entry.name for entry in folders}, below, selection)
        bundle = folder.lower().endswith(_BUNDLES)
        waiting += [
            (entry.path, f"{below}{entry.name}/")
            for entry in reversed(folders)
            if _may_enter(entry.name.lower(), bundle)
            and not selection.drops(below + entry.name, entry.name)
        ]


def _photos(
    entries: Iterable[os.DirEntry[str]], folders: set[str], below: str, selection: Selection
) -> list[str]:
    """The photos among one folder's entries, of which these are folders."""
    everything = not (selection.include or selection.exclude)
    taken: list[tuple[str, str, str]] = []
    for entry in entries:
        name = entry.name
        stem, dot, extension = name.lower().rpartition(".")
        wanted = dot + extension in EXTENSIONS and name[0] != "." and name not in folders
        if wanted and (everything or selection.takes(below + name, name)):
            taken.append((entry.path, stem, dot + extension))
    developed = {stem for _, stem, extension in taken if extension not in RAW_EXTENSIONS}
    return [
        path
        for path, stem, extension in taken
        if extension not in RAW_EXTENSIONS or stem not in developed
    ]


def _may_enter(name: str, bundle: bool) -> bool:
    if name.startswith(".") or name in _SKIPPED or name.endswith(_SKIPPED_ENDINGS):
        return False
    return not bundle or name in _ORIGINALS


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _first_visit(folder: str, entered: set[tuple[int, int] | str]) -> bool:
    status = os.stat(folder)  # noqa: PTH116
    # Some network and foreign file systems number nothing.
    key = (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(folder)
    if key in entered:
        return False
    entered.add(key)
    return True


def _is_derived(folder: str, names: set[str]) -> bool:
    name, marker = _DERIVED
    return marker in names and os.path.basename(folder) == name  # noqa: PTH119


def _fits(pattern: re.Pattern[str], relative: str, name: str) -> bool:
    return pattern.match(name) is not None or pattern.match(relative) is not None


def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str] | None:
    """All patterns in one; ``None`` if there are none."""
    if not patterns:
        return None
    # "**/" may stand for no folder at all, "./" for nothing.
    plain = (p.replace(os.sep, "/").replace("**/", "*").removeprefix("./") for p in patterns)
    return re.compile("|".join(fnmatch.translate(p.rstrip("/")) for p in plain), re.IGNORECASE)
