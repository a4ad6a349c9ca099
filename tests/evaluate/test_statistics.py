"""Intervals against what theory or another library says of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from aesmamba_sdk.evaluate.statistics import Runs, bootstrap
from aesmamba_sdk.metrics import srcc


def test_the_interval_of_a_mean_is_that_of_scipy():
    x = np.random.default_rng(0).exponential(size=80)
    (found,) = bootstrap(lambda rows: x[rows].mean(), len(x), seed=1, resamples=4000)
    expected = stats.bootstrap(
        (x,), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(2)
    ).confidence_interval
    assert found.value == x.mean()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.04)


def test_figures_of_one_call_share_their_resamples():
    """So differences are paired: two scores that rank alike differ by nothing in every sample."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=60)
    x = y + rng.normal(size=60)

    def figures(rows):
        own, other = srcc(x[rows], y[rows]), srcc(x[rows] * 3 + 1, y[rows])
        return own, other, own - other

    own, other, gain = bootstrap(figures, 60, seed=0, resamples=50)
    assert own == other
    assert own.low < own.value < own.high
    assert (gain.low, gain.value, gain.high) == (0, 0, 0)


def test_a_seed_gives_the_same_interval_again_and_another_seed_another():
    x = np.random.default_rng(0).normal(size=50)
    first, again, other = (
        bootstrap(lambda rows: x[rows].mean(), 50, seed, resamples=100) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_resamples_that_tell_nothing_do_not_count():
    """Of ten rows one tells anything; a third of the resamples have it not."""
    x = np.array([7.0] + [np.nan] * 9)
    (found,) = bootstrap(lambda rows: np.nan if np.isnan(x[rows]).all() else 7.0, 10, seed=0)
    assert (found.low, found.value, found.high) == (7, 7, 7)


def test_an_empty_sample_is_refused():
    with pytest.raises(ValueError, match="empty sample"):
        bootstrap(lambda rows: 0.0, 0, seed=0)


def test_runs_have_a_mean_and_the_deviation_of_a_sample():
    assert Runs.of([1, 2, 3, 6]) == Runs(3.0, pytest.approx(np.std([1, 2, 3, 6], ddof=1)), 4)
    assert Runs.of([0.5]) == Runs(0.5, 0.0, 1)
    with pytest.raises(ValueError, match="no runs"):
        Runs.of([])
