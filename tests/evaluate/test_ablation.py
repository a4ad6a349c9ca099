"""Ablations run end to end on made data, and find what was put into them."""

from __future__ import annotations

import csv
import json
import re
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from aesmamba_sdk.cli import main
from aesmamba_sdk.errors import DatasetError, SetupError
from aesmamba_sdk.evaluate.ablation import GENERIC, MBA, SMP, ablate, measure
from aesmamba_sdk.train.data import PhotoSet
from aesmamba_sdk.train.datasets import read_dataset
from aesmamba_sdk.train.devices import Devices
from aesmamba_sdk.train.recipe import train
from aesmamba_sdk.train.tasks import TASKS, gather
from aesmamba_sdk.train.trainer import Trainer
from aesmamba_sdk.train.views import Views
from tests import toy
from tests.train import made_runs
from tests.train.made_runs import stars
from tests.train.test_devices import free_port


def table(folder, header, rows):
    """Rows of photos; every third photo is for testing."""
    with (folder / "labels.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([*header, "split"])
        for photo, *row in rows:
            writer.writerow([f"{photo}.png", *row, "train" if photo % 3 else "test"])


@pytest.fixture
def rare(tmp_path):
    """Photos scored by their light, few of them high."""
    values = made_runs.colours(tmp_path / "data", 90)
    rows = [(i, stars(v.mean() ** 2), stars(v[0] ** 2)) for i, v in enumerate(values)]
    table(tmp_path / "data", ["image", "score", "color"], rows)
    return tmp_path / "data"


@pytest.fixture
def opinionated(tmp_path):
    """Lovers of art like dark photos, others bright ones; nothing else of them matters.

    Few of them score colour, too.
    """
    folder = tmp_path / "opinionated"
    values = made_runs.colours(folder, 36)
    people = {f"u{i}": ("expert", "beginner")[i % 2] for i in range(12)}
    rows = [
        (i, user, stars(v.mean() if level == "beginner" else 1 - v.mean()), "3" * (user < "u2"))
        for i, v in enumerate(values)
        for user, level in people.items()
    ]
    table(folder, ["image", "user", "score", "color"], rows)
    lines = [f"{user},{level},{4 + i % 3}" for i, (user, level) in enumerate(people.items())]
    (folder / "users.csv").write_text("\n".join(["user,art_experience,openness", *lines]) + "\n")
    return folder


def losses(variant, monkeypatch, tmp_path, toy_model):
    """The parts of the first loss of a variant, on photos of which one is in a rare category."""
    photos = PhotoSet(
        tuple("abcd"),
        np.random.default_rng(0).integers(0, 255, (4, 16, 16, 3), dtype=np.uint8),
        torch.tensor([[1.5, 1.5], [1.6, 1.6], [1.7, 1.7], [4.5, 4.5]]),
    )
    recipe = made_runs.recipe("fiaa", tmp_path, toy_model, tmp_path)
    arguments = replace(variant.of(recipe).arguments, batch_size=4)
    trainer = Trainer(toy.model(), photos, photos, tmp_path / variant.name, arguments)
    torch.manual_seed(0)
    pixels, scores = photos.batch(np.arange(4))
    views = Views(pixels.float(), scores, torch.zeros(4, dtype=torch.bool), pixels.float())
    return {k: v.item() for k, v in trainer._losses(views, np.arange(4)).items()}


def test_variants_differ_in_the_loss_of_scale_categories_alone(monkeypatch, tmp_path, toy_model):
    a, b, c = (losses(variant, monkeypatch, tmp_path, toy_model) for variant in MBA)
    assert a.keys() == {"loss", "mse"}
    assert a["mse"] == b["mse"] == c["mse"]
    assert b["balanced_ce"] != pytest.approx(c["balanced_ce"], rel=0.01)


def test_mba_compares_three_models_and_draws_the_papers_figures(rare, toy_model, tmp_path):
    out = tmp_path / "runs"
    arguments = made_runs.arguments("fiaa", epochs=8)
    recipe = made_runs.recipe("fiaa", rare, toy_model, out, arguments=arguments)
    result = ablate("mba", recipe, "test", [1])
    figures, categories = result.tables
    assert [row[0] for row in figures.rows] == ["Model-A", "Model-B", "Model-C"]
    assert all(row[4].mean > 0.8 and row[4].runs == 1 for row in figures.rows)
    assert sum(row[1] for row in categories.rows) == pytest.approx(100)
    assert (out / "mba.png").stat().st_size > 5000
    assert (out / "categories.png").stat().st_size > 5000
    assert result.settings["photos"] == 30
    before = (out / "Model-B-1" / "metrics.jsonl").read_text()
    assert ablate("mba", recipe, "test", [1]).to_dict() == result.to_dict()
    assert (out / "Model-B-1" / "metrics.jsonl").read_text() == before, "nothing is trained again"


def test_what_cannot_be_measured_is_told_before_anything_is_trained(rare, toy_model, tmp_path):
    out, labels = tmp_path / "runs", rare / "labels.csv"
    recipe = made_runs.recipe("fiaa", rare, toy_model, out)
    kept = (rare / "3.png").read_bytes()
    (rare / "3.png").write_bytes(b"no photo")
    with pytest.raises(DatasetError, match="1 of 30 photos of data-test cannot be used"):
        ablate("mba", recipe, "test", [1])
    (rare / "3.png").write_bytes(kept)
    scored = re.sub(r"(?m)^(\d{2}\.png),[^,]*(,.*,test)", r"\1,\2", labels.read_text())
    labels.write_text(re.sub(r"(?m)^[06]\.png,.*\n", "", scored))
    with pytest.raises(DatasetError, match="too few labels to measure anything: that takes 3"):
        ablate("mba", recipe, "test", [1])
    assert not list(out.glob("Model-*"))


@pytest.mark.parametrize(("variant", "texts"), [("none", 1), ("art", 2), ("photo", 1), ("all", 6)])
def test_variants_differ_in_what_prompts_tell(opinionated, toy_model, tmp_path, variant, texts):
    recipe = made_runs.recipe("piaa", opinionated, toy_model, tmp_path)
    changed = next(v for v in SMP if v.name == variant).of(recipe)
    task = replace(TASKS["piaa"], characters=changed.characters)
    data = read_dataset("folder", opinionated, split="test")
    prompts = gather(task, data, tmp_path, 8).photos.texts
    assert len(set(prompts)) == texts
    assert any("artistic" in prompt for prompt in prompts) == (variant in ("art", "all"))


def test_smp_compares_prompts_with_the_generic_score_person_by_person(
    opinionated, toy_model, tmp_path
):
    out = tmp_path / "runs"
    arguments = made_runs.arguments("piaa", epochs=1)
    recipe = made_runs.recipe("piaa", opinionated, toy_model, out, arguments=arguments)
    (table,) = ablate("smp", recipe, "test", [1]).tables
    assert [row[0] for row in table.rows] == [GENERIC, *(variant.name for variant in SMP)]
    generic, *others = (row[3].mean for row in table.rows)
    assert [row[5].mean for row in table.rows[1:]] == pytest.approx([x - generic for x in others])
    assert abs(generic) < 0.1, "whoever likes what others dislike cannot be served by one score"
    assert "aesthetic score alone; means over 12 people" in table.notes[0]
    assert all((out / f"{name}.png").stat().st_size > 5000 for name in ("smp", "people"))


def test_what_was_not_asked_for_does_not_count(opinionated, toy_model, tmp_path):
    """Beside a generic score, prompts are measured by that score alone."""
    data = read_dataset("folder", opinionated, split="test")
    measured = partial(measure, toy_model, TASKS["piaa"], data, tmp_path)
    both, alone = measured(), measured(("aesthetic",))
    assert (both.attributes, len(both.indices)) == (("aesthetic", "color"), 4)
    assert (alone.attributes, len(alone.indices)) == (("aesthetic",), 12)
    assert alone.photos == both.photos == 12


def together(rank, folder, port, recipe):
    """One of two processes that train together."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2
    )
    devices = Devices(torch.device("cpu"), rank, 2)
    outcome = train(replace(recipe, out=folder / "trained"), devices=devices)
    there = (outcome.model / "README.md").is_file()
    result = ablate("mba", recipe, "test", [1], devices=devices)
    (folder / f"{rank}.json").write_text(json.dumps([there, len(result.tables)]))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="gloo")
def test_of_several_processes_the_first_measures_and_none_is_ahead_of_the_model(
    rare, toy_model, tmp_path
):
    arguments = made_runs.arguments("fiaa", epochs=0)
    recipe = made_runs.recipe("fiaa", rare, toy_model, tmp_path / "runs", arguments=arguments)
    torch.multiprocessing.spawn(together, (tmp_path, free_port(), recipe), nprocs=2)
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    assert found == [[True, 2], [True, 0]]
    assert (tmp_path / "runs/mba.png").stat().st_size > 5000


def test_prompts_belong_to_people(rare, toy_model, tmp_path):
    with pytest.raises(SetupError, match="task piaa, not to fiaa"):
        ablate("smp", made_runs.recipe("fiaa", rare, toy_model, tmp_path / "runs"), "test", [1])


def test_the_command_takes_the_options_of_training(rare, toy_model, tmp_path):
    options = ("--batch-size", 8, "--image-size", 16, "--epochs", 1, "--validation", 0.2)
    result = CliRunner().invoke(
        main,
        [str(word) for word in (
            "evaluate", "ablation", "mba", "--data", f"folder={rare}", "--init", toy_model,
            "--out", tmp_path / "runs", "--runs", 1, "--device", "cpu", *options,
        )],
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["name"] == "ablation mba"
    assert [row["variant"] for row in record["tables"][0]["rows"]] == [v.name for v in MBA]
