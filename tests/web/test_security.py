"""Who is let in by a server on this computer."""

from __future__ import annotations

import asyncio
import json

import pytest
from starlette.responses import PlainTextResponse

from aesmamba_sdk.web.security import Guard, is_loopback, new_token, same_token

TOKEN = "right"
HOME = {"host": "127.0.0.1:8000"}
BEARER = {"authorization": f"Bearer {TOKEN}"}


def ask(headers, path="/", **options):
    """Status and body that a guarded application answers."""
    sent = []

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
    }
    guard = Guard(PlainTextResponse("in"), **{"token": TOKEN, **options})
    asyncio.run(guard(scope, None, send))
    return sent[0]["status"], b"".join(m.get("body", b"") for m in sent)


def code(answer):
    return answer[0], json.loads(answer[1])["error"]["code"]


def test_the_token_lets_in():
    assert ask(HOME | BEARER) == (200, b"in")
    assert ask(HOME | {"authorization": f"bearer  {TOKEN}"})[0] == 200


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer wrong", "Basic right", "right", "Bearer é"]
)
def test_without_the_right_token_nothing_is_told(header):
    assert code(ask(HOME | {"authorization": header})) == (401, "unauthorized")


def test_open_paths_and_servers_without_a_token_need_none():
    assert ask(HOME, "/health", open_paths={"/health"})[0] == 200
    assert ask(HOME, "/health/", open_paths={"/health"})[0] == 401
    assert ask(HOME, token=None)[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "[::1"]
)
def test_other_names_for_this_computer_are_refused(host):
    assert code(ask({"host": host} | BEARER)) == (403, "host_not_allowed")


@pytest.mark.parametrize("host", ["localhost:1", "LOCALHOST", "[::1]:8000", "127.0.0.1"])
def test_the_names_of_loopback_are_known(host):
    assert ask({"host": host} | BEARER)[0] == 200


def test_names_can_be_chosen_or_left_open():
    assert ask({"host": "photos.example"} | BEARER, hosts={"photos.example"})[0] == 200
    assert ask({"host": "anything"} | BEARER, hosts=None)[0] == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9", "http://["]
)
def test_pages_of_other_origins_are_refused_even_without_a_token(origin):
    assert code(ask(HOME | {"origin": origin}, token=None)) == (403, "origin_not_allowed")


def test_the_own_page_may_ask():
    assert ask(HOME | BEARER | {"origin": "http://127.0.0.1:8000"})[0] == 200


def test_tokens_are_long_and_never_the_same():
    tokens = {new_token() for _ in range(20)}
    assert len(tokens) == 20
    assert min(map(len, tokens)) >= 40
    assert same_token("ü", "ü")
    assert not same_token(None, "")


def test_loopback_is_told_from_the_network():
    assert all(map(is_loopback, ["127.0.0.1", "127.1.2.3", "::1", "localhost"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "192.168.1.2", "example.org", ""]))
