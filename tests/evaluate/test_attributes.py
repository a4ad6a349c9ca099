"""GIAA and FIAA on made scores whose figures are known, and as commands on made datasets."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats

from aesmamba_sdk.cli import main
from aesmamba_sdk.errors import DatasetError
from aesmamba_sdk.evaluate.attributes import (
    calibration_table,
    copy_table,
    correlation_table,
    correlations,
    decile_table,
    fiaa,
    giaa,
)
from aesmamba_sdk.evaluate.data import Scored, read_data, score_dataset
from aesmamba_sdk.scores import Scale
from tests import toy
from tests.train.datasets import made

COUNT = 120


def scored(*, share: float = 0.5, seed: int = 0) -> Scored:
    """Aesthetic labels and color labels that are partly something else, both scored with noise."""
    rng = np.random.default_rng(seed)
    aesthetic = rng.uniform(1, 5, COUNT)
    color = np.clip((1 - share) * aesthetic + share * rng.uniform(1, 5, COUNT), 1, 5)
    labels = np.column_stack([aesthetic, color])
    return Scored(("aesthetic", "color"), labels + rng.normal(0, 0.4, labels.shape), labels, 3.0)


def cell(table, row, column):
    names = [cells[0] for cells in table.rows]
    return table.rows[names.index(row)][list(table.columns).index(column)]


def test_correlations_are_those_of_scipy():
    photos = scored()
    found = correlations(photos, seed=0)
    for i in range(2):
        x, y = photos.predicted[:, i], photos.labels[:, i]
        assert found.srcc[i].value == pytest.approx(stats.spearmanr(x, y).statistic)
        assert found.plcc[i].value == pytest.approx(stats.pearsonr(x, y).statistic)
        assert found.accuracy[i].value == np.mean((x > 3) == (y > 3))
        assert found.srcc[i].low < found.srcc[i].value < found.srcc[i].high
    assert found.srcc[-1].value == pytest.approx(np.mean([e.value for e in found.srcc[:2]]))


def test_unlabelled_photos_do_not_count():
    photos = scored()
    photos.labels[:40, 1] = np.nan
    expected = stats.spearmanr(photos.predicted[40:, 1], photos.labels[40:, 1]).statistic
    assert correlations(photos, seed=0).srcc[1].value == pytest.approx(expected)


def test_constant_scores_count_as_zero_and_are_told():
    photos = scored()
    photos.predicted[:, 1] = 3
    found = correlations(photos, seed=0)
    table = correlation_table("FIAA", found)
    assert (found.srcc[1].value, found.srcc[1].high) == (0, 0)
    assert cell(table, "color", "constant") == "predictions"
    assert cell(table, "aesthetic", "constant") == ""
    photos.labels[:, 1] = 3
    found = correlations(photos, seed=0)
    assert cell(correlation_table("FIAA", found), "color", "constant") == "predictions and labels"
    assert "constant" not in correlation_table("FIAA", correlations(scored(), 0)).columns


def test_an_attribute_scored_for_itself_gains_over_the_copy():
    table, gain = copy_table(scored(), seed=0)
    assert gain.low > 0
    assert cell(table, "aesthetic", "own - copy's").value == 0
    assert cell(table, "color", "SRCC of the rest").value > 0.5
    copied = scored()
    copied.predicted[:, 1] = copied.predicted[:, 0]
    table, gain = copy_table(copied, seed=0)
    assert (gain.low, gain.value, gain.high) == (0, 0, 0)
    assert cell(table, "color", "SRCC of the rest").value == 0


def test_a_shifted_and_shrunken_score_shows_in_the_calibration():
    photos = scored()
    exact = Scored(photos.attributes, 3 + (photos.labels - 3) / 2 + 0.25, photos.labels, 3.0)
    table = calibration_table(exact)
    lie = np.mean(exact.predicted[:, 0] - exact.labels[:, 0])
    assert cell(table, "aesthetic", "mean error") == pytest.approx(lie)
    assert cell(table, "aesthetic", "slope") == pytest.approx(2)
    rows = decile_table(exact).rows
    assert [row[1] for row in rows] == [COUNT // 10] * 10
    assert rows[0][4] > 0 > rows[-1][4], "the worst are scored too well, the best too badly"
    assert all(low[2] < high[2] for low, high in pairwise(rows))


def test_only_photos_with_bars_have_them():
    assert [bar.what for bar in giaa(scored(), 0, data="oasis").bars] == ["SRCC on oasis"]
    assert giaa(scored(), 0, data="tad66k").bars == []
    bars = {bar.what: bar for bar in fiaa(scored(), 0, data="para").bars}
    assert bars["mean SRCC over the attributes"].reached
    assert bars["gain over a copy, low end of its interval"].reached


@pytest.fixture
def tad66k(tmp_path):
    """Photos from dark to bright with scores on 0-10."""
    rows = [f"{path.name},{i}" for i, path in enumerate(toy.write_photos(tmp_path / "imgs", 9))]
    made.text(tmp_path / "labels/merge/test.csv", "image,score", *rows)
    return tmp_path


def test_labels_come_to_the_models_scale_and_photos_are_scored_as_the_sdk_scores_them(sdk, tad66k):
    seen = []
    photos = score_dataset(
        sdk.backbone, read_data(f"tad66k={tad66k}"), lambda *told: seen.append(told)
    )
    assert photos.attributes == ("aesthetic",)
    assert photos.labels[:, 0].tolist() == pytest.approx([1 + 0.4 * i for i in range(9)])
    assert photos.good == pytest.approx(3), "5 of 0-10"
    expected = [score.value for score in sdk.score_many(tad66k / "imgs")]
    assert photos.predicted[:, 0].tolist() == pytest.approx(expected, abs=1e-5)
    assert seen[-1] == ("photos", 9, 9)


def test_a_command_prints_tables_or_json(tad66k, toy_model):
    def run(form):
        arguments = ["evaluate", "giaa", "--data", f"tad66k={tad66k}", "--model", str(toy_model)]
        result = CliRunner().invoke(main, [*arguments, "--format", form])
        assert result.exit_code == 0, result.output
        return result.stdout

    record = json.loads(run("json"))
    assert record["settings"]["data"] == "tad66k-test"
    assert record["settings"]["photos"] == 9
    found = record["tables"][0]["rows"][0]["SRCC"]["value"]
    assert f"{found:.3f} [" in run("table")
    assert f"| aesthetic | {found:.3f} [" in run("markdown")


@pytest.fixture
def rated(tmp_path):
    """A folder that is called like a dataset: photos from dark to bright, scored on 1-10."""
    folder = tmp_path / "aadb"
    photos = toy.write_photos(folder, 10)

    def write(header="image,score", rest=lambda i: ""):
        rows = [f"{path.name},{1 + i}{rest(i)}" for i, path in enumerate(photos)]
        made.text(folder / "labels.csv", f"{header},split", *(f"{row},test" for row in rows))
        return folder

    return write


def evaluate(protocol, folder, model, *more):
    """The record of a command on a folder, or what it says."""
    arguments = [protocol, "--data", f"folder={folder}", "--scale", "1-10", "--model", model, *more]
    result = CliRunner().invoke(main, ["evaluate", *map(str, arguments), "--format", "json"])
    assert result.exit_code in (0, 2), result.output
    return json.loads(result.stdout) if result.exit_code == 0 else result.stderr


def test_a_folder_is_measured_on_the_scale_it_was_scored_on(sdk, rated, toy_model):
    record = evaluate("giaa", rated(), toy_model)
    assert record["settings"]["photos"] == 10
    data = read_data(f"folder={rated()}", scale=Scale(1, 10))
    photos = score_dataset(sdk.backbone, data, lambda *told: None)
    assert photos.labels[:, 0].tolist() == pytest.approx([1 + 4 * i / 9 for i in range(10)])
    assert photos.good == pytest.approx(3), "no custom of AADB's, which is on 0-1"


def test_robustness_takes_the_photos_of_a_folder_on_any_scale(rated, toy_model):
    assert evaluate("robustness", rated(), toy_model)["settings"]["photos"] == 10


def test_attributes_without_labels_are_left_out(rated, toy_model):
    folder = rated("image,score,light,color", lambda i: f",,{1 + i}")
    rows = evaluate("fiaa", folder, toy_model)["tables"][0]["rows"]
    assert [row["attribute"] for row in rows] == ["aesthetic", "color", "mean"]


def test_an_attribute_with_a_single_label_has_figures(rated, toy_model):
    folder = rated("image,score,color", lambda i: "," if i else ",3")
    rows = evaluate("fiaa", folder, toy_model)["tables"][0]["rows"]
    assert rows[1]["accuracy"]["value"] in (0, 1)


@pytest.mark.parametrize("color", ["image,score", "image,score,color"])
def test_fiaa_needs_an_attribute_beside_the_score(rated, toy_model, color):
    folder = rated(color, lambda i: "," if "color" in color else "")
    said = "fiaa compares other attributes with aesthetic; the model and the data share aesthetic"
    for photo in folder.glob("*.png"):
        photo.write_bytes(b"that is told before any photo is read")
    assert said in evaluate("fiaa", folder, toy_model)


def test_giaa_needs_the_score_itself():
    with pytest.raises(DatasetError, match="nothing to compare for aesthetic"):
        giaa(scored().only("color"), 0, data="folder")


def test_photos_that_cannot_be_used_are_all_named_or_skipped(rated, toy_model):
    folder = rated()
    for i, photo in enumerate(sorted(folder.glob("*.png"))[:2]):
        photo.unlink() if i else photo.write_bytes(b"no photo")
    told = evaluate("giaa", folder, toy_model)
    assert "2 of 10 photos of aadb-test cannot be used" in told
    assert "row 3" in told
    record = evaluate("giaa", folder, toy_model, "--skip-unusable")
    assert (record["settings"]["photos"], record["settings"]["skipped"]) == (8, 2)


def test_what_is_no_dataset_is_told(sdk, tmp_path):
    with pytest.raises(DatasetError, match=r"no dataset 'flickr'.*para.*NAME=FOLDER"):
        read_data("flickr=x")
    result = CliRunner().invoke(main, ["evaluate", "giaa", "--data", f"tad66k={tmp_path}"])
    assert result.exit_code == 2
    assert "test.csv" in result.stderr
