"""What pages call photos: as they lie below the folder that holds them all, as text."""

from __future__ import annotations

import os
from collections.abc import Iterable


def common_folder(paths: Iterable[str]) -> str:
    """The folder that holds all of these files; empty where there is none."""
    folders = {os.path.dirname(os.path.abspath(path)) for path in paths}  # noqa: PTH100, PTH120
    try:
        return os.path.commonpath(folders) if folders else ""
    except ValueError:  # on several drives
        return ""


def name_below(folder: str, path: str) -> str:
    """A file's name from ``folder`` on; the whole path without a folder."""
    return os.path.relpath(path, folder) if folder else path
