"""Photographs for the demo: real ones that installed packages carry, cropped and developed anew.

Every photograph gives the same set of variations, so that two people of opposite tastes have
something to disagree about. A photograph is either rated or ranked, never both. A trip is a part of
what is ranked, for those who try the commands themselves.
"""

from __future__ import annotations

import csv
import shutil
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageStat

from aesmamba_sdk.errors import SetupError

_FILES = {
    "temple": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "cat": ("skimage", "data/chelsea.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "astronaut": ("skimage", "data/astronaut.png"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "rocket": ("skimage", "data/rocket.jpg"),
    "galaxies": ("skimage", "data/hubble_deep_field.jpg"),
}
RATED = ("temple", "cat", "astronaut", "galaxies", "motorcycle")
"""Photographs that alice and bob rate; the others make the album."""

_PHOTOGRAPHS = ("temple", "flower", "cat", "coffee", "astronaut", "motorcycle", "rocket")
"""Taken by a camera of things people photograph."""

_LOOKS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "as-shot": lambda image: image,
    "dark": lambda image: ImageEnhance.Brightness(image).enhance(0.45),
    "bright": lambda image: ImageEnhance.Brightness(image).enhance(1.6),
    "vivid": lambda image: ImageEnhance.Color(image).enhance(1.8),
    "grey": lambda image: ImageEnhance.Color(image).enhance(0.0),
}
_CROPS = {
    "whole": (0.0, 0.0, 1.0, 1.0),
    "left": (0.0, 0.1, 0.6, 0.9),
    "right": (0.4, 0.1, 1.0, 0.9),
}
_TRIP = [
    f"{name}-{crop}-{look}.jpg"
    for name in ("coffee", "flower")
    for crop in _CROPS
    for look in ("as-shot", "dark", "grey")
]
_ARRIVED = 8192  # bytes of a photo that was cut short
_LONGEST = 640


@dataclass(frozen=True)
class Taste:
    """What somebody likes, as a rule that the model is not told.

    Attributes:
        light: stars per deviation of brightness from middle grey.
        color: stars per deviation of colourfulness.
    """

    light: float
    color: float

    def rate(self, image: Image.Image, noise: float) -> float:
        """Half stars, 1-5."""
        _, saturation, value = ImageStat.Stat(image.convert("HSV")).mean
        stars = 3 + self.light * (value - 128) / 50 + self.color * (saturation - 90) / 50
        return float(np.clip(round(2 * (stars + noise)) / 2, 1, 5))


def write_photos(folder: Path, *, rated: bool) -> None:
    """Variations of the rated photographs, or of the others, as JPEG files.

    Raises:
        SetupError: a package that carries the photographs is not installed.
    """
    photographs = {name: _open(name) for name in _FILES if (name in RATED) == rated}
    folder.mkdir(parents=True)
    for name, photograph in photographs.items():
        for variation, image in _variations(photograph):
            image.save(folder / f"{name}-{variation}.jpg", quality=92)


def write_trip(folder: Path, album: Path) -> None:
    """Copies of some photos of ``album``, and one that did not arrive whole."""
    folder.mkdir()
    for name in _TRIP:
        shutil.copyfile(album / name, folder / name)
    whole = (album / "coffee-whole-grey.jpg").read_bytes()
    (folder / "broken.jpg").write_bytes(whole[:_ARRIVED])


def write_ratings(folder: Path, taste: Taste, table: Path) -> None:
    """A table of all photos in ``folder``, in it or beside it; crops of one share a group."""
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["file", "score", "group"])
        for photo in sorted(folder.glob("*.jpg")):
            with Image.open(photo) as image:
                score = taste.rate(image, _noise(photo.name))
            file = photo.relative_to(table.parent).as_posix()
            writer.writerow([file, score, photo.name.partition("-")[0]])


def _variations(image: Image.Image) -> Iterator[tuple[str, Image.Image]]:
    width, height = image.size
    for crop, (left, top, right, bottom) in _CROPS.items():
        part = image.crop(
            (round(left * width), round(top * height), round(right * width), round(bottom * height))
        )
        for look, develop in _LOOKS.items():
            yield f"{crop}-{look}", develop(part)


def photograph_files() -> list[Path]:
    """The photographs among them, as the packages have them.

    Raises:
        SetupError: a package that carries them is not installed.
    """
    return [_file(name) for name in _PHOTOGRAPHS]


def _open(name: str) -> Image.Image:
    with Image.open(_file(name)) as photo:
        image = photo.convert("RGB")
    image.thumbnail((_LONGEST, _LONGEST))
    return image


def _file(name: str) -> Path:
    package, file = _FILES[name]
    spec = find_spec(package)
    path = None if spec is None or spec.origin is None else Path(spec.origin).parent / file
    if path is None or not path.is_file():
        raise SetupError(
            f"the sample photo {Path(file).name} is missing: pip install 'aesmamba-sdk[demo]'",
            code="demo_photos_missing",
        )
    return path


def _noise(name: str) -> float:
    """People are not consistent to half a star; the same photo always gets the same noise."""
    return float(np.random.default_rng(zlib.crc32(name.encode())).normal(0, 0.3))
