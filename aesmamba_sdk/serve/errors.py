"""The SDK's errors, and those of HTTP, in one JSON shape with the status that fits."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from aesmamba_sdk.errors import (
    AesMambaError,
    CheckpointError,
    PersonalizeError,
    PhotoError,
    RatingsError,
    SetupError,
    UserError,
    UserNotFoundError,
)
from aesmamba_sdk.serve.answers import AnyText
from aesmamba_sdk.web.security import error_body

logger = logging.getLogger(__name__)

_BY_CODE = {
    "no_captions": 422,
    "photo_too_large": 413,
    "user_exists": 409,
    "rating_not_found": 404,
}
_BY_CLASS: tuple[tuple[type[AesMambaError], int], ...] = (
    (UserNotFoundError, 404),
    (UserError, 422),
    (PhotoError, 422),
    (RatingsError, 422),
    (PersonalizeError, 409),  # the user's model is damaged, or another backbone's
    (CheckpointError, 500),
    (SetupError, 503),  # the database or the cache cannot be reached
)
_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
    422: "invalid_request",
    503: "busy",
}


class ApiError(HTTPException):
    """An answer that is no success.

    Attributes:
        code: stable name for programs.
    """

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, message, dict(headers or {}))
        self.code = code


def busy(message: str, seconds: int = 1) -> ApiError:
    return ApiError(503, "busy", message, {"Retry-After": str(seconds)})


def status_of(error: AesMambaError) -> int:
    """The HTTP status that tells whose fault an error of the SDK is."""
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    return next((status for kind, status in _BY_CLASS if isinstance(error, kind)), 500)


def add_error_handlers(app: FastAPI) -> None:
    """Every error leaves ``app`` in the shape of :func:`error_body`."""

    @app.exception_handler(AesMambaError)
    async def of_sdk(request: Request, error: AesMambaError) -> AnyText:
        status = status_of(error)
        if status >= 500:
            logger.error("%s: %s", error.code, error)
        return AnyText(error_body(error.code, str(error)), status)

    @app.exception_handler(HTTPException)
    async def of_http(request: Request, error: HTTPException) -> AnyText:
        code = getattr(error, "code", None) or _CODES.get(error.status_code, "error")
        body = error_body(code, str(error.detail))
        return AnyText(body, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def of_validation(request: Request, error: RequestValidationError) -> AnyText:
        return AnyText(error_body("invalid_request", _describe(error.errors())), 422)

    @app.exception_handler(Exception)
    async def of_bugs(request: Request, error: Exception) -> AnyText:
        # Starlette raises it anew once this is sent, and the server logs it.
        return AnyText(error_body("internal", "the server failed; its log says why"), 500)


def _describe(problems: Any) -> str:
    """What is wrong where; not the values, which may be anything."""
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
        for problem in problems
    )
