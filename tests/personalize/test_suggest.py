"""Which photos to rate next, against trying every one."""

from __future__ import annotations

import numpy as np
import pytest

from aesmamba_sdk.personalize.bayes import Posterior
from aesmamba_sdk.personalize.suggest import choose


@pytest.fixture
def known():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 6))
    return Posterior(rng.normal(size=6), root @ root.T, 0.5), rng.normal(size=(25, 6))


def doubt(posterior, design, rated):
    """Summed variance of all scores once some are rated, by the textbook."""
    seen = design[rated]
    precision = np.linalg.inv(posterior.covariance) + seen.T @ seen / posterior.noise
    return np.trace(design @ np.linalg.inv(precision) @ design.T)


def test_each_photo_is_the_one_that_leaves_the_least_doubt(known):
    posterior, design = known
    rows, doubts = choose(posterior, design, 4)
    start = doubt(posterior, design, [])
    rated: list[int] = []
    for row, left in zip(rows, doubts, strict=True):
        others = [i for i in range(25) if i not in rated]
        best = min(others, key=lambda i: doubt(posterior, design, [*rated, i]))
        assert row == best
        rated.append(best)
        assert left == pytest.approx(doubt(posterior, design, rated) / start)


def test_of_a_library_only_some_may_be_eligible(known):
    """What is chosen teaches about all of it."""
    posterior, design = known
    eligible = ~np.isin(np.arange(25), choose(posterior, design, 2)[0])
    rows, _ = choose(posterior, design, 2, eligible)
    first = min(np.flatnonzero(eligible), key=lambda i: doubt(posterior, design, [i]))
    assert rows[0] == first
    assert rows[1] == min(
        set(np.flatnonzero(eligible)) - {first}, key=lambda i: doubt(posterior, design, [first, i])
    )
    assert sorted(choose(posterior, design, 100, eligible)[0]) == list(np.flatnonzero(eligible))


def test_no_photo_is_suggested_twice(known):
    rows, _ = choose(*known, 100)
    assert sorted(rows) == list(range(25))
