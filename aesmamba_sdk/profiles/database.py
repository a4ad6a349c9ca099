"""The profile database: one SQLite file in the user's home, or PostgreSQL by URL.

Hands out sessions, each inside one transaction; what is stored is left to the stores.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url
from sqlalchemy.orm import Session

from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.paths import DATABASE_VARIABLE, database_url, ensure_private
from aesmamba_sdk.profiles.migrations import migrate

BUSY_SECONDS = 10.0
"""How long SQLite waits for another writer."""

_ADVICE = {
    "locked": "Another program is writing to it: close that program or try again.",
    "not a database": "Restore it from a backup, or move the file away to start afresh.",
    "malformed": "Restore it from a backup, or move the file away to start afresh.",
    "disk is full": "Free some space and try again.",
}


class Database:
    """The profiles of everyone on this computer; safe to share between threads.

    Nothing is opened before the first use, which also brings the tables up to date.

    Args:
        url: SQLAlchemy URL of a SQLite file or of a PostgreSQL database.

    Raises:
        SetupError: the URL cannot be understood or its driver is missing.
    """

    def __init__(self, url: str) -> None:
        self._target = _parse(url)
        self._engine = _create_engine(self._target)
        # The same connections; the options tell how their transactions begin.
        self._writer = self._engine.execution_options(writes=True)
        self._reader = self._engine
        if self._engine.dialect.name == "postgresql":
            self._reader = self._engine.execution_options(isolation_level="REPEATABLE READ")
        self._lock = threading.Lock()
        self._ready = False

    @classmethod
    def open(cls, home: Path) -> Database:
        """The database of ``home``, unless ``AESMAMBA_DATABASE_URL`` names another.

        Raises:
            SetupError: ``home`` cannot be created, or as for the constructor.
        """
        return cls(database_url(ensure_private(home)))

    @property
    def url(self) -> str:
        """Where the database is, its password hidden."""
        return self._target.render_as_string(hide_password=True)

    def read(self) -> AbstractContextManager[Session]:
        """A session that sees one state of the database and waits for no writer.

        Raises:
            SetupError: the database is missing, locked, damaged or newer than this package.
        """
        return self._transaction(self._reader)

    def write(self) -> AbstractContextManager[Session]:
        """A session whose changes are all kept or, after an exception, all dropped.

        Raises:
            SetupError: as for :meth:`read`.
        """
        return self._transaction(self._writer)

    def close(self) -> None:
        """Close idle connections; a later use opens new ones, of what is there by then."""
        with self._lock:
            self._ready = False
        self._engine.dispose()

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Session]:
        try:
            self._prepare()
            with Session(engine, expire_on_commit=False) as session, session.begin():
                # Begins at once, where a session alone would wait for the first statement.
                session.connection()
                yield session
        except (exc.IntegrityError, exc.DataError, exc.ProgrammingError):
            raise
        except (exc.DBAPIError, exc.TimeoutError) as error:
            self.close()  # whoever follows the advice need not start the program anew
            raise self._unusable(getattr(error, "orig", None) or error) from error

    def _prepare(self) -> None:
        with self._lock:
            if self._ready:
                return
            if self._target.get_backend_name() == "sqlite":
                self._create_file(Path(self._target.database or ""))
            migrate(self._reader, self._writer)
            self._ready = True

    def _create_file(self, file: Path) -> None:
        # SQLite gives its journals the mode of the database, so this covers them as well.
        try:
            os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
            if os.name == "posix" and file.stat().st_mode & 0o077:
                file.chmod(0o600)
        except OSError as error:
            raise self._unusable(error.strerror or error) from error

    def _unusable(self, reason: object) -> SetupError:
        said = str(reason).strip()
        advice = next(
            (advice for words, advice in _ADVICE.items() if words in said),
            f"Check that it can be reached and written, or set {DATABASE_VARIABLE} to another.",
        )
        return SetupError(f"cannot use the database {self.url}: {said}. {advice}", code="database")


def _parse(url: str) -> URL:
    try:
        target = make_url(url)
    except exc.ArgumentError as error:
        # The text may hold a password, so it is not repeated.
        raise SetupError(
            "the database URL cannot be understood. Write it like sqlite:////folder/aesmamba.db "
            "or postgresql://user:password@host/name.",
            code="database",
        ) from error
    if target.drivername in ("postgres", "postgresql"):
        target = target.set(drivername="postgresql+psycopg")
    shown, file = target.render_as_string(hide_password=True), target.database or ""
    if target.get_backend_name() not in ("sqlite", "postgresql"):
        raise SetupError(f"{shown} is neither SQLite nor PostgreSQL: use these", code="database")
    if target.get_backend_name() == "sqlite" and (not file or file.startswith((":", "file:"))):
        raise SetupError(
            f"{shown} names no file to keep profiles in. Write sqlite:////folder/aesmamba.db.",
            code="database",
        )
    return target


def _create_engine(target: URL) -> Engine:
    try:
        engine = create_engine(target, json_serializer=_dump_json)
    except (ImportError, exc.ArgumentError) as error:
        raise SetupError(
            f"cannot use the database {target.render_as_string()}: {error}. "
            "For PostgreSQL, install psycopg: pip install 'psycopg[binary]'.",
            code="database",
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


_dump_json = partial(json.dumps, allow_nan=False)


def _configure_sqlite(connection: sqlite3.Connection, record: Any) -> None:
    # The driver would begin transactions by itself, too late for reads and never for DDL.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
    connection.execute("PRAGMA foreign_keys = ON")
    _use_wal(connection)


def _use_wal(connection: sqlite3.Connection) -> None:
    # SQLite does not wait when two processes switch the mode at once.
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
