"""Decoded photos of a dataset, kept between runs; some that cannot be used hold up no others."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from aesmamba_sdk.errors import DatasetError
from aesmamba_sdk.runs import Progress
from aesmamba_sdk.train.lock import alone

_AHEAD = 256  # photos that are decoded before the first of them is wanted

Loaded = NDArray[np.uint8] | DatasetError
Load = Callable[[int], Loaded]
"""The photo of a row, (side, side, 3), or why it cannot be used."""


def decoded(
    file: Path,
    shape: tuple[int, int, int, int],
    load: Load,
    progress: Progress | None,
    *,
    retry: bool,
) -> tuple[NDArray[np.uint8], dict[int, str]]:
    """Photos from the file where they were kept before, else decoded and kept there.

    A run that wants them while another decodes them waits for it.

    Args:
        file: has all of them. Where some cannot be used, those that can lie beside it, with a list
            of the others.
        shape: (photos, side, side, 3).
        load: decodes the photo of a row.
        progress: is told ``"photos"``, how many are decoded, and of how many.
        retry: decode again what could not be used before; it may have been repaired.

    Returns:
        Bytes of that shape, a memory map, and why there is nothing in some rows.
    """
    whole = _kept(file, shape)
    if whole is not None:  # nothing is to be written: the folder may be another's
        return whole, {}
    file.parent.mkdir(parents=True, exist_ok=True)
    partial, listed = file.with_suffix(".partial.npy"), file.with_suffix(".unusable.json")
    with alone(file.with_suffix(".lock")):
        whole = _kept(file, shape)
        if whole is not None:  # by another run, meanwhile
            return whole, {}
        if _kept(partial, shape) is None:
            listed.unlink(missing_ok=True)  # of an array that was removed
        unusable = _read(listed)
        if not unusable or retry:
            unusable = _decode(partial, shape, list(unusable), load, progress)
            if not unusable:
                listed.unlink(missing_ok=True)
                return np.load(partial.replace(file), mmap_mode="r"), {}
            _write(listed, unusable)
        return np.load(partial, mmap_mode="r"), unusable


def _kept(file: Path, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """The array in a file; ``None`` of one that is not there or was cut short."""
    try:
        array: NDArray[np.uint8] = np.load(file, mmap_mode="r")
    except (FileNotFoundError, EOFError, ValueError):
        return None
    return array if array.shape == shape else None


def _read(listed: Path) -> dict[int, str]:
    found = json.loads(listed.read_text(encoding="utf-8")) if listed.is_file() else {}
    return {int(row): why for row, why in found.items()}


def _write(listed: Path, unusable: dict[int, str]) -> None:
    """Replace the list as a whole: one that was cut short would end every later run."""
    partial = listed.with_suffix(".partial.json")
    partial.write_text(json.dumps(unusable, indent=1) + "\n", encoding="utf-8")
    partial.replace(listed)


def _decode(
    partial: Path,
    shape: tuple[int, int, int, int],
    missing: Sequence[int],
    load: Load,
    progress: Progress | None,
) -> dict[int, str]:
    """Decode the missing rows, or all of a new file; returns which could not be, and why."""
    mode: Literal["r+", "w+"] = "r+" if missing else "w+"
    array = np.lib.format.open_memmap(partial, mode=mode, dtype=np.uint8, shape=shape)
    rows = missing or range(shape[0])
    unusable: dict[int, str] = {}
    for done, (row, photo) in enumerate(_loaded(rows, load), 1):
        if isinstance(photo, DatasetError):
            unusable[row] = str(photo)
        else:
            array[row] = photo
        if progress is not None:
            progress("photos", done, len(rows))
    array.flush()
    return unusable


def _loaded(rows: Sequence[int], load: Load) -> Iterator[tuple[int, Loaded]]:
    """Photos of these rows, in order; some are decoded at once."""
    yield rows[0], load(rows[0])  # opens what all others share
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(1, len(rows), _AHEAD):
            some = rows[start : start + _AHEAD]
            yield from zip(some, pool.map(load, some), strict=True)
