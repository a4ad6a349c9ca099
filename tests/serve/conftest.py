"""Servers over the toy model."""

from __future__ import annotations

import pytest

from tests import toy
from tests.serve.client import running


@pytest.fixture
def client(sdk):
    with running(sdk) as client:
        yield client


@pytest.fixture
def photos(tmp_path):
    """Bytes of photos, from dark to bright in random order."""
    return [path.read_bytes() for path in toy.write_photos(tmp_path / "photos", 20)]
