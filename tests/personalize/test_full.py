"""Full fine-tuning: every weight moves, little is kept, and nothing else changes."""

from __future__ import annotations

import multiprocessing
import os
import signal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from aesmamba_sdk import AesMamba
from aesmamba_sdk.errors import PersonalizeError
from aesmamba_sdk.model.backbone import Backbone
from aesmamba_sdk.personalize import full
from aesmamba_sdk.personalize.blend import Affine
from aesmamba_sdk.personalize.finetune import FineTuner, Training
from aesmamba_sdk.personalize.fit import fit_personal
from aesmamba_sdk.personalize.folder import PersonalRecord, load_text
from aesmamba_sdk.personalize.full import FullFineTuning
from aesmamba_sdk.personalize.network import PersonalNetwork
from aesmamba_sdk.personalize.scorer import PersonalScorer
from tests import toy
from tests.personalize.test_personalize import likes_light, support

PROMPT = "I like light."
AFFINE = Affine(3.0, 1.0, 3.0)


@pytest.fixture(autouse=True)
def few_epochs(monkeypatch):
    """Enough to move every weight; that a taste is learned is tested with every other method's."""
    monkeypatch.setattr(full, "_EPOCHS", 4)
    monkeypatch.setattr(full, "_CHECK_EPOCHS", 2)


@pytest.fixture(scope="module")
def backbone(toy_model):
    return Backbone(toy_model, torch.device("cpu"))


@pytest.fixture(scope="module")
def record(backbone):
    return PersonalRecord(backbone.hash, "full", "all", AFFINE, 0.0, 0.8, 8, 42, PROMPT)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return toy.write_photos(tmp_path_factory.mktemp("rated"), 8)


@pytest.fixture(scope="module")
def table(photos):
    return toy.write_ratings(photos)


def inputs(count=8):
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_it_starts_as_the_shared_model_does_with_the_same_prompt(backbone, record):
    started = FullFineTuning(backbone, record).network.eval()
    shared = PersonalNetwork(backbone.model, *backbone.read(PROMPT), "all")
    with torch.no_grad():
        assert torch.allclose(started(inputs()), shared(inputs()), atol=1e-6)


def test_every_part_moves_and_what_is_kept_brings_it_back(backbone, record, tmp_path):
    before = {k: v.clone() for k, v in backbone.model.state_dict().items()}
    tuning = FullFineTuning(backbone, record)
    start = tuning.network.words().detach()
    FineTuner(tuning.network, tuning.training).fit(inputs(), np.linspace(1, 5, 8), AFFINE, 4)
    tuning.save(tmp_path)
    kept = load_file(tmp_path / "changes.safetensors")
    assert {name.split(".")[0] for name in kept} == {"encoder", "fusion", "heads"}
    assert not any("color" in name or "scale_class" in name for name in kept)
    assert not torch.equal(tuning.network.words(), start), "the text encoder stayed as it was"
    assert all(torch.equal(v, before[k]) for k, v in backbone.model.state_dict().items())

    fit_personal(tmp_path, backbone, support(backbone, [2.0, 4.0]), PROMPT)  # a record beside it
    restored = PersonalNetwork(backbone.model, *load_text(tmp_path), "all")
    with torch.no_grad():
        unchanged = restored(inputs())
        restored.shift(kept)
        expected = tuning.network(inputs())
        assert torch.allclose(restored(inputs()), expected, atol=1e-4)
        assert not torch.allclose(unchanged, expected, atol=1e-3)


@pytest.mark.parametrize("name", ["encoder.elsewhere", "encoder.norm.weight"])
def test_changes_of_another_model_are_refused(backbone, name):
    network = PersonalNetwork(backbone.model, *backbone.read(""), "all")
    with pytest.raises(PersonalizeError, match="does not fit this backbone at 'encoder"):
        network.shift({name: torch.ones(7)})


def test_it_says_once_that_a_cpu_is_slow(backbone, tmp_path, caplog):
    fit_personal(tmp_path, backbone, support(backbone, [likes_light] * 6), PROMPT, method="full")
    assert [r.getMessage().count("slow on a CPU") for r in caplog.records] == [1]


