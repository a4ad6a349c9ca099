"""What a server allows: bounds on what one request, and all together, may cost."""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "/v1"
"""Of all routes; another one, should they ever change."""


@dataclass(frozen=True)
class Settings:
    """Bounds of a server.

    Attributes:
        max_body: bytes of one request.
        max_photos: photos of one request.
        concurrency: requests with photos at once; all their photos are held in memory.
        body_seconds: within which a request must have arrived.
        score_seconds: within which its photos must have been scored.
        max_jobs: jobs that wait or run.
        kept_jobs: finished jobs that can still be asked about.
    """

    max_body: int = 64 * 2**20
    max_photos: int = 64
    concurrency: int = 16
    body_seconds: float = 60.0
    score_seconds: float = 60.0
    max_jobs: int = 16
    kept_jobs: int = 100
