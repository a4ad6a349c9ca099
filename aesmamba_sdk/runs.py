"""What takes its time: how those who wait are told, and runs on another thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic, Literal, TypeVar

from aesmamba_sdk.errors import AesMambaError
from aesmamba_sdk.scores import ScoreFailure

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""Told what is under way (``"photos"``, ``"training"``), how much is done, and of how much."""
State = Literal["queued", "running", "done", "failed", "cancelled"]
T = TypeVar("T")


class _CancelledError(Exception):
    """Raised inside a run, from its report of progress."""


@dataclass
class Run(Generic[T]):
    """Something under way on another thread; what is read of it may be a moment old.

    Attributes:
        state: how far it is.
        progress: what is under way, how much of it is done, and of how much (0: not known).
        result: what came of it, once done.
        error: why it failed.
        created_at, finished_at: when it was asked for and when it ended, in any way.
    """

    state: State = "queued"
    progress: tuple[str, int, int] | None = None
    result: T | None = None
    error: ScoreFailure | None = None
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    finished_at: datetime | None = None
    _cancelled: threading.Event = field(default_factory=threading.Event, repr=False)
    _future: Future[None] = field(default_factory=Future, repr=False)

    @property
    def finished(self) -> bool:
        return self.finished_at is not None

    def cancel(self) -> None:
        """Stop as soon as progress is reported; a run that has finished stays as it is."""
        self._cancelled.set()
        if self._future.cancel() and not self.finished:
            self._finish("cancelled")

    def wait(self) -> None:
        """Until it has ended, in any way."""
        if not self.finished:
            wait([self._future])

    def _work(self, work: Callable[[Progress], T], unexpected: str) -> None:
        def progress(what: str, done: int, total: int) -> None:
            self.progress = what, done, total
            if self._cancelled.is_set():
                raise _CancelledError

        self.state = "running"
        try:
            self.result = work(progress)
        except _CancelledError:
            self._finish("cancelled")
        except AesMambaError as error:
            self._finish("failed", ScoreFailure(error.code, str(error)))
        except Exception:
            logger.exception("a run failed")
            self._finish("failed", ScoreFailure("internal", unexpected))
        else:
            self._finish("done")

    def _finish(self, state: State, error: ScoreFailure | None = None) -> None:
        # In this order: whoever sees that it has finished sees everything else as well.
        self.error, self.state = error, state
        self.finished_at = datetime.now(UTC)


class Runs:
    """Runs on one thread, one after another.

    Args:
        name: of the thread.
        unexpected: what a run that failed for a reason of ours says; the log has the rest.
    """

    def __init__(self, name: str, unexpected: str) -> None:
        self._pool, self._unexpected = ThreadPoolExecutor(1, name), unexpected

    def start(self, work: Callable[[Progress], T]) -> Run[T]:
        """Queue ``work``, which is given what to tell its progress to."""
        run: Run[T] = Run()
        run._future = self._pool.submit(run._work, work, self._unexpected)
        return run

    def close(self) -> None:
        """Wait until all have ended."""
        self._pool.shutdown()
