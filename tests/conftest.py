"""Every test has a home of its own and the toy model."""

from __future__ import annotations

import os

import pytest
import torch

from aesmamba_sdk.model.library import MODEL_VARIABLE
from aesmamba_sdk.paths import DATABASE_VARIABLE, HOME_VARIABLE
from tests import toy
from tests.browsing import find_chromium, open_browser, open_tab

# Toy models gain nothing from more, and tests that run side by side would fight over the cores.
torch.set_num_threads(1)


def pytest_collection_modifyitems(items):
    """Tests of the research data, a GPU or a browser run where these are; others say why not."""
    missing = {
        "data": None if os.environ.get("AESMAMBA_DATA") else "AESMAMBA_DATA names no data folder",
        "cuda": None if torch.cuda.is_available() else "no CUDA device",
        "browser": None if find_chromium() else "no Chromium: apt-get install chromium",
    }
    for item in items:
        for marker, reason in missing.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """No test touches the home of whoever runs it."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.delenv(DATABASE_VARIABLE, raising=False)
    monkeypatch.delenv(MODEL_VARIABLE, raising=False)
    return tmp_path / "home"


@pytest.fixture(scope="session")
def toy_model(tmp_path_factory):
    return toy.save_toy(tmp_path_factory.mktemp("models") / "toy")


@pytest.fixture
def run(toy_model, monkeypatch):
    """A command line, in this process; its output and exit code."""
    from click.testing import CliRunner

    from aesmamba_sdk.cli import main

    monkeypatch.setenv(MODEL_VARIABLE, str(toy_model))

    def invoke(*arguments, **options):
        return CliRunner().invoke(main, [str(a) for a in arguments], **options)

    return invoke


@pytest.fixture
def sdk(toy_model):
    from aesmamba_sdk import AesMamba

    with AesMamba(toy_model, device="cpu") as opened:
        yield opened


@pytest.fixture(scope="module")
def browser():
    """Closed after each module: its event loop would be in the way of others'."""
    with open_browser() as opened:
        yield opened


@pytest.fixture
def tab(browser):
    with open_tab(browser) as page:
        yield page
