"""A PostgreSQL server for the tests: one that a URL names, or one of Debian's binaries."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, make_url, text

from tests.shared import shared_folder

URL_VARIABLE = "AESMAMBA_TEST_POSTGRESQL"
_ROLE = "aesmamba"
_SECONDS = 60
_SETTINGS = {
    # Reached through a file in a folder of its own: no port that could be taken.
    "listen_addresses": "",
    "max_connections": "60",
    # Nothing has to outlive the tests.
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
}


class Server:
    """Hands out databases of their own."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url).set(drivername="postgresql+psycopg")
        self._engine = create_engine(self._url, isolation_level="AUTOCOMMIT")
        self._numbers = count(1)

    @contextmanager
    def database(self) -> Iterator[str]:
        """URL of an empty database, which is dropped after the block."""
        name = f"aesmamba_test_{os.getpid()}_{next(self._numbers)}"
        self._do(f"CREATE DATABASE {name}")
        try:
            yield self._url.set(database=name).render_as_string(hide_password=False)
        finally:
            self._do(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _do(self, statement: str) -> None:
        with self._engine.connect() as connection:
            connection.execute(text(statement))


def missing() -> str | None:
    """Why there is no server to test with; ``None`` where there is one."""
    if os.environ.get(URL_VARIABLE):
        return None
    if _binaries() is None:
        return f"no PostgreSQL: install Debian's postgresql, or name a server in {URL_VARIABLE}"
    if os.geteuid() == 0 and not _unprivileged():
        return "PostgreSQL refuses to run as root, and there is no other user to run it"
    if os.geteuid() == 0 and shared_folder() is None:
        return "PostgreSQL refuses to run as root, and no other user can reach temporary files"
    return None


@contextmanager
def running() -> Iterator[Server]:
    """A server: the one that the environment names, or one that ends with the block."""
    url = os.environ.get(URL_VARIABLE)
    if url:
        yield Server(url)
        return
    binaries = _binaries()
    assert binaries is not None
    # Not below pytest's folders, which no other user may enter.
    place = Path(tempfile.mkdtemp(prefix="aesmamba-postgresql-", dir=shared_folder()))
    user = _unprivileged() if os.geteuid() == 0 else {}
    try:
        if user:
            os.chown(place, user["user"], user["group"])
        _run(binaries / "initdb", "-D", place / "data", "-U", _ROLE, *_NEW, **user)
        settings = {**_SETTINGS, "unix_socket_directories": str(place)}
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        control = binaries / "pg_ctl", "-D", place / "data", "-w"
        _run(*control, "-l", place / "log", "-o", options, "start", **user)
        try:
            yield Server(f"postgresql://{_ROLE}@/postgres?host={place}")
        finally:
            _run(*control, "-m", "immediate", "stop", **user)
    finally:
        shutil.rmtree(place, ignore_errors=True)


_NEW = ("--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync")


def _run(*command: object, **user: int) -> None:
    # To a file: the server keeps what it inherits, and a pipe would never end.
    with tempfile.TemporaryFile() as said:
        done = subprocess.run(
            list(map(str, command)),
            stdout=said,
            stderr=said,
            cwd="/",
            timeout=_SECONDS,
            check=False,
            **_as(user),
        )
        said.seek(0)
        assert done.returncode == 0, said.read().decode(errors="replace")


def _as(user: Mapping[str, int]) -> dict[str, Any]:
    return {**user, "extra_groups": []} if user else {}


def _binaries() -> Path | None:
    """Folder of the newest server's programs."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    folders = [p.parent for p in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(folders, key=lambda p: int(re.sub(r"\D", "", p.parent.name) or 0), default=None)


def _unprivileged() -> dict[str, int]:
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid}
    return {}
