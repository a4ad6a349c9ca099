"""One process at a time: a lock that whoever is killed gives back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from aesmamba_sdk.errors import SetupError


@contextmanager
def alone(lock: Path, busy: str | None = None) -> Iterator[None]:
    """Let nobody else into a block under the same lock.

    Args:
        lock: a file, made if need be, that stays where it is.
        busy: what to say where somebody is in it; by default wait until they are out.

    Raises:
        SetupError: somebody is in it, and not to be waited for.
    """
    with lock.open("ab") as stream:
        if not _take(stream, wait=busy is None):
            raise SetupError(busy or "")
        yield


def _take(stream: BinaryIO, *, wait: bool) -> bool:
    """Whether the lock is ours now; it is given back when the file is closed."""
    if sys.platform == "win32":
        import msvcrt

        while True:
            with suppress(OSError):  # waiting gives up after ten seconds
                msvcrt.locking(stream.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
                return True
            if not wait:
                return False
    else:
        import fcntl

        try:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True
