"""Personalizing takes its time: jobs, one after another, that can be watched and cancelled."""

from __future__ import annotations

import logging
import secrets
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from aesmamba_sdk.errors import AesMambaError
from aesmamba_sdk.scores import ScoreFailure
from aesmamba_sdk.serve.errors import ApiError, busy
from aesmamba_sdk.serve.settings import Settings

if TYPE_CHECKING:
    from aesmamba_sdk.sdk import AesMamba

logger = logging.getLogger(__name__)

State = Literal["queued", "running", "done", "failed", "cancelled"]
_RETRY_SECONDS = 10


class _CancelledError(Exception):
    """Raised inside a job, from its report of progress."""


@dataclass
class Job:
    """One run of ``personalize``.

    Attributes:
        id: by which it is asked about.
        user: whose taste is learned.
        state: how far it is.
        progress: what is under way, how much of it is done, and of how much.
        report: what it found, once done.
        error: why it failed.
    """

    user: str
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    state: State = "queued"
    progress: tuple[str, int, int] | None = None
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    finished_at: datetime | None = None
    report: dict[str, Any] | None = None
    error: ScoreFailure | None = None
    cancelled: threading.Event = field(default_factory=threading.Event, repr=False)
    ran: Future[None] = field(default_factory=Future, repr=False)

    @property
    def finished(self) -> bool:
        return self.finished_at is not None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; what does not apply yet is null."""
        what = None
        if self.progress is not None:
            what = dict(zip(("what", "done", "total"), self.progress, strict=True))
        error = self.error and {"code": self.error.code, "message": self.error.message}
        return {
            "id": self.id,
            "user": self.user,
            "state": self.state,
            "progress": what,
            "created_at": self.created_at.isoformat(),
            "finished_at": self.finished_at and self.finished_at.isoformat(),
            "report": self.report,
            "error": error,
        }


class Jobs:
    """Jobs in the order they came; some finished ones are remembered, until the server ends."""

    def __init__(self, sdk: AesMamba, settings: Settings) -> None:
        self._sdk, self._settings = sdk, settings
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, "job")

    def start(self, user: str, options: dict[str, Any]) -> Job:
        """Queue a run of ``personalize`` for this user.

        Raises:
            UserNotFoundError: no such user.
            ApiError: too many wait (503).
        """
        job = Job(self._sdk.users.get(user).name)
        with self._lock:
            if sum(not other.finished for other in self._jobs.values()) >= self._settings.max_jobs:
                raise busy("too many jobs wait already: try again later", _RETRY_SECONDS)
            self._jobs[job.id] = job
            finished = [other.id for other in self._jobs.values() if other.finished]
            for old in finished[: -self._settings.kept_jobs]:
                del self._jobs[old]
            job.ran = self._pool.submit(self._run, job, options)
        return job

    def get(self, job_id: str) -> Job:
        """Raises :class:`ApiError` (404) where there is no such job."""
        with self._lock:
            job = self._jobs.get(job_id)
        if job is None:
            message = "no such job: it never was, was forgotten, or the server started anew since"
            raise ApiError(404, "job_not_found", message)
        return job

    def list(self) -> list[Job]:
        with self._lock:
            return list(self._jobs.values())

    def cancel(self, job_id: str) -> Job:
        """Stop a job, as soon as it reports its progress; one that has finished stays as it is."""
        job = self.get(job_id)
        job.cancelled.set()
        if job.ran.cancel():
            self._finish(job, "cancelled")
        return job

    def forget(self, user: str) -> None:
        """Cancel and forget the jobs of a person, and wait until none runs."""
        doomed = [job for job in self.list() if job.user == user]
        for job in doomed:
            self.cancel(job.id)
        wait([job.ran for job in doomed])
        with self._lock:
            for job in doomed:
                self._jobs.pop(job.id, None)

    def close(self) -> None:
        """Cancel all, and wait until none runs."""
        for job in self.list():
            self.cancel(job.id)
        self._pool.shutdown()

    def _run(self, job: Job, options: dict[str, Any]) -> None:
        def progress(what: str, done: int, total: int) -> None:
            job.progress = what, done, total
            if job.cancelled.is_set():
                raise _CancelledError

        job.state = "running"
        try:
            report = self._sdk.personalize(job.user, progress=progress, **options)
        except _CancelledError:
            self._finish(job, "cancelled")
        except AesMambaError as error:
            self._finish(job, "failed", error=ScoreFailure(error.code, str(error)))
        except Exception:
            logger.exception("a job failed")
            failure = ScoreFailure("internal", "the server failed; its log says why")
            self._finish(job, "failed", error=failure)
        else:
            self._finish(job, "done", report=report.to_dict())

    def _finish(self, job: Job, state: State, **outcome: Any) -> None:
        with self._lock:
            for name, value in outcome.items():
                setattr(job, name, value)
            job.state, job.finished_at = state, datetime.now(UTC)
