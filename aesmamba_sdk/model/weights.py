"""What lies in a model folder, as plain values and numpy arrays: read without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from aesmamba_sdk.errors import CheckpointError
from aesmamba_sdk.model.config import AesMambaConfig

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
TEXT_PREFIX = "text."
"""Of the names of the text encoder's weights, which scoring photos does without."""

Weights = dict[str, NDArray[Any]]


def read_config(folder: Path) -> AesMambaConfig:
    """The configuration in a model folder.

    Raises:
        CheckpointError: config.json is missing or not valid.
    """
    return AesMambaConfig.from_dict(_read_json(folder / CONFIG_FILE))


def weight_files(folder: Path) -> list[Path]:
    """The one file of weights in a model folder, or the shards that its index names.

    Raises:
        CheckpointError: the index is not valid, or a file is missing.
    """
    index = folder / f"{WEIGHTS_FILE}.index.json"
    names = [WEIGHTS_FILE]
    if index.is_file():
        places = _read_json(index).get("weight_map")
        if not isinstance(places, dict) or not all(isinstance(n, str) for n in places.values()):
            raise CheckpointError(f"{index} does not say which files hold the weights")
        names = sorted(set(places.values()))
    for name in names:
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder / name} is missing: not a whole model")
    return [folder / name for name in names]


def read_arrays(folder: Path) -> Weights:
    """A model without its text encoder, floating-point numbers as float32: as they are used.

    Raises:
        CheckpointError: a file is missing or broken.
    """
    arrays: Weights = {}
    for file in weight_files(folder):
        try:
            arrays |= _read(file)
        except SafetensorError as error:
            raise CheckpointError(f"{file} is not a safetensors file: {error}") from error
    return arrays


def as_used(array: NDArray[Any]) -> NDArray[Any]:
    """In the precision in which a network holds it, whatever it is stored in."""
    return array.astype(np.float32, copy=False) if array.dtype.kind == "f" else array


def _read(file: Path) -> Weights:
    with safe_open(file, "numpy") as opened:
        names = [n for n in opened.keys() if not n.startswith(TEXT_PREFIX)]  # noqa: SIM118 -- no dict
        try:
            return {name: as_used(opened.get_tensor(name)) for name in names}
        except TypeError:  # bfloat16, which numpy does not know
            from safetensors.torch import load_file

            return {k: v.float().numpy() for k, v in load_file(file).items() if k in names}


def _read_json(file: Path) -> dict[str, Any]:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{file} is missing: not a model folder") from error
    except ValueError as error:
        raise CheckpointError(f"{file} is not valid JSON: {error}") from error
    if not isinstance(record, dict):
        raise CheckpointError(f"{file} must hold an object, not {type(record).__name__}")
    return record
