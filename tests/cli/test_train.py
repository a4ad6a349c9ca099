"""``aesmamba train`` from the command line to a model that scores."""

from __future__ import annotations

import json
import shutil

import pytest
from click.testing import CliRunner

from aesmamba_sdk.cli import main
from tests.train import made_runs
from tests.train.made_runs import stars


@pytest.fixture
def data(tmp_path):
    values = made_runs.colours(tmp_path / "data", 40)
    rows = [(f"{i}.png", stars(v.mean())) for i, v in enumerate(values)]
    made_runs.table(tmp_path / "data", ["image", "score"], rows)
    return tmp_path / "data"


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def train(data, toy_model, out, *more):
    options = ("--batch-size", 8, "--image-size", 16, "--epochs", 2, "--learning-rate", 3e-3)
    return run(
        "train", "giaa", "--data", f"folder={data}", "--init", toy_model, "--out", out, *options,
        "--device", "cpu", *more,
    )  # fmt: skip


def test_a_trained_model_scores(data, toy_model, tmp_path):
    out = tmp_path / "runs" / "mine"
    result = train(data, toy_model, out)
    assert result.exit_code == 0, result.stderr
    assert "36 examples learned; on 4 held out for validation" in result.stdout
    assert "SRCC" in result.stdout
    assert f"--model {out / 'model'}" in result.stderr
    scored = run("score", data / "3.png", "--model", out / "model", "--format", "jsonl")
    assert json.loads(scored.stdout)["model"].startswith("mine@")
    shorter = train(data, toy_model, out, "--epochs", 1)
    assert shorter.exit_code == 0, "a finished run is only reported again"


def test_photos_that_cannot_be_used_may_be_skipped(data, toy_model, tmp_path):
    (data / "3.png").unlink()
    refused = train(data, toy_model, tmp_path / "run", "--epochs", 0)
    assert refused.exit_code == 2
    assert "1 of 40 photos of data-train cannot be used" in refused.stderr
    result = train(data, toy_model, tmp_path / "run", "--epochs", 0, "--skip-unusable")
    assert result.exit_code == 0, result.stderr
    assert "skipped: 1 photos that are missing or unreadable" in result.stderr


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--data", "here"), "here does not say where the data are: write NAME=FOLDER"),
        (("--data", "=here"), "'=here' names no dataset; write it like para=FOLDER"),
        (("--data", "flickr=here"), "there is no dataset 'flickr'"),
        (("--encoder", "resnot"), "name an encoder or a model to begin from, not both"),
        (("--validation", "dev"), "no photos of the split 'dev'"),
        (("--teacher", "nobody"), "no model 'nobody'"),
        (("--ema", -1), "'--ema': -1"),
        (("--out", __file__), "is a file"),
        (("--soft-targets", 1), "are learned from a teacher: name one"),
    ],
)
def test_wrong_usage_is_told(data, toy_model, tmp_path, monkeypatch, options, expected):
    monkeypatch.delenv("AESMAMBA_DATA", raising=False)
    result = train(data, toy_model, tmp_path / "run", *options)
    assert result.exit_code == 2
    assert expected in result.stderr


def test_a_caption_is_read_by_models_trained_on_captions(data, toy_model, tmp_path):
    """The toy reads prompts; a copy that says it reads captions does."""
    photo = data / "3.png"
    refused = run("score", photo, "--model", toy_model, "--text", "I love this light")
    assert refused.exit_code == 2
    assert "was not trained on captions" in refused.stderr
    folder = shutil.copytree(toy_model, tmp_path / "captions")
    config = json.loads((folder / "config.json").read_text()) | {"reads": "caption"}
    (folder / "config.json").write_text(json.dumps(config))
    result = run("score", photo, "--model", folder, "--text", "I love this light")
    record = json.loads(result.stdout)
    assert 1 <= record["value"] <= 5
    assert record["percentile"] is None


def test_a_dataset_without_a_folder_is_looked_for_in_the_data_folder(
    toy_model, tmp_path, monkeypatch
):
    monkeypatch.delenv("AESMAMBA_DATA", raising=False)
    arguments = ("train", "giaa", "--data", "tad66k", "--out", tmp_path / "run")
    assert "set AESMAMBA_DATA" in run(*arguments).stderr
    monkeypatch.setenv("AESMAMBA_DATA", str(tmp_path))
    assert str(tmp_path / "tad66k") in run(*arguments).stderr


def test_ranges_of_numbers_are_told_as_numbers():
    told = run("train", "--help").stdout
    assert "[x>=1]" in told
    assert "True" not in told
