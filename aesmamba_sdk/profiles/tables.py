"""The tables of the profile database, and the names by which every store finds its user.

How they come to be in a database is left to :mod:`aesmamba_sdk.profiles.migrations`.
"""

from __future__ import annotations

import difflib
import shlex
import unicodedata
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    Text,
    TypeDecorator,
    UniqueConstraint,
    select,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from aesmamba_sdk.errors import UserError, UserNotFoundError

NAME_LENGTH = 64


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in time: aware in Python, UTC in the database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        # SQLite forgets the time zone and returns naive values.
        if value is None or value.tzinfo is not None:
            return value and value.astimezone(UTC)
        return value.replace(tzinfo=UTC)


def parse_time(text: object) -> datetime:
    """An ISO 8601 time with a time zone, in UTC.

    Raises:
        ValueError: it is none, or before or after all times that there are in UTC.
    """
    try:
        time = datetime.fromisoformat(text)  # type: ignore[arg-type]
        if time.tzinfo is not None:
            return time.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f"{text!r} is no ISO 8601 time with a time zone")


class Base(DeclarativeBase):
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it so
        str: Text,
        float: Double,
        datetime: UtcDateTime,
    }


class UserRow(Base):
    """A person; ``key`` is the name without regard to case."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    key: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime]


class TraitRow(Base):
    """One change of one trait: the latest counts, and no value means that it was removed."""

    __tablename__ = "trait_values"
    __table_args__ = (Index("trait_values_by_user", "user_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str]
    value: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    set_at: Mapped[datetime]


class RatingRow(Base):
    """One photo as one person rated it: scores from 1 to 5, and what was given."""

    __tablename__ = "ratings"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    photo_id: Mapped[str] = mapped_column(primary_key=True)
    # JSON, as the name of a file need not be valid text.
    path: Mapped[str] = mapped_column(JSON)
    score: Mapped[float]
    raw_score: Mapped[float]
    raw_low: Mapped[float]
    raw_high: Mapped[float]
    attributes: Mapped[dict[str, float]] = mapped_column(JSON)
    source: Mapped[str]
    group_name: Mapped[str]
    rated_at: Mapped[datetime]


class RatedFeatureRow(Base):
    """What an encoder saw of a rated photo that is in no file, and so cannot be read again."""

    __tablename__ = "rated_features"
    __table_args__ = (
        ForeignKeyConstraint(
            ["user_id", "photo_id"], ["ratings.user_id", "ratings.photo_id"], ondelete="CASCADE"
        ),
    )

    user_id: Mapped[int] = mapped_column(primary_key=True)
    photo_id: Mapped[str] = mapped_column(primary_key=True)
    encoder: Mapped[str]
    data: Mapped[bytes] = mapped_column(LargeBinary)


class ModelRow(Base):
    """One version of a person's model; at most one of them is active."""

    __tablename__ = "personal_models"
    __table_args__ = (
        UniqueConstraint("user_id", "version", name="one_model_a_version"),
        Index(
            "one_active_model_a_user",
            "user_id",
            unique=True,
            sqlite_where=text("active"),
            postgresql_where=text("active"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    version: Mapped[int]
    folder: Mapped[str]
    method: Mapped[str]
    backbone: Mapped[str]
    shots: Mapped[int]
    report: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime]
    active: Mapped[bool]


class ModelFileRow(Base):
    """A file of a personal model, for computers that share the database but not the folder."""

    __tablename__ = "model_files"

    model_id: Mapped[int] = mapped_column(
        ForeignKey("personal_models.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(primary_key=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)


class MigrationRow(Base):
    """A migration that this database has seen."""

    __tablename__ = "schema_migrations"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str]
    applied_at: Mapped[datetime]


def check_name(name: object) -> str:
    """``name`` as it is kept.

    Raises:
        UserError: it is no possible name (code ``user_name``).
    """
    if not isinstance(name, str):
        raise UserError(f"user name {name!r} is no text: give a name", code="user_name")
    kept = unicodedata.normalize("NFC", name)
    # Names become names of folders.
    if not 1 <= len(kept) <= NAME_LENGTH or kept != kept.strip() or kept.startswith("."):
        raise UserError(
            f"user name {name!r} is not possible: give 1-{NAME_LENGTH} characters that neither "
            "start with a dot nor start or end with a space",
            code="user_name",
        )
    odd = next((c for c in kept if not _is_name_character(c)), None)
    if odd is not None:
        raise UserError(
            f"user name {name!r} is not possible because of {odd!r}: use letters, digits, spaces "
            "and - _ . @",
            code="user_name",
        )
    return kept


def name_key(name: str) -> str:
    """``name`` without regard to case: two users never share it."""
    return unicodedata.normalize("NFC", name.casefold())


def find_user(
    session: Session, name: str, *, lock: bool = False, added: datetime | None = None
) -> UserRow:
    """The user of exactly that name.

    Args:
        lock: let no other transaction change anything of this user until this one ends.
        added: when the user was added whom the caller knows; somebody else of that name is none.

    Raises:
        UserNotFoundError: there is none; the message suggests close names or how to add one.
    """
    name = unicodedata.normalize("NFC", name)
    wanted = select(UserRow).where(UserRow.name == name)
    # SQLite ignores FOR UPDATE; there the writing transaction locks the database.
    wanted = wanted.with_for_update() if lock else wanted
    # What cannot be printed is no name, and databases refuse some of it.
    row = session.scalar(wanted) if name.isprintable() else None
    if row is None:
        raise UserNotFoundError(f"no user {name!r}; {_advice(session, name)}")
    if added is not None and row.created_at != added:
        raise UserNotFoundError(f"{name!r} was removed meanwhile, and somebody else has that name")
    return row


def _advice(session: Session, name: str) -> str:
    names = {name_key(known): known for known in session.scalars(select(UserRow.name))}
    close = difflib.get_close_matches(name_key(name), names)
    if close:
        return f"did you mean {' or '.join(repr(names[key]) for key in close)}?"
    return f"create it with: aesmamba user add {shlex.quote(name)}"


def _is_name_character(character: str) -> bool:
    # Marks are the vowels of many scripts.
    category = unicodedata.category(character)
    return character in "-_.@ " or category[0] in "LM" or category == "Nd"
