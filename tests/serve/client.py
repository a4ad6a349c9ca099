"""A real server on a free port, and the smallest client for it."""

from __future__ import annotations

import http.client
import json
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from aesmamba_sdk.serve.app import create_app
from aesmamba_sdk.web.listen import bound, web_server

TOKEN = "test-token"


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.json["error"]["code"]


@dataclass
class Client:
    port: int
    token: str | None = TOKEN

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        json_body: Any = None,
    ) -> Answer:
        sent = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if json_body is not None:
            body, sent["Content-Type"] = json.dumps(json_body), "application/json"
        elif isinstance(body, bytes):
            sent["Content-Type"] = "image/png"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            chunked = not isinstance(body, (bytes, str, type(None)))
            # A server that refuses closes the connection, perhaps while we are still sending.
            with suppress(ConnectionError):
                all_headers = sent | (headers or {})
                connection.request(method, path, body, all_headers, encode_chunked=chunked)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **options: Any) -> Answer:
        return self.ask("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> Answer:
        return self.ask("POST", path, body, **options)

    def post_photos(self, path: str, photos: Sequence[tuple[str, bytes]]) -> Answer:
        """A form, each photo in a part named ``photos``."""
        line = secrets.token_hex(8)
        body = b""
        for name, data in photos:
            body += (
                f'--{line}\r\nContent-Disposition: form-data; name="photos"; '
                f'filename="{name}"\r\n\r\n'
            ).encode()
            body += data + b"\r\n"
        body += f"--{line}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={line}"}
        return self.post(path, body, headers=kind)


@contextmanager
def running(sdk: Any, **options: Any) -> Iterator[Client]:
    """A server in a thread, and a client of it; stopped as by a signal."""
    with bound("127.0.0.1", 0) as listener:
        server = web_server(create_app(sdk, **{"token": TOKEN, **options}), grace=5)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Client(listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()
