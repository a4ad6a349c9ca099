"""The application: routes over one shared SDK, and the doors in front of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI, Security
from fastapi.security import HTTPBearer
from starlette.types import ASGIApp

from aesmamba_sdk import __version__
from aesmamba_sdk.serve.answers import AnyText
from aesmamba_sdk.serve.bodies import BodyLimits, Slots
from aesmamba_sdk.serve.errors import add_error_handlers
from aesmamba_sdk.serve.jobs import Jobs
from aesmamba_sdk.serve.logs import RequestLog
from aesmamba_sdk.serve.people import people_routes
from aesmamba_sdk.serve.photos import health_routes, photo_routes
from aesmamba_sdk.serve.scorer import Scorer
from aesmamba_sdk.serve.settings import PREFIX, Settings
from aesmamba_sdk.web.security import LOOPBACK_NAMES, Guard

if TYPE_CHECKING:
    from aesmamba_sdk.sdk import AesMamba

OPEN_PATHS = frozenset({f"{PREFIX}/health", "/openapi.json"})
"""What needs no token: neither tells anything of anyone."""

_DESCRIPTION = """Scores photos for everyone and for one person, and learns a person's taste.

Every request but `/v1/health` and this description carries `Authorization: Bearer TOKEN`. Errors
have one shape, `{"error": {"code", "message"}}`, with the codes of the Python SDK."""


def create_app(
    sdk: AesMamba,
    *,
    token: str | None,
    hosts: Collection[str] | None = LOOPBACK_NAMES,
    settings: Settings | None = None,
) -> ASGIApp:
    """An ASGI application; ``sdk`` stays the caller's, who closes it.

    Args:
        sdk: what answers.
        token: that requests must bring; ``None`` lets everyone in.
        hosts: names by which the server may be called; ``None``: by any.
        settings: bounds of what requests may cost.
    """
    settings = settings or Settings()
    return RequestLog(
        Guard(
            BodyLimits(_routes(sdk, settings, secured=token is not None), settings),
            token=token,
            hosts=hosts,
            open_paths=OPEN_PATHS,
        )
    )


def _routes(sdk: AesMamba, settings: Settings, *, secured: bool) -> FastAPI:
    scorer, jobs = Scorer(sdk, settings.score_seconds), Jobs(sdk, settings)
    slots = Slots(settings.concurrency)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(jobs.close)
        await asyncio.to_thread(scorer.close)

    app = FastAPI(
        title="aesmamba",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        default_response_class=AnyText,
        # The usual pages to look at a description load their scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
    )
    add_error_handlers(app)
    # The token is asked for by the guard, before a body is read; here it is only described.
    described = [Security(HTTPBearer(auto_error=False))] if secured else []
    for router in (photo_routes(sdk, scorer, slots, settings), people_routes(sdk, jobs, slots)):
        app.include_router(router, dependencies=described)
    app.include_router(health_routes())
    return app
