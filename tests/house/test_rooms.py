"""The opened house: models, devices and threads that are chosen, and who is in it."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
import torch

from aesmamba_sdk import AesMamba
from aesmamba_sdk.errors import (
    CheckpointError,
    SetupError,
)
from aesmamba_sdk.house.rooms import House
from aesmamba_sdk.house.scorings import Scorings


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


@pytest.mark.parametrize("told", ["argument", "variable"])
def test_scores_in_bfloat16_are_nearly_those_in_float32(toy_model, photos, monkeypatch, told):
    if told == "variable":
        monkeypatch.setenv("AESMAMBA_PRECISION", "bfloat16")
    exact = AesMamba(toy_model, precision="float32")
    fast = AesMamba(toy_model, precision="bfloat16" if told == "argument" else None)
    expected, found = (list(sdk.score_many(photos)) for sdk in (exact, fast))
    assert [s.value for s in found] != [s.value for s in expected]
    assert [s.value for s in found] == pytest.approx([s.value for s in expected], abs=0.05)


def test_features_of_one_precision_do_not_serve_another(toy_model, photos, tmp_path):
    exact, fast = (AesMamba(toy_model, precision=p) for p in ("float32", "bfloat16"))
    alone = AesMamba(toy_model, precision="bfloat16", home=tmp_path / "alone").score(photos[0])
    expected = exact.score(photos[0])
    assert fast.score(photos[0]).value == alone.value != expected.value
    assert exact.score(photos[0]) == expected
    assert exact.backbone.key != fast.backbone.key
    assert exact.backbone.hash == fast.backbone.hash, "a personal model serves both"


def test_an_unknown_precision_is_refused(monkeypatch):
    with pytest.raises(SetupError, match="precision=int4 is not known: use float32 or bfloat16"):
        AesMamba(precision="int4")
    monkeypatch.setenv("AESMAMBA_PRECISION", "half")
    with pytest.raises(SetupError, match="AESMAMBA_PRECISION=half is not known"):
        AesMamba()


def test_bfloat16_that_is_no_faster_is_told(toy_model, photos, monkeypatch, caplog):
    monkeypatch.setattr("aesmamba_sdk.model.precision.bfloat16_gain", lambda: 0.6)
    AesMamba(toy_model, precision="bfloat16").score(photos[0])
    assert "multiplies in bfloat16 at 0.60 of the rate of float32" in caplog.text


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


@pytest.mark.parametrize("room", ["database", "embeddings", "backbone", "scorings"])
def test_a_room_that_two_threads_ask_for_at_once_is_opened_once(toy_model, room):
    """From Python 3.12 on, ``cached_property`` calls its function once for each of them."""
    house, opening = House(toy_model, "cpu", None, None), vars(House)[room].func
    assert opening(house) is opening(house)


def test_removing_a_user_leaves_nothing_of_them(sdk, table, home):
    sdk.users.add("alice")
    sdk.personalize("alice", table)
    assert any((home / "personal").rglob("*.safetensors"))
    sdk.remove_user("alice")
    assert not any((home / "personal").rglob("*.safetensors"))
    assert sdk.users.list() == []


def test_nothing_is_left_of_a_user_though_removing_them_is_cut_off(sdk, table, home, monkeypatch):
    def cut_off(_):
        raise KeyboardInterrupt

    sdk.users.add("alice")
    sdk.personalize("alice", table)
    monkeypatch.setattr(Scorings, "forget", cut_off)
    with pytest.raises(KeyboardInterrupt):
        sdk.remove_user("alice")
    assert not any((home / "personal").rglob("*.safetensors"))


def test_what_cannot_be_removed_of_a_user_is_told(sdk, table, home, monkeypatch):
    sdk.users.add("alice")
    sdk.personalize("alice", table)
    (folder,) = (home / "personal").iterdir()

    def refuse(*_, **__):
        raise PermissionError

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(SetupError, match=folder.name) as caught:
        sdk.remove_user("alice")
    assert caught.value.code == "personal_folder_left"
    assert sdk.users.list() == []
