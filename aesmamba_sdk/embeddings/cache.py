"""The cache of image features: a disposable SQLite file, by photo and encoder.

It holds no personal data beyond file names and may be deleted at any time. Two tables: what a
file held when it was last seen, and the features of a photo, whatever file it is in. A file is
known again by its path, size, time and number on the disk; renamed, by the latter three where
no file was seen under its new name; copied, by a fingerprint of its bytes.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.paths import HOME_VARIABLE, ensure_private
from aesmamba_sdk.photos import FileVersion, photo_version
from aesmamba_sdk.sqlite import in_parts

logger = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL, fingerprint BLOB, photo_id TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS files_by_inode ON files (inode);
CREATE INDEX IF NOT EXISTS files_by_fingerprint ON files (fingerprint);
CREATE TABLE IF NOT EXISTS features (
    photo_id TEXT NOT NULL, encoder TEXT NOT NULL, vector BLOB NOT NULL,
    PRIMARY KEY (photo_id, encoder)
);
"""
_SCHEMA_VERSION = 2

T = TypeVar("T")
Feature = NDArray[np.float32]
Known = tuple[str, Feature]
"""A photo id and the photo's feature, float32 (d,)."""


class Seen(NamedTuple):
    """What a file held.

    Attributes:
        path: of the file.
        version: taken before it was read, so that a change meanwhile is noticed the next time.
        photo_id: of the photo in it.
        fingerprint: of its bytes, where it has one.
    """

    path: str
    version: FileVersion
    photo_id: str
    fingerprint: bytes | None = None


class EmbeddingCache:
    """Features by photo and encoder, and the photos last seen in files.

    Args:
        file: created on first use; a damaged one is started anew, since all of it can be
            computed again.

    Raises:
        SetupError: the file cannot be created or opened.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._was_open = False

    def photo_ids(self, paths: Sequence[str]) -> dict[str, str]:
        """Photo ids of those paths whose files were seen before, here or under another name."""
        keys = _keys(paths)
        query = "SELECT path, size, mtime_ns, inode, photo_id FROM files WHERE path IN ({})"
        rows = self._select(query, list(keys))
        known = {keys[row[0]]: row[4] for row in rows if _unchanged(*row[:4])}
        seen = {keys[row[0]] for row in rows}
        return known | self._renamed([path for path in paths if path not in seen])

    def known(self, paths: Sequence[str], encoder: str) -> dict[str, Known]:
        """As :meth:`photo_ids` and :meth:`features` of these; what has none is left out."""
        keys = _keys(paths)
        query = (
            "SELECT path, size, mtime_ns, inode, seen.photo_id, vector "
            "FROM (SELECT * FROM files WHERE path IN ({})) AS seen "
            "LEFT JOIN features ON features.photo_id = seen.photo_id AND encoder = ?"
        )
        known: dict[str, Known] = {}
        seen: set[str] = set()
        for key, *version, photo_id, vector in self._select(query, list(keys), encoder):
            seen.add(keys[key])
            if vector is not None and _unchanged(key, *version):
                known[keys[key]] = (photo_id, np.frombuffer(vector, np.float32))
        if len(seen) < len(paths):
            ids = self._renamed([path for path in paths if path not in seen])
            features = self.features(ids.values(), encoder)
            known |= {p: (i, features[i]) for p, i in ids.items() if i in features}
        return known

    def copy_of(self, fingerprint: bytes, encoder: str) -> Known | None:
        """A photo with a feature that was seen in a file of the same bytes."""
        query = (
            "SELECT photo_id, vector FROM files JOIN features USING (photo_id) "
            "WHERE fingerprint IN ({}) AND encoder = ? LIMIT 1"
        )
        rows = self._select(query, [fingerprint], encoder)
        return next(((photo_id, np.frombuffer(v, np.float32)) for photo_id, v in rows), None)

    def _renamed(self, paths: Sequence[str]) -> dict[str, str]:
        """Photo ids of files that were seen under another name; they are noted under the new.

        Only of names that are new: where a disk numbers its files anew at each mount, a known one
        may have got the number of another that is as large and as old, like the next of a burst.
        """
        if not paths:
            return {}
        versions = {path: photo_version(path) for path in paths}
        inodes = {version.inode for version in versions.values() if version and version.inode}
        query = "SELECT size, mtime_ns, inode, fingerprint, photo_id FROM files WHERE inode IN ({})"
        rows = {FileVersion(*row[:3]): row[3:] for row in self._select(query, list(inodes))}
        found = [
            Seen(path, version, rows[version][1], rows[version][0])
            for path, version in versions.items()
            if version is not None and version in rows
        ]
        if found:
            self.remember("", {}, found)
        return {seen.path: seen.photo_id for seen in found}

    def features(self, photo_ids: Iterable[str], encoder: str) -> dict[str, Feature]:
        """Cached features, float32 (d,), by photo id."""
        rows = self._select(
            "SELECT photo_id, vector FROM features WHERE photo_id IN ({}) AND encoder = ?",
            list(dict.fromkeys(photo_ids)),
            encoder,
        )
        return {photo_id: np.frombuffer(vector, np.float32) for photo_id, vector in rows}

    def remember(
        self,
        encoder: str,
        features: Mapping[str, Feature],
        seen: Iterable[Seen] = (),
    ) -> None:
        """Store features by photo id, and what files held."""
        vectors = [
            (photo_id, encoder, np.ascontiguousarray(v, np.float32).tobytes())
            for photo_id, v in features.items()
        ]
        files = [(_key(s.path), *s.version, s.fingerprint, s.photo_id) for s in seen]

        def write(connection: sqlite3.Connection) -> None:
            with connection:
                connection.executemany(
                    "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", files
                )
                connection.executemany("INSERT OR REPLACE INTO features VALUES (?, ?, ?)", vectors)

        self._run(write)

    def close(self) -> None:
        with self._lock:
            self._disconnect()

    def _select(self, query: str, keys: Sequence[str | bytes | int], *more: str) -> list[Any]:
        def read(connection: sqlite3.Connection) -> list[Any]:
            rows: list[Any] = []
            for part in in_parts(keys):
                marks = ",".join("?" * len(part))
                rows += connection.execute(query.format(marks), (*part, *more))
            return rows

        return self._run(read)

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do some work on the one connection, with no other thread on it.

        Where the file turns out to be damaged, the work is done once more on a new one.
        """
        with self._lock, self._usable():
            try:
                return work(self._connected())
            except sqlite3.DatabaseError as error:
                if type(error) is not sqlite3.DatabaseError:  # its subclasses mean other trouble
                    raise
                self._start_anew()
                return work(self._connected())

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:
            self._disconnect()  # the disk may have gone: what comes back is another file
            raise SetupError(
                f"the embedding cache {self.file} cannot be used: {error}. Free some space, delete "
                f"the file, which is only a cache, or set {HOME_VARIABLE} to a folder you can "
                "write to.",
                code="cache_unusable",
            ) from error

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            if self._was_open:  # where a disk has gone, no other home takes its place
                self.file.parent.parent.stat()
            ensure_private(self.file.parent)
            _remove_orphans(self.file)
            self._connection = _prepared(self.file)
            self._was_open = True
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _start_anew(self) -> None:
        logger.warning("the embedding cache %s is damaged; starting a new one", self.file)
        self._disconnect()
        for there in (self.file, *_logs(self.file)):
            there.unlink(missing_ok=True)


