"""Choosing among scored photos, and putting the chosen ones into a folder of their own."""

from __future__ import annotations

import filecmp
import heapq
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from aesmamba_sdk.errors import PlaceError
from aesmamba_sdk.scores import Score
from aesmamba_sdk.xmp.sidecars import Sidecars


def chosen(
    scores: Iterable[Score], *, min_score: float | None = None, top: int | None = None
) -> Iterator[Score]:
    """Those of ``scores`` that are good enough, in their order; errors always pass.

    Args:
        min_score: lowest score, on the scale of the scores.
        top: only the best so many, the earlier of equal ones; known once all are scored, of which
            no more than these are held.
    """
    enough = (s for s in scores if s.value is None or min_score is None or s.value >= min_score)
    if top is None:
        yield from enough
        return
    best: list[tuple[float, int, Score]] = []
    failed: list[tuple[int, Score]] = []
    for i, s in enumerate(enough):
        if s.value is None:
            failed.append((i, s))
        else:
            put = heapq.heappush if len(best) < top else heapq.heappushpop
            put(best, (s.order, -i, s))
    kept = [(-i, s) for _, i, s in best] + failed
    yield from (s for _, s in sorted(kept, key=lambda pair: pair[0]))


@dataclass(frozen=True)
class Placement:
    """Where a photo goes, its sidecars with it.

    Attributes:
        photo, target: the file, and what it will be called.
        files: every file and its new name, the photo first; none if all are there already.
    """

    photo: Path
    target: Path
    files: list[tuple[Path, Path]]


class Place:
    """A folder that takes photos: nothing in it is ever overwritten.

    A photo whose name is taken by another gets ``-2``, ``-3``, … at the end of its stem. One that
    is there already, byte for byte or as a link to it, stays.

    Args:
        folder: made when the first photo comes.
        link: symbolic links instead of copies.
    """

    def __init__(self, folder: Path, *, link: bool = False) -> None:
        self.folder, self.link = folder, link
        self._sidecars = Sidecars()
        self._taken: set[str] = set()

    def plan(self, photo: Path) -> Placement:
        """Find a photo a name; it is kept free from then on.

        Raises:
            PlaceError: the photo is not there, or is in this folder.
        """
        if not photo.is_file():
            raise PlaceError(f"{photo} is no file that could be put into {self.folder}")
        if self.folder.is_dir() and self.folder.samefile(photo.parent):
            raise PlaceError(f"{photo} is in {self.folder} already")
        sidecars = self._sidecars.of(photo)
        number = 1
        while True:
            stem = photo.stem if number == 1 else f"{photo.stem}-{number}"
            target = self.folder / (stem + photo.suffix)
            # A sidecar is named after the photo or its stem; either begins with the stem.
            beside = [(s, self.folder / (stem + s.name[len(photo.stem) :])) for s in sidecars]
            if self._is_free(photo, target, beside):
                break
            number += 1
        self._taken |= _names(target, beside)
        files = [(photo, target), *beside]
        return Placement(photo, target, [(s, t) for s, t in files if not os.path.lexists(t)])

    def put(self, placement: Placement) -> None:
        """Copy or link what was planned.

        Raises:
            PlaceError: a file cannot be read or made; what was begun of it is removed.
        """
        for source, target in placement.files:
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                if self.link:
                    target.symlink_to(source.absolute())
                else:
                    _copy(source, target)
            except OSError as error:
                why = error.strerror or error
                raise PlaceError(f"{source} cannot be put at {target}: {why}") from error

    def _is_free(self, photo: Path, target: Path, beside: list[tuple[Path, Path]]) -> bool:
        if self._taken & _names(target, beside):
            return False
        if os.path.lexists(target):
            return self._is_there(photo, target)
        return not any(os.path.lexists(name) for _, name in beside)

    def _is_there(self, photo: Path, target: Path) -> bool:
        try:
            if self.link or target.is_symlink():
                return self.link and target.is_symlink() and target.samefile(photo)
            return filecmp.cmp(photo, target, shallow=False)
        except OSError:
            return False


def _names(target: Path, beside: list[tuple[Path, Path]]) -> set[str]:
    """Names as file systems that do not know case tell them apart."""
    return {name.name.lower() for name in (target, *(name for _, name in beside))}


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as there:
        here = target.open("xb")
        try:
            with here:  # a full disk may be told only when it is closed
                shutil.copyfileobj(there, here, 1 << 20)
        except BaseException:  # an interrupted copy would look like a photo
            target.unlink()
            raise
    shutil.copystat(source, target)
