"""Every test of a store runs on SQLite and, where there is a server, on PostgreSQL."""

from __future__ import annotations

import os

import pytest

from aesmamba_sdk.profiles.database import Database

if os.name == "posix":
    from tests import postgresql


@pytest.fixture(scope="session")
def postgresql_server():
    reason = postgresql.missing() if os.name == "posix" else "a server is started on POSIX alone"
    if reason:
        pytest.skip(reason)
    with postgresql.running() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """Of a database that does not exist yet, or is empty."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'aesmamba.db'}"
        return
    with request.getfixturevalue("postgresql_server").database() as url:
        yield url


@pytest.fixture
def database(url):
    database = Database(url)
    yield database
    database.close()
