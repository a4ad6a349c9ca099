"""What is learned from: photos, decoded once into one array, with labels and perhaps texts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aesmamba_sdk.errors import SetupError

Rows = NDArray[np.int64]
_DATA_VARIABLE = "AESMAMBA_DATA"


@dataclass(frozen=True)
class PhotoSet:
    """Examples: photos of one size with one score per attribute.

    Attributes:
        names: file names, one an example, in order.
        pixels: (photos, side, side, 3) bytes, possibly a memory map.
        scores: (examples, attributes) float32 on the labels' own scale, NaN where there is none.
        votes: (examples, K) float32 shares of the votes on the first attribute, NaN where unknown.
        texts: what is read beside each photo.
        people: who gave each example's scores, where these are one person's.
        place: (examples,) row of ``pixels`` of each example; by default each has its own.
    """

    names: tuple[str, ...]
    pixels: NDArray[np.uint8]
    scores: Tensor
    votes: Tensor | None = None
    texts: tuple[str, ...] | None = None
    people: tuple[str, ...] | None = None
    place: Rows | None = None

    def __len__(self) -> int:
        return len(self.names)

    def subset(self, rows: Sequence[int] | Rows) -> PhotoSet:
        """The examples of these rows, in this order; no pixel is copied."""
        index = np.asarray(rows, dtype=np.int64)
        return replace(
            self,
            names=_chosen(self.names, index),
            scores=self.scores[index],
            votes=None if self.votes is None else self.votes[index],
            texts=None if self.texts is None else _chosen(self.texts, index),
            people=None if self.people is None else _chosen(self.people, index),
            place=self._places(index),
        )

    def batch(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """(len(rows), 3, side, side) bytes and (len(rows), attributes) scores."""
        pixels = torch.from_numpy(self.pixels[self._places(rows)]).permute(0, 3, 1, 2)
        return pixels, self.scores[torch.from_numpy(rows)]

    def once(self) -> tuple[PhotoSet, Rows]:
        """Every photo once, and the row in it of each example's photo."""
        place = self._places(np.arange(len(self)))
        _, first, index = np.unique(place, return_index=True, return_inverse=True)
        return self.subset(first.astype(np.int64)), index.astype(np.int64)

    def _places(self, rows: Rows) -> Rows:
        return rows if self.place is None else self.place[rows]


def _chosen(values: tuple[str, ...], index: Rows) -> tuple[str, ...]:
    return tuple(values[i] for i in index)


def data_folder() -> Path:
    """The folder ``AESMAMBA_DATA`` names.

    Raises:
        SetupError: the variable is not set.
    """
    folder = os.environ.get(_DATA_VARIABLE)
    if not folder:
        raise SetupError(f"set {_DATA_VARIABLE} to the folder that holds para/ and oasis/")
    return Path(folder)


def named_folder(spec: str) -> tuple[str, Path]:
    """A dataset's name and where it lies, of ``NAME=FOLDER``, or of ``NAME`` in the data folder.

    Raises:
        SetupError: no folder is named, and ``AESMAMBA_DATA`` is not set.
    """
    name, _, folder = spec.partition("=")
    if not folder and not os.environ.get(_DATA_VARIABLE):
        raise SetupError(
            f"{spec} does not say where the data are: write NAME=FOLDER, e.g. folder=./photos, or "
            f"set {_DATA_VARIABLE} to the folder that {name} is in"
        )
    return name, Path(folder).expanduser() if folder else data_folder() / name
