"""The profile database opens itself, keeps what is written and says what is wrong with it."""

from __future__ import annotations

import multiprocessing
import os
import stat
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, delete, inspect, select, text

from aesmamba_sdk.errors import SetupError, UserError
from aesmamba_sdk.paths import DATABASE_VARIABLE
from aesmamba_sdk.profiles import database as database_module
from aesmamba_sdk.profiles.database import Database
from aesmamba_sdk.profiles.migrations import MIGRATIONS, migrate
from aesmamba_sdk.profiles.model_store import ModelStore
from aesmamba_sdk.profiles.rating_store import Rating, RatingStore
from aesmamba_sdk.profiles.tables import Base, MigrationRow, UserRow
from aesmamba_sdk.profiles.users import Users
from aesmamba_sdk.scores import UNIT_SCORES

POSTGRESQL = os.environ.get("AESMAMBA_TEST_POSTGRESQL")


@pytest.fixture(autouse=True)
def _no_override(monkeypatch):
    monkeypatch.delenv(DATABASE_VARIABLE, raising=False)


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def database(home):
    database = Database.open(home)
    yield database
    database.close()


def test_nothing_is_opened_before_the_first_use(home, database):
    assert not (home / "aesmamba.db").exists()
    assert Users(database).list() == []
    assert (home / "aesmamba.db").exists()


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
def test_only_the_owner_can_read_the_files(home, database):
    Users(database).add("alice")
    files = sorted(home.iterdir())
    assert [file.name for file in files] == ["aesmamba.db", "aesmamba.db-shm", "aesmamba.db-wal"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_sqlite_checks_foreign_keys_and_lets_readers_and_a_writer_work_at_once(database):
    with database.read() as session:
        assert session.scalar(text("PRAGMA journal_mode")) == "wal"
        assert session.scalar(text("PRAGMA foreign_keys")) == 1
        assert session.scalar(text("PRAGMA busy_timeout")) == 10_000
    with database.write() as writer:
        writer.add(_row("alice"))
        writer.flush()
        with database.read() as reader:
            assert reader.scalars(select(UserRow)).all() == []


def test_an_exception_drops_all_changes_of_its_transaction(database):
    def stop_halfway() -> None:
        with database.write() as session:
            session.add(_row("alice"))
            session.flush()
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        stop_halfway()
    assert Users(database).list() == []


def test_the_migrations_give_the_tables_that_the_package_declares(database, tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'declared.db'}")
    with engine.begin() as declared, database.read() as session:
        Base.metadata.create_all(declared)
        assert _schema(session.connection()) == _schema(declared)


def test_each_migration_is_recorded_once(home, database):
    for opened in (database, Database.open(home)):
        with opened.read() as session:
            rows = session.scalars(select(MigrationRow)).all()
        assert [(row.number, row.name) for row in rows] == [(1, "create_tables")]


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
        assert len(session.scalars(select(MigrationRow)).all()) == 1
    assert [user.name for user in Users(database).list()] == ["alice"]


def test_a_later_migration_is_applied_to_an_existing_database(database):
    def add_notes(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE notes (id INTEGER)"))

    Users(database).add("alice")
    migrate(database._reader, database._writer, [*MIGRATIONS, add_notes])
    with database.read() as session:
        assert inspect(session.connection()).has_table("notes")
        assert session.scalars(select(MigrationRow.name)).all() == ["create_tables", "add_notes"]


def test_a_database_newer_than_the_package_is_refused(home, database):
    migrate(database._reader, database._writer, [*MIGRATIONS, lambda connection: None])
    with pytest.raises(SetupError, match=r"version 2.*up to 1: update aesmamba-sdk") as caught:
        Users(Database.open(home)).list()
    assert caught.value.code == "database_newer"


def test_processes_that_open_a_fresh_database_at_once_lose_nothing(home):
    spawn = multiprocessing.get_context("spawn")
    with spawn.Manager() as manager, ProcessPoolExecutor(2, mp_context=spawn) as pool:
        gate = manager.Barrier(2)
        jobs = [pool.submit(_add_many, home, prefix, gate) for prefix in ("a", "b")]
        for job in jobs:
            job.result()
    users = Users(Database.open(home)).list()
    assert [user.name for user in users] == [f"{p}{n:02}" for p in "ab" for n in range(20)]
    assert {user.ratings for user in users} == {3}


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


def test_a_damaged_file_is_named_with_advice(home, database):
    home.mkdir(exist_ok=True)
    (home / "aesmamba.db").write_bytes(b"not a database, but long enough to be read as one" * 99)
    with pytest.raises(SetupError, match=r"aesmamba\.db: .*not a database.*backup") as caught:
        Users(database).list()
    assert caught.value.code == "database"


def test_a_locked_file_is_named_with_advice(home, database, monkeypatch):
    Users(database).add("alice")
    monkeypatch.setattr(database_module, "BUSY_SECONDS", 0.05)
    with (
        database.write(),
        pytest.raises(SetupError, match=r"aesmamba\.db: .*locked.*try again") as caught,
    ):
        Users(Database.open(home)).add("bob")
    assert caught.value.code == "database"


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(SetupError, match=r"nowhere.*No such file.*AESMAMBA_DATABASE_URL"):
        Users(Database(f"sqlite:///{tmp_path / 'nowhere' / 'x.db'}")).list()


def test_the_environment_names_another_database(home, tmp_path, monkeypatch):
    monkeypatch.setenv(DATABASE_VARIABLE, f"sqlite:///{tmp_path / 'other.db'}")
    Users(Database.open(home)).add("alice")
    assert (tmp_path / "other.db").exists()
    assert not (home / "aesmamba.db").exists()


def test_passwords_are_never_shown():
    database = Database("postgresql://ann:secret@127.0.0.1:1/photos")
    assert database.url == "postgresql+psycopg://ann:***@127.0.0.1:1/photos"
    with pytest.raises(SetupError, match=r"ann:\*\*\*@") as caught:
        Users(database).list()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("my photos", "cannot be understood"),
        ("mysql://ann:secret@host/photos", r"mysql://ann:\*\*\*@host/photos is neither"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_urls_of_nothing_usable_are_refused(url, message):
    with pytest.raises(SetupError, match=message) as caught:
        Database(url)
    assert caught.value.code == "database"


@pytest.mark.skipif(
    not POSTGRESQL, reason="AESMAMBA_TEST_POSTGRESQL names no PostgreSQL database to test with"
)
def test_postgresql_serves_as_well():
    database = Database(POSTGRESQL or "")
    users, ratings, models = Users(database), RatingStore(database), ModelStore(database)
    with database.write() as session:
        session.execute(delete(UserRow).where(UserRow.name.in_(["alice", "bob"])))
    users.add("alice", openness=4, sentences=["I love fog."])
    ratings.save("alice", [_rating("p1"), _rating("p2"), _rating("p1")])
    exported = users.export("alice")
    assert users.import_(exported, name="bob").ratings == 2
    assert users.export("bob") == exported | {"name": "bob"}
    with pytest.raises(UserError, match="exists already"):
        users.add("Alice")
    assert users.set("alice", openness=None).traits.openness is None
    trained = {"method": "ridge", "backbone": "abc", "shots": 10, "report": {"gain": 0.1}}
    for version in (1, 2):
        models.activate("alice", version=version, folder=f"alice/{version}", **trained)
    assert models.use("alice", 1) == users.get("alice").model
    assert ratings.remove("alice", ["p1", "unrated"]) == 1
    assert (users.remove("alice"), users.remove("bob")) == (["alice/1", "alice/2"], [])
    database.close()


def _add_many(home: Path, prefix: str, gate: threading.Barrier) -> None:
    database = Database.open(home)
    users, ratings = Users(database), RatingStore(database)
    gate.wait()
    for number in range(20):
        users.add(f"{prefix}{number:02}")
        ratings.save(f"{prefix}{number:02}", [_rating(f"photo{n}") for n in range(3)])


def _rating(photo_id: str) -> Rating:
    return Rating(photo_id, f"{photo_id}.jpg", 3.0, 3.0, UNIT_SCORES)


def _row(name: str) -> UserRow:
    return UserRow(name=name, key=name, created_at=_rating("p").rated_at)


def _schema(connection: Connection) -> dict[str, str]:
    rows = connection.execute(text("SELECT name, sql FROM sqlite_master"))
    return {row.name: row.sql for row in rows}
