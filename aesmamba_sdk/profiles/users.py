"""Everyone this computer knows: traits with their history, export and import of whole profiles."""

from __future__ import annotations

import builtins
import getpass
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from aesmamba_sdk.errors import RatingsError, TraitError, UserError
from aesmamba_sdk.profiles.database import Database
from aesmamba_sdk.profiles.model_store import PersonalModel, personal_model, read_models
from aesmamba_sdk.profiles.prompts import SubjectPrompt
from aesmamba_sdk.profiles.rating_store import Rating, read_ratings, replace_ratings
from aesmamba_sdk.profiles.tables import (
    ModelRow,
    RatingRow,
    TraitRow,
    UserRow,
    check_name,
    find_user,
    name_key,
    parse_time,
)
from aesmamba_sdk.profiles.traits import BIG_FIVE_SCALE, FREE_WORDS, Traits
from aesmamba_sdk.scores import SCHEMA_VERSION, Scale

_RECORD_FIELDS = ("schema", "name", "created_at", "traits", "history", "ratings", "models")


@dataclass(frozen=True)
class User:
    """A person as known now.

    Attributes:
        name: unique, also without regard to case.
        traits: what is known of the person.
        created_at: when the person was added, UTC.
        ratings: number of rated photos.
        model: the personal model that serves, if any.
    """

    name: str
    traits: Traits
    created_at: datetime
    ratings: int
    model: PersonalModel | None

    def to_dict(self) -> dict[str, Any]:
        """What is known in plain JSON types, with the prompt made of it."""
        model = self.model
        return {
            "name": self.name,
            "created_at": self.created_at.isoformat(),
            "traits": self.traits.to_dict(),
            "prompt": SubjectPrompt(self.traits).for_model(),
            "ratings": self.ratings,
            "model": None if model is None else {"version": model.version, "method": model.method},
        }


@dataclass(frozen=True)
class TraitChange:
    """One change of one trait; ``value`` is ``None`` where the trait was removed."""

    name: str
    value: Any
    set_at: datetime


@dataclass(frozen=True)
class _Record:
    """An exported or example profile, checked."""

    name: str
    created_at: datetime
    traits: Traits
    history: list[TraitChange]
    ratings: list[Rating]


