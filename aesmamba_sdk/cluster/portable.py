"""A model and a person as bytes: all that another computer needs to score as this one does."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aesmamba_sdk import paths
from aesmamba_sdk.paths import DATABASE_VARIABLE
from aesmamba_sdk.sdk import AesMamba

Files = dict[str, bytes]


@dataclass(frozen=True)
class Portable:
    """What is carried.

    Attributes:
        model: the shared model's files.
        user: whose taste, if anyone's.
        personal: the files of their model; none where they have none yet.
        record: what the database says of it.
    """

    model: Files
    user: str | None = None
    personal: Files = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)


def pack(sdk: AesMamba, user: str | None) -> Portable:
    """The shared model, and the model of a person.

    Raises:
        UserNotFoundError: no such user.
    """
    shared = _read_folder(sdk.backbone.folder)
    if user is None:
        return Portable(shared)
    person = sdk.users.get(user)
    if person.model is None:
        return Portable(shared, person.name)
    record = person.model.to_dict()
    kept = ("version", "folder", "method", "backbone", "shots", "report")
    return Portable(
        shared,
        person.name,
        _read_folder(paths.personal_folder(sdk.home) / person.model.folder),
        {name: record[name] for name in kept},
    )


def unpack(portable: Portable, place: Path, *, device: str, threads: int) -> AesMamba:
    """An SDK whose home is ``place``, with nothing in it but what was packed.

    Whatever database this process was told to use, it is not: profiles stay where they are.
    """
    os.environ.pop(DATABASE_VARIABLE, None)
    _write_folder(place / "model", portable.model)
    home = place / "home"
    sdk = AesMamba(place / "model", device=device, home=home, threads=threads)
    if portable.user is not None:
        sdk.users.add(portable.user)
    if portable.user is not None and portable.record:
        folder = paths.personal_folder(home) / portable.record["folder"]
        _write_folder(folder, portable.personal)
        sdk.models.activate(portable.user, **portable.record)
    return sdk


def _read_folder(folder: Path) -> Files:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def _write_folder(folder: Path, files: Files) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
