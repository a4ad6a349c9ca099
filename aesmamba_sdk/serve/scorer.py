"""One thread that scores: requests that wait while it works are scored together, as one batch."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aesmamba_sdk.scores import Score
from aesmamba_sdk.serve.errors import busy

if TYPE_CHECKING:
    from aesmamba_sdk.sdk import AesMamba

_BATCH = 16
"""Photos scored together: more would let those who came first wait for those who came last."""


@dataclass(frozen=True)
class Ask:
    """What to say of photos; those of one kind are scored together."""

    user: str | None = None
    attributes: bool = False
    text: str | None = None


@dataclass(frozen=True)
class _Waiting:
    photos: Sequence[bytes]
    ask: Ask
    scores: Future[list[Score]] = field(default_factory=Future)


class Scorer:
    """Scores photos of many requests; the event loop never waits for the model.

    Args:
        sdk: whose ``score_many`` does it.
        seconds: after which a request is given up.
    """

    def __init__(self, sdk: AesMamba, seconds: float) -> None:
        self._sdk, self._seconds = sdk, seconds
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="score", daemon=True)
        self._thread.start()

    async def score(self, photos: Sequence[bytes], ask: Ask) -> list[Score]:
        """Scores in order; photos that cannot be used have an ``error``.

        Raises:
            AesMambaError: as ``score_many`` does.
            ApiError: it took too long (503).
        """
        waiting = _Waiting(photos, ask)
        self._waiting.put(waiting)
        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.wrap_future(waiting.scores)
        except TimeoutError:
            raise busy(f"not scored within {self._seconds:g} seconds: try again", 10) from None

    def close(self) -> None:
        """Score what waits, then end."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch, closing = self._more(first)
            groups: dict[Ask, list[_Waiting]] = {}
            for waiting in batch:
                if waiting.scores.set_running_or_notify_cancel():
                    groups.setdefault(waiting.ask, []).append(waiting)
            for ask, group in groups.items():
                self._score(ask, group)
            if closing:
                return

    def _more(self, first: _Waiting) -> tuple[list[_Waiting], bool]:
        """What waits already, up to a batch, and whether the end was among it."""
        batch, photos = [first], len(first.photos)
        while photos < _BATCH:
            try:
                waiting = self._waiting.get_nowait()
            except queue.Empty:
                break
            if waiting is None:
                return batch, True
            batch.append(waiting)
            photos += len(waiting.photos)
        return batch, False

    def _score(self, ask: Ask, group: list[_Waiting]) -> None:
        photos = [photo for waiting in group for photo in waiting.photos]
        try:
            scores = iter(list(self._sdk.score_many(photos, **vars(ask))))
        except Exception as error:  # whatever it is, those who wait must be told
            for waiting in group:
                waiting.scores.set_exception(error)
            return
        for waiting in group:
            waiting.scores.set_result([next(scores) for _ in waiting.photos])
