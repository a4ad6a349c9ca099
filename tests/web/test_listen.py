"""Which addresses a local server takes."""

from __future__ import annotations

import os
import socket
from types import SimpleNamespace

import pytest

from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.web import listen
from aesmamba_sdk.web.listen import bound, url_of


def test_a_port_that_is_taken_is_named():
    with bound("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert url_of(listener) == f"http://127.0.0.1:{port}"
        with pytest.raises(SetupError, match=f"port {port}") as caught, bound("127.0.0.1", port):
            pass
        assert caught.value.code == "port_unusable"


@pytest.mark.parametrize("system", ["posix", "nt"])
def test_a_port_is_taken_over_from_the_dead_only_where_the_living_keep_theirs(monkeypatch, system):
    monkeypatch.setattr(listen, "os", SimpleNamespace(**{**vars(os), "name": system}))
    with bound("127.0.0.1", 0) as listener:
        reused = listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    assert bool(reused) is (system == "posix")
