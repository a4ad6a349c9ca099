"""Datasets by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from aesmamba_sdk.errors import DatasetError
from aesmamba_sdk.train.datasets.ava import read_ava
from aesmamba_sdk.train.datasets.dataset import Dataset
from aesmamba_sdk.train.datasets.photonet import read_photonet
from aesmamba_sdk.train.datasets.tad66k import read_tad66k


class Reader(Protocol):
    def __call__(self, folder: Path, split: str) -> Dataset: ...


READERS: Mapping[str, Reader] = {
    "ava": read_ava,
    "photonet": read_photonet,
    "tad66k": read_tad66k,
}
"""Every reader tells the files and splits it expects."""


def read_dataset(name: str, folder: Path, *, split: str = "train") -> Dataset:
    """Read one split of a dataset.

    Args:
        name: one of ``READERS``.
        folder: where the dataset lies, in its official layout.
        split: as the dataset's reader describes it.

    Raises:
        DatasetError: the name is unknown; or a file, column, row, value or photo is not as the
            layout has it: the message names it and what was expected.
    """
    if name not in READERS:
        raise DatasetError(f"there is no dataset {name!r}; expected {', '.join(READERS)}")
    return READERS[name](folder, split)
