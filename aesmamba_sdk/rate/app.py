"""The page's server: the session over HTTP, under a secret path, for this computer alone."""

from __future__ import annotations

import io
import threading
from functools import lru_cache
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aesmamba_sdk.errors import AesMambaError
from aesmamba_sdk.pages.assets import joined, read_asset
from aesmamba_sdk.pages.names import common_folder, name_below
from aesmamba_sdk.paths import printable
from aesmamba_sdk.personalize.report import PersonalizeReport
from aesmamba_sdk.photos import load_image
from aesmamba_sdk.rate.session import OFFERED, Learned, RatingSession
from aesmamba_sdk.runs import Run
from aesmamba_sdk.web.security import Guard, error_body

SIDES = {"large": 1600, "small": 320}
"""Longest side in pixels of a photo on its own, and among others."""
STYLES = ("base.css", "sheet.css", "rate.css")
SCRIPTS = ("dom.js", "theme.js", "sheet.js", "rate-server.js", "ranking.js", "rate.js")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_KEPT_PICTURES = 64

Size = Literal["large", "small"]
Stars = Annotated[int, Body(embed=True, ge=1, le=5, strict=True)]


def rating_app(session: RatingSession, token: str) -> ASGIApp:
    """The application, to be served on a loopback address.

    Args:
        session: what is rated.
        token: first part of every path; without it nothing is answered.
    """
    app = FastAPI(title="aesmamba rate", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(_page(), prefix=f"/{token}")
    app.include_router(_ratings(session), prefix=f"/{token}")
    app.include_router(_learning(session), prefix=f"/{token}")
    app.add_exception_handler(AesMambaError, _explain_error)
    app.add_exception_handler(IndexError, _explain_missing)
    return _Sealed(Guard(app, token=token, given=_first_part, refuse=_refuse))


class _Sealed:
    """Answers that no other page can read or frame, and that are not kept unless they say so."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, sealed)


def _page() -> APIRouter:
    router = APIRouter()

    @router.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse(read_asset("rate.html"))

    @router.get("/page.css")
    def styles() -> Response:
        return Response(joined(*STYLES), media_type="text/css")

    @router.get("/page.js")
    def script() -> Response:
        return Response(joined(*SCRIPTS), media_type="text/javascript")

    return router


def _ratings(session: RatingSession) -> APIRouter:
    router = APIRouter()
    folder, decoding = common_folder(session.photos), threading.Lock()
    names = [printable(name_below(folder, path)) for path in session.photos]

    @lru_cache(maxsize=_KEPT_PICTURES)
    def picture(photo: int, size: Size) -> bytes:
        data = io.BytesIO()
        with decoding:  # one at a time: originals may be large
            load_image(session.path(photo), SIDES[size]).save(data, "JPEG", quality=88)
        return data.getvalue()

    @router.get("/state")
    def state() -> dict[str, Any]:
        """All that the page needs to begin, or to go on after it was closed."""
        return {
            "user": session.user,
            "names": names,
            "offered": session.offered(),
            "goal": OFFERED,
            "ratings": session.ratings(),
            "rated": session.rated(),
            "failed": [printable(failure.message) for failure in session.failures],
        }

    @router.post("/offer")
    def offer(known: Annotated[int, Body(embed=True, ge=0)]) -> dict[str, Any]:
        return {"offered": session.offer(known)}

    @router.get("/photo/{photo}/{size}")
    def photo(photo: int, size: Size) -> Response:
        kept = {"Cache-Control": "private, max-age=3600"}
        return Response(picture(photo, size), media_type="image/jpeg", headers=kept)

    @router.put("/rating/{photo}")
    def rate(photo: int, score: Stars) -> dict[str, Any]:
        session.rate(photo, score)
        return {"rated": session.rated()}

    @router.delete("/rating/{photo}")
    def forget(photo: int) -> dict[str, Any]:
        session.forget(photo)
        return {"rated": session.rated()}

    return router


def _learning(session: RatingSession) -> APIRouter:
    router = APIRouter()

    @router.post("/learning", status_code=202)
    def learn() -> dict[str, Any]:
        session.learn()
        return _told(session.learning)

    @router.get("/learning")
    def learning() -> dict[str, Any]:
        return _told(session.learning)

    return router


def _told(learning: Run[Learned] | None) -> dict[str, Any]:
    """As the page reads it, which knows no queue: there is never more than one run."""
    if learning is None:
        return {"state": "idle"}
    if not learning.finished:
        return {"state": "running", "progress": learning.progress}
    error, learned = learning.error, learning.result
    told: dict[str, Any] = {"state": learning.state}
    if error is not None:
        told["error"] = {"code": error.code, "message": printable(error.message)}
    if learned is not None:
        told["report"] = _printed(learned.report)
        told["personalBefore"] = learned.personal_before
        told["ranking"] = [[photo.photo, photo.before, photo.after] for photo in learned.ranking]
    return told


def _printed(report: PersonalizeReport) -> dict[str, Any]:
    """As JSON for a page: texts may name files whose names are no text."""
    return report.to_dict() | {
        name: [printable(text) for text in getattr(report, name)] for name in ("problems", "notes")
    }


def _first_part(connection: HTTPConnection) -> str:
    return str(connection.scope["path"]).split("/")[1]


def _refuse(status: int, code: str, message: str) -> Response:
    if code == "unauthorized":
        message = "Open the address that `aesmamba rate` printed: it ends in a secret."
    return PlainTextResponse(message, status)


def _explain_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AesMambaError)
    return JSONResponse(error_body(error.code, printable(str(error))), 409)


def _explain_missing(request: Request, error: Exception) -> Response:
    return JSONResponse(error_body("no_such_photo", str(error)), 404)
