"""Photos with scores, decoded once into one array: PARA as its archive and tables lay it out."""

from __future__ import annotations

import csv
import io
import os
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.scores import ATTRIBUTES

PARA_COLUMNS = {
    "aesthetic": "aestheticScore_mean",
    "quality": "qualityScore_mean",
    "composition": "compositionScore_mean",
    "color": "colorScore_mean",
    "depth_of_field": "dofScore_mean",
    "light": "lightScore_mean",
    "content": "contentScore_mean",
    "content_preference": "contentPreference_mean",
    "willingness_to_share": "willingnessToShare_mean",
}


@dataclass(frozen=True)
class PhotoSet:
    """Photos of one size with one score per attribute.

    Attributes:
        names: file names, in order.
        pixels: (photos, side, side, 3) bytes, possibly a memory map.
        scores: (photos, attributes) float32 on the labels' own scale, NaN where there is none.
    """

    names: tuple[str, ...]
    pixels: NDArray[np.uint8]
    scores: Tensor

    def __len__(self) -> int:
        return len(self.names)

    def subset(self, rows: Sequence[int]) -> PhotoSet:
        index = np.asarray(rows, dtype=np.int64)
        return PhotoSet(tuple(self.names[i] for i in index), self.pixels[index], self.scores[index])

    def batch(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """(len(rows), 3, side, side) bytes and (len(rows), attributes) scores."""
        pixels = torch.from_numpy(self.pixels[rows]).permute(0, 3, 1, 2)
        return pixels, self.scores[torch.from_numpy(rows)]


def para_giaa(folder: Path, cache: Path, *, split: str = "train", side: int = 192) -> PhotoSet:
    """PARA's generic labels: aesthetic and quality of the photos of ``train`` or ``dev``.

    Args:
        folder: holds ``giaa.csv`` and the zip archives.
        cache: where decoded pixels are kept between runs.
        split: as in the table's ``split`` column.
        side: photos are brought to side x side pixels.
    """
    rows = [row for row in _table(folder / "giaa.csv") if row["split"] == split]
    labels = torch.full((len(rows), len(ATTRIBUTES)), float("nan"))
    for i, row in enumerate(rows):
        labels[i, 0] = float(row["aesthetic_mean"])
        labels[i, 1] = float(row["quality_mean_outlier_removed"])
    names = tuple(row["image"] for row in rows)
    return PhotoSet(names, _decode(folder, names, cache / f"para-{split}-{side}.npy", side), labels)


def para_fiaa(folder: Path, cache: Path, *, test: bool, side: int = 192) -> PhotoSet:
    """PARA's nine attributes: the 500 test photos named in ``fiaa_test.txt``, or the others."""
    held_out = set((folder / "fiaa_test.txt").read_text().split())
    rows = [row for row in _table(folder / "fiaa.csv") if (row["image"] in held_out) == test]
    labels = torch.tensor([[float(row[PARA_COLUMNS[a]]) for a in ATTRIBUTES] for row in rows])
    names = tuple(row["image"] for row in rows)
    part = "test" if test else "rest"
    return PhotoSet(names, _decode(folder, names, cache / f"para-{part}-{side}.npy", side), labels)


def _table(file: Path) -> list[dict[str, str]]:
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))
    except FileNotFoundError as error:
        raise SetupError(
            f"{file} is missing; AESMAMBA_DATA must name the folder that holds para/"
        ) from error


def _decode(folder: Path, names: Sequence[str], cached: Path, side: int) -> NDArray[np.uint8]:
    """Pixels of the named zip members; the finished array is kept as a file and mapped."""
    shape = (len(names), side, side, 3)
    if cached.exists():
        pixels: NDArray[np.uint8] = np.load(cached, mmap_mode="r")
        if pixels.shape == shape:
            return pixels
    cached.parent.mkdir(parents=True, exist_ok=True)
    partial = cached.with_suffix(".partial.npy")
    array = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
    wanted = {name: i for i, name in enumerate(names)}
    for name, data in _members(sorted(folder.glob("*.zip")), wanted):
        with Image.open(io.BytesIO(data)) as image:
            square = image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
        array[wanted.pop(name)] = np.asarray(square)
    if wanted:
        raise SetupError(f"no archive in {folder} holds {next(iter(wanted))}")
    array.flush()
    partial.replace(cached)
    mapped: NDArray[np.uint8] = np.load(cached, mmap_mode="r")
    return mapped


def _members(archives: Iterable[Path], wanted: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    wanted = set(wanted)
    for archive in archives:
        with zipfile.ZipFile(archive) as members:
            for name in members.namelist():
                if name in wanted:
                    yield name, members.read(name)


def data_folder() -> Path:
    """The folder ``AESMAMBA_DATA`` names.

    Raises:
        SetupError: the variable is not set.
    """
    folder = os.environ.get("AESMAMBA_DATA")
    if not folder:
        raise SetupError("set AESMAMBA_DATA to the folder that holds para/ and oasis/")
    return Path(folder)
