"""The page's server as it runs, on a free port, and an HTTP client that sends what it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any

from aesmamba_sdk.rate.app import rating_app
from aesmamba_sdk.rate.session import RatingSession
from aesmamba_sdk.web.listen import bound, url_of, web_server

TOKEN = "a-token-for-tests"


@contextmanager
def served(session: RatingSession) -> Iterator[str]:
    """The address of the session's page."""
    with bound("127.0.0.1", 0) as listener:
        server = web_server(rating_app(session, TOKEN), grace=1)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"{url_of(listener)}/{TOKEN}/"
        finally:
            server.should_exit = True
            thread.join()
            session.close()


class Answer:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    def json(self) -> Any:
        return json.loads(self.body)


def ask(address: str, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    """``path`` as it is sent, after the token; from the root where it begins with a slash."""
    host, _, rest = address.removeprefix("http://").partition("/")
    connection = HTTPConnection(host, timeout=20)
    data = None if body is None else json.dumps(body)
    fields = {"content-type": "application/json"} | {
        k.replace("_", "-"): v for k, v in headers.items()
    }
    try:
        connection.request(method, path if path.startswith("/") else f"/{rest}{path}", data, fields)
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()