class Users:
    """The people of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, name: str | None = None, *, scale: Scale = BIG_FIVE_SCALE, **traits: Any) -> User:
        """Add a person.

        Args:
            name: 1-64 letters, digits or ``-_.@`` and inner spaces; the name of the logged-in
                user of the operating system unless told.
            scale: the range the Big Five are given on; they are kept as 1-10.
            traits: trait name to value, see :class:`Traits`; ``None`` means unknown.

        Raises:
            UserError: the name is invalid or taken (code ``user_exists``).
            TraitError: a trait is unknown or invalid.
        """
        name = check_name(login_name() if name is None else name)
        changes = _checked_changes(traits, scale)
        with self._database.write() as session:
            row = _insert(session, name, datetime.now(UTC))
            _record_changes(session, row, changes)
            return _describe_one(session, row)

    def get(self, name: str) -> User:
        """The person of that name.

        Raises:
            UserNotFoundError: there is none; the message suggests close names.
        """
        with self._database.read() as session:
            return _describe_one(session, find_user(session, name))

    def list(self) -> list[User]:
        """Everyone, by name."""
        with self._database.read() as session:
            return _describe(session)

    def set(self, name: str, *, scale: Scale = BIG_FIVE_SCALE, **traits: Any) -> User:
        """Change traits of a person; ``None`` removes a trait, others stay as they are.

        Raises:
            UserNotFoundError: there is no such user.
            TraitError: a trait is unknown or invalid; nothing is changed.
        """
        changes = _checked_changes(traits, scale)
        with self._database.write() as session:
            row = find_user(session, name, lock=True)
            _record_changes(session, row, changes)
            return _describe_one(session, row)

    def remove(self, name: str) -> builtins.list[str]:
        """Forget a person: traits, ratings and models.

        Returns:
            The folders of their models, relative to the personal folder, for the caller to delete.

        Raises:
            UserNotFoundError: there is no such user.
        """
        with self._database.write() as session:
            row = find_user(session, name, lock=True)
            folders = [model.folder for model in read_models(session, row)]
            session.execute(delete(UserRow).where(UserRow.id == row.id))
            return folders

    def history(self, name: str) -> builtins.list[TraitChange]:
        """Every change of the traits of a person, oldest first.

        Raises:
            UserNotFoundError: there is no such user.
        """
        with self._database.read() as session:
            return _history(session, find_user(session, name))

    def export(self, name: str) -> dict[str, Any]:
        """All that is kept of a person in strict JSON types, but numbers that models work with:
        the weights of personal ones, and features of photos that are in no file.

        Raises:
            UserNotFoundError: there is no such user.
        """
        with self._database.read() as session:
            row = find_user(session, name)
            return {
                "schema": SCHEMA_VERSION,
                "name": row.name,
                "created_at": row.created_at.isoformat(),
                "traits": _describe_one(session, row).traits.to_dict(),
                "history": [
                    {"name": c.name, "value": c.value, "set_at": c.set_at.isoformat()}
                    for c in _history(session, row)
                ],
                "ratings": [rating.to_dict() for rating in read_ratings(session, row)],
                "models": [model.to_dict() for model in read_models(session, row)],
            }

    def import_(
        self, record: Mapping[str, Any], *, name: str | None = None, replace: bool = False
    ) -> User:
        """Add a person from what :meth:`export` wrote, or from ``{"name": ..., "traits": ...}``.

        Models are left out, as their weights are not in the record; train again from the ratings.

        Args:
            record: the profile; Big Five scores are 1-10.
            name: another name than the record's.
            replace: take the place of an existing user of exactly that name: traits, history and
                ratings become the record's, models stay, and what is kept of rated photos that
                are in no file.

        Raises:
            UserError: a field is missing, unknown or invalid, named by the message, or the name is
                taken (code ``user_exists``). Nothing is changed.
            TraitError: a trait is unknown or invalid. Nothing is changed.
        """
        profile = _parse_record(record, name)
        with self._database.write() as session:
            row = _replaced(session, profile) if replace else None
            row = row or _insert(session, profile.name, profile.created_at)
            session.add_all(_trait_row(row, change) for change in profile.history)
            session.flush()
            _record_changes(session, row, _differences(profile))
            replace_ratings(session, row, profile.ratings)
            return _describe_one(session, row)


def login_name() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError) as error:
        raise UserError(
            "the operating system does not tell who is logged in: give a name", code="user_name"
        ) from error


def _insert(session: Session, name: str, created_at: datetime) -> UserRow:
    row = UserRow(name=name, key=name_key(name), created_at=created_at)
    session.add(row)
    try:
        session.flush()
    except IntegrityError as error:
        raise UserError(
            f"a user {name!r} exists already, perhaps in other letter case: choose another name, "
            "or change that user with: aesmamba user set",
            code="user_exists",
        ) from error
    return row


def _describe_one(session: Session, row: UserRow) -> User:
    return _describe(session, UserRow.id == row.id)[0]


def _describe(session: Session, *only: ColumnElement[bool]) -> list[User]:
    chosen = select(UserRow.id).where(*only)
    newest = select(func.max(TraitRow.id)).group_by(TraitRow.user_id, TraitRow.name)
    traits: dict[int, dict[str, Any]] = {}
    for change in session.scalars(
        select(TraitRow).where(TraitRow.id.in_(newest.where(TraitRow.user_id.in_(chosen))))
    ):
        traits.setdefault(change.user_id, {})[change.name] = change.value
    counts = (
        select(RatingRow.user_id, func.count())
        .where(RatingRow.user_id.in_(chosen))
        .group_by(RatingRow.user_id)
    )
    ratings = dict(session.execute(counts).all())
    active = select(ModelRow).where(ModelRow.user_id.in_(chosen), ModelRow.active)
    models = {model.user_id: model for model in session.scalars(active)}
    return [
        User(
            name=row.name,
            traits=Traits.from_dict(traits.get(row.id, {})),
            created_at=row.created_at,
            ratings=ratings.get(row.id, 0),
            model=personal_model(models[row.id], row.name) if row.id in models else None,
        )
        for row in session.scalars(select(UserRow).where(*only).order_by(UserRow.key))
    ]


def _history(session: Session, row: UserRow) -> list[TraitChange]:
    changes = select(TraitRow).where(TraitRow.user_id == row.id).order_by(TraitRow.id)
    return [TraitChange(c.name, c.value, c.set_at) for c in session.scalars(changes)]


def _record_changes(session: Session, row: UserRow, values: Mapping[str, Any]) -> None:
    current = {change.name: change.value for change in _history(session, row)}
    now = datetime.now(UTC)
    session.add_all(
        _trait_row(row, TraitChange(name, value, now))
        for name, value in values.items()
        if current.get(name) != value
    )
    session.flush()


def _trait_row(row: UserRow, change: TraitChange) -> TraitRow:
    return TraitRow(user_id=row.id, **vars(change))


def _checked_changes(traits: Mapping[str, Any], scale: Scale = BIG_FIVE_SCALE) -> dict[str, Any]:
    """``traits`` as they are stored, ``None`` where a trait is to be removed."""
    for name in FREE_WORDS:
        if traits.get(name) is not None and not _is_text(traits[name]):
            raise TraitError(f"{name} {traits[name]!r} must be text")
    sentences = traits.get("sentences") or ()
    if not isinstance(sentences, (list, tuple)) or not all(map(_is_text, sentences)):
        raise TraitError(f"sentences {sentences!r} must be a list of sentences")
    known = Traits.from_dict(traits, scale=scale).to_dict()
    return {name: known.get(name) for name in traits}


def _is_text(value: object) -> bool:
    """Whether tokenizers and every database can read it: no bytes or half letters in it."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _replaced(session: Session, profile: _Record) -> UserRow | None:
    """The user whose place ``profile`` takes, without traits; ``None`` if none."""
    exists = session.scalar(select(UserRow.id).where(UserRow.name == profile.name))
    if exists is None:
        return None
    row = find_user(session, profile.name, lock=True)
    row.created_at = profile.created_at
    session.execute(delete(TraitRow).where(TraitRow.user_id == row.id))
    return row


