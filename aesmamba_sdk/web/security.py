"""Who may talk to a server on this computer: whoever knows the token and came by its own name.

Any web page can make a browser send requests to 127.0.0.1. It does not know the token, cannot
hide its origin, and where it lets its own name point here, the Host header tells.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

Refusal = Callable[[int, str, str], Response]
"""The answer to a request that is not let in: status, code, message."""


def new_token() -> str:
    """256 random bits that fit into a URL and a header."""
    return secrets.token_urlsafe(32)


def same_token(given: str | None, token: str) -> bool:
    """Whether it is the token, in a time that does not tell how much of it was right."""
    return given is not None and hmac.compare_digest(given.encode(), token.encode())


def is_loopback(host: str) -> bool:
    """Whether an address or name to listen on can be reached from this computer alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def bearer_token(connection: HTTPConnection) -> str | None:
    """The token of ``Authorization: Bearer TOKEN``."""
    kind, _, token = connection.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else None


def error_body(code: str, message: str) -> dict[str, dict[str, str]]:
    """The one shape of all errors, as in the records of ``--format jsonl``."""
    return {"error": {"code": code, "message": message}}


def refuse_in_json(status: int, code: str, message: str) -> Response:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse(error_body(code, message), status, headers)


class Guard:
    """Lets requests pass that may be answered; the innermost door of a local server.

    Args:
        app: what is guarded.
        token: that requests must bring; ``None`` lets everyone in.
        hosts: names by which the server may be called; ``None``: by any.
        open_paths: paths that need no token.
        given: finds the token that a request brings.
        refuse: makes the answer to the others.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str | None,
        hosts: Collection[str] | None = LOOPBACK_NAMES,
        open_paths: Collection[str] = (),
        given: Callable[[HTTPConnection], str | None] = bearer_token,
        refuse: Refusal = refuse_in_json,
    ) -> None:
        self._app, self._token, self._hosts = app, token, hosts
        self._open_paths, self._given, self._refuse = open_paths, given, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._app
        if scope["type"] in ("http", "websocket"):
            answer = self._refusal(HTTPConnection(scope)) or self._app
        await answer(scope, receive, send)

    def _refusal(self, connection: HTTPConnection) -> Response | None:
        host = connection.headers.get("host", "")
        if self._hosts is not None and _name(host) not in self._hosts:
            message = f"this server does not answer to the name {host!r}: use its own address"
            return self._refuse(403, "host_not_allowed", message)
        if _is_foreign(connection.headers, host):
            return self._refuse(
                403, "origin_not_allowed", "other web pages may not ask this server"
            )
        if self._token is None or connection.scope["path"] in self._open_paths:
            return None
        if not same_token(self._given(connection), self._token):
            message = "the token is missing or wrong: send the header Authorization: Bearer TOKEN"
            return self._refuse(401, "unauthorized", message)
        return None


def _name(netloc: str) -> str:
    """Host without port; none where it makes no sense."""
    try:
        return urlsplit(f"//{netloc}").hostname or ""
    except ValueError:
        return ""


def _is_foreign(headers: Headers, host: str) -> bool:
    """Whether a browser says that a page of another origin asks."""
    origin = headers.get("origin")
    try:
        return origin is not None and urlsplit(origin).netloc.lower() != host.lower()
    except ValueError:
        return True
