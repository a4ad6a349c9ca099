"""Photos over HTTP on loopback beside the SDK in a process: what a server costs.

Every photo is new, so each is decoded and encoded. The server is a process of its own; the
clients are threads of this one, each with a connection that it keeps.
"""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from aesmamba_sdk import AesMamba
from aesmamba_sdk.evaluate.report import Result, Table
from aesmamba_sdk.paths import HOME_VARIABLE
from aesmamba_sdk.web.listen import TOKEN_VARIABLE
from benchmarks.jpegs import write_photos
from benchmarks.options import Options
from benchmarks.timing import Budget, interleaved, threads

_COMMAND = "from aesmamba_sdk.cli import main; main()"
_MEGAPIXELS = 2
_SDKS = ("SDK, all in one call", "SDK, one a call")
_WAYS = 4
_ROUNDS = 3
_MOST_PHOTOS = 64
_TOKEN = "benchmark"


def measure(options: Options) -> Result:
    """As many photos a second as the SDK and the server score, by turns, on the most threads."""
    count = min(options.photos, _MOST_PHOTOS)
    table = Table(
        f"{count} photos of {_MEGAPIXELS} megapixels over HTTP",
        ("way", "photos/s", "of one call's", "of one a call's"),
    )
    with (
        tempfile.TemporaryDirectory(prefix="aesmamba-bench-") as place,
        threads(options.most_threads),
        AesMamba(device="cpu", home=Path(place, "home"), threads=options.most_threads) as sdk,
        _server(Path(place, "served"), options.most_threads) as port,
    ):
        # Of their own each time, and for the round that is not counted.
        files = write_photos(Path(place), count * _WAYS * (_ROUNDS + 1), _MEGAPIXELS)
        unused = iter([file.read_bytes() for file in files])
        sdk.score(files[0])

        def some() -> list[bytes]:
            return [next(unused) for _ in range(count)]

        def posting(clients: int) -> Callable[[], None]:
            return lambda: _post(port, some(), clients)

        calls: dict[str, Callable[[], None]] = {
            _SDKS[0]: lambda: _score(sdk, some()),
            _SDKS[1]: lambda: _score_each(sdk, some()),
            "HTTP, eight clients": posting(8),
            "HTTP, one client": posting(1),
        }
        timings = interleaved(calls, Budget(0.0, least=_ROUNDS))
    for way, timing in timings.items():
        shares = [timing.times_faster_than(timings[sdks]) for sdks in _SDKS]
        table.add(way, count / timing.seconds, *shares)
    return Result("serve", [table])


def _score(sdk: AesMamba, photos: Sequence[bytes]) -> None:
    assert all(score.ok for score in sdk.score_many(photos))


def _score_each(sdk: AesMamba, photos: Sequence[bytes]) -> None:
    for photo in photos:
        sdk.score(photo)


def _post(port: int, photos: Sequence[bytes], clients: int) -> None:
    with ThreadPoolExecutor(clients) as pool:
        for done in [pool.submit(_client, port, photos[i::clients]) for i in range(clients)]:
            done.result()


def _client(port: int, photos: Sequence[bytes]) -> None:
    headers = {"Authorization": f"Bearer {_TOKEN}", "Content-Type": "image/jpeg"}
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for photo in photos:
        connection.request("POST", "/v1/score", photo, headers)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
    connection.close()


@contextmanager
def _server(home: Path, count: int) -> Iterator[int]:
    """A server of the shipped model; gives its port."""
    command = [sys.executable, "-c", _COMMAND, "serve", "--port", "0", "--device", "cpu"]
    environment = os.environ | {HOME_VARIABLE: str(home), TOKEN_VARIABLE: _TOKEN}
    with (
        subprocess.Popen(
            [*command, "--threads", str(count)],
            env=environment,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        ) as server,
        ThreadPoolExecutor(1) as reader,
    ):
        assert server.stderr is not None
        found = re.search(r"127\.0\.0\.1:(\d+)", server.stderr.readline())
        assert found is not None, server.stderr.read()
        reader.submit(server.stderr.read)  # or its log would fill the pipe
        try:
            yield int(found[1])
        finally:
            server.terminate()
