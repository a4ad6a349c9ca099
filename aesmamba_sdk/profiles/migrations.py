"""Brings a database to the tables of this package, one small numbered step after another.

A step is never edited once released: it describes its tables as they were then, and the tests
check that all steps together give the tables of :mod:`aesmamba_sdk.profiles.tables`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    DateTime,
    Double,
    Engine,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    insert,
    inspect,
    select,
    text,
)

from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.profiles.tables import MigrationRow

Migration = Callable[[Connection], None]
_ADVISORY_LOCK = 7_316_204


def create_tables(connection: Connection) -> None:
    """Users, their traits with history, their ratings and their models."""
    tables = MetaData()
    Table(
        "users",
        tables,
        Column("id", Integer, primary_key=True),
        Column("name", Text, nullable=False, unique=True),
        Column("key", Text, nullable=False, unique=True),
        Column("created_at", DateTime(timezone=True), nullable=False),
    )
    Table(
        "trait_values",
        tables,
        Column("id", Integer, primary_key=True),
        Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        Column("name", Text, nullable=False),
        Column("value", JSON),
        Column("set_at", DateTime(timezone=True), nullable=False),
        Index("trait_values_by_user", "user_id", "name"),
    )
    Table(
        "ratings",
        tables,
        Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
        Column("photo_id", Text, primary_key=True),
        Column("path", JSON, nullable=False),
        Column("score", Double, nullable=False),
        Column("raw_score", Double, nullable=False),
        Column("raw_low", Double, nullable=False),
        Column("raw_high", Double, nullable=False),
        Column("attributes", JSON, nullable=False),
        Column("source", Text, nullable=False),
        Column("group_name", Text, nullable=False),
        Column("rated_at", DateTime(timezone=True), nullable=False),
    )
    active = text("active")
    Table(
        "personal_models",
        tables,
        Column("id", Integer, primary_key=True),
        Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        Column("version", Integer, nullable=False),
        Column("folder", Text, nullable=False),
        Column("method", Text, nullable=False),
        Column("backbone", Text, nullable=False),
        Column("shots", Integer, nullable=False),
        Column("report", JSON, nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False),
        Column("active", Boolean, nullable=False),
        UniqueConstraint("user_id", "version", name="one_model_a_version"),
        Index(
            "one_active_model_a_user",
            "user_id",
            unique=True,
            sqlite_where=active,
            postgresql_where=active,
        ),
    )
    tables.create_all(connection, checkfirst=False)


def create_model_files(connection: Connection) -> None:
    """The files of personal models, in the database as well."""
    tables = MetaData()
    Table("personal_models", tables, Column("id", Integer, primary_key=True))
    files = Table(
        "model_files",
        tables,
        Column("model_id", ForeignKey("personal_models.id", ondelete="CASCADE"), primary_key=True),
        Column("name", Text, primary_key=True),
        Column("data", LargeBinary, nullable=False),
    )
    files.create(connection)


def create_rated_features(connection: Connection) -> None:
    """Features of rated photos that are in no file."""
    tables = MetaData()
    Table(
        "ratings",
        tables,
        Column("user_id", Integer, primary_key=True),
        Column("photo_id", Text, primary_key=True),
    )
    features = Table(
        "rated_features",
        tables,
        Column("user_id", Integer, primary_key=True),
        Column("photo_id", Text, primary_key=True),
        Column("encoder", Text, nullable=False),
        Column("data", LargeBinary, nullable=False),
        ForeignKeyConstraint(
            ["user_id", "photo_id"], ["ratings.user_id", "ratings.photo_id"], ondelete="CASCADE"
        ),
    )
    features.create(connection)


MIGRATIONS: tuple[Migration, ...] = (create_tables, create_model_files, create_rated_features)
"""All steps in order; the first has number 1."""


def migrate(reader: Engine, writer: Engine, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Apply the migrations a database lacks, each in a transaction of its own.

    Args:
        reader: begins transactions that wait for no writer.
        writer: begins transactions that exclude other writers where the database can.

    Raises:
        SetupError: the database is newer than this package.
    """
    with reader.begin() as connection:
        newest = _newest(connection)
    if newest > len(migrations):
        raise SetupError(
            f"the database {reader.url.render_as_string()} is of version {newest}, but this "
            f"package knows versions up to {len(migrations)}: update aesmamba-sdk.",
            code="database_newer",
        )
    for number, migration in enumerate(migrations, 1):
        if number > newest:
            with writer.begin() as connection:
                _apply(connection, number, migration)


def _apply(connection: Connection, number: int, migration: Migration) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    # Another process may have been faster while this one waited for the lock.
    if _newest(connection) >= number:
        return
    MigrationRow.metadata.tables[MigrationRow.__tablename__].create(connection, checkfirst=True)
    migration(connection)
    connection.execute(
        insert(MigrationRow).values(
            number=number, name=migration.__name__, applied_at=datetime.now(UTC)
        )
    )


def _newest(connection: Connection) -> int:
    if not inspect(connection).has_table(MigrationRow.__tablename__):
        return 0
    return max(connection.scalars(select(MigrationRow.number)), default=0)
