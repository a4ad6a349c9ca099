"""A model and a person as bytes: all that another computer needs to score as this one does."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aesmamba_sdk.paths import DATABASE_VARIABLE
from aesmamba_sdk.personalize.folder import read_files, write_files
from aesmamba_sdk.sdk import AesMamba

if TYPE_CHECKING:
    from aesmamba_sdk.model.config import Precision

Files = dict[str, bytes]


@dataclass(frozen=True)
class Portable:
    """What is carried.

    Attributes:
        model: the shared model's files.
        user: whose taste, if anyone's.
        personal: the files of their model; none where they have none yet.
        record: what the database says of it.
        precision: in which the encoder multiplies.
    """

    model: Files
    user: str | None = None
    personal: Files = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
    precision: Precision = "float32"


def pack(sdk: AesMamba, user: str | None) -> Portable:
    """The shared model, and the model of a person.

    Raises:
        UserNotFoundError: no such user.
    """
    shared, precision = read_files(sdk.backbone.folder), sdk.precision
    if user is None:
        return Portable(shared, precision=precision)
    person = sdk.users.get(user)
    if person.model is None:
        return Portable(shared, person.name, precision=precision)
    record = person.model.to_dict()
    kept = ("version", "folder", "method", "backbone", "shots", "report")
    return Portable(
        shared,
        person.name,
        read_files(sdk.model_folder(person.model)),
        {name: record[name] for name in kept},
        precision,
    )


def unpack(portable: Portable, place: Path, *, device: str, threads: int) -> AesMamba:
    """An SDK whose home is ``place``, with nothing in it but what was packed.

    Whatever database this process was told to use, it is not: profiles stay where they are.
    """
    os.environ.pop(DATABASE_VARIABLE, None)
    write_files(place / "model", portable.model)
    home = place / "home"
    sdk = AesMamba(
        place / "model", device=device, home=home, threads=threads, precision=portable.precision
    )
    if portable.user is not None:
        sdk.users.add(portable.user)
    if portable.user is not None and portable.record:
        sdk.models.activate(portable.user, **portable.record, files=portable.personal)
    return sdk
