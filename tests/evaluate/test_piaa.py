"""The protocol of personal aesthetics: who sees what, and what is counted."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from click.testing import CliRunner
from PIL import Image

from aesmamba_sdk.cli import main
from aesmamba_sdk.errors import DatasetError
from aesmamba_sdk.evaluate import learning, piaa
from aesmamba_sdk.evaluate.generic import GenericHead
from aesmamba_sdk.evaluate.heads import METHODS
from aesmamba_sdk.evaluate.piaa_report import HARM, gains_of, harmed, piaa_result
from aesmamba_sdk.personalize.bayes import Posterior
from aesmamba_sdk.photos import load_photo
from aesmamba_sdk.scores import Scale
from aesmamba_sdk.train.people import read_people
from aesmamba_sdk.train.taste import fit_prior
from tests.train import made_people

SCALE = Scale(1, 5)


@pytest.fixture(scope="module")
def groups():
    return [made_people.group(f"g{i}", 12, 90, seed=i) for i in range(3)]


@pytest.fixture(scope="module")
def found(groups):
    return piaa.run_piaa(groups, SCALE, shots=(10, 30), repeats=2, people=8, seed=1)


def test_support_and_query_are_rated_and_apart():
    ratings = made_people.group("g", 5, 90, seed=0).ratings
    draws = list(piaa.draw_support(ratings, 30, 3, None, seed=1))
    assert len(draws) == 15
    for draw in draws:
        together = np.r_[draw.query, draw.rest]
        assert len(set(together)) == 50 + 30
        assert not np.isnan(ratings[draw.person, together]).any()
    assert len({tuple(draw.query) for draw in draws}) == 15


def test_people_who_rate_all_photos_alike_or_too_few_are_left_out():
    ratings = made_people.group("g", 4, 90, seed=0).ratings
    ratings[0] = 3.0
    ratings[1, 60:] = np.nan
    assert {draw.person for draw in piaa.draw_support(ratings, 30, 1, None, 1)} == {2, 3}


def test_some_people_are_drawn_by_the_seed_and_asked_for_the_same_photos():
    ratings = made_people.group("g", 30, 90, seed=0).ratings

    def drawn(people, seed):
        return {d.person: d for d in piaa.draw_support(ratings, 30, 1, people, seed)}

    everyone, some = drawn(None, 1), drawn(5, 1)
    assert len(some) == 5
    assert some.keys() != drawn(5, 2).keys()
    assert some.keys() != set(range(5))
    assert some.keys() < drawn(10, 1).keys()
    for person, draw in some.items():
        np.testing.assert_array_equal(draw.query, everyone[person].query)
        np.testing.assert_array_equal(draw.rest, everyone[person].rest)


def test_every_method_is_measured_on_the_same_people(found):
    assert set(found) == {(name, shots) for name in METHODS for shots in (10, 30)}
    assert {m.by_person("srcc").shape for m in found.values()} == {(24, 2)}


def test_ratings_of_others_that_are_not_support_change_nothing_of_the_tested(groups, found):
    """Only the oracle knows what the tested group says; training knows the other groups alone."""
    ratings = groups[0].ratings.copy()
    tested = {draw.person for draw in piaa.draw_support(ratings, 30, 1, 8, seed=1)}
    others = sorted(set(range(12)) - tested)
    ratings[others] = ratings[sorted(tested)[:4]]
    scrambled = replace(groups[0], ratings=ratings)
    again = piaa.run_piaa([scrambled, *groups[1:]], SCALE, shots=(10,), repeats=2, people=8, seed=1)
    rows = slice(0, 8)  # of the scrambled group; it trains the heads of the other two
    for name in ("generic", "auto"):
        before = found[name, 10].by_person("srcc")[rows]
        np.testing.assert_array_equal(again[name, 10].by_person("srcc")[rows], before)
    oracle = again["oracle", 10].by_person("srcc")[rows]
    assert (oracle != found["oracle", 10].by_person("srcc")[rows]).any()


def test_taste_is_learned_and_more_of_it_from_more_ratings(found):
    gains = [gains_of(found, "auto", "generic", shots).mean() for shots in (10, 30)]
    assert 0.02 < gains[0] < gains[1]
    assert gains_of(found, "auto", "residual ridge", 10).mean() > 0
    assert 0.7 < found["auto", 30].figures["coverage"].mean() < 0.9


def test_harm_is_a_whole_interval_below_the_line():
    surely = np.array([[-0.1, -0.09, -0.11, -0.1]])
    perhaps = np.array([[-0.3, 0.2, -0.2, 0.1]])
    assert harmed(np.r_[surely, perhaps, -surely, 0 * surely]) == 25.0


@pytest.mark.parametrize("repeats", [2, 5, 10, 11, 15, 20, 60])
def test_the_interval_of_a_persons_mean_is_students(repeats):
    gains = np.random.default_rng(0).normal(size=repeats)
    standard = scipy.stats.sem(gains)
    reach = scipy.stats.t.ppf(0.975, repeats - 1) * standard
    for share, found in ((0.99, 0.0), (1.01, 100.0)):
        assert harmed((gains - gains.mean() - HARM - share * reach)[None]) == found


def test_the_report_has_every_method_and_the_bars_of_its_shots(found):
    result = piaa_result(found, seed=1)
    assert [len(table.rows) for table in result.tables] == [9, 8, 9, 8]
    assert all(bar.what.startswith(("10 shots", "30 shots")) for bar in result.bars)
    json.dumps(result.to_dict(), allow_nan=False)


def test_the_generic_head_does_not_peek():
    rng = np.random.default_rng(0)
    features, noise = rng.normal(size=(120, 60)), rng.normal(size=120)
    assert abs(np.corrcoef(GenericHead.fit(features, noise, 1).held_out, noise)[0, 1]) < 0.3
    signal = features[:, 0] + 0.1 * noise
    head = GenericHead.fit(features[:100], signal[:100], 1)
    assert np.corrcoef(head(features[100:]), signal[100:])[0, 1] > 0.9
    assert np.corrcoef(head.held_out, signal[:100])[0, 1] > 0.9


def test_the_learning_curve_falls_and_chosen_photos_teach_no_less():
    curves = learning.learning_curves(
        [made_people.group(f"g{i}", 8, 200, seed=i) for i in range(3)],
        SCALE,
        repeats=2,
        people=4,
        seed=1,
    )
    assert {arm: curve.shape for arm, curve in curves.items()} == {
        "random": (12, 5, 3),
        "chosen": (12, 5, 3),
    }
    for curve in curves.values():
        error, beyond, variance = curve.mean(0).T
        assert error[-1] < error[0]
        assert (beyond < error).all()
        assert (np.diff(variance) < 0).all()
    random, chosen = (curves[arm].mean(0)[:3].mean(0) for arm in learning.ARMS)
    assert chosen[0] < random[0]
    assert chosen[2] < random[2]
    result = learning.learning_result(curves, seed=1)
    assert len(result.tables[0].rows) == len(learning.SHOTS)


def test_the_variance_that_ratings_leave_is_that_of_the_textbook():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 6))
    known = Posterior(rng.normal(size=6), root @ root.T, 0.5)
    rated, asked = rng.normal(size=(9, 6)), rng.normal(size=(4, 6))
    precision = np.linalg.inv(known.covariance) + rated.T @ rated / known.noise
    expected = np.trace(asked @ np.linalg.inv(precision) @ asked.T) / 4
    assert learning.variance_left(known, rated, asked) == pytest.approx(expected)


def test_a_dataset_without_groups_of_raters_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="ava has no groups of people"):
        read_people("ava", tmp_path, None, None)


def test_the_command_reads_a_folder_and_prints_every_bar(tmp_path, toy_model):
    folder = made_oasis(tmp_path / "oasis")
    arguments = ["--data", f"oasis={folder}", "--model", str(toy_model), "--shots", "10"]
    arguments += ["--repeats", "1", "--format", "json"]
    done = CliRunner().invoke(main, ["evaluate", "piaa", *arguments])
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert len(record["tables"][0]["rows"]) == len(METHODS)
    assert [bar["what"].split(":")[0] for bar in record["bars"]] == ["10 shots"] * 6


@pytest.mark.parametrize(
    ("command", "wanted"), [(("piaa", "--shots", "13"), 63), (("suggest",), 190)]
)
def test_more_ratings_than_anybody_gave_are_told(command, wanted, tmp_path, toy_model):
    folder = made_oasis(tmp_path / "oasis")
    arguments = [*command, "--data", f"oasis={folder}", "--model", str(toy_model)]
    done = CliRunner().invoke(main, ["evaluate", *arguments])
    assert done.exit_code == 2
    assert f"nobody rated {wanted} photos" in done.stderr
    assert "the most that anybody rated are 62" in done.stderr


def test_photos_that_nobody_rated_and_people_who_rated_none_are_left_out(tmp_path, sdk):
    folder = made_oasis(tmp_path / "oasis")
    rows = (folder / "ratings.csv").read_text().splitlines()
    missing = ("subset1-1,", "subset1-0,subset1-7.png")
    kept = [row for row in rows if not row.startswith(missing)]
    (folder / "ratings.csv").write_text("\n".join(kept) + "\n")
    first, *others = read_people("oasis", folder, sdk.backbone, sdk.embeddings)
    assert first.ratings.shape == (1, 61)
    assert len(first.generic) == len(first.features) == 61
    assert first.load(7).getpixel((0, 0)) == load_photo(
        folder / "images/subset1-8.png"
    ).image.getpixel((0, 0))
    assert len(first.prompts) == 1
    assert np.isfinite(fit_prior([first, *others], "b", "made").mean).all()


def made_oasis(folder):
    """Two people a group, who rated 62 grey photos by how bright they are."""
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    photos, people, ratings = ["image,group"], ["user,group,age,gender,education"], []
    for group in ("subset1", "subset2", "subset3"):
        people += [f"{group}-{i},{group},30,male,highSchool" for i in range(2)]
        for i in range(62):
            name, light = f"{group}-{i}.png", int(rng.integers(20, 235))
            Image.new("RGB", (8, 8), (light, 128, 255 - light)).save(folder / "images" / name)
            photos.append(f"{name},{group}")
            scores = (light / 40 + rng.normal(0, 1, 2)).clip(1, 7).round().astype(int)
            ratings += [f"{group}-{u},{name},{score}" for u, score in enumerate(scores)]
    for table, lines in (("images", photos), ("users", people)):
        (folder / f"{table}.csv").write_text("\n".join(lines) + "\n")
    (folder / "ratings.csv").write_text("\n".join(["user,image,beauty", *ratings]) + "\n")
    return folder
