"""Personalizing takes its time: jobs, one after another, that can be watched and cancelled."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aesmamba_sdk.personalize.report import PersonalizeReport
from aesmamba_sdk.runs import Run, Runs
from aesmamba_sdk.serve.errors import ApiError, busy
from aesmamba_sdk.serve.settings import Settings

if TYPE_CHECKING:
    from aesmamba_sdk.sdk import AesMamba

_RETRY_SECONDS = 10


@dataclass(frozen=True)
class Job:
    """One run of ``personalize``, asked about by its id.

    Attributes:
        user: whose taste is learned.
        run: how far it is, and what it found.
    """

    user: str
    run: Run[PersonalizeReport]
    id: str = field(default_factory=lambda: secrets.token_hex(8))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; what does not apply yet is null."""
        run, what = self.run, None
        finished_at = run.finished_at  # first: what has finished changes no more
        if run.progress is not None:
            what = dict(zip(("what", "done", "total"), run.progress, strict=True))
        return {
            "id": self.id,
            "user": self.user,
            "state": run.state,
            "progress": what,
            "created_at": run.created_at.isoformat(),
            "finished_at": finished_at and finished_at.isoformat(),
            "report": run.result and run.result.to_dict(),
            "error": run.error and {"code": run.error.code, "message": run.error.message},
        }


class Jobs:
    """Jobs in the order they came; some finished ones are remembered, until the server ends."""

    def __init__(self, sdk: AesMamba, settings: Settings) -> None:
        self._sdk, self._settings = sdk, settings
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._runs = Runs("job", "the server failed; its log says why")

    def start(self, user: str, options: dict[str, Any]) -> Job:
        """Queue a run of ``personalize`` for this user.

        Raises:
            UserNotFoundError: no such user.
            ApiError: too many wait (503).
        """
        name = self._sdk.users.get(user).name
        with self._lock:
            unfinished = sum(not job.run.finished for job in self._jobs.values())
            if unfinished >= self._settings.max_jobs:
                raise busy("too many jobs wait already: try again later", _RETRY_SECONDS)
            run = self._runs.start(
                lambda progress: self._sdk.personalize(name, progress=progress, **options)
            )
            job = Job(name, run)
            self._jobs[job.id] = job
            finished = [other.id for other in self._jobs.values() if other.run.finished]
            for old in finished[: -self._settings.kept_jobs]:
                del self._jobs[old]
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
        job.run.cancel()
        return job

    def forget(self, user: str) -> None:
        """Cancel and forget the jobs of a person, and wait until none runs."""
        doomed = [job for job in self.list() if job.user == user]
        for job in doomed:
            self.cancel(job.id)
        for job in doomed:
            job.run.wait()
        with self._lock:
            for job in doomed:
                self._jobs.pop(job.id, None)

    def close(self) -> None:
        """Cancel all, and wait until none runs."""
        for job in self.list():
            self.cancel(job.id)
        self._runs.close()
