"""Which models a person has, and which of them serves; their weights lie in folders elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PureWindowsPath
from types import MappingProxyType
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from aesmamba_sdk.errors import PersonalizeError
from aesmamba_sdk.profiles.database import Database
from aesmamba_sdk.profiles.tables import ModelFileRow, ModelRow, UserRow, find_user


@dataclass(frozen=True)
class PersonalModel:
    """One version of a person's model.

    Attributes:
        user: whose taste.
        version: 1 and up, in the order of training.
        folder: where its weights are, relative to the personal folder.
        method: how it was made, e.g. ``"lora"``.
        backbone: weight hash of the model that it belongs to.
        shots: number of rated photos that it learned from.
        report: what training found, in plain JSON types.
        created_at: when it was trained, UTC.
        active: whether it is the one that serves.
    """

    user: str
    version: int
    folder: str
    method: str
    backbone: str
    shots: int
    report: dict[str, Any]
    created_at: datetime
    active: bool

    def to_dict(self) -> dict[str, Any]:
        """Every field but the user in plain JSON types."""
        record = {name: value for name, value in vars(self).items() if name != "user"}
        return record | {"created_at": self.created_at.isoformat()}


class ModelStore:
    """The personal models of everyone; at most one a person is active."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def next_version(self, user: str) -> int:
        """The version after the newest; :meth:`activate` tells whether it was still free.

        Raises:
            UserNotFoundError: there is no such user.
        """
        with self._database.read() as session:
            owner = find_user(session, user)
            newest = select(func.max(ModelRow.version)).where(ModelRow.user_id == owner.id)
            return (session.scalar(newest) or 0) + 1

    def activate(
        self,
        user: str,
        *,
        version: int,
        folder: str,
        method: str,
        backbone: str,
        shots: int,
        report: dict[str, Any],
        files: Mapping[str, bytes] = MappingProxyType({}),
        added: datetime | None = None,
    ) -> PersonalModel:
        """Record a model whose folder is complete and let it serve from now on.

        ``files``, by name, are what the folder holds, for computers that share the database alone;
        ``added`` is when the user was added, where somebody else may have taken the name since.

        Raises:
            UserNotFoundError: there is no such user.
            PersonalizeError: the version exists (code ``personalize_conflict``), the folder is not
                inside the personal folder, or the report is not strict JSON.
        """
        _check_folder(folder)
        _check_report(report)
        with self._database.write() as session:
            owner = find_user(session, user, lock=True, added=added)
            if _find(session, owner, version) is not None:
                raise PersonalizeError(
                    f"version {version} of {user!r}'s model exists already: another training "
                    "finished first. Train again.",
                    code="personalize_conflict",
                )
            _retire(session, owner)
            row = ModelRow(
                user_id=owner.id,
                version=version,
                folder=folder,
                method=method,
                backbone=backbone,
                shots=shots,
                report=report,
                created_at=datetime.now(UTC),
                active=True,
            )
            session.add(row)
            session.flush()
            session.add_all(
                ModelFileRow(model_id=row.id, name=name, data=data) for name, data in files.items()
            )
            return personal_model(row, owner.name)

    def use(self, user: str, version: int) -> PersonalModel:
        """Let an existing version serve, be it older or newer than the active one.

        Raises:
            UserNotFoundError: there is no such user.
            PersonalizeError: there is no such version; the message names those there are.
        """
        with self._database.write() as session:
            owner = find_user(session, user, lock=True)
            if _find(session, owner, version) is None:
                known = [str(model.version) for model in read_models(session, owner)]
                raise PersonalizeError(
                    f"{user!r} has no model of version {version}; "
                    f"there are: {', '.join(known) or 'none'}",
                    code="personalize_version",
                )
            _retire(session, owner)
            chosen = ModelRow.user_id == owner.id, ModelRow.version == version
            session.execute(update(ModelRow).where(*chosen).values(active=True))
            return personal_model(session.scalars(select(ModelRow).where(*chosen)).one(), user)

    def retire(self, user: str) -> None:
        """Let no model serve: scores are everyone's until the person trains or uses one again.

        Raises:
            UserNotFoundError: there is no such user.
        """
        with self._database.write() as session:
            _retire(session, find_user(session, user, lock=True))

    def files(self, user: str, version: int) -> dict[str, bytes]:
        """What a model's folder holds, by name; nothing where that was never recorded.

        Raises:
            UserNotFoundError: there is no such user.
        """
        with self._database.read() as session:
            model = _find(session, find_user(session, user), version)
            rows = session.scalars(select(ModelFileRow).where(ModelFileRow.model_id == model))
            return {row.name: row.data for row in rows}

    def active(self, user: str) -> PersonalModel | None:
        """The model that serves ``user``; ``None`` before the first.

        Raises:
            UserNotFoundError: there is no such user.
        """
        return next((model for model in self.list(user) if model.active), None)

    def list(self, user: str) -> list[PersonalModel]:
        """All models of ``user``, by version.

        Raises:
            UserNotFoundError: there is no such user.
        """
        with self._database.read() as session:
            return read_models(session, find_user(session, user))


def read_models(session: Session, user: UserRow) -> list[PersonalModel]:
    """All models of ``user``, by version."""
    rows = select(ModelRow).where(ModelRow.user_id == user.id).order_by(ModelRow.version)
    return [personal_model(row, user.name) for row in session.scalars(rows)]


def personal_model(row: ModelRow, user: str) -> PersonalModel:
    """The model of a row."""
    return PersonalModel(
        user=user,
        version=row.version,
        folder=row.folder,
        method=row.method,
        backbone=row.backbone,
        shots=row.shots,
        report=row.report,
        created_at=row.created_at,
        active=row.active,
    )


def _find(session: Session, user: UserRow, version: int) -> int | None:
    row = select(ModelRow.id).where(ModelRow.user_id == user.id, ModelRow.version == version)
    return session.scalar(row)


def _retire(session: Session, user: UserRow) -> None:
    session.execute(update(ModelRow).where(ModelRow.user_id == user.id).values(active=False))


def _check_folder(folder: str) -> None:
    # Removing a user deletes this folder, so it must not lead out of the personal folder.
    path = PureWindowsPath(folder)
    if not path.parts or path.anchor or ".." in path.parts:
        raise PersonalizeError(
            f"folder {folder!r} must be relative to the personal folder and stay inside it"
        )


def _check_report(report: dict[str, Any]) -> None:
    try:
        json.dumps(report, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise PersonalizeError(f"report {report!r} is not strict JSON: {error}") from error
