"""A personal model learns, is bounded by its evidence, and scores without peft."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict

from aesmamba_sdk.errors import PersonalizeError
from aesmamba_sdk.model.backbone import Backbone
from aesmamba_sdk.paths import user_folder
from aesmamba_sdk.personalize.blend import Affine, trust
from aesmamba_sdk.personalize.finetune import split_folds
from aesmamba_sdk.personalize.fit import Support, fit_personal
from aesmamba_sdk.personalize.folder import new_version
from aesmamba_sdk.personalize.methods import METHODS, REACH_OF
from aesmamba_sdk.personalize.network import PersonalNetwork
from aesmamba_sdk.personalize.scorer import PersonalScorer
from tests import toy


@pytest.fixture(scope="module")
def backbone(toy_model):
    return Backbone(toy_model, torch.device("cpu"))


def support(backbone, ratings, seed=0, groups=None) -> Support:
    """Photos from dark to bright with the ratings a rule gives to their light."""
    lights = np.random.default_rng(seed).uniform(0.1, 0.9, len(ratings))
    images = [toy.photo(light, seed * 1000 + i) for i, light in enumerate(lights)]
    values = np.array(
        [r(light) if callable(r) else r for r, light in zip(ratings, lights, strict=True)]
    )
    names = groups or [str(i) for i in range(len(images))]
    return Support(backbone(images), values.astype(float), names, images.__getitem__)


def likes_light(light):
    return 1 + 4 * light


class TestAffine:
    def test_many_ratings_are_fitted_as_by_least_squares(self):
        rng = np.random.default_rng(0)
        generic = rng.normal(3, 0.7, 5000)
        ratings = 0.5 + 1.4 * generic + rng.normal(0, 0.5, 5000)
        slope, offset = np.polyfit(generic, ratings, 1)
        fitted = Affine.fit(generic, ratings, 1.0)(np.array([0.0, 1.0]))
        assert fitted == pytest.approx([offset, offset + slope], abs=0.01)

    def test_one_rating_moves_a_third_of_the_way(self):
        affine = Affine.fit(np.array([3.0]), np.array([4.5]), 1.0)
        assert affine(np.array([3.0, 4.0])) == pytest.approx([3.5, 4.5])

    def test_the_order_of_photos_is_never_turned_round(self):
        generic = np.linspace(1, 5, 50)
        assert Affine.fit(generic, 6 - generic, 1.0).slope > 0


class TestTrust:
    def test_noise_is_not_trusted(self):
        rng = np.random.default_rng(0)
        weights = [trust(rng.normal(size=100), rng.normal(size=100)) for _ in range(200)]
        assert np.mean(weights) < 0.1

    def test_what_was_right_is_trusted_more_with_more_ratings(self):
        rng = np.random.default_rng(0)
        truth = rng.normal(size=200)
        few, many = (trust(truth[:n], truth[:n]) for n in (10, 200))
        assert 0.2 < few < 0.5 < many < 1

    def test_what_was_wrong_is_not_used(self):
        assert trust(np.array([1.0, -1.0, 2.0]), np.array([-1.0, 1.0, -2.0])) == 0


@pytest.mark.parametrize("method", [m for m in METHODS if m != "affine"])
def test_a_taste_is_learned_and_holds_on_other_photos(backbone, tmp_path, method):
    reencodes = REACH_OF.get(method, "heads") != "heads"
    count = 20 if method == "full" else 40 if reencodes else 60
    rated = support(backbone, [likes_light] * count)
    before = {k: v.clone() for k, v in backbone.model.state_dict().items()}
    fitted = fit_personal(tmp_path, backbone, rated, "I like light.", method=method)
    evaluation = fitted.evaluation
    kind = "full" if method == "full" else "lora" if method in REACH_OF else "bayes"
    assert fitted.record.method == kind
    assert evaluation.srcc > evaluation.generic_srcc
    assert evaluation.mae < evaluation.generic_mae
    after = backbone.model.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before), "the shared model was changed"

    scorer = PersonalScorer(tmp_path, backbone)
    unseen = support(backbone, [likes_light] * 40, seed=1)
    images = [unseen.load(i) for i in range(40)]
    generic = backbone.scores(unseen.features)[:, 0]
    personal = scorer.unclipped(scorer(images), generic)
    assert np.corrcoef(personal, unseen.ratings)[0, 1] > 0.6
    assert np.abs(personal - unseen.ratings).mean() < np.abs(generic - unseen.ratings).mean()
    assert scorer.reencodes == reencodes
    assert (scorer.key == backbone.key) != reencodes

    fast = PersonalScorer(tmp_path, Backbone(backbone.folder, backbone.device, "bfloat16"))
    assert fast.key not in (scorer.key, backbone.key)
    assert np.corrcoef(fast.unclipped(fast(images), generic), personal)[0, 1] > 0.99


@pytest.mark.parametrize("config", [toy.CONFIG, toy.READS_DEVIATIONS])
@pytest.mark.parametrize("reach", ["heads", "stage", "all"])
def test_a_network_of_ones_own_starts_as_the_shared_one(reach, config, tmp_path):
    shared = Backbone(toy.save_toy(tmp_path, config=config), torch.device("cpu"))
    text, mask = shared.read("I like light.")
    own = PersonalNetwork(shared.model, text, mask, reach)
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        read = shared.model.integrate(shared.model.embed(images), text, mask)
        expected = shared.model.heads(read).scores[:, 0]
        found = own(own.inputs(images, shared.model))
        torch.testing.assert_close(found, expected)
        kept = shared.model.encoder.describe(images).numpy()
    np.testing.assert_allclose(
        PersonalNetwork(shared.model, text, mask).raw_scores(kept), expected, rtol=1e-5
    )


def test_the_merged_adapter_scores_as_peft_does(backbone):
    torch.manual_seed(0)
    text, mask = backbone.read("I like light.")
    wrapped = get_peft_model(
        PersonalNetwork(backbone.model, text, mask),
        LoraConfig(
            r=4, lora_alpha=12, target_modules=["fusion.to_kv", "fusion.to_out", "fusion.fc2"]
        ),
    )
    state = get_peft_model_state_dict(wrapped)
    for value in state.values():
        value.copy_(torch.randn_like(value))
    features = torch.randn(5, 24)
    with torch.no_grad():
        expected = wrapped(features)
        merged = PersonalNetwork(backbone.model, text, mask)
        unmerged = merged(features)
        merged.merge(state, 12 / 4)
        assert torch.allclose(merged(features), expected, atol=1e-5)
        assert not torch.allclose(unmerged, expected, atol=1e-2)


def test_an_adapter_of_another_network_is_refused(backbone):
    network = PersonalNetwork(backbone.model, *backbone.read(""))
    with pytest.raises(PersonalizeError, match=r"fusion\.elsewhere"):
        network.merge({"base_model.model.fusion.elsewhere.lora_A.weight": torch.ones(1, 1)}, 1.0)


@pytest.mark.parametrize("method", ["auto", "lora"])
def test_the_same_seed_gives_the_same_model(backbone, tmp_path, method):
    rated = support(backbone, [likes_light] * 20)
    for name in "ab":
        (tmp_path / name).mkdir()
        fit_personal(tmp_path / name, backbone, rated, "", method=method, seed=3)
    one, two = (PersonalScorer(tmp_path / n, backbone) for n in "ab")
    assert one.record == two.record
    assert np.array_equal(*(s.unclipped(rated.features, rated.ratings) for s in (one, two)))


@pytest.mark.parametrize(
    ("ratings", "why"),
    [([4.0] * 20, "all the same"), ([2.0, 5.0, 4.0], "too few")],
)
@pytest.mark.parametrize("method", ["auto", "lora"])
def test_without_evidence_the_generic_order_is_kept(backbone, tmp_path, ratings, why, method):
    fitted = fit_personal(tmp_path, backbone, support(backbone, ratings), "", method=method)
    assert (fitted.record.method, fitted.record.trust) == ("affine", 0.0), why
    assert fitted.evaluation.srcc is None
    unseen = support(backbone, [3.0] * 30, seed=2)
    generic = backbone.scores(unseen.features)[:, 0]
    personal = PersonalScorer(tmp_path, backbone).unclipped(unseen.features, generic)
    assert np.array_equal(np.argsort(personal, kind="stable"), np.argsort(generic, kind="stable"))


def test_random_ratings_are_hardly_believed(backbone, tmp_path):
    ratings = np.random.default_rng(5).integers(1, 6, 40).astype(float)
    rated = support(backbone, list(ratings))
    assert fit_personal(tmp_path, backbone, rated, "", method="lora").record.trust < 0.2
    assert fit_personal(tmp_path, backbone, rated, "").record.trust < 0.5


def test_groups_are_held_out_together():
    """Copies of one photo would otherwise vouch for each other."""
    folds = split_folds(["a", "b", "a", "c", "b", "d"], 3, seed=0)
    assert sorted(np.concatenate(folds)) == list(range(6))
    for fold in folds:
        assert set(fold) >= {0, 2} or not set(fold) & {0, 2}


def test_one_rating_is_refused(backbone, tmp_path):
    with pytest.raises(PersonalizeError, match="at least 2"):
        fit_personal(tmp_path, backbone, support(backbone, [4.0]), "")


def test_scoring_needs_neither_peft_nor_bert(toy_model, tmp_path, backbone):
    import subprocess

    rated = support(backbone, [likes_light] * 30)
    fit_personal(tmp_path, backbone, rated, "I like light.", method="lora")
    code = f"""
