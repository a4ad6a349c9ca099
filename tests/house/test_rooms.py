"""The opened house: models, devices and threads that are chosen, and who is in it."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from aesmamba_sdk import AesMamba
from aesmamba_sdk.errors import (
    CheckpointError,
    SetupError,
)


def test_an_unknown_model_names_those_there_are(photos):
    with pytest.raises(CheckpointError, match="no model 'nino'"):
        AesMamba("nino").score(photos[0])


@pytest.mark.parametrize("device", ["banana", "cuda:7"])
def test_a_device_that_is_not_there_is_named(toy_model, photos, device):
    with pytest.raises(SetupError, match=f"device '{device}' cannot be used"):
        AesMamba(toy_model, device=device).score(photos[0])


@pytest.mark.parametrize("told", ["argument", "variable"])
def test_threads_are_torchs(toy_model, photos, monkeypatch, told):
    before = torch.get_num_threads()
    if told == "variable":
        monkeypatch.setenv("AESMAMBA_THREADS", "2")
    try:
        AesMamba(toy_model, threads=2 if told == "argument" else None).score(photos[0])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [0, -1])
def test_so_few_threads_are_refused(toy_model, threads):
    with pytest.raises(SetupError, match=f"threads={threads} is no positive number"):
        AesMamba(toy_model, threads=threads)


@pytest.mark.parametrize("value", ["0", "many", "-2"])
def test_a_bad_number_of_threads_is_named(monkeypatch, value):
    monkeypatch.setenv("AESMAMBA_THREADS", value)
    with pytest.raises(SetupError, match=f"AESMAMBA_THREADS={value}"):
        AesMamba()


def test_many_threads_share_one_object(toy_model, photos):
    results = []
    with AesMamba(toy_model, device="cpu") as sdk:

        def work():
            results.append([s.value for s in sdk.score_many(photos)])

        threads = [threading.Thread(target=work) for _ in range(6)]
        [t.start() for t in threads]
        [t.join() for t in threads]
    assert len(results) == 6
    assert np.allclose(results, results[0])


def test_removing_a_user_leaves_nothing_of_them(sdk, table, home):
    sdk.users.add("alice")
    sdk.personalize("alice", table)
    assert any((home / "personal").rglob("*.safetensors"))
    sdk.remove_user("alice")
    assert not any((home / "personal").rglob("*.safetensors"))
    assert sdk.users.list() == []