def _keys(paths: Iterable[str]) -> dict[bytes, str]:
    """Paths by their keys, without those that no file can have."""
    keys: dict[bytes, str] = {}
    for path in paths:
        try:
            keys[_key(path)] = path
        except UnicodeEncodeError:  # half a letter, as other programs' JSON may hold it
            continue
        except FileNotFoundError:  # the working folder has gone, and with it what is named in it
            continue
    return keys


def _key(path: str) -> bytes:
    """The absolute path as bytes: a file name need not be valid text."""
    return os.fsencode(path if os.path.isabs(path) else Path(path).absolute())  # noqa: PTH117 -- hot


def _unchanged(path: bytes, size: int, mtime_ns: int, inode: int) -> bool:
    version = photo_version(path)
    if version is None or version.size != size or version.mtime_ns != mtime_ns:
        return False
    # Programs that put a new file in the old one's place may give it the old one's time.
    return version.inode == inode or not (version.inode and inode)


def _logs(file: Path) -> list[Path]:
    """What SQLite keeps beside a database."""
    return [Path(f"{file}{suffix}") for suffix in ("-wal", "-shm")]


def _remove_orphans(file: Path) -> None:
    """Logs of a file that was deleted: a program that still has it open would lock others out."""
    logs = [log for log in _logs(file) if log.exists()]
    if not file.exists():  # looked for last: a file is there before its logs
        for log in logs:
            log.unlink(missing_ok=True)


def _prepared(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=10.0, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # A crash of the machine may lose the newest features, never the file's consistency.
        connection.execute("PRAGMA synchronous = NORMAL")
        if connection.execute("PRAGMA user_version").fetchone()[0] != _SCHEMA_VERSION:
            connection.execute("DROP TABLE IF EXISTS files")  # the features still hold
        connection.executescript(f"{_SCHEMA}PRAGMA user_version = {_SCHEMA_VERSION};")
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection
