"""Photos with labels, decoded once into one array, as the training loop takes them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aesmamba_sdk.errors import SetupError


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


def data_folder() -> Path:
    """The folder ``AESMAMBA_DATA`` names.

    Raises:
        SetupError: the variable is not set.
    """
    folder = os.environ.get("AESMAMBA_DATA")
    if not folder:
        raise SetupError("set AESMAMBA_DATA to the folder that holds para/ and oasis/")
    return Path(folder)
