"""Listening on an address of this computer, and serving until somebody says stop."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from aesmamba_sdk.errors import SetupError

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

TOKEN_VARIABLE = "AESMAMBA_TOKEN"
KEEP_ALIVE_SECONDS = 30
"""How long an idle connection is kept for the next request."""


def require_web() -> None:
    """Raises :class:`SetupError` where the extra ``serve`` is not installed."""
    try:
        import fastapi
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise SetupError(
            f"{error.name} is not installed: pip install 'aesmamba-sdk[serve]'", code="no_web"
        ) from error
    del fastapi


@contextmanager
def bound(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens; port 0 takes a free one.

    Raises:
        SetupError: the address is no address of this computer, or the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # On Windows SO_REUSEADDR would let another program listen on the port as well.
    ours_alone = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
    # Told to be TCP, or asyncio would not turn off Nagle's wait, 40 ms an answer.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, ours_alone, 1)
        try:
            listener.bind((host, port))
            listener.listen(128)
        except (OSError, OverflowError) as error:
            raise SetupError(
                f"cannot listen on {host} port {port}: {getattr(error, 'strerror', error)}. "
                "Choose another with --host and --port; port 0 takes a free one.",
                code="port_unusable",
            ) from error
        yield listener


def url_of(listener: socket.socket) -> str:
    """Where a socket that listens is found."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def web_server(app: ASGIApp, *, grace: float) -> uvicorn.Server:
    """A server that gives requests under way ``grace`` seconds to end once it is to stop."""
    import uvicorn

    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, round(grace)),
    )
    return uvicorn.Server(config)


def serve_until_stopped(server: uvicorn.Server, listener: socket.socket) -> None:
    """Answer requests until SIGTERM or Ctrl-C, which both are a clean end; main thread only."""
    # uvicorn raises the signal anew once all is answered and closed.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
    finally:
        signal.signal(signal.SIGTERM, before)
