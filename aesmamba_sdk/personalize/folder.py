"""A personal model on disk: a head, a peft adapter or changed weights, and how far to trust it.

A version is written beside its place and moved there whole, so nothing half-written is ever read.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from aesmamba_sdk.errors import PersonalizeError
from aesmamba_sdk.paths import ensure_private
from aesmamba_sdk.personalize.blend import Affine
from aesmamba_sdk.personalize.methods import Reach

if TYPE_CHECKING:
    from torch import Tensor

_RECORD, _TEXT = "personal.json", "text.safetensors"
_ADAPTER, _ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
_CHANGES = "changes.safetensors"
_PARTIAL = ".partial-"
_STALE = 7 * 24 * 3600
"""Seconds after which no run can still be writing a version, be the clock a day wrong."""


@dataclass(frozen=True)
class PersonalRecord:
    """Everything of a personal model but tensors.

    Attributes:
        backbone: hash of the shared model it belongs to.
        method: ``"bayes"`` has a closed-form head, ``"lora"`` an adapter, ``"full"`` changes of all
            weights, ``"affine"`` none of these.
        reach: what an adapter changes.
        affine: from generic scores to the person's scale.
        trust: weight (0-1) of what the head or the network adds.
        std: standard deviation of a rating from the score; a head knows it photo by photo.
        shots: ratings learned from.
        choices: choices between two photos learned from.
        seed: of the training.
        prompt: what was read of the person.
    """

    backbone: str
    method: str
    reach: Reach
    affine: Affine
    trust: float
    std: float
    shots: int
    seed: int
    prompt: str
    choices: int = 0


@dataclass(frozen=True)
class SavedAdapter:
    """Tensors of a LoRA model: peft's state dict, and its scaling."""

    weights: dict[str, Tensor]
    scaling: float


@contextmanager
def new_version(target: Path, *, keep: bool = True) -> Iterator[Path]:
    """A place to write to that becomes the folder ``target`` when the block ends well.

    With ``keep`` false it disappears instead, as does what runs that were killed left beside it.

    Raises:
        PersonalizeError: that version exists already, the folder was removed meanwhile, or it
            cannot be written.
    """
    ensure_private(target.parent.parent)
    ensure_private(target.parent)
    _tidy(target.parent)
    try:
        partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=target.parent))
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        yield partial
        if keep:
            _settle(partial)
            partial.rename(target)
    except (OSError, SafetensorError) as error:
        raise _unwritten(partial, target, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _tidy(folder: Path) -> None:
    """Remove what runs that were killed left, once it is certain that none is at work on it."""
    for partial in folder.glob(f"{_PARTIAL}*"):
        with suppress(OSError):  # another run tidies as well
            if time.time() - partial.stat().st_mtime > _STALE:
                shutil.rmtree(partial, ignore_errors=True)


def _settle(folder: Path) -> None:
    """Write files through to the disk: the database that will name their folder is as well."""
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb+") as stream:
                os.fsync(stream.fileno())


def _unwritten(partial: Path, target: Path, error: Exception) -> PersonalizeError:
    if target.is_dir():
        return PersonalizeError(
            f"{target.name} of this user was written by another run meanwhile; "
            "personalize again to learn from all ratings",
            code="personalize_conflict",
        )
    if not partial.is_dir():
        return PersonalizeError(
            f"{target.parent} was removed meanwhile, as is the person's model in it",
            code="personalize_conflict",
        )
    return _unwritable(target, error)


def _unwritable(target: Path, error: Exception) -> PersonalizeError:
    return PersonalizeError(
        f"{target} cannot be written: {error}", code="personal_model_unwritable"
    )


def save_record(folder: Path, record: PersonalRecord) -> None:
    text = json.dumps(asdict(record), indent=2) + "\n"
    (folder / _RECORD).write_text(text, encoding="utf-8")


def save_text(folder: Path, text: Tensor, mask: Tensor) -> None:
    """Keep the prompt's token features (half precision), so that scoring needs no BERT."""
    from safetensors.torch import save_file

    save_file({"text": text.half().contiguous(), "mask": mask.contiguous()}, folder / _TEXT)


def load_record(folder: Path) -> PersonalRecord:
    """Read what :func:`save_record` wrote.

    Raises:
        PersonalizeError: it is missing or damaged.
    """
    try:
        values = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        return PersonalRecord(**values | {"affine": Affine(**values["affine"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _damaged(folder, error) from error


def load_text(folder: Path) -> tuple[Tensor, Tensor]:
    """Token features (1, tokens, d) of the prompt, and their mask.

    Raises:
        PersonalizeError: the file is missing or damaged.
    """
    words = _tensors(folder, _TEXT)
    try:
        return words["text"].float(), words["mask"]
    except KeyError as error:
        raise _damaged(folder, error) from error


def load_adapter(folder: Path) -> SavedAdapter:
    """Read the tensors of a LoRA model, without peft.

    Raises:
        PersonalizeError: a file is missing or damaged.
    """
    try:
        config = json.loads((folder / _ADAPTER_CONFIG).read_text(encoding="utf-8"))
        scaling = config["lora_alpha"] / config["r"]
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(folder, error) from error
    return SavedAdapter(_tensors(folder, _ADAPTER), scaling)


def save_changes(folder: Path, changes: Mapping[str, Tensor]) -> None:
    """Keep what weights gained, by name: small numbers, which half precision holds well."""
    from safetensors.torch import save_file

    save_file({k: v.half().contiguous() for k, v in changes.items()}, folder / _CHANGES)


def load_changes(folder: Path) -> dict[str, Tensor]:
    """Read what :func:`save_changes` wrote.

    Raises:
        PersonalizeError: the file is missing or damaged.
    """
    return _tensors(folder, _CHANGES)


def _tensors(folder: Path, name: str) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(folder / name)
        return tensors
    except (OSError, SafetensorError) as error:
        raise _damaged(folder, error) from error


def read_files(folder: Path) -> dict[str, bytes]:
    """Every file by its name below ``folder``."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """What :func:`read_files` read.

    Raises:
        PersonalizeError: a name leads out of the folder.
    """
    for name, data in files.items():
        file = folder / name
        if not file.resolve().is_relative_to(folder.resolve()):
            raise PersonalizeError(f"the file {name!r} does not belong into {folder}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


def folder_size(folder: Path) -> int:
    """Bytes of all files."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _damaged(folder: Path, error: Exception) -> PersonalizeError:
    return PersonalizeError(
        f"the personal model {folder} is missing or damaged ({error}); personalize again",
        code="personal_model_damaged",
    )
