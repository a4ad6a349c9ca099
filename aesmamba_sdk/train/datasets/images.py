"""Photos of a dataset by name, from folders or from the zip archives in them."""

from __future__ import annotations

import zipfile
from pathlib import Path

from PIL import Image

from aesmamba_sdk.errors import DatasetError, PhotoError
from aesmamba_sdk.photos import load_photo

UNUSABLE = "dataset_photo"
"""Code of the error of one photo; others are not affected."""


class Images:
    """Photos under any of some folders.

    A name is a path below one of the folders, or the end of a path in an archive there:
    ``session1/a.jpg`` is found as ``imgs/session1/a.jpg`` in ``imgs.zip``. Files come first.

    Args:
        roots: folders, searched in order; those that do not exist are passed over.
    """

    def __init__(self, *roots: Path) -> None:
        self.roots = roots
        self._members: dict[str, list[tuple[Path, str]]] | None = None
        self._archives: dict[Path, zipfile.ZipFile] = {}

    def __contains__(self, name: str) -> bool:
        return self._file(name) is not None or name in self._index()

    def load(self, name: str, row: object) -> Image.Image:
        """The photo, upright and in sRGB.

        Args:
            name: as the label file gives it.
            row: what named it, for the message.

        Raises:
            DatasetError: there is no such photo, there are several, or it cannot be read.
        """
        try:
            return load_photo(self._file(name) or self._read(name, row)).image
        except PhotoError as error:
            raise DatasetError(
                f"{row}: the photo {name} cannot be used: {error}; expected a readable image",
                code=UNUSABLE,
            ) from error

    def attempt(self, name: str, row: object) -> Image.Image | DatasetError:
        """As :meth:`load`, but the error of a photo that cannot be used is returned."""
        try:
            return self.load(name, row)
        except DatasetError as error:
            if error.code != UNUSABLE:
                raise
            return error

    def close(self) -> None:
        """Close the archives; they open again when needed."""
        for archive in self._archives.values():
            archive.close()
        self._archives.clear()
        self._members = None

    def _file(self, name: str) -> Path | None:
        return next((root / name for root in self.roots if (root / name).is_file()), None)

    def _read(self, name: str, row: object) -> bytes:
        found = self._index().get(name, [])
        if len(found) != 1:
            places = ", ".join(str(root) for root in self.roots)
            members = ", ".join(f"{archive.name}:{member}" for archive, member in found)
            problem = f"is ambiguous: {members}" if found else f"is not in {places} or its archives"
            raise DatasetError(
                f"{row}: the photo {name} {problem}; expected one such photo",
                code=UNUSABLE,
            )
        archive, member = found[0]
        try:
            return self._archives[archive].read(member)
        except Exception as error:  # damaged, cut short, encrypted: zipfile has no name for all
            reason = str(error) or type(error).__name__
            raise DatasetError(
                f"{row}: the photo {name} cannot be read from {archive}: {reason}; expected a "
                "readable member",
                code=UNUSABLE,
            ) from error

    def _index(self) -> dict[str, list[tuple[Path, str]]]:
        """Members by their whole paths and by every end of these."""
        if self._members is None:
            members: dict[str, list[tuple[Path, str]]] = {}
            for root in dict.fromkeys(self.roots):
                for file in sorted(root.glob("*.zip")):
                    self._add(file, members)
            self._members = members  # only now: another thread would miss what is not in it yet
        return self._members

    def _add(self, file: Path, members: dict[str, list[tuple[Path, str]]]) -> None:
        try:
            self._archives[file] = zipfile.ZipFile(file)
        except (OSError, zipfile.BadZipFile) as error:
            raise DatasetError(f"{file} is no readable zip archive: {error}") from error
        for member in self._archives[file].namelist():
            parts = member.split("/")
            for start in range(len(parts)):
                members.setdefault("/".join(parts[start:]), []).append((file, member))