@pytest.mark.parametrize("name", ["changes.safetensors", "text.safetensors"])
def test_a_damaged_file_is_named(backbone, tmp_path, name):
    rated = support(backbone, [likes_light] * 8)
    assert fit_personal(tmp_path, backbone, rated, PROMPT, method="full").record.method == "full"
    (tmp_path / name).write_bytes(b"{")
    with pytest.raises(PersonalizeError, match="personalize again"):
        PersonalScorer(tmp_path, backbone)


def test_it_serves_like_any_other_and_gives_way_to_an_earlier_one(sdk, photos, table):
    sdk.users.add("alice")
    sdk.personalize("alice", table)
    before = sdk.score(photos[0], user="alice")
    report = sdk.personalize("alice", table, method="full")
    assert (report.method, report.version, report.shots) == ("full", 2, 8)
    first, again = ([s.value for s in sdk.score_many(photos, user="alice")] for _ in range(2))
    assert first == again
    assert first[0] != before.value
    assert sdk.score(photos[0], user="alice").method == "full"
    assert [m.method for m in sdk.models.list("alice")] == ["bayes", "full"]
    sdk.models.use("alice", 1)
    assert sdk.score(photos[0], user="alice") == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")
def test_killed_at_any_moment_it_leaves_the_model_from_before(toy_model, photos, table):
    """Also while files are written, and while the finished folder is put in its place."""
    moments = [("training", int(done)) for done in np.random.default_rng(0).integers(1, 17, 2)]
    moments += [("aesmamba_sdk.personalize.full.save_text", 1), ("pathlib.Path.rename", 1)]
    with AesMamba(toy_model, device="cpu") as sdk:
        sdk.users.add("alice")
        sdk.personalize("alice", table)
        before = sdk.score(photos[0], user="alice")
    for moment in moments:
        context = multiprocessing.get_context("fork")
        child = context.Process(target=_personalize_and_die, args=(toy_model, table, *moment))
        child.start()
        child.join()
        assert child.exitcode == -signal.SIGKILL, moment
        with AesMamba(toy_model, device="cpu") as sdk:
            assert sdk.score(photos[0], user="alice") == before, moment
    with AesMamba(toy_model, device="cpu") as sdk:
        assert sdk.personalize("alice", table, method="full").version == 2


def _personalize_and_die(model, table, what, when):
    def die(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    def progress(part, done, total):
        if (part, done) == (what, when):
            die()

    patch = pytest.MonkeyPatch()
    if "." in what:
        patch.setattr(what, die)
    with AesMamba(model, device="cpu") as sdk:
        sdk.personalize("alice", table, method="full", progress=progress)


class TestFineTuner:
    @pytest.fixture
    def network(self):
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(5, 1), torch.nn.Flatten(0))

    def test_a_batch_in_parts_teaches_what_it_teaches_at_once(self, network):
        x, y = torch.randn(9, 5), np.linspace(1, 5, 9)
        trained = []
        for at_once in (2, 9):
            tuner = FineTuner(network, Training(steps=6, check_steps=6, at_once=at_once))
            tuner.fit(x, y, AFFINE, 6)
            trained.append(network[0].weight.detach().clone())
            with torch.no_grad():
                network[0].weight.copy_(tuner.initial[0])
                network[0].bias.copy_(tuner.initial[1])
        assert not torch.equal(trained[0], tuner.initial[0])
        assert torch.allclose(*trained, atol=1e-6)

    def test_half_of_the_photos_are_seen_in_a_mirror(self, network):
        x = torch.randn(64, 3, 4, 4)
        tuner = FineTuner(network, Training(mirror=True))
        seen = tuner._seen(x, torch.Generator().manual_seed(0))
        turned = [torch.equal(a, b.flip(-1)) for a, b in zip(seen, x, strict=True)]
        same = [torch.equal(a, b) for a, b in zip(seen, x, strict=True)]
        assert 16 < sum(turned) < 48
        assert sum(turned) + sum(same) == 64
