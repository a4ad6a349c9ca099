"""Datasets by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from aesmamba_sdk.errors import DatasetError
from aesmamba_sdk.scores import Scale
from aesmamba_sdk.train.datasets.aadb import read_aadb
from aesmamba_sdk.train.datasets.ava import read_ava
from aesmamba_sdk.train.datasets.ava_captions import read_ava_captions
from aesmamba_sdk.train.datasets.dataset import Dataset
from aesmamba_sdk.train.datasets.folder import read_folder
from aesmamba_sdk.train.datasets.oasis import read_oasis
from aesmamba_sdk.train.datasets.para import read_para, read_para_people
from aesmamba_sdk.train.datasets.photonet import read_photonet
from aesmamba_sdk.train.datasets.tad66k import read_tad66k


class Reader(Protocol):
    def __call__(self, folder: Path, split: str) -> Dataset: ...


READERS: Mapping[str, Reader] = {
    "aadb": read_aadb,
    "ava": read_ava,
    "ava-captions": read_ava_captions,
    "folder": read_folder,
    "oasis": read_oasis,
    "para": read_para,
    "para-people": read_para_people,
    "photonet": read_photonet,
    "tad66k": read_tad66k,
}
"""Every reader tells the files and splits it expects."""


def read_dataset(
    name: str, folder: Path, *, split: str = "train", scale: Scale | None = None
) -> Dataset:
    """Read one split of a dataset.

    Args:
        name: one of ``READERS``.
        folder: where the dataset lies, in its official layout.
        split: as the dataset's reader describes it.
        scale: range of the scores of ``folder``; all others have their own.

    Raises:
        DatasetError: the name is unknown; or a file, column, row, value or photo is not as the
            layout has it: the message names it and what was expected.
    """
    if name not in READERS:
        raise DatasetError(f"there is no dataset {name!r}; expected {', '.join(READERS)}")
    if scale is None:
        found = READERS[name](folder, split)
    elif name == "folder":
        found = read_folder(folder, split, scale=scale)
    else:
        raise DatasetError(f"{name} has a scale of its own; only a folder's can be declared")
    return replace(found, reader=name)
