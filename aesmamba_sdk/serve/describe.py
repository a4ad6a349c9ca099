"""Pieces of the OpenAPI description that routes share."""

from __future__ import annotations

from typing import Any

from aesmamba_sdk.serve import schemas
from aesmamba_sdk.serve.bodies import BINARY

_MEANINGS = {
    400: "The request cannot be read.",
    401: "The token is missing or wrong.",
    403: "The server was called by a strange name, or by another web page.",
    404: "There is no such thing.",
    408: "The body took too long to arrive.",
    409: "It does not fit what is there.",
    413: "The body, or the photo in it, is too large.",
    415: "The body is of another type.",
    422: "Something in the request, or the photo, cannot be used.",
    500: "The server failed.",
    503: "Too busy, or the database cannot be reached: try again after `Retry-After` seconds.",
}
_EXAMPLES = {
    401: ("unauthorized", "the token is missing or wrong: send the header Authorization: ..."),
    404: ("user_not_found", "no user 'alise'; did you mean 'alice'?"),
    413: ("body_too_large", "a request may have 67108864 bytes at most"),
    422: ("photo_truncated", "image of 2048 bytes is damaged or cut short: ..."),
    503: ("busy", "16 requests with photos are under way: try again"),
}
_ALWAYS = (400, 401, 403, 408, 413, 422, 500, 503)


def answers(*more: int) -> dict[int | str, dict[str, Any]]:
    """Every error a route may answer with: those any may, and ``more``."""
    return {status: _answer(status) for status in sorted({*_ALWAYS, *more})}


def _answer(status: int) -> dict[str, Any]:
    answer: dict[str, Any] = {"model": schemas.Error, "description": _MEANINGS[status]}
    if status in _EXAMPLES:
        code, message = _EXAMPLES[status]
        example = {"error": {"code": code, "message": message}}
        answer["content"] = {"application/json": {"example": example}}
    return answer


def photo_body() -> dict[str, Any]:
    """A request whose body is one photo."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    kinds = ("image/jpeg", "image/png", "image/webp", BINARY)
    return {"requestBody": {"required": True, "content": dict.fromkeys(kinds, binary)}}


def photos_body(most: int) -> dict[str, Any]:
    """A request whose body is a form of photos."""
    photos = {
        "type": "array",
        "items": {"type": "string", "format": "binary"},
        "minItems": 1,
        "maxItems": most,
    }
    schema = {"type": "object", "required": ["photos"], "properties": {"photos": photos}}
    content = {"multipart/form-data": {"schema": schema | {"additionalProperties": False}}}
    return {"requestBody": {"required": True, "content": content}}