def _differences(profile: _Record) -> dict[str, Any]:
    """Values that make the traits count where a record was edited and its history was not."""
    removed = dict.fromkeys(change.name for change in profile.history)
    return removed | profile.traits.to_dict()


def _parse_record(record: Mapping[str, Any], name: str | None) -> _Record:
    if not isinstance(record, Mapping):
        raise _invalid("it", f"must be an object, not {record!r}")
    unknown = sorted(set(map(str, record)) - set(_RECORD_FIELDS))
    if unknown:
        raise _invalid(unknown[0], f"is unknown; there are: {', '.join(_RECORD_FIELDS)}")
    if record.get("schema", SCHEMA_VERSION) != SCHEMA_VERSION:
        raise _invalid("schema", f"{record['schema']!r} is unknown: update aesmamba-sdk")
    if name is None and "name" not in record:
        raise _invalid("name", "is missing")
    traits = record.get("traits", {})
    if not isinstance(traits, Mapping):
        raise _invalid("traits", f"must be an object, not {traits!r}")
    created_at = record.get("created_at")
    return _Record(
        name=check_name(record["name"] if name is None else name),
        created_at=datetime.now(UTC) if created_at is None else _time("created_at", created_at),
        traits=Traits.from_dict(_parse_traits("traits", traits)),
        history=[_parse_change(*item) for item in _items(record, "history")],
        ratings=[_parse_rating(*item) for item in _items(record, "ratings")],
    )


def _items(record: Mapping[str, Any], field: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """The objects in a list of the record, each with its name for messages."""
    values = record.get(field, [])
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise _invalid(field, f"must be a list, not {values!r}")
    for number, value in enumerate(values):
        if not isinstance(value, Mapping):
            raise _invalid(f"{field}[{number}]", f"must be an object, not {value!r}")
        yield f"{field}[{number}]", value


def _parse_traits(field: str, traits: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return _checked_changes(traits)
    except TraitError as error:
        raise TraitError(f"profile record: {field}: {error}") from error


def _parse_change(field: str, item: Mapping[str, Any]) -> TraitChange:
    if set(item) != {"name", "value", "set_at"} or not isinstance(item["name"], str):
        raise _invalid(field, f"must have name, value and set_at, not {dict(item)!r}")
    values = _parse_traits(field, {item["name"]: item["value"]})
    return TraitChange(item["name"], values[item["name"]], _time(f"{field}.set_at", item["set_at"]))


def _parse_rating(field: str, item: Mapping[str, Any]) -> Rating:
    try:
        return Rating.from_dict(item)
    except RatingsError as error:
        raise _invalid(field, f"is invalid: {error}") from error


def _time(field: str, value: object) -> datetime:
    try:
        return parse_time(value)
    except ValueError as error:
        raise _invalid(field, str(error)) from error


def _invalid(field: str, problem: str) -> UserError:
    return UserError(f"profile record: {field} {problem}", code="profile_invalid")
