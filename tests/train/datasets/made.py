"""Small made photos and label files."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from PIL import Image


def jpeg(level: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (12, 8), (level, level, level)).save(stream, "JPEG")
    return stream.getvalue()


def photos(folder: Path, *names: str) -> None:
    """Plain grey photos, the first at level 40, the next at 80 and so on."""
    for i, name in enumerate(names, 1):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(jpeg(40 * i))


def archive(file: Path, *names: str) -> None:
    """The same photos as members of a zip archive."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w") as members:
        for i, name in enumerate(names, 1):
            members.writestr(name, jpeg(40 * i))


def text(file: Path, *lines: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file
