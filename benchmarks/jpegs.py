"""Folders of photos as cameras write them, made for the purpose."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_QUALITY = 90
_LIGHT = ((400, 50), (60, 30), (12, 14), (3, 7))
"""Grain in pixels and strength of the layers of a photo, from smooth light to fine texture."""
_NOISE = 5


def write_photos(folder: Path, count: int, megapixels: int) -> list[Path]:
    """JPEGs of 3:2 and about a fifth of a byte a pixel, each with pixels of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    height = round((megapixels * 1e6 / 1.5) ** 0.5 / 8) * 8
    rng = np.random.default_rng(megapixels)
    canvas = _canvas(round(height * 1.5), height, rng)
    moves = rng.integers(0, height, (count, 2))
    paths = [folder / f"{i:04}.jpg" for i in range(count)]

    def write(job: tuple[Path, NDArray[np.int64]]) -> None:
        path, (down, right) = job
        moved = np.roll(canvas, (int(down), int(right)), (0, 1))
        Image.fromarray(moved).save(path, quality=_QUALITY)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(write, zip(paths, moves, strict=True)))
    return paths


def _canvas(width: int, height: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    total = np.full((height, width, 3), 128, np.int16)
    for grain, strength in _LIGHT:
        shape = (max(2, height // grain), max(2, width // grain), 3)
        coarse = rng.normal(128, 40, shape).clip(0, 255).astype(np.uint8)
        layer = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        total += ((np.asarray(layer, np.int16) - 128) * strength) // 40
    total += rng.integers(-_NOISE, _NOISE + 1, (height, width, 1), np.int16)
    return total.clip(0, 255).astype(np.uint8)
