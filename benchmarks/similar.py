"""How well photos that show the same are found, with changes made to real photos.

    AESMAMBA_DATA=... python -m benchmarks.similar [--photos 150] [--others 1500]

Each of some OASIS photos (400x320) is changed in every way below; found are those at least as
similar to their original as photos have to be. Beside them, pairs of different photos that would
be taken for the same, among PARA's training photos (192x192) and among the originals.
"""

from __future__ import annotations

import argparse
import io
import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance
from rich.console import Console
from rich.table import Table

from aesmamba_sdk import AesMamba
from aesmamba_sdk.similar.groups import SAME, SAME_MOMENT, whitened
from aesmamba_sdk.similar.sketch import SIDE, Sketcher, alignment

Array = NDArray[np.float32]
Picture = Image.Image
Change = Callable[[Picture, np.random.Generator], Picture]
BARS = (SAME, SAME - SAME_MOMENT)


def _jpeg(image: Picture, quality: int) -> Picture:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(io.BytesIO(stream.getvalue())).convert("RGB")


def _crop(image: Picture, share: float, rng: np.random.Generator) -> Picture:
    """A window of so much of the area, somewhere."""
    width, height = (int(side * share**0.5) for side in image.size)
    x, y = (
        int(rng.integers(0, a - b + 1)) for a, b in zip(image.size, (width, height), strict=True)
    )
    return image.crop((x, y, x + width, y + height))


def _shot(image: Picture, share: float, angle: float, rng: np.random.Generator) -> Picture:
    """As if taken again: moved, turned, exposed otherwise, noisy."""
    turned = image.rotate(rng.uniform(-angle, angle), Image.Resampling.BICUBIC)
    x, y = (int(side * 0.06) for side in image.size)
    moved = _crop(turned.crop((x, y, image.width - x, image.height - y)), share, rng)
    lit = np.asarray(ImageEnhance.Brightness(moved).enhance(rng.uniform(0.88, 1.12)), float)
    noisy = (lit + rng.normal(0, 3, lit.shape)).clip(0, 255).astype(np.uint8)
    return _jpeg(Image.fromarray(noisy), 85)


CHANGES: dict[str, Change] = {
    "JPEG at quality 30": lambda image, rng: _jpeg(image, 30),
    "half the size": lambda image, rng: image.reduce(2),
    "cropped to 90 %": lambda image, rng: _crop(image, 0.9, rng),
    "cropped to 75 %": lambda image, rng: _crop(image, 0.75, rng),
    "25 % brighter": lambda image, rng: ImageEnhance.Brightness(image).enhance(1.25),
    "black and white": lambda image, rng: image.convert("L").convert("RGB"),
    "burst": lambda image, rng: _shot(image, 0.92, 1.5, rng),
    "loose burst": lambda image, rng: _shot(image, 0.8, 3.0, rng),
}


class Seen:
    """Photos as both measures see them."""

    def __init__(self, sdk: AesMamba, images: Sequence[Picture]) -> None:
        encoded = [sdk.backbone(images[i : i + 16]) for i in range(0, len(images), 16)]
        reference = sdk.backbone.reference
        assert reference is not None
        self.vectors = whitened(np.concatenate(encoded), reference)
        self.sketches = Sketcher()(images).reshape(-1, SIDE, SIDE)

    def similarities(self, i: int, other: Seen, rows: NDArray[np.intp]) -> Array:
        """Of photo ``i`` to those ``rows`` of another lot."""
        near = other.vectors[rows] @ self.vectors[i]
        return np.asarray((near + alignment(self.sketches[i], other.sketches[rows])) / 2)

    def mistaken(self) -> list[float]:
        """Similarities of pairs of these that would count as the same."""
        found: list[float] = []
        for i in range(len(self.vectors)):
            near = self.vectors[i + 1 :] @ self.vectors[i]
            rows = np.flatnonzero(near >= 2 * min(BARS) - 1) + i + 1
            if len(rows):
                found += [s for s in self.similarities(i, self, rows).tolist() if s >= min(BARS)]
        return found


def read(archives: Sequence[Path], count: int) -> list[Picture]:
    """So many photos, evenly from all."""
    names = []
    for archive in archives:
        with zipfile.ZipFile(archive) as opened:
            names += [(archive, n) for n in sorted(opened.namelist()) if n.endswith(".webp")]
    images = []
    for archive, name in names[:: max(1, len(names) // count)][:count]:
        with zipfile.ZipFile(archive) as opened:
            images.append(Image.open(io.BytesIO(opened.read(name))).convert("RGB"))
    return images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=int, default=150)
    parser.add_argument("--others", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    data, rng = Path(os.environ["AESMAMBA_DATA"]), np.random.default_rng(options.seed)
    with AesMamba() as sdk:
        originals = read([data / "oasis" / "images.zip"], options.photos)
        first = Seen(sdk, originals)
        table = Table("change", *(f"found at {bar:g}" for bar in BARS))
        for name, change in CHANGES.items():
            changed = Seen(sdk, [change(image, rng) for image in originals])
            similar = np.array(
                [first.similarities(i, changed, np.array([i]))[0] for i in range(len(originals))]
            )
            table.add_row(name, *(f"{(similar >= bar).mean():.1%}" for bar in BARS))
        others = Seen(sdk, read(sorted((data / "para").glob("train-*.zip")), options.others))
        for name, seen in (("OASIS", first), ("PARA", others)):
            pairs, wrong = (
                len(seen.vectors) * (len(seen.vectors) - 1) // 2,
                np.array(seen.mistaken()),
            )
            counts = (f"{int((wrong >= bar).sum())}" for bar in BARS)
            table.add_row(f"of {pairs:,} pairs in {name}", *counts)
    Console().print(table)


if __name__ == "__main__":
    main()
