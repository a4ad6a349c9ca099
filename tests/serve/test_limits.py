"""What one request may cost, who is let in, and how the server ends."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from click.testing import CliRunner

from aesmamba_sdk import AesMamba
from aesmamba_sdk.cli import main
from aesmamba_sdk.serve.settings import Settings
from aesmamba_sdk.web.listen import bound
from tests.serve.client import TOKEN, Client, running


@contextmanager
def half_sent(port, body, length):
    """A connection on which part of a photo has been sent."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.putrequest("POST", "/v1/score")
    connection.putheader("Authorization", f"Bearer {TOKEN}")
    connection.putheader("Content-Type", "image/png")
    connection.putheader("Content-Length", str(length))
    connection.endheaders(body)
    yield connection
    connection.close()


class TestBodies:
    def test_a_large_body_is_refused_before_it_is_sent(self, sdk):
        with running(sdk, settings=Settings(max_body=1000)) as client:
            with half_sent(client.port, b"", 1001) as connection:
                answer = connection.getresponse()
                assert answer.status == 413
                assert json.load(answer)["error"]["code"] == "body_too_large"
                assert answer.headers["Connection"] == "close"
            assert client.post("/v1/score", b"x" * 1000).code == "photo_not_an_image"

    @pytest.mark.parametrize("path", ["/v1/score", "/v1/scores", "/v1/users"])
    def test_a_body_of_unknown_size_is_counted_as_it_comes(self, sdk, path):
        kinds = {
            "/v1/score": "image/png",
            "/v1/scores": "multipart/form-data; boundary=x",
            "/v1/users": "application/json",
        }
        with running(sdk, settings=Settings(max_body=1000)) as client:
            # A form that is right as far as it goes, however much of it is read at once.
            begun = b'--x\r\nContent-Disposition: form-data; name="photos"; filename="a"\r\n\r\n'
            pieces = [begun, *[b" " * 100] * 11]
            answer = client.post(path, iter(pieces), headers={"Content-Type": kinds[path]})
            assert (answer.status, answer.code) == (413, "body_too_large")

    def test_a_body_that_never_ends_is_not_waited_for(self, sdk):
        with (
            running(sdk, settings=Settings(body_seconds=0.2)) as client,
            half_sent(client.port, b"12", 10) as connection,
        ):
            answer = connection.getresponse()
            assert (answer.status, json.load(answer)["error"]["code"]) == (408, "body_too_slow")

    def test_more_requests_than_may_be_under_way_are_told_to_come_again(self, sdk, photos):
        with (
            running(sdk, settings=Settings(concurrency=1)) as client,
            half_sent(client.port, photos[0][:9], len(photos[0])) as connection,
        ):
            refused = client.post("/v1/score", photos[0])
            for _ in range(50):  # until the other connection's request was read
                if refused.status == 503:
                    break
                refused = client.post("/v1/score", photos[0])
            assert (refused.status, refused.code) == (503, "busy")
            assert refused.headers["Retry-After"] == "1"
            assert client.get("/v1/health").status == 200
            connection.send(photos[0][9:])
            assert connection.getresponse().status == 200
            assert client.post("/v1/score", photos[0]).status == 200

    def test_a_model_that_takes_too_long_is_not_waited_for(self, toy_model, photos):
        gate = threading.Event()

        class Slow(AesMamba):
            def score_many(self, *arguments, **options):
                gate.wait()
                return super().score_many(*arguments, **options)

        with (
            Slow(toy_model, device="cpu") as sdk,
            running(sdk, settings=Settings(score_seconds=0.2)) as client,
        ):
            late = client.post("/v1/score", photos[0])
            assert client.get("/v1/model").status == 200
            gate.set()
            assert (late.status, late.code, late.headers["Retry-After"]) == (503, "busy", "10")


