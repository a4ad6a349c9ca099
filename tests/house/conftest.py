"""Photos to score, and a table of rated ones."""

from __future__ import annotations

import pytest

from tests import toy


@pytest.fixture
def photos(tmp_path):
    return toy.write_photos(tmp_path / "photos", 20)


@pytest.fixture
def table(tmp_path):
    return toy.write_ratings(toy.write_photos(tmp_path / "rated", 40, seed=1))
