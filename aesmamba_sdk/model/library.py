"""Models by name: those that ship and those a person imported; loads neither torch nor weights."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from aesmamba_sdk.errors import CheckpointError, SetupError
from aesmamba_sdk.paths import models_folder, pretrained_folder

MODEL_VARIABLE = "AESMAMBA_MODEL"
DEFAULT_MODEL = "nano"


def find_model(name: str | os.PathLike[str] | None, home: Path) -> Path:
    """The folder of a model.

    Args:
        name: a folder, or the name of an imported or shipped model; by default what
            ``AESMAMBA_MODEL`` says, else ``nano``.
        home: where imported models are kept.

    Raises:
        CheckpointError: no such model.
    """
    name = name or os.environ.get(MODEL_VARIABLE) or DEFAULT_MODEL
    known = list_models(home)
    if str(name) in known:
        return known[str(name)]
    if _is_model(Path(name)):
        return Path(name)
    raise CheckpointError(
        f"no model {str(name)!r}; there are: {', '.join(known) or 'none'}. Name one of them, or a "
        "folder that holds a config.json; `aesmamba model import` adds a model.",
        code="model_not_found",
    )


def list_models(home: Path) -> dict[str, Path]:
    """Models by name; an imported one hides a shipped one of its name."""
    parents = [models_folder(home)]
    with suppress(SetupError):  # an installation without weights can still use imported ones
        parents.insert(0, pretrained_folder())
    return {
        folder.name: folder
        for parent in parents
        if parent.is_dir()
        for folder in sorted(parent.iterdir())
        if _is_model(folder)
    }


def _is_model(folder: Path) -> bool:
    return (folder / "config.json").is_file()