class TestDoors:
    def test_all_but_health_and_the_description_needs_the_token(self, sdk, client):
        stranger = Client(client.port, token=None)
        assert stranger.get("/v1/health").status == 200
        paths = stranger.get("/openapi.json").json["paths"]
        for path, methods in paths.items():
            for method, described in methods.items():
                if path == "/v1/health":
                    assert "security" not in described
                    continue
                assert described["security"] == [{"HTTPBearer": []}]
                refused = stranger.ask(method.upper(), path.replace("{user}", "alice"))
                assert (refused.status, refused.code) == (401, "unauthorized")
                assert refused.headers["WWW-Authenticate"] == "Bearer"

    def test_without_a_token_other_pages_and_names_are_still_refused(self, sdk):
        with running(sdk, token=None) as client:
            assert client.get("/v1/users").status == 200
            foreign = {"Origin": "http://evil.example"}
            assert client.get("/v1/users", headers=foreign).code == "origin_not_allowed"
            assert client.get("/v1/users", headers={"Host": "evil.example"}).status == 403


def test_answers_are_sent_without_waiting_for_more(client):
    connection, waits = http.client.HTTPConnection("127.0.0.1", client.port), []
    for _ in range(30):  # the first ones are acknowledged at once, whatever the server does
        started = time.perf_counter()
        connection.request("GET", "/v1/health")
        connection.getresponse().read()
        waits.append(time.perf_counter() - started)
    connection.close()
    assert sorted(waits)[15] < 0.03


class TestCommand:
    @pytest.fixture
    def run(self, toy_model):
        def invoke(*arguments, **options):
            arguments = ["serve", "--model", str(toy_model), *map(str, arguments)]
            return CliRunner().invoke(main, arguments, **options)

        return invoke

    @pytest.mark.parametrize(
        ("option", "value"),
        [("--max-body", 0), ("--concurrency", 0), ("--timeout", -3), ("--timeout", "nan")],
    )
    def test_bounds_that_would_refuse_every_request_are_refused(self, run, option, value):
        result = run("--host", "no.such.host.invalid", option, value)
        assert result.exit_code == 2
        assert f"Invalid value for '{option}'" in result.stderr

    def test_a_taken_port_is_named(self, run):
        with bound("127.0.0.1", 0) as listener:
            result = run("--port", listener.getsockname()[1])
        assert result.exit_code == 2
        assert "in use" in result.stderr
        assert "--port" in result.stderr

    def test_an_address_that_is_not_ours_is_named(self, run):
        result = run("--host", "192.0.2.1")
        assert (result.exit_code, "cannot listen on 192.0.2.1" in result.stderr) == (2, True)

    def test_a_token_and_none_are_not_both_given(self, run, tmp_path):
        assert "choose one" in run("--no-token", "--token", "x").stderr
        (tmp_path / "empty").write_text("\n")
        assert "is empty" in run("--token-file", tmp_path / "empty").stderr
        assert "cannot be read" in run("--token-file", tmp_path / "missing").stderr

    @pytest.mark.skipif(os.name != "posix", reason="SIGTERM is POSIX's")
    def test_sigterm_answers_what_is_under_way_and_ends_well(self, toy_model, photos):
        program = "from aesmamba_sdk.cli import main; main()"
        arguments = ["serve", "--model", str(toy_model), "--port", "0", "--device", "cpu"]
        with subprocess.Popen(
            [sys.executable, "-c", program, *arguments], stderr=subprocess.PIPE, text=True
        ) as server:
            lines = [server.stderr.readline() for _ in range(2)]
            port = int(re.search(r"http://127\.0\.0\.1:(\d+)", lines[0])[1])
            client = Client(port, token=lines[1].removeprefix("token: ").strip())
            assert client.post("/v1/score", photos[0]).status == 200
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.putrequest("POST", "/v1/score")
            connection.putheader("Authorization", f"Bearer {client.token}")
            connection.putheader("Content-Length", str(len(photos[1])))
            connection.endheaders(photos[1][:9])
            time.sleep(0.3)  # until the server has begun with it
            server.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            connection.send(photos[1][9:])
            assert connection.getresponse().status == 200
            connection.close()
            rest = server.stderr.read().splitlines()
            assert server.wait(timeout=30) == 0
        assert rest[-1] == "stopped"
        logged = [json.loads(line) for line in rest[:-1]]
        assert [line["status"] for line in logged if line["event"] == "request"] == [200, 200]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