import sys, torch, numpy as np
from pathlib import Path
from aesmamba_sdk.model.backbone import Backbone
from aesmamba_sdk.paths import user_folder
from aesmamba_sdk.personalize.scorer import PersonalScorer
backbone = Backbone(Path({str(toy_model)!r}), torch.device("cpu"))
x = np.ones((2, 36), np.float32)
PersonalScorer(Path({str(tmp_path)!r}), backbone).unclipped(x, x[:, 0])
assert not {{"peft", "transformers"}} & set(sys.modules), "heavy imports"
"""
    subprocess.run([sys.executable, "-c", code], check=True)


class TestFolder:
    def test_it_is_a_peft_folder_and_small(self, backbone, tmp_path):
        fit_personal(tmp_path, backbone, support(backbone, [likes_light] * 30), "", method="lora")
        names = {file.name for file in tmp_path.iterdir()}
        assert {"adapter_config.json", "adapter_model.safetensors", "personal.json"} <= names
        assert json.loads((tmp_path / "adapter_config.json").read_text())["peft_type"] == "LORA"

    def test_peft_opens_it_and_scores_the_same(self, backbone, tmp_path):
        rated = support(backbone, [likes_light] * 30)
        fit_personal(tmp_path, backbone, rated, "I like light.", method="lora")
        scorer = PersonalScorer(tmp_path, backbone)
        network = PersonalNetwork(backbone.model, scorer.network.text, scorer.network.mask)
        opened = PeftModel.from_pretrained(network, str(tmp_path)).eval()
        with torch.no_grad():
            features = network.read(rated.features)
            assert torch.allclose(opened(features), scorer.network(features), atol=1e-5)

    def test_another_backbone_is_refused(self, backbone, tmp_path):
        (tmp_path / "personal").mkdir()
        fit_personal(tmp_path / "personal", backbone, support(backbone, [2.0, 4.0]), "")
        other = Backbone(toy.save_toy(tmp_path / "other", seed=1), torch.device("cpu"))
        with pytest.raises(PersonalizeError, match="another backbone") as caught:
            PersonalScorer(tmp_path / "personal", other)
        assert caught.value.code == "backbone_changed"

    @pytest.mark.parametrize(
        ("name", "method"),
        [
            ("personal.json", "auto"),
            ("head.safetensors", "auto"),
            ("adapter_model.safetensors", "lora"),
        ],
    )
    def test_a_damaged_file_is_named(self, backbone, tmp_path, name, method):
        rated = support(backbone, [likes_light] * 30)
        fit_personal(tmp_path, backbone, rated, "", method=method)
        (tmp_path / name).write_bytes(b"{")
        with pytest.raises(PersonalizeError, match="personalize again"):
            PersonalScorer(tmp_path, backbone)

    def test_a_version_appears_whole_or_not_at_all(self, tmp_path):
        def fail():
            with new_version(tmp_path / "alice/v0001") as folder:
                (folder / "half").touch()
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fail()
        assert list((tmp_path / "alice").iterdir()) == []

    def test_the_second_of_two_runs_is_told(self, tmp_path):
        def run_beside_another():
            with new_version(tmp_path / "alice/v0001") as mine:
                (mine / "a").touch()
                with new_version(tmp_path / "alice/v0001") as theirs:
                    (theirs / "b").touch()

        with pytest.raises(PersonalizeError, match="another run") as caught:
            run_beside_another()
        assert caught.value.code == "personalize_conflict"
        assert [f.name for f in (tmp_path / "alice/v0001").iterdir()] == ["b"]

    @pytest.mark.parametrize("user", ["Zoë", "a/b", "x.", "CON", "名" * 64])
    def test_every_name_has_a_folder(self, tmp_path, user):
        target = user_folder(tmp_path, user) / "v0001"
        with new_version(target) as folder:
            (folder / "a").touch()
        assert (target / "a").is_file()
        assert target.parent.parent == tmp_path / "personal"
        assert user_folder(tmp_path, user) != user_folder(tmp_path, user + "2")
