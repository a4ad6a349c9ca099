"""One line of JSON a request and message: what was asked, never for whom or with which photo."""

from __future__ import annotations

import json
import logging
import time
from datetime import UTC, datetime
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

requests = logging.getLogger("aesmamba_sdk.serve.requests")


class JsonLines(logging.Formatter):
    """Records as objects; what was given as ``extra={"fields": {...}}`` becomes their fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class RequestLog:
    """Logs each request once it is answered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, sent, received = time.perf_counter(), 0, 0

        async def counting_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message

        async def watching_send(message: Message) -> None:
            nonlocal sent
            if message["type"] == "http.response.start":
                sent = message["status"]
            await send(message)

        try:
            await self._app(scope, counting_receive, watching_send)
        finally:
            fields = {
                "method": scope["method"],
                # As routes are written: a path names people.
                "route": getattr(scope.get("route"), "path", None),
                "status": sent,
                "bytes": received,
                "ms": round(1000 * (time.perf_counter() - started), 1),
            }
            requests.info("request", extra={"fields": fields})
