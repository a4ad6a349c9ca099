"""Whatever SQLite does, PostgreSQL does as well: transactions, migrations, many at once."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress

import pytest
from sqlalchemy import Connection, inspect, select, text
from sqlalchemy.orm import Session

from aesmamba_sdk.errors import SetupError, UserError
from aesmamba_sdk.profiles.database import Database
from aesmamba_sdk.profiles.migrations import MIGRATIONS, migrate
from aesmamba_sdk.profiles.model_store import ModelStore
from aesmamba_sdk.profiles.rating_store import Rating, RatingStore
from aesmamba_sdk.profiles.tables import MigrationRow, UserRow
from aesmamba_sdk.profiles.users import Users
from aesmamba_sdk.scores import UNIT_SCORES

WRITERS = 10
KNOWN = [migration.__name__ for migration in MIGRATIONS]


def test_an_exception_drops_all_changes_of_its_transaction(database):
    def stop_halfway() -> None:
        with database.write() as session:
            session.add(_row("alice"))
            session.flush()
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        stop_halfway()
    assert Users(database).list() == []


def test_each_migration_is_recorded_once(url, database):
    for opened in (database, Database(url)):
        with opened.read() as session:
            rows = session.scalars(select(MigrationRow)).all()
        assert [(row.number, row.name) for row in rows] == [
            (1, "create_tables"),
            (2, "create_model_files"),
            (3, "create_rated_features"),
        ]


def test_a_failing_migration_leaves_no_table_behind(database):
    def half_done(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE half_done (id INTEGER)"))
        raise RuntimeError("power cut")

    Users(database).add("alice")
    engines = database._reader, database._writer
    with pytest.raises(RuntimeError, match="power cut"):
        migrate(*engines, [*MIGRATIONS, half_done])
    with database.read() as session:
        assert not inspect(session.connection()).has_table("half_done")
        assert len(session.scalars(select(MigrationRow)).all()) == len(KNOWN)
    assert [user.name for user in Users(database).list()] == ["alice"]


def test_a_later_migration_is_applied_to_an_existing_database(database):
    def add_notes(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE notes (id INTEGER)"))

    Users(database).add("alice")
    migrate(database._reader, database._writer, [*MIGRATIONS, add_notes])
    with database.read() as session:
        assert inspect(session.connection()).has_table("notes")
        assert session.scalars(select(MigrationRow.name)).all() == [*KNOWN, "add_notes"]


def test_what_an_earlier_version_kept_stays(database):
    migrate(database._reader, database._writer, MIGRATIONS[:1])
    with Session(database._writer) as session, session.begin():
        session.add(_row("alice"))
    assert [user.name for user in Users(database).list()] == ["alice"]
    model = {"folder": "alice/1", "method": "bayes", "backbone": "b", "shots": 9, "report": {}}
    ModelStore(database).activate("alice", version=1, **model, files={"a.json": b"{}"})
    assert ModelStore(database).files("alice", 1) == {"a.json": b"{}"}


def test_a_database_newer_than_the_package_is_refused(url, database):
    migrate(database._reader, database._writer, [*MIGRATIONS, lambda connection: None])
    with pytest.raises(SetupError, match=r"version 4.*up to 3: update aesmamba-sdk") as caught:
        Users(Database(url)).list()
    assert caught.value.code == "database_newer"


def test_ten_processes_that_write_to_a_fresh_database_at_once_lose_nothing(url):
    # Forks of a server that has imported all, where there are such: ten imports take long.
    context = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
    if os.name == "posix":
        context.set_forkserver_preload([__name__])
    with context.Manager() as manager, ProcessPoolExecutor(WRITERS, mp_context=context) as pool:
        gate = manager.Barrier(WRITERS)
        for job in [pool.submit(_write_much, url, number, gate) for number in range(WRITERS)]:
            job.result()
    database = Database(url)
    users = {user.name: user for user in Users(database).list()}
    assert len(users) == 1 + 3 * WRITERS
    assert {user.ratings for name, user in users.items() if name != "shared"} == {2}
    rated = {rating.photo_id for rating in RatingStore(database).list("shared")}
    assert rated == {f"photo{i}-{n}" for i in range(WRITERS) for n in range(3)}
    assert len(Users(database).history("shared")) == WRITERS
    database.close()


def test_of_two_who_migrate_at_once_one_does_it_and_the_other_waits(url, database):
    def add_notes(connection: Connection) -> None:
        time.sleep(0.1)
        connection.execute(text("CREATE TABLE notes (id INTEGER)"))

    Users(database).add("alice")
    gate = threading.Barrier(2)

    def run(_: int) -> None:
        own = Database(url)
        gate.wait()
        migrate(own._reader, own._writer, [*MIGRATIONS, add_notes])
        own.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, range(2)))
    with database.read() as session:
        assert session.scalars(select(MigrationRow.name)).all() == [*KNOWN, "add_notes"]


def test_threads_share_a_database(database):
    users, gate = Users(database), threading.Barrier(8)

    def add(number: int) -> None:
        gate.wait()
        users.add(f"user{number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(8)))
    assert len(users.list()) == 8


def test_of_two_who_add_one_name_at_once_one_is_told(database):
    users, gate = Users(database), threading.Barrier(2)

    def add(_: int) -> str:
        gate.wait()
        try:
            return users.add("alice").name
        except UserError as error:
            return error.code

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(add, range(2))) == ["alice", "user_exists"]


def _write_much(url: str, number: int, gate: threading.Barrier) -> None:
    """People of its own, and one whom all write to."""
    database = Database(url)
    users, ratings = Users(database), RatingStore(database)
    gate.wait()
    with suppress(UserError):  # all but one are told that she exists
        users.add("shared")
    for n in range(3):
        users.add(f"user{number}-{n}")
        ratings.save(f"user{number}-{n}", [_rating("a"), _rating("b")])
        ratings.save("shared", [_rating(f"photo{number}-{n}")])
    users.set("shared", age=f"as {number} says")
    database.close()


def _rating(photo_id: str) -> Rating:
    return Rating(photo_id, f"{photo_id}.jpg", 3.0, 3.0, UNIT_SCORES)


def _row(name: str) -> UserRow:
    return UserRow(name=name, key=name, created_at=_rating("p").rated_at)
