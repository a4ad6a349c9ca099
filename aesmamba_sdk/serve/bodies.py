"""Bounds on what is sent: size and time of a body, and how many are in memory at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.datastructures import Headers, UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aesmamba_sdk.serve.errors import ApiError, busy
from aesmamba_sdk.serve.settings import Settings
from aesmamba_sdk.web.security import error_body

BINARY = "application/octet-stream"


class BodyLimits:
    """Refuses bodies that are too large or too slow, while they arrive."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length) > self._settings.max_body:
            refusal = self._too_large()
            body = error_body(refusal.code, str(refusal.detail))
            await JSONResponse(body, 413, refusal.headers)(scope, receive, send)
            return
        await self._app(scope, self._bounded(receive), send)

    def _bounded(self, receive: Receive) -> Receive:
        deadline = asyncio.get_running_loop().time() + self._settings.body_seconds
        size, arrived = 0, False

        async def bounded() -> Message:
            nonlocal size, arrived
            if arrived:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise self._too_slow() from None
            size += len(message.get("body", b""))
            arrived = not message.get("more_body", False)
            if size > self._settings.max_body:
                raise self._too_large()
            return message

        return bounded

    # The rest of such a body is not waited for: the connection is closed.

    def _too_large(self) -> ApiError:
        message = f"a request may have {self._settings.max_body} bytes at most"
        return ApiError(413, "body_too_large", message, {"Connection": "close"})

    def _too_slow(self) -> ApiError:
        message = f"a request must arrive within {self._settings.body_seconds:g} seconds"
        return ApiError(408, "body_too_slow", message, {"Connection": "close"})


class Slots:
    """How many requests with photos may be under way; the others are told to come again."""

    def __init__(self, most: int) -> None:
        self._most, self._taken = most, 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """One slot for the block; only ever used in the event loop.

        Raises:
            ApiError: all are taken (503, with ``Retry-After``).
        """
        if self._taken >= self._most:
            raise busy(f"{self._most} requests with photos are under way: try again")
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


async def read_photo(request: Request) -> bytes:
    """The bytes of the photo that the body is.

    Raises:
        ApiError: the body says that it is something else.
    """
    kind = request.headers.get("content-type", BINARY).partition(";")[0].strip().lower()
    if kind != BINARY and not kind.startswith("image/"):
        raise ApiError(
            415,
            "unsupported_media_type",
            f"send the photo's bytes as image/jpeg or the like, or as {BINARY}, not {kind}",
        )
    return await request.body()


async def read_photos(request: Request, most: int) -> list[tuple[str, bytes]]:
    """Name and bytes of the photos of a form, each in a part named ``photos``.

    Raises:
        ApiError: the body is no form, or holds no photo, too many or something else.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        message = f"send the photos as multipart/form-data, not {kind or 'without a type'}"
        raise ApiError(415, "unsupported_media_type", message)
    async with request.form(max_files=most, max_fields=0) as form:
        found = []
        for name, part in form.multi_items():
            if name != "photos" or not isinstance(part, UploadFile):
                raise ApiError(422, "invalid_request", f"part {name!r} is no file named photos")
            found.append((part.filename or "", await part.read()))
    if not found:
        raise ApiError(422, "invalid_request", "send at least one photo, in a part named photos")
    return found
