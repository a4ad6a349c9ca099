"""The prior over people: what raters of some photos teach of others' taste in other photos."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from aesmamba_sdk.personalize.bayes import Evidence, Observations
from aesmamba_sdk.personalize.taste import TASTE_FILE, TastePrior, uninformed
from aesmamba_sdk.train.taste import _regress, fit_prior, main
from tests.evaluate.test_piaa import made_oasis
from tests.train import made_people


@pytest.fixture(scope="module")
def groups():
    return [made_people.group(f"g{i}", 60, 90, seed=i) for i in range(3)]


def errors(prior, group, shots):
    """Mean squared error of unseen people's ratings of unseen photos after so many shots."""
    found = []
    for given in group.ratings[:30]:
        rated = np.flatnonzero(~np.isnan(given))
        design = prior.design(group.features[rated], group.generic[rated])
        said = Observations.of(design[:shots], given[rated[:shots]])
        mean, _ = Evidence(prior, said).posterior().predict(design[shots:])
        found.append(np.square(mean - given[rated[shots:]]).mean())
    return np.mean(found)


def test_it_finds_the_directions_in_which_people_differ(groups):
    prior = fit_prior(groups[:2], "b", "made")
    step = 1e-2 * np.eye(made_people.FEATURES)
    ahead, behind = (prior.design(s * step, np.zeros(len(step)))[:, 3:] for s in (1, -1))
    taste = (ahead - behind) / 2e-2  # how they change around the usual photo
    truth = np.random.default_rng(99)
    truth.normal(size=made_people.FEATURES)
    truth = truth.normal(size=(made_people.FEATURES, 2))
    inside, _ = np.linalg.qr(truth)
    covariance = taste @ taste.T
    assert np.trace(inside.T @ covariance @ inside) > 0.8 * np.trace(covariance)


def test_ten_ratings_teach_more_with_it_than_without(groups):
    informed = fit_prior(groups[:2], "b", "made")
    plain = uninformed("b", groups[0].features, groups[0].generic)
    assert errors(informed, groups[2], 10) < 0.8 * errors(plain, groups[2], 10)


def test_tastes_compare_photos_by_what_is_in_them_where_that_is_known():
    """Ratings go by one number of many; who knows which needs fewer photos to learn from."""
    rng = np.random.default_rng(6)
    features = rng.normal(size=(260, 40)).astype(np.float32)
    usual = 3 + np.sin(2 * features[:, 0])
    ratings = usual + rng.normal(0, 0.5, (30, 260))
    nothing = np.full(60, 3.0)
    axes = np.eye(40, 1, dtype=np.float32)
    agreement = []
    for known in (None, axes):
        group = made_people.RatedPhotos("made", features[:60], nothing, ratings[:, :60], axes=known)
        prior = fit_prior([group], "b", "made", share=1.0)
        said = prior.design(features[60:], np.full(200, 3.0)) @ prior.mean
        agreement.append(np.corrcoef(said, usual[60:])[0, 1])
    assert agreement[0] < 0.6
    assert agreement[1] > 0.9


def test_what_everyone_likes_need_not_be_linear():
    rng = np.random.default_rng(5)
    features = rng.normal(size=(400, 3)).astype(np.float32)
    usual = 3 - 0.5 * np.abs(features[:, 0])  # neither too much of it nor too little
    ratings = usual + rng.normal(0, 0.5, (30, 400))
    nothing = np.full(300, 3.0)
    group = made_people.RatedPhotos("made", features[:300], nothing, ratings[:, :300])
    prior = fit_prior([group], "b", "made", share=1.0)
    before_any_rating = prior.design(features[300:], nothing[:100]) @ prior.mean
    assert np.corrcoef(before_any_rating, usual[300:])[0, 1] > 0.8


def test_who_shares_nothing_of_what_others_add_is_expected_to_like_what_scores_high(groups):
    alone = fit_prior(groups[:2], "b", "made", share=0.0)
    photos = groups[2]
    expected = alone.design(photos.features, photos.generic) @ alone.mean
    assert (np.argsort(expected) == np.argsort(photos.generic)).all()


def test_its_noise_is_what_heads_cannot_explain(groups):
    noise = np.exp(fit_prior(groups[:2], "b", "made").log_noise[0])
    assert 0.6**2 * 0.8 < noise < 0.6**2 * 1.6


def test_where_people_agree_there_is_no_taste_to_learn():
    rng = np.random.default_rng(0)
    group = made_people.group("agreeing", 40, 80, seed=7)
    ratings = group.generic + rng.normal(0, 0.5, group.ratings.shape)
    alike = made_people.RatedPhotos("alike", group.features, group.generic, ratings)
    photos = made_people.group("others", 1, 100, seed=8)

    def taste(people):
        """Variance over people of the scores of photos that differ by taste alone."""
        design = fit_prior([people], "b", "made").design(photos.features, photos.generic)
        return np.square(design[:, 3:]).sum(1).mean()

    assert taste(alike) < 0.1 * taste(group)


def test_regression_leaves_each_sample_out_exactly():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(30, 5))
    y = x @ rng.normal(size=(5, 1)) + 0.5 * rng.normal(size=(30, 1))
    found = _regress(x, y)
    gain = np.linalg.lstsq(x, found.weights[:, 0] @ x.T, rcond=None)[0]
    np.testing.assert_allclose(gain, found.weights[:, 0])
    # The strength that explains these weights, by their shrinkage towards least squares.
    energy, turn = np.linalg.eigh(x.T @ x)
    full = np.linalg.lstsq(x, y, rcond=None)[0][:, 0]
    shrink = (turn.T @ found.weights[:, 0]) / (turn.T @ full)
    strength = float(np.median(energy / shrink - energy))
    for i in range(30):
        kept = np.arange(30) != i
        weights = np.linalg.solve(
            x[kept].T @ x[kept] + strength * np.eye(5), x[kept].T @ y[kept, 0]
        )
        assert found.left[i, 0] == pytest.approx(y[i, 0] - x[i] @ weights, abs=1e-6)


def test_a_folder_may_lie_in_ones_home(toy_model, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    made_oasis(tmp_path / "oasis")
    folder = shutil.copytree(toy_model, tmp_path / "model")
    main(["--data", "oasis=~/oasis", "--model", str(folder)])
    assert TastePrior.load(folder / TASTE_FILE).source == "6 people and 186 photos of oasis"
