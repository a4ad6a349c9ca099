"""The profile database opens itself, keeps what is written and says what is wrong with it."""

from __future__ import annotations

import os
import sqlite3
import stat

import pytest
from sqlalchemy import Connection, create_engine, select, text

from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.paths import DATABASE_VARIABLE
from aesmamba_sdk.profiles import database as database_module
from aesmamba_sdk.profiles.database import Database
from aesmamba_sdk.profiles.rating_store import Rating
from aesmamba_sdk.profiles.tables import Base, UserRow
from aesmamba_sdk.profiles.users import Users
from aesmamba_sdk.scores import UNIT_SCORES


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


def test_the_migrations_give_the_tables_that_the_package_declares(database, tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'declared.db'}")
    with engine.begin() as declared, database.read() as session:
        Base.metadata.create_all(declared)
        assert _schema(session.connection()) == _schema(declared)


def test_a_damaged_file_is_named_with_advice(home, database):
    home.mkdir(exist_ok=True)
    (home / "aesmamba.db").write_bytes(b"not a database, but long enough to be read as one" * 99)
    with pytest.raises(SetupError, match=r"aesmamba\.db: .*not a database.*backup") as caught:
        Users(database).list()
    assert caught.value.code == "database"


def test_a_bad_file_may_be_moved_away_while_the_program_runs(home, database):
    users = Users(database)
    users.add("alice")
    with sqlite3.connect(home / "aesmamba.db") as other:
        other.execute("DROP TABLE trait_values")
    with pytest.raises(SetupError, match="trait_values"):
        users.list()
    for file in home.iterdir():
        file.unlink()
    assert users.list() == []


def test_a_closed_database_is_brought_up_to_date_when_it_is_used_again(home, database):
    Users(database).add("alice")
    database.close()
    (home / "aesmamba.db").unlink()
    assert Users(database).list() == []
    assert stat.S_IMODE((home / "aesmamba.db").stat().st_mode) & 0o077 == 0


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


def _rating(photo_id: str) -> Rating:
    return Rating(photo_id, f"{photo_id}.jpg", 3.0, 3.0, UNIT_SCORES)


def _row(name: str) -> UserRow:
    return UserRow(name=name, key=name, created_at=_rating("p").rated_at)


def _schema(connection: Connection) -> dict[str, str]:
    rows = connection.execute(text("SELECT name, sql FROM sqlite_master"))
    return {row.name: row.sql for row in rows}
