"""Rows that train a network for each person, and what is kept of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from aesmamba_sdk.cli import main
from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.evaluate import piaa
from aesmamba_sdk.evaluate.kept import KeptFigures, Key
from aesmamba_sdk.evaluate.networks import network_row
from aesmamba_sdk.model.backbone import Backbone
from aesmamba_sdk.scores import Scale
from aesmamba_sdk.train.people import RatedPhotos
from tests import toy
from tests.evaluate.test_piaa import made_oasis


@pytest.fixture(scope="module")
def backbone(toy_model):
    return Backbone(toy_model, torch.device("cpu"))


@pytest.fixture(scope="module")
def groups(backbone):
    """Two people a group, who like light and dark."""
    return [_group(backbone, f"g{seed}", seed) for seed in range(2)]


def _group(backbone, name, seed):
    lights = np.random.default_rng(seed).uniform(0.1, 0.9, 90)
    images = [toy.photo(light, 1000 * seed + i) for i, light in enumerate(lights)]
    features = backbone(images)
    ratings = np.stack([1 + 4 * lights, 5 - 4 * lights])
    generic = backbone.values(features).astype(np.float64)
    prompts = ["I like light.", "I like the dark."]
    return RatedPhotos(name, features, generic, ratings, prompts, images.__getitem__)


def test_a_network_learns_the_taste_of_the_person_it_is_given(backbone, groups):
    rotation = piaa.Rotation(groups, 1, Scale(1, 5), seed=1)
    draw = next(piaa.draw_support(groups[1].ratings, 40, 1, None, seed=1))
    case = rotation.case(draw, 40)
    assert case.prompt == "I like light."
    predicted = network_row(backbone, "lora-stage", seed=1)(case)
    given = case.ratings[case.query]
    assert np.corrcoef(predicted.mean, given)[0, 1] > 0.6
    assert predicted.std.shape == (50,)


def test_what_was_kept_is_not_measured_again(groups, tmp_path):
    calls = []

    def row(case):
        calls.append(len(case.support))
        return piaa.METHODS["affine"](case)

    def run(file, seed=1):
        kept = KeptFigures(file, {"model": "m", "seed": seed})
        slow = {"slow": row}
        return piaa.run_piaa(
            groups, Scale(1, 5), shots=(10, 30), repeats=2, seed=seed, slow=slow, kept=kept
        )

    first = run(tmp_path / "kept.jsonl")
    assert len(calls) == 2 * 2 * 2 * 2
    lines = (tmp_path / "kept.jsonl").read_text().splitlines()
    (tmp_path / "kept.jsonl").write_text("\n".join(lines[:9]) + '\n{"half')  # killed
    again = run(tmp_path / "kept.jsonl")
    assert len(calls) == 16 + 7
    for name in ("srcc", "mae"):
        for shots in (10, 30):
            np.testing.assert_array_equal(
                again["slow", shots].by_person(name), first["slow", shots].by_person(name)
            )
            np.testing.assert_array_equal(
                first["slow", shots].by_person(name), first["affine", shots].by_person(name)
            )
    run(tmp_path / "kept.jsonl", seed=2)
    assert len(calls) == 16 + 7 + 16, "another seed's figures were used"


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("beach\nsunset\n")
    with pytest.raises(SetupError, match=r"notes\.txt, line 1 holds no figures"):
        KeptFigures(tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "beach\nsunset\n"


def test_the_command_goes_on_from_what_was_kept_and_puts_it_beside_auto(
    tmp_path, toy_model, backbone
):
    folder, file = made_oasis(tmp_path / "oasis"), tmp_path / "kept.jsonl"
    kept = KeptFigures(file, {"model": backbone.id, "data": "oasis", "seed": 42})
    for group in (1, 2, 3):
        for person in (0, 1):
            key = Key("lora", 10, f"oasis-subset{group}", person, 0)
            kept.add(key, (0.5, 0.6 + 0.1 * group, 0.1, 1.0, 0.8, 9.0))
    before = file.read_text()
    arguments = ["--data", f"oasis={folder}", "--model", str(toy_model), "--shots", "10"]
    arguments += ["--repeats", "1", "--people", "1", "--also", "lora", "--keep", str(file)]
    done = CliRunner().invoke(main, ["evaluate", "piaa", *arguments, "--format", "json"])
    assert done.exit_code == 0, done.output
    assert file.read_text() == before, "what is known was measured again"
    accuracy, _, networks = json.loads(done.stdout)["tables"]
    row = accuracy["rows"][-1]
    assert (row["method"], row["SRCC"]["mean"]) == ("lora", pytest.approx(0.8))
    assert "networks against" in networks["title"]
    assert networks["notes"][0].startswith("3 people")
