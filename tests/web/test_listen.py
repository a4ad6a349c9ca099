"""Which addresses a local server takes."""

from __future__ import annotations

import socket

import pytest

from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.web.listen import bound, url_of


def test_a_port_that_is_taken_is_named():
    with bound("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert url_of(listener) == f"http://127.0.0.1:{port}"
        with pytest.raises(SetupError, match=f"port {port}") as caught, bound("127.0.0.1", port):
            pass
        assert caught.value.code == "port_unusable"


@pytest.mark.parametrize("exclusive", [None, socket.SO_KEEPALIVE])
def test_a_port_is_taken_over_from_the_dead_only_where_the_living_keep_theirs(
    monkeypatch, exclusive
):
    """Another option stands in for that of Windows, by which they do."""
    monkeypatch.delattr(socket, "SO_EXCLUSIVEADDRUSE", raising=False)
    if exclusive is not None:
        monkeypatch.setattr(socket, "SO_EXCLUSIVEADDRUSE", exclusive, raising=False)
    with bound("127.0.0.1", 0) as listener:
        options = (socket.SO_REUSEADDR, socket.SO_KEEPALIVE)
        reused, kept = (listener.getsockopt(socket.SOL_SOCKET, option) for option in options)
    assert bool(reused) is (exclusive is None)
    assert bool(kept) is (exclusive is not None)
