"""The prior over people: what raters of some photos teach of others' taste in other photos."""

from __future__ import annotations

import numpy as np
import pytest

from aesmamba_sdk.personalize.bayes import Evidence, Observations
from aesmamba_sdk.personalize.taste import uninformed
from aesmamba_sdk.train.taste import _regress, fit_prior
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
    taste = prior.projection[:, 1:]
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


def test_its_noise_is_what_heads_cannot_explain(groups):
    noise = np.exp(fit_prior(groups[:2], "b", "made").log_noise[0])
    assert 0.6**2 * 0.8 < noise < 0.6**2 * 1.6


def test_where_people_agree_there_is_no_taste_to_learn():
    rng = np.random.default_rng(0)
    group = made_people.group("agreeing", 40, 80, seed=7)
    ratings = group.generic + rng.normal(0, 0.5, group.ratings.shape)
    alike = made_people.RatedPhotos("alike", group.features, group.generic, ratings)
    differing = fit_prior([group], "b", "made")
    agreeing = fit_prior([alike], "b", "made")
    sizes = [np.square(p.projection[:, 1:]).sum() for p in (agreeing, differing)]
    assert sizes[0] < 0.1 * sizes[1]


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
